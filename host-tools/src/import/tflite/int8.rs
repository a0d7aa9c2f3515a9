//! A full-int8 file as an integer model that gives, to the bit, what the reference kernels give.
//!
//! ```text
//! path of operators ─► one layer each (layers, tables) ─► split at the latent ─► heads widened
//! ```
//! The two heads of the device's model, latent and reconstruction, are int16; here they are the
//! file's int8 values, looked up in tables of what they stand for ([`IntOutput::Widened`]).

use picovae_core::fixed::Rounding;
use picovae_core::score::reconstruction_error::GRID_FRAC_BITS;

use super::super::Problem;
use super::TfliteOptions;
use super::heads::{widen_latent, widened};
use super::layers::{self, Linear, grid, linear, quantized};
use super::names::{Names, layer_name};
use super::path::{self, Path, Step};
use super::schema::{File, TensorKind, code};
use super::tables::{FileGrid, Table, elementwise, in_float};
use crate::graph::{Frontend, Likelihood, Provenance, ScoreKind};
use crate::quantize::{
    Extras, Grid, IntLayer, IntOutput, QuantizeError, QuantizedVae, lower_frontend,
    lower_likelihood, mean_square,
};

/// An int8 model of another framework, read as it is: its numbers are kept, it is not calibrated.
#[derive(Debug, Clone, PartialEq)]
pub struct Int8Model {
    /// The model, for windows of one channel; [`with_frontend`](Self::with_frontend) gives it others.
    pub vae: QuantizedVae,
    /// Shape of its input, the batch left out.
    pub input_shape: Vec<usize>,
    /// What was decided where the file leaves a choice.
    pub notes: Vec<String>,
}

/// Raw counts a step of the features' grid. Odd, so that rounding to counts, and then to
/// features, is rounding to features; and 255.5 steps fit an int16.
const COUNTS: f32 = 127.0;

impl Int8Model {
    /// The model behind this front-end. Where `lsb` is `None`, a raw count is a 127th of a
    /// feature's step: the device then quantizes samples as the framework does.
    ///
    /// # Errors
    /// [`QuantizeError`] where the front-end has other features than the model reads, or does not
    /// fit integers.
    pub fn with_frontend(
        mut self,
        mut frontend: Frontend,
        lsb: Option<f32>,
    ) -> Result<Self, QuantizeError> {
        frontend.validate()?;
        let (needed, got) = (self.vae.frontend.float.input_len(), frontend.input_len());
        if needed != got {
            return Err(QuantizeError::Features { needed, got });
        }
        let grid = self.vae.frontend.grid;
        frontend.input_lsb = match lsb {
            Some(lsb) => vec![lsb],
            None => frontend.scale.iter().map(|s| s * grid.scale as f32 / COUNTS).collect(),
        };
        self.vae.frontend = lower_frontend(&frontend, grid)?;
        Ok(self)
    }

    /// The model for recordings that hold the int8 values it reads: each is a feature.
    ///
    /// # Errors
    /// As [`with_frontend`](Self::with_frontend).
    pub fn with_int8_samples(
        self,
        window_len: usize,
        hop: usize,
        channels: usize,
    ) -> Result<Self, QuantizeError> {
        let grid = self.vae.frontend.grid;
        let frontend = Frontend {
            offset: vec![grid.zero_point.into(); channels],
            scale: vec![(1.0 / grid.scale) as f32; channels],
            ..Frontend::identity(window_len, hop, channels)
        };
        self.with_frontend(frontend, Some(1.0))
    }
}

/// Whether the model computes in integers: an operator with weights reads them.
pub(super) fn is_int8(file: &File<'_>) -> bool {
    file.operators.iter().any(|operator| {
        let weighty = matches!(
            operator.code,
            code::FULLY_CONNECTED | code::CONV_2D | code::DEPTHWISE_CONV_2D | code::TRANSPOSE_CONV
        );
        let from = operator.inputs.get(path::data_input(operator)).copied().flatten();
        let kind = from.and_then(|from| file.tensors.get(from)).map(|tensor| tensor.kind);
        weighty && matches!(kind, Some(TensorKind::Int8 | TensorKind::Uint8 | TensorKind::Int16))
    })
}

/// A layer and the grid of what it writes.
struct Lowered {
    layer: IntLayer,
    grid: FileGrid,
}

/// Reads the model; on failure everything that is wrong with it.
pub(super) fn read(
    file: &File<'_>,
    path: &Path<'_, '_>,
    bytes: usize,
    options: &TfliteOptions,
    latent: Option<&str>,
    provenance: Provenance,
    name: String,
) -> Result<Int8Model, Vec<Problem>> {
    let (features, layers) = lower(file, path, bytes, options.fully_connected_rounding)?;
    let encoder_len = split(&layers, latent).map_err(|problem| vec![problem])?;
    let mut notes = Vec::new();
    let count = layers.len();
    let names =
        |layers: &[Lowered]| layers.last().map(|l| l.layer.name.clone()).unwrap_or_default();
    if latent.is_none() {
        notes.push(format!(
            "`{}` is taken for the latent, the narrowest layer; --latent-layer NAME chooses another",
            names(&layers[..encoder_len])
        ));
    }
    if !path.others.is_empty() {
        notes.push(format!("outputs left out: {}", path.others.join(", ")));
    }
    let features_len = path.input.len();
    let unit = f64::from(features.scale) / f64::from(1u32 << GRID_FRAC_BITS);
    let mut latent = None;
    let mut int_layers = Vec::with_capacity(count);
    for (index, Lowered { mut layer, grid }) in layers.into_iter().enumerate() {
        if index + 1 == encoder_len {
            let (output, found) = widen_latent(&layer, grid);
            latent = Some(found);
            layer.output = output;
        } else if index + 1 == count {
            let zero = f64::from(features.scale) * f64::from(features.zero_point);
            layer.output = widened(&layer, grid, unit, zero);
        }
        int_layers.push(layer);
    }
    let grid = Grid { scale: features.scale.into(), zero_point: features.zero_point as i8 };
    let frontend = Frontend {
        input_lsb: vec![features.scale / COUNTS],
        ..Frontend::identity(features_len, features_len, 1)
    };
    let refused = |error: QuantizeError| {
        vec![Problem::new(&path.input.name, error.to_string(), "scale the model's input")]
    };
    let likelihood = Likelihood::Gaussian { precision: None };
    let Some(latent) = latent else { unreachable!("a split lies inside of the layers") };
    Ok(Int8Model {
        vae: QuantizedVae {
            name,
            provenance,
            rounding: Rounding::Double,
            frontend: lower_frontend(&frontend, grid).map_err(refused)?,
            layers: int_layers,
            encoder_len,
            latent,
            likelihood: lower_likelihood(&likelihood, features_len, unit).map_err(refused)?,
            score: ScoreKind::ReconstructionError,
            mean_square: mean_square(unit, features_len).map_err(refused)?,
            extras: Extras::default(),
        },
        input_shape: path.input.inner_shape().to_vec(),
        notes,
    })
}

/// Every layer with its int8 output, and the grid of the features.
fn lower(
    file: &File<'_>,
    path: &Path<'_, '_>,
    bytes: usize,
    rounding: Rounding,
) -> Result<(FileGrid, Vec<Lowered>), Vec<Problem>> {
    let mut problems = Vec::new();
    let mut layers: Vec<Lowered> = Vec::new();
    let mut names = Names::default();
    let mut budget = 4 * bytes;
    // The features' grid: of what the first operator in int8 reads.
    let is_entry = |step: &&Step<'_, '_>| step.operator.code == code::QUANTIZE;
    let entries = path.steps.iter().take_while(is_entry).count();
    let last = path.steps.len();
    let exit = |step: &Step<'_, '_>| match step.operator.code {
        code::DEQUANTIZE => true,
        code::QUANTIZE => step.output.kind == TensorKind::Uint8,
        _ => false,
    };
    let exits = path.steps.iter().rev().take_while(|step| exit(step)).count();
    let features = match path.steps.get(..entries).and_then(<[_]>::last) {
        Some(step) => entry(&path.steps[..entries])
            .map_err(|refusal| layers::problem(&step.output.name, step, refusal)),
        None => grid(path.input)
            .map_err(|(reason, remedy)| Problem::new(&path.input.name, reason, remedy)),
    };
    let inner = path.steps.get(entries..last.saturating_sub(exits)).unwrap_or(&[]);
    let mut rest = inner;
    while let Some((step, behind)) = rest.split_first() {
        rest = behind;
        let name = layer_name(file, step, &mut names);
        let fallible = match step.operator.code {
            code::RESHAPE | code::SQUEEZE | code::EXPAND_DIMS => reshape(step),
            code::FULLY_CONNECTED
            | code::CONV_2D
            | code::DEPTHWISE_CONV_2D
            | code::TRANSPOSE_CONV
            | code::MAX_POOL_2D
            | code::AVERAGE_POOL_2D => lower_linear(file, step, &name, rounding, &mut budget)
                .map(|lowered| layers.push(lowered)),
            code::DEQUANTIZE => {
                let end = behind.iter().position(|step| step.operator.code == code::QUANTIZE);
                let (floats, after) = behind.split_at(end.map_or(behind.len(), |end| end + 1));
                rest = after;
                island(step, floats, layers.last_mut())
            }
            _ => {
                let table = grid(step.input).and_then(|from| {
                    elementwise(step.operator, from, grid(step.output)?)
                        .ok_or_else(|| unsupported(step.operator.code))
                });
                table.and_then(|table| join(step, &table, layers.last_mut()))
            }
        };
        if let Err(refusal) = fallible {
            problems.push(layers::problem(&name, step, refusal));
        }
    }
    match features {
        Ok(features) if problems.is_empty() => Ok((features, layers)),
        Ok(_) => Err(problems),
        Err(problem) => {
            problems.insert(0, problem);
            Err(problems)
        }
    }
}

/// The grid behind the operators that bring the input to int8.
fn entry(steps: &[Step<'_, '_>]) -> Result<FileGrid, layers::Refusal> {
    let mut last = None;
    for step in steps {
        let to = grid(step.output)?;
        let kept = match step.input.kind {
            TensorKind::Float32 => true,
            // The same step, counted from -128 rather than 0.
            TensorKind::Uint8 => {
                let from = quantized(step.input, 0..=255)?;
                from.scale == to.scale && from.zero_point - 128 == to.zero_point
            }
            _ => grid(step.input)? == to,
        };
        if !kept {
            return Err((
                "the input is requantized before the first layer".into(),
                "convert with inference_input_type int8",
            ));
        }
        last = Some(to);
    }
    last.ok_or_else(|| ("nothing quantizes the input".into(), "convert with int8 input"))
}

fn reshape(step: &Step<'_, '_>) -> Result<(), layers::Refusal> {
    if step.input.len() == step.output.len() && grid(step.input)? == grid(step.output)? {
        return Ok(());
    }
    Err(("it changes more than the shape".into(), "convert with a batch of one window"))
}

fn lower_linear(
    file: &File<'_>,
    step: &Step<'_, '_>,
    name: &str,
    fully_connected: Rounding,
    budget: &mut usize,
) -> Result<Lowered, layers::Refusal> {
    let rounding = match step.operator.code {
        code::FULLY_CONNECTED => fully_connected,
        _ => Rounding::Double,
    };
    let Linear { op, matrices, fused } = linear(file, step, rounding, budget)?;
    let (input, to) = (grid(step.input)?, grid(step.output)?);
    let Some((min, max)) = to.clamp(fused) else {
        return Err((
            format!("the function {fused:?} is fused into it"),
            "convert with TFLITE_BUILTINS_INT8, which fuses ReLU, ReLU6 and ReLU-1 only",
        ));
    };
    let zero_point = to.zero_point as i8;
    let grid = Grid { scale: to.scale.into(), zero_point };
    let layer = IntLayer {
        name: name.to_string(),
        op,
        bits: 8,
        matrices,
        input_zero_point: input.zero_point as i8,
        rounding,
        output: IntOutput::Int8 { grid, zero_point, min, max, table: None },
    };
    Ok(Lowered { layer, grid: to })
}

/// What lies between a dequantization and a quantization: functions that int8 kernels lack.
fn island(
    step: &Step<'_, '_>,
    floats: &[Step<'_, '_>],
    layer: Option<&mut Lowered>,
) -> Result<(), layers::Refusal> {
    let Some((last, functions)) = floats.split_last() else {
        return Err(("the model goes on in float".into(), "convert with int8 output"));
    };
    let operators: Vec<_> = functions.iter().map(|step| step.operator).collect();
    let table = in_float(&operators, grid(step.input)?, grid(last.output)?).map_err(|name| {
        let reason = format!("it leads to {name} in float");
        (reason, "replace that layer, or import the float model")
    })?;
    join(last, &table, layer)
}

/// An elementwise function behind a layer becomes part of the layer's table.
fn join(
    step: &Step<'_, '_>,
    function: &Table,
    layer: Option<&mut Lowered>,
) -> Result<(), layers::Refusal> {
    let to = grid(step.output)?;
    let Some(lowered) = layer else {
        return Err((
            "it comes before the first layer".into(),
            "apply it to the samples instead, or put a layer in front",
        ));
    };
    let IntOutput::Int8 { grid, table, .. } = &mut lowered.layer.output else {
        unreachable!("layers are int8 until the heads are widened")
    };
    let then = |q: i8| function[(i32::from(q) + 128) as usize];
    let joined: Table = match table {
        Some(table) => table.map(then),
        None => *function,
    };
    *table = Some(Box::new(joined));
    *grid = Grid { scale: to.scale.into(), zero_point: to.zero_point as i8 };
    lowered.grid = to;
    Ok(())
}

/// What to do about an operator that no int8 layer is.
fn unsupported(operator: i32) -> layers::Refusal {
    let remedy = match operator {
        code::ADD | code::MUL | code::SUB | code::EXP | code::RANDOM_STANDARD_NORMAL => {
            "take the sampling step out before converting: the decoder reads mu"
        }
        code::CONCATENATION | code::SPLIT | code::SLICE | code::STRIDED_SLICE => {
            "convert a model that is one path from the window to its reconstruction"
        }
        code::MEAN => "use AveragePooling over the whole length instead of global pooling",
        code::PAD => "use padding=\"same\" or longer windows",
        code::RESIZE_NEAREST_NEIGHBOR => "use a transposed convolution instead of upsampling",
        code::GELU => "use relu, elu, tanh or leaky_relu, or import the float model",
        _ => "replace the layer, or import the float model",
    };
    ("no int8 layer of the device computes it".into(), remedy)
}

/// How many layers are the encoder's.
fn split(layers: &[Lowered], latent: Option<&str>) -> Result<usize, Problem> {
    let len = |op: &crate::quantize::IntOp| op.output_len();
    let inner = layers.len().checked_sub(1).and_then(|last| layers.get(..last)).unwrap_or(&[]);
    let found = match latent {
        Some(name) => inner.iter().position(|lowered| lowered.layer.name == name),
        None => {
            let narrowest = inner.iter().enumerate().min_by_key(|(_, l)| len(&l.layer.op));
            narrowest.map(|(index, _)| index)
        }
    };
    let names: Vec<&str> = inner.iter().map(|lowered| lowered.layer.name.as_str()).collect();
    found.map(|index| index + 1).ok_or_else(|| match latent {
        Some(name) => Problem::new(
            name,
            "no layer of that name before the last",
            format!("name one of {}", names.join(", ")),
        ),
        None => Problem::new(
            "layers",
            format!("{} layers make no encoder and decoder", layers.len()),
            "convert the whole model",
        ),
    })
}
