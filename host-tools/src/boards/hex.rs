//! Intel HEX, which every programmer reads.

use ihex::Record;

use super::{BoardError, Image};

/// Bytes a line.
const LINE: usize = 16;

/// An image as Intel HEX: 16 bytes a line, none across a 64 KB page.
///
/// # Errors
/// [`BoardError::Image`] where the records cannot be written, a fault of ours.
pub fn hex(image: &Image) -> Result<String, BoardError> {
    let mut records = Vec::new();
    let mut page = None;
    for segment in &image.segments {
        let mut at = segment.address;
        let mut rest = &segment.bytes[..];
        while !rest.is_empty() {
            if page != Some(at >> 16) {
                page = Some(at >> 16);
                records.push(Record::ExtendedLinearAddress((at >> 16) as u16));
            }
            let in_page = 0x1_0000 - (at & 0xffff) as usize;
            let (line, more) = rest.split_at(rest.len().min(LINE).min(in_page));
            records.push(Record::Data { offset: (at & 0xffff) as u16, value: line.to_vec() });
            at = at.wrapping_add(line.len() as u32);
            rest = more;
        }
    }
    records.extend(image.entry.map(Record::StartLinearAddress));
    records.push(Record::EndOfFile);
    ihex::create_object_file_representation(&records)
        .map_err(|error| BoardError::Image { path: "image.hex".into(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::super::Segment;
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn what_is_read_back_is_what_was_written() {
        // Across a page's end, not at a multiple of a line, and far away.
        let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
        let first = Segment { address: 0x0800_fff3, bytes };
        let second = Segment { address: 0x2000_0004, bytes: vec![7; 5] };
        let image = Image { segments: vec![first, second], entry: Some(0x0800_0401) };
        let text = hex(&image).unwrap();
        assert_eq!(text.lines().next(), Some(":020000040800F2"));
        let (mut base, mut entry, mut read) = (0, None, BTreeMap::new());
        for record in ihex::Reader::new(&text) {
            match record.unwrap() {
                Record::ExtendedLinearAddress(page) => base = u32::from(page) << 16,
                Record::Data { offset, value } => {
                    assert!(usize::from(offset) + value.len() <= 0x1_0000);
                    for (i, byte) in value.into_iter().enumerate() {
                        let at = base + u32::from(offset) + i as u32;
                        assert_eq!(read.insert(at, byte), None, "written twice");
                    }
                }
                Record::StartLinearAddress(at) => entry = Some(at),
                Record::EndOfFile => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(entry, image.entry);
        let wanted: BTreeMap<u32, u8> = image
            .segments
            .iter()
            .flat_map(|s| (s.address..).zip(s.bytes.iter().copied()))
            .collect();
        assert!(read == wanted);
    }
}
