//! Resizing: nearest neighbor by whole factors, whatever the coordinates are called.

use super::fold;
use super::reader::{Item, Now, Reader, Refusal, again};
use crate::import::network::Kind;

impl Reader<'_> {
    pub(super) fn resize(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let x = now.value(0)?;
        let full = self.full_shape(x)?;
        let attributes = &now.attributes;
        let remedy = || "use nearest upsampling by a whole factor, or a transposed convolution";
        let mode = attributes.text("mode", "nearest");
        if mode != "nearest" {
            return Err((format!("interpolates ({mode})"), remedy().into()));
        }
        let upsample = now.node.op_type == "Upsample";
        // Inputs: Resize-10 and Upsample (x, scales), Resize-11 (x, roi, scales, sizes).
        let (scales_at, sizes_at) = if upsample || self.opset() < 11 { (1, 9) } else { (2, 3) };
        let given = |i: usize| now.constant(i).filter(|tensor| tensor.len() > 0);
        let scales = match (attributes.floats("scales"), given(scales_at), given(sizes_at)) {
            (Some(scales), ..) => scales,
            (None, Some(scales), _) => scales.floats(),
            (None, None, Some(sizes)) => {
                sizes.floats().iter().zip(&full).map(|(to, from)| to / *from as f32).collect()
            }
            _ => return Err(("its size is computed from the window".into(), remedy().into())),
        };
        let mut all = vec![1.0; full.len()];
        let axes = attributes.ints("axes").unwrap_or_else(|| (0..full.len() as i64).collect());
        if axes.len() != scales.len() {
            return Err(again("its scales do not fit its input"));
        }
        for (axis, scale) in axes.iter().zip(scales) {
            let axis = fold::index(*axis, full.len()).ok_or_else(|| again("has no such axis"))?;
            all[axis] = scale;
        }
        let whole = |scale: &f32| scale.fract() == 0.0 && (1.0..=255.0).contains(scale);
        if !all.iter().all(whole) || all[0] != 1.0 {
            return Err((format!("resizes by {:?}", &all[1..]), remedy().into()));
        }
        let factors: Vec<usize> = all[1..].iter().map(|scale| *scale as usize).collect();
        let coordinates = if upsample || self.opset() < 11 {
            "asymmetric".to_string()
        } else {
            attributes.text("coordinate_transformation_mode", "half_pixel")
        };
        let rounding = if upsample || self.opset() < 11 {
            "floor".to_string()
        } else {
            attributes.text("nearest_mode", "round_prefer_floor")
        };
        for (factor, len) in factors.iter().zip(&full[1..]) {
            if !repeats(*factor, *len, &coordinates, &rounding) {
                return Err((
                    format!("takes its neighbors by {coordinates} and {rounding}"),
                    "export with asymmetric coordinates and floor, as PyTorch does".into(),
                ));
            }
        }
        Ok(self.one(now, Kind::Upsample { factors }, &[x]))
    }
}

/// Whether these coordinates repeat each element `factor` times. It is enough
/// to look at the first and last elements: the rest lies in between.
fn repeats(factor: usize, len: usize, coordinates: &str, rounding: &str) -> bool {
    if factor == 1 {
        return true;
    }
    let out = (factor * len) as f32;
    let source = |i: f32| match coordinates {
        "asymmetric" => i / factor as f32,
        "tf_half_pixel_for_nn" => (i + 0.5) / factor as f32,
        "align_corners" => i * (len as f32 - 1.0) / (out - 1.0),
        _ => (i + 0.5) / factor as f32 - 0.5,
    };
    let round = |x: f32| match rounding {
        "floor" => x.floor(),
        "ceil" => x.ceil(),
        "round_prefer_ceil" => (x + 0.5).floor(),
        _ => (x - 0.5).ceil(),
    };
    (0..factor * len.min(4)).all(|i| {
        let at = round(source(i as f32)).clamp(0.0, len as f32 - 1.0);
        at == (i / factor) as f32
    })
}
