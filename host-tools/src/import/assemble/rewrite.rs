//! Operators that exporters write as several: told by structure, and read as one.

use crate::graph::Activation;
use crate::import::network::{Kind, Network, Value};
use std::f64::consts::FRAC_1_SQRT_2;

/// Multiplications by numbers followed in a row: more is no model, but an attack.
const MAX_CHAIN: usize = 16;

/// What a node is taken to compute.
#[derive(Debug, Clone)]
pub(super) enum Meaning {
    /// What the file says.
    Itself,
    /// An elementwise function of a value, spelled out in several nodes.
    Function(Activation, Value),
    /// The same, scaled by a constant that differs from channel to channel.
    Scaled(Activation, Value, Value),
    /// Another value, unchanged.
    Alias(Value),
}

/// The graph with its idioms recognized.
pub(super) struct Meanings<'n> {
    network: &'n Network,
    all: Vec<Meaning>,
}

impl<'n> Meanings<'n> {
    pub(super) fn of(network: &'n Network) -> Self {
        let mut meanings = Self { network, all: Vec::with_capacity(network.nodes().len()) };
        for (value, node) in network.values() {
            let meaning = match (&node.kind, &node.inputs[..]) {
                (Kind::Identity, [x]) => Meaning::Alias(meanings.resolve(*x)),
                (Kind::Multiply | Kind::Divide, _) => meanings.product(value),
                (Kind::Log, [x]) => meanings.softplus(*x),
                _ => Meaning::Itself,
            };
            meanings.all.push(meaning);
        }
        meanings
    }

    /// The value behind identities.
    pub(super) fn resolve(&self, value: Value) -> Value {
        match self.all.get(value.index()) {
            Some(Meaning::Alias(of)) => *of,
            _ => value,
        }
    }

    pub(super) fn meaning(&self, value: Value) -> &Meaning {
        self.all.get(value.index()).unwrap_or(&Meaning::Itself)
    }

    pub(super) fn kind(&self, value: Value) -> &'n Kind {
        &self.network.nodes()[self.resolve(value).index()].kind
    }

    /// What a value reads, idioms read as one.
    pub(super) fn inputs(&self, value: Value) -> Vec<Value> {
        match self.meaning(value) {
            Meaning::Alias(of) | Meaning::Function(_, of) => vec![*of],
            Meaning::Scaled(_, of, by) => vec![*of, *by],
            Meaning::Itself => {
                let node = self.network.node(value);
                let past_padding = |input: &Value| match self.padding_before(value) {
                    Some((x, _)) => x,
                    None => self.resolve(*input),
                };
                node.inputs.iter().map(past_padding).collect()
            }
        }
    }

    /// What a convolution reads behind a node that only pads length and width,
    /// and that node's zeros.
    pub(super) fn padding_before(&self, value: Value) -> Option<(Value, [(usize, usize); 2])> {
        let node = self.network.node(value);
        let (Kind::Convolution { .. }, [input]) = (&node.kind, &node.inputs[..]) else {
            return None;
        };
        let pad = self.resolve(*input);
        let (Kind::Pad { padding }, [x]) = (self.kind(pad), &self.network.node(pad).inputs[..])
        else {
            return None;
        };
        let channels = self.network.layout.channel_axis(padding.len());
        let mut zeros = [(0, 0); 2];
        let places = padding.iter().enumerate().filter(|(axis, _)| *axis != channels);
        for (slot, (_, (before, after))) in zeros.iter_mut().zip(places) {
            *slot = (usize::try_from(*before).ok()?, usize::try_from(*after).ok()?);
        }
        let only_places = matches!(padding.get(channels), Some((0, 0))) && padding.len() <= 3;
        only_places.then(|| (self.resolve(*x), zeros))
    }

    /// The number a constant holds in all its elements.
    pub(super) fn number(&self, value: Value) -> Option<f64> {
        let Kind::Constant(values) = self.kind(value) else { return None };
        let first = *values.first()?;
        values.iter().all(|x| *x == first).then_some(f64::from(first))
    }

    /// A chain of multiplications and divisions by numbers: `(value, factor)`.
    pub(super) fn scaled(&self, value: Value) -> (Value, f64) {
        let (mut value, mut factor) = (self.resolve(value), 1.0);
        for _ in 0..MAX_CHAIN {
            let [a, b] = self.inputs(value)[..] else { break };
            match (self.kind(value), self.number(a), self.number(b)) {
                (Kind::Multiply, _, Some(k)) => (value, factor) = (a, factor * k),
                (Kind::Multiply, Some(k), _) => (value, factor) = (b, factor * k),
                (Kind::Divide, _, Some(k)) if k != 0.0 => (value, factor) = (a, factor / k),
                _ => break,
            }
        }
        (value, factor)
    }

    /// The value to which 1 is added.
    fn plus_one(&self, value: Value) -> Option<Value> {
        let value = self.resolve(value);
        let [a, b] = self.inputs(value)[..] else { return None };
        match (self.kind(value), self.number(a), self.number(b)) {
            (Kind::Add, _, Some(1.0)) => Some(a),
            (Kind::Add, Some(1.0), _) => Some(b),
            _ => None,
        }
    }

    /// `x * sigmoid(x)`, and GELU as `0.5 * x * (1 + erf(x / sqrt 2))` in any order.
    fn product(&self, root: Value) -> Meaning {
        let (mut factor, mut factors, mut by) = (1.0, Vec::new(), None);
        let mut open = vec![root];
        while let Some(value) = open.pop() {
            let (value, number) = self.scaled(value);
            factor *= number;
            match (self.number(value), self.kind(value)) {
                (Some(number), _) => factor *= number,
                // A normalization behind it may have been multiplied in.
                (None, Kind::Constant(_)) if by.is_none() => by = Some(value),
                (None, Kind::Multiply) if matches!(self.meaning(value), Meaning::Itself) => {
                    open.extend(self.inputs(value));
                }
                _ => factors.push(value),
            }
            if factors.len() > 2 || open.len() > 4 {
                return Meaning::Itself;
            }
        }
        let [a, b] = factors[..] else { return Meaning::Itself };
        let found = |function: Activation, x: Value| match by {
            Some(by) => Meaning::Scaled(function, x, by),
            None => Meaning::Function(function, x),
        };
        for (x, other) in [(a, b), (b, a)] {
            if factor == 1.0
                && matches!(self.kind(other), Kind::Activation(Activation::Sigmoid))
                && self.inputs(other) == [x]
            {
                return found(Activation::Silu, x);
            }
            if (factor - 0.5).abs() < 1e-6
                && let Some(erf) = self.plus_one(other)
                && matches!(self.kind(erf), Kind::Erf)
                && let [inner] = self.inputs(erf)[..]
                && let (of, scale) = self.scaled(inner)
                && of == x
                && (scale - FRAC_1_SQRT_2).abs() < 1e-4
            {
                return found(Activation::Gelu, x);
            }
        }
        Meaning::Itself
    }

    /// `ln(1 + exp(x))`.
    fn softplus(&self, value: Value) -> Meaning {
        match self.plus_one(value) {
            Some(exp) if matches!(self.kind(exp), Kind::Exp) => match self.inputs(exp)[..] {
                [x] => Meaning::Function(Activation::Softplus, x),
                _ => Meaning::Itself,
            },
            _ => Meaning::Itself,
        }
    }
}
