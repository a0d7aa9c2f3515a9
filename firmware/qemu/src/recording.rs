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

/// What the semihosting command line asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// What to do with the recording.
    pub mode: Mode,
    /// Of a stream.
    pub stream: Stream,
}

/// How a recording becomes a stream: the numbers behind the word `stream`, in this order; 0 where one is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Frames a second, by the emulated time; 0 for as fast as they are taken.
    pub rate_hz: u32,
    /// Windows to learn the normalization from.
    pub normalization: u32,
    /// Windows to learn the threshold from, behind those.
    pub threshold: u32,
    /// Milliseconds that scoring stalls behind the third window.
    pub stall_ms: u32,
}

/// What to do with the recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is windows: score each.
    #[default]
    Windows,
    /// It is frames: judge the stream that they are.
    Stream,
    /// It is frames: mark the stages of the stream for the instruction counter.
    Count,
}

/// The words of the semihosting command line behind the program's name: a file, if there is one, then what
/// to do with it (`stream` or `count`), then the numbers of a [`Stream`].
#[inline(never)]
pub fn request(buffer: &mut [u8; PATH_LEN]) -> (Option<&CStr>, Request) {
    let mut request = Request::default();
    let Ok(arguments) = env::args::<PATH_LEN>() else { return (None, request) };
    let mut words = (&arguments).skip(1).map_while(Result::ok);
    let Some(name) = words.next() else { return (None, request) };
    // The last byte stays zero, so that the string always ends.
    let Some((_, room)) = buffer.split_last_mut() else { return (None, request) };
    let Some(room) = room.get_mut(..name.len()) else { return (None, request) };
    room.copy_from_slice(name.as_bytes());
    request.mode = match words.next() {
        Some("stream") => Mode::Stream,
        Some("count") => Mode::Count,
        _ => Mode::Windows,
    };
    let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    request.stream = Stream {
        rate_hz: number(),
        normalization: number(),
        threshold: number(),
        stall_ms: number(),
    };
    (CStr::from_bytes_until_nul(buffer).ok(), request)
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

impl Recording {
    /// Fills `samples` as far as the file goes; how many there were.
    ///
    /// # Errors
    /// The host's, or a sample cut in two.
    pub fn samples(&mut self, samples: &mut [i16]) -> Result<usize, RecordingError> {
        let mut all = 0;
        for samples in samples.chunks_mut(CHUNK) {
            let mut buffer = [0; 2 * CHUNK];
            let bytes = buffer.get_mut(..2 * samples.len()).unwrap_or(&mut []);
            let count = self.fill(bytes)?;
            for (sample, &pair) in samples.iter_mut().zip(bytes.as_chunks::<2>().0) {
                *sample = i16::from_le_bytes(pair);
            }
            all += count / 2;
            if count % 2 != 0 {
                return Err(RecordingError::Truncated);
            }
            if count < bytes.len() {
                break;
            }
        }
        Ok(all)
    }
}

impl Windows for Recording {
    type Error = RecordingError;

    fn next_window(&mut self, window: &mut [i16]) -> Result<bool, RecordingError> {
        match self.samples(window)? {
            0 => return Ok(false),
            count if count < window.len() => return Err(RecordingError::Truncated),
            _ => {}
        }
        Ok(!window.is_empty())
    }
}
