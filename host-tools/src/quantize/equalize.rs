//! Cross-layer equalization (Nagel et al. 2019): scales moved from a layer to the one behind it,
//! through activations that let a positive factor pass. The float function stays as it is.
//!
//! Weights have a scale a row here, so a channel's own weights gain and lose nothing. What is
//! gained is that a quiet channel uses more of the one grid its layer's activations share; what
//! it costs is that the reader's rows, which share a scale, become less even. Both are noise at
//! the reader's output, and the powers of range and weight with the least of it are taken; doing
//! nothing is one of the choices.

use ndarray::{Array2, ArrayView2, Axis};
use picovae_core::fixed::gaussian::Gaussian;

use super::joints::{Joint, importance, row_len};
use super::{QuantizeOptions, spread};
use crate::graph::{Layer, Trace, Vae};

/// Windows the channels are observed on, at most.
const WINDOWS: usize = 500;
/// A channel is made louder at most so many times, against its layer's loudest.
const MOST: f64 = 64.0;
/// Powers tried.
const POWERS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
/// The best 4-bit step of normal weights is about a third of their deviation, whatever the largest is.
const STEP_OF_DEVIATION: f64 = 0.335;

/// A model with the same outputs, whose integers lose less.
pub fn equalize(vae: &Vae, features: ArrayView2<'_, f32>, options: &QuantizeOptions) -> Vae {
    let mut equal = vae.clone();
    if features.nrows() == 0 {
        return equal;
    }
    let x = features.select(Axis(0), &spread(features.nrows(), WINDOWS));
    let mut draw = Gaussian::new(0);
    let noise = Array2::from_shape_simple_fn((x.nrows(), vae.latent_len()), || {
        draw.sample_q13() as f32 / 8192.0
    });
    // The decoder is asked for the mean and for samples.
    let traces = [vae.trace(x.view(), None), vae.trace(x.view(), Some(noise.view()))];
    for writer in 0..vae.layers().count() {
        // Outputs of other layers have not changed: joints do not touch each other.
        let Some(joint) = Joint::behind(&equal, writer).filter(|j| j.is_homogeneous(&equal)) else {
            continue;
        };
        let factors = Channels::of(vae, &traces, &joint).factors(&equal, &joint, options);
        scale(&mut equal, &joint, &factors);
    }
    equal
}

/// Multiplies each group of the writer, and divides what reads it.
pub(super) fn scale(vae: &mut Vae, joint: &Joint, factors: &[f64]) {
    for (at, layer) in vae.layers_mut().enumerate() {
        let row = row_len(&layer.op);
        if at == joint.writer
            && let Some((weight, bias)) = layer.op.parameters_mut()
        {
            let rows = weight.chunks_mut(row).zip(bias);
            for ((row, bias), factor) in rows.zip(factors.iter().cycle()) {
                row.iter_mut().for_each(|w| *w = (f64::from(*w) * factor) as f32);
                *bias = (f64::from(*bias) * factor) as f32;
            }
        } else if joint.readers.contains(&at) {
            let groups: Vec<usize> =
                (0..layer.op.weight().len()).map(|w| joint.group_read(&layer.op, w)).collect();
            let Some((weight, _)) = layer.op.parameters_mut() else { continue };
            for (w, group) in weight.iter_mut().zip(groups) {
                *w = (f64::from(*w) / factors.get(group).copied().unwrap_or(1.0)) as f32;
            }
        }
    }
}

/// What was seen of the groups of a joint.
struct Channels {
    /// Greatest magnitude of the writer's outputs.
    reach: Vec<f64>,
    /// Share of them that are not 0, whose rounding is exact.
    live: Vec<f64>,
    /// Mean square of what the readers see.
    square: Vec<f64>,
}

impl Channels {
    fn of(vae: &Vae, traces: &[Trace], joint: &Joint) -> Self {
        let groups = joint.groups;
        let (mut reach, mut live) = (vec![0f64; groups], vec![0f64; groups]);
        let mut square = vec![0f64; groups];
        let (mut written, mut read) = (0, 0);
        for trace in traces {
            let Some(output) = output(vae, trace, joint.writer) else { continue };
            written += output.len();
            for (at, x) in output.iter().enumerate() {
                let group = at % groups;
                reach[group] = reach[group].max(f64::from(x.abs()));
                live[group] += f64::from(u8::from(*x != 0.0));
            }
            let last = joint.pools.last().unwrap_or(&joint.writer);
            let Some(input) = self::output(vae, trace, *last) else { continue };
            read += input.len();
            input
                .iter()
                .enumerate()
                .for_each(|(at, x)| square[at % groups] += f64::from(*x).powi(2));
        }
        let each = |count: usize| (count / groups).max(1) as f64;
        live.iter_mut().for_each(|live| *live /= each(written));
        square.iter_mut().for_each(|square| *square /= each(read));
        Self { reach, live, square }
    }

    /// The factor of each group with the least noise at the readers.
    fn factors(&self, vae: &Vae, joint: &Joint, options: &QuantizeOptions) -> Vec<f64> {
        let readers = Reader::all(vae, joint, options);
        let loudest = self.reach.iter().fold(0f64, |max, reach| max.max(*reach));
        let mut weight = vec![0f64; joint.groups];
        for reader in &readers {
            for (index, w) in reader.weights() {
                weight[index.1] += reader.importance[index.0] * w * w;
            }
        }
        let heaviest = weight.iter().fold(0f64, |max, weight| max.max(*weight)).sqrt();
        if loudest <= 0.0 || heaviest <= 0.0 {
            return vec![1.0; joint.groups];
        }
        let candidate = |by_reach: f64, by_weight: f64| -> Vec<f64> {
            let shares = self.reach.iter().zip(&weight).map(|(reach, weight)| {
                let quiet = (reach / loudest).max(1.0 / MOST);
                let light = (weight.sqrt() / heaviest).max(1.0 / MOST);
                (quiet, (light.powf(by_weight) / quiet.powf(by_reach)).min(MOST))
            });
            let shares: Vec<(f64, f64)> = shares.collect();
            // The layer's range stays what it was.
            let most = shares.iter().fold(0f64, |max, (quiet, factor)| max.max(quiet * factor));
            shares.iter().map(|(_, factor)| factor / most).collect()
        };
        let choices = POWERS.iter().flat_map(|a| POWERS.map(|b| candidate(*a, b)));
        let noise = |factors: &Vec<f64>| self.noise(&readers, factors, loudest);
        let best = choices.map(|factors| (noise(&factors), factors));
        best.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(vec![1.0; joint.groups], |best| best.1)
    }

    /// Expected squared error of the readers' sums, weighted by what it means behind them.
    fn noise(&self, readers: &[Reader<'_>], factors: &[f64], loudest: f64) -> f64 {
        // The range is the loudest channel's, before and after.
        let step = loudest / 255.0;
        readers.iter().map(|reader| reader.noise(self, factors, step)).sum()
    }
}

/// A layer that reads a joint.
struct Reader<'v> {
    layer: &'v Layer,
    groups: Vec<usize>,
    row: usize,
    bits: u8,
    importance: Vec<f64>,
}

impl<'v> Reader<'v> {
    fn all(vae: &'v Vae, joint: &Joint, options: &QuantizeOptions) -> Vec<Self> {
        let layers: Vec<&Layer> = vae.layers().collect();
        let reader = |at: &usize| {
            let layer = *layers.get(*at)?;
            let len = layer.op.weight().len();
            Some(Self {
                layer,
                groups: (0..len).map(|w| joint.group_read(&layer.op, w)).collect(),
                row: row_len(&layer.op),
                bits: options.weight_bits.of(&layer.name),
                importance: importance(vae, *at),
            })
        };
        joint.readers.iter().filter_map(reader).collect()
    }

    /// ((row, group), weight).
    fn weights(&self) -> impl Iterator<Item = ((usize, usize), f64)> + '_ {
        let weights = self.layer.op.weight().iter().zip(&self.groups).enumerate();
        weights.map(|(at, (w, group))| ((at / self.row, *group), f64::from(*w)))
    }

    fn noise(&self, channels: &Channels, factors: &[f64], step: f64) -> f64 {
        let rows = self.layer.op.weight().chunks(self.row).zip(self.groups.chunks(self.row));
        let mut sum = 0.0;
        for ((weights, groups), importance) in rows.zip(&self.importance) {
            let (mut largest, mut deviation) = (0f64, 0f64);
            let (mut activations, mut power) = (0f64, 0f64);
            for (w, group) in weights.iter().zip(groups) {
                let w = f64::from(*w) / factors[*group];
                largest = largest.max(w.abs());
                deviation += w * w;
                activations += w * w * channels.live[*group];
                power += channels.square[*group] * factors[*group].powi(2);
            }
            deviation = (deviation / weights.len().max(1) as f64).sqrt();
            let unit = match self.bits {
                4 => (largest / 7.5).min(STEP_OF_DEVIATION * deviation),
                _ => largest / 127.0,
            };
            sum += importance * (step * step * activations + unit * unit * power) / 12.0;
        }
        sum
    }
}

/// The output of a hidden layer.
fn output<'t>(vae: &Vae, trace: &'t Trace, at: usize) -> Option<&'t Array2<f32>> {
    let decoder = vae.encoder.len() + 1 + usize::from(vae.logvar.is_some());
    trace.encoder.get(at).or_else(|| trace.decoder.get(at.checked_sub(decoder)?))
}
