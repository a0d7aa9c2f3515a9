//! UF2, the files that a boot loader on USB takes as if it were a disk.
//!
//! The format is Microsoft's "USB Flashing Format": blocks of 512 bytes that each
//! say where they belong. The RP2040 wants 256 bytes a block at multiples of 256, and
//! sectors that are written at all written whole (its erratum E14).

use std::collections::BTreeMap;

use super::Image;

/// Bytes of a block.
pub const BLOCK_LEN: usize = 512;
/// Bytes of flash in a block.
pub const UF2_PAYLOAD: usize = 256;

/// Bytes of flash that are erased together.
const SECTOR: u32 = 4_096;
const MAGIC: [u32; 2] = [0x0a32_4655, 0x9e5d_5157];
const MAGIC_END: u32 = 0x0ab1_6f30;
/// The block names the chip's family.
const FAMILY_PRESENT: u32 = 0x2000;
/// What erased flash reads as.
const ERASED: u8 = 0xff;

/// An image for the boot loaders of `family`.
pub fn uf2(image: &Image, family: u32) -> Vec<u8> {
    let mut sectors: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    for segment in &image.segments {
        for (at, &byte) in (u64::from(segment.address)..).zip(&segment.bytes) {
            let (at, within) = (at as u32 & !(SECTOR - 1), at as usize % SECTOR as usize);
            let sector = sectors.entry(at).or_insert_with(|| vec![ERASED; SECTOR as usize]);
            sector[within] = byte;
        }
    }
    let pages = sectors.iter().flat_map(|(at, sector)| {
        (*at..).step_by(UF2_PAYLOAD).zip(sector.chunks_exact(UF2_PAYLOAD))
    });
    let count = (sectors.len() * SECTOR as usize / UF2_PAYLOAD) as u32;
    let mut blocks = Vec::with_capacity(count as usize * BLOCK_LEN);
    for (number, (address, page)) in pages.enumerate() {
        let start = blocks.len();
        let head = [FAMILY_PRESENT, address, UF2_PAYLOAD as u32, number as u32, count, family];
        blocks.extend(MAGIC.into_iter().chain(head).flat_map(u32::to_le_bytes));
        blocks.extend(page);
        blocks.resize(start + BLOCK_LEN - 4, 0);
        blocks.extend(MAGIC_END.to_le_bytes());
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::super::Segment;
    use super::*;

    #[test]
    fn blocks_say_what_they_are_and_hold_the_image() {
        let bytes: Vec<u8> = (0..=255).cycle().take(5_000).collect();
        let first = Segment { address: 0x1000_0000, bytes: bytes.clone() };
        let second = Segment { address: 0x1010_0010, bytes: vec![9; 3] };
        let image = Image { segments: vec![first, second], entry: None };
        let file = uf2(&image, 0xe48b_ff56);
        let word = |block: &[u8], at: usize| {
            u32::from_le_bytes(block[4 * at..4 * at + 4].try_into().unwrap())
        };
        // Two sectors of the first segment, one of the second.
        let count = 3 * 16;
        assert_eq!(file.len(), count * 512);
        let mut read = BTreeMap::new();
        for (number, block) in file.chunks(512).enumerate() {
            // By the specification, field by field.
            assert_eq!(&block[..4], b"UF2\n");
            assert_eq!((word(block, 1), word(block, 127)), (0x9e5d_5157, 0x0ab1_6f30));
            assert_eq!((word(block, 2), word(block, 4)), (0x2000, 256));
            assert_eq!((word(block, 5), word(block, 6)), (number as u32, count as u32));
            assert_eq!(word(block, 7), 0xe48b_ff56);
            let address = word(block, 3);
            assert!(address.is_multiple_of(256));
            for (i, &byte) in block[32..][..256].iter().enumerate() {
                assert_eq!(read.insert(address + i as u32, byte), None, "written twice");
            }
        }
        let at = |address: u32, len: u32| (address..address + len).map(|a| read[&a]);
        assert!(at(0x1000_0000, 5_000).eq(bytes));
        assert!(at(0x1000_0000 + 5_000, 8_192 - 5_000).all(|byte| byte == 0xff));
        assert!(at(0x1010_0010, 3).all(|byte| byte == 9));
        assert_eq!(read[&0x1010_000f], 0xff);
    }
}
