//! Windows from a file of the emulator's host, over semihosting.
//!
//! The functions that call the semihosting crate are not inlined: it asserts,
//! and `cargo xtask image-check` tells its panics from ours by the function.

use core::ffi::CStr;

use defmt::Format;
use picovae_app::Windows;
use semihosting::experimental::env;
use semihosting::fs::File;
use semihosting::io::Read;

/// Longest path, its closing zero included.
pub const PATH_LEN: usize = 256;

/// Samples a read; on the stack, so small.
const CHUNK: usize = 64;

/// Why a recording cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Format)]
pub enum RecordingError {
    /// The host has no such file, or it may not be read.
    Open,
    /// The host failed while reading.
    Read,
    /// The file ends within a window.
    Truncated,
}

/// The file named by the second word of the semihosting command line (the
/// first is the program's name), if there is one.
#[inline(never)]
pub fn path(buffer: &mut [u8; PATH_LEN]) -> Option<&CStr> {
    let arguments = env::args::<PATH_LEN>().ok()?;
    let name = (&arguments).nth(1)?.ok()?;
    // The last byte stays zero, so that the string always ends.
    let room = buffer.split_last_mut()?.1;
    room.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
    CStr::from_bytes_until_nul(buffer).ok()
}

/// Raw windows in a file: little-endian `i16`, back to back.
#[derive(Debug)]
pub struct Recording {
    file: File,
}

impl Recording {
    /// Opens a file of the host.
    #[inline(never)]
    pub fn open(path: &CStr) -> Result<Self, RecordingError> {
        File::open(path).map(|file| Self { file }).map_err(|_| RecordingError::Open)
    }

    /// Reads until `bytes` is full or the file ends; gives the bytes read.
    #[inline(never)]
    fn fill(&mut self, mut bytes: &mut [u8]) -> Result<usize, RecordingError> {
        let wanted = bytes.len();
        while !bytes.is_empty() {
            let count = self.file.read(bytes).map_err(|_| RecordingError::Read)?;
            if count == 0 {
                break;
            }
            bytes = bytes.get_mut(count..).unwrap_or(&mut []);
        }
        Ok(wanted - bytes.len())
    }
}

impl Windows for Recording {
    type Error = RecordingError;

    fn next_window(&mut self, window: &mut [i16]) -> Result<bool, RecordingError> {
        for (index, samples) in window.chunks_mut(CHUNK).enumerate() {
            let mut buffer = [0; 2 * CHUNK];
            let bytes = buffer.get_mut(..2 * samples.len()).unwrap_or(&mut []);
            match self.fill(bytes)? {
                0 if index == 0 => return Ok(false),
                count if count < bytes.len() => return Err(RecordingError::Truncated),
                _ => {}
            }
            for (sample, &pair) in samples.iter_mut().zip(bytes.as_chunks::<2>().0) {
                *sample = i16::from_le_bytes(pair);
            }
        }
        Ok(!window.is_empty())
    }
}
