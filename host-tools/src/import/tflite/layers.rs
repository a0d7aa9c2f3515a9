//! One int8 operator of the file as an integer layer, every number as the reference kernels have it.

use picovae_core::fixed::Rounding;

use super::super::Problem;
use super::path::Step;
use super::schema::{File, Fused, Tensor, TensorKind, code};
use super::tables::FileGrid;
use crate::emit::pack::transposed_phases;
use crate::graph::{Geometry, Shape};
use crate::quantize::{IntMatrix, IntOp, Multiplier};

/// A layer without its output.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) op: IntOp,
    pub(super) matrices: Vec<IntMatrix>,
    /// The function fused into it.
    pub(super) fused: Fused,
}

/// Why an operator cannot be a layer, and what to do.
pub(super) type Refusal = (String, &'static str);

const EXPORT: &str = "convert the model again; the file is not what a converter writes";
const INT8: &str =
    "convert with full int8 quantization: TFLITE_BUILTINS_INT8, inference input and output int8";

fn refuse<T>(reason: impl Into<String>, remedy: &'static str) -> Result<T, Refusal> {
    Err((reason.into(), remedy))
}

/// The int8 grid of an activation.
pub(super) fn grid(tensor: &Tensor<'_>) -> Result<FileGrid, Refusal> {
    if tensor.kind != TensorKind::Int8 {
        return refuse(format!("`{}` is {}, not int8", tensor.name, tensor.kind), INT8);
    }
    quantized(tensor, -128..=127)
}

/// The one scale and zero point of a tensor.
pub(super) fn quantized(
    tensor: &Tensor<'_>,
    zero_points: std::ops::RangeInclusive<i64>,
) -> Result<FileGrid, Refusal> {
    match (&tensor.scale[..], &tensor.zero_point[..]) {
        (&[scale], &[zero_point]) if is_scale(scale) && zero_points.contains(&zero_point) => {
            Ok(FileGrid { scale, zero_point: zero_point as i32 })
        }
        _ => refuse(format!("`{}` has no usable scale and zero point", tensor.name), INT8),
    }
}

fn is_scale(scale: f32) -> bool {
    scale.is_finite() && scale > 1e-30
}

/// The operator's linear part; `budget` are the weights that may still be read.
pub(super) fn linear<'a>(
    file: &File<'a>,
    step: &Step<'a, '_>,
    rounding: Rounding,
    budget: &mut usize,
) -> Result<Linear, Refusal> {
    let (input, output) = (grid(step.input)?, grid(step.output)?);
    if matches!(step.operator.code, code::MAX_POOL_2D | code::AVERAGE_POOL_2D) {
        return pool(step, input == output);
    }
    let weights = step.operand(file, 1);
    let bias = step.operand(file, if step.operator.code == code::TRANSPOSE_CONV { 3 } else { 2 });
    let weights = Weights::new(step, weights, budget)?;
    let ([rows, height, width, columns], per_axis) = weights.dims;
    let rows =
        Rows { input, output, values: &weights, bias: biases(bias, rows)?, per_axis, rounding };
    let one = |op, fused| Ok(Linear { op, matrices: vec![rows.matrix(weights.values)?], fused });
    let kernel = [height, width];
    match step.operator.code {
        code::FULLY_CONNECTED => {
            let fused = step.operator.fused(0).map_err(|_| damaged())?;
            let places = step.input.len() / columns;
            if step.input.len() != places * columns || step.output.len() != places * rows.bias.len()
            {
                return refuse(
                    format!("its weights read {columns} values of {}", step.input.len()),
                    EXPORT,
                );
            }
            if places == 1 {
                let op = IntOp::FullyConnected { inputs: columns, outputs: rows.bias.len() };
                for (what, n) in [("inputs", columns), ("outputs", rows.bias.len())] {
                    limit(what, n)?;
                }
                return one(op, fused);
            }
            // Over the last axis of several places: a convolution of one tap.
            let input = Shape::new(places, 1, columns);
            let g = Geometry::convolution(input, rows.bias.len(), [1; 2], [1; 2], [(0, 0); 2]);
            sound(&g, false)?;
            one(IntOp::Convolution(g), fused)
        }
        code::TRANSPOSE_CONV => {
            let (g, fused) = windowed(step, kernel, rows.bias.len(), true)?;
            if g.input.channels != columns {
                return refuse("its weights have another number of channels", EXPORT);
            }
            let phases = transposed_phases(weights.values, g.kernel, columns, g.stride);
            let matrices =
                phases.into_iter().map(|phase| rows.matrix(&phase)).collect::<Result<_, _>>()?;
            Ok(Linear { op: IntOp::TransposedConvolution(g), matrices, fused })
        }
        code::DEPTHWISE_CONV_2D => {
            let (g, fused) = windowed(step, kernel, rows.bias.len(), false)?;
            // The file has the channels innermost.
            let (taps, channels) = (height * width, rows.bias.len());
            let turned: Vec<i8> = (0..channels)
                .flat_map(|c| (0..taps).map(move |tap| tap * channels + c))
                .filter_map(|at| weights.values.get(at).copied())
                .collect();
            let op = match (g.input.channels, channels) {
                (a, b) if a == b => IntOp::DepthwiseConvolution(g),
                // Every output sees the one channel there is.
                (1, _) => IntOp::Convolution(g),
                _ => {
                    return refuse(
                        "it gives several outputs a channel",
                        "use depth_multiplier=1, or an ordinary convolution",
                    );
                }
            };
            Ok(Linear { op, matrices: vec![rows.matrix(&turned)?], fused })
        }
        _ => {
            let (g, fused) = windowed(step, kernel, rows.bias.len(), false)?;
            if g.input.channels != columns {
                return refuse("it is grouped", "use groups=1, or a depthwise convolution");
            }
            one(IntOp::Convolution(g), fused)
        }
    }
}

fn pool(step: &Step<'_, '_>, same_grid: bool) -> Result<Linear, Refusal> {
    if !same_grid {
        return refuse("its input and output have different scales", EXPORT);
    }
    let channels = step.input.shape.last().copied().unwrap_or(0);
    let kernel = step.operator.window().map_err(|_| damaged())?.kernel;
    let (geometry, fused) = windowed(step, kernel, channels, false)?;
    let op = match step.operator.code {
        code::MAX_POOL_2D => IntOp::MaxPool(geometry),
        _ => IntOp::AveragePool(geometry),
    };
    Ok(Linear { op, matrices: Vec::new(), fused })
}

fn damaged() -> Refusal {
    ("its options are damaged".into(), EXPORT)
}

fn limit(what: &str, n: usize) -> Result<(), Refusal> {
    if (1..=usize::from(u16::MAX)).contains(&n) {
        return Ok(());
    }
    refuse(format!("it has {n} {what}; a device takes 1 to 65,535"), "make the layer narrower")
}

fn sound(geometry: &Geometry, transposed: bool) -> Result<(), Refusal> {
    geometry.check(transposed).map_err(|reason| {
        (reason.to_string(), "change kernel, stride or padding so that every output sees an input")
    })
}

/// Geometry and fused function of a windowed operator with these kernel and outputs.
fn windowed(
    step: &Step<'_, '_>,
    kernel: [usize; 2],
    outputs: usize,
    transposed: bool,
) -> Result<(Geometry, Fused), Refusal> {
    let options = step.operator.window().map_err(|_| damaged())?;
    let (&[1, h, w, c], &[1, out_h, out_w, out_c]) =
        (&step.input.shape[..], &step.output.shape[..])
    else {
        return refuse(
            format!("it reads {:?} and gives {:?}", step.input.shape, step.output.shape),
            "convert with a batch of one window, [1, height, width, channels]",
        );
    };
    if options.dilation != [1; 2] {
        return refuse("it is dilated", "use dilation 1 and a larger kernel or stride");
    }
    if options.stride.contains(&0) || kernel.contains(&0) || [h, w, c, out_h, out_w].contains(&0) {
        return refuse("a size or stride is 0", EXPORT);
    }
    for (what, n) in [("inputs", step.input.len()), ("outputs", step.output.len())] {
        limit(what, n)?;
    }
    let axis = |input: usize, output: usize, axis: usize| -> Result<usize, Refusal> {
        let (kernel, stride) = (kernel[axis], options.stride[axis]);
        // A transposed convolution is padded as the convolution it undoes.
        let (from, to) = if transposed { (output, input) } else { (input, output) };
        let windows = match options.same {
            true => from.div_ceil(stride),
            false => from.saturating_add(stride).saturating_sub(kernel) / stride,
        };
        if windows != to {
            return refuse(format!("{input} inputs do not give {output} outputs"), EXPORT);
        }
        Ok(((windows - 1).saturating_mul(stride).saturating_add(kernel)).saturating_sub(from) / 2)
    };
    let mut geometry = Geometry {
        input: Shape::new(h, w, c),
        output: Shape::new(out_h, out_w, outputs),
        kernel,
        stride: options.stride,
        padding: [axis(h, out_h, 0)?, axis(w, out_w, 1)?],
    };
    if geometry.output.len() != step.output.len() {
        return refuse(format!("its weights give {outputs} channels, not {out_c}"), EXPORT);
    }
    if (h, out_h, kernel[0]) == (1, 1, 1) {
        // A signal that the converter laid along the width.
        (geometry.input, geometry.output) = (Shape::new(w, 1, c), Shape::new(out_w, 1, outputs));
        geometry.kernel.swap(0, 1);
        geometry.padding.swap(0, 1);
        geometry.stride = [options.stride[1], 1];
    }
    sound(&geometry, transposed)?;
    Ok((geometry, options.fused))
}

/// The weights of an operator, `[output][height][width][input]` but for depthwise ones.
struct Weights<'a> {
    values: &'a [i8],
    scales: &'a [f32],
    /// Outputs, kernel, columns; and whether there is a scale an output.
    dims: ([usize; 4], bool),
    /// Whether the scale's product with the input's is taken in f32.
    narrow_product: bool,
}

impl<'a> Weights<'a> {
    fn new<'f>(
        step: &Step<'a, '_>,
        tensor: Option<&'f Tensor<'a>>,
        budget: &mut usize,
    ) -> Result<Weights<'f>, Refusal> {
        let Some(tensor) = tensor.filter(|tensor| !tensor.data.is_empty()) else {
            return refuse("its weights are not in the file", "freeze the weights when converting");
        };
        if tensor.kind != TensorKind::Int8 || tensor.is_sparse {
            let kind = if tensor.is_sparse { "sparse".into() } else { tensor.kind.to_string() };
            return refuse(format!("its weights are {kind}, not dense int8"), INT8);
        }
        let depthwise = step.operator.code == code::DEPTHWISE_CONV_2D;
        let dense = step.operator.code == code::FULLY_CONNECTED;
        let (dims, axis) = match tensor.shape[..] {
            [outputs, inputs] if dense => ([outputs, 1, 1, inputs], 0),
            [1, h, w, outputs] if depthwise => ([outputs, h, w, 1], 3),
            [outputs, h, w, inputs] if !dense && !depthwise => ([outputs, h, w, inputs], 0),
            _ => return refuse(format!("its weights have the shape {:?}", tensor.shape), EXPORT),
        };
        if dims.contains(&0) || tensor.len() != tensor.data.len() {
            return refuse("its weights are cut off", EXPORT);
        }
        // Layers may share weights; a hostile file may share them without end.
        *budget = budget
            .checked_sub(tensor.len())
            .ok_or_else(|| ("the model reads its weights over and over".to_string(), EXPORT))?;
        let per_axis = tensor.scale.len() > 1;
        if tensor.zero_point.iter().any(|&zero_point| zero_point != 0) {
            return refuse("its weights have a zero point", INT8);
        }
        if !tensor.scale.iter().all(|&scale| is_scale(scale))
            || tensor.scale.is_empty()
            || (per_axis && (tensor.scale.len() != dims[0] || tensor.axis != axis))
        {
            return refuse("its weights have no usable scales", INT8);
        }
        Ok(Weights {
            values: bytemuck::cast_slice(tensor.data),
            scales: &tensor.scale,
            dims: (dims, per_axis),
            narrow_product: dense && !per_axis,
        })
    }
}

/// The biases, 0 where there are none.
fn biases(tensor: Option<&Tensor<'_>>, outputs: usize) -> Result<Vec<i32>, Refusal> {
    let Some(tensor) = tensor else { return Ok(vec![0; outputs]) };
    if tensor.kind != TensorKind::Int32 || tensor.data.len() != 4 * outputs {
        return refuse(format!("its bias is no int32 an output but {}", tensor.kind), INT8);
    }
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, i32::from_le_bytes);
    Ok(tensor.data.chunks_exact(4).map(word).collect())
}

/// What the rows of a layer share.
struct Rows<'w> {
    input: FileGrid,
    output: FileGrid,
    values: &'w Weights<'w>,
    bias: Vec<i32>,
    per_axis: bool,
    rounding: Rounding,
}

impl Rows<'_> {
    /// Rows with the input's zero point folded into their biases.
    fn matrix(&self, weights: &[i8]) -> Result<IntMatrix, Refusal> {
        let inputs = weights.len().checked_div(self.bias.len()).unwrap_or(0);
        let mut matrix = IntMatrix { inputs, weights: weights.to_vec(), ..IntMatrix::default() };
        for (row, &bias) in self.bias.iter().enumerate() {
            let row_weights = weights.get(row * inputs..(row + 1) * inputs).unwrap_or(&[]);
            let sum: i64 = row_weights.iter().map(|&weight| i64::from(weight)).sum();
            let folded = i64::from(bias) - i64::from(self.input.zero_point) * sum;
            let scale = self.values.scales.get(if self.per_axis { row } else { 0 }).copied();
            let scale = scale.unwrap_or(1.0);
            let product = match self.values.narrow_product {
                true => f64::from(self.input.scale * scale),
                false => f64::from(self.input.scale) * f64::from(scale),
            };
            let factor = product / f64::from(self.output.scale);
            let Some(multiplier) = Multiplier::from_factor(factor) else {
                return refuse(format!("its scale factor {factor:e} is beyond 2^15"), INT8);
            };
            let bound = folded.unsigned_abs() + inputs as u64 * 128 * 128;
            let doubled = self.rounding == Rounding::Double;
            let room = if doubled { multiplier.shift.max(0) } else { 0 };
            if bound > i32::MAX as u64 >> room {
                return refuse(
                    format!("sums of output {row} could leave 32 bits"),
                    "make the layer narrower, or train with weight decay",
                );
            }
            matrix.bias.push(folded as i32);
            matrix.multiplier.push(multiplier);
        }
        Ok(matrix)
    }
}

/// A refusal of `step` as a problem of the file.
pub(super) fn problem(name: &str, step: &Step<'_, '_>, (reason, remedy): Refusal) -> Problem {
    Problem::new(format!("{name} ({})", step.operator.operator_name()), reason, remedy)
}
