//! Bits of each layer's weights by how much the model minds: 4 bits where they cost least.

use indicatif::ProgressBar;
use serde::Serialize;

use crate::emit::BlobError;
use crate::graph::Vae;
use crate::needs::draft;
use crate::quantize::{QuantizeError, QuantizeOptions, Ranges, WeightBits, lower, spread};
use crate::recording::WindowSet;
use crate::simulate::mean_scores;
use picovae_core::VaeError;

/// Windows the loss is measured on, at most.
const WINDOWS: usize = 1_000;

/// What 4 bits in one layer alone do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sensitivity {
    /// The layer; `mu` stands for both heads, which share a layer of the blob.
    pub layer: String,
    /// Rise of the mean negative ELBO of calibration windows, nats.
    pub loss_rise: f64,
    /// Bytes by which the blob shrinks; rarely, a tiny layer's grows.
    pub bytes_saved: i64,
    /// What was chosen: 8 or 4.
    pub bits: u8,
}

/// How much a model minds 4 bits, layer by layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Sensitivities {
    /// Bytes of the blob with 8 bits everywhere.
    pub blob_bytes: usize,
    /// Its mean negative ELBO, nats.
    pub negative_elbo: f64,
    /// Every layer that has weights.
    pub layers: Vec<Sensitivity>,
}

/// Why bits cannot be chosen.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum MixedBitsError {
    /// Even 4 bits everywhere take too much.
    #[error("with 4-bit weights everywhere the blob takes {least} bytes, {flash} are allowed")]
    #[diagnostic(help("raise `--flash`, or make the network smaller with `picovae compress`"))]
    TooLarge {
        /// Bytes with 4 bits everywhere.
        least: usize,
        /// Bytes allowed.
        flash: usize,
    },
    /// Quantization.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Quantize(#[from] QuantizeError),
    /// The blob.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Blob(#[from] BlobError),
    /// The windows do not fit the model.
    #[error(transparent)]
    Vae(#[from] VaeError),
}

impl Sensitivities {
    /// Measures every layer, by the core.
    ///
    /// # Errors
    /// [`MixedBitsError`].
    pub fn measure(
        vae: &Vae,
        ranges: &Ranges,
        options: &QuantizeOptions,
        windows: &WindowSet<'_>,
        target: &str,
        progress: &ProgressBar,
    ) -> Result<Self, MixedBitsError> {
        let windows = windows.subset(&spread(windows.len(), WINDOWS));
        let of = |weight_bits: WeightBits| -> Result<(usize, f64), MixedBitsError> {
            let options = QuantizeOptions { weight_bits, ..options.clone() };
            let blob = draft(lower(vae, ranges, &options)?, target)?;
            let loss = mean_scores(&blob.model()?, &windows, 0)?.negative_elbo();
            progress.inc(1);
            Ok((blob.bytes().len(), loss))
        };
        let weighty = |layer: &&crate::graph::Layer| {
            let logvar = vae.logvar.as_ref().is_some_and(|logvar| logvar.name == layer.name);
            layer.op.bias().is_some() && !logvar
        };
        let names: Vec<String> = vae.layers().filter(weighty).map(|l| l.name.clone()).collect();
        progress.set_length(names.len() as u64 + 1);
        let (blob_bytes, negative_elbo) = of(WeightBits::uniform(8))?;
        let mut layers = Vec::with_capacity(names.len());
        for layer in names {
            progress.set_message(layer.clone());
            let mut bits = WeightBits::uniform(8);
            bits.layers.insert(layer.clone(), 4);
            let (bytes, loss) = of(bits)?;
            layers.push(Sensitivity {
                layer,
                loss_rise: loss - negative_elbo,
                bytes_saved: blob_bytes as i64 - bytes as i64,
                bits: 8,
            });
        }
        Ok(Self { blob_bytes, negative_elbo, layers })
    }

    /// 4 bits where they raise the loss least for a byte saved, until the blob takes at most
    /// `flash` bytes; then back to 8 where that still fits, the dearest first.
    ///
    /// # Errors
    /// [`MixedBitsError::TooLarge`].
    pub fn choose(&mut self, flash: usize) -> Result<WeightBits, MixedBitsError> {
        self.layers.iter_mut().for_each(|layer| layer.bits = 8);
        let bytes = |layers: &[Sensitivity]| {
            let saved = layers.iter().filter(|l| l.bits == 4).map(|l| l.bytes_saved);
            self.blob_bytes as i64 - saved.sum::<i64>()
        };
        let fits =
            |layers: &[Sensitivity]| bytes(layers) <= i64::try_from(flash).unwrap_or(i64::MAX);
        let order = |layers: &[Sensitivity], cost: &dyn Fn(&Sensitivity) -> f64| {
            let mut order: Vec<usize> =
                (0..layers.len()).filter(|at| layers[*at].bytes_saved > 0).collect();
            order.sort_by(|a, b| cost(&layers[*a]).total_cmp(&cost(&layers[*b])));
            order
        };
        let mut layers = self.layers.clone();
        let cheapest = order(&layers, &|l| l.loss_rise.max(0.0) / l.bytes_saved as f64);
        for at in cheapest {
            if fits(&layers) {
                break;
            }
            layers[at].bits = 4;
        }
        if !fits(&layers) {
            let least = usize::try_from(bytes(&layers)).unwrap_or(0);
            return Err(MixedBitsError::TooLarge { least, flash });
        }
        for at in order(&layers, &|l| -l.loss_rise) {
            let bits = std::mem::replace(&mut layers[at].bits, 8);
            if !fits(&layers) {
                layers[at].bits = bits;
            }
        }
        self.layers = layers;
        Ok(self.weight_bits())
    }

    /// What was chosen last, shortest: 4 bits with exceptions where most have 4.
    pub fn weight_bits(&self) -> WeightBits {
        let four = self.layers.iter().filter(|layer| layer.bits == 4).count();
        let mut bits = WeightBits::uniform(if 2 * four > self.layers.len() { 4 } else { 8 });
        let other = self.layers.iter().filter(|layer| layer.bits != bits.default);
        bits.layers = other.map(|layer| (layer.layer.clone(), layer.bits)).collect();
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(layers: [(f64, i64); 4]) -> Sensitivities {
        let named = ["a", "b", "c", "d"].into_iter().zip(layers);
        let layers = named.map(|(layer, (loss_rise, bytes_saved))| Sensitivity {
            layer: layer.into(),
            loss_rise,
            bytes_saved,
            bits: 8,
        });
        Sensitivities { blob_bytes: 1_000, negative_elbo: 90.0, layers: layers.collect() }
    }

    #[test]
    fn the_least_loss_for_a_byte_goes_first() {
        let mut all = of([(1.0, 100), (0.1, 20), (3.0, 200), (-0.2, -10)]);
        assert_eq!(all.choose(1_000).unwrap().to_string(), "8");
        assert_eq!(all.choose(990).unwrap().to_string(), "8,b=4");
        // b and a are 120; a alone does.
        assert_eq!(all.choose(900).unwrap().to_string(), "8,a=4");
        assert_eq!(all.choose(690).unwrap().to_string(), "4,d=8");
        // What 4 bits would only make larger stays.
        assert!(matches!(
            all.choose(679),
            Err(MixedBitsError::TooLarge { least: 680, flash: 679 })
        ));
    }
}
