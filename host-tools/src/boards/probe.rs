//! `probe-rs`, which writes images through a debug probe.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{Board, BoardError};

const PROGRAM: &str = "probe-rs";

/// The probes that `probe-rs list` names, a line each.
///
/// # Errors
/// [`BoardError::Missing`] without `probe-rs`, [`BoardError::NoProbe`] without a probe.
pub fn attached() -> Result<Vec<String>, BoardError> {
    let output = Command::new(PROGRAM).arg("list").stdin(Stdio::null()).output();
    let output = check(output, "probe-rs list")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let probes = probes(&text);
    if probes.is_empty() { Err(BoardError::NoProbe) } else { Ok(probes) }
}

/// The lines that begin with a number in brackets.
fn probes(text: &str) -> Vec<String> {
    let numbered = |line: &&str| {
        let number = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        number.is_some_and(|(number, _)| number.parse::<u32>().is_ok())
    };
    text.lines().map(str::trim).filter(numbered).map(String::from).collect()
}

/// Writes an ELF or HEX file to the board's chip.
///
/// # Errors
/// [`BoardError`].
pub fn download(
    board: &Board,
    probe: Option<&str>,
    file: &Path,
    quiet: bool,
) -> Result<(), BoardError> {
    let is_hex = file.extension().is_some_and(|extension| extension == "hex");
    let mut command = of_chip("download", board, probe);
    command.args(["--binary-format", if is_hex { "hex" } else { "elf" }]).arg(file);
    finish(command, quiet)
}

/// Starts the board's chip anew.
///
/// # Errors
/// [`BoardError`].
pub fn reset(board: &Board, probe: Option<&str>, quiet: bool) -> Result<(), BoardError> {
    finish(of_chip("reset", board, probe), quiet)
}

/// Writes an ELF file, starts it and shows its log until it is interrupted.
///
/// # Errors
/// [`BoardError`].
pub fn run(board: &Board, probe: Option<&str>, elf: &Path) -> Result<(), BoardError> {
    let mut command = of_chip("run", board, probe);
    command.arg(elf);
    finish(command, false)
}

fn of_chip(verb: &str, board: &Board, probe: Option<&str>) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args([verb, "--chip", &board.chip]);
    if let Some(probe) = probe {
        command.args(["--probe", probe]);
    }
    command
}

/// Runs to the end. Standard output belongs to our own report where one is asked for.
fn finish(mut command: Command, quiet: bool) -> Result<(), BoardError> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    if !quiet {
        command.stdout(Stdio::inherit());
    }
    check(command.output(), &line).map(|_| ())
}

fn check(output: std::io::Result<Output>, line: &str) -> Result<Output, BoardError> {
    let output = output.map_err(|_| BoardError::Missing {
        program: PROGRAM.into(),
        remedy: "install it (https://probe.rs, `cargo install probe-rs-tools --locked`), or write ELF, HEX and UF2 \
                 for another tool with --dry-run",
    })?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(BoardError::Program {
        command: line.into(),
        outcome: format!("ended with {}\n{}", output.status, said.trim_end()),
        remedy: "look at cable and supply, and name one of several probes with --probe VID:PID; --dry-run writes files \
                 instead"
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_told_from_what_is_said_around_them() {
        let text = "The following debug probes were found:\n\
                    [0]: J-Link -- 1366:1051:001050255503 (J-Link)\n[1]: STLink -- 0483:374b\n";
        assert_eq!(probes(text).len(), 2);
        assert!(probes(text)[1].ends_with("0483:374b"));
        assert!(probes("No debug probes were found.\n").is_empty());
    }
}
