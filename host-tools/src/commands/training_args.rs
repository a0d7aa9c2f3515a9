//! Options that every verb has which trains on from a model.

use clap::Args;
use picovae::quantize::{QuantizeOptions, WeightBits};
use picovae::train::{FineTuneConfig, FitConfig, Sigma};

/// Steps, rates, seed.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Training")]
pub struct TrainingArgs {
    /// Passes over the data.
    #[arg(long, default_value_t = 10)]
    epochs: usize,
    /// Windows a step.
    #[arg(long, default_value_t = 128)]
    batch: usize,
    /// Learning rate of Adam at the start; it falls to 0 along half a cosine.
    #[arg(long, default_value_t = 1e-3)]
    lr: f64,
    /// Keep the learning rate as it is.
    #[arg(long)]
    constant_lr: bool,
    /// Weight of the KL divergence.
    #[arg(long, default_value_t = 1.0)]
    beta: f32,
    /// Deviation of the Gaussian likelihood: optimal, or a number.
    #[arg(long, default_value = "optimal")]
    sigma: Sigma,
    /// Fraction of the windows held out.
    #[arg(long, default_value_t = 0.1, value_name = "FRACTION")]
    validation: f32,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Run the device's integers in every forward pass (quantization-aware training).
    #[arg(long)]
    qat: bool,
    /// Bits of the weights: 8 or 4, then exceptions by layer, e.g. 4,encoder.0=8.
    #[arg(long, value_name = "BITS", default_value = "8", requires = "qat")]
    weight_bits: WeightBits,
}

impl TrainingArgs {
    /// As the library takes them.
    pub fn config(&self) -> FineTuneConfig {
        FineTuneConfig {
            fit: FitConfig {
                epochs: self.epochs,
                batch: self.batch,
                learning_rate: self.lr,
                cosine: !self.constant_lr,
                beta: self.beta,
                sigma: self.sigma,
                validation: self.validation,
                seed: self.seed,
                patience: None,
                keep_start: true,
                ..FitConfig::default()
            },
            quantization: self.qat.then(|| QuantizeOptions {
                weight_bits: self.weight_bits.clone(),
                ..QuantizeOptions::default()
            }),
        }
    }
}
