//! Integers to bytes: packs, writes, and reads back with the core.

use picovae_core::arena::{ALIGNMENT, align_up};
use picovae_core::model::packing::has_numbers_apart;
use picovae_core::model::wire::{self, Description, HEADER_LEN, Header, LayerRecord, Span};
use picovae_core::{Model, ModelError};

use super::blob::{Blob, BlobError};
use super::pack::{Rows, for_target, pack};
use crate::graph::ScoreKind;
use crate::quantize::{IntLayer, IntLikelihood, IntOutput, Multiplier, QuantizedVae};

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
    }
}

/// The payload, growing.
#[derive(Default)]
struct Payload(Vec<u8>);

impl Payload {
    /// Appends bytes at a multiple of `alignment`; returns where they lie.
    fn push(&mut self, bytes: &[u8], alignment: usize) -> Span {
        self.0.resize(self.0.len().next_multiple_of(alignment), 0);
        let offset = self.0.len() as u32;
        self.0.extend_from_slice(bytes);
        Span { offset, len: bytes.len() as u32 }
    }

    fn multipliers(&mut self, multipliers: &[Multiplier]) -> (u32, u32) {
        let values: Vec<i32> = multipliers.iter().map(|m| m.multiplier).collect();
        let shifts: Vec<i8> = multipliers.iter().map(|m| m.shift).collect();
        let values = self.push(bytemuck::cast_slice(&values), 4).offset;
        (values, self.push(bytemuck::cast_slice(&shifts), 1).offset)
    }
}

fn layer_record(payload: &mut Payload, layer: &IntLayer, packing: u8) -> LayerRecord {
    let multipliers: Vec<i32> = layer.multiplier.iter().map(|m| m.multiplier).collect();
    let shifts: Vec<i8> = layer.multiplier.iter().map(|m| m.shift).collect();
    let packed = pack(
        packing,
        &Rows {
            inputs: layer.inputs,
            weights: &layer.weights,
            bias: &layer.bias,
            multiplier: &multipliers,
            shift: &shifts,
        },
    );
    let weights = payload.push(&packed.bytes, ALIGNMENT);
    // A section packed in groups of rows holds its row numbers itself.
    let (mut bias, mut multiplier, mut shift) = (0, 0, 0);
    if has_numbers_apart(packed.packing) {
        bias = payload.push(bytemuck::cast_slice(&layer.bias), 4).offset;
        (multiplier, shift) = payload.multipliers(&layer.multiplier);
    }
    let mut record = LayerRecord {
        op: wire::op::FULLY_CONNECTED,
        packing: packed.packing,
        flags: packed.flags,
        input_zero_point: layer.input_zero_point,
        in_shape: [1, 1, layer.inputs as u16],
        out_shape: [1, 1, layer.outputs as u16],
        kernel: [1, 1],
        stride: [1, 1],
        weights,
        bias,
        multiplier,
        shift,
        table: wire::NO_TABLE,
        name: payload.push(layer.name.as_bytes(), 1),
        ..LayerRecord::default()
    };
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
        .map(|layer| layer_record(&mut payload, layer, for_target(target)))
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
    let serialized = postcard::to_allocvec(&description).map_err(|error| BlobError::Serialize {
        name: model.name.clone(),
        reason: error.to_string(),
    })?;
    let start = align_up(HEADER_LEN + serialized.len());
    let total = align_up(start + payload.0.len());
    let mut blob = vec![0; total];
    blob[HEADER_LEN..HEADER_LEN + serialized.len()].copy_from_slice(&serialized);
    blob[start..start + payload.0.len()].copy_from_slice(&payload.0);
    let mut header = Header {
        magic: wire::MAGIC,
        version: wire::VERSION,
        reserved: 0,
        total_len: total as u32,
        crc32: 0,
        description_len: serialized.len() as u32,
        padding: [0; 12],
    };
    blob[..HEADER_LEN].copy_from_slice(bytemuck::bytes_of(&header));
    header.crc32 = wire::checksum(&blob);
    blob[..HEADER_LEN].copy_from_slice(bytemuck::bytes_of(&header));
    Ok(blob)
}
