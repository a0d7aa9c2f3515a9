//! A finished blob packed for another core: everything but the weights stays as it is.

use picovae_core::arena::{ALIGNMENT, align_up};
use picovae_core::model::packing::has_numbers_apart;
use picovae_core::model::wire::sections::{SectionRecord, Sections};
use picovae_core::model::wire::{
    self, Description, HEADER_LEN, Header, LayerRecord, NO_TABLE, Span, packing,
};
use picovae_core::model::{Matrix, Model, ModelError, Operator};

use super::blob::{Blob, BlobError};
use super::envelope::enclose;
use super::pack::{Rows, for_target, four_bit, pack_layer};
use super::write::Payload;

/// The blob with its weights packed for `target`, and read back with the core: the same results on every core.
///
/// # Errors
/// [`BlobError`].
pub fn repack(blob: &Blob, target: &str) -> Result<Blob, BlobError> {
    let model = blob.model()?;
    let mut layers: Vec<Layer> =
        (0..model.layer_count()).filter_map(|index| Layer::of(&model, index)).collect();
    let mut description = model.description().clone();
    let mut sections: Sections = *model.sections();
    let mut header: Header = bytemuck::pod_read_unaligned(&blob.bytes()[..HEADER_LEN]);
    let start = align_up(HEADER_LEN + header.description_len as usize);
    let mut gone: Vec<Span> = layers.iter().flat_map(Layer::spans).collect();
    gone.extend([description.layers, header.sections]);
    let mut offsets = each_offset(&mut layers, &mut description, &mut sections);
    let referred: Vec<u32> = offsets.iter().map(|offset| **offset).collect();
    let kept = Kept::new(&blob.bytes()[start..], gone, &referred);
    for offset in &mut offsets {
        **offset = kept.place(**offset);
    }
    let mut payload = Payload::of(&kept.bytes);
    let records: Vec<LayerRecord> =
        layers.iter().map(|layer| layer.record(&mut payload, target)).collect();
    description.target = target;
    description.layers = payload.push(bytemuck::cast_slice(&records), 4);
    let records: Vec<SectionRecord> = sections.records().collect();
    if !records.is_empty() {
        header.sections = payload.push(bytemuck::cast_slice(&records), 4);
    }
    // The core plans the arena: write, ask, write again.
    description.arena_len = 0;
    let name = description.name;
    let draft = Blob::from_bytes(&enclose(header, &description, payload.bytes())?, name);
    if let Err(ModelError::ArenaLength { needed, .. }) = Model::parse(draft.bytes()) {
        description.arena_len = needed;
    }
    let packed = Blob::from_bytes(&enclose(header, &description, payload.bytes())?, name);
    packed.model()?;
    Ok(packed)
}

/// One layer, its weights as they were before packing.
struct Layer {
    record: LayerRecord,
    /// Whether a target's packing is for it.
    grouped: bool,
    matrices: Vec<Unpacked>,
}

/// One matrix: what [`Rows`] borrows.
struct Unpacked {
    inputs: usize,
    weights: Vec<i8>,
    bias: Vec<i32>,
    multiplier: Vec<i32>,
    shift: Vec<i8>,
}

impl Unpacked {
    fn of(matrix: &Matrix<'_>) -> Self {
        let numbers: Vec<_> = (0..matrix.outputs()).filter_map(|row| matrix.numbers(row)).collect();
        let columns = |row| (0..matrix.inputs()).map(move |column| matrix.weight(row, column));
        Self {
            inputs: matrix.inputs(),
            weights: (0..matrix.outputs()).flat_map(columns).collect(),
            bias: numbers.iter().map(|row| row.bias).collect(),
            multiplier: numbers.iter().map(|row| row.multiplier).collect(),
            shift: numbers.iter().map(|row| row.shift).collect(),
        }
    }
}

impl Layer {
    fn of(model: &Model<'_>, index: usize) -> Option<Self> {
        let mut grouped = true;
        let matrices = match model.layer(index)?.operator {
            Operator::FullyConnected(matrix) | Operator::Convolution(_, matrix) => {
                vec![Unpacked::of(&matrix)]
            }
            Operator::TransposedConvolution(phases) => {
                let [length, width] = phases.geometry().stride();
                (0..length)
                    .flat_map(|l| (0..width).map(move |w| (l, w)))
                    .filter_map(|(l, w)| Some(Unpacked::of(&phases.matrix(l, w)?)))
                    .collect()
            }
            // Read a tap at a time.
            Operator::DepthwiseConvolution(_, matrix) => {
                grouped = false;
                vec![Unpacked::of(&matrix)]
            }
            _ => Vec::new(),
        };
        Some(Self { record: *model.record(index)?, grouped, matrices })
    }

    /// Rows of all matrices.
    fn rows(&self) -> usize {
        self.matrices.iter().map(|matrix| matrix.bias.len()).sum()
    }

    /// What of the old payload is this layer's weights and their numbers.
    fn spans(&self) -> Vec<Span> {
        let LayerRecord { weights, bias, multiplier, shift, .. } = self.record;
        let mut spans = vec![weights];
        if !self.matrices.is_empty() && has_numbers_apart(self.record.packing) {
            let rows = self.rows() as u32;
            let span = |offset, len| Span { offset, len };
            spans.extend([span(bias, 4 * rows), span(multiplier, 4 * rows), span(shift, rows)]);
        }
        spans
    }

    /// The layer's record, its weights packed behind the payload.
    fn record(&self, payload: &mut Payload, target: &str) -> LayerRecord {
        let mut record = self.record;
        let rows: Vec<Rows<'_>> = self
            .matrices
            .iter()
            .map(|matrix| Rows {
                inputs: matrix.inputs,
                weights: &matrix.weights,
                bias: &matrix.bias,
                multiplier: &matrix.multiplier,
                shift: &matrix.shift,
            })
            .collect();
        if rows.is_empty() {
            record.weights = payload.push(&[], ALIGNMENT);
            return record;
        }
        let old = self.record.packing;
        let base = if self.grouped { for_target(target) } else { packing::ROW_MAJOR };
        let is_four_bit = old == packing::NIBBLES || old & packing::FOUR_BIT != 0;
        let packed = pack_layer(if is_four_bit { four_bit(base) } else { base }, &rows);
        record.packing = packed.packing;
        record.flags = packed.flags | record.flags & wire::flags::OTHER_ROUNDING;
        record.weights = payload.push(&packed.bytes, ALIGNMENT);
        (record.bias, record.multiplier, record.shift) = (0, 0, 0);
        if has_numbers_apart(record.packing) {
            let all = |part: fn(&Unpacked) -> &[i32]| -> Vec<i32> {
                self.matrices.iter().flat_map(|matrix| part(matrix).iter().copied()).collect()
            };
            let (bias, multiplier) = (all(|m| &m.bias), all(|m| &m.multiplier));
            let shift: Vec<i8> = self.matrices.iter().flat_map(|m| m.shift.clone()).collect();
            record.bias = payload.push(bytemuck::cast_slice(&bias), 4).offset;
            record.multiplier = payload.push(bytemuck::cast_slice(&multiplier), 4).offset;
            record.shift = payload.push(bytemuck::cast_slice(&shift), 1).offset;
        }
        record
    }
}

/// The old payload without weights, records, and the padding between them.
struct Kept {
    bytes: Vec<u8>,
    /// First byte of each run before and now, and its length.
    runs: Vec<(u32, u32, u32)>,
}

/// Alignment of all that is kept.
const WORD: u32 = 4;

impl Kept {
    /// Of `old`, all but what is `gone`; padding is what nothing in `referred` points to.
    fn new(old: &[u8], mut gone: Vec<Span>, referred: &[u32]) -> Self {
        gone.retain(|span| span.len > 0);
        gone.sort_by_key(|span| span.offset);
        gone.push(Span { offset: old.len() as u32, len: 0 });
        let mut kept = Self { bytes: Vec::new(), runs: Vec::new() };
        let mut at = 0u32;
        for span in gone {
            let end = span.offset.max(at);
            if referred.iter().any(|offset| (at..end).contains(offset)) {
                let len = kept.bytes.len() as u32;
                let place = len + at.wrapping_sub(len) % WORD;
                kept.bytes.resize(place as usize, 0);
                kept.bytes.extend_from_slice(&old[at as usize..end as usize]);
                kept.runs.push((at, place, end - at));
            }
            at = end.max(span.offset + span.len);
        }
        kept
    }

    /// Where what was at `offset` is now.
    fn place(&self, offset: u32) -> u32 {
        let run = self.runs.iter().find(|(old, _, len)| (*old..old + len).contains(&offset));
        run.map_or(0, |(old, new, _)| offset - old + new)
    }
}

/// Everything in a blob that says where something lies, but the weights with their numbers and the records.
fn each_offset<'a>(
    layers: &'a mut [Layer],
    description: &'a mut Description<'_>,
    sections: &'a mut Sections,
) -> Vec<&'a mut u32> {
    let mut all: Vec<&mut u32> = Vec::new();
    for Layer { record, .. } in layers {
        all.push(&mut record.name.offset);
        if record.table != NO_TABLE {
            all.push(&mut record.table);
        }
    }
    let wire::Frontend { lsb, offset, multiplier, shift, .. } = &mut description.frontend;
    all.extend([lsb, offset, multiplier, shift]);
    if let wire::Likelihood::Gaussian { precision, .. } = &mut description.likelihood {
        all.push(precision);
    }
    let Sections {
        decimation,
        spectrum,
        latent_gaussian,
        sampling: _,
        decision,
        normal_features,
        latent_clusters,
        latent_classifier,
    } = sections;
    all.extend(decimation.iter_mut().map(|s| &mut s.coefficients));
    if let Some(section) = spectrum {
        all.push(&mut section.edges);
        all.extend(&mut section.triangles);
    }
    if let Some(section) = latent_gaussian {
        all.extend([&mut section.mean, &mut section.weights, &mut section.shifts]);
    }
    all.extend(decision.iter_mut().filter_map(|section| section.range.as_mut()));
    if let Some(section) = normal_features {
        all.extend([&mut section.mean, &mut section.deviation]);
    }
    if let Some(s) = latent_clusters {
        all.extend([&mut s.mean, &mut s.weights, &mut s.shifts, &mut s.constant]);
        all.push(&mut s.names.offset);
    }
    if let Some(s) = latent_classifier {
        all.extend([&mut s.weights, &mut s.bias, &mut s.names.offset]);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{Simulator, SimulatorArena};
    use picovae_core::trace::ActivationHash;

    /// Of some windows: every activation and every score.
    fn hash(blob: &Blob) -> u64 {
        let model = blob.model().unwrap();
        let mut arena = SimulatorArena::new(&model);
        let mut simulator = Simulator::new(&model, &mut arena).unwrap();
        let mut hash = ActivationHash::new();
        for k in 0..3 {
            let samples = (0..model.window_samples()).map(|i| ((i * 37 + k * 11) % 101) as f32);
            simulator.score(&samples.collect::<Vec<f32>>(), &mut hash).unwrap();
        }
        hash.value()
    }

    #[test]
    fn every_packing_gives_the_same_scores_and_leads_back() {
        // Fully connected, with a spectrum, convolutions: blobs of the project.
        for name in ["fan-vae", "fan-spectrum", "ecg-vae"] {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
            let blob = Blob::read(&folder.join(name).join(format!("{name}.pvae"))).unwrap();
            let (wanted, here) = (hash(&blob), blob.model().unwrap());
            for target in ["cortex-m0", "cortex-m3", "cortex-m4", "cortex-m55"] {
                let there = repack(&blob, target).unwrap();
                let model = there.model().unwrap();
                assert_eq!(hash(&there), wanted, "{name} for {target}");
                assert_eq!(model.description().target, target);
                let packed = model.record(0).unwrap().packing & 0xf;
                assert_eq!(packed, for_target(target), "{name} for {target}");
                assert_eq!(model.threshold(), here.threshold());
                assert_eq!(model.layer_name(1), here.layer_name(1));
                // Back again: what it was, but for padding.
                let back = repack(&there, here.description().target).unwrap();
                assert_eq!(hash(&back), wanted);
                let (len, was) = (back.bytes().len(), blob.bytes().len());
                assert!(len.abs_diff(was) <= 16 * (here.layer_count() + 2), "{len} of {was}");
            }
        }
    }
}
