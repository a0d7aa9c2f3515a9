//! Several beginnings, of which the best is gone on with.
//!
//! At a high learning rate a network may give up dimensions of its latent in its first hundred steps, or diverge, by
//! the chance of its initial weights; what the held-out windows say after one epoch tells.

use super::checkpoint::{Beginnings, State, Watch};
use super::finetune::{FineTuneConfig, FineTuned};
use super::fit::{Training, run};
use super::{FitConfig, TrainError, TrainReport};
use crate::graph::Vae;
use crate::recording::WindowSet;

/// The weights of [`fit`](super::fit()), of the best beginning of `start` and `others`, which are networks of its
/// shape. A Gaussian keeps its precision, for who trains on before anyone asks for it.
///
/// # Errors
/// As [`super::train`]; [`TrainError::Diverged`] where every one of them did.
pub(crate) fn fit_weights(
    start: &Vae,
    others: impl ExactSizeIterator<Item = Vae>,
    data: &WindowSet<'_>,
    config: &FitConfig,
    watch: Watch<'_>,
) -> Result<(Vae, TrainReport), TrainError> {
    let config = FineTuneConfig { fit: config.clone(), quantization: None };
    let FineTuned { vae, report, .. } = run(start, others, data, None, &config, watch)?;
    Ok((vae, report))
}

/// Where the beginning with the least loss is, of equal ones the first; `state` where there is but one, or where
/// one is gone on with already. A beginning takes an epoch, or those in which the weight of the KL divergence
/// grows. What it has learnt there is what it would have alone.
pub(super) fn best(
    training: &Training<'_, '_>,
    others: impl ExactSizeIterator<Item = Vae>,
    state: State,
    watch: Watch<'_>,
) -> Result<State, TrainError> {
    let count = 1 + others.len();
    if count == 1 || matches!(state, State::Running(_)) {
        return Ok(state);
    }
    let mut tried = match state {
        State::Beginning(tried) => *tried,
        _ => Beginnings::default(),
    };
    let earlier = tried.seconds;
    let config = training.config;
    let epochs = (config.beta_warmup.ceil() as usize).clamp(1, config.epochs);
    let unkept = Watch { checkpoint: None, ..watch };
    let starts = std::iter::once(training.start.clone()).chain(others);
    for (at, start) in starts.enumerate().skip(tried.losses.len()) {
        watch.progress.set_message(format!("beginning {} of {count}", at + 1));
        let mut course = training.course(&start, None, None, State::Begun)?;
        let loss = match training.run(&mut course, epochs, unkept) {
            Ok(()) => course.loss(),
            // Another one may not.
            Err(TrainError::Diverged { loss, .. }) => loss,
            Err(error) => return Err(error),
        };
        if loss.is_finite() && loss < tried.least() {
            tried.best = Some(Box::new(course.snapshot()));
        }
        tried.losses.push(if loss.is_finite() { loss } else { f64::INFINITY });
        tried.seconds = earlier + training.begun.elapsed().as_secs_f64();
        if let Some(checkpoint) = watch.checkpoint {
            checkpoint.keep(State::Beginning(Box::new(tried.clone())))?;
        }
    }
    let Some(mut begun) = tried.best else {
        return Err(TrainError::Diverged { epoch: 1, loss: f64::INFINITY });
    };
    begun.report.starts = tried.losses;
    // Those of this process are counted on.
    begun.report.seconds = earlier;
    Ok(State::Running(begun))
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressBar;

    use super::super::finetune_tests::{fit_config, recording, shape};
    use super::super::{Normalize, Stream, fit, fit_frontend, random_vae, stream};
    use super::*;
    use crate::graph::Frontend;

    #[test]
    fn the_best_beginning_is_gone_on_with_as_if_alone() {
        let recording = recording(200, 61);
        let mut data = WindowSet::new();
        let windows = Frontend::identity(24, 24, 1);
        data.add(recording.clips(&windows).unwrap()).unwrap();
        let frontend = fit_frontend(&data, &windows, Normalize::Unit255).unwrap();
        let mut rng = stream(4, Stream::Init);
        let mut start = || random_vae(frontend.clone(), &shape(8), &mut rng).unwrap();
        let mut starts: Vec<Vae> = (0..4).map(|_| start()).collect();
        // One that diverges is passed over.
        starts[0].mu.op.parameters_mut().unwrap().0.fill(1e30);
        let bar = ProgressBar::hidden();
        let best_of = |starts: &[Vae], config: &FitConfig| {
            fit_weights(&starts[0], starts[1..].iter().cloned(), &data, config, (&bar).into())
        };
        for validation in [0.2, 0.0] {
            let config = FitConfig { validation, ..fit_config(3, 4) };
            let (vae, report) = best_of(&starts, &config).unwrap();
            assert_eq!(report.starts.len(), 4);
            assert_eq!(report.starts[0], f64::INFINITY);
            let alone = |start| fit(start, &data, &config, &bar).unwrap();
            let losses = starts[1..].iter().map(|start| {
                let first = alone(start).1.history[0];
                first.validation_loss.unwrap_or(first.train_loss)
            });
            assert!(losses.eq(report.starts[1..].iter().copied()));
            let least = report.starts.iter().copied().fold(f64::INFINITY, f64::min);
            let chosen = report.starts.iter().position(|loss| *loss == least).unwrap();
            let (same, its) = alone(&starts[chosen]);
            assert_eq!(vae, same);
            assert_eq!((report.history, report.best_epoch), (its.history, its.best_epoch));
        }
        // None is left, though the second one is no number only where it is measured.
        starts[1].encoder[0].op.parameters_mut().unwrap().0.fill(f32::MAX);
        let failed = best_of(&starts[..2], &fit_config(3, 4));
        assert!(matches!(failed, Err(TrainError::Diverged { .. })));
    }
}
