//! The device's arithmetic on batches of windows: what a quantized model's layers
//! give, to the bit, fast enough to train through.
//!
//! Sums of int8 products are formed by matrix products of f32, which are exact as
//! long as every partial sum is below 2^24 (checked against the weights, else f64);
//! everything behind the sums calls the core's own functions. A test holds it to
//! the core's activations.

use ndarray::{Array2, ArrayView2};
use picovae_core::fixed::Rounding;
use picovae_core::fixed::requantize::{requantize, requantize_single, saturate_i16};
use picovae_core::score::reconstruction_error::GRID_FRAC_BITS;

use super::grid::{Grid, Multiplier};
use super::integers::{IntLayer, IntLikelihood, IntMatrix, IntOp, IntOutput, QuantizedVae};
use crate::emit::pack::transposed_phases;
use crate::graph::{Layer, Op, Vae};

/// A layer with its integers in the graph's order of storage.
#[derive(Debug, Clone)]
pub struct MirrorLayer {
    /// Integer weights as f32; biases are kept apart.
    op: Op,
    /// One an output channel, the zero point not folded in.
    bias: Vec<i64>,
    multiplier: Vec<Multiplier>,
    /// Real value of one unit of a channel's sum.
    unit: Vec<f64>,
    input: Grid,
    output: IntOutput,
    rounding: Rounding,
    /// Real value of one unit of the output, and its zero point.
    grid: Vec<(f64, f64)>,
    /// Whether f32 holds every sum.
    exact: bool,
}

/// What a layer gives.
#[derive(Debug, Clone)]
pub struct MirrorOutput {
    /// Integers, `[window][element]`: int8 or int16.
    pub integers: Array2<i32>,
    /// What they stand for.
    pub real: Array2<f32>,
    /// The exact sums as real numbers: what the activation is applied to.
    pub linear: Array2<f32>,
    /// 0 where a clamp or a saturation decided, else 1.
    pub passes: Array2<f32>,
}

/// A quantized model, ready for batches.
#[derive(Debug, Clone)]
pub struct Mirror {
    /// In [`Vae::layers`]' order; heads apart.
    pub layers: Vec<MirrorLayer>,
    features: Grid,
    latent: Grid,
    mu_unit: f64,
    z_multiplier: Multiplier,
}

impl Mirror {
    /// Of a model and what [`lower`](super::lower) made of it; `None` where their layers differ.
    pub fn new(vae: &Vae, quantized: &QuantizedVae) -> Option<Self> {
        let mut grid = quantized.frontend.grid;
        let latent = &quantized.latent;
        let mut layers = Vec::new();
        let mut graph = vae.layers();
        for (index, lowered) in quantized.layers.iter().enumerate() {
            if index == quantized.encoder_len {
                grid = latent.grid;
            }
            let head = index + 1 == quantized.encoder_len;
            if head && latent.has_logvar {
                let (mu, logvar) = split(lowered, latent.len);
                let units = [latent.mu_frac_bits, latent.logvar_frac_bits]
                    .map(|bits| 0.5f64.powi(bits.into()));
                for (half, unit) in [mu, logvar].iter().zip(units) {
                    let layer = graph.next()?;
                    let grids = vec![(unit, 0.0); latent.len];
                    layers.push(MirrorLayer::new(layer, half, grid, grids)?);
                }
            } else {
                let layer = graph.next()?;
                let channels = layer.op.output().channels;
                let own = match &lowered.output {
                    IntOutput::Int8 { grid, .. } => (grid.scale, f64::from(grid.zero_point)),
                    IntOutput::Int16 { scale } | IntOutput::Widened { scale, .. } => (*scale, 0.0),
                };
                // A Gaussian output lies on the features' grid, zero point and all.
                let last = index + 1 == quantized.layers.len();
                let own = match &quantized.likelihood {
                    IntLikelihood::Gaussian { .. } if last => {
                        let fractions = f64::from(1u32 << GRID_FRAC_BITS);
                        (own.0, fractions * f64::from(quantized.frontend.grid.zero_point))
                    }
                    _ => own,
                };
                let grids = vec![own; channels];
                layers.push(MirrorLayer::new(layer, lowered, grid, grids)?);
            }
            if let IntOutput::Int8 { grid: next, .. } = &lowered.output {
                grid = *next;
            }
        }
        graph.next().is_none().then_some(Self {
            layers,
            features: quantized.frontend.grid,
            latent: latent.grid,
            mu_unit: 0.5f64.powi(latent.mu_frac_bits.into()),
            z_multiplier: latent.multiplier,
        })
    }

    /// Features as the encoder reads them.
    pub fn features(&self, mut x: Array2<f32>) -> Array2<f32> {
        x.mapv_inplace(|x| self.features.dequantize(self.features.quantize(f64::from(x))) as f32);
        x
    }

    /// A latent (`mu`, or a sample) as the decoder reads it.
    pub fn latent(&self, mut z: Array2<f32>) -> Array2<f32> {
        let Multiplier { multiplier, shift } = self.z_multiplier;
        z.mapv_inplace(|z| {
            let z = (f64::from(z) / self.mu_unit).round().clamp(-32_768.0, 32_767.0) as i32;
            let q = requantize_single(z, multiplier, shift)
                .saturating_add(self.latent.zero_point.into())
                .clamp(-128, 127);
            self.latent.dequantize(q as i8) as f32
        });
        z
    }
}

impl MirrorLayer {
    fn new(layer: &Layer, lowered: &IntLayer, input: Grid, grid: Vec<(f64, f64)>) -> Option<Self> {
        let mut op = layer.op.clone();
        if !matches!(op, Op::FullyConnected { .. })
            && matches!(lowered.op, IntOp::FullyConnected { .. })
        {
            // A head that was made dense.
            let (weight, bias) = layer.dense();
            op = Op::FullyConnected { weight, bias }.standard();
        }
        let channels = op.output().channels;
        let zero_point = i64::from(input.zero_point);
        let mut integers = vec![0i8; op.weight().len()];
        let mut bias = vec![0; channels];
        let mut multiplier = vec![Multiplier { multiplier: 0, shift: 0 }; channels];
        match (&lowered.op, lowered.matrices.as_slice()) {
            (_, []) => {}
            (IntOp::TransposedConvolution(geometry), phases) => {
                let (kernel, stride) = (geometry.kernel, geometry.stride);
                let positions: Vec<usize> = (0..integers.len()).collect();
                let at = transposed_phases(&positions, kernel, geometry.input.channels, stride);
                for (phase, at) in phases.iter().zip(&at) {
                    for (weight, at) in phase.weights.iter().zip(at) {
                        *integers.get_mut(*at)? = *weight;
                    }
                    (bias, multiplier) = unfolded(phase, zero_point);
                }
            }
            (_, [matrix, ..]) => {
                (bias, multiplier) = unfolded(matrix, zero_point);
                integers.clone_from(&matrix.weights);
            }
        }
        let row = integers.len().checked_div(channels).unwrap_or(0).max(1);
        // |q - zero_point| is at most 255.
        let largest = integers
            .chunks(row)
            .map(|row| row.iter().map(|w| 255 * u64::from(w.unsigned_abs())).sum::<u64>());
        let exact = largest.max().unwrap_or(0) < 1 << 24;
        let table = match &lowered.output {
            IntOutput::Int8 { table, .. } => table.is_some(),
            IntOutput::Int16 { .. } => false,
            IntOutput::Widened { .. } => true,
        };
        let unit = |(at, m): (usize, &Multiplier)| {
            if table {
                // The multiplier leads to the table's input, whose grid is not kept.
                let row = at * row..(at + 1) * row;
                let float = op.weight().get(row.clone()).unwrap_or(&[]);
                return input.scale * row_scale(float, integers.get(row).unwrap_or(&[]));
            }
            let factor = f64::from(m.multiplier) * 2f64.powi(i32::from(m.shift) - 31);
            factor * grid.get(at).map_or(1.0, |grid| grid.0)
        };
        let unit: Vec<f64> = multiplier.iter().enumerate().map(unit).collect();
        if let Some((weight, float_bias)) = op.parameters_mut() {
            if weight.len() != integers.len() {
                return None;
            }
            weight.iter_mut().zip(&integers).for_each(|(to, w)| *to = f32::from(*w));
            float_bias.fill(0.0);
        }
        let (output, rounding) = (lowered.output.clone(), lowered.rounding);
        Some(Self { op, bias, multiplier, unit, input, output, rounding, grid, exact })
    }

    /// The operator with the real numbers its integers stand for.
    pub fn effective(&self) -> Op {
        let mut op = self.op.clone();
        self.write_effective(&mut op);
        op
    }

    /// [`effective`](Self::effective) into an operator of the same shape; another one is left alone.
    pub(crate) fn write_effective(&self, op: &mut Op) {
        let integers = self.op.weight();
        let Some((weight, bias)) = op.parameters_mut() else { return };
        if weight.len() != integers.len() || bias.len() != self.bias.len() {
            return;
        }
        let row = (weight.len() / self.bias.len().max(1)).max(1);
        let rows = weight.chunks_mut(row).zip(integers.chunks(row));
        for ((weight, integers), unit) in rows.zip(&self.unit) {
            // The unit of a sum holds the input's scale, too.
            let unit = (unit / self.input.scale) as f32;
            weight.iter_mut().zip(integers).for_each(|(w, q)| *w = q * unit);
        }
        for ((to, bias), unit) in bias.iter_mut().zip(&self.bias).zip(&self.unit) {
            *to = (*bias as f64 * unit) as f32;
        }
    }

    /// The operator on integers: weights are whole numbers, biases 0.
    pub(crate) fn op(&self) -> &Op {
        &self.op
    }

    /// Whether f32 holds every sum of [`op`](Self::op) exactly.
    pub(crate) fn is_exact(&self) -> bool {
        self.exact || self.op.bias().is_none()
    }

    /// Real value of one unit of [`centred`](Self::centred).
    pub(crate) fn input_unit(&self) -> f32 {
        self.input.scale as f32
    }

    /// `q - zero_point` of real numbers on the input's grid; a convolution's padding is a real 0, as here.
    pub(crate) fn centred(&self, x: ArrayView2<'_, f32>) -> Array2<f32> {
        let scale = self.input.scale;
        // Adding and taking away 3 * 2^22 rounds to the nearest whole number; grids have no ties.
        const ROUND: f32 = 12_582_912.0;
        x.mapv(|x| ((f64::from(x) / scale) as f32 + ROUND) - ROUND)
    }

    /// Runs the layer on real numbers of its input's grid, `[window][element]`.
    pub fn run(&self, x: ArrayView2<'_, f32>) -> MirrorOutput {
        let centred = self.centred(x);
        if self.is_exact() {
            return self.finish(&self.op.forward(centred.view()));
        }
        self.finish(&exact_in_parts(&self.op, &centred))
    }

    /// From exact sums to what the layer gives.
    pub(crate) fn finish<S: Copy + Into<f64>>(&self, sums: &Array2<S>) -> MirrorOutput {
        let (scale, channels) = (self.input.scale, self.grid.len().max(1));
        let pool = self.op.bias().is_none();
        let len = sums.len();
        let mut integers = Vec::with_capacity(len);
        let (mut real, mut linear) = (Vec::with_capacity(len), Vec::with_capacity(len));
        let mut passes = Vec::with_capacity(len);
        // The bias of a Gaussian output holds the features' zero point.
        let direct = matches!(self.output, IntOutput::Int16 { .. });
        let zero = |channel: usize| {
            let (unit, zero_point) = self.grid[channel];
            if direct { unit * zero_point } else { 0.0 }
        };
        let mut channel = 0;
        for &sum in sums {
            let sum: f64 = sum.into();
            let (value, exact) = if pool {
                // Half away from zero, as the core's mean of q.
                let q = sum + f64::from(self.input.zero_point);
                (q.round() as i32 - i32::from(self.input.zero_point), sum * scale)
            } else {
                let acc = sum as i64 + self.bias[channel];
                let Multiplier { multiplier, shift } = self.multiplier[channel];
                let value = requantize(acc as i32, multiplier, shift, self.rounding);
                (value, acc as f64 * self.unit[channel] - zero(channel))
            };
            let (q, pass) = self.write(value);
            let (unit, zero_point) = self.grid[channel];
            integers.push(q);
            real.push((unit * (f64::from(q) - zero_point)) as f32);
            linear.push(exact as f32);
            passes.push(f32::from(u8::from(pass)));
            channel = if channel + 1 == channels { 0 } else { channel + 1 };
        }
        let shaped = |values| {
            Array2::from_shape_vec(sums.dim(), values)
                .unwrap_or_else(|_| unreachable!("one value a sum"))
        };
        let integers = Array2::from_shape_vec(sums.dim(), integers)
            .unwrap_or_else(|_| unreachable!("one value a sum"));
        MirrorOutput {
            integers,
            real: shaped(real),
            linear: shaped(linear),
            passes: shaped(passes),
        }
    }

    /// The core's end of a row, and whether the value got through unclamped.
    fn write(&self, value: i32) -> (i32, bool) {
        let clamped = |zero_point: i8, min: i8, max: i8| {
            let q = value.saturating_add(zero_point.into());
            let end = q.min(max.into()).max(min.into());
            (end, end == q)
        };
        match &self.output {
            IntOutput::Int8 { zero_point, min, max, table, .. } => {
                let (q, pass) = clamped(*zero_point, *min, *max);
                match table {
                    Some(table) => (i32::from(table[(q + 128) as usize]), pass),
                    None => (q, pass),
                }
            }
            IntOutput::Int16 { .. } => {
                let q = i32::from(saturate_i16(value));
                (q, q == value)
            }
            IntOutput::Widened { zero_point, min, max, table, .. } => {
                let (q, pass) = clamped(*zero_point, *min, *max);
                (i32::from(table[(q + 128) as usize]), pass)
            }
        }
    }
}

/// The real size of a row's integers: least squares against the weights they came from.
fn row_scale(float: &[f32], integers: &[i8]) -> f64 {
    let (mut product, mut square) = (0f64, 0f64);
    for (w, q) in float.iter().zip(integers) {
        product += f64::from(*w) * f64::from(*q);
        square += f64::from(*q).powi(2);
    }
    if square > 0.0 { product / square } else { 0.0 }
}

/// Sums that f32 could not hold: columns in parts, added in f64.
fn exact_in_parts(op: &Op, x: &Array2<f32>) -> Array2<f64> {
    // 2^24 / (255 * 127)
    const COLUMNS: usize = 512;
    match op {
        Op::FullyConnected { weight, .. } => {
            let mut sums = Array2::zeros((x.nrows(), weight.nrows()));
            for start in (0..weight.ncols()).step_by(COLUMNS) {
                let part = ndarray::s![.., start..(start + COLUMNS).min(weight.ncols())];
                sums += &x.slice(part).dot(&weight.slice(part).t()).mapv(f64::from);
            }
            sums
        }
        // Input channels in parts would need a copy each: one input at a time is rare and exact.
        _ => {
            let mut sums = Array2::zeros((x.nrows(), op.output().len()));
            for start in (0..x.ncols()).step_by(COLUMNS) {
                let mut part = Array2::zeros(x.dim());
                let columns = ndarray::s![.., start..(start + COLUMNS).min(x.ncols())];
                part.slice_mut(columns).assign(&x.slice(columns));
                sums += &op.forward(part.view()).mapv(f64::from);
            }
            sums
        }
    }
}

/// Biases without the zero point, and multipliers.
fn unfolded(matrix: &IntMatrix, zero_point: i64) -> (Vec<i64>, Vec<Multiplier>) {
    let row = matrix.inputs.max(1);
    let sums = matrix.weights.chunks(row).map(|row| row.iter().map(|w| i64::from(*w)).sum::<i64>());
    let bias = matrix.bias.iter().zip(sums).map(|(b, sum)| i64::from(*b) + zero_point * sum);
    (bias.collect(), matrix.multiplier.clone())
}

/// The two halves of a merged head.
fn split(head: &IntLayer, latent: usize) -> (IntLayer, IntLayer) {
    let half = |from: usize| {
        let mut half = head.clone();
        for matrix in &mut half.matrices {
            let rows = from..from + latent;
            let weights = rows.start * matrix.inputs..rows.end * matrix.inputs;
            matrix.weights = matrix.weights.get(weights).unwrap_or(&[]).to_vec();
            matrix.bias = matrix.bias.get(rows.clone()).unwrap_or(&[]).to_vec();
            matrix.multiplier = matrix.multiplier.get(rows).unwrap_or(&[]).to_vec();
        }
        half
    };
    (half(0), half(latent))
}
