//! Calibration: the range of every activation on real windows.

use ndarray::{Array2, ArrayView2};
use picovae_core::fixed::gaussian::Gaussian;
use serde::{Deserialize, Serialize};

use super::grid::Grid;
use super::{QuantizeError, QuantizeOptions, RangeMethod};
use crate::graph::{Layer, Vae};

/// Values kept of one activation, at most.
const SAMPLE_LEN: usize = 1 << 20;
/// Windows run at once.
const BATCH: usize = 128;

/// Collects the values of one activation: exact extremes, and an even sample.
/// Its serialized form is the extremes alone, which lose nothing once [settled](Ranges::settled).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f32; 2]", into = "[f32; 2]")]
pub struct Observer {
    min: f32,
    max: f32,
    sample: Vec<f32>,
    /// One value of `stride` is kept, a power of two.
    stride: usize,
    seen: usize,
}

impl Default for Observer {
    fn default() -> Self {
        Self { min: f32::INFINITY, max: f32::NEG_INFINITY, sample: Vec::new(), stride: 1, seen: 0 }
    }
}

impl From<[f32; 2]> for Observer {
    fn from([min, max]: [f32; 2]) -> Self {
        Self { min, max, seen: 1, ..Self::default() }
    }
}

impl From<Observer> for [f32; 2] {
    fn from(observer: Observer) -> Self {
        let (min, max) = observer.extremes();
        [min as f32, max as f32]
    }
}

impl Observer {
    /// One that gives this range by every method.
    fn settled((min, max): (f64, f64)) -> Self {
        Self::from([min as f32, max as f32])
    }

    /// Adds values.
    pub fn observe<'v>(&mut self, values: impl IntoIterator<Item = &'v f32>) {
        for &value in values {
            self.min = self.min.min(value);
            self.max = self.max.max(value);
            // By lot: every `stride`-th value would be always of the same channels.
            if lot(self.seen).is_multiple_of(self.stride) {
                if self.sample.len() == SAMPLE_LEN {
                    let mut index = 0;
                    self.sample.retain(|_| {
                        index += 1;
                        lot(index).is_multiple_of(2)
                    });
                    self.stride *= 2;
                }
                self.sample.push(value);
            }
            self.seen += 1;
        }
    }

    /// Least and greatest value, `(0, 0)` if none was seen.
    pub fn extremes(&self) -> (f64, f64) {
        if self.seen == 0 { (0.0, 0.0) } else { (self.min.into(), self.max.into()) }
    }

    /// The range by `method`.
    pub fn range(&self, method: RangeMethod) -> (f64, f64) {
        match method {
            // Settled: there is nothing to choose from.
            _ if self.sample.is_empty() => self.extremes(),
            RangeMethod::MinMax => self.extremes(),
            RangeMethod::Percentile(p) => self.percentile(p),
            RangeMethod::MseOptimal => self.mse_optimal(),
        }
    }

    fn percentile(&self, p: f64) -> (f64, f64) {
        if self.sample.is_empty() {
            return (0.0, 0.0);
        }
        let mut sample = self.sample.clone();
        let last = sample.len() - 1;
        let rank = ((p * last as f64).ceil() as usize).min(last);
        let (_, &mut high, _) = sample.select_nth_unstable_by(rank, f32::total_cmp);
        let (_, &mut low, _) = sample.select_nth_unstable_by(last - rank, f32::total_cmp);
        (low.into(), high.into())
    }

    /// Shrinks the extremes together, in 64 steps, and keeps the best.
    fn mse_optimal(&self) -> (f64, f64) {
        let (min, max) = self.extremes();
        // 20,000 values decide as well as a million.
        let step = self.sample.len().div_ceil(20_000).max(1);
        let error = |fraction: f64| {
            let grid = Grid::covering(min * fraction, max * fraction);
            let square = |&x: &f32| {
                let x = f64::from(x);
                (grid.dequantize(grid.quantize(x)) - x).powi(2)
            };
            self.sample.iter().step_by(step).map(square).sum::<f64>()
        };
        let fractions = (1..=64).rev().map(|i| f64::from(i) / 64.0);
        let best = fractions.map(|f| (f, error(f))).min_by(|a, b| a.1.total_cmp(&b.1));
        let fraction = best.map_or(1.0, |(fraction, _)| fraction);
        (min * fraction, max * fraction)
    }
}

/// A number that looks drawn, the same for the same index (Stafford's mix 13).
fn lot(index: usize) -> usize {
    let mut x = (index as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) as usize
}

/// What calibration saw of a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ranges {
    /// The features.
    pub features: Observer,
    /// Encoder layers before their activation.
    pub encoder_linear: Vec<Observer>,
    /// Encoder layers after their activation.
    pub encoder: Vec<Observer>,
    /// The latent mean before the head's activation.
    pub mu_linear: Observer,
    /// The latent mean.
    pub mu: Observer,
    /// ln of the latent variance.
    pub logvar: Observer,
    /// What the decoder reads.
    pub latent: Observer,
    /// Decoder layers before their activation.
    pub decoder_linear: Vec<Observer>,
    /// Decoder layers after their activation.
    pub decoder: Vec<Observer>,
}

impl Ranges {
    /// The same ranges without the samples they were chosen from: small, and the same by every method.
    pub fn settled(&self, method: RangeMethod) -> Self {
        let extremes = |observer: &Observer| Observer::settled(observer.extremes());
        let chosen = |observers: &[Observer]| -> Vec<Observer> {
            observers.iter().map(|observer| Observer::settled(observer.range(method))).collect()
        };
        let mut decoder_linear = chosen(&self.decoder_linear);
        // Nothing behind the output forgives a clip: its extremes are asked for.
        if let (Some(last), Some(observer)) =
            (decoder_linear.last_mut(), self.decoder_linear.last())
        {
            *last = extremes(observer);
        }
        Self {
            features: extremes(&self.features),
            encoder_linear: chosen(&self.encoder_linear),
            encoder: chosen(&self.encoder),
            mu_linear: extremes(&self.mu_linear),
            mu: extremes(&self.mu),
            logvar: extremes(&self.logvar),
            latent: extremes(&self.latent),
            decoder_linear,
            decoder: chosen(&self.decoder),
        }
    }
}

/// Runs the float model on `features[window][input_len]` and observes.
///
/// The decoder is observed on the mean and on a sample of the posterior, for
/// both will be asked of it.
///
/// # Errors
/// [`QuantizeError::NoWindows`].
pub fn observe(
    vae: &Vae,
    features: ArrayView2<'_, f32>,
    options: &QuantizeOptions,
) -> Result<Ranges, QuantizeError> {
    if features.nrows() == 0 {
        return Err(QuantizeError::NoWindows);
    }
    let mut ranges = Ranges {
        encoder_linear: vec![Observer::default(); vae.encoder.len()],
        encoder: vec![Observer::default(); vae.encoder.len()],
        decoder_linear: vec![Observer::default(); vae.decoder.len()],
        decoder: vec![Observer::default(); vae.decoder.len()],
        ..Ranges::default()
    };
    let mut noise = Gaussian::new(0);
    let step = features.nrows().div_ceil(options.max_windows.max(1));
    let rows: Vec<usize> = (0..features.nrows()).step_by(step).collect();
    for rows in rows.chunks(BATCH) {
        let x = features.select(ndarray::Axis(0), rows);
        ranges.features.observe(&x);
        let h = run(&vae.encoder, x, &mut ranges.encoder_linear, &mut ranges.encoder);
        let mut mu = vae.mu.linear(h.view());
        ranges.mu_linear.observe(&mu);
        mu.mapv_inplace(|v| vae.mu.activation.apply(v));
        ranges.mu.observe(&mu);
        let mut latents = vec![mu.clone()];
        if let Some(head) = &vae.logvar {
            let logvar = head.forward(h.view());
            ranges.logvar.observe(&logvar);
            let mut sample = mu;
            sample.zip_mut_with(&logvar, |z, lv| {
                *z += (0.5 * lv).exp() * noise.sample_q13() as f32 / 8192.0;
            });
            latents.push(sample);
        }
        for z in latents {
            ranges.latent.observe(&z);
            run(&vae.decoder, z, &mut ranges.decoder_linear, &mut ranges.decoder);
        }
    }
    Ok(ranges)
}

fn run(
    layers: &[Layer],
    mut x: Array2<f32>,
    linear: &mut [Observer],
    after: &mut [Observer],
) -> Array2<f32> {
    for ((layer, linear), after) in layers.iter().zip(linear).zip(after) {
        x = layer.linear(x.view());
        linear.observe(&x);
        x.mapv_inplace(|v| layer.activation.apply(v));
        after.observe(&x);
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_by_every_method() {
        let mut observer = Observer::default();
        let values: Vec<f32> = (0..=1000).map(|i| i as f32 / 1000.0).chain([50.0]).collect();
        observer.observe(&values);
        assert_eq!(observer.range(RangeMethod::MinMax), (0.0, 50.0));
        let (low, high) = observer.range(RangeMethod::Percentile(0.99));
        assert!((0.0..=0.02).contains(&low) && (0.98..=1.0).contains(&high), "{low} {high}");
        // One outlier of 50 costs more clipped than the rest gains; a million of values would not.
        let (_, high) = observer.range(RangeMethod::MseOptimal);
        assert!(high > 40.0, "{high}");
    }

    #[test]
    fn a_full_sample_keeps_every_channel() {
        // One of sixteen channels is loud, at every place of many windows.
        for loud in 0..16 {
            let mut observer = Observer::default();
            let values: Vec<f32> =
                (0..5 << 20).map(|i| if i % 16 == loud { 8.0 } else { 1.0 }).collect();
            observer.observe(&values);
            let share = observer.sample.iter().filter(|v| **v == 8.0).count() as f64
                / observer.sample.len() as f64;
            assert!((share * 16.0 - 1.0).abs() < 0.05, "{loud}: {share}");
            assert_eq!(observer.range(RangeMethod::Percentile(0.99)), (1.0, 8.0));
        }
    }

    #[test]
    fn a_full_sample_is_thinned_evenly() {
        let mut observer = Observer::default();
        let values: Vec<f32> = (0..3_000_000).map(|i| i as f32).collect();
        observer.observe(&values);
        assert!(observer.sample.len() <= SAMPLE_LEN);
        let (_, median_high) = observer.percentile(0.75);
        assert!((median_high / 2_250_000.0 - 1.0).abs() < 0.01, "{median_high}");
    }
}
