//! The UF2 files of `picovae flash --dry-run`, read back: everything that a boot ROM needs is in them.
//!
//! Part of `cargo xtask build-boards`. It reads what the host tool wrote with code of its own: the format is Microsoft's
//! "USB Flashing Format", what a chip looks for is in its data sheet (RP2040 2.8.1.3.1, RP2350 5.9).

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{LittleEndian, elf};
use serde::Deserialize;

use crate::cli::Cli;
use crate::shell;

/// What is read of a `board.toml`.
#[derive(Debug, Deserialize)]
struct Board {
    name: String,
    chip: String,
    flash_origin: u32,
    model_origin: u32,
    uf2_family: Option<String>,
}

/// Flash as a file of blocks fills it: an address, a byte.
type Flash = BTreeMap<u32, u8>;

/// Has the host tool write the files of a board, and reads them back; `None` where its boot loader takes none.
/// Otherwise how many bytes of flash the file fills.
pub fn check(folder: &Path, target: &Path, blob: &Path, cli: &Cli) -> Result<Option<usize>> {
    let text = std::fs::read_to_string(folder.join("board.toml"))?;
    let board: Board = toml::from_str(&text).with_context(|| folder.display().to_string())?;
    if board.uf2_family.is_none() {
        return Ok(None);
    }
    let out = shell::scratch("firmware-images")?.join(&board.name);
    let [flash, name] = ["flash", "--board"].map(Path::new);
    let arguments =
        [flash, name, Path::new(&board.name), Path::new("--dry-run"), Path::new("-o"), &out, blob];
    cli.run_in(target, arguments)?;
    let stem = blob.file_stem().and_then(|stem| stem.to_str()).context("a plain file name")?;
    let file = |kind: &str| {
        let path = out.join(format!("{stem}-{}.{kind}", board.name));
        std::fs::read(&path).with_context(|| path.display().to_string())
    };
    let (flash, family) = read(&file("uf2")?)?;
    holds(&flash, &loaded(&file("elf")?)?)?;
    starts(&flash, family, &board).with_context(|| board.name.clone())?;
    Ok(Some(flash.len()))
}

/// Blocks to flash, and the family that all of them name.
fn read(file: &[u8]) -> Result<(Flash, u32)> {
    let (mut flash, mut family) = (Flash::new(), None);
    let (blocks, rest) = file.as_chunks::<512>();
    ensure!(rest.is_empty() && !blocks.is_empty(), "not whole blocks");
    for (index, block) in blocks.iter().enumerate() {
        let word = |at: usize| {
            u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
        };
        ensure!(
            [word(0), word(4), word(508)] == [0x0a32_4655, 0x9e5d_5157, 0x0ab1_6f30],
            "block {index} has other magic numbers"
        );
        ensure!(word(8) & 0x2000 != 0, "block {index} names no family");
        ensure!(
            [word(20), word(24)] == [index as u32, blocks.len() as u32],
            "block {index} is out of order"
        );
        ensure!(*family.get_or_insert(word(28)) == word(28), "block {index} is of another family");
        for (at, byte) in (word(12)..).zip(&block[32..32 + word(16) as usize]) {
            ensure!(flash.insert(at, *byte).is_none(), "two blocks fill {at:#x}");
        }
    }
    Ok((flash, family.unwrap_or(0)))
}

/// The segments of an ELF file that lie in flash: where they are loaded, and their bytes.
fn loaded(bytes: &[u8]) -> Result<Vec<(u32, Vec<u8>)>> {
    let header = elf::FileHeader32::<LittleEndian>::parse(bytes)?;
    let endian = header.endian()?;
    let programs = header.program_headers(endian, bytes)?.iter();
    let loads = programs
        .filter(|program| program.p_type(endian) == elf::PT_LOAD && program.p_filesz(endian) > 0);
    let segment = |program: &elf::ProgramHeader32<LittleEndian>| {
        let data = program.data(endian, bytes).ok().context("a segment leaves the file")?;
        Ok((program.p_paddr(endian), data.to_vec()))
    };
    loads.map(segment).collect()
}

/// Every loaded byte is in flash.
fn holds(flash: &Flash, segments: &[(u32, Vec<u8>)]) -> Result<()> {
    ensure!(!segments.is_empty(), "nothing is loaded");
    for (address, bytes) in segments {
        for (at, byte) in (*address..).zip(bytes) {
            ensure!(flash.get(&at) == Some(byte), "{at:#x} is not what was linked");
        }
    }
    Ok(())
}

/// The boot ROM finds what it looks for, and the firmware its blob.
fn starts(flash: &Flash, family: u32, board: &Board) -> Result<()> {
    let bytes =
        |from: u32, len: u32| (from..from + len).map(|at| flash.get(&at).copied().unwrap_or(0xff));
    let first: Vec<u8> = bytes(board.flash_origin, 4096).collect();
    match board.chip.as_str() {
        "RP2040" => {
            ensure!(family == 0xe48b_ff56, "family {family:#x} is not the RP2040's");
            // The second stage: 252 bytes and their checksum.
            ensure!(
                crc32(&first[..252]).to_le_bytes() == first[252..256],
                "boot2 has a wrong checksum"
            );
        }
        "RP235x" => {
            ensure!(family == 0xe48b_ff59, "family {family:#x} is not the RP2350's on Arm");
            // An image definition begins with a marker; a word of items behind it says that it is one.
            let words: Vec<u32> =
                first.as_chunks::<4>().0.iter().map(|&word| u32::from_le_bytes(word)).collect();
            let block = words.windows(2).find(|pair| pair[0] == 0xffff_ded3);
            ensure!(
                block.is_some_and(|pair| pair[1] & 0xff == 0x42),
                "no image definition in the first 4 KB"
            );
        }
        other => bail!("what the boot ROM of {other} needs is not known here"),
    }
    let head: Vec<u8> = bytes(board.model_origin, 4).collect();
    ensure!(head == *b"PVAE", "no blob at {:#x}: {head:x?}", board.model_origin);
    Ok(())
}

/// CRC-32 as the RP2040's boot ROM computes it: most significant bit first, nothing inverted at the end.
fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| {
            if sum >> 31 == 1 { sum << 1 ^ 0x04c1_1db7 } else { sum << 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(index: u32, count: u32, address: u32, family: u32) -> Vec<u8> {
        let head = [0x0a32_4655, 0x9e5d_5157, 0x2000, address, 256, index, count, family];
        let mut block: Vec<u8> = head.iter().flat_map(|word: &u32| word.to_le_bytes()).collect();
        block.resize(508, index as u8);
        block.extend(0x0ab1_6f30u32.to_le_bytes());
        block
    }

    #[test]
    fn blocks_are_read_and_what_is_wrong_with_them_is_told() {
        let two = [block(0, 2, 0x1000_0000, 7), block(1, 2, 0x1000_0100, 7)].concat();
        let (flash, family) = read(&two).unwrap();
        assert_eq!((flash.len(), family, flash[&0x1000_0100]), (512, 7, 1));
        holds(&flash, &[(0x1000_00ff, vec![0, 1])]).unwrap();
        assert!(holds(&flash, &[(0x1000_01ff, vec![1, 1])]).is_err());
        assert!(holds(&flash, &[]).is_err());
        let overlap = [block(0, 2, 0x1000_0000, 7), block(1, 2, 0x1000_0000, 7)].concat();
        let families = [block(0, 2, 0x1000_0000, 7), block(1, 2, 0x1000_0100, 8)].concat();
        let order = [block(1, 2, 0x1000_0000, 7), block(0, 2, 0x1000_0100, 7)].concat();
        for wrong in [&two[..600], &overlap, &families, &order] {
            assert!(read(wrong).is_err());
        }
    }

    #[test]
    fn the_boot_rom_finds_its_second_stage() {
        // The usual check value of this CRC.
        assert_eq!(crc32(b"123456789"), 0x0376_e6e7);
        let board = Board {
            name: "pico".into(),
            chip: "RP2040".into(),
            flash_origin: 0x1000_0000,
            model_origin: 0x1002_0000,
            uf2_family: None,
        };
        let mut flash: Flash = (0x1000_0000..).zip([7; 252]).collect();
        flash.extend((0x1000_00fc..).zip(crc32(&[7; 252]).to_le_bytes()));
        assert!(starts(&flash, 0xe48b_ff56, &board).is_err(), "no blob");
        flash.extend((0x1002_0000..).zip(*b"PVAE"));
        starts(&flash, 0xe48b_ff56, &board).unwrap();
        assert!(starts(&flash, 0xe48b_ff59, &board).is_err(), "the RP2350's family");
        flash.insert(0x1000_0000, 8);
        assert!(starts(&flash, 0xe48b_ff56, &board).is_err(), "another byte");
    }
}
