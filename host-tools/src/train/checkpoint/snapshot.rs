//! What is kept of a training between two epochs, and of one that ended.

use serde::{Deserialize, Serialize};

use super::super::gradient::Adam;
use super::super::learned_scales::LearnedScales;
use super::super::{FineTuned, TrainReport};
use crate::graph::Vae;
use crate::quantize::{QuantizeOptions, Ranges, Settled, WeightScales};

/// Weights and biases of every layer; all else is that of the model the training began with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in super::super) struct Weights {
    layers: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Weights {
    pub(in super::super) fn of(vae: &Vae) -> Self {
        let bias =
            |layer: &crate::graph::Layer| layer.op.bias().map_or(Vec::new(), |bias| bias.to_vec());
        Self {
            layers: vae.layers().map(|layer| (layer.op.weight().to_vec(), bias(layer))).collect(),
        }
    }

    /// `like` with these weights.
    pub(in super::super) fn of_model(&self, like: &Vae) -> Vae {
        let mut vae = like.clone();
        for (layer, (weight, bias)) in vae.layers_mut().zip(&self.layers) {
            let Some((to_weight, to_bias)) = layer.op.parameters_mut() else { continue };
            // The same model, as the settings say: lengths are equal.
            to_weight.iter_mut().zip(weight).for_each(|(to, from)| *to = *from);
            to_bias.iter_mut().zip(bias).for_each(|(to, from)| *to = *from);
        }
        vae
    }
}

/// Ranges and scales of quantization-aware training; the other options are settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in super::super) struct Grids {
    ranges: Ranges,
    /// Of layers with 4-bit weights.
    scales: Vec<(String, Vec<f64>)>,
}

impl Grids {
    pub(in super::super) fn of(settled: &Settled, vae: &Vae) -> Self {
        let mut all = settled.options.weight_scales.clone();
        let scales = vae
            .layers()
            .filter_map(|layer| Some((layer.name.clone(), all.layer_mut(&layer.name)?.clone())));
        Self { ranges: settled.ranges.clone(), scales: scales.collect() }
    }

    /// With the options they belong to, of a training of `start`.
    pub(in super::super) fn settled(&self, start: &Vae, options: &QuantizeOptions) -> Settled {
        let weight_scales = WeightScales::search(start, &options.weight_bits);
        let mut options = QuantizeOptions { weight_scales, ..options.clone() };
        for (layer, scales) in &self.scales {
            if let Some(to) = options.weight_scales.layer_mut(layer) {
                to.clone_from(scales);
            }
        }
        Settled { ranges: self.ranges.clone(), options }
    }
}

/// A training between two epochs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in super::super) struct Snapshot {
    pub(in super::super) weights: Weights,
    pub(in super::super) optimizer: Adam,
    /// The best so far.
    pub(in super::super) best: Weights,
    pub(in super::super) best_grids: Option<Grids>,
    pub(in super::super) to_beat: f64,
    /// Positions in the streams of random numbers: latent noise, corruption, the teacher's.
    /// Those of the order are drawn again.
    pub(in super::super) streams: [u128; 3],
    pub(in super::super) qat: Option<(Grids, LearnedScales)>,
    pub(in super::super) report: TrainReport,
    /// Milliseconds of all steps.
    pub(in super::super) stepping: f64,
}

/// Beginnings of a training that were tried.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in super::super) struct Beginnings {
    /// Of each, infinite where it diverged.
    pub(in super::super) losses: Vec<f64>,
    /// The one with the least.
    pub(in super::super) best: Option<Box<Snapshot>>,
    /// That all of them took.
    pub(in super::super) seconds: f64,
}

impl Beginnings {
    /// The least loss so far.
    pub(in super::super) fn least(&self) -> f64 {
        self.losses.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

/// What a training gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in super::super) struct Outcome {
    weights: Weights,
    grids: Option<Grids>,
    report: TrainReport,
}

impl Outcome {
    pub(in super::super) fn of(tuned: &FineTuned) -> Self {
        Self {
            weights: Weights::of(&tuned.vae),
            grids: tuned.settled.as_ref().map(|settled| Grids::of(settled, &tuned.vae)),
            report: tuned.report.clone(),
        }
    }

    /// What [`of`](Self::of) was given, of a training of `start` with `options`.
    pub(in super::super) fn tuned(
        self,
        start: &Vae,
        options: Option<&QuantizeOptions>,
    ) -> FineTuned {
        FineTuned {
            vae: self.weights.of_model(start),
            settled: self.grids.zip(options).map(|(grids, options)| grids.settled(start, options)),
            report: self.report,
        }
    }
}
