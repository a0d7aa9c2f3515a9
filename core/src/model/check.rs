//! The one gate: a blob is checked here, completely, and nowhere else.

use super::Model;
use super::blocks::is_four_bit;
use super::check_decision;
use super::check_frontend;
use super::check_score;
use super::error::ModelError;
use super::layer::{LayerView, Output};
use super::packing::{Matrix, RowNumbers};
use super::plan::{ArenaPlan, Step};
use super::read::{Read, Reader};
use super::wire::sections::Sections;
use super::wire::{
    Description, HEADER_LEN, Header, Latent, LayerRecord, MAGIC, Span, VERSION, checksum, flags,
    output, packing,
};
use crate::arena::{ALIGNMENT, align_up};
use crate::fixed::Rounding;

/// Greatest |product| of two int8 numbers.
const MAX_PRODUCT: u64 = 128 * 128;

pub(super) fn parse(blob: &[u8]) -> Result<Model<'_>, ModelError> {
    let (description, sections, payload, checksum) = open(blob)?;
    let layers = bytemuck::try_cast_slice::<u8, LayerRecord>(
        description.layers.of(payload).ok_or(ModelError::Section)?,
    )
    .map_err(|_| ModelError::Section)?;
    let mut model = Model {
        description,
        sections,
        layers,
        payload,
        checksum,
        features: 0,
        plan: ArenaPlan::default(),
    };
    check_frontend::check(&model)?;
    model.features = model.frontend().feature_len();
    check_score::check(&model)?;
    check_decision::check(&model)?;
    model.plan = check_layers(&model)?;
    if model.plan.len != model.description.arena_len as usize {
        return Err(ModelError::ArenaLength {
            needed: model.plan.len as u32,
            stated: model.description.arena_len,
        });
    }
    Ok(model)
}

/// Header, description and sections; the payload is what lies behind them. Last the checksum.
fn open(blob: &[u8]) -> Result<(Description<'_>, Sections, &[u8], u32), ModelError> {
    if !blob.as_ptr().addr().is_multiple_of(ALIGNMENT) && !blob.is_empty() {
        return Err(ModelError::Misaligned);
    }
    let got = blob.len() as u32;
    let bytes =
        blob.get(..HEADER_LEN).ok_or(ModelError::Length { stated: HEADER_LEN as u32, got })?;
    let header: &Header = bytemuck::try_from_bytes(bytes).map_err(|_| ModelError::Misaligned)?;
    if header.magic != MAGIC {
        return Err(ModelError::BadMagic);
    }
    if !(1..=VERSION).contains(&header.version) {
        return Err(ModelError::UnsupportedVersion { found: header.version });
    }
    if header.total_len as usize != blob.len() {
        return Err(ModelError::Length { stated: header.total_len, got });
    }
    let computed = checksum(blob);
    if header.crc32 != computed {
        return Err(ModelError::Checksum { stated: header.crc32, computed });
    }
    if header.reserved != 0 || header.padding != [0; 4] {
        return Err(ModelError::Description);
    }
    let end =
        HEADER_LEN.checked_add(header.description_len as usize).ok_or(ModelError::Description)?;
    let description = blob.get(HEADER_LEN..end).ok_or(ModelError::Description)?;
    let mut reader = Reader::new(description);
    let description = Description::read(&mut reader);
    if !reader.is_done() {
        return Err(ModelError::Description);
    }
    let start = end.checked_next_multiple_of(ALIGNMENT).ok_or(ModelError::Section)?;
    let payload = blob.get(start..).ok_or(ModelError::Section)?;
    if header.version == 1 && header.sections != Span::default() {
        return Err(ModelError::Description);
    }
    let records = header.sections.of(payload).ok_or(ModelError::Section)?;
    let records = bytemuck::try_cast_slice(records).map_err(|_| ModelError::Section)?;
    let sections = Sections::read(records).ok_or(ModelError::Description)?;
    Ok((description, sections, payload, computed))
}

/// Every layer: sections, numbers, and shapes that chain. Returns the arena they need.
fn check_layers(model: &Model<'_>) -> Result<ArenaPlan, ModelError> {
    let description = &model.description;
    let encoder_len = usize::from(description.encoder_len);
    let count = u16::try_from(model.layers.len()).map_err(|_| ModelError::Description)?;
    if encoder_len == 0 || encoder_len >= model.layers.len() {
        return Err(ModelError::Description);
    }
    check_latent(&description.latent)?;
    let latent = usize::from(description.latent.len);
    let head = if description.latent.has_logvar { latent.saturating_mul(2) } else { latent };

    // The front-end's scratch and the layers' share the work area.
    let mut plan =
        ArenaPlan { work: align_up(model.frontend().scratch_len()), ..ArenaPlan::default() };
    let mut expected_input = model.input_len();
    for (index, record) in (0..count).zip(model.layers) {
        let known = flags::RIGHT_SHIFTS | flags::OTHER_ROUNDING;
        if record.reserved1 != 0 || record.flags & !known != 0 {
            return Err(ModelError::UnsupportedLayer { layer: index });
        }
        let layer = LayerView::new(record, model.payload).map_err(|fault| fault.at(index))?;
        let at = usize::from(index);
        let decoder = at >= encoder_len;
        let (position, layers) = if decoder {
            (at - encoder_len, model.layers.len() - encoder_len)
        } else {
            (at, encoder_len)
        };
        let is_last = position + 1 == layers;
        let wrong_shape = ModelError::LayerShape { layer: index };
        if layer.input_len() != expected_input || layer.output_len() == 0 {
            return Err(wrong_shape);
        }
        if is_last && layer.output_len() != if decoder { model.input_len() } else { head } {
            return Err(wrong_shape);
        }
        // Heads are wide, everything else is int8.
        if is_last == (record.output == output::INT8) {
            return Err(ModelError::UnsupportedLayer { layer: index });
        }
        check_numbers(&layer, model.layer_rounding(at), index)?;
        check_name(record, model.payload)?;
        plan.cover(Step::new(&layer, position, layers, decoder));
        expected_input = if is_last && !decoder { latent } else { layer.output_len() };
    }
    Ok(plan.finish(model.input_len(), head.saturating_mul(2)))
}

fn check_latent(latent: &Latent) -> Result<(), ModelError> {
    let numbers = latent.mu_frac_bits <= 15
        && (11..=15).contains(&latent.logvar_frac_bits)
        && valid_scale(latent.z_multiplier, latent.z_shift)
        && latent.z_shift <= 0;
    if latent.len != 0 && numbers { Ok(()) } else { Err(ModelError::Description) }
}

/// Multipliers, shifts and clamps in range, and no sum beyond 32 bits.
fn check_numbers(layer: &LayerView<'_>, rounding: Rounding, index: u16) -> Result<(), ModelError> {
    let numbers = ModelError::LayerNumbers { layer: index };
    if let Output::Int8 { min, max, .. } | Output::Widened { min, max, .. } = layer.output
        && min > max
    {
        return Err(numbers);
    }
    let mut verdict = Ok(());
    layer
        .matrices(|matrix| {
            if verdict.is_ok() {
                verdict = check_rows(matrix, rounding, index);
            }
        })
        .ok_or(ModelError::Section)?;
    verdict
}

fn check_rows(matrix: &Matrix<'_>, rounding: Rounding, index: u16) -> Result<(), ModelError> {
    let numbers = ModelError::LayerNumbers { layer: index };
    for row in 0..matrix.outputs() {
        let RowNumbers { bias, multiplier, shift } = matrix.numbers(row).ok_or(numbers)?;
        let short = matrix.flags() & flags::RIGHT_SHIFTS != 0;
        if !valid_scale(multiplier, shift) || (short && !(-31..=-1).contains(&shift)) {
            return Err(numbers);
        }
        // Packed sums are doubled, those of 4-bit weights times 32.
        let (product, limit) = match matrix.packing() {
            packing::ROW_MAJOR => (MAX_PRODUCT, u64::MAX),
            packing if is_four_bit(packing) => (MAX_PRODUCT >> 4, 1 << 26),
            _ => (MAX_PRODUCT, 1 << 30),
        };
        let mut bound = matrix.inputs() as u64 * product + u64::from(bias.unsigned_abs());
        if bound >= limit {
            return Err(ModelError::LayerOverflow { layer: index });
        }
        if rounding == Rounding::Double && shift > 0 {
            bound <<= shift.unsigned_abs().min(15);
        }
        if bound > i32::MAX as u64 {
            return Err(ModelError::LayerOverflow { layer: index });
        }
    }
    Ok(())
}

pub(crate) fn valid_scale(multiplier: i32, shift: i8) -> bool {
    (multiplier == 0 || multiplier >= 1 << 30) && (-31..=15).contains(&shift)
}

fn check_name(record: &LayerRecord, payload: &[u8]) -> Result<(), ModelError> {
    let name = record.name.of(payload).ok_or(ModelError::Section)?;
    if !cfg!(feature = "names") {
        return Ok(());
    }
    core::str::from_utf8(name).map(|_| ()).map_err(|_| ModelError::Description)
}
