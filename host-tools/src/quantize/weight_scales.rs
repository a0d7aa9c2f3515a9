//! The real size of a unit of each weight row.
//!
//! Quantization searches the best 4-bit range of a row. Training with quantized weights begins
//! there and learns it: a search among weights that already lie on a grid finds another one,
//! and moves them all.

use std::collections::BTreeMap;

use super::weight_bits::WeightBits;
use crate::graph::{Layer, Vae};

/// Greatest magnitude of an int8 weight.
const INT8_REACH: f64 = 127.0;
/// 4-bit weights are -8 to 7; the scale splits the difference.
const INT4_REACH: f64 = 7.5;
/// Fractions of a row's largest weight tried as the 4-bit range.
const INT4_CLIPS: u32 = 40;

/// Scales that are given instead of searched, by layer; none by default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WeightScales {
    layers: BTreeMap<String, Vec<f64>>,
}

impl WeightScales {
    /// The best ones of every layer with 4-bit weights.
    pub(crate) fn search(vae: &Vae, bits: &WeightBits) -> Self {
        let four = |layer: &&Layer| bits.of(&layer.name) == 4 && layer.op.bias().is_some();
        let scales = |layer: &Layer| (layer.name.clone(), Self::rows(layer, 4));
        Self { layers: vae.layers().filter(four).map(scales).collect() }
    }

    /// The best ones of a layer's rows, before any floor.
    pub(super) fn rows(layer: &Layer, bits: u8) -> Vec<f64> {
        let rows = layer.op.output().channels.max(1);
        let row = layer.op.weight().len().div_ceil(rows).max(1);
        layer.op.weight().chunks(row).map(|row| row_scale(row, bits)).collect()
    }

    /// Gives a layer these.
    pub(super) fn insert(&mut self, layer: &str, scales: Vec<f64>) {
        self.layers.insert(layer.to_string(), scales);
    }

    /// Those of a layer of the float graph.
    pub(crate) fn layer_mut(&mut self, layer: &str) -> Option<&mut Vec<f64>> {
        self.layers.get_mut(layer)
    }

    /// As bit patterns, which JSON keeps exactly.
    pub(super) fn to_bits(&self) -> BTreeMap<String, Vec<u64>> {
        let bits = |scales: &Vec<f64>| scales.iter().map(|scale| scale.to_bits()).collect();
        self.layers.iter().map(|(layer, scales)| (layer.clone(), bits(scales))).collect()
    }

    /// From [`to_bits`](Self::to_bits); what is no positive number becomes the least one.
    pub(super) fn from_bits(layers: BTreeMap<String, Vec<u64>>) -> Self {
        let scale = |bits: u64| {
            let scale = f64::from_bits(bits);
            if scale.is_finite() && scale > 1e-30 { scale } else { 1e-30 }
        };
        let scales = |bits: Vec<u64>| bits.into_iter().map(scale).collect();
        Self { layers: layers.into_iter().map(|(layer, bits)| (layer, scales(bits))).collect() }
    }

    /// Those of a layer; a merged head `mu+logvar` has its parts' one after the other.
    pub(super) fn of(&self, layer: &str) -> Option<Vec<f64>> {
        if let Some(scales) = self.layers.get(layer) {
            return Some(scales.clone());
        }
        let mut all = Vec::new();
        for part in layer.split('+') {
            all.extend(self.layers.get(part)?);
        }
        Some(all)
    }
}

/// Real size of a unit, before any floor: the one with the least squared error.
pub(super) fn row_scale(row: &[f32], bits: u8) -> f64 {
    let largest = f64::from(row.iter().fold(0f32, |max, w| max.max(w.abs())));
    if bits != 4 {
        return largest / INT8_REACH;
    }
    // With 16 steps, clipping a few large weights often costs less than coarse steps.
    let error = |scale: f64| -> f64 {
        let step = |w: f64| f64::from(integer(w, scale, 4)) * scale - w;
        row.iter().map(|&w| step(w.into()).powi(2)).sum()
    };
    (INT4_CLIPS / 3..=INT4_CLIPS)
        .map(|clip| largest / INT4_REACH * f64::from(clip) / f64::from(INT4_CLIPS))
        .map(|scale| scale.max(1e-30))
        .min_by(|a, b| error(*a).total_cmp(&error(*b)))
        .unwrap_or(1e-30)
}

/// Least and greatest weight.
pub(super) fn reach<T: From<i8>>(bits: u8) -> (T, T) {
    let (least, most) = if bits == 4 { (-8, 7) } else { (-127, 127) };
    (least.into(), most.into())
}

/// The integer nearest to `w`, half away from zero.
pub(crate) fn integer(w: f64, scale: f64, bits: u8) -> i8 {
    let (least, most) = reach(bits);
    let q = (w / scale).clamp(least, most);
    // `as` truncates: one instruction where `round` is a call.
    (q + 0.5f64.copysign(q)) as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_round_half_away_and_stay_in_range() {
        let of = |w: f64, bits| integer(w, 0.5, bits);
        assert_eq!([of(0.74, 8), of(0.75, 8), of(-0.75, 8), of(-0.74, 8)], [1, 2, -2, -1]);
        assert_eq!([of(99.0, 4), of(-99.0, 4), of(99.0, 8), of(-99.0, 8)], [7, -8, 127, -127]);
    }

    #[test]
    fn a_row_with_an_outlier_is_clipped() {
        let mut row: Vec<f32> = (0..400).map(|i| (i as f32 * 0.7).sin() * 0.1).collect();
        row[7] = 0.16;
        let scale = row_scale(&row, 4);
        assert!(scale < 0.16 / INT4_REACH, "{scale}");
        assert!((row_scale(&row, 8) - f64::from(0.16f32) / 127.0).abs() < 1e-12);
    }
}
