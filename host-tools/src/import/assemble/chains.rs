//! The chains of a model: encoder, heads, decoder, each a row of layers.

use super::lower::Lowering;
use super::parts::{Analysis, Heads};
use super::stage::{Affine, Order, Source, Stage, View};
use crate::graph::{Layer, Op, Shape};
use crate::import::network::{Network, Value};
use crate::import::{ForeignOptions, Problem};
use std::rc::Rc;

/// The layers of a model, in order.
pub(super) struct Chains {
    pub(super) encoder: Vec<Layer>,
    pub(super) mu: Layer,
    pub(super) logvar: Option<Layer>,
    pub(super) decoder: Vec<Layer>,
    /// Shape of the window, channels last, and whether it is a signal of
    /// `[length][channels]`.
    pub(super) window: Shape,
    pub(super) is_signal: bool,
}

pub(super) struct Assembly<'a, 'n> {
    pub(super) network: &'n Network,
    pub(super) analysis: &'a Analysis<'n>,
    pub(super) options: &'a ForeignOptions,
    pub(super) notes: Vec<String>,
    pub(super) problems: Vec<Problem>,
}

impl<'a, 'n> Assembly<'a, 'n> {
    pub(super) fn variational(
        &mut self,
        input: Value,
        heads: &Heads,
        reconstruction: Value,
    ) -> Option<Chains> {
        let mut targets = vec![heads.mu];
        targets.extend(heads.logvar.map(|(value, ..)| value));
        let mut encoder = Lowering::new(self.network, self.analysis, input, None);
        let mut views = encoder.run(&targets);
        // What is wrong on the decoder's side is to be said, too.
        let latent_order = views[0].as_ref().and_then(|mu| fixed_order(&encoder, mu));
        let mut decoder = Lowering::new(self.network, self.analysis, heads.latent, latent_order);
        let mut recon = decoder.run(&[reconstruction]).pop().flatten();
        if encoder.problems.is_empty() && decoder.problems.is_empty() && recon.is_none() {
            self.problem(reconstruction, "does not depend on the latent alone", SKIPS);
        }
        self.problems.append(&mut encoder.problems);
        self.problems.append(&mut decoder.problems);
        let (Some(recon), true) = (recon.take(), self.problems.is_empty()) else { return None };
        if views.iter().any(Option::is_none) {
            self.problem(heads.mu, "does not depend on the input", "export encoder and decoder");
            return None;
        }
        // A decoder that cannot give another order fixes that of the features.
        if let Some(order) = fixed_order(&decoder, &recon)
            && order != encoder.root_order.clone().unwrap_or(None)
        {
            let places = encoder.root_places;
            encoder = Lowering::new(self.network, self.analysis, input, Some(order));
            encoder.root_places = places;
            views = encoder.run(&targets);
            self.problems.append(&mut encoder.problems);
        }
        let mut views = views.into_iter().map(|view| view.map(trim));
        let mu = views.next()??;
        let latent = decoder.root_order.clone().unwrap_or(None);
        let mu = self.end(&mut encoder, heads.mu, &mu, &latent)?;
        let logvar = match (heads.logvar, views.next().flatten()) {
            (Some((value, scale, shift)), Some(view)) => {
                let all = |x: f64| vec![x as f32; view.len()];
                let affine = Affine { scale: all(scale), shift: all(shift) };
                let view = if scale == 1.0 && shift == 0.0 {
                    view
                } else {
                    self.said(value, encoder.affine(view, affine))?
                };
                Some(self.end(&mut encoder, value, &view, &latent)?)
            }
            _ => None,
        };
        let features = encoder.root_order.clone().unwrap_or(None);
        let last = self.end(&mut decoder, reconstruction, &recon, &features)?;
        let Source::Stage(mu_at) = mu else {
            self.problem(
                heads.mu,
                "the latent is the input itself",
                "noise on the input belongs to training: export in evaluation mode",
            );
            return None;
        };
        let (mu, before) = (encoder.stages[mu_at].clone(), encoder.stages[mu_at].input);
        let logvar = match logvar {
            Some(Source::Stage(at)) => {
                let stage = &encoder.stages[at];
                if !same_chain(&encoder.stages, before, stage.input) {
                    self.problem(
                        heads.logvar.map_or(heads.mu, |(value, ..)| value),
                        "the heads mu and logvar do not read the same layer",
                        "give both heads one last hidden layer in common, each a single layer",
                    );
                    return None;
                }
                Some(stage.clone())
            }
            Some(Source::Root) | None => None,
        };
        for (stage, what) in [(Some(&mu), "mu"), (logvar.as_ref(), "logvar")] {
            if let Some(stage) = stage.filter(|s| !s.activation.is_identity() && logvar.is_some()) {
                self.problems.push(Problem::new(
                    format!("{} ({})", stage.name, stage.operator),
                    format!("the head {what} ends in {}", stage.activation),
                    "let the heads be linear: a KL divergence is computed from them",
                ));
            }
        }
        let (window, is_signal) = self.window(&encoder, input);
        Some(Chains {
            encoder: chain(&encoder.stages, before),
            mu: layer(&mu),
            logvar: logvar.as_ref().map(layer),
            decoder: chain(&decoder.stages, last),
            window,
            is_signal,
        })
    }

    /// No latent is marked: the narrowest layer will do, or the one asked for.
    pub(super) fn plain(&mut self, input: Value, reconstruction: Value) -> Option<Chains> {
        let mut all = Lowering::new(self.network, self.analysis, input, None);
        let mut view = all.run(&[reconstruction]).pop().flatten();
        if let Some(of) = &view
            && let Some(order) = fixed_order(&all, of)
            && order != all.root_order.clone().unwrap_or(None)
        {
            let places = all.root_places;
            all = Lowering::new(self.network, self.analysis, input, Some(order));
            all.root_places = places;
            view = all.run(&[reconstruction]).pop().flatten();
        }
        self.problems.append(&mut all.problems);
        let view = trim(view?);
        let features = all.root_order.clone().unwrap_or(None);
        let last = self.end(&mut all, reconstruction, &view, &features)?;
        let mut layers = chain(&all.stages, last);
        let (window, is_signal) = self.window(&all, input);
        let at = match &self.options.latent {
            Some(name) => {
                let found = layers.iter().position(|layer| layer.name == *name);
                if found.is_none() {
                    let names: Vec<&str> = layers.iter().map(|l| l.name.as_str()).collect();
                    self.problems.push(Problem::new(
                        name,
                        "no layer of this name can be the latent",
                        format!("one of {}", names.join(", ")),
                    ));
                }
                found?
            }
            None => {
                let last = layers.len().saturating_sub(1);
                let narrow = layers.iter().take(last).enumerate();
                let (at, latent) = narrow.min_by_key(|(_, layer)| layer.output_len())?;
                self.notes.push(format!(
                    "no sampling and no heads: a plain autoencoder; its latent is the narrowest layer, `{}` ({} values); --latent-layer NAME chooses another",
                    latent.name,
                    latent.output_len()
                ));
                at
            }
        };
        if at + 1 >= layers.len() {
            self.problem(
                reconstruction,
                "has no layer behind the latent",
                "export the decoder, too",
            );
            return None;
        }
        let decoder = layers.split_off(at + 1);
        let mu = layers.pop()?;
        Some(Chains { encoder: layers, mu, logvar: None, decoder, window, is_signal })
    }

    /// The source that stores a view's elements as `wanted`, as an end of a chain.
    fn end(
        &mut self,
        lowering: &mut Lowering<'_, '_>,
        value: Value,
        view: &View,
        wanted: &Order,
    ) -> Option<Source> {
        let places = lowering.source_shape(view.source);
        let settled = lowering.settle(value, view, wanted, places);
        self.said(value, settled)
    }

    fn said<T>(&mut self, value: Value, result: Result<T, (String, String)>) -> Option<T> {
        match result {
            Ok(done) => Some(done),
            Err((reason, remedy)) => {
                self.problem(value, reason, remedy);
                None
            }
        }
    }

    fn problem(&mut self, value: Value, reason: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem::new(self.network.node(value).subject(), reason, remedy));
    }

    /// The window's shape, and whether it is a signal.
    fn window(&self, encoder: &Lowering<'_, '_>, input: Value) -> (Shape, bool) {
        let shape = self.network.shape(input).unwrap_or(&[]);
        let len = shape.iter().product();
        match (encoder.root_places.filter(|places| places.len() == len), shape) {
            (Some(places), _) if places.width == 1 => (places, true),
            (None, [length, channels]) => (Shape::new(*length, 1, *channels), true),
            _ => (Shape::new(len, 1, 1), false),
        }
    }
}

const SKIPS: &str = "a device runs layers one behind the other: train without skip connections";

/// An order that a view's layer cannot change: convolutions store channels last.
/// `None` where the layer can give any order.
fn fixed_order(lowering: &Lowering<'_, '_>, view: &View) -> Option<Order> {
    let stage = lowering.stage(view.source)?;
    if view.len() > stage.op.output().len() {
        // Repeated: a transposed convolution to be.
        return Some(lowering.canonical(&view.shape));
    }
    let whole = view.len() == stage.op.output().len();
    (whole && !matches!(*stage.op, Op::FullyConnected { .. })).then(|| view.order.clone())
}

/// A view without an affine part that does nothing.
fn trim(view: View) -> View {
    let idle = view.affine.as_ref().is_some_and(|affine: &Rc<Affine>| {
        affine.scale.iter().all(|s| *s == 1.0) && affine.shift.iter().all(|s| *s == 0.0)
    });
    if idle { View { affine: None, ..view } } else { view }
}

/// The layers from the root to `end`.
fn chain(stages: &[Stage], end: Source) -> Vec<Layer> {
    let mut layers = Vec::new();
    let mut at = end;
    while let Source::Stage(index) = at {
        layers.push(layer(&stages[index]));
        at = stages[index].input;
    }
    layers.reverse();
    layers
}

fn layer(stage: &Stage) -> Layer {
    Layer { name: stage.name.clone(), op: (*stage.op).clone(), activation: stage.activation }
}

/// Whether two sources are the same layers, made once or twice.
fn same_chain(stages: &[Stage], mut a: Source, mut b: Source) -> bool {
    loop {
        match (a, b) {
            (a, b) if a == b => return true,
            (Source::Stage(i), Source::Stage(j)) => {
                let (x, y) = (&stages[i], &stages[j]);
                if x.activation != y.activation || x.op != y.op {
                    return false;
                }
                (a, b) = (x.input, y.input);
            }
            _ => return false,
        }
    }
}
