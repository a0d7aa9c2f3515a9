//! Header, description and payload as one blob.

use picovae_core::arena::align_up;
use picovae_core::model::wire::{self, Description, HEADER_LEN, Header};

use super::blob::BlobError;

/// The blob's bytes; lengths and checksum are put into the header.
///
/// # Errors
/// [`BlobError::Serialize`].
pub(super) fn enclose(
    mut header: Header,
    description: &Description<'_>,
    payload: &[u8],
) -> Result<Vec<u8>, BlobError> {
    let serialized = postcard::to_allocvec(description).map_err(|error| BlobError::Serialize {
        name: description.name.into(),
        reason: error.to_string(),
    })?;
    let start = align_up(HEADER_LEN + serialized.len());
    let mut bytes = vec![0; align_up(start + payload.len())];
    bytes[HEADER_LEN..HEADER_LEN + serialized.len()].copy_from_slice(&serialized);
    bytes[start..start + payload.len()].copy_from_slice(payload);
    header.total_len = bytes.len() as u32;
    header.description_len = serialized.len() as u32;
    header.crc32 = 0;
    bytes[..HEADER_LEN].copy_from_slice(bytemuck::bytes_of(&header));
    header.crc32 = wire::checksum(&bytes);
    bytes[..HEADER_LEN].copy_from_slice(bytemuck::bytes_of(&header));
    Ok(bytes)
}
