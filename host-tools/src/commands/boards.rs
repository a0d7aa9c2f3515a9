//! `picovae boards`: what there is, what fits, and how long it takes.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use picovae::boards::{Board, Checkout, Room, all};
use picovae::emit::Blob;
use serde::Serialize;

use crate::args::file_name;
use crate::printer::{Printer, Table};

/// Arguments of `picovae boards`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae boards
  picovae boards fan.pvae
  picovae boards fan.pvae --json | jq -r '.boards[] | select(.room.fits) | .name'")]
pub struct BoardsArgs {
    /// A blob: whether it fits, packed for each core, and how long the network takes for a window.
    #[arg(value_name = "MODEL.pvae")]
    model: Option<PathBuf>,
    /// Checkout of picovae whose boards to list [default: the one around the current folder, else those built in].
    #[arg(long, value_name = "DIR")]
    firmware: Option<PathBuf>,
}

/// JSON of `picovae boards --json`.
#[derive(Debug, Serialize)]
struct BoardsReport {
    model: Option<String>,
    boards: Vec<Row>,
}

/// A board, and the blob on it.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    board: Board,
    /// Bytes of the blob, packed for the board's core.
    blob_bytes: Option<usize>,
    room: Option<Room>,
}

/// Runs the verb.
pub fn run(args: BoardsArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    let boards = all(Checkout::find(args.firmware.as_deref())?.as_ref())?;
    let blob = args.model.as_deref().map(Blob::read).transpose()?;
    let mut rows = Vec::with_capacity(boards.len());
    for board in boards {
        let packed = blob.as_ref().map(|blob| board.pack(blob)).transpose()?;
        let room = match &packed {
            Some(blob) => Some(Room::of(&board, &blob.model()?, blob.bytes().len())),
            None => None,
        };
        rows.push(Row { blob_bytes: packed.map(|blob| blob.bytes().len()), room, board });
    }
    let report = BoardsReport { model: args.model.as_deref().map(file_name), boards: rows };
    printer.report(&report, &text(&report))?;
    Ok(ExitCode::SUCCESS)
}

fn text(report: &BoardsReport) -> String {
    let mut heads = vec!["board", "chip", "core", "MHz", "flash KB", "RAM KB"];
    if report.model.is_some() {
        heads.extend(["takes flash", "takes RAM", "fits", "ms a window"]);
    }
    let mut table = Table::new(heads);
    for Row { board, room, .. } in &report.boards {
        let mut cells = vec![
            board.name.clone(),
            board.chip.clone(),
            board.core.target().into(),
            (board.clock_hz / 1_000_000).to_string(),
            (board.flash_bytes / 1024).to_string(),
            (board.ram_bytes / 1024).to_string(),
        ];
        let yes = |yes: bool| if yes { "yes" } else { "no" }.to_string();
        if let Some(room) = room {
            cells.extend([
                room.flash_bytes.to_string(),
                room.ram_bytes.to_string(),
                yes(room.fits),
                room.milliseconds.map_or("–".into(), |ms| format!("{ms:.2}")),
            ]);
        }
        table.row(cells);
    }
    table.to_string()
}
