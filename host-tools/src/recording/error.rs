//! What can be wrong with a recording or its labels.

use super::label_words;
use std::path::PathBuf;

/// Why a recording could not be read or windowed. Every variant names the
/// file; the help says what to do about it.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum RecordingError {
    /// The file could not be read or written.
    #[error("{}: {source}", path.display())]
    #[diagnostic(help("check the path and its permissions"))]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Neither NPY nor IDX nor text, or a broken header.
    #[error("{}: {reason}", path.display())]
    #[diagnostic(help(
        "recordings are CSV (`,`, `;`, `|`, tab or blanks), NPY or NPZ (u1, i1, i2, i4, f2, f4, f8), WAV, Parquet (snappy, gzip, zstd) or IDX, gzipped or not; \
         samples without a header are read with --raw-input"
    ))]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The header promises more (or less) than the file holds.
    #[error("{}: the header promises {expected} {unit}, the file holds {found}", path.display())]
    #[diagnostic(help("the file is truncated or its header is damaged: copy or record it again"))]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What the header promises.
        expected: u64,
        /// What there is.
        found: u64,
        /// Of what.
        unit: &'static str,
    },
    /// A sample is NaN or infinite.
    #[error("{}: row {row}, column {column} is {value}", path.display())]
    #[diagnostic(help(
        "remove that row or fill the gap before scoring; a detector cannot tell a missing sample from a fault"
    ))]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// Index along the first axis, from 0; for CSV the line, from 1.
        row: usize,
        /// Remaining indices, or the column's name.
        column: String,
        /// The value.
        value: f32,
    },
    /// A cell of a CSV file is not a number.
    #[error("{}: line {line}, column {column}: `{cell}` is not a number", path.display())]
    #[diagnostic(help(
        "correct the cell, or name the columns to read with --columns; decimal commas are read where `;` or tab separates"
    ))]
    NotANumber {
        /// The file.
        path: PathBuf,
        /// Line of the file, from 1.
        line: u64,
        /// The column's name.
        column: String,
        /// What it holds.
        cell: String,
    },
    /// A line of a CSV file is shorter or longer than the first.
    #[error("{}: line {line} has {found} fields, the first one has {expected}", path.display())]
    #[diagnostic(help("correct that line; a recording that was cut off can be used without it"))]
    Ragged {
        /// The file.
        path: PathBuf,
        /// Line of the file, from 1.
        line: u64,
        /// Fields of the first line.
        expected: usize,
        /// Fields of this one.
        found: usize,
    },
    /// A named column does not exist.
    #[error("{}: no column `{column}`; it has {known}", path.display())]
    #[diagnostic(help("name columns as the header spells them, or by number from 0"))]
    UnknownColumn {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        column: String,
        /// The names there are.
        known: String,
    },
    /// Columns were named for an array file.
    #[error("{}: columns can be named for CSV files only", path.display())]
    #[diagnostic(help("leave --columns out, or slice the array before saving it"))]
    NoColumns {
        /// The file.
        path: PathBuf,
    },
    /// Nothing numeric in the file.
    #[error("{}: there is nothing numeric to read", path.display())]
    #[diagnostic(help("the file needs at least one row and one numeric column"))]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// `--rows` leaves the file.
    #[error("{}: rows {rows} of a file with {found}", path.display())]
    #[diagnostic(help("rows are START..END, from 0, END not included"))]
    RowsOutOfRange {
        /// The file.
        path: PathBuf,
        /// The range asked for.
        rows: String,
        /// Rows there are.
        found: usize,
    },
    /// The file's shape does not fit the model's windows.
    #[error(
        "{}: shape {found:?} does not fit windows of {window_len} frames x {channels} channels",
        path.display()
    )]
    #[diagnostic(help(
        "wanted: [clips, at least {window_len}, {channels}], [windows, {input_len}], [frames, {channels}], or \
         [windows, ...] with {input_len} values a window; for CSV choose columns with --columns"
    ))]
    Shape {
        /// The file.
        path: PathBuf,
        /// The file's shape.
        found: Vec<usize>,
        /// Frames a window.
        window_len: usize,
        /// Channels a frame.
        channels: usize,
        /// Their product.
        input_len: usize,
    },
    /// The channels come before the frames.
    #[error(
        "{}: shape {found:?} is channels first: {channels} channels, then {frames} frames each",
        path.display()
    )]
    #[diagnostic(help(
        "frames come first, then channels: transpose the array before saving it, \
         e.g. np.save(path, np.ascontiguousarray(np.swapaxes(x, -1, -2)))"
    ))]
    ChannelsFirst {
        /// The file.
        path: PathBuf,
        /// The file's shape.
        found: Vec<usize>,
        /// Channels of the model, and the length of the last axis but one.
        channels: usize,
        /// Length of the last axis.
        frames: usize,
    },
    /// Shorter than one window.
    #[error(
        "{}: {frames} frames a clip are fewer than one window of {window_len}",
        path.display()
    )]
    #[diagnostic(help("record longer, or use a model with a shorter window"))]
    TooShort {
        /// The file.
        path: PathBuf,
        /// Frames a clip.
        frames: usize,
        /// Frames a window.
        window_len: usize,
    },
    /// Labels that match neither clips nor windows nor frames.
    #[error(
        "{}: {found} labels, but the recording has {clips} clips, {windows} windows, {frames} frames",
        path.display()
    )]
    #[diagnostic(help("one label a clip, a window or a frame is wanted"))]
    LabelCount {
        /// The label file.
        path: PathBuf,
        /// Labels found.
        found: usize,
        /// Clips of the recording.
        clips: usize,
        /// Windows of the recording.
        windows: usize,
        /// Frames of the recording.
        frames: usize,
    },
    /// A label is not an integer.
    #[error("{}: label {row} is {value}, not an integer", path.display())]
    #[diagnostic(help("labels are integers: 0 normal, anything else anomalous"))]
    LabelValue {
        /// The label file.
        path: PathBuf,
        /// Index of the label, from 0.
        row: usize,
        /// Its value.
        value: f32,
    },
    /// A label is neither a number nor a word that is known.
    #[error("{}: line {line}: `{cell}` is no label", path.display())]
    #[diagnostic(help("{}; another column is chosen with --label-column", label_words::EXPECTED))]
    LabelText {
        /// The label file.
        path: PathBuf,
        /// Line of the file, from 1.
        line: u64,
        /// What the cell holds.
        cell: String,
    },
    /// A label file with several axes.
    #[error("{}: labels have shape {found:?}", path.display())]
    #[diagnostic(help(
        "wanted: one axis, or a CSV with a `label` column or a single numeric column"
    ))]
    LabelShape {
        /// The label file.
        path: PathBuf,
        /// The shape found.
        found: Vec<usize>,
    },
}
