//! Which values of a graph are latent, heads and reconstruction, told by
//! structure: names mean nothing here.

use super::rewrite::{Meaning, Meanings};
use crate::import::Problem;
use crate::import::network::{Kind, Network, Node, Value};

/// Outputs looked at, at most: more is no model, but an attack.
const MAX_OUTPUTS: usize = 32;
/// Nodes between noise and sample, at most.
const MAX_STEPS: usize = 16;

/// The graph's parts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parts {
    pub(super) input: Value,
    /// Values of the latent; `None` in a plain autoencoder, whose narrowest
    /// layer will do.
    pub(super) heads: Option<Heads>,
    pub(super) reconstruction: Value,
}

/// The latent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Heads {
    /// Mean of the latent.
    pub(super) mu: Value,
    /// What the decoder reads: the sample, or `mu`.
    pub(super) latent: Value,
    /// `logvar = scale * value + shift`.
    pub(super) logvar: Option<(Value, f64, f64)>,
}

/// A graph with what is found out about it.
pub(super) struct Analysis<'n> {
    network: &'n Network,
    pub(super) meanings: Meanings<'n>,
    /// What the user should know.
    pub(super) notes: Vec<String>,
    pub(super) problems: Vec<Problem>,
}

impl<'n> Analysis<'n> {
    pub(super) fn new(network: &'n Network) -> Self {
        let meanings = Meanings::of(network);
        Self { network, meanings, notes: Vec::new(), problems: Vec::new() }
    }

    /// Values that `target` depends on, `target` itself included.
    pub(super) fn ancestors(&self, targets: &[Value]) -> Vec<bool> {
        self.ancestors_up_to(targets, &[])
    }

    /// [`Self::ancestors`], of `stops` none.
    fn ancestors_up_to(&self, targets: &[Value], stops: &[Value]) -> Vec<bool> {
        let mut seen = vec![false; self.network.nodes().len()];
        let mut open: Vec<Value> = targets.to_vec();
        while let Some(value) = open.pop() {
            if !std::mem::replace(&mut seen[value.index()], true) && !stops.contains(&value) {
                open.extend(self.meanings.inputs(value));
            }
        }
        seen
    }

    /// Values that depend on `root`, `root` itself included.
    pub(super) fn descendants(&self, root: Value) -> Vec<bool> {
        let mut seen = vec![false; self.network.nodes().len()];
        for (value, _) in self.network.values() {
            seen[value.index()] =
                value == root || self.meanings.inputs(value).iter().any(|v| seen[v.index()]);
        }
        seen
    }

    /// Tells the parts; `None` with at least one problem.
    pub(super) fn parts(&mut self) -> Option<Parts> {
        let outputs: Vec<(&str, Value)> = self
            .network
            .outputs()
            .iter()
            .map(|(name, value)| (name.as_str(), self.meanings.resolve(*value)))
            .collect();
        let all: Vec<Value> = outputs.iter().map(|(_, value)| *value).collect();
        let live = self.ancestors(&all);
        let input = self.only_input(&live)?;
        let samples: Vec<Value> = self
            .network
            .values()
            .filter(|(v, node)| live[v.index()] && matches!(node.kind, Kind::RandomNormal { .. }))
            .map(|(value, _)| value)
            .collect();
        let features = self.len(input);
        let sampled = match samples[..] {
            [] => None,
            [noise] => Some(self.sampling(noise, &live)?),
            [_, second, ..] => {
                self.refuse(
                    second,
                    "a second sample is drawn",
                    "export a model that draws one latent",
                );
                return None;
            }
        };
        // The reconstruction is as long as the input, and the last of such outputs, unless
        // that compares another one with the input.
        let latent = sampled.as_ref().map(|heads| heads.latent);
        let behind = latent.map(|latent| self.descendants(latent));
        let mut candidates: Vec<Value> = all
            .iter()
            .copied()
            .filter(|v| *v != input && self.len(*v) == features)
            .filter(|v| behind.as_ref().is_none_or(|behind| behind[v.index()]))
            .collect();
        candidates.sort_unstable();
        let candidates = &candidates[candidates.len().saturating_sub(MAX_OUTPUTS)..];
        let compares = |v: &Value| {
            candidates.iter().any(|earlier| {
                let stops: Vec<Value> = latent.into_iter().chain([*earlier]).collect();
                earlier < v
                    && self.ancestors(&[*v])[earlier.index()]
                    && self.ancestors_up_to(&[*v], &stops)[input.index()]
            })
        };
        let reconstruction = candidates.iter().copied().rfind(|v| !compares(v));
        let Some(reconstruction) = reconstruction else {
            let list: Vec<String> = outputs
                .iter()
                .map(|(name, value)| {
                    format!("`{name}` {:?}", self.network.shape(*value).unwrap_or(&[]))
                })
                .collect();
            self.problems.push(Problem::new(
                "outputs",
                format!(
                    "none is as long as the input ({features} elements): {}",
                    if list.is_empty() { "there is none".into() } else { list.join(", ") }
                ),
                "export encoder and decoder in one model that returns the reconstruction",
            ));
            return None;
        };
        let heads = match sampled {
            Some(heads) => Some(heads),
            None => self.heads_among(&all, reconstruction),
        };
        Some(Parts { input, heads, reconstruction })
    }

    fn len(&self, value: Value) -> usize {
        self.network.shape(value).map_or(0, |shape| shape.iter().product())
    }

    pub(super) fn refuse(
        &mut self,
        value: Value,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.problems.push(Problem::new(self.network.node(value).subject(), reason, remedy));
    }

    fn only_input(&mut self, live: &[bool]) -> Option<Value> {
        let inputs: Vec<(Value, &str)> = self
            .network
            .values()
            .filter(|(v, node)| live[v.index()] && matches!(node.kind, Kind::Input { .. }))
            .map(|(value, node)| (value, node.name.as_str()))
            .collect();
        match inputs[..] {
            [(input, _)] => Some(input),
            [] => {
                self.problems.push(Problem::new(
                    "inputs",
                    "no output depends on an input",
                    "export the model with its input as an argument",
                ));
                None
            }
            _ => {
                let names: Vec<_> = inputs.iter().map(|(_, name)| format!("`{name}`")).collect();
                self.problems.push(Problem::new(
                    "inputs",
                    format!("the model reads {}: {}", inputs.len(), names.join(", ")),
                    "a device has one window: concatenate them, or export without conditions",
                ));
                None
            }
        }
    }

    /// From the noise to `mu + noise * sigma`.
    fn sampling(&mut self, noise: Value, live: &[bool]) -> Option<Heads> {
        let (mut term, mut sigma, mut factor) = (noise, None, 1.0);
        for _ in 0..MAX_STEPS {
            let readers: Vec<Value> = self
                .network
                .values()
                .map(|(value, _)| value)
                .filter(|v| {
                    live[v.index()] && !matches!(self.meanings.meaning(*v), Meaning::Alias(_))
                })
                .filter(|v| self.meanings.inputs(*v).contains(&term))
                .collect();
            let [reader] = readers[..] else { break };
            let inputs = self.meanings.inputs(reader);
            match (self.meanings.kind(reader), &inputs[..]) {
                (Kind::Reshape { .. }, _) => {}
                (Kind::Multiply, [a, b]) => {
                    let other = if *a == term { *b } else { *a };
                    match (self.meanings.number(other), sigma) {
                        (Some(number), _) => factor *= number,
                        (None, None) => sigma = Some(other),
                        (None, Some(_)) => break,
                    }
                }
                // `torch.normal` adds a mean of zeros.
                (Kind::Add, [a, b])
                    if sigma.is_none()
                        && self.meanings.number(if *a == term { *b } else { *a }) == Some(0.0) => {}
                (Kind::Add, [a, b]) => {
                    let mu = if *a == term { *b } else { *a };
                    let logvar = match sigma {
                        Some(sigma) => Some(self.logvar(sigma, factor)?),
                        None => None,
                    };
                    return Some(Heads { mu, latent: reader, logvar });
                }
                _ => break,
            }
            term = reader;
        }
        self.refuse(
            noise,
            "random numbers that are not used as mu + sigma * noise",
            "sample as mu + exp(0.5 * logvar) * noise, or export in evaluation mode without noise",
        );
        None
    }

    /// `ln sigma^2` where sigma is a product of exponentials.
    fn logvar(&mut self, sigma: Value, factor: f64) -> Option<(Value, f64, f64)> {
        let (mut value, mut power, mut shift) = (sigma, 1.0, factor.abs().ln());
        for _ in 0..self.network.nodes().len() {
            let (inner, by) = self.meanings.scaled(value);
            shift += power * by.ln();
            value = inner;
            match (self.meanings.kind(value), &self.meanings.inputs(value)[..]) {
                (Kind::Sqrt, [x]) => (value, power) = (*x, power * 0.5),
                (Kind::Power { exponent }, [x]) => {
                    (value, power) = (*x, power * f64::from(*exponent));
                }
                (Kind::Exp, [x]) => {
                    let (head, scale, more) = self.affine_of(*x);
                    // ln sigma^2 = 2 * ln sigma
                    let scale = 2.0 * power * scale;
                    return Some((head, scale, 2.0 * (power * more + shift)));
                }
                _ => break,
            }
        }
        self.refuse(
            value,
            "the standard deviation of the latent is no exponential",
            "let the head give ln σ² and sample with exp(0.5 * logvar)",
        );
        None
    }

    /// A value as `scale * head + shift`, clamps left out.
    fn affine_of(&mut self, value: Value) -> (Value, f64, f64) {
        let (mut value, mut scale, mut shift) = (value, 1.0, 0.0);
        loop {
            let (inner, by) = self.meanings.scaled(value);
            (value, scale) = (inner, scale * by);
            let inputs = self.meanings.inputs(value);
            let numbers: Vec<_> = inputs.iter().map(|v| self.meanings.number(*v)).collect();
            match (self.meanings.kind(value), &inputs[..], &numbers[..]) {
                (Kind::Add, [a, _], [_, Some(k)]) | (Kind::Add, [_, a], [Some(k), _]) => {
                    shift += scale * k;
                    value = *a;
                }
                (Kind::Subtract, [a, _], [_, Some(k)]) => {
                    shift -= scale * k;
                    value = *a;
                }
                (Kind::Clip { low, high }, [x], _) => {
                    self.notes.push(format!(
                        "{}: the clamp of logvar to {low}..{high} is left out",
                        self.network.node(value).subject()
                    ));
                    value = *x;
                }
                _ => return (value, scale, shift),
            }
        }
    }

    /// Heads of a model without noise: an output that the reconstruction is
    /// computed from is mu, another one of its length logvar.
    fn heads_among(&mut self, outputs: &[Value], reconstruction: Value) -> Option<Heads> {
        let before = self.ancestors(&[reconstruction]);
        let mu = outputs
            .iter()
            .copied()
            .filter(|v| *v != reconstruction && before[v.index()])
            .filter(|v| !matches!(self.meanings.kind(*v), Kind::Input { .. } | Kind::Constant(_)))
            .min_by_key(|v| self.len(*v))?;
        let logvar = outputs
            .iter()
            .copied()
            .filter(|v| !before[v.index()] && self.len(*v) == self.len(mu))
            .take(MAX_OUTPUTS)
            .find(|v| {
                // No loss: that is computed from the reconstruction, or sums what it is given.
                let of = self.ancestors(&[*v]);
                let sums = |(at, node): (Value, &Node)| {
                    of[at.index()] && matches!(node.kind, Kind::Reduce { .. })
                };
                !of[reconstruction.index()] && !self.network.values().any(sums)
            });
        let logvar = match logvar {
            Some(value) if matches!(self.meanings.kind(value), Kind::Exp) => {
                self.refuse(
                    value,
                    "whether this output is a variance or a standard deviation cannot be told",
                    "return logvar itself, or export with the sampling step",
                );
                None
            }
            Some(value) => {
                self.notes.push(format!(
                    "{}: taken to be ln σ² of the latent, as there is no sampling step to tell",
                    self.network.node(value).subject()
                ));
                Some(self.affine_of(value))
            }
            None => None,
        };
        Some(Heads { mu, latent: mu, logvar })
    }
}
