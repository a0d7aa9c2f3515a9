//! What can go wrong between a blob and a board.

use std::path::PathBuf;

/// Why a board is not described, built, or flashed. Each help says what to do.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum BoardError {
    /// A `board.toml` that cannot be read.
    #[error("{}: {reason}", path.display())]
    #[diagnostic(help("docs/porting.md lists the keys of a board.toml"))]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No board of that name.
    #[error("no board is called `{name}`")]
    #[diagnostic(help("boards: {known}; docs/porting.md brings up another"))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// No folder with the firmware.
    #[error("the firmware of `{board}` is not here: {looked}")]
    #[diagnostic(help(
        "an image is built from a checkout of picovae: run this inside one, or name it with --firmware DIR or PICOVAE_FIRMWARE"
    ))]
    NoFirmware {
        /// The board.
        board: String,
        /// Where it was looked for.
        looked: String,
    },
    /// More than the chip has.
    #[error("{blob} does not fit {board}: {needed} bytes of {memory}, it has {available}")]
    #[diagnostic(help(
        "make the model smaller (`picovae compress --flash … --ram …`), or choose another board (`picovae boards MODEL.pvae`)"
    ))]
    TooLarge {
        /// The blob.
        blob: String,
        /// The board.
        board: String,
        /// Flash, RAM, or the section of the blob.
        memory: &'static str,
        /// Bytes needed.
        needed: u64,
        /// Bytes there are.
        available: u64,
    },
    /// The board's firmware has the blob in its image only.
    #[error("{board}: no section of the blob's own (`model_origin` in its board.toml)")]
    #[diagnostic(help("flash the whole image: leave --model-only away"))]
    NoModelSection {
        /// The board.
        board: String,
    },
    /// A program that is not installed.
    #[error("`{program}` is not installed, or not on PATH")]
    #[diagnostic(help("{remedy}"))]
    Missing {
        /// The program.
        program: String,
        /// Where to get it, or how to do without.
        remedy: &'static str,
    },
    /// A program that failed.
    #[error("`{command}` {outcome}")]
    #[diagnostic(help("{remedy}"))]
    Program {
        /// The command line.
        command: String,
        /// How it ended, and its last words.
        outcome: String,
        /// What to look at.
        remedy: String,
    },
    /// `probe-rs` sees no probe.
    #[error("no debug probe is attached: `probe-rs list` names none")]
    #[diagnostic(help(
        "plug the board's debug port in (on Linux its udev rules must be installed: https://probe.rs/docs/getting-started/probe-setup); \
         --dry-run writes ELF, HEX and UF2 for another tool instead"
    ))]
    NoProbe,
    /// An image that is no ELF file of a 32-bit little-endian core.
    #[error("{}: {reason}", path.display())]
    #[diagnostic(help("build the board's firmware again"))]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    #[diagnostic(help("check the path and its permissions"))]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}
