//! How much each unit matters.

use ndarray::Array2;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use super::remove::{Unit, units};
use crate::graph::{Layer, Vae};
use crate::recording::WindowSet;
use crate::train::{Float, GradientBatch, Gradients, LossConfig, Sigma, Stream, gradients, stream};

/// What the importance of a unit is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// First-order Taylor: how much the loss would change without the unit,
    /// `(sum over its weights and bias of w * dL/dw)^2`, batch by batch (Molchanov et al. 2019).
    Taylor,
    /// Euclidean length of its weights.
    Magnitude,
    /// Root mean square of what it gives.
    Activation,
    /// Nothing: the baseline.
    Random,
}

impl Criterion {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Taylor, Self::Magnitude, Self::Activation, Self::Random];

    /// The name used on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Taylor => "taylor",
            Self::Magnitude => "magnitude",
            Self::Activation => "activation",
            Self::Random => "random",
        }
    }
}

impl std::str::FromStr for Criterion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|one| one.name().eq_ignore_ascii_case(text.trim()));
        found.ok_or_else(|| {
            format!("unknown criterion `{text}`; known: taylor, magnitude, activation, random")
        })
    }
}

impl std::fmt::Display for Criterion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Windows a batch.
const BATCH: usize = 128;

/// The importance of every unit that may be removed, on at most `windows` windows of the data.
pub fn importance(
    vae: &Vae,
    data: &WindowSet<'_>,
    criterion: Criterion,
    windows: usize,
    seed: u64,
) -> Vec<(Unit, f64)> {
    let units = units(vae);
    let by_layer: Vec<Vec<f64>> = match criterion {
        Criterion::Taylor => taylor(vae, data, windows, seed),
        Criterion::Magnitude => vae.layers().map(magnitude).collect(),
        Criterion::Activation => activation(vae, batches(vae, data, windows)),
        Criterion::Random => {
            let mut rng = stream(seed, Stream::Init);
            let mut draw = |layer: &Layer| {
                (0..layer.op.output().channels).map(|_| rng.random::<f64>()).collect()
            };
            vae.layers().map(&mut draw).collect()
        }
    };
    let of = |unit: &Unit| by_layer.get(unit.layer)?.get(unit.channel).copied();
    units.into_iter().map(|unit| (unit, of(&unit).unwrap_or(0.0))).collect()
}

/// Features of at most `windows` windows, evenly spread.
fn batches(vae: &Vae, data: &WindowSet<'_>, windows: usize) -> impl Iterator<Item = Array2<f32>> {
    let step = data.len().div_ceil(windows.max(1)).max(1);
    let rows: Vec<usize> = (0..data.len()).step_by(step).collect();
    let batches = rows.chunks(BATCH).map(|rows| data.features(&vae.frontend, rows));
    batches.collect::<Vec<_>>().into_iter()
}

/// Runs `each` on the gradient of every batch of at most `windows` windows.
pub(super) fn slopes(
    vae: &Vae,
    data: &WindowSet<'_>,
    windows: usize,
    seed: u64,
    mut each: impl FnMut(&Gradients),
) {
    let mut rng = stream(seed, Stream::Latent);
    let config = LossConfig { beta: 1.0, sigma: Sigma::Optimal };
    for x in batches(vae, data, windows) {
        let shape = (x.nrows(), vae.latent_len());
        let noise = Array2::from_shape_simple_fn(shape, || StandardNormal.sample(&mut rng));
        let batch = GradientBatch { input: x.clone(), target: x, noise, teacher: None };
        each(&gradients(vae, &batch, config, 2, &Float).0);
    }
}

fn magnitude(layer: &Layer) -> Vec<f64> {
    let channels = layer.op.output().channels.max(1);
    let row = layer.op.weight().len() / channels;
    let square = |row: &[f32]| row.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>();
    layer.op.weight().chunks(row.max(1)).map(|row| square(row).sqrt()).collect()
}

fn taylor(vae: &Vae, data: &WindowSet<'_>, windows: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut sums: Vec<Vec<f64>> =
        vae.layers().map(|layer| vec![0.0; layer.op.output().channels]).collect();
    slopes(vae, data, windows, seed, |gradient| {
        for ((layer, gradient), sums) in vae.layers().zip(&gradient.layers).zip(&mut sums) {
            let (weight, Some(bias)) = (layer.op.weight(), layer.op.bias()) else { continue };
            let row = (weight.len() / bias.len().max(1)).max(1);
            let rows = weight.chunks(row).zip(gradient.weight.chunks(row));
            let biases = bias.iter().zip(&gradient.bias);
            for ((sum, (weight, slope)), (bias, by_bias)) in sums.iter_mut().zip(rows).zip(biases) {
                let dot: f64 =
                    weight.iter().zip(slope).map(|(w, g)| f64::from(*w) * f64::from(*g)).sum();
                *sum += (dot + f64::from(*bias) * f64::from(*by_bias)).powi(2);
            }
        }
    });
    sums
}

fn activation(vae: &Vae, batches: impl Iterator<Item = Array2<f32>>) -> Vec<Vec<f64>> {
    let mut sums: Vec<Vec<f64>> =
        vae.layers().map(|layer| vec![0.0; layer.op.output().channels]).collect();
    for x in batches {
        let trace = vae.trace(x.view(), None);
        let heads = std::iter::once(&trace.mu).chain(&trace.logvar);
        let outputs = trace.encoder.iter().chain(heads).chain(&trace.decoder);
        for (y, sums) in outputs.zip(&mut sums) {
            let channels = sums.len().max(1);
            for row in y.rows() {
                for (at, y) in row.iter().enumerate() {
                    sums[at % channels] += f64::from(*y).powi(2);
                }
            }
        }
    }
    sums.into_iter().map(|sums| sums.into_iter().map(f64::sqrt).collect()).collect()
}
