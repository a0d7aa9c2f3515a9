//! What a linked image puts into flash.

use std::path::Path;

use object::elf::{FileHeader32, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{LittleEndian, elf};

use super::BoardError;

/// Bytes at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Address of the first byte, as it lies in flash.
    pub address: u32,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What is written to a chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// By address, none empty, none overlapping another.
    pub segments: Vec<Segment>,
    /// Where execution begins; `None` of a blob alone.
    pub entry: Option<u32>,
}

impl Image {
    /// The loaded bytes of an ELF file, at their load addresses; `path` names it in errors.
    ///
    /// # Errors
    /// [`BoardError::Image`].
    pub fn of_elf(path: &Path, bytes: &[u8]) -> Result<Self, BoardError> {
        let wrong = |reason: String| BoardError::Image { path: path.to_path_buf(), reason };
        let failed = |error: object::Error| wrong(format!("no ELF file: {error}"));
        let header = FileHeader32::<LittleEndian>::parse(bytes).map_err(failed)?;
        let endian = header.endian().map_err(failed)?;
        if header.e_machine(endian) != elf::EM_ARM {
            return Err(wrong("not for an Arm core".into()));
        }
        let mut segments = Vec::new();
        for program in header.program_headers(endian, bytes).map_err(failed)? {
            if program.p_type(endian) != PT_LOAD || program.p_filesz(endian) == 0 {
                continue;
            }
            let data = program.data(endian, bytes);
            let data = data.map_err(|()| wrong("a segment leaves the file".into()))?;
            segments.push(Segment { address: program.p_paddr(endian), bytes: data.to_vec() });
        }
        segments.sort_by_key(|segment| segment.address);
        let end = |segment: &Segment| u64::from(segment.address) + segment.bytes.len() as u64;
        if segments.is_empty() {
            return Err(wrong("nothing in it is loaded".into()));
        }
        if segments.windows(2).any(|pair| end(&pair[0]) > u64::from(pair[1].address))
            || segments.iter().any(|segment| end(segment) > 1 << 32)
        {
            return Err(wrong("its segments overlap".into()));
        }
        Ok(Self { segments, entry: Some(header.e_entry(endian)) })
    }

    /// A blob by itself.
    pub fn of_blob(origin: u32, bytes: &[u8]) -> Self {
        Self { segments: vec![Segment { address: origin, bytes: bytes.to_vec() }], entry: None }
    }

    /// Bytes of all segments.
    pub fn len(&self) -> usize {
        self.segments.iter().map(|segment| segment.bytes.len()).sum()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
