//! From the file's nodes to layers in the making, one node after the other.
//!
//! Reshapes, transposes and slices make no layer: they only change how a
//! [`View`] looks at the layer before. What a layer reads is brought into the
//! device's order by permuting weights, of the layer behind or before.

use super::parts::Analysis;
use super::rewrite::Meaning;
use super::stage::{Affine, Order, Source, Stage, View, channels_last, indices, plain, strides};
use crate::graph::{Activation, Op, Shape};
use crate::import::Problem;
use crate::import::network::{Kind, Layout, Network, Value, places};
use ndarray::ArrayD;
use std::rc::Rc;

/// What is wrong, and what to do about it.
pub(super) type Mismatch = (String, String);

/// Numbers that may be moved in the course of one import: what a model takes
/// is little; a file made to exhaust memory is refused.
const BUDGET: usize = 1 << 25;

/// The lowering of one part of the graph: from its root to its targets.
pub(super) struct Lowering<'a, 'n> {
    pub(super) network: &'n Network,
    pub(super) analysis: &'a Analysis<'n>,
    pub(super) stages: Vec<Stage>,
    root: Value,
    pub(super) root_len: usize,
    /// Where the root's elements are stored; open until something reads it that cares.
    pub(super) root_order: Option<Order>,
    /// The root's shape as the operator that fixed its order sees it.
    pub(super) root_places: Option<Shape>,
    values: Vec<Option<Lowered>>,
    pub(super) problems: Vec<Problem>,
    budget: usize,
}

/// What a value has become.
#[derive(Debug, Clone)]
enum Lowered {
    View(View),
    Constant(Value),
    /// Behind a problem.
    Failed,
}

impl<'a, 'n> Lowering<'a, 'n> {
    pub(super) fn new(
        network: &'n Network,
        analysis: &'a Analysis<'n>,
        root: Value,
        root_order: Option<Order>,
    ) -> Self {
        Self {
            network,
            analysis,
            stages: Vec::new(),
            root,
            root_len: network.shape(root).map_or(0, |shape| shape.iter().product()),
            root_order,
            root_places: None,
            values: vec![None; network.nodes().len()],
            problems: Vec::new(),
            budget: BUDGET,
        }
    }

    /// Lowers everything between the root and `targets`; a target behind a
    /// problem gives `None`.
    pub(super) fn run(&mut self, targets: &[Value]) -> Vec<Option<View>> {
        let before = self.analysis.ancestors(targets);
        let behind = self.analysis.descendants(self.root);
        let shape = self.network.shape(self.root).unwrap_or(&[]).to_vec();
        let root = View { source: Source::Root, shape, order: None, affine: None };
        for (value, node) in self.network.values() {
            if !before[value.index()] {
                continue;
            }
            let lowered = if value == self.root {
                Lowered::View(root.clone())
            } else if matches!(node.kind, Kind::Constant(_)) {
                Lowered::Constant(value)
            } else if behind[value.index()] {
                match self.node(value) {
                    Some(Ok(view)) => Lowered::View(view),
                    Some(Err((reason, remedy))) => {
                        self.problems.push(Problem::new(node.subject(), reason, remedy));
                        Lowered::Failed
                    }
                    None => Lowered::Failed,
                }
            } else {
                continue;
            };
            self.values[value.index()] = Some(lowered);
        }
        targets.iter().map(|target| self.view(*target)).collect()
    }

    fn view(&self, value: Value) -> Option<View> {
        match &self.values[self.analysis.meanings.resolve(value).index()] {
            Some(Lowered::View(view)) => Some(view.clone()),
            _ => None,
        }
    }

    /// `None` where something it reads failed before.
    fn node(&mut self, value: Value) -> Option<Result<View, Mismatch>> {
        let inputs = self.analysis.meanings.inputs(value);
        let (mut views, mut constant) = (Vec::new(), None);
        for (place, input) in inputs.iter().enumerate() {
            match &self.values[input.index()] {
                Some(Lowered::View(view)) => views.push((place, view.clone())),
                Some(Lowered::Constant(of)) => constant = Some(*of),
                Some(Lowered::Failed) => return None,
                None => {
                    let past = self.network.node(*input).subject();
                    return Some(Err((
                        format!("reads {past} past the latent or beside the chain"),
                        "a device runs layers one behind the other: train without skip connections"
                            .into(),
                    )));
                }
            }
        }
        let node = self.network.node(value);
        let shape = node.shape.clone()?;
        let function = match self.analysis.meanings.meaning(value) {
            Meaning::Alias(_) => return views.pop().map(|(_, view)| Ok(view)),
            Meaning::Function(function, _) => Some(*function),
            Meaning::Scaled(function, _, by) => {
                let (_, x) = views.pop()?;
                return Some(
                    self.activate(value, x, *function)
                        .and_then(|y| self.with_constant(&Kind::Multiply, y, *by, false)),
                );
            }
            Meaning::Itself => None,
        };
        let mut views: Vec<View> = {
            // A constant in front of its operand.
            let first = views.first().map(|(place, _)| *place);
            if let (Some(1), Some(of), [_]) = (first, constant, &views[..]) {
                let (_, view) = views.pop()?;
                return Some(self.with_constant(&node.kind, view, of, true));
            }
            views.into_iter().map(|(_, view)| view).collect()
        };
        if let (Kind::Concat { .. }, None) = (&node.kind, constant) {
            return Some(self.concat(value, &views));
        }
        if views.len() != 1 {
            return Some(Err((
                "joins two computed values".into(),
                "a device runs layers one behind the other: train without skip connections".into(),
            )));
        }
        let x = views.pop()?;
        if let Some(of) = constant {
            return Some(self.with_constant(&node.kind, x, of, false));
        }
        if let Some(function) = function {
            return Some(self.activate(value, x, function));
        }
        Some(match &node.kind {
            Kind::FullyConnected { weight, bias } => {
                self.fully_connected(value, x, weight, bias.as_ref())
            }
            Kind::Convolution { .. } | Kind::TransposedConvolution { .. } => {
                self.windowed(value, x)
            }
            Kind::Pool { .. } | Kind::GlobalPool { .. } => self.pool(value, x),
            Kind::Upsample { factors } => self.repeat(&x, factors),
            Kind::Pad { padding } => self.pad(value, x, padding),
            Kind::Affine { axis, scale, shift } => {
                let mut steps = vec![0; x.shape.len()];
                steps[*axis] = 1;
                let at = indices(&x.shape, &steps);
                let scale = at.iter().map(|i| scale[*i]).collect();
                let shift = at.iter().map(|i| shift[*i]).collect();
                self.affine(x, Affine { scale, shift })
            }
            Kind::Activation(activation) => self.activate(value, x, *activation),
            Kind::Reshape { .. } => Ok(View { shape, ..x }),
            Kind::Transpose { axes } => {
                let all = strides(&x.shape);
                let steps: Vec<usize> = axes.iter().map(|axis| all[*axis]).collect();
                self.select(&x, shape, 0, &steps)
            }
            Kind::Slice { axis, start, .. } => {
                let steps = strides(&x.shape);
                self.select(&x, shape, start * steps[*axis], &steps)
            }
            kind => Err(refusal(kind)),
        })
    }

    pub(super) fn select(
        &mut self,
        x: &View,
        shape: Vec<usize>,
        from: usize,
        steps: &[usize],
    ) -> Result<View, Mismatch> {
        self.spend(3 * x.len())?;
        let mut pick = indices(&shape, steps);
        pick.iter_mut().for_each(|i| *i += from);
        Ok(x.select(shape, &pick))
    }

    /// Takes from the budget of numbers moved.
    pub(super) fn spend(&mut self, numbers: usize) -> Result<(), Mismatch> {
        match self.budget.checked_sub(numbers) {
            Some(rest) => self.budget = rest,
            None => {
                return Err((
                    "the graph rearranges more numbers than a model of its size needs".into(),
                    "export the model again, or fold constants before".into(),
                ));
            }
        }
        Ok(())
    }

    /// Adds a layer named after `value`.
    pub(super) fn push(
        &mut self,
        value: Value,
        op: Op,
        activation: Activation,
        input: Source,
    ) -> Source {
        let node = self.network.node(value);
        self.stages.push(Stage {
            name: node.name.clone(),
            operator: node.operator.clone(),
            op: Rc::new(op),
            activation,
            input,
            upsample: None,
        });
        Source::Stage(self.stages.len() - 1)
    }

    /// The stage behind a source.
    pub(super) fn stage(&self, source: Source) -> Option<&Stage> {
        match source {
            Source::Root => None,
            Source::Stage(index) => self.stages.get(index),
        }
    }

    /// Elements a source stores, and their shape.
    pub(super) fn source_shape(&self, source: Source) -> Shape {
        match self.stage(source) {
            Some(stage) => stage.op.output(),
            None => self.root_places.unwrap_or(Shape::flat(self.root_len)),
        }
    }

    /// Where a view's elements are stored; an open root is fixed as it comes.
    pub(super) fn stored(&mut self, view: &View) -> Order {
        if view.source != Source::Root {
            return view.order.clone();
        }
        let Some(root) = self.root_order.get_or_insert(None) else { return view.order.clone() };
        plain((0..view.len()).map(|i| root[view.position(i)]).collect())
    }

    /// The output of a windowed operator as the file sees it.
    pub(super) fn placed(&self, value: Value, source: Source) -> View {
        let shape = self.network.shape(value).unwrap_or(&[]).to_vec();
        View { source, order: self.canonical(&shape), shape, affine: None }
    }

    /// Positions, in the device's order, of the elements of a windowed
    /// operator's input or output.
    pub(super) fn canonical(&self, shape: &[usize]) -> Order {
        match (self.network.layout, places(shape, self.network.layout)) {
            (Layout::ChannelsFirst, Ok(places)) => channels_last(places),
            _ => None,
        }
    }

    /// Numbers of a constant, one for each element of `shape`.
    fn broadcast(&mut self, constant: Value, shape: &[usize]) -> Result<Vec<f32>, Mismatch> {
        self.spend(shape.iter().product())?;
        let Kind::Constant(values) = &self.network.node(constant).kind else {
            return Err(refusal(&self.network.node(constant).kind));
        };
        spread(values, shape).ok_or_else(|| {
            (
                format!("a constant of shape {:?} does not go with {shape:?}", values.shape()),
                "export the model again".into(),
            )
        })
    }

    /// Arithmetic with numbers of the file: a scale or a shift.
    fn with_constant(
        &mut self,
        kind: &Kind,
        x: View,
        constant: Value,
        constant_first: bool,
    ) -> Result<View, Mismatch> {
        let numbers = self.broadcast(constant, &x.shape)?;
        let all = |value: f32| vec![value; numbers.len()];
        let affine = match (kind, constant_first) {
            (Kind::Add, _) => Affine { scale: all(1.0), shift: numbers },
            (Kind::Subtract, false) => {
                Affine { scale: all(1.0), shift: numbers.iter().map(|x| -x).collect() }
            }
            (Kind::Subtract, true) => Affine { scale: all(-1.0), shift: numbers },
            (Kind::Multiply, _) => Affine { shift: all(0.0), scale: numbers },
            (Kind::Divide, false) => {
                Affine { shift: all(0.0), scale: numbers.iter().map(|x| x.recip()).collect() }
            }
            (kind, _) => return Err(refusal(kind)),
        };
        self.affine(x, affine)
    }
}

/// A constant broadcast to a shape.
fn spread(values: &ArrayD<f32>, shape: &[usize]) -> Option<Vec<f32>> {
    let own = match values.shape() {
        [1, rest @ ..] if rest.len() == shape.len() => rest,
        all => all,
    };
    let lead = shape.len().checked_sub(own.len())?;
    let mut steps = vec![0; lead];
    for ((len, step), wanted) in own.iter().zip(strides(own)).zip(&shape[lead..]) {
        if len != wanted && *len != 1 {
            return None;
        }
        steps.push(if *len == 1 { 0 } else { step });
    }
    let values: Vec<f32> = values.iter().copied().collect();
    indices(shape, &steps).into_iter().map(|i| values.get(i).copied()).collect()
}

/// Why an operator cannot become a layer.
fn refusal(kind: &Kind) -> Mismatch {
    let functions = "use one of relu, relu6, leaky relu, elu, sigmoid, tanh, gelu, silu, softplus";
    let (reason, remedy) = match kind {
        Kind::Clip { low, high } => (format!("clips to {low}..{high}"), functions),
        Kind::Exp | Kind::Log | Kind::Sqrt | Kind::Erf | Kind::Power { .. } => {
            ("is a function that no layer has".into(), functions)
        }
        Kind::RandomNormal { .. } => (
            "draws random numbers outside the sampling of the latent".into(),
            "export the model in evaluation mode",
        ),
        Kind::Reduce { .. } => (
            "sums or averages values, as losses do".into(),
            "export a model that returns the reconstruction; pools reduce length and width",
        ),
        Kind::Input { .. } => {
            ("is a second input".into(), "concatenate the inputs, or export without conditions")
        }
        Kind::Constant(_) => ("computes with constants only".into(), "fold constants before"),
        _ => (
            "joins values in a way that no layer does".into(),
            "a device runs layers one behind the other: train without skip connections",
        ),
    };
    (reason, remedy.to_string())
}
