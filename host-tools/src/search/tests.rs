//! Trials of a small study, from the draw to what the study keeps of them.

use indicatif::ProgressBar;

use super::*;
use crate::compress::Yardstick;
use crate::graph::{Frontend, Provenance, ScoreKind};
use crate::quantize::QuantizeOptions;
use crate::recording::{Recording, WindowSet};
use crate::simulate::{DecisionOptions, DetectorOptions, FalseAlarms};
use crate::train::{Architecture, FitConfig, Stream, TrainError, random_vae, stream};

const WINDOW: usize = 16;
const SPACE: Space =
    Space { fully_connected: true, convolutional: false, latent: None, four_bit: true };
/// A patience of -1 takes every trial for a dead worker's.
const RULES: Rules = Rules { trials: 1, rungs: 1, eta: 2, random: 1, patience: -1, seed: 0 };

fn recording() -> Recording {
    let samples = (0..WINDOW * 80).map(|i| (i as f32 * 0.37).sin()).collect();
    Recording::from_samples("normal", vec![80, WINDOW, 1], samples).unwrap()
}

fn task(recording: &Recording) -> Task<'_> {
    let like = Architecture {
        score: ScoreKind::ReconstructionError,
        ..Architecture::mirrored("n", &[12], 3)
    };
    let frontend = Frontend::identity(WINDOW, WINDOW, 1);
    let reference = random_vae(frontend, &like, &mut stream(1, Stream::Init)).unwrap();
    let mut train = WindowSet::new();
    train.add(recording.clips(&reference.frontend).unwrap()).unwrap();
    let held_out = train.subset(&(0..20).collect::<Vec<_>>());
    Task {
        yardstick: Yardstick::new(&reference, &held_out, 0).unwrap(),
        train,
        like,
        provenance: Provenance { source: "normal.npy".into(), ..Provenance::default() },
        fit: FitConfig { epochs: 1, batch: 16, shards: 1, ..FitConfig::default() },
        eta: RULES.eta,
        last_rung: 0,
        quantize: QuantizeOptions::default(),
        detector: DetectorOptions {
            target: "cortex-m4".into(),
            false_alarms: FalseAlarms::Share(0.01),
            decision: DecisionOptions::default(),
        },
        distil: true,
    }
}

/// A study of one trial of this network, worked off under a budget.
fn worked(task: &Task<'_>, candidate: &str, budget: &Budget) -> Study {
    let mut study = Study::open(":memory:", "s").unwrap();
    let candidate: Candidate = candidate.parse().unwrap();
    study.within(|study| study.add(&candidate, None, "dead")).unwrap();
    let open = || Study::open(":memory:", "s");
    work(&mut study, &open, task, &SPACE, &RULES, budget, &ProgressBar::hidden()).unwrap();
    study
}

#[test]
fn the_integers_that_were_measured_come_out_of_the_study() {
    let recording = recording();
    let task = task(&recording);
    let line = "hidden=8 decoder=8 latent=2 bits=444444444444";
    let mut study = worked(&task, line, &Budget::default());
    let Best { trial, figures, vae, settled } = best(&mut study).unwrap();
    assert_eq!(trial.note, "");
    assert!(settled.is_some(), "trained in integers");
    assert_eq!(vae.provenance, task.provenance);
    let options = task.options(&trial.candidate, &vae);
    let blob = task.blob(&options, &vae, settled.as_ref()).unwrap();
    assert_eq!(blob.bytes().len(), figures.blob_bytes);
    assert_eq!(task.yardstick.of_blob(&blob).unwrap().negative_elbo, figures.loss);
    // Without them, calibration gives other integers.
    let calibrated = task.blob(&options, &vae, None).unwrap();
    assert_ne!(calibrated.bytes(), blob.bytes());

    // 8-bit weights are trained in float.
    let mut study =
        worked(&task, "hidden=8 decoder=8 latent=2 bits=888888888888", &Budget::default());
    assert_eq!(best(&mut study).unwrap().settled, None);
}

#[test]
fn what_is_measured_beyond_the_budget_fails() {
    let recording = recording();
    let task = task(&recording);
    // The planner was not asked: the trial is taken over.
    let budget = Budget { flash: Some(64), ..Budget::default() };
    let mut study = worked(&task, "hidden=8 decoder=8 latent=2 bits=888888888888", &budget);
    let trials = study.trials().unwrap();
    assert_eq!((trials.len(), trials[0].state), (1, State::Failed));
    let note = &trials[0].note;
    assert!(note.contains("beyond the budget: flash") && note.ends_with("of 64"), "{note}");
    assert!(matches!(best(&mut study), Err(SearchError::Nothing { .. })));
}

#[test]
fn a_network_without_a_latent_is_no_network() {
    let recording = recording();
    let task = task(&recording);
    let candidate = "hidden=8 decoder=8 latent=1 bits=8".parse::<Candidate>().unwrap();
    task.network(&candidate, 0).unwrap();
    let empty = Candidate { latent: 0, ..candidate };
    assert!(matches!(task.network(&empty, 0), Err(TrainError::Setting { .. })));
}
