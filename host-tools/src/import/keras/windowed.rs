//! Convolutions, pools, padding and upsampling of Keras.

use super::Refused;
use super::config::Layer;
use super::model::Reader;
use super::store::Place;
use crate::import::network::{Kind, Padding, Pool, Value, Window};
use ndarray::{Array1, Array4, ArrayD, Axis, Ix4};

/// Names of a convolution's weights over the versions.
const KERNEL: &[&str] = &["kernel"];
const BIAS: &[&str] = &["bias"];
const DEPTHWISE: &[&str] = &["depthwise_kernel", "kernel"];
const POINTWISE: &[&str] = &["pointwise_kernel"];

impl Reader {
    pub(super) fn convolution(
        &mut self,
        layer: Layer<'_>,
        x: Value,
        place: &Place,
    ) -> Result<Value, Refused> {
        let mut arrays = self.store.variables(place, &with_bias(layer, &[KERNEL]))?.into_iter();
        // `[length][width][in][out]`
        let kernel = four_axes(arrays.next())?;
        let window = window(layer, [kernel.len_of(Axis(0)), kernel.len_of(Axis(1))])?;
        let weight = standard(kernel.permuted_axes([3, 0, 1, 2]));
        let groups = layer.lengths("groups").and_then(|g| g.first().copied()).unwrap_or(1);
        let bias = vector(arrays.next());
        Ok(self.add(layer, Kind::Convolution { weight, bias, window, groups }, &[x]))
    }

    pub(super) fn transposed_convolution(
        &mut self,
        layer: Layer<'_>,
        x: Value,
        place: &Place,
    ) -> Result<Value, Refused> {
        if layer.config.get("output_padding").is_some_and(|padding| !padding.is_null()) {
            return Err(Refused::new(
                "an explicit output_padding is not read",
                "leave output_padding out and crop the output instead",
            ));
        }
        let mut arrays = self.store.variables(place, &with_bias(layer, &[KERNEL]))?.into_iter();
        // `[length][width][out][in]`
        let kernel = four_axes(arrays.next())?;
        let taps = [kernel.len_of(Axis(0)), kernel.len_of(Axis(1))];
        let window = window(layer, taps)?;
        // Without padding, Keras fills the last stride of a kernel that is shorter.
        let short = |axis: usize| match window.padding {
            Padding::Explicit(_) => window.stride[axis].saturating_sub(taps[axis]),
            _ => 0,
        };
        let kind = Kind::TransposedConvolution {
            weight: standard(kernel.permuted_axes([2, 0, 1, 3])),
            bias: vector(arrays.next()),
            window,
            output_padding: [short(0), short(1)],
            groups: 1,
        };
        Ok(self.add(layer, kind, &[x]))
    }

    /// A depthwise convolution; with `separable` the 1x1 convolution behind it.
    pub(super) fn depthwise_convolution(
        &mut self,
        layer: Layer<'_>,
        x: Value,
        place: &Place,
        separable: bool,
    ) -> Result<Value, Refused> {
        let names: &[&[&str]] = if separable { &[DEPTHWISE, POINTWISE] } else { &[DEPTHWISE] };
        let mut arrays = self.store.variables(place, &with_bias(layer, names))?.into_iter();
        // `[length][width][in][multiplier]`
        let kernel = four_axes(arrays.next())?;
        let (length, width, groups, multiplier) = kernel.dim();
        let window = window(layer, [length, width])?;
        let flat = kernel.into_shape_with_order((length, width, 1, groups * multiplier));
        let flat = flat.map_err(|_| odd_kernel())?;
        let weight = standard(flat.permuted_axes([3, 0, 1, 2]));
        let pointwise = if separable { Some(four_axes(arrays.next())?) } else { None };
        let bias = vector(arrays.next());
        let Some(pointwise) = pointwise else {
            return Ok(self.add(layer, Kind::Convolution { weight, bias, window, groups }, &[x]));
        };
        let depthwise = Kind::Convolution { weight, bias: None, window, groups };
        let y = self.add(layer, depthwise, &[x]);
        let weight = standard(pointwise.permuted_axes([3, 0, 1, 2]));
        let window = Window::default();
        Ok(self.add(layer, Kind::Convolution { weight, bias, window, groups: 1 }, &[y]))
    }

    pub(super) fn pool(
        &mut self,
        layer: Layer<'_>,
        x: Value,
        pool: Pool,
    ) -> Result<Value, Refused> {
        let kernel = pair(layer, "pool_size", 2)?;
        let mut window = window(layer, kernel)?;
        if layer.config.get("strides").is_none_or(serde_json::Value::is_null) {
            window.stride = kernel;
        }
        Ok(self.add(layer, Kind::Pool { pool, kernel, window, ceil: false }, &[x]))
    }

    pub(super) fn global_pool(
        &mut self,
        layer: Layer<'_>,
        x: Value,
        pool: Pool,
    ) -> Result<Value, Refused> {
        channels_last(layer)?;
        let keep_axes = layer.flag("keepdims", false);
        Ok(self.add(layer, Kind::GlobalPool { pool, keep_axes }, &[x]))
    }

    pub(super) fn upsampling(&mut self, layer: Layer<'_>, x: Value) -> Result<Value, Refused> {
        channels_last(layer)?;
        if layer.text("interpolation").is_some_and(|way| way != "nearest") {
            return Err(Refused::new(
                "only interpolation=\"nearest\" is exact in integers",
                "upsample with interpolation=\"nearest\", or use a transposed convolution",
            ));
        }
        let [length, width] = pair(layer, "size", 2)?;
        let mut factors = vec![length, width];
        factors.truncate(axes(layer));
        factors.push(1);
        Ok(self.add(layer, Kind::Upsample { factors }, &[x]))
    }

    /// Zeros around length and width; with `sign` -1 what is cut off there.
    pub(super) fn pad(
        &mut self,
        layer: Layer<'_>,
        x: Value,
        key: &str,
        sign: isize,
    ) -> Result<Value, Refused> {
        channels_last(layer)?;
        let odd = || Refused::new(format!("its {key} is not read"), "give whole numbers");
        let amount = |json: &serde_json::Value| {
            let amount = isize::try_from(json.as_u64()?).ok().filter(|n| *n < 1 << 16)?;
            Some(amount * sign)
        };
        let both = |json: &serde_json::Value| match json.as_array() {
            Some(list) => match &list[..] {
                [before, after] => Some((amount(before)?, amount(after)?)),
                _ => None,
            },
            None => amount(json).map(|n| (n, n)),
        };
        let value = layer.config.get(key).ok_or_else(odd)?;
        // `p` for all axes; 1-D `[before, after]`; 2-D a number or pair an axis.
        let padding = match (axes(layer), value.as_array()) {
            (axes, None) => vec![both(value); axes].into_iter().collect::<Option<Vec<_>>>(),
            (1, Some(list)) if list.len() == 1 => both(&list[0]).map(|pair| vec![pair]),
            (1, Some(_)) => both(value).map(|pair| vec![pair]),
            (_, Some(list)) => list.iter().map(both).collect(),
        };
        let mut padding = padding.ok_or_else(odd)?;
        padding.push((0, 0));
        Ok(self.add(layer, Kind::Pad { padding }, &[x]))
    }
}

/// Axes that the window of a layer moves along, by its class.
fn axes(layer: Layer<'_>) -> usize {
    if layer.class.contains("1D") { 1 } else { 2 }
}

fn channels_last(layer: Layer<'_>) -> Result<(), Refused> {
    match layer.text("data_format") {
        Some("channels_first") => Err(Refused::new(
            "data_format=\"channels_first\" is not read",
            "build the model with data_format=\"channels_last\", Keras' default",
        )),
        _ => Ok(()),
    }
}

/// A setting of one or two axes; width is 1 in 1-D.
fn pair(layer: Layer<'_>, key: &str, default: usize) -> Result<[usize; 2], Refused> {
    let given = layer.lengths(key);
    if given.is_none() && layer.config.get(key).is_some_and(|value| !value.is_null()) {
        return Err(Refused::new(format!("its {key} is not read"), "give whole numbers"));
    }
    let given = given.unwrap_or_else(|| vec![default]);
    match (axes(layer), &given[..]) {
        (1, [length]) => Ok([*length, 1]),
        (2, [both]) => Ok([*both; 2]),
        (2, [length, width]) => Ok([*length, *width]),
        _ => Err(Refused::new(format!("its {key} is {given:?}"), "give one number an axis")),
    }
}

/// Stride, padding and dilation of a layer with a kernel of `taps`.
fn window(layer: Layer<'_>, taps: [usize; 2]) -> Result<Window, Refused> {
    channels_last(layer)?;
    let dilation = pair(layer, "dilation_rate", 1)?;
    let padding = match layer.text("padding") {
        Some("same") => Padding::Same,
        Some("causal") => {
            let before = taps[0].saturating_sub(1).saturating_mul(dilation[0]);
            Padding::Explicit([(before, 0), (0, 0)])
        }
        Some("valid") | None => Padding::VALID,
        Some(other) => {
            return Err(Refused::new(
                format!("padding `{other}` is not read"),
                "use same or valid",
            ));
        }
    };
    Ok(Window { stride: pair(layer, "strides", 1)?, padding, dilation })
}

fn with_bias<'n>(layer: Layer<'_>, kernels: &[&'n [&'n str]]) -> Vec<&'n [&'n str]> {
    let bias = layer.flag("use_bias", true).then_some(BIAS);
    kernels.iter().copied().chain(bias).collect()
}

fn odd_kernel() -> Refused {
    Refused::new(
        "its kernel has another number of axes than its class",
        "save the model again with model.save(path)",
    )
}

/// A kernel with an axis for the width, which 1-D convolutions lack.
fn four_axes(kernel: Option<ArrayD<f32>>) -> Result<Array4<f32>, Refused> {
    let kernel = kernel.ok_or_else(odd_kernel)?;
    let kernel = if kernel.ndim() == 3 { kernel.insert_axis(Axis(1)) } else { kernel };
    let kernel = kernel.into_dimensionality::<Ix4>().map_err(|_| odd_kernel())?;
    Ok(standard(kernel))
}

fn standard(kernel: Array4<f32>) -> Array4<f32> {
    kernel.as_standard_layout().into_owned()
}

fn vector(array: Option<ArrayD<f32>>) -> Option<Array1<f32>> {
    array.map(|array| array.into_iter().collect())
}
