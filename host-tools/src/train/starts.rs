//! Several beginnings, of which the best is gone on with.
//!
//! At a high learning rate a network may give up dimensions of its latent in its first hundred steps, or diverge, by
//! the chance of its initial weights; what the held-out windows say after one epoch tells.

use super::checkpoint::{Snapshot, Watch};
use super::finetune::{FineTuneConfig, FineTuned};
use super::fit::{begin, go_on};
use super::{FitConfig, TrainError, TrainReport};
use crate::graph::Vae;
use crate::recording::WindowSet;

/// [`fit`](super::fit()) of the one of `starts` that has the least loss after an epoch; of equal ones, of the first.
/// Its own epochs are as if it had been the only one.
pub(super) fn fit_best(
    starts: &[Vae],
    data: &WindowSet<'_>,
    config: &FitConfig,
    watch: Watch<'_>,
) -> Result<(Vae, TrainReport), TrainError> {
    let mut losses = Vec::new();
    let mut best: Option<(&Vae, Box<Snapshot>)> = None;
    let mut diverged = None;
    let mut seconds = 0.0;
    for (at, start) in starts.iter().enumerate() {
        watch.progress.set_message(format!("start {} of {}", at + 1, starts.len()));
        let begun = match begin(start, data, config, watch) {
            Ok(begun) => begun,
            // Another one may not.
            Err(error @ TrainError::Diverged { .. }) => {
                losses.push(f64::INFINITY);
                diverged = Some(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        losses.push(begun.loss());
        seconds += begun.report.seconds;
        if best.as_ref().is_none_or(|(_, best)| begun.loss() < best.loss()) {
            best = Some((start, begun));
        }
    }
    let Some((start, mut begun)) = best else {
        return Err(diverged.unwrap_or(TrainError::TooFewWindows { windows: data.len() }));
    };
    begun.report.starts = losses;
    begun.report.seconds = seconds;
    let config = FineTuneConfig { fit: config.clone(), quantization: None };
    let FineTuned { vae, report, .. } = go_on(start, data, None, &config, Some(begun), watch)?;
    Ok((vae, report))
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
        for validation in [0.2, 0.0] {
            let config = FitConfig { validation, ..fit_config(3, 4) };
            let (vae, report) = fit_best(&starts, &data, &config, (&bar).into()).unwrap();
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
        let failed = fit_best(&starts[..1], &data, &fit_config(3, 4), (&bar).into());
        assert!(matches!(failed, Err(TrainError::Diverged { .. })));
    }
}
