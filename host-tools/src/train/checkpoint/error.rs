//! Why a command cannot go on from a checkpoint, or leave one.

use std::path::PathBuf;

/// Something is wrong with a checkpoint.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file is there and cannot be read.
    #[error("{path}: cannot read the checkpoint: {source}", path = path.display())]
    #[diagnostic(help("check its permissions, or give --checkpoint another file"))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file cannot be written or removed.
    #[error("{path}: cannot write the checkpoint: {source}", path = path.display())]
    #[diagnostic(help(
        "give --checkpoint a file in a folder that exists, has room and can be written"
    ))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What is there is no whole checkpoint of this version.
    #[error("{path}: {reason}", path = path.display())]
    #[diagnostic(help("remove it to begin anew, or give --checkpoint another file"))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It was left by a command that does something else.
    #[error(
        "{path}: left by a command with another `{setting}`: it was {before}, now it is {now}",
        path = path.display()
    )]
    #[diagnostic(help(
        "run the command that left it, remove it to begin anew, or give --checkpoint another file"
    ))]
    Differs {
        /// The file.
        path: PathBuf,
        /// The first setting that differs.
        setting: String,
        /// Its value in the checkpoint.
        before: String,
        /// Its value now.
        now: String,
    },
    /// A test had it stopped here.
    #[error("{path}: stopped as asked", path = path.display())]
    #[diagnostic(help("run the same command again: it goes on from here"))]
    Stopped {
        /// The file.
        path: PathBuf,
    },
}
