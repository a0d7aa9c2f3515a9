//! Reads linked images: section sizes, symbols, and who calls what.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SectionKind, SymbolKind, elf};

/// Sizes of an image, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Code and the vector table.
    pub text: u64,
    /// Constants, the blob among them.
    pub rodata: u64,
    /// Initialized variables: in flash and in RAM.
    pub data: u64,
    /// Zeroed or uninitialized variables.
    pub bss: u64,
    /// A blob in a section of its own, part of `rodata`.
    pub model: u64,
}

impl Sizes {
    /// Bytes of flash.
    pub fn flash(&self) -> u64 {
        self.text + self.rodata + self.data
    }

    /// Bytes of RAM, the stack apart.
    pub fn ram(&self) -> u64 {
        self.data + self.bss
    }
}

/// A function in the image.
#[derive(Clone, Debug)]
pub struct Function {
    /// Demangled name.
    pub name: String,
    start: u64,
    end: u64,
}

/// A linked image.
#[derive(Debug)]
pub struct Image {
    /// Sizes of its sections.
    pub sizes: Sizes,
    /// Every named symbol: as linked, and demangled.
    pub symbols: Vec<(String, String)>,
    functions: Vec<Function>,
    /// Every branch with a fixed target: from where, to where.
    branches: Vec<(u64, u64)>,
}

impl Image {
    /// Reads an ELF file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let file = object::File::parse(&*bytes)
            .with_context(|| format!("{} is no ELF file", path.display()))?;
        let mut image = Self {
            sizes: Sizes::default(),
            symbols: Vec::new(),
            functions: Vec::new(),
            branches: Vec::new(),
        };
        for section in file.sections() {
            image.add_section(&section)?;
        }
        for symbol in file.symbols() {
            let Ok(name) = symbol.name() else { continue };
            // `$t` and `$d` mark code and data, `.L…` are local labels: not symbols.
            if name.is_empty() || name.starts_with('$') || name.starts_with(".L") {
                continue;
            }
            let demangled = format!("{:#}", rustc_demangle::demangle(name));
            if symbol.kind() == SymbolKind::Text && symbol.is_definition() {
                let start = symbol.address() & !1;
                let (name, end) = (demangled.clone(), start + symbol.size());
                image.functions.push(Function { name, start, end });
            }
            if !symbol.is_undefined() {
                image.symbols.push((name.into(), demangled));
            }
        }
        image.functions.sort_by_key(|function| function.start);
        Ok(image)
    }

    fn add_section<'d>(&mut self, section: &impl ObjectSection<'d>) -> Result<()> {
        let SectionFlags::Elf { sh_flags } = section.flags() else { return Ok(()) };
        if sh_flags & u64::from(elf::SHF_ALLOC) == 0 {
            return Ok(());
        }
        let writable = sh_flags & u64::from(elf::SHF_WRITE) != 0;
        let executable = sh_flags & u64::from(elf::SHF_EXECINSTR) != 0;
        let uninitialized = section.kind() == SectionKind::UninitializedData;
        let name = section.name().unwrap_or("");
        let size = section.size();
        match () {
            () if executable || name == ".vector_table" => self.sizes.text += size,
            () if uninitialized || name == ".uninit" => self.sizes.bss += size,
            () if writable => self.sizes.data += size,
            () => self.sizes.rodata += size,
        }
        if name == ".picovae_model" {
            self.sizes.model += size;
        }
        if executable {
            self.branches.extend(branches(section.address(), section.data()?));
        }
        Ok(())
    }

    /// Names of the functions that branch to the symbol called `target`
    /// (demangled), itself apart.
    pub fn callers(&self, target: &str) -> Vec<&str> {
        let is_target =
            |address: u64| self.functions.iter().any(|f| f.start == address && f.name == target);
        let mut names: Vec<_> = self
            .branches
            .iter()
            .filter(|&&(_, to)| is_target(to))
            .filter_map(|&(from, _)| self.function_at(from))
            .filter(|name| *name != target)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn function_at(&self, address: u64) -> Option<&str> {
        // The last function that starts at or before the address; one written
        // in assembly may state no size.
        let after = self.functions.partition_point(|function| function.start <= address);
        let function = self.functions.get(after.checked_sub(1)?)?;
        let inside = address < function.end || function.end == function.start;
        inside.then_some(function.name.as_str())
    }
}

/// Thumb branches with a fixed target: `B`, `B.W`, `B<c>.W`, `BL`.
///
/// A linear sweep: a literal pool may look like a branch, which only adds to
/// what is reported.
fn branches(start: u64, code: &[u8]) -> Vec<(u64, u64)> {
    let (halves, _) = code.as_chunks::<2>();
    let at = |index: usize| halves.get(index).map(|&half| u32::from(u16::from_le_bytes(half)));
    let mut found = Vec::new();
    let mut index = 0;
    while let Some(first) = at(index) {
        let address = start + 2 * index as u64;
        let wide = first >> 11 >= 0b11101;
        let offset = if wide {
            at(index + 1).and_then(|second| wide_offset(first, second))
        } else {
            (first >> 11 == 0b11100).then(|| sign_extend((first & 0x7ff) << 1, 12))
        };
        if let Some(offset) = offset {
            found.push((address, address.wrapping_add_signed(i64::from(offset) + 4)));
        }
        index += if wide { 2 } else { 1 };
    }
    found
}

/// Offset of a 32-bit branch, `None` for other instructions (Armv7-M manual, A7.7.12 and A7.7.18).
fn wide_offset(first: u32, second: u32) -> Option<i32> {
    if first >> 11 != 0b11110 || second >> 15 == 0 {
        return None;
    }
    let bit = |word: u32, n: u32| (word >> n) & 1;
    let (s, j1, j2) = (bit(first, 10), bit(second, 13), bit(second, 11));
    let low = (second & 0x7ff) << 1;
    if bit(second, 12) == 1 {
        // BL and B.W: S:I1:I2:imm10:imm11:0
        let (i1, i2) = (1 ^ j1 ^ s, 1 ^ j2 ^ s);
        let high = (s << 24) | (i1 << 23) | (i2 << 22) | ((first & 0x3ff) << 12);
        Some(sign_extend(high | low, 25))
    } else if bit(second, 14) == 0 && (first >> 7) & 7 != 7 {
        // B<c>.W: S:J2:J1:imm6:imm11:0
        let high = (s << 20) | (j2 << 19) | (j1 << 18) | ((first & 0x3f) << 12);
        Some(sign_extend(high | low, 21))
    } else {
        None
    }
}

fn sign_extend(value: u32, bits: u32) -> i32 {
    ((value << (32 - bits)) as i32) >> (32 - bits)
}

#[cfg(test)]
mod tests {
    use super::branches;

    #[test]
    fn branches_are_found_with_their_targets() {
        // Assembled by hand and checked against llvm-objdump.
        let code = [
            0xfe, 0xe7, // b .            (0x1000)
            0xff, 0xf7, 0xfd, 0xff, // bl 0x1000      (0x1002)
            0x00, 0xbf, // nop
            0x00, 0xf0, 0x00, 0xb8, // b.w 0x100c     (0x1008)
        ];
        assert_eq!(branches(0x1000, &code), [(0x1000, 0x1000), (0x1002, 0x1000), (0x1008, 0x100c)]);
    }
}
