//! An independent reference of `docs/numerics.md`: every integer in i128 from
//! the definitions, every score in f64 from its formula.
//!
//! It shares the format's structs with the core ([`wire`]) and not one line of
//! arithmetic: no kernel, no table, no fixed-point function.

mod layers;

use picovae_core::fixed::wide::Factor;
use picovae_core::model::wire::{self, Description, HEADER_LEN, LayerRecord, Likelihood, NO_TABLE};

/// A blob as the reference sees it.
pub struct Reference<'a> {
    /// The description.
    pub description: Description<'a>,
    records: Vec<LayerRecord>,
    payload: &'a [u8],
}

/// Everything a window gives.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Activations {
    /// int8 features.
    pub features: Vec<i64>,
    /// Output of every layer, encoder first; heads included, a widened one's int8 part before it.
    pub layers: Vec<Vec<i64>>,
    /// The decoder's int8 input.
    pub latent: Vec<i64>,
}

/// Every score in f64, from the dequantized integers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RealScores {
    /// Mean squared error.
    pub reconstruction_error: f64,
    /// Negative log likelihood, nats.
    pub nll: f64,
    /// KL divergence, nats.
    pub kl_divergence: f64,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

impl<'a> Reference<'a> {
    /// Reads a blob known to be good.
    ///
    /// # Panics
    /// On anything else: this is for tests.
    pub fn read(blob: &'a [u8]) -> Self {
        let end = HEADER_LEN + word(blob, 16) as usize;
        let description: Description<'a> = postcard::from_bytes(&blob[HEADER_LEN..end]).unwrap();
        let payload = &blob[end.div_ceil(16) * 16..];
        let start = description.layers.offset as usize;
        let bytes = &payload[start..start + description.layers.len as usize];
        let records = bytes.chunks_exact(64).map(bytemuck::pod_read_unaligned).collect();
        Self { description, records, payload }
    }

    fn i32s(&self, offset: u32, len: usize) -> Vec<i128> {
        let at = offset as usize;
        (0..len).map(|i| i128::from(word(self.payload, at + 4 * i) as i32)).collect()
    }

    fn i8s(&self, offset: u32, len: usize) -> Vec<i128> {
        let at = offset as usize;
        self.payload[at..at + len].iter().map(|&b| i128::from(b as i8)).collect()
    }

    /// Runs one window of raw samples.
    pub fn run(&self, window: &[i16]) -> Activations {
        let mut result = Activations { features: self.features(window), ..Activations::default() };
        let encoder_len = usize::from(self.description.encoder_len);
        let mut x = result.features.clone();
        for record in &self.records[..encoder_len] {
            x = self.layer(record, &x, &mut result.layers);
        }
        let latent = &self.description.latent;
        result.latent = x[..usize::from(latent.len)]
            .iter()
            .map(|&mu| {
                let z = single(mu.into(), latent.z_multiplier.into(), latent.z_shift.into());
                (z + i128::from(latent.z_zero_point)).clamp(-128, 127) as i64
            })
            .collect();
        x = result.latent.clone();
        for record in &self.records[encoder_len..] {
            x = self.layer(record, &x, &mut result.layers);
        }
        result
    }

    fn features(&self, window: &[i16]) -> Vec<i64> {
        let frontend = &self.description.frontend;
        let channels = usize::from(frontend.channels);
        let offset = self.i32s(frontend.offset, channels);
        let multiplier = self.i32s(frontend.multiplier, channels);
        let shift = self.i8s(frontend.shift, channels);
        let length = i128::from(frontend.window_len);
        (0..window.len())
            .map(|i| {
                let c = i % channels;
                let mut v = i128::from(window[i]);
                if frontend.remove_mean {
                    let sum: i128 =
                        window.iter().skip(c).step_by(channels).map(|&x| i128::from(x)).sum();
                    v = length * v - sum;
                }
                let q = single(v - offset[c], multiplier[c], shift[c]);
                (q + i128::from(frontend.zero_point)).clamp(-128, 127) as i64
            })
            .collect()
    }

    /// A layer, its output pushed to `seen`; of a widened one its int8 part too.
    fn layer(&self, record: &LayerRecord, x: &[i64], seen: &mut Vec<Vec<i64>>) -> Vec<i64> {
        if record.output != wire::output::WIDENED {
            seen.push(self.output(record, x));
        } else {
            let narrow = LayerRecord { output: wire::output::INT8, table: NO_TABLE, ..*record };
            let values = self.output(&narrow, x);
            let entry = |q: &i64| {
                let at = record.table as usize + 2 * (q + 128) as usize;
                i16::from_le_bytes([self.payload[at], self.payload[at + 1]]).into()
            };
            let wide = values.iter().map(entry).collect();
            seen.extend([values, wide]);
        }
        seen.last().unwrap().clone()
    }

    /// Every score of a window that was run.
    pub fn scores(&self, activations: &Activations) -> RealScores {
        let n = activations.features.len() as f64;
        let scale = f64::from(f32::from_bits(self.description.frontend.scale_bits));
        let zero_point = f64::from(self.description.frontend.zero_point);
        let x: Vec<f64> =
            activations.features.iter().map(|&q| scale * (q as f64 - zero_point)).collect();
        let output = activations.layers.last().unwrap();
        let (y, nll): (Vec<f64>, f64) = match self.description.likelihood {
            Likelihood::Bernoulli => {
                let logits: Vec<f64> = output.iter().map(|&l| l as f64 / 256.0).collect();
                let nll = x.iter().zip(&logits).map(|(x, l)| softplus(*l) - x * l).sum();
                (logits.iter().map(|l| 1.0 / (1.0 + (-l).exp())).collect(), nll)
            }
            Likelihood::Gaussian { precision, factor, constant } => {
                let y: Vec<f64> =
                    output.iter().map(|&v| scale * (v as f64 / 64.0 - zero_point)).collect();
                // `factor` is half a precision unit times the squared grid unit, to Q16.
                let unit = scale / 64.0;
                let step = real_factor(factor) / 65_536.0 / (0.5 * unit * unit);
                let at = precision as usize;
                let p = |i: usize| {
                    let bytes = &self.payload[at + 2 * i..at + 2 * i + 2];
                    f64::from(u16::from_le_bytes([bytes[0], bytes[1]])) * step
                };
                let squares = x.iter().zip(&y).enumerate();
                let sum: f64 = squares.map(|(i, (x, y))| p(i) * (x - y).powi(2)).sum();
                (y, 0.5 * sum + constant as f64 / 65_536.0)
            }
        };
        let latent = &self.description.latent;
        let len = usize::from(latent.len);
        let kl = if latent.has_logvar {
            // A variational head is never widened by this tool: nothing shifts the index.
            let head = &activations.layers[usize::from(self.description.encoder_len) - 1];
            (0..len)
                .map(|i| {
                    let mu = head[i] as f64 / 2f64.powi(latent.mu_frac_bits.into());
                    let logvar = head[len + i] as f64 / 2f64.powi(latent.logvar_frac_bits.into());
                    0.5 * (mu * mu + logvar.exp() - 1.0 - logvar)
                })
                .sum()
        } else {
            0.0
        };
        let squares = x.iter().zip(&y).map(|(x, y)| (x - y).powi(2));
        RealScores { reconstruction_error: squares.sum::<f64>() / n, nll, kl_divergence: kl }
    }
}

fn softplus(l: f64) -> f64 {
    l.max(0.0) + (-l.abs()).exp().ln_1p()
}

fn real_factor(factor: Factor) -> f64 {
    f64::from(factor.multiplier) / 2f64.powi(factor.shift.into())
}

/// gemmlowp: a doubling high multiply rounded half up, then a division by a
/// power of two rounded half away from zero.
pub fn double(acc: i128, multiplier: i128, shift: i128) -> i128 {
    let (left, right) = (shift.max(0), (-shift).max(0));
    let high = (acc * (1 << left) * multiplier + (1 << 30)).div_euclid(1 << 31);
    let magnitude = (high.abs() + if right > 0 { 1 << (right - 1) } else { 0 }) >> right;
    magnitude * high.signum()
}

/// One rounding, half up, saturated to 32 bits.
pub fn single(acc: i128, multiplier: i128, shift: i128) -> i128 {
    let total = 31 - shift;
    let value = (acc * multiplier + (1i128 << (total - 1))).div_euclid(1i128 << total);
    value.clamp(i32::MIN.into(), i32::MAX.into())
}
