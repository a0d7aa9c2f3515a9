//! Integers to bytes: packs, writes, and reads back with the core.

use picovae_core::arena::ALIGNMENT;
use picovae_core::model::packing::has_numbers_apart;
use picovae_core::model::wire::sections::SectionRecord;
use picovae_core::model::wire::{self, Description, Header, LayerRecord, Span, op, packing};
use picovae_core::{Model, ModelError};

use super::blob::{Blob, BlobError};
use super::envelope::enclose;
use super::pack::{Rows, for_target, four_bit, pack_layer};
use super::sections::{is_version_1, sections};
use crate::graph::{Geometry, ScoreKind, Shape};
use crate::quantize::{IntLayer, IntLikelihood, IntOp, IntOutput, Multiplier, QuantizedVae};

/// What is known only after scoring: threshold and calibration summary.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Calibrated {
    /// Threshold in the score's Q format.
    pub threshold: Option<i64>,
    /// Scores of the calibration windows.
    pub summary: wire::Calibration,
}

/// Writes a blob for `target` and reads it back with the core.
///
/// # Errors
/// [`BlobError`]; a refusal by the core of what was just written is a bug of
/// ours and reported as such, with its reason.
pub fn write(
    model: &QuantizedVae,
    target: &str,
    calibrated: Calibrated,
) -> Result<Blob, BlobError> {
    // The core plans the arena: write, ask, write again.
    let draft = bytes(model, target, calibrated, 0)?;
    let draft = Blob::from_bytes(&draft, &model.name);
    let arena_len = match Model::parse(draft.bytes()) {
        Err(ModelError::ArenaLength { needed, .. }) => needed,
        Err(source) => return Err(BlobError::Model { path: model.name.clone().into(), source }),
        Ok(_) => 0,
    };
    let blob = Blob::from_bytes(&bytes(model, target, calibrated, arena_len)?, &model.name);
    blob.model()?;
    Ok(blob)
}

/// The core's name of a score.
pub fn core_score(kind: ScoreKind) -> picovae_core::ScoreKind {
    match kind {
        ScoreKind::ReconstructionError => picovae_core::ScoreKind::ReconstructionError,
        ScoreKind::BernoulliNll => picovae_core::ScoreKind::BernoulliNll,
        ScoreKind::GaussianNll => picovae_core::ScoreKind::GaussianNll,
        ScoreKind::KlDivergence => picovae_core::ScoreKind::KlDivergence,
        ScoreKind::NegativeElbo => picovae_core::ScoreKind::NegativeElbo,
        ScoreKind::BernoulliExcess => picovae_core::ScoreKind::BernoulliExcess,
        ScoreKind::Mahalanobis => picovae_core::ScoreKind::Mahalanobis,
        ScoreKind::ReconstructionProbability => picovae_core::ScoreKind::ReconstructionProbability,
    }
}

/// The payload, growing.
#[derive(Default)]
pub(super) struct Payload(Vec<u8>);

impl Payload {
    /// Appends bytes at a multiple of `alignment`; returns where they lie.
    pub(super) fn push(&mut self, bytes: &[u8], alignment: usize) -> Span {
        self.0.resize(self.0.len().next_multiple_of(alignment), 0);
        let offset = self.0.len() as u32;
        self.0.extend_from_slice(bytes);
        Span { offset, len: bytes.len() as u32 }
    }

    /// One that begins with these bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// All bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn multipliers(&mut self, multipliers: &[Multiplier]) -> (u32, u32) {
        let values: Vec<i32> = multipliers.iter().map(|m| m.multiplier).collect();
        let shifts: Vec<i8> = multipliers.iter().map(|m| m.shift).collect();
        let values = self.push(bytemuck::cast_slice(&values), 4).offset;
        (values, self.push(bytemuck::cast_slice(&shifts), 1).offset)
    }
}

/// Packs a layer's matrices one behind the other, each at a multiple of 16 bytes;
/// row numbers of all of them follow in the same order where the packing wants them apart.
fn pack_matrices(payload: &mut Payload, layer: &IntLayer, target: &str) -> LayerRecord {
    let numbers: Vec<(Vec<i32>, Vec<i8>)> = layer
        .matrices
        .iter()
        .map(|matrix| matrix.multiplier.iter().map(|m| (m.multiplier, m.shift)).unzip())
        .collect();
    let rows: Vec<Rows<'_>> = layer
        .matrices
        .iter()
        .zip(&numbers)
        .map(|(matrix, (multiplier, shift))| Rows {
            inputs: matrix.inputs,
            weights: &matrix.weights,
            bias: &matrix.bias,
            multiplier,
            shift,
        })
        .collect();
    let packed = pack_layer(packing_for(layer, target), &rows);
    let mut record = LayerRecord {
        packing: packed.packing,
        flags: packed.flags,
        weights: payload.push(&packed.bytes, ALIGNMENT),
        ..LayerRecord::default()
    };
    if layer.matrices.is_empty() {
        record.flags = 0;
    } else if has_numbers_apart(record.packing) {
        let bias: Vec<i32> = layer.matrices.iter().flat_map(|m| m.bias.clone()).collect();
        let multipliers: Vec<Multiplier> =
            layer.matrices.iter().flat_map(|m| m.multiplier.clone()).collect();
        record.bias = payload.push(bytemuck::cast_slice(&bias), 4).offset;
        (record.multiplier, record.shift) = payload.multipliers(&multipliers);
    }
    record
}

/// The packing a layer is to have on a target.
fn packing_for(layer: &IntLayer, target: &str) -> u8 {
    let packing = match layer.op {
        IntOp::MaxPool(_) | IntOp::AveragePool(_) => return packing::ROW_MAJOR,
        // Read a tap at a time.
        IntOp::DepthwiseConvolution(_) => packing::ROW_MAJOR,
        _ => for_target(target),
    };
    if layer.bits == 4 { four_bit(packing) } else { packing }
}

fn layer_record(payload: &mut Payload, layer: &IntLayer, target: &str) -> LayerRecord {
    let mut record = pack_matrices(payload, layer, target);
    record.input_zero_point = layer.input_zero_point;
    record.table = wire::NO_TABLE;
    record.name = payload.push(layer.name.as_bytes(), 1);
    let geometry = |record: &mut LayerRecord, op: u8, geometry: &Geometry| {
        let shape = |shape: Shape| [shape.length, shape.width, shape.channels].map(|n| n as u16);
        let pair = |pair: [usize; 2]| pair.map(|n| n as u8);
        record.op = op;
        record.in_shape = shape(geometry.input);
        record.out_shape = shape(geometry.output);
        record.kernel = pair(geometry.kernel);
        record.stride = pair(geometry.stride);
        record.padding = pair(geometry.padding);
    };
    match &layer.op {
        IntOp::FullyConnected { inputs, outputs } => {
            let whole = Geometry {
                input: Shape::flat(*inputs),
                output: Shape::flat(*outputs),
                kernel: [1; 2],
                stride: [1; 2],
                padding: [0; 2],
            };
            geometry(&mut record, op::FULLY_CONNECTED, &whole);
        }
        IntOp::Convolution(g) => geometry(&mut record, op::CONVOLUTION, g),
        IntOp::TransposedConvolution(g) => geometry(&mut record, op::TRANSPOSED_CONVOLUTION, g),
        IntOp::DepthwiseConvolution(g) => geometry(&mut record, op::DEPTHWISE_CONVOLUTION, g),
        IntOp::MaxPool(g) => geometry(&mut record, op::MAX_POOL, g),
        IntOp::AveragePool(g) => geometry(&mut record, op::AVERAGE_POOL, g),
    }
    match &layer.output {
        IntOutput::Int8 { grid, zero_point, min, max, table } => {
            record.output = wire::output::INT8;
            record.output_zero_point = *zero_point;
            (record.clamp_min, record.clamp_max) = (*min, *max);
            record.scale_bits = (grid.scale as f32).to_bits();
            if let Some(table) = table {
                record.table = payload.push(bytemuck::cast_slice(&table[..]), 4).offset;
            }
        }
        IntOutput::Int16 { scale } => {
            record.output = wire::output::INT16;
            record.scale_bits = (*scale as f32).to_bits();
        }
        IntOutput::Widened { scale, zero_point, min, max, table } => {
            record.output = wire::output::WIDENED;
            record.output_zero_point = *zero_point;
            (record.clamp_min, record.clamp_max) = (*min, *max);
            record.scale_bits = (*scale as f32).to_bits();
            record.table = payload.push(bytemuck::cast_slice(&table[..]), 4).offset;
        }
    }
    record
}

fn bytes(
    model: &QuantizedVae,
    target: &str,
    calibrated: Calibrated,
    arena_len: u32,
) -> Result<Vec<u8>, BlobError> {
    let mut payload = Payload::default();
    let records: Vec<LayerRecord> = model
        .layers
        .iter()
        .map(|layer| {
            let mut record = layer_record(&mut payload, layer, target);
            if layer.rounding != model.rounding {
                record.flags |= wire::flags::OTHER_ROUNDING;
            }
            record
        })
        .collect();
    let layers = payload.push(bytemuck::cast_slice(&records), 4);
    let offset = payload.push(bytemuck::cast_slice(&model.frontend.offset), 4).offset;
    let (multiplier, shift) = payload.multipliers(&model.frontend.multiplier);
    let likelihood = match &model.likelihood {
        IntLikelihood::Bernoulli => wire::Likelihood::Bernoulli,
        IntLikelihood::Gaussian { precision, factor, constant } => wire::Likelihood::Gaussian {
            precision: payload.push(bytemuck::cast_slice(precision), 4).offset,
            factor: *factor,
            constant: *constant,
        },
    };
    let float = &model.frontend.float;
    let lsbs: Vec<f32> = (0..float.channels).map(|channel| float.lsb(channel)).collect();
    let lsb = payload.push(bytemuck::cast_slice(&lsbs), 4).offset;
    let sections = sections(&mut payload, model);
    let records: Vec<SectionRecord> = sections.records().collect();
    let section_span = match records[..] {
        [] => Span::default(),
        _ => payload.push(bytemuck::cast_slice(&records), 4),
    };
    let latent = &model.latent;
    let description = Description {
        name: &model.name,
        provenance: wire::Provenance {
            source: &model.provenance.source,
            source_sha256: &model.provenance.sha256,
            tool: &model.provenance.tool,
        },
        target,
        rounding: model.rounding,
        frontend: wire::Frontend {
            window_len: float.window_len as u16,
            hop: float.hop as u16,
            channels: float.channels as u16,
            remove_mean: float.remove_mean,
            lsb,
            offset,
            multiplier,
            shift,
            zero_point: model.frontend.grid.zero_point,
            scale_bits: (model.frontend.grid.scale as f32).to_bits(),
        },
        layers,
        encoder_len: model.encoder_len as u16,
        latent: wire::Latent {
            len: latent.len as u16,
            has_logvar: latent.has_logvar,
            mu_frac_bits: latent.mu_frac_bits,
            logvar_frac_bits: latent.logvar_frac_bits,
            z_multiplier: latent.multiplier.multiplier,
            z_shift: latent.multiplier.shift,
            z_zero_point: latent.grid.zero_point,
        },
        likelihood,
        score: core_score(model.score),
        mean_square: model.mean_square,
        threshold: calibrated.threshold,
        calibration: calibrated.summary,
        arena_len,
    };
    let version = if is_version_1(model.score, &sections) { 1 } else { wire::VERSION };
    // Lengths and checksum follow.
    let header = Header {
        magic: wire::MAGIC,
        version,
        reserved: 0,
        total_len: 0,
        crc32: 0,
        description_len: 0,
        sections: section_span,
        padding: [0; 4],
    };
    enclose(header, &description, &payload.0)
}
