//! What can be wrong with a model file.

use crate::graph::GraphError;
use std::path::PathBuf;

/// Why a model file could not be read or written.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum ImportError {
    /// The file could not be read or written.
    #[error("{}: {source}", path.display())]
    #[diagnostic(help("check the path and its permissions"))]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Not a file of its format, or a damaged one.
    #[error("{}: not a readable {format} file: {reason}", path.display())]
    #[diagnostic(help("{remedy}"))]
    Container {
        /// The file.
        path: PathBuf,
        /// What it was taken for.
        format: &'static str,
        /// What is wrong.
        reason: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The `picovae` metadata of the file cannot be read.
    #[error("{}: metadata: {reason}", path.display())]
    #[diagnostic(help(
        "the file says it was written by picovae: write it again with this version"
    ))]
    Metadata {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Tensors that cannot be used: every one of them, each with its remedy.
    #[error("{}: {}", path.display(), summary(problems))]
    #[diagnostic(help("all problems are listed; correct them and import again"))]
    Problems {
        /// The file.
        path: PathBuf,
        /// At least one.
        #[related]
        problems: Vec<Problem>,
    },
    /// The tensors are readable, but make no model.
    #[error("{}: {source}", path.display())]
    Graph {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        #[source]
        #[diagnostic_source]
        source: GraphError,
    },
}

/// Problems that are listed, at most: a file with more was made to have them.
const MAX_PROBLEMS: usize = 200;

impl ImportError {
    /// The same with the first of very many problems.
    pub(super) fn in_short(mut self) -> Self {
        if let Self::Problems { problems, .. } = &mut self
            && let Some(more) = problems.len().checked_sub(MAX_PROBLEMS).filter(|more| *more > 0)
        {
            problems.truncate(MAX_PROBLEMS);
            let reason = format!("{more} more problems are not listed");
            problems.push(Problem::new("file", reason, "correct those above, and import again"));
        }
        self
    }
}

/// One thing that is wrong with a model file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("`{subject}`: {reason}")]
#[diagnostic(help("{remedy}"))]
pub struct Problem {
    /// Tensor or layer.
    pub subject: String,
    /// What is wrong with it.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    pub(super) fn new(
        subject: impl Into<String>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { subject: subject.into(), reason: reason.into(), remedy: remedy.into() }
    }
}

fn summary(problems: &[Problem]) -> String {
    let list: Vec<String> = problems.iter().map(Problem::to_string).collect();
    let noun = if list.len() == 1 { "problem" } else { "problems" };
    format!("{} {noun}: {}", list.len(), list.join("; "))
}
