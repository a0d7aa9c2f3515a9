//! `--checkpoint FILE`: a command that trains goes on where it was stopped.

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use picovae::train::{Checkpoint, Settings, Watch};

use super::progress;

/// Where the state of a training is kept.
#[derive(Debug, Clone, Args)]
pub struct CheckpointArgs {
    /// Keep the state here at every epoch; the same command with the file there goes on where it
    /// stopped, to the same bits. Removed once the output is written.
    #[arg(long, value_name = "FILE", help_heading = "Training")]
    checkpoint: Option<PathBuf>,
}

/// A training's progress bar and checkpoint.
#[derive(Debug)]
pub struct Watched {
    bar: ProgressBar,
    checkpoint: Option<Checkpoint>,
}

impl CheckpointArgs {
    /// The file, for [`Outputs`](super::outputs::Outputs).
    pub fn path(&self) -> Option<&Path> {
        self.checkpoint.as_deref()
    }

    /// A bar, and the checkpoint if one is asked for; `command` is what decides the result.
    pub fn watch(&self, command: Settings) -> miette::Result<Watched> {
        let checkpoint = match &self.checkpoint {
            Some(path) => Some(Checkpoint::open(path, command)?),
            None => None,
        };
        Ok(Watched { bar: progress::steps(), checkpoint })
    }
}

impl Watched {
    /// For the library.
    pub fn watch(&self) -> Watch<'_> {
        Watch { progress: &self.bar, checkpoint: self.checkpoint.as_ref() }
    }

    /// Once the output is written: nobody needs the checkpoint any more.
    pub fn done(self) -> miette::Result<()> {
        match self.checkpoint {
            Some(checkpoint) => Ok(checkpoint.remove()?),
            None => Ok(()),
        }
    }
}
