//! Losses and their derivatives by what the network gives: output, `mu`, `logvar`.

use ndarray::{Array2, ArrayView1, Zip};

use super::Batch;
use crate::graph::{Likelihood, Vae};
use crate::train::Sigma;

/// What a step weighs its losses with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LossConfig {
    /// Weight of the KL divergence.
    pub(crate) beta: f32,
    /// Deviation of a Gaussian likelihood.
    pub(crate) sigma: Sigma,
}

/// Mean losses of a batch, nats a window.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StepLoss {
    pub(crate) nll: f64,
    pub(crate) kl: f64,
    /// The teacher's part, weighted.
    pub(crate) distillation: f64,
}

impl StepLoss {
    /// Adds another part of the batch's.
    pub(super) fn add(&mut self, other: &Self) {
        self.nll += other.nll;
        self.kl += other.kl;
        self.distillation += other.distillation;
    }
}

/// What a teacher says of a batch: its posterior, which the student's is pulled to.
/// Its reconstruction is mixed into the batch's target.
#[derive(Debug, Clone)]
pub(crate) struct Distillation {
    /// `[window][latent]`.
    pub(crate) mu: Array2<f32>,
    /// `[window][latent]`; `None` for a plain autoencoder.
    pub(crate) logvar: Option<Array2<f32>>,
    /// Weight of `KL(teacher || student)` (of half the squared distance without logvar).
    pub(crate) weight: f32,
}

impl Distillation {
    /// The same of some windows.
    pub(super) fn map(&self, part: impl Fn(&Array2<f32>) -> Array2<f32>) -> Self {
        Self { mu: part(&self.mu), logvar: self.logvar.as_ref().map(&part), weight: self.weight }
    }
}

/// The loss of (a part of) a batch of `rows` windows.
pub(super) struct Loss<'a> {
    pub(super) vae: &'a Vae,
    pub(super) batch: &'a Batch,
    pub(super) rows: f32,
    pub(super) config: LossConfig,
}

impl Loss<'_> {
    /// Derivative by the decoder's output, and the likelihood's part of the loss.
    pub(super) fn output(&self, y: &Array2<f32>) -> (Array2<f32>, StepLoss) {
        let x = &self.batch.target;
        let mut losses = StepLoss::default();
        let mut dy = y.as_standard_layout().into_owned();
        if matches!(self.vae.likelihood, Likelihood::Bernoulli) {
            let mut nll = 0.0;
            for (mut dy, x) in dy.rows_mut().into_iter().zip(x.rows()) {
                nll += bernoulli(dy.as_slice_mut().unwrap_or(&mut []), x, self.rows);
            }
            losses.nll = nll / f64::from(self.rows);
            return (dy, losses);
        }
        dy -= x;
        let features = x.ncols() as f32;
        let share = x.nrows() as f32 / self.rows;
        let mse =
            (dy.iter().map(|d| f64::from(*d).powi(2)).sum::<f64>() / x.len().max(1) as f64) as f32;
        // sigma^2 = mse makes the squared term D/2; its derivative is that of a fixed sigma.
        let (variance, squares) = match self.config.sigma {
            Sigma::Optimal => (mse + 1e-8, 1.0),
            Sigma::Fixed(sigma) => (sigma * sigma, mse / (sigma * sigma)),
        };
        let nll = 0.5 * features * (variance.ln() + squares + std::f32::consts::TAU.ln());
        losses.nll = f64::from(share * nll);
        dy *= 1.0 / (variance * self.rows);
        (dy, losses)
    }

    /// Derivatives by `mu` and `logvar`, given that by the decoder's input.
    pub(super) fn latent(
        &self,
        mu: &Array2<f32>,
        logvar: Option<&Array2<f32>>,
        dz: &Array2<f32>,
        losses: &mut StepLoss,
    ) -> (Array2<f32>, Option<Array2<f32>>) {
        let scale = self.config.beta / self.rows;
        let mut dmu = dz.clone();
        let mut dlogvar = None;
        if let Some(logvar) = logvar {
            let mut kl = 0.0;
            let mut d = dz * &self.batch.noise;
            Zip::from(&mut d).and(logvar).and(&mut dmu).and(mu).for_each(|d, lv, dmu, mu| {
                let variance = lv.exp();
                kl += 0.5 * f64::from(mu * mu + variance - lv - 1.0);
                *dmu += scale * mu;
                *d = *d * 0.5 * (0.5 * lv).exp() + scale * 0.5 * (variance - 1.0);
            });
            losses.kl = kl / f64::from(self.rows);
            dlogvar = Some(d);
        }
        if let Some(teacher) = &self.batch.teacher {
            self.distil(teacher, mu, logvar, &mut dmu, dlogvar.as_mut(), losses);
        }
        (dmu, dlogvar)
    }

    /// `KL(teacher || student)` a dimension:
    /// `(lv_s - lv_t + (exp(lv_t) + (mu_t - mu_s)^2) / exp(lv_s) - 1) / 2`.
    fn distil(
        &self,
        teacher: &Distillation,
        mu: &Array2<f32>,
        logvar: Option<&Array2<f32>>,
        dmu: &mut Array2<f32>,
        dlogvar: Option<&mut Array2<f32>>,
        losses: &mut StepLoss,
    ) {
        let scale = teacher.weight / self.rows;
        let mut sum = 0.0;
        match (logvar, &teacher.logvar, dlogvar) {
            (Some(logvar), Some(target), Some(dlogvar)) => {
                // Six arrays are one more than `Zip` takes: elements in step by hand.
                let elements = mu.iter().zip(logvar).zip(&teacher.mu).zip(target);
                for ((((m, lv), tm), tlv), (dm, dlv)) in
                    elements.zip(dmu.iter_mut().zip(dlogvar.iter_mut()))
                {
                    let precision = (-lv).exp();
                    let gap = m - tm;
                    let spread = (tlv.exp() + gap * gap) * precision;
                    sum += 0.5 * f64::from(lv - tlv + spread - 1.0);
                    *dm += scale * gap * precision;
                    *dlv += scale * 0.5 * (1.0 - spread);
                }
            }
            _ => Zip::from(dmu).and(mu).and(&teacher.mu).for_each(|dm, m, tm| {
                sum += 0.5 * f64::from(m - tm).powi(2);
                *dm += scale * (m - tm);
            }),
        }
        losses.distillation = f64::from(teacher.weight) * sum / f64::from(self.rows);
    }
}

/// Elements whose `1 + exp(-|logit|)`, at most 2 each, are multiplied before a logarithm is taken.
const PRODUCT: usize = 32;

/// Logits of a window to `(sigmoid(logit) - x) / rows`; the window's NLL.
fn bernoulli(logits: &mut [f32], x: ArrayView1<'_, f32>, rows: f32) -> f64 {
    let (mut sum, mut product) = (0.0, 1.0f64);
    for (at, (y, x)) in logits.iter_mut().zip(x).enumerate() {
        let logit = *y;
        let e = (-logit.abs()).exp();
        sum += f64::from(logit.max(0.0) - x * logit);
        product *= f64::from(1.0 + e);
        if at % PRODUCT == PRODUCT - 1 {
            sum += product.ln();
            product = 1.0;
        }
        let mean = if logit >= 0.0 { 1.0 } else { e } / (1.0 + e);
        *y = (mean - x) / rows;
    }
    sum + product.ln()
}
