//! Decision and health, from the blob to the detector's verdicts.

use picovae::emit::{Blob, BlobError, Calibrated, write};
use picovae::graph::Activation;
use picovae::quantize::{IntDecision, QuantizeOptions, QuantizedVae, lower, observe};
use picovae_core::model::wire::sections::Decision;
use picovae_core::{Detector, Event, Health, Model, Score, State, Vae, Verdict};
use picovae_tests::random_model::{self, Recipe};

const SETTINGS: Decision = Decision {
    warm_up: 2,
    votes: 2,
    of: 3,
    clear: Some(-5),
    hold_off: 4,
    stuck: true,
    rails: Some((-30_000, 32_767, 3)),
    range: None,
    outside: 0,
};

fn recipe() -> Recipe {
    Recipe {
        window_len: 12,
        channels: 2,
        hidden: vec![9],
        latent: 3,
        activation: Activation::Relu,
        bernoulli: false,
        variational: true,
        remove_mean: true,
    }
}

fn quantized() -> QuantizedVae {
    let vae = random_model::vae(&recipe(), 3);
    let features = random_model::features(&vae, &random_model::windows(&recipe(), 30, 4));
    let options = QuantizeOptions::default();
    let ranges = observe(&vae, features.view(), &options).unwrap();
    lower(&vae, &ranges, &options).unwrap()
}

fn blob(section: Decision, range: Option<Vec<[i16; 2]>>) -> Result<Blob, BlobError> {
    let mut quantized = quantized();
    quantized.extras.decision = Some(IntDecision { section, range });
    write(&quantized, "portable", Calibrated { threshold: Some(7), ..Calibrated::default() })
}

/// Pushes frames; the verdicts that came.
fn stream(
    model: &Model<'_>,
    threshold: Option<Score>,
    frames: impl Iterator<Item = [i16; 2]>,
) -> Vec<Verdict> {
    let mut words = vec![0u128; model.arena_len() / 16];
    let mut ring = vec![0i16; model.window_samples()];
    let arena = bytemuck::cast_slice_mut(&mut words);
    let mut detector = Detector::new(model, arena, &mut ring).unwrap();
    detector.set_threshold(threshold);
    frames.filter_map(|frame| detector.push(&frame)).collect()
}

fn noise(t: usize) -> [i16; 2] {
    [(t * 37 % 101) as i16 * 5, (t * 53 % 97) as i16 * 4]
}

#[test]
fn a_blob_holds_its_decision() {
    let blob = blob(SETTINGS, Some(vec![[-600, 600], [-500, 501]])).unwrap();
    let model = blob.model().unwrap();
    let decision = model.decision();
    assert_eq!((decision.warm_up, decision.votes, decision.of), (2, 2, 3));
    assert_eq!((decision.clear, decision.hold_off), (Some(Score(-5)), 4));
    let checks = model.health_checks();
    assert_eq!((checks.stuck, checks.rails), (true, Some((-30_000, 32_767, 3))));
    assert_eq!(checks.range, [[-600, 600], [-500, 501]]);
}

#[test]
fn settings_out_of_range_are_refused() {
    for bad in [
        Decision { votes: 0, ..SETTINGS },
        Decision { votes: 4, ..SETTINGS },
        Decision { of: 33, ..SETTINGS },
        // Above the threshold of 7.
        Decision { clear: Some(8), ..SETTINGS },
    ] {
        assert!(blob(bad, None).unwrap_err().to_string().contains("score settings"), "{bad:?}");
    }
}

#[test]
fn a_stream_warms_up_votes_and_names_a_sick_sensor() {
    let blob = blob(SETTINGS, Some(vec![[-600, 600], [-500, 501]])).unwrap();
    let model = blob.model().unwrap();
    let states = |verdicts: &[Verdict]| verdicts.iter().map(|v| v.state).collect::<Vec<_>>();
    // Every window reaches so low a threshold: two to warm up, then the second vote alarms.
    let low = Some(Score(i64::MIN));
    let verdicts = stream(&model, low, (0..60).map(noise));
    use State::{Alarm, Normal, WarmUp};
    assert_eq!(states(&verdicts)[..5], [WarmUp, WarmUp, Normal, Alarm, Alarm]);
    assert_eq!(verdicts[3].event, Some(Event::Raised));
    assert!(verdicts.iter().all(Verdict::is_anomaly), "alone, each is one");

    let stuck = |t| [noise(t)[0], 40];
    let verdicts = stream(&model, low, (0..60).map(stuck));
    let sick = State::Unhealthy(Health::Stuck { channel: 1 });
    assert!(verdicts.iter().all(|v| v.state == sick && !v.is_anomaly()));
    assert_eq!(verdicts[0].event, Some(Event::Failed(Health::Stuck { channel: 1 })));

    let clipped = |t| if t % 3 == 0 { [i16::MAX, 7 + (t % 5) as i16] } else { noise(t) };
    let verdicts = stream(&model, low, (0..30).map(clipped));
    assert!(matches!(verdicts[0].state, State::Unhealthy(Health::Saturated { channel: 0 })));
    let far = |t| [noise(t)[0], if t == 5 { 502 } else { noise(t)[1] }];
    let verdicts = stream(&model, low, (0..30).map(far));
    assert!(matches!(verdicts[0].state, State::Unhealthy(Health::OutOfRange { channel: 1 })));
    assert_eq!(verdicts.last().unwrap().state, WarmUp, "the sample has left the window");
}

#[test]
fn a_gap_starts_a_whole_new_window() {
    let blob = blob(SETTINGS, None).unwrap();
    let model = blob.model().unwrap();
    let mut words = vec![0u128; model.arena_len() / 16];
    let mut ring = vec![0i16; model.window_samples()];
    let arena = bytemuck::cast_slice_mut(&mut words);
    let mut detector = Detector::new(&model, arena, &mut ring).unwrap();
    for t in 0..20 {
        detector.push(&noise(t));
    }
    detector.gap();
    assert_eq!(detector.health(), Health::Missing);
    let came: Vec<Option<Verdict>> = (40..52).map(|t| detector.push(&noise(t))).collect();
    assert!(came[..11].iter().all(Option::is_none));
    let verdict = came[11].unwrap();
    assert_eq!(detector.health(), Health::Good);
    // Nothing of before the gap is in it.
    let window: Vec<i16> = (40..52).flat_map(noise).collect();
    let mut words = vec![0u128; model.arena_len() / 16];
    let mut vae = Vae::new(&model, bytemuck::cast_slice_mut(&mut words)).unwrap();
    assert_eq!(vae.score_window(&window).unwrap(), verdict.score);
    // And the largest share of its error is what the features say.
    let (features, y) = (vae.features().to_vec(), vae.reconstruction().collect::<Vec<_>>());
    let mut parts = [0u64; 2];
    for (i, (&x, &y)) in features.iter().zip(&y).enumerate() {
        let difference = i64::from(x) * 64 - i64::from(y);
        parts[i % 2] += (difference * difference) as u64 * u64::from(model.precision()[i]);
    }
    let found = vae.attribution();
    assert_eq!((found.part, found.whole), (parts[0].max(parts[1]), parts[0] + parts[1]));
    assert_eq!(usize::from(found.channel), usize::from(parts[1] > parts[0]));
}
