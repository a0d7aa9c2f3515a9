//! Quantization-aware training: each forward pass runs the device's own integers.
//!
//! Float weights are lowered before every step, the batch runs through [`Mirror`], and the
//! gradient passes straight through every rounding to the float weights. What is validated at
//! the end of an epoch is what [`Settled::lower`] makes of the weights, to the bit.

use ndarray::Array2;

use super::gradient::Gradients;
use super::learned_scales::LearnedScales;
use crate::graph::Vae;
use crate::quantize::{
    Mirror, QuantizeError, QuantizeOptions, QuantizedVae, Ranges, Settled, WeightScales, observe,
};

/// A quantized view of weights in training.
pub(super) struct Qat {
    settled: Settled,
    learned: LearnedScales,
    calibration: Array2<f32>,
    view: View,
}

/// Weights as the device has them.
pub(super) struct View {
    /// The integers.
    pub(super) mirror: Mirror,
    /// The real numbers they stand for.
    pub(super) effective: Vae,
}

impl Qat {
    /// Ranges are those of the float model on `calibration`, to begin with.
    pub(super) fn new(
        vae: &Vae,
        calibration: Array2<f32>,
        options: &QuantizeOptions,
    ) -> Result<Self, QuantizeError> {
        let ranges = observe(vae, calibration.view(), options)?;
        let weight_scales = WeightScales::search(vae, &options.weight_bits);
        let options = QuantizeOptions { weight_scales, ..options.clone() };
        let settled = Settled { ranges: ranges.settled(options.range), options };
        let view = View::of(vae, &settled.lower(vae)?, vae.clone())?;
        Ok(Self { settled, learned: LearnedScales::default(), calibration, view })
    }

    /// As [`new`](Self::new), with the grids that an earlier [`kept`](Self::kept) gave of these weights.
    pub(super) fn resumed(
        vae: &Vae,
        calibration: Array2<f32>,
        settled: Settled,
        learned: LearnedScales,
    ) -> Result<Self, QuantizeError> {
        let view = View::of(vae, &settled.lower(vae)?, vae.clone())?;
        Ok(Self { settled, learned, calibration, view })
    }

    /// What moves: ranges, scales, and the scales' moments.
    pub(super) fn kept(&self) -> (&Settled, &LearnedScales) {
        (&self.settled, &self.learned)
    }

    /// Chooses the ranges anew, with the weights as the device has them.
    pub(super) fn observe(&mut self, vae: &Vae) -> Result<(), QuantizeError> {
        self.lower(vae)?;
        let options = &self.settled.options;
        let ranges: Ranges = observe(&self.view.effective, self.calibration.view(), options)?;
        self.settled.ranges = ranges.settled(options.range);
        Ok(())
    }

    /// The view of a step.
    pub(super) fn lower(&mut self, vae: &Vae) -> Result<&View, QuantizeError> {
        let quantized = self.settled.lower(vae)?;
        self.view.update(vae, &quantized)?;
        Ok(&self.view)
    }

    /// Lets the scales of 4-bit weights follow the gradient, and stops that of weights beyond
    /// their range; before the weights move.
    pub(super) fn learn(&mut self, vae: &Vae, gradients: &mut Gradients, rate: f64) {
        self.learned.step(&mut self.settled.options.weight_scales, vae, gradients, rate);
    }

    /// What later quantization will give, and its view.
    pub(super) fn settle(&self, vae: &Vae) -> Result<(Settled, View), QuantizeError> {
        let view = View::of(vae, &self.settled.lower(vae)?, vae.clone())?;
        Ok((self.settled.clone(), view))
    }
}

impl View {
    fn of(vae: &Vae, quantized: &QuantizedVae, like: Vae) -> Result<Self, QuantizeError> {
        let mirror = Mirror::new(vae, quantized).ok_or(QuantizeError::NoMirror)?;
        let mut view = Self { mirror, effective: like };
        view.make_effective();
        Ok(view)
    }

    fn update(&mut self, vae: &Vae, quantized: &QuantizedVae) -> Result<(), QuantizeError> {
        self.mirror = Mirror::new(vae, quantized).ok_or(QuantizeError::NoMirror)?;
        self.make_effective();
        Ok(())
    }

    fn make_effective(&mut self) {
        for (layer, mirror) in self.effective.layers_mut().zip(&self.mirror.layers) {
            mirror.write_effective(&mut layer.op);
        }
    }
}
