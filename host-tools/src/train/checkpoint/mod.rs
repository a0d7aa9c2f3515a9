//! What a command that trains leaves behind at every epoch, so that it goes on where it was stopped.
//!
//! A command may train several times (`prune` in rounds, `compress` in chains): its [`Checkpoint`]
//! keeps the results of the trainings that ended, in their order, and the state of the one that runs.
//! Run again, the command comes to the same trainings, for everything between them is deterministic;
//! [`finetune`](super::finetune) takes the results, goes on in the middle, or begins. What comes out has
//! the bits of an uninterrupted run.
//!
//! A checkpoint of another command, of other data or of another model is refused by the setting that differs.

mod error;
mod file;
mod settings;
mod snapshot;

pub use error::CheckpointError;
pub use settings::Settings;
pub(super) use snapshot::{Beginnings, Grids, Outcome, Snapshot, Weights};

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use super::TrainError;

/// Who looks after a training: a progress bar, and a checkpoint where one is kept.
///
/// A `&ProgressBar` is one by itself.
#[derive(Debug, Clone, Copy)]
pub struct Watch<'w> {
    /// Steps, and a message an epoch.
    pub progress: &'w ProgressBar,
    /// Where the state is kept.
    pub checkpoint: Option<&'w Checkpoint>,
}

impl<'w> From<&'w ProgressBar> for Watch<'w> {
    fn from(progress: &'w ProgressBar) -> Self {
        Self { progress, checkpoint: None }
    }
}

/// The file of one command.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    contents: RefCell<Contents>,
    /// Trainings that this process has come to.
    come_to: Cell<usize>,
    /// Epochs until it stops, in tests.
    left: Cell<Option<usize>>,
}

/// All of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Contents {
    command: Settings,
    trainings: Vec<Training>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Training {
    settings: Settings,
    state: State,
}

/// How far a training is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum State {
    /// Before the end of its first epoch.
    Begun,
    /// Between two of the beginnings that are tried.
    Beginning(Box<Beginnings>),
    /// Between two epochs.
    Running(Box<Snapshot>),
    /// Done.
    Finished(Box<Outcome>),
}

impl Checkpoint {
    /// The checkpoint at `path`: what is there, or an empty one.
    ///
    /// `command` is whatever decides what the command does, beside data and model.
    ///
    /// # Errors
    /// [`CheckpointError`]: an unreadable or damaged file, or that of another command.
    pub fn open(path: &Path, command: Settings) -> Result<Self, CheckpointError> {
        let contents = match file::read::<Contents>(path)? {
            Some(contents) => {
                contents.command.must_equal(&command, path)?;
                contents
            }
            None => Contents { command, trainings: Vec::new() },
        };
        Ok(Self {
            path: path.to_path_buf(),
            contents: RefCell::new(contents),
            come_to: Cell::new(0),
            left: Cell::new(None),
        })
    }

    /// For tests: every training fails with [`CheckpointError::Stopped`] once so many epochs, of all
    /// trainings together, have been run and kept.
    #[cfg(test)]
    pub(crate) fn stopping_after(self, epochs: usize) -> Self {
        Self { left: Cell::new(Some(epochs)), ..self }
    }

    /// Removes the file, once what the command makes is written.
    ///
    /// # Errors
    /// [`CheckpointError::Write`].
    pub fn remove(self) -> Result<(), CheckpointError> {
        match std::fs::remove_file(&self.path) {
            // A command that had nothing to train never wrote it.
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(CheckpointError::Write { path: self.path, source })
            }
            _ => Ok(()),
        }
    }

    /// The next training of the command, of these settings: how far it is.
    pub(super) fn begin(&self, settings: Settings) -> Result<State, TrainError> {
        let at = self.come_to.replace(self.come_to.get() + 1);
        let mut contents = self.contents.borrow_mut();
        if let Some(training) = contents.trainings.get(at) {
            training.settings.must_equal(&settings, &self.path)?;
            return Ok(training.state.clone());
        }
        contents.trainings.push(Training { settings, state: State::Begun });
        Ok(State::Begun)
    }

    /// Keeps the state of the training that runs.
    pub(super) fn keep(&self, state: State) -> Result<(), TrainError> {
        let mut contents = self.contents.borrow_mut();
        if let Some(training) = contents.trainings.get_mut(self.come_to.get().wrapping_sub(1)) {
            training.state = state;
        }
        file::write(&self.path, &*contents)?;
        if let Some(left) = self.left.get() {
            self.left.set(Some(left.saturating_sub(1)));
            if left <= 1 {
                return Err(CheckpointError::Stopped { path: self.path.clone() }.into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
