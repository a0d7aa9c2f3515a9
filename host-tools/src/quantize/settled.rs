//! What quantization-aware training settles on: ranges and options, kept with the float
//! weights, so that quantizing them later gives the very integers that were trained.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::observe::Ranges;
use super::weight_bits::WeightBits;
use super::weight_scales::WeightScales;
use super::{QuantizeError, QuantizeOptions, QuantizedVae, lower};
use crate::graph::Vae;

/// Ranges that no calibration moves any more, and the options they belong to.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// Ranges of every activation.
    pub ranges: Ranges,
    /// Range method, headroom, rounding, bits of the weights, and the scales of 4-bit ones.
    pub options: QuantizeOptions,
}

/// [`Settled`] as it is written to a file.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    ranges: Ranges,
    range: String,
    input_headroom: f32,
    rounding: String,
    weight_bits: String,
    #[serde(default)]
    weight_scales: BTreeMap<String, Vec<u64>>,
}

impl Settled {
    /// The integers of `vae`.
    ///
    /// # Errors
    /// As [`lower`]; also for a model with other layers than the ranges are of.
    pub fn lower(&self, vae: &Vae) -> Result<QuantizedVae, QuantizeError> {
        lower(vae, &self.ranges, &self.options)
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        use picovae_core::fixed::Rounding;
        let record = Record {
            ranges: self.ranges.clone(),
            range: self.options.range.to_string(),
            input_headroom: self.options.input_headroom,
            rounding: match self.options.rounding {
                Rounding::Double => "double".into(),
                Rounding::Single => "single".into(),
            },
            weight_bits: self.options.weight_bits.to_string(),
            weight_scales: self.options.weight_scales.to_bits(),
        };
        // Numbers and strings only: nothing that JSON refuses.
        serde_json::to_string(&record).unwrap_or_default()
    }

    /// From [`to_json`](Self::to_json).
    ///
    /// # Errors
    /// What cannot be read, as text.
    pub fn from_json(json: &str) -> Result<Self, String> {
        use picovae_core::fixed::Rounding;
        let record: Record = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let options = QuantizeOptions {
            range: record.range.parse()?,
            input_headroom: record.input_headroom,
            rounding: match record.rounding.as_str() {
                "double" => Rounding::Double,
                "single" => Rounding::Single,
                other => return Err(format!("unknown rounding `{other}`")),
            },
            weight_bits: record.weight_bits.parse::<WeightBits>()?,
            weight_scales: WeightScales::from_bits(record.weight_scales),
            ..QuantizeOptions::default()
        };
        Ok(Self { ranges: record.ranges, options })
    }
}
