//! Chains that fail, beside chains that do not.

use super::*;
use crate::graph::tests::tiny;
use crate::graph::{Frontend, ScoreKind};
use crate::recording::Recording;
use crate::simulate::{DecisionOptions, FalseAlarms};
use crate::train::{
    Architecture, Checkpoint, CheckpointError, Settings, student as random_student,
};
use indicatif::ProgressBar;

const FRAMES: usize = 16;

/// Sines of several phases.
fn recording() -> Recording {
    let samples =
        (0..120 * FRAMES).map(|i| (i as f32 * 0.41).sin() + (i as f32 * 0.07).cos()).collect();
    Recording::from_samples("sines", vec![120, FRAMES], samples).unwrap()
}

/// From random weights: what a chain loses is not asked here.
fn model() -> Vae {
    let like = Vae { frontend: Frontend::identity(FRAMES, FRAMES, 1), ..tiny() };
    let shape = Architecture {
        score: ScoreKind::ReconstructionError,
        ..Architecture::mirrored("sines", &[24], 3)
    };
    random_student(&like, &shape, 1).unwrap()
}

/// No limits, and a loss that nothing keeps, so that every chain is tried.
fn config() -> CompressConfig {
    CompressConfig {
        budget: Budget::default(),
        max_loss: -1e9,
        effort: 1,
        image: None,
        fit: FitConfig { batch: 32, patience: None, ..FitConfig::default() },
        quantize: QuantizeOptions::default(),
        detector: DetectorOptions {
            target: "cortex-m4".into(),
            false_alarms: FalseAlarms::Share(0.05),
            decision: DecisionOptions::default(),
        },
    }
}

fn run(
    config: &CompressConfig,
    checkpoint: Option<&Checkpoint>,
) -> Result<Compressed, CompressError> {
    let recording = recording();
    let mut set = WindowSet::new();
    let model = model();
    set.add(recording.clips(&model.frontend).unwrap()).unwrap();
    let (data, held_out): (Vec<usize>, Vec<usize>) = (0..120).partition(|at| *at < 90);
    let (data, held_out) = (set.subset(&data), set.subset(&held_out));
    let bar = ProgressBar::hidden();
    compress(&model, &data, &held_out, config, Watch { progress: &bar, checkpoint })
}

#[test]
fn a_chain_that_fails_leaves_what_an_earlier_one_gave() {
    let mut config = config();
    // The first chain trains nothing.
    config.fit.learning_rate = f64::NAN;
    let done = run(&config, None).unwrap();
    assert_eq!((done.chosen, done.chains.len()), (0, 2));
    let [whole, four] = &done.chains[..] else { panic!("two chains") };
    assert!(whole.failed.is_none() && whole.loss.is_some());
    assert!(four.failed.is_some() && four.loss.is_none() && four.beyond.is_empty());
    assert!(four.reason(1.0).starts_with("failed: lr is NaN"), "{}", four.reason(1.0));
    assert_eq!(done.blob.bytes().len(), whole.needs.blob_bytes);
}

#[test]
fn where_nothing_came_out_the_first_failure_is_told() {
    let mut config = config();
    config.fit.learning_rate = f64::NAN;
    let eight = needs(&model(), &QuantizeOptions::default(), "cortex-m4").unwrap();
    config.budget.flash = Some(eight.blob_bytes - 1);
    let error = run(&config, None).unwrap_err();
    let CompressError::Train(TrainError::Setting { setting, .. }) = error else {
        panic!("{error}");
    };
    assert_eq!(setting, "lr");
}

#[test]
fn nothing_fits_and_the_narrowest_student_is_among_the_chains() {
    let mut config = config();
    config.budget.flash = Some(100);
    let error = run(&config, None).unwrap_err();
    let CompressError::Nothing { nearest, chains, blocked } = error else { panic!("{error}") };
    assert_eq!(chains.len(), 6);
    assert_eq!(chains.iter().filter(|chain| chain.passes.student).count(), 2);
    let least = chains.iter().map(|chain| chain.needs.blob_bytes).min().unwrap();
    assert_eq!(chains[nearest.unwrap()].needs.blob_bytes, least);
    assert!(blocked.contains(&format!("takes {least} bytes of flash")), "{blocked}");
}

#[test]
fn another_image_is_refused_before_a_chain_that_needs_none() {
    let mut config = config();
    config.image = Some("5x5".parse().unwrap());
    config.max_loss = 1e9;
    let error = run(&config, None).unwrap_err();
    assert!(matches!(error, CompressError::Train(TrainError::Image { .. })), "{error}");
    config.image = Some("4x4".parse().unwrap());
    assert_eq!(run(&config, None).unwrap().chains.len(), 1);
}

#[test]
fn a_checkpoint_that_stops_ends_the_command() {
    let path = std::env::temp_dir().join(format!("picovae-chains-{}", std::process::id()));
    let checkpoint =
        Checkpoint::open(&path, Settings::of_command("compress")).unwrap().stopping_after(1);
    let stopped = run(&config(), Some(&checkpoint)).unwrap_err();
    checkpoint.remove().unwrap();
    assert!(
        matches!(
            stopped,
            CompressError::Train(TrainError::Checkpoint(CheckpointError::Stopped { .. }))
        ),
        "{stopped}"
    );
}
