//! A worker: takes jobs from the study until none is left.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use indicatif::ProgressBar;

use super::candidate::Candidate;
use super::schedule::{Job, Rules, next};
use super::space::Space;
use super::study::{Study, StudyError, Trial};
use super::trial::{Task, TrialError};
use crate::graph::Vae;
use crate::import::{ForeignOptions, ImportError, parse_safetensors, to_safetensors};
use crate::needs::{Needs, needs};

/// Hard limits; a candidate beyond one is never trained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Budget {
    /// Bytes of the blob.
    pub flash: Option<usize>,
    /// Bytes of the arena.
    pub ram: Option<usize>,
    /// Instructions of an inference on the target.
    pub instructions: Option<u64>,
}

/// Which limit a model is beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// [`Budget::flash`].
    Flash,
    /// [`Budget::ram`].
    Ram,
    /// [`Budget::instructions`].
    Instructions,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Flash => "flash",
            Self::Ram => "RAM",
            Self::Instructions => "instructions",
        })
    }
}

impl Budget {
    /// The limits that `needs` are beyond. Where there is no prediction of
    /// instructions, a limit on them is not kept.
    pub fn broken(&self, needs: &Needs) -> Vec<Limit> {
        let mut broken = Vec::new();
        if self.flash.is_some_and(|limit| needs.blob_bytes > limit) {
            broken.push(Limit::Flash);
        }
        if self.ram.is_some_and(|limit| needs.arena_bytes > limit) {
            broken.push(Limit::Ram);
        }
        let time = |limit| needs.instructions.is_none_or(|needed| needed > limit);
        if self.instructions.is_some_and(time) {
            broken.push(Limit::Instructions);
        }
        broken
    }
}

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
        let start = match rung {
            0 => None,
            _ => weights(study, trial, rung - 1)?,
        };
        let parent = match parent {
            Some(parent) if rung == 0 => weights(study, parent, 0)?,
            _ => None,
        };
        let seed = rules.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(trial as u64);
        let run = || task.run(&candidate, rung, start, parent.as_ref(), seed, progress);
        let outcome = alive(open, trial, &worker, run);
        match outcome {
            Ok((vae, figures)) => {
                let bytes = to_safetensors("trial".as_ref(), &vae)?;
                study.finish(trial, rung, &worker, &figures, &bytes)?;
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

fn weights(study: &mut Study, trial: i64, rung: usize) -> Result<Option<Vae>, SearchError> {
    let Some(bytes) = study.weights(trial, rung)? else { return Ok(None) };
    let name = format!("trial-{trial}");
    Ok(Some(parse_safetensors(name.as_ref(), &bytes, &ForeignOptions::default())?))
}

/// The best trial: of those trained longest, the first front by quality, and of it the
/// one with the least loss; and its weights.
///
/// # Errors
/// [`SearchError::Nothing`].
pub fn best(study: &mut Study) -> Result<(Trial, Vae), SearchError> {
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
    let vae = weights(study, best.id, rung - 1)?;
    let reason = || SearchError::Nothing { reason: "the best trial's weights are gone".into() };
    Ok((best.clone(), vae.ok_or_else(reason)?))
}

/// A name no other worker has: host, process, and a random number.
fn name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}-{:08x}", host.trim(), std::process::id(), rand::random::<u32>())
}
