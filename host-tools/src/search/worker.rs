//! A worker: takes jobs from the study until none is left.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use indicatif::ProgressBar;

use super::budget::Budget;
use super::candidate::Candidate;
use super::figures::Figures;
use super::schedule::{Job, Rules, next};
use super::space::Space;
use super::study::{Study, StudyError, Trial};
use super::trial::{Task, TrialError};
use crate::graph::Vae;
use crate::import::{
    ForeignOptions, ImportError, parse_safetensors, parse_settled, to_trained_safetensors,
};
use crate::needs::needs;
use crate::quantize::Settled;

/// Why a search stopped.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum SearchError {
    /// The study.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Study(#[from] StudyError),
    /// A trial's weights.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Import(#[from] ImportError),
    /// Nothing that was drawn keeps the budgets, or every trial failed.
    #[error("no network was found: {reason}")]
    #[diagnostic(help("raise --flash, --ram or --instructions, or shorten the window"))]
    Nothing {
        /// Why.
        reason: String,
    },
}

/// A worker hears nothing for so long between its heartbeats.
const BEAT: Duration = Duration::from_secs(10);
/// Between two looks at a study with nothing to do.
const PAUSE: Duration = Duration::from_millis(500);

/// Works on a study until it is finished.
///
/// # Errors
/// [`SearchError`]; a trial that fails is noted in the study and is none.
pub fn work(
    study: &mut Study,
    open: &(dyn Fn() -> Result<Study, StudyError> + Sync),
    task: &Task<'_>,
    space: &Space,
    rules: &Rules,
    budget: &Budget,
    progress: &ProgressBar,
) -> Result<(), SearchError> {
    let worker = name();
    let fits = |candidate: &Candidate| {
        let Ok(vae) = task.network(candidate, 0) else { return false };
        // Half a byte a parameter is the least; planning takes longer than seeing that.
        if budget.flash.is_some_and(|limit| vae.params() / 2 > limit) {
            return false;
        }
        let options = task.options(candidate, &vae);
        needs(&vae, &options, &task.detector.target)
            .is_ok_and(|needs| budget.broken(&needs).is_empty())
    };
    loop {
        let (trial, candidate, parent, rung) = match next(study, space, rules, &worker, &fits)? {
            Job::Train { trial, candidate, parent, rung } => (trial, candidate, parent, rung),
            Job::Wait => {
                std::thread::sleep(PAUSE);
                continue;
            }
            Job::Finished => return Ok(()),
        };
        progress.set_message(format!("trial {trial} rung {rung}: {candidate}"));
        // Training in integers chooses its ranges anew: those of the rung before are not needed.
        let start = match rung {
            0 => None,
            _ => weights(study, trial, rung - 1)?.map(|(vae, _)| vae),
        };
        let parent = match parent {
            Some(parent) if rung == 0 => weights(study, parent, 0)?.map(|(vae, _)| vae),
            _ => None,
        };
        let seed = rules.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(trial as u64);
        let run = || task.run(&candidate, rung, start, parent.as_ref(), seed, progress);
        let outcome = alive(open, trial, &worker, run).and_then(|trained| {
            // What the planner foresaw is not what counts.
            match budget.excess(&trained.figures.needs()) {
                None => Ok(trained),
                Some(excess) => Err(TrialError::Budget { excess }),
            }
        });
        match outcome {
            Ok(trained) => {
                let settled = trained.settled.as_ref();
                let bytes = to_trained_safetensors("trial".as_ref(), &trained.vae, settled)?;
                study.finish(trial, rung, &worker, &trained.figures, &bytes)?;
            }
            Err(error) => {
                study.fail(trial, &worker, &error.to_string())?;
            }
        }
    }
}

/// Runs `f` while a thread with its own connection tells the study that this worker lives.
fn alive<T>(
    open: &(dyn Fn() -> Result<Study, StudyError> + Sync),
    trial: i64,
    worker: &str,
    f: impl FnOnce() -> Result<T, TrialError>,
) -> Result<T, TrialError> {
    let (end, ended) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // Without a connection there is no heartbeat; the trial may be taken over.
            let Ok(mut study) = open() else { return };
            while ended.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                // Where the claim is lost, `finish` will say so.
                if !study.beat(trial, worker).unwrap_or(true) {
                    return;
                }
            }
        });
        let outcome = f();
        drop(end);
        outcome
    })
}

/// A finished rung's weights, and what training settled on where it was in integers.
type Weights = (Vae, Option<Settled>);

fn weights(study: &mut Study, trial: i64, rung: usize) -> Result<Option<Weights>, SearchError> {
    let Some(bytes) = study.weights(trial, rung)? else { return Ok(None) };
    let name = format!("trial-{trial}");
    let vae = parse_safetensors(name.as_ref(), &bytes, &ForeignOptions::default())?;
    Ok(Some((vae, parse_settled(name.as_ref(), &bytes)?)))
}

/// What a search found.
#[derive(Debug, Clone)]
pub struct Best {
    /// The trial.
    pub trial: Trial,
    /// Its figures after its last rung.
    pub figures: Figures,
    /// Its float weights.
    pub vae: Vae,
    /// What makes the integers of them that were measured; `None` where calibration does.
    pub settled: Option<Settled>,
}

/// The best trial: of those trained longest, the first front by quality, and of it the
/// one with the least loss; and its weights.
///
/// # Errors
/// [`SearchError::Nothing`].
pub fn best(study: &mut Study) -> Result<Best, SearchError> {
    let trials = study.trials()?;
    let rung = trials.iter().map(|trial| trial.figures.len()).max().unwrap_or(0);
    let loss = |trial: &&Trial| trial.figures.last().map_or(f64::INFINITY, |f| f.loss);
    let longest = trials.iter().filter(|t| rung > 0 && t.figures.len() == rung);
    let Some(best) = longest.min_by(|a, b| loss(a).total_cmp(&loss(b))) else {
        let reason = match trials.iter().find(|trial| !trial.note.is_empty()) {
            Some(trial) => format!("all {} trials failed, one with: {}", trials.len(), trial.note),
            None => "nothing that was drawn keeps the budgets".into(),
        };
        return Err(SearchError::Nothing { reason });
    };
    let found = weights(study, best.id, rung - 1)?.zip(best.figures.last());
    let reason = || SearchError::Nothing { reason: "the best trial's weights are gone".into() };
    let ((vae, settled), figures) = found.ok_or_else(reason)?;
    Ok(Best { trial: best.clone(), figures: *figures, vae, settled })
}

/// A name no other worker has: host, process, and a random number.
fn name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}-{:08x}", host.trim(), std::process::id(), rand::random::<u32>())
}
