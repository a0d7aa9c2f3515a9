//! AdaRound (Nagel et al. 2020): whether each weight is rounded up or down is learnt, layer by layer,
//! so that the layer's output on its quantized inputs is the float model's.
//!
//! What comes out is a float model whose weights lie on their rows' grids, and those grids: lowered
//! with them, it gives the integers that were learnt, by the arithmetic that lowers every model.

mod learn;
mod matrix;

use indicatif::ProgressBar;
use ndarray::{Array2, ArrayView2, Axis, s};
use picovae_core::fixed::gaussian::Gaussian;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use self::learn::{Rounded, Rows};
use self::matrix::{Matrix, matrices};
use super::mirror::Mirror;
use super::observe::Ranges;
use super::weight_scales::{WeightScales, reach};
use super::{QuantizeError, QuantizeOptions, lower, spread};
use crate::graph::{Layer, Op, Trace, Vae};

/// How rounding is learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdaRound {
    /// Calibration windows, at most.
    pub windows: usize,
    /// Steps a layer.
    pub steps: usize,
    /// Seed of everything drawn.
    pub seed: u64,
}

impl Default for AdaRound {
    fn default() -> Self {
        Self { windows: 1_000, steps: 1_000, seed: 0 }
    }
}

/// Samples (windows, or places of them) a step.
const BATCH: usize = 64;
/// Samples of a layer, at most: a convolution has thousands of places.
const SAMPLES: usize = 8_192;
/// Rows learnt together on one thread.
const ROWS: usize = 32;

/// `vae` with its weights where they are to be rounded to and biases to match, and `options` with
/// the weights' scales: [`lower`] then rounds them there.
///
/// # Errors
/// As [`lower`]; [`QuantizeError::NoWindows`].
pub fn adaround(
    vae: &Vae,
    ranges: &Ranges,
    options: &QuantizeOptions,
    features: ArrayView2<'_, f32>,
    config: &AdaRound,
    progress: &ProgressBar,
) -> Result<(Vae, QuantizeOptions), QuantizeError> {
    if features.nrows() == 0 {
        return Err(QuantizeError::NoWindows);
    }
    let x = features.select(Axis(0), &spread(features.nrows(), config.windows));
    let mut draw = Gaussian::new(config.seed as u32);
    // The decoder is asked for the mean and for samples: every second window is one.
    let noise = Array2::from_shape_fn((x.nrows(), vae.latent_len()), |(row, _)| {
        let noise = draw.sample_q13() as f32 / 8192.0;
        if row % 2 == 0 { 0.0 } else { noise }
    });
    let float = Float { vae, x: &x, trace: vae.trace(x.view(), Some(noise.view())) };
    let mut options = QuantizeOptions { weight_scales: WeightScales::default(), ..options.clone() };
    let mut mirror = mirror_of(vae, ranges, &options)?;
    let same = |(layer, mirror): (&Layer, &super::MirrorLayer)| {
        // A convolution that the blob holds as a full matrix has other rows; a pool has none.
        let dense = |op: &Op| matches!(op, Op::FullyConnected { .. });
        layer.op.bias().is_some() && dense(&layer.op) == dense(mirror.op())
    };
    let learnt: Vec<bool> = vae.layers().zip(&mirror.layers).map(same).collect();
    // Both heads share a layer of the blob, and take the bits of `mu`.
    let is_logvar = |layer: &Layer| vae.logvar.as_ref().is_some_and(|l| l.name == layer.name);
    let bits_of = |layer: &Layer| {
        let name = if is_logvar(layer) { &vae.mu.name } else { &layer.name };
        options.weight_bits.of(name)
    };
    let bits: Vec<u8> = vae.layers().map(bits_of).collect();
    let rows: Vec<Vec<f64>> =
        vae.layers().zip(&bits).map(|(layer, bits)| scales(layer, *bits)).collect();
    for ((layer, learnt), rows) in vae.layers().zip(&learnt).zip(&rows) {
        if *learnt {
            options.weight_scales.insert(&layer.name, rows.clone());
        }
    }
    let mut rounded = vae.clone();
    let steps = |(layer, learnt): (&Layer, &bool)| {
        let channels = layer.op.output().channels;
        match &layer.op {
            _ if !learnt => 0,
            // A matrix a channel.
            Op::DepthwiseConvolution { .. } => channels * config.steps,
            _ => channels.div_ceil(ROWS) * config.steps,
        }
    };
    progress.set_length(vae.layers().zip(&learnt).map(steps).sum::<usize>() as u64);

    let encoder = vae.encoder.len();
    let mut seen = mirror.features(x.clone());
    let mut heads: Vec<Array2<f32>> = Vec::new();
    for (at, layer) in vae.layers().enumerate() {
        let head = at >= encoder && heads.len() < 1 + usize::from(vae.logvar.is_some());
        if learnt.get(at) == Some(&true) {
            progress.set_message(layer.name.clone());
            let seed = ChaCha8Rng::seed_from_u64(config.seed.wrapping_add(at as u64));
            let linear = layer.linear(float.input(at).view());
            let task = Task { layer, bits: bits[at], scales: &rows[at], config, progress };
            if let Some(to) = rounded.layers_mut().nth(at) {
                task.run(&seen, &linear, seed, &mut to.op);
            }
            mirror = mirror_of(&rounded, ranges, &options)?;
        }
        let Some(device) = mirror.layers.get(at) else { return Err(QuantizeError::NoMirror) };
        let real = device.run(seen.view()).real;
        if !head {
            seen = real;
            continue;
        }
        heads.push(real);
        if at + 1 == encoder + 1 + usize::from(vae.logvar.is_some()) {
            let z = crate::graph::sample(&heads[0], heads.get(1), Some(noise.view()));
            seen = mirror.latent(z);
        }
    }
    Ok((rounded, options))
}

fn mirror_of(
    vae: &Vae,
    ranges: &Ranges,
    options: &QuantizeOptions,
) -> Result<Mirror, QuantizeError> {
    Mirror::new(vae, &lower(vae, ranges, options)?).ok_or(QuantizeError::NoMirror)
}

/// Size of a step of each row.
fn scales(layer: &Layer, bits: u8) -> Vec<f64> {
    WeightScales::rows(layer, bits).into_iter().map(|scale| scale.max(1e-30)).collect()
}

/// The float model's activations.
struct Float<'v> {
    vae: &'v Vae,
    x: &'v Array2<f32>,
    trace: Trace,
}

impl Float<'_> {
    /// What layer `at` reads.
    fn input(&self, at: usize) -> &Array2<f32> {
        let encoder = self.vae.encoder.len();
        let decoder = encoder + 1 + usize::from(self.vae.logvar.is_some());
        let before = |outputs: &'_ [Array2<f32>], at: usize| {
            at.checked_sub(1).filter(|at| *at < outputs.len())
        };
        if at < decoder {
            let outputs = &self.trace.encoder;
            return before(outputs, at.min(encoder)).map_or(self.x, |at| &outputs[at]);
        }
        let outputs = &self.trace.decoder;
        before(outputs, at - decoder).map_or(&self.trace.latent, |at| &outputs[at])
    }
}

/// A layer to be rounded.
struct Task<'t> {
    layer: &'t Layer,
    bits: u8,
    scales: &'t [f64],
    config: &'t AdaRound,
    progress: &'t ProgressBar,
}

impl Task<'_> {
    /// Learns on what the device will read, against the float model's sums, and writes weights and biases.
    fn run(&self, seen: &Array2<f32>, linear: &Array2<f32>, mut rng: ChaCha8Rng, to: &mut Op) {
        for matrix in matrices(&self.layer.op, seen, linear, SAMPLES, &mut rng) {
            let samples = matrix.inputs.nrows();
            let batches: Vec<Vec<usize>> = (0..self.config.steps)
                .map(|_| (0..BATCH.min(samples)).map(|_| rng.random_range(0..samples)).collect())
                .collect();
            let starts: Vec<usize> = (0..matrix.rows.len()).step_by(ROWS).collect();
            let parts: Vec<(usize, Rounded)> = starts
                .into_par_iter()
                .map(|start| {
                    let rows = start..(start + ROWS).min(matrix.rows.len());
                    (
                        matrix.rows.start + start,
                        self.rows(&matrix, rows).learn(&batches, self.progress),
                    )
                })
                .collect();
            for (first, part) in parts {
                self.write(first, &part, to);
            }
        }
    }

    fn rows<'m>(&self, matrix: &'m Matrix, rows: std::ops::Range<usize>) -> Rows<'m> {
        let columns = matrix.inputs.ncols();
        let all = matrix.rows.start + rows.start..matrix.rows.start + rows.end;
        let scales = self.scales.get(all.clone()).unwrap_or(&[]);
        let weights = self.layer.op.weight();
        let step = |(row, column): (usize, usize)| {
            let weight = weights.get((all.start + row) * columns + column).copied().unwrap_or(0.0);
            (f64::from(weight) / scales[row]) as f32
        };
        let bias = self.layer.op.bias().map_or(Vec::new(), |bias| bias.to_vec());
        Rows {
            steps: Array2::from_shape_fn((rows.len(), columns), step),
            scales: scales.iter().map(|scale| *scale as f32).collect(),
            bias: bias.get(all).unwrap_or(&[]).to_vec(),
            reach: reach(self.bits),
            activation: self.layer.activation,
            inputs: matrix.inputs.view(),
            targets: matrix.targets.slice(s![.., rows]),
        }
    }

    fn write(&self, first: usize, part: &Rounded, to: &mut Op) {
        let columns = part.integers.ncols();
        let Some((weight, bias)) = to.parameters_mut() else { return };
        for (row, integers) in part.integers.rows().into_iter().enumerate() {
            let at = first + row;
            let scale = self.scales[at];
            for (w, q) in weight[at * columns..(at + 1) * columns].iter_mut().zip(integers) {
                *w = (f64::from(*q) * scale) as f32;
            }
            bias[at] = part.bias[row];
        }
    }
}
