//! Known states added to a finished blob: everything in it stays where it is.

use picovae_core::arena::align_up;
use picovae_core::model::wire::sections::{
    LatentClassifier, LatentClusters, SectionRecord, Sections,
};
use picovae_core::model::wire::{self, HEADER_LEN, Header};

use super::blob::{Blob, BlobError};
use super::envelope::enclose;
use super::write::Payload;
use crate::quantize::{IntHead, IntHeads};

/// The blob with these known states in the place of any of the same kind, and read back with the core.
///
/// # Errors
/// [`BlobError`].
pub fn with_heads(blob: &Blob, heads: &IntHeads) -> Result<Blob, BlobError> {
    let model = blob.model()?;
    let bytes = blob.bytes();
    let mut header: Header = bytemuck::pod_read_unaligned(&bytes[..HEADER_LEN]);
    let start = align_up(HEADER_LEN + header.description_len as usize);
    let mut payload = Payload::of(&bytes[start..]);
    let classes = heads.names.len() as u16;
    let names = payload.push(heads.names.join("\n").as_bytes(), 1);
    let mut sections: Sections = *model.sections();
    match &heads.kind {
        IntHead::Clusters { mean, weights, shifts, constant } => {
            sections.latent_clusters = Some(LatentClusters {
                classes,
                mean: payload.push(bytemuck::cast_slice(mean), 4).offset,
                weights: payload.push(bytemuck::cast_slice(weights), 4).offset,
                shifts: payload.push(shifts, 1).offset,
                constant: payload.push(bytemuck::cast_slice(constant), 4).offset,
                names,
            });
        }
        IntHead::Linear { weights, bias } => {
            sections.latent_classifier = Some(LatentClassifier {
                classes,
                weights: payload.push(bytemuck::cast_slice(weights), 4).offset,
                bias: payload.push(bytemuck::cast_slice(bias), 4).offset,
                names,
            });
        }
    }
    let records: Vec<SectionRecord> = sections.records().collect();
    header.sections = payload.push(bytemuck::cast_slice(&records), 4);
    header.version = wire::VERSION;
    let longer = enclose(header, model.description(), payload.bytes())?;
    let longer = Blob::from_bytes(&longer, model.name());
    longer.model()?;
    Ok(longer)
}
