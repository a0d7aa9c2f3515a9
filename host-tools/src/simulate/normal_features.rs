//! Where the features of normal windows lie: what a device that learns its own normalization aims at.

use picovae_core::Model;

use crate::quantize::IntNormalFeatures;
use crate::recording::WindowSet;

/// Mean and deviation of each group of the core's own features, before they are rounded and clamped to int8.
pub(super) fn normal_features(
    model: &Model<'_>,
    normal: &WindowSet<'_>,
    raw: impl Fn(&[f32]) -> Vec<i16>,
) -> IntNormalFeatures {
    let frontend = model.frontend();
    let groups = frontend.groups();
    let mut scratch = vec![0u128; frontend.scratch_len().div_ceil(16)];
    let mut wide = vec![0i32; frontend.feature_len()];
    let (mut sums, mut squares) = (vec![0f64; groups], vec![0f64; groups]);
    for index in 0..normal.len() {
        let window = raw(normal.window(index).samples);
        frontend.wide(&window, &[], bytemuck::cast_slice_mut(&mut scratch), &mut wide);
        for (at, &v) in wide.iter().enumerate() {
            let group = at % groups;
            // Features on the int8 grid, near 0: no digits are lost to a far offset.
            let gain = f64::from(frontend.multiplier[group])
                * 2f64.powi(i32::from(frontend.shift[group]) - 31);
            let q = f64::from(frontend.zero_point)
                + gain * (f64::from(v) - f64::from(frontend.offset[group]));
            sums[group] += q;
            squares[group] += q * q;
        }
    }
    let count = (normal.len() * wide.len() / groups.max(1)).max(1) as f64;
    let mut found = IntNormalFeatures::default();
    for (sum, square) in sums.into_iter().zip(squares) {
        let mean = sum / count;
        let deviation = (square / count - mean * mean).max(0.0).sqrt();
        // `as` saturates.
        found.mean.push((256.0 * mean).round() as i16);
        found.deviation.push((256.0 * deviation).round() as u16);
    }
    found
}
