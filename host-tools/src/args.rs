//! The command line as a whole, and arguments that several verbs share. What
//! belongs to one verb alone stands in that verb's file.

use crate::commands;
use clap::{Args, Parser, Subcommand};
use miette::{Diagnostic, IntoDiagnostic, WrapErr};
use picovae::graph::Frontend;
use picovae::recording::{Clips, Labels, Recording, Rows, WindowSet};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Trains, compresses and simulates variational autoencoders for
/// microcontrollers.
#[derive(Debug, Parser)]
#[command(name = "picovae", version, propagate_version = true)]
#[command(after_help = "Exit codes: 0 good, 1 a gate failed, 2 the tool failed.")]
pub struct Cli {
    /// Print one JSON object instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// One verb a variant; each has its file under `commands/`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List boards; with a blob, whether it fits them and how long it takes.
    Boards(commands::boards::BoardsArgs),
    /// Give a finished blob another threshold, from recordings of normal operation.
    Calibrate(commands::calibrate::CalibrateArgs),
    /// Bring a model under a budget by the cheapest chain of passes.
    Compress(Box<commands::compress::CompressArgs>),
    /// Run two models layer by layer and say where they part.
    Diff(commands::diff::DiffArgs),
    /// Teach a small model what a large one knows.
    Distill(commands::distill::DistillArgs),
    /// Judge a model on labelled recordings: ROC AUC, F1, false alarms, ELBO.
    Eval(commands::eval::EvalArgs),
    /// From recordings of normal operation to a detector, in one step.
    Fit(Box<commands::fit::FitArgs>),
    /// Train a model further, in the device's integers if asked for.
    Finetune(commands::finetune::FineTuneArgs),
    /// Build a board's firmware around a blob and write it to the board.
    Flash(commands::flash::FlashArgs),
    /// Decode draws from the prior into a picture.
    Generate(commands::generate::GenerateArgs),
    /// Teach a blob known states of the machine, so that an alarm says which it resembles.
    Heads(commands::heads::HeadsArgs),
    /// Bring a model of another tool: PyTorch, ONNX, Keras, TensorFlow Lite.
    Import(commands::import::ImportArgs),
    /// Show a model's layers, sizes and needs.
    Inspect(commands::inspect::InspectArgs),
    /// Remove whole neurons and channels, the least important first.
    Prune(commands::prune::PruneArgs),
    /// Quantize float weights to a calibrated blob.
    Quantize(commands::quantize::QuantizeArgs),
    /// Show a float model beside its blob, as one HTML page.
    Report(commands::report::ReportArgs),
    /// Search for a smaller network under budgets of flash, RAM and time.
    Search(Box<commands::search::SearchArgs>),
    /// Score recordings exactly as a board would.
    Simulate(commands::simulate::SimulateArgs),
    /// Simulate a rotating machine, healthy or faulty, as a recording.
    Synth(commands::synth::SynthArgs),
    /// Train a VAE on normal recordings.
    Train(commands::train::TrainArgs),
}

/// Recordings and which part of them to use.
#[derive(Debug, Clone, Args)]
pub struct DataArgs {
    /// Recordings: CSV, NPY or IDX, gzipped or not.
    #[arg(required = true, value_name = "DATA")]
    pub data: Vec<PathBuf>,
    /// Use these rows (first axis) of each recording, e.g. 0..500.
    #[arg(long, value_name = "A..B")]
    pub rows: Option<Rows>,
    /// Use these columns of CSV recordings, by name or number.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Labels of the recordings, one file each: CSV (column `label` or a
    /// single one), NPY or IDX; a label a clip, window or frame.
    #[arg(long, value_name = "FILE")]
    pub labels: Vec<PathBuf>,
    /// Column of the label file.
    #[arg(long, value_name = "NAME", requires = "labels")]
    pub label_column: Option<String>,
}

/// Something wrong with how arguments go together.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ArgsError {
    /// Label files and recordings do not pair up.
    #[error("{labels} label files for {data} recordings")]
    #[diagnostic(help("give --labels once for each recording, in the same order"))]
    LabelFiles {
        /// Label files given.
        labels: usize,
        /// Recordings given.
        data: usize,
    },
}

/// A recording with its labels, read and cut to the rows asked for.
#[derive(Debug)]
pub struct Loaded {
    /// The recording.
    pub recording: Recording,
    /// Its labels, where given.
    pub labels: Option<Labels>,
}

impl DataArgs {
    /// The files.
    pub fn paths(&self) -> Vec<&Path> {
        self.data.iter().chain(&self.labels).map(PathBuf::as_path).collect()
    }

    /// Reads all recordings and labels.
    pub fn load(&self) -> miette::Result<Vec<Loaded>> {
        if !self.labels.is_empty() && self.labels.len() != self.data.len() {
            return Err(
                ArgsError::LabelFiles { labels: self.labels.len(), data: self.data.len() }.into()
            );
        }
        let mut loaded = Vec::with_capacity(self.data.len());
        for (i, path) in self.data.iter().enumerate() {
            let mut recording = Recording::read(path, &self.columns)?;
            let mut labels = match self.labels.get(i) {
                Some(path) => Some(Labels::read(path, self.label_column.as_deref())?),
                None => None,
            };
            if let Some(rows) = self.rows {
                let all = recording.rows();
                recording = recording.select_rows(rows)?;
                labels = match labels {
                    Some(labels) => Some(labels.select_rows(rows, all)?),
                    None => None,
                };
            }
            loaded.push(Loaded { recording, labels });
        }
        Ok(loaded)
    }
}

/// All windows of the recordings; with labels, those labeled `keep`, or 0.
pub fn window_set<'a>(
    loaded: &'a [Loaded],
    frontend: &Frontend,
    keep: Option<i64>,
) -> miette::Result<WindowSet<'a>> {
    let mut set = WindowSet::new();
    for one in loaded {
        let clips: Clips<'a> = one.recording.clips(frontend)?;
        match &one.labels {
            Some(labels) => {
                let aligned = labels.align(&clips)?;
                // Normal data are labeled 0 unless said otherwise.
                set.add_where(clips, |window| aligned.windows[window] == keep.unwrap_or(0))?;
            }
            None => set.add(clips)?,
        }
    }
    Ok(set)
}

/// SHA-256 of the files one after the other, lower-case hex.
pub fn sha256_of(paths: &[PathBuf]) -> miette::Result<String> {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for path in paths {
        // Recordings need not fit memory.
        let name = || path.display().to_string();
        let mut file = std::fs::File::open(path).into_diagnostic().wrap_err_with(name)?;
        let mut piece = vec![0; 1 << 16];
        loop {
            let read = file.read(&mut piece).into_diagnostic().wrap_err_with(name)?;
            if read == 0 {
                break;
            }
            hash.update(&piece[..read]);
        }
    }
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

/// The last part of a path, for reports and provenance: folders of one
/// machine mean nothing on another.
pub fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into())
}

/// This process's command line, with paths cut to file names.
pub fn command_line() -> String {
    let arguments = std::env::args().enumerate().map(|(i, argument)| {
        let path = Path::new(&argument);
        let shown = if i == 0 {
            "picovae".to_string()
        } else if argument.contains(std::path::MAIN_SEPARATOR) {
            file_name(path)
        } else {
            argument
        };
        if shown.contains(char::is_whitespace) { format!("'{shown}'") } else { shown }
    });
    arguments.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use clap::CommandFactory;

    use super::Cli;

    /// Clap checks it itself, but not where dependencies are built without their assertions.
    #[test]
    fn no_verb_has_two_options_of_one_name() {
        let mut cli = Cli::command();
        cli.build();
        for verb in cli.get_subcommands() {
            let (mut ids, mut names) = (HashSet::new(), HashSet::new());
            for option in verb.get_arguments() {
                let id = option.get_id().as_str();
                assert!(ids.insert(id), "{}: two arguments {id}", verb.get_name());
                let aliases = option.get_all_aliases().unwrap_or_default();
                for name in option.get_long().into_iter().chain(aliases) {
                    assert!(names.insert(name.to_string()), "{}: two --{name}", verb.get_name());
                }
            }
        }
    }
}
