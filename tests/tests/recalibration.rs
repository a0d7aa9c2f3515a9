//! A detector that learns threshold and normalization in place, and a state that survives.

use picovae::emit::{Blob, Calibrated, write};
use picovae::graph::Activation;
use picovae::quantize::{IntNormalFeatures, QuantizeOptions, lower, observe};
use picovae_core::model::wire::{Calibration, sections::Decision};
use picovae_core::stream::recalibration::LEAST_WINDOWS;
use picovae_core::stream::{Lessons, Recalibration, RecalibrationError, RestoreError};
use picovae_core::{Detector, Event, Health, Model, Score, State, Vae, VaeError, Verdict};
use picovae_tests::random_model::{self, Recipe};

const WINDOW: usize = 8;
const DECISION: Decision = Decision {
    warm_up: 3,
    votes: 2,
    of: 3,
    clear: None,
    hold_off: 4,
    stuck: true,
    rails: None,
    range: None,
    outside: 0,
};

/// Two channels of a machine: `gain` and `base` are how it is mounted.
#[derive(Clone, Copy)]
struct Machine {
    gain: f64,
    base: f64,
    state: u64,
}

impl Machine {
    fn new(gain: f64, base: f64, seed: u64) -> Self {
        Self { gain, base, state: seed }
    }

    fn frame(&mut self) -> [i16; 2] {
        let mut draw = || {
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(97);
            ((self.state >> 40) as f64 / f64::from(1 << 24) - 0.5) * 2.0
        };
        let (a, b) = (draw() + draw(), draw());
        [a, b + 0.5 * a].map(|x| (self.base + self.gain * 300.0 * x) as i16)
    }
}

/// A blob calibrated on the machine as it is.
fn blob(decision: Decision) -> Blob {
    let recipe = Recipe {
        window_len: WINDOW,
        channels: 2,
        hidden: vec![6],
        latent: 2,
        activation: Activation::Relu,
        bernoulli: false,
        variational: true,
        remove_mean: false,
    };
    let mut vae = random_model::vae(&recipe, 3);
    vae.frontend.hop = WINDOW;
    let features = random_model::features(&vae, &random_model::windows(&recipe, 30, 4));
    let options = QuantizeOptions::default();
    let ranges = observe(&vae, features.view(), &options).unwrap();
    let mut quantized = lower(&vae, &ranges, &options).unwrap();
    quantized.extras.decision =
        Some(picovae::quantize::IntDecision { section: decision, range: None });
    // The model was never trained; what it says of the machine is "normal" all the same.
    let draft = write(&quantized, "portable", Calibrated::default()).unwrap();
    let (mut scores, moments) = watch(&draft.model().unwrap(), Machine::new(1.0, 0.0, 5), 4_000);
    quantized.extras.normal_features = Some(moments);
    scores.sort_unstable();
    let at = |share: f64| scores[(share * (scores.len() + 1) as f64).ceil() as usize - 1];
    let summary = Calibration {
        windows: 4_000,
        min: scores[0],
        median: at(0.5),
        p99: at(0.99),
        max: scores[3_999],
    };
    let threshold = Some(at(0.999) + 1);
    write(&quantized, "portable", Calibrated { threshold, summary }).unwrap()
}

/// Scores of windows, and the moments of their features on the int8 grid.
fn watch(model: &Model<'_>, mut machine: Machine, windows: usize) -> (Vec<i64>, IntNormalFeatures) {
    let mut words = vec![0u128; model.arena_len() / 16];
    let mut vae = Vae::new(model, bytemuck::cast_slice_mut(&mut words)).unwrap();
    let mut grid = [[0f64; 2]; 2];
    let mut scores = Vec::new();
    for _ in 0..windows {
        let window: Vec<i16> = (0..WINDOW).flat_map(|_| machine.frame()).collect();
        scores.push(vae.score_window(&window).unwrap().0);
        // Samples, on the grid but not clamped to it.
        let frontend = model.frontend();
        for (at, &x) in window.iter().enumerate() {
            let gain = f64::from(frontend.multiplier[at % 2])
                * f64::from(i32::from(frontend.shift[at % 2]) - 31).exp2();
            let q = f64::from(frontend.zero_point)
                + gain * (f64::from(x) - f64::from(frontend.offset[at % 2]));
            let [sum, square] = &mut grid[at % 2];
            (*sum, *square) = (*sum + q, *square + q * q);
        }
    }
    let count = (windows * WINDOW) as f64;
    let mean = |[sum, _]: &[f64; 2]| sum / count;
    let deviation = |of: &[f64; 2]| (of[1] / count - mean(of).powi(2)).sqrt();
    let moments = IntNormalFeatures {
        mean: grid.iter().map(|of| (256.0 * mean(of)).round() as i16).collect(),
        deviation: grid.iter().map(|of| (256.0 * deviation(of)).round() as u16).collect(),
    };
    (scores, moments)
}

/// Buffers of a detector.
struct Bench {
    arena: Vec<u128>,
    ring: Vec<i16>,
    memory: Vec<u64>,
}

impl Bench {
    fn new(model: &Model<'_>) -> Self {
        let groups = model.frontend().groups();
        Self {
            arena: vec![0; model.arena_len() / 16],
            ring: vec![0; model.window_samples()],
            memory: vec![0; Recalibration::memory_len(groups)],
        }
    }

    fn detector<'m, 'a>(&'m mut self, model: &'m Model<'a>) -> Detector<'m, 'a> {
        let arena = bytemuck::cast_slice_mut(&mut self.arena);
        Detector::new(model, arena, &mut self.ring).unwrap().learning_in(&mut self.memory).unwrap()
    }
}

/// Pushes a machine's next windows.
fn run(detector: &mut Detector<'_, '_>, machine: &mut Machine, windows: usize) -> Vec<Verdict> {
    (0..windows * WINDOW).filter_map(|_| detector.push(&machine.frame())).collect()
}

/// What the distance from median to 99th percentile of so many scores is lengthened by, docs/numerics.md.
fn standard_error(scores: u64) -> f64 {
    1.6 / (scores as f64).sqrt()
}

#[test]
fn a_threshold_moves_to_where_the_scores_are() {
    let blob = blob(DECISION);
    let model = blob.model().unwrap();
    let mut bench = Bench::new(&model);
    let mut detector = bench.detector(&model);
    let lessons = Lessons { normalization: 0, threshold: 2_000 };
    detector.calibrate(lessons).unwrap();
    let mut machine = Machine::new(1.7, 150.0, 9);
    let verdicts = run(&mut detector, &mut machine, 2_200);
    assert!(verdicts[..3].iter().all(|v| v.state == State::WarmUp));
    assert!(verdicts[3..2_003].iter().all(|v| v.state == State::Learning && !v.is_anomaly()));
    assert_eq!(verdicts[2_002].event, Some(Event::Learned));
    assert!(verdicts[..2_002].iter().all(|v| v.event.is_none()));
    assert_eq!(verdicts[2_002].threshold, model.threshold(), "from the next window on");

    let mut scores: Vec<i64> = verdicts[3..2_003].iter().map(|v| v.score.0).collect();
    scores.sort_unstable();
    let (median, p99) = (scores[1_000] as f64, scores[1_980] as f64);
    let normal = model.calibration();
    let share =
        (model.threshold().unwrap().0 - normal.median) as f64 / (normal.p99 - normal.median) as f64;
    let expected = median + share * (p99 - median) * (1.0 + standard_error(2_000));
    let found = verdicts[2_003].threshold.unwrap().0 as f64;
    assert!((found / expected - 1.0).abs() < 0.05, "{found} {expected}");
    assert_ne!(verdicts[2_003].threshold, model.threshold());
}

#[test]
fn a_normalization_makes_another_mounting_the_same() {
    let blob = blob(DECISION);
    let model = blob.model().unwrap();
    let mut bench = Bench::new(&model);
    let mut detector = bench.detector(&model);
    let other = Machine::new(2.5, -700.0, 11);
    detector.calibrate(Lessons { normalization: 1_500, threshold: 0 }).unwrap();
    let before = run(&mut detector, &mut other.clone(), 1_503);
    assert!(detector.recalibration().unwrap().is_renormalized());
    assert_eq!(before.last().unwrap().event, Some(Event::Learned));
    let after = run(&mut detector, &mut Machine::new(2.5, -700.0, 5), 1_000);
    let original = watch(&model, Machine::new(1.0, 0.0, 5), 1_000).0;
    let mean = |scores: &mut dyn Iterator<Item = i64>| scores.map(|s| s as f64).sum::<f64>() / 1e3;
    let (before, after, original) = (
        mean(&mut before[..1_000].iter().map(|v| v.score.0)),
        mean(&mut after.iter().map(|v| v.score.0)),
        mean(&mut original.into_iter()),
    );
    assert!((after / original - 1.0).abs() < 0.03, "{after} {original}");
    assert!((before / original - 1.0).abs() > 0.2, "{before} {original}: the mounting matters");
}

#[test]
fn learning_is_refused_when_something_is_wrong() {
    let blob = blob(DECISION);
    let model = blob.model().unwrap();
    let lessons = Lessons { normalization: 5, threshold: 40 };
    let mut bench = Bench::new(&model);
    let (mut arena, mut ring) = (bench.arena.clone(), bench.ring.clone());
    let mut deaf = Detector::new(&model, bytemuck::cast_slice_mut(&mut arena), &mut ring).unwrap();
    assert_eq!(deaf.calibrate(lessons), Err(RecalibrationError::NoMemory));
    assert_eq!(deaf.save(&mut [0; 9]), Err(RestoreError::NoMemory));
    let small = deaf.learning_in(&mut bench.memory[1..]).unwrap_err();
    assert!(matches!(small, VaeError::LearningTooSmall { needed, got } if needed == got + 1));

    let mut detector = bench.detector(&model);
    let few = Lessons { normalization: 0, threshold: LEAST_WINDOWS - 1 };
    let too_few = RecalibrationError::TooFew { needed: LEAST_WINDOWS, got: LEAST_WINDOWS - 1 };
    assert_eq!(detector.calibrate(few), Err(too_few));
    detector.gap();
    let missing = RecalibrationError::Unhealthy(Health::Missing);
    assert_eq!(detector.calibrate(lessons), Err(missing));
    let mut machine = Machine::new(1.0, 0.0, 3);
    run(&mut detector, &mut machine, 4);
    // Stuck: refused, and a window that is being learnt from when it happens is left out.
    detector.calibrate(lessons).unwrap();
    let stuck: Vec<_> = (0..3 * WINDOW).filter_map(|_| detector.push(&[7, 7])).collect();
    assert!(stuck.iter().all(|v| matches!(v.state, State::Unhealthy(_))));
    assert!(detector.recalibration().unwrap().is_learning());
    assert!(matches!(detector.calibrate(lessons), Err(RecalibrationError::Unhealthy(_))));
    assert!(matches!(detector.follow(true), Err(RecalibrationError::Unhealthy(_))));
    let learned = run(&mut detector, &mut machine, 45);
    assert!(learned[..45].iter().all(|v| v.state == State::Learning), "{learned:?}");
    assert_eq!(learned[44].event, Some(Event::Learned));
    // An alarm, then its hold-off.
    let mut faulty = Machine::new(40.0, 0.0, 3);
    while !matches!(run(&mut detector, &mut faulty, 1)[0].state, State::Alarm) {}
    assert_eq!(detector.calibrate(lessons), Err(RecalibrationError::Alarm));
    assert_eq!(detector.follow(true), Err(RecalibrationError::Alarm));
    while !matches!(run(&mut detector, &mut machine, 1)[0].state, State::HoldOff) {}
    assert_eq!(detector.calibrate(lessons), Err(RecalibrationError::HoldOff));
    detector.set_threshold(None);
    run(&mut detector, &mut machine, 5);
    assert_eq!(detector.calibrate(lessons), Err(RecalibrationError::NoThreshold));
}

#[test]
fn a_followed_threshold_ignores_alarms() {
    let blob = blob(DECISION);
    let model = blob.model().unwrap();
    let (mut bench, mut twin) = (Bench::new(&model), Bench::new(&model));
    let (mut detector, mut calm) = (bench.detector(&model), twin.detector(&model));
    for detector in [&mut detector, &mut calm] {
        detector.calibrate(Lessons { normalization: 0, threshold: 300 }).unwrap();
        run(detector, &mut Machine::new(1.0, 0.0, 2), 303);
        detector.follow(true).unwrap();
    }
    let mut machine = Machine::new(1.0, 0.0, 77);
    run(&mut calm, &mut machine.clone(), 500);
    // The same, with a fault of 2,000 windows in between.
    run(&mut detector, &mut machine, 250);
    let before = detector.recalibration().unwrap().scores();
    let fault = run(&mut detector, &mut Machine::new(60.0, 0.0, 1), 2_000);
    assert!(fault[3..].iter().all(|v| v.state == State::Alarm));
    let learnt = detector.recalibration().unwrap().scores() - before;
    assert!(learnt <= 2, "{learnt}: only until the votes were carried");
    run(&mut detector, &mut machine, 265);
    let threshold = |d: &mut Detector<'_, '_>| {
        run(d, &mut Machine::new(1.0, 0.0, 4), 1)[0].threshold.unwrap().0 as f64
    };
    let (with, without) = (threshold(&mut detector), threshold(&mut calm));
    assert!((with / without - 1.0).abs() < 0.05, "{with} {without}");
}

#[test]
fn a_saved_state_goes_on_and_a_damaged_one_is_refused() {
    let blob = blob(DECISION);
    let model = blob.model().unwrap();
    let (mut bench, mut twin) = (Bench::new(&model), Bench::new(&model));
    let mut first = bench.detector(&model);
    first.set_threshold(Some(Score(model.threshold().unwrap().0 + 11)));
    first.calibrate(Lessons { normalization: 40, threshold: 60 }).unwrap();
    let mut machine = Machine::new(1.4, 90.0, 8);
    let mut record = vec![0; first.record_len()];
    // In the warm-up, in both lessons, behind them, in an alarm, while following.
    for step in 0..12 {
        let len = first.save(&mut record).unwrap();
        assert!(len < 700, "{len}");
        assert!(matches!(
            first.save(&mut record.clone()[..len - 1]),
            Err(RestoreError::BufferTooSmall { .. })
        ));
        let mut second = twin.detector(&model);
        second.restore(&record[..len]).unwrap();
        let mut again = vec![0; first.record_len()];
        assert_eq!(second.save(&mut again), Ok(len));
        assert_eq!(again[..len], record[..len]);
        let mut source = if step > 7 { Machine::new(30.0, 0.0, 9) } else { machine };
        let (one, other) =
            (run(&mut first, &mut source.clone(), 17), run(&mut second, &mut source, 17));
        assert_eq!(one, other, "step {step}");
        machine = source;
        if step == 6 {
            first.follow(true).unwrap();
        }
    }
    assert!(first.recalibration().unwrap().is_following());

    let len = first.save(&mut record).unwrap();
    let record = &record[..len];
    let mut second = twin.detector(&model);
    for at in 0..len {
        let mut damaged = record.to_vec();
        damaged[at] ^= 0x20;
        assert_eq!(second.restore(&damaged), Err(RestoreError::Checksum), "{at}");
        assert_eq!(second.restore(&record[..at]), Err(RestoreError::Checksum), "{at}");
        // Whole by its checksum, and wrong: never a panic, never a state that panics later.
        let (body, checksum) = damaged.split_at_mut(len - 4);
        checksum.copy_from_slice(&crc32(body).to_le_bytes());
        if second.restore(&damaged).is_ok() {
            run(&mut second, &mut machine.clone(), 2);
        }
    }
    let other = crate::blob(Decision { hold_off: 5, ..DECISION });
    let other = other.model().unwrap();
    let mut foreign = Bench::new(&other);
    let refused = foreign.detector(&other).restore(record);
    let (stated, found) = (model.checksum(), other.checksum());
    assert_eq!(refused, Err(RestoreError::OtherModel { stated, model: found }));
}

/// CRC-32 of zlib, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// Samples of the long stream; `PICOVAE_LONG_STREAM=1` makes it 10^8.
fn long() -> usize {
    if std::env::var_os("PICOVAE_LONG_STREAM").is_some() { 100_000_000 } else { 4_000_000 }
}

#[test]
fn a_long_stream_neither_drifts_nor_overflows() {
    let blob = blob(DECISION);
    let model = blob.model().unwrap();
    let (mut bench, mut twin) = (Bench::new(&model), Bench::new(&model));
    let mut detector = bench.detector(&model);
    let windows = long() / (2 * WINDOW);
    let every = windows / 8;
    detector.calibrate(Lessons { normalization: 2_000, threshold: 2_000 }).unwrap();
    let mut machine = Machine::new(1.3, 40.0, 6);
    run(&mut detector, &mut machine, 4_003);
    detector.follow(true).unwrap();
    let start = detector.push(&[0, 1]).map(|_| ()); // one frame late from here on
    assert!(start.is_none());
    for _ in 1..WINDOW {
        detector.push(&machine.frame());
    }
    let mut thresholds = Vec::new();
    let mut alarms = 0;
    let mut record = vec![0; detector.record_len()];
    for _ in 0..8 {
        let len = detector.save(&mut record).unwrap();
        let mut restored = twin.detector(&model);
        restored.restore(&record[..len]).unwrap();
        let mut same = machine;
        let mut last = None;
        for window in 0..every {
            let verdict = run(&mut detector, &mut machine, 1)[0];
            alarms += usize::from(verdict.event == Some(Event::Raised));
            if window < 3_000 {
                assert_eq!(run(&mut restored, &mut same, 1)[0], verdict);
            }
            last = verdict.threshold;
        }
        let median = model.calibration().median;
        let beyond = (last.unwrap().0 - median) as f64;
        let counted = detector.recalibration().unwrap().scores();
        thresholds.push(median as f64 + beyond / (1.0 + standard_error(counted)));
    }
    // All of one distribution: but for the error, the threshold rests where it was, and so does the rate of alarms.
    let (least, most) =
        thresholds.iter().fold((f64::MAX, 0f64), |(least, most), &t| (least.min(t), most.max(t)));
    // (A 99th percentile of 30,000 windows errs by about 1 %, the interpolation within a bin by as much.)
    assert!(most / least < 1.03, "{thresholds:?}");
    // Two of three windows above the 99.9th percentile: 3 in a million windows.
    assert!(alarms <= 4 + windows / 50_000, "{alarms} alarms in {windows} windows");
    let counted = detector.recalibration().unwrap().scores();
    assert!(counted as usize > windows - windows / 100, "{counted} of {windows}");
}
