//! Scales and shifts folded into layers, activations fused, elements brought
//! into the order that is wanted.

use super::lower::{Lowering, Mismatch};
use super::stage::{Affine, Order, Source, Stage, View, plain};
use crate::graph::{Activation, Geometry, Op, Shape};
use crate::import::network::Value;
use ndarray::{Array1, Array3, Axis};
use std::rc::Rc;

impl Lowering<'_, '_> {
    /// Scales and shifts a value: in the layer before where that is exact,
    /// else whoever reads the value takes care of it.
    pub(super) fn affine(&mut self, x: View, affine: Affine) -> Result<View, Mismatch> {
        self.spend(2 * x.len())?;
        if affine.scale.iter().chain(&affine.shift).any(|v| !v.is_finite()) {
            return Err((
                "scales or shifts by what is not a finite number".into(),
                "training diverged, or a variance is zero: train again".into(),
            ));
        }
        let affine = match &x.affine {
            None => affine,
            // b * (a * x + s) + t
            Some(first) => Affine {
                scale: affine.scale.iter().zip(&first.scale).map(|(b, a)| a * b).collect(),
                shift: (0..x.len())
                    .map(|i| affine.scale[i] * first.shift[i] + affine.shift[i])
                    .collect(),
            },
        };
        if let Some(folded) = self.fold_after(&x, &affine)? {
            return Ok(folded);
        }
        Ok(View { affine: Some(Rc::new(affine)), ..x })
    }

    /// Folds into the layer that a view looks at, if that has no activation yet
    /// and all elements of a channel are treated alike.
    fn fold_after(&mut self, x: &View, affine: &Affine) -> Result<Option<View>, Mismatch> {
        let Some(stage) = self.stage(x.source) else { return Ok(None) };
        if !stage.activation.is_identity() || stage.upsample.is_some() {
            return Ok(None);
        }
        let Some(bias) = stage.op.bias() else { return Ok(None) };
        let channels = bias.len();
        let mut by_channel: Vec<Option<(f32, f32)>> = vec![None; channels];
        for i in 0..x.len() {
            let pair = (affine.scale[i], affine.shift[i]);
            let slot = &mut by_channel[x.position(i) % channels];
            if *slot.get_or_insert(pair) != pair {
                return Ok(None);
            }
        }
        let mut stage = stage.clone();
        self.spend(stage.op.weight().len())?;
        let op = Rc::make_mut(&mut stage.op);
        if let Some((weight, bias)) = op.parameters_mut() {
            let row = weight.len() / channels;
            for (channel, pair) in by_channel.iter().enumerate() {
                let (scale, shift) = pair.unwrap_or((1.0, 0.0));
                weight[channel * row..][..row].iter_mut().for_each(|w| *w *= scale);
                bias[channel] = bias[channel] * scale + shift;
            }
        }
        self.stages.push(stage);
        Ok(Some(View { source: Source::Stage(self.stages.len() - 1), affine: None, ..x.clone() }))
    }

    /// Applies an elementwise function: fused with the layer before, or a
    /// layer of its own that multiplies by 1.
    pub(super) fn activate(
        &mut self,
        value: Value,
        x: View,
        activation: Activation,
    ) -> Result<View, Mismatch> {
        let fusable = x.affine.is_none()
            && self
                .stage(x.source)
                .is_some_and(|stage| stage.activation.is_identity() && stage.upsample.is_none());
        if fusable && let Some(stage) = self.stage(x.source) {
            let stage = Stage { activation, ..stage.clone() };
            self.stages.push(stage);
            return Ok(View { source: Source::Stage(self.stages.len() - 1), ..x });
        }
        let order = self.stored(&x);
        let ones = Affine { scale: vec![1.0; x.len()], shift: vec![0.0; x.len()] };
        let affine = x.affine.clone().unwrap_or_else(|| Rc::new(ones));
        let source = self.scale_layer(value, x.source, &order, &affine, activation)?;
        Ok(View { source, affine: None, ..x })
    }

    /// A layer that scales and shifts every channel, or every element, by itself.
    fn scale_layer(
        &mut self,
        value: Value,
        source: Source,
        order: &Order,
        affine: &Affine,
        activation: Activation,
    ) -> Result<Source, Mismatch> {
        let shape = self.source_shape(source);
        self.spend(4 * shape.len())?;
        let at = |i: usize| order.as_ref().map_or(i, |order| order[i] as usize);
        let mut elements = vec![None; shape.len()];
        for i in 0..affine.scale.len() {
            let pair = (affine.scale[i], affine.shift[i]);
            // An element that is repeated may not be scaled in two ways.
            if *elements[at(i)].get_or_insert(pair) != pair {
                return Err((
                    "scales what is repeated differently from place to place".into(),
                    "scale before upsampling".into(),
                ));
            }
        }
        let mut channels = vec![None; shape.channels];
        let alike = elements.iter().enumerate().all(|(i, pair)| {
            let slot: &mut Option<(f32, f32)> = &mut channels[i % shape.channels];
            pair.is_none_or(|pair| *slot.get_or_insert(pair) == pair)
        });
        let (shape, pairs) =
            if alike { (shape, channels) } else { (Shape::flat(shape.len()), elements) };
        let pairs: Vec<(f32, f32)> = pairs.into_iter().map(|p| p.unwrap_or((1.0, 0.0))).collect();
        let scale: Vec<f32> = pairs.iter().map(|pair| pair.0).collect();
        let op = Op::DepthwiseConvolution {
            weight: Array3::from_shape_vec((pairs.len(), 1, 1), scale).unwrap_or_default(),
            bias: pairs.iter().map(|pair| pair.1).collect(),
            geometry: Geometry::convolution(shape, pairs.len(), [1; 2], [1; 2], [(0, 0); 2]),
        };
        Ok(self.push(value, op, activation, source))
    }

    /// A source that stores exactly a view's elements, element `i` at
    /// `wanted[i]`, with nothing left to scale. `places` is what they are to
    /// the operator that asks.
    pub(super) fn settle(
        &mut self,
        value: Value,
        x: &View,
        wanted: &Order,
        places: Shape,
    ) -> Result<Source, Mismatch> {
        let source = self.arrange(x, wanted, places)?;
        match &x.affine {
            None => Ok(source),
            Some(affine) => {
                let affine = Rc::clone(affine);
                self.scale_layer(value, source, wanted, &affine, Activation::Identity)
            }
        }
    }

    /// [`Self::settle`] without the affine part.
    pub(super) fn arrange(
        &mut self,
        x: &View,
        wanted: &Order,
        places: Shape,
    ) -> Result<Source, Mismatch> {
        let at = |order: &Order, i: usize| order.as_ref().map_or(i, |order| order[i] as usize);
        if let Some(source) = self.spread_out(x, wanted, places)? {
            return Ok(source);
        }
        let len = x.len();
        self.spend(2 * len)?;
        if x.source == Source::Root && self.root_order.is_none() && len == self.root_len {
            let mut root = vec![0; len];
            (0..len).for_each(|i| root[x.position(i)] = at(wanted, i) as u32);
            self.root_order = Some(plain(root));
            self.root_places = Some(places);
        }
        let stored = self.stored(x);
        let whole = len == self.source_shape(x.source).len();
        if whole && stored == *wanted {
            if x.source == Source::Root && self.root_places.is_none() {
                self.root_places = Some(places);
            }
            return Ok(x.source);
        }
        let mut pick = vec![0; len];
        (0..len).for_each(|i| pick[at(wanted, i)] = at(&stored, i));
        let moved = match self.stage(x.source) {
            Some(stage) => {
                let cost = stage.op.weight().len();
                let moved = rearranged(stage, &pick);
                self.spend(cost)?;
                moved
            }
            None => None,
        };
        let Some(op) = moved else {
            let from = match self.stage(x.source) {
                Some(stage) => format!("{} ({})", stage.name, stage.operator),
                None => "its input".into(),
            };
            return Err((
                format!("the elements of {from} reach it in an order that no layer can give"),
                "transpose and slice only beside fully connected layers".into(),
            ));
        };
        let Some(mut stage) = self.stage(x.source).cloned() else { return Ok(x.source) };
        stage.op = Rc::new(op);
        stage.upsample = None;
        self.stages.push(stage);
        Ok(Source::Stage(self.stages.len() - 1))
    }
}

/// The operator with output `i` being output `pick[i]` of before: fully
/// connected rows in any order; of convolutions channels in any order, and
/// places cut off at the edges.
fn rearranged(stage: &Stage, pick: &[usize]) -> Option<Op> {
    let of = |bias: &Array1<f32>, pick: &[usize]| bias.select(Axis(0), pick);
    let op = match &*stage.op {
        Op::FullyConnected { weight, bias } => {
            Op::FullyConnected { weight: weight.select(Axis(0), pick), bias: of(bias, pick) }
        }
        Op::Convolution { weight, bias, geometry } => {
            let (geometry, channels) = cut(geometry, pick, false)?;
            let bias = of(bias, &channels);
            Op::Convolution { weight: weight.select(Axis(0), &channels), bias, geometry }
        }
        Op::TransposedConvolution { weight, bias, geometry } => {
            let (geometry, channels) = cut(geometry, pick, true)?;
            let bias = of(bias, &channels);
            Op::TransposedConvolution { weight: weight.select(Axis(0), &channels), bias, geometry }
        }
        _ => return None,
    };
    Some(op.standard())
}

/// The geometry whose outputs are those that `pick` names, and the channels.
fn cut(geometry: &Geometry, pick: &[usize], transposed: bool) -> Option<(Geometry, Vec<usize>)> {
    let all = geometry.output;
    let place = |i: usize| {
        let place = i / all.channels;
        [place / all.width, place % all.width]
    };
    let (first, last) = (place(*pick.first()?), place(*pick.last()?));
    let length = (last[0] + 1).checked_sub(first[0])?;
    let width = (last[1] + 1).checked_sub(first[1])?;
    if !pick.len().is_multiple_of(length * width) {
        return None;
    }
    let count = pick.len() / (length * width);
    let channels: Vec<usize> = pick[..count].iter().map(|i| i % all.channels).collect();
    let fits = pick.iter().enumerate().all(|(new, old)| {
        let at = new / count;
        let (l, w) = (first[0] + at / width, first[1] + at % width);
        *old == (l * all.width + w) * all.channels + channels[new % count]
    });
    if !fits {
        return None;
    }
    let mut cut = *geometry;
    cut.output = Shape::new(length, width, count);
    for (axis, (padding, first)) in cut.padding.iter_mut().zip(first).enumerate() {
        *padding = if transposed {
            *padding + first
        } else {
            padding.checked_sub(first * geometry.stride[axis])?
        };
    }
    Some((cut, channels))
}
