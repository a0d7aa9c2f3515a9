//! Stopped after every epoch there is, and gone on: the same bits.

use std::path::PathBuf;

use indicatif::ProgressBar;

use super::super::finetune_tests::{fit_config, recording, shape, teacher};
use super::super::{
    FineTuneConfig, FineTuned, FitConfig, Normalize, Teacher, TeacherConfig, TrainConfig, finetune,
    student, train,
};
use super::*;
use crate::compress::{PruneConfig, prune};
use crate::graph::{Frontend, Vae};
use crate::quantize::{QuantizeOptions, WeightBits};
use crate::recording::{Recording, WindowSet};

fn windows(recording: &Recording) -> WindowSet<'_> {
    let mut data = WindowSet::new();
    data.add(recording.clips(&Frontend::identity(24, 24, 1)).unwrap()).unwrap();
    data
}

/// A file that the test removes.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("picovae-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Self(path)
    }

    fn open(&self) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::open(&self.0, Settings::of_command("test"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Runs `train` in processes that end after an epoch each, until one of them is through.
fn piecewise<T>(
    file: &Scratch,
    epochs: usize,
    train: impl Fn(Watch<'_>) -> Result<T, TrainError>,
) -> T {
    let bar = ProgressBar::hidden();
    for _ in 1..epochs {
        let checkpoint = file.open().unwrap().stopping_after(1);
        let stopped = train(Watch { progress: &bar, checkpoint: Some(&checkpoint) });
        let stopped = stopped.err().expect("it ends too early");
        assert!(
            matches!(stopped, TrainError::Checkpoint(CheckpointError::Stopped { .. })),
            "{stopped}"
        );
    }
    let checkpoint = file.open().unwrap();
    let done = train(Watch { progress: &bar, checkpoint: Some(&checkpoint) }).unwrap();
    // Once more: nothing is left to be trained.
    let checkpoint = file.open().unwrap().stopping_after(1);
    assert!(train(Watch { progress: &bar, checkpoint: Some(&checkpoint) }).is_ok());
    checkpoint.remove().unwrap();
    assert!(!file.0.exists());
    done
}

fn assert_same(a: &FineTuned, b: &FineTuned) {
    assert_eq!((&a.vae, &a.settled), (&b.vae, &b.settled));
    assert_eq!((&a.report.history, a.report.best_epoch), (&b.report.history, b.report.best_epoch));
    assert_eq!((a.report.steps, a.report.epochs), (b.report.steps, b.report.epochs));
}

#[test]
fn stopped_trainings_give_the_same_bits() {
    let recording = recording(96, 51);
    let data = windows(&recording);
    let start = teacher(&data, 8, 2);
    let learner = student(&start, &shape(6), 3).unwrap();
    let four =
        QuantizeOptions { weight_bits: WeightBits::uniform(4), ..QuantizeOptions::default() };
    let lessons = TeacherConfig { spliced: 0.2, prior: 0.2, ..TeacherConfig::default() };
    for (with_teacher, quantization) in
        [(false, None), (false, Some(four.clone())), (true, Some(four))]
    {
        let fit = FitConfig {
            input_noise: 0.02,
            input_dropout: 0.05,
            patience: Some(2),
            weight_decay: 0.01,
            ..fit_config(4, 6)
        };
        let config = FineTuneConfig { fit, quantization };
        let teacher = with_teacher.then_some(Teacher { vae: &start, config: lessons });
        let train = |watch: Watch<'_>| finetune(&learner, &data, teacher, &config, watch);
        let whole = train((&ProgressBar::hidden()).into()).unwrap();
        let file = Scratch::new("pieces");
        assert_same(&whole, &piecewise(&file, whole.report.epochs, train));
    }
}

#[test]
fn beginnings_that_were_tried_are_not_tried_again() {
    let recording = recording(96, 54);
    let data = windows(&recording);
    let config = TrainConfig {
        starts: 3,
        architecture: shape(8),
        normalize: Normalize::Unit255,
        fit: fit_config(4, 6),
    };
    let frontend = Frontend::identity(24, 24, 1);
    let train = |watch: Watch<'_>| train(&data, &frontend, &config, watch);
    let (whole, report) = train((&ProgressBar::hidden()).into()).unwrap();
    // An epoch of each, and three more of the best.
    let (pieces, in_pieces) = piecewise(&Scratch::new("starts"), 6, train);
    assert_eq!(whole, pieces);
    assert_eq!((report.starts, report.history), (in_pieces.starts, in_pieces.history));
}

#[test]
fn rounds_that_ended_are_not_trained_again() {
    let recording = recording(96, 52);
    let data = windows(&recording);
    let start = teacher(&data, 12, 2);
    let config =
        PruneConfig { keep: 0.5, rounds: 3, fit: fit_config(1, 4), ..PruneConfig::default() };
    let train = |watch: Watch<'_>| match prune(&start, &data, &config, watch) {
        Ok(pruned) => Ok(pruned),
        Err(crate::compress::PruneError::Train(error)) => Err(error),
        Err(error) => panic!("{error}"),
    };
    let whole = train((&ProgressBar::hidden()).into()).unwrap();
    // One epoch a round, two in the last one.
    let pieces = piecewise(&Scratch::new("rounds"), 4, train);
    assert_eq!(whole, pieces);
}

#[test]
fn what_differs_is_named_and_damage_is_refused() {
    let recording = recording(64, 53);
    let data = windows(&recording);
    let start = teacher(&data, 6, 1);
    let file = Scratch::new("refused");
    let attempt = |start: &Vae, data: &WindowSet<'_>, fit: FitConfig, stop: bool| {
        let checkpoint = file.open()?;
        let checkpoint = if stop { checkpoint.stopping_after(1) } else { checkpoint };
        let bar = ProgressBar::hidden();
        let watch = Watch { progress: &bar, checkpoint: Some(&checkpoint) };
        finetune(start, data, None, &FineTuneConfig { fit, quantization: None }, watch)
    };
    assert!(attempt(&start, &data, fit_config(3, 1), true).is_err());
    let setting = |result: Result<FineTuned, TrainError>| match result {
        Err(TrainError::Checkpoint(CheckpointError::Differs { setting, .. })) => setting,
        other => panic!("{other:?}"),
    };
    let slower = FitConfig { learning_rate: 1e-4, ..fit_config(3, 1) };
    assert_eq!(setting(attempt(&start, &data, slower, false)), "learning_rate");
    assert_eq!(setting(attempt(&start, &data, fit_config(4, 1), false)), "epochs");
    let fewer = data.subset(&(0..50).collect::<Vec<_>>());
    assert_eq!(setting(attempt(&start, &fewer, fit_config(3, 1), false)), "data");
    let mut other = start.clone();
    other.mu.op.parameters_mut().unwrap().0[0] += 0.1;
    assert_eq!(setting(attempt(&other, &data, fit_config(3, 1), false)), "model");
    let of_other = Checkpoint::open(&file.0, Settings::of_command("prune"));
    let said = of_other.unwrap_err().to_string();
    assert!(said.contains("another `command`: it was test, now it is prune"), "{said}");

    let mut bytes = std::fs::read(&file.0).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file.0, &bytes).unwrap();
    assert!(file.open().unwrap_err().to_string().contains("damaged"));
    std::fs::write(&file.0, &bytes[..30]).unwrap();
    assert!(file.open().unwrap_err().to_string().contains("cut short"));
    std::fs::write(&file.0, b"something else altogether").unwrap();
    assert!(file.open().unwrap_err().to_string().contains("not a checkpoint"));
}
