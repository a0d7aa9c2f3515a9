//! `picovae flash`: from a blob to a running board, or to the files for another tool.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use picovae::boards::{self, Board, BoardError, Checkout, Image, Room, all, build, find};
use picovae::emit::Blob;
use serde::Serialize;

use crate::args::file_name;
use crate::printer::{Listing, Printer};

/// Arguments of `picovae flash`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae flash --board nrf52840-dk fan.pvae
  picovae flash --board nrf52840-dk fan.pvae --run            # and show the log
  picovae flash --board pico fan.pvae --dry-run -o image      # ELF, HEX and UF2, no probe needed
  picovae flash --board nrf52840-dk fan.pvae --model-only     # the blob's own section alone

The image is built by cargo from the board's crate in a checkout of picovae; it is written by probe-rs.")]
pub struct FlashArgs {
    /// The blob; packed for the board's core where it is packed for another.
    #[arg(value_name = "MODEL.pvae")]
    model: PathBuf,
    /// The board (`picovae boards` lists them).
    #[arg(long, value_name = "NAME")]
    board: String,
    /// Write ELF, HEX and, where the boot loader takes it, UF2; touch no board.
    #[arg(long)]
    dry_run: bool,
    /// Folder for the files of --dry-run.
    #[arg(short, long, value_name = "DIR", default_value = ".", requires = "dry_run")]
    output: PathBuf,
    /// Write the blob alone, to the section that the board's firmware reads it from; the firmware stays.
    #[arg(long)]
    model_only: bool,
    /// Show the log after flashing, until interrupted.
    #[arg(long, conflicts_with_all = ["dry_run", "model_only", "json"])]
    run: bool,
    /// Which of several probes, as `probe-rs list` shows it: VID:PID or VID:PID:SERIAL.
    #[arg(long, value_name = "PROBE", conflicts_with = "dry_run")]
    probe: Option<String>,
    /// Checkout of picovae to build from [default: PICOVAE_FIRMWARE, else the one around the current folder].
    #[arg(long, value_name = "DIR")]
    firmware: Option<PathBuf>,
}

/// JSON of `picovae flash --json`.
#[derive(Debug, Serialize)]
struct FlashReport {
    model: String,
    board: String,
    chip: String,
    blob_bytes: usize,
    /// Bytes written to flash: firmware and blob, or the blob alone.
    image_bytes: usize,
    /// Names of the files of `--dry-run`.
    files: Vec<String>,
    /// Whether a board was written to.
    flashed: bool,
}

/// Runs the verb.
pub fn run(args: FlashArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    let checkout = Checkout::find(args.firmware.as_deref())?;
    let board = find(all(checkout.as_ref())?, &args.board)?;
    let given = Blob::read(&args.model)?;
    let blob = board.pack(&given)?;
    check(&board, &blob, &args)?;
    let quiet = printer.is_json();
    if !args.dry_run {
        // Before minutes of building.
        for probe in boards::attached()? {
            eprintln!("{probe}");
        }
    }
    let stem = args.model.file_stem().unwrap_or_default().to_string_lossy();
    let files =
        Files { folder: &args.output, stem: format!("{stem}-{}", board.name), board: &board };
    let (image, written) = if args.model_only {
        let origin = board.model_origin.unwrap_or_default();
        let image = Image::of_blob(origin, blob.bytes());
        let written = if args.dry_run {
            files.write(&image, None, "-model")?
        } else {
            flash_blob(&board, args.probe.as_deref(), &image, quiet)?;
            Vec::new()
        };
        (image, written)
    } else {
        let Some(checkout) = checkout else {
            let looked = "no folder from the current one upward holds firmware/boards";
            return Err(BoardError::NoFirmware { board: board.name, looked: looked.into() }.into());
        };
        let packed = Scratch::new(&board, "pvae");
        blob.save(&packed.0)?;
        let built = build(&board, &checkout, &packed.0, quiet)?;
        let mut written = Vec::new();
        let probe = args.probe.as_deref();
        if args.dry_run {
            written = files.write(&built.image, Some(&built.elf), "")?;
        } else if args.run {
            boards::run(&board, probe, &built.path)?;
        } else {
            boards::download(&board, probe, &built.path, quiet)?;
            boards::reset(&board, probe, quiet)?;
        }
        (built.image, written)
    };
    let report = FlashReport {
        model: file_name(&args.model),
        board: board.name.clone(),
        chip: board.chip.clone(),
        blob_bytes: blob.bytes().len(),
        image_bytes: image.len(),
        files: written.iter().map(|path| file_name(path)).collect(),
        flashed: !args.dry_run,
    };
    let mut listing = Listing::new()
        .row("board", format!("{}, {}", board.title, board.chip))
        .row("blob", format!("{} bytes", report.blob_bytes))
        .row("image", format!("{} of {} bytes of flash", report.image_bytes, board.flash_bytes));
    for path in &written {
        listing = listing.row("written", path.display());
    }
    if report.flashed {
        listing = listing.row("flashed", "yes");
    }
    printer.report(&report, &listing.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Refuses what cannot run on the board before anything is built.
fn check(board: &Board, blob: &Blob, args: &FlashArgs) -> miette::Result<()> {
    let model = blob.model()?;
    let name = file_name(&args.model);
    let len = blob.bytes().len();
    let too_large = |memory, needed, available| {
        let (blob, board) = (name.clone(), board.name.clone());
        Err(BoardError::TooLarge { blob, board, memory, needed, available })
    };
    let room = Room::of(board, &model, len);
    if args.model_only {
        if board.model_origin.is_none() {
            return Err(BoardError::NoModelSection { board: board.name.clone() }.into());
        }
        let available = board.model_bytes.unwrap_or(board.flash_bytes);
        if len as u64 > available {
            too_large("the blob's section", len as u64, available)?;
        }
    } else if len as u64 > board.flash_bytes {
        too_large("flash", room.flash_bytes, board.flash_bytes)?;
    }
    // Sizes of the app are what it is held to; the linker knows them exactly.
    if model.arena_len() as u64 > board.ram_bytes {
        too_large("RAM", room.ram_bytes, board.ram_bytes)?;
    }
    Ok(())
}

/// Hands the blob to `probe-rs` as a HEX file, which says where it belongs.
fn flash_blob(
    board: &Board,
    probe: Option<&str>,
    image: &Image,
    quiet: bool,
) -> miette::Result<()> {
    let file = Scratch::new(board, "hex");
    write(&file.0, boards::hex(image)?.as_bytes())?;
    boards::download(board, probe, &file.0, quiet)?;
    Ok(boards::reset(board, probe, quiet)?)
}

/// A file for another program, gone when this is.
struct Scratch(PathBuf);

impl Scratch {
    fn new(board: &Board, extension: &str) -> Self {
        let name = format!("picovae-{}-{}.{extension}", board.name, std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left behind it would only be litter.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Where the files of `--dry-run` go.
struct Files<'a> {
    folder: &'a Path,
    stem: String,
    board: &'a Board,
}

impl Files<'_> {
    /// Writes an image in every form that the board takes.
    fn write(
        &self,
        image: &Image,
        elf: Option<&[u8]>,
        suffix: &str,
    ) -> Result<Vec<PathBuf>, BoardError> {
        let io = |source| BoardError::Io { path: self.folder.to_path_buf(), source };
        std::fs::create_dir_all(self.folder).map_err(io)?;
        let path = |kind: &str| self.folder.join(format!("{}{suffix}.{kind}", self.stem));
        let mut files = Vec::new();
        if let Some(elf) = elf {
            files.push((path("elf"), elf.to_vec()));
        }
        files.push((path("hex"), boards::hex(image)?.into_bytes()));
        if let Some(family) = self.board.uf2_family {
            files.push((path("uf2"), boards::uf2(image, family)));
        }
        for (path, bytes) in &files {
            write(path, bytes)?;
        }
        Ok(files.into_iter().map(|(path, _)| path).collect())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), BoardError> {
    std::fs::write(path, bytes)
        .map_err(|source| BoardError::Io { path: path.to_path_buf(), source })
}
