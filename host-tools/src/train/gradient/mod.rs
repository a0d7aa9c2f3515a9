//! The gradient of a VAE's loss, by hand for the closed set of operators the graph has.
//!
//! `docs/training.md` says why this and not a framework. Everything here is a pure
//! function of the model and the batch; nothing random is drawn.

mod activation;
mod adam;
mod loss;
mod operators;

pub(crate) use adam::Adam;
pub(crate) use loss::{Distillation, LossConfig, StepLoss};
pub(crate) use operators::OpGradient;

use ndarray::{Array2, ArrayView2, s};

use crate::graph::{Layer, Likelihood, Vae, sample};
use crate::quantize::{Mirror, MirrorOutput};
use operators::Saved;

/// One batch, `[window][…]` each.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// What the encoder reads.
    pub(crate) input: Array2<f32>,
    /// What the decoder should give.
    pub(crate) target: Array2<f32>,
    /// Standard normal noise of the latent.
    pub(crate) noise: Array2<f32>,
    /// What a teacher says of these windows.
    pub(crate) teacher: Option<Distillation>,
}

/// Derivatives of a loss by every parameter, in [`Vae::layers`]' order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gradients {
    pub(crate) layers: Vec<OpGradient>,
}

impl Gradients {
    /// Adds another part of the batch's.
    pub(crate) fn add(&mut self, other: &Self) {
        let add = |sum: &mut [f32], more: &[f32]| {
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        };
        for (sum, more) in self.layers.iter_mut().zip(&other.layers) {
            add(&mut sum.weight, &more.weight);
            add(&mut sum.bias, &more.bias);
        }
    }
}

/// How a forward pass is computed; what is not float passes the gradient straight through.
pub(crate) trait Arithmetic: Sync {
    /// Runs layer `index` (in [`Vae::layers`]' order): its output, and what its backward pass needs.
    fn run(&self, index: usize, layer: &Layer, x: ArrayView2<'_, f32>) -> (Array2<f32>, Step);
    /// What the decoder reads for this latent.
    fn latent(&self, z: Array2<f32>) -> Array2<f32> {
        z
    }
    /// What the encoder reads for these features.
    fn features(&self, x: Array2<f32>) -> Array2<f32> {
        x
    }
}

/// What a layer's backward pass needs.
#[derive(Debug)]
pub(crate) struct Step {
    saved: Saved,
    /// Before the activation.
    linear: Array2<f32>,
    /// 0 where a clamp stops the gradient; `None` where nothing does.
    passes: Option<Array2<f32>>,
}

/// Plain f32.
pub(crate) struct Float;

impl Arithmetic for Float {
    fn run(&self, _: usize, layer: &Layer, x: ArrayView2<'_, f32>) -> (Array2<f32>, Step) {
        let (linear, saved) = operators::forward(&layer.op, x);
        let mut y = linear.as_standard_layout().into_owned();
        if let Some(values) = y.as_slice_mut() {
            activation::apply(layer.activation, values);
        }
        (y, Step { saved, linear, passes: None })
    }
}

/// The device's integers. The model's weights must be
/// [`MirrorLayer::effective`](crate::quantize::MirrorLayer::effective), so that the gradient is
/// taken where the integers are.
impl Arithmetic for Mirror {
    fn run(&self, index: usize, layer: &Layer, x: ArrayView2<'_, f32>) -> (Array2<f32>, Step) {
        let Some(own) = self.layers.get(index) else {
            return Float.run(index, layer, x);
        };
        let centred = own.centred(x);
        // A head that became dense keeps the gradient of what it was.
        let same = std::mem::discriminant(own.op()) == std::mem::discriminant(&layer.op);
        if !(same && own.is_exact()) {
            let MirrorOutput { real, linear, passes, .. } = own.run(x);
            return (real, Step { saved: Saved::new(&layer.op, x), linear, passes: Some(passes) });
        }
        let (sums, mut saved) = operators::forward(own.op(), centred.view());
        saved.unit = own.input_unit();
        let MirrorOutput { real, linear, passes, .. } = own.finish(&sums);
        (real, Step { saved, linear, passes: Some(passes) })
    }

    fn latent(&self, z: Array2<f32>) -> Array2<f32> {
        Mirror::latent(self, z)
    }

    fn features(&self, x: Array2<f32>) -> Array2<f32> {
        Mirror::features(self, x)
    }
}

/// What a forward pass gives: `mu`, `logvar`, the decoder's output.
pub(crate) struct Output {
    pub(crate) mu: Array2<f32>,
    pub(crate) logvar: Option<Array2<f32>>,
    pub(crate) output: Array2<f32>,
}

/// A forward pass alone.
pub(crate) fn forward(vae: &Vae, batch: &Batch, arithmetic: &dyn Arithmetic) -> Output {
    let config = LossConfig { beta: 1.0, sigma: crate::train::Sigma::Optimal };
    let Pass { mu, logvar, output, .. } =
        Pass::new(vae, batch, batch.input.nrows(), config, arithmetic);
    Output { mu, logvar, output }
}

/// Gradients and losses of a batch, split over `shards` threads; sums are formed in the
/// shards' order, so that the result does not depend on timing.
pub(crate) fn gradients(
    vae: &Vae,
    batch: &Batch,
    config: LossConfig,
    shards: usize,
    arithmetic: &dyn Arithmetic,
) -> (Gradients, StepLoss) {
    let rows = batch.input.nrows();
    let shard_rows = rows.div_ceil(shards.clamp(1, rows.max(1))).max(1);
    let starts: Vec<usize> = (0..rows).step_by(shard_rows).collect();
    let part_rows = part_rows(vae, config, shard_rows);
    let run = |start: usize| {
        let end = (start + shard_rows).min(rows);
        let mut total: Option<(Gradients, StepLoss)> = None;
        for at in (start..end).step_by(part_rows) {
            let part = batch.rows(at..(at + part_rows).min(end));
            let (gradients, loss) = Pass::new(vae, &part, rows, config, arithmetic).backward();
            match &mut total {
                Some((sum, sum_loss)) => {
                    sum.add(&gradients);
                    sum_loss.add(&loss);
                }
                None => total = Some((gradients, loss)),
            }
        }
        total.unwrap_or_default()
    };
    let results: Vec<(Gradients, StepLoss)> = match starts[..] {
        [] => Vec::new(),
        [only] => vec![run(only)],
        [first, ref others @ ..] => std::thread::scope(|scope| {
            let handles: Vec<_> = others.iter().map(|start| scope.spawn(|| run(*start))).collect();
            let mut results = vec![run(first)];
            for handle in handles {
                match handle.join() {
                    Ok(result) => results.push(result),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            results
        }),
    };
    let mut results = results.into_iter();
    let Some((mut sum, mut loss)) = results.next() else {
        return Default::default();
    };
    for (gradients, part) in results {
        sum.add(&gradients);
        loss.add(&part);
    }
    (sum, loss)
}

/// Rows a shard takes at once. The windows that convolutions multiply are many times their
/// input: of few rows at a time, they stay in the cache. An optimal deviation is that of all
/// rows of the shard, and matrices without windows are best multiplied at once.
fn part_rows(vae: &Vae, config: LossConfig, shard_rows: usize) -> usize {
    let windowed = vae.layers().any(|layer| layer.op.geometry().is_some());
    let optimal = !matches!(vae.likelihood, Likelihood::Bernoulli)
        && matches!(config.sigma, crate::train::Sigma::Optimal);
    if windowed && !optimal { WINDOWED_ROWS.min(shard_rows) } else { shard_rows }
}

/// Measured on digits: 4 to 16 rows are alike, 64 take a quarter longer.
const WINDOWED_ROWS: usize = 8;

impl Batch {
    /// Some of its windows.
    fn rows(&self, range: std::ops::Range<usize>) -> Self {
        let part = |all: &Array2<f32>| all.slice(s![range.clone(), ..]).to_owned();
        Self {
            input: part(&self.input),
            target: part(&self.target),
            noise: part(&self.noise),
            teacher: self.teacher.as_ref().map(|teacher| teacher.map(part)),
        }
    }
}

/// A forward pass, kept for the backward one.
struct Pass<'a> {
    vae: &'a Vae,
    batch: &'a Batch,
    encoder: Vec<Step>,
    heads: Vec<Step>,
    decoder: Vec<Step>,
    mu: Array2<f32>,
    logvar: Option<Array2<f32>>,
    output: Array2<f32>,
    /// Windows of the whole batch, of which this may be a part.
    rows: usize,
    config: LossConfig,
}

impl<'a> Pass<'a> {
    fn new(
        vae: &'a Vae,
        batch: &'a Batch,
        rows: usize,
        config: LossConfig,
        arithmetic: &dyn Arithmetic,
    ) -> Self {
        let run =
            |index: usize, layer: &Layer, x: ArrayView2<'_, f32>| arithmetic.run(index, layer, x);
        let chain = |first: usize, layers: &[Layer], mut x: Array2<f32>| {
            let mut steps = Vec::with_capacity(layers.len());
            for (index, layer) in layers.iter().enumerate() {
                let (y, step) = run(first + index, layer, x.view());
                steps.push(step);
                x = y;
            }
            (x, steps)
        };
        let (h, encoder) = chain(0, &vae.encoder, arithmetic.features(batch.input.clone()));
        let at = vae.encoder.len();
        let (mu, step) = run(at, &vae.mu, h.view());
        let mut heads = vec![step];
        let logvar = vae.logvar.as_ref().map(|head| {
            let (logvar, step) = run(at + 1, head, h.view());
            heads.push(step);
            logvar
        });
        let z = arithmetic.latent(sample(&mu, logvar.as_ref(), Some(batch.noise.view())));
        let (output, decoder) = chain(at + heads.len(), &vae.decoder, z);
        Self { vae, batch, encoder, heads, decoder, mu, logvar, output, rows, config }
    }

    fn loss(&self) -> loss::Loss<'a> {
        let rows = self.rows as f32;
        loss::Loss { vae: self.vae, batch: self.batch, rows, config: self.config }
    }

    fn backward(self) -> (Gradients, StepLoss) {
        let loss = self.loss();
        let (dy, mut losses) = loss.output(&self.output);
        let first = self.vae.encoder.len() + self.heads.len();
        let mut layers = vec![OpGradient::default(); first + self.decoder.len()];
        let mut at = layers.len();
        let dz = back(&self.vae.decoder, &self.decoder, dy, false, |gradient| {
            at -= 1;
            layers[at] = gradient;
        });
        let (dmu, dlogvar) = loss.latent(&self.mu, self.logvar.as_ref(), &dz, &mut losses);
        let only = self.encoder.is_empty();
        let at = self.vae.encoder.len();
        let mut head = |index: usize, layer: &Layer, dy: Array2<f32>| {
            let mut own = OpGradient::default();
            let layer = std::slice::from_ref(layer);
            let step = std::slice::from_ref(&self.heads[index]);
            let dh = back(layer, step, dy, only, |gradient| own = gradient);
            layers[at + index] = own;
            dh
        };
        let mut dh = head(0, &self.vae.mu, dmu);
        if let (Some(layer), Some(dlogvar)) = (&self.vae.logvar, dlogvar) {
            dh += &head(1, layer, dlogvar);
        }
        let mut at = self.encoder.len();
        if !only {
            back(&self.vae.encoder, &self.encoder, dh, true, |gradient| {
                at -= 1;
                layers[at] = gradient;
            });
        }
        (Gradients { layers }, losses)
    }
}

/// Back through layers, last first; `first` says that nobody asks for the input's derivative.
fn back(
    layers: &[Layer],
    steps: &[Step],
    mut dy: Array2<f32>,
    first: bool,
    mut keep: impl FnMut(OpGradient),
) -> Array2<f32> {
    for (index, (layer, step)) in layers.iter().zip(steps).enumerate().rev() {
        if !layer.activation.is_identity() {
            if !dy.is_standard_layout() {
                dy = dy.as_standard_layout().into_owned();
            }
            let linear = step.linear.as_standard_layout();
            if let (Some(dy), Some(linear)) = (dy.as_slice_mut(), linear.as_slice()) {
                activation::multiply_derivative(layer.activation, linear, dy);
            }
        }
        if let Some(passes) = &step.passes {
            dy *= passes;
        }
        let (dx, gradient) = step.saved.backward(&layer.op, dy.view(), first && index == 0);
        keep(gradient);
        dy = dx;
    }
    dy
}

#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod tests;
