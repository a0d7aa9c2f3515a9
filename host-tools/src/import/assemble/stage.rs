//! Layers in the making, and how values of the file look at their outputs.

use crate::graph::{Activation, Op, Shape};
use std::rc::Rc;

/// A layer in the making; never changed once made, so that every value that
/// looks at it stays true.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    pub(super) name: String,
    /// The file's word for the operator.
    pub(super) operator: String,
    pub(super) op: Rc<Op>,
    pub(super) activation: Activation,
    pub(super) input: Source,
    /// Repeats every place so often; what a convolution behind it can absorb.
    pub(super) upsample: Option<[usize; 2]>,
}

/// What a layer or a value reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The features, or in the decoder the latent.
    Root,
    /// A layer, by index.
    Stage(usize),
}

/// Positions of elements: element `i` of a value, row-major in the file's
/// shape, is element `order[i]` of what its source stores. `None`: as they come.
pub(super) type Order = Option<Rc<[u32]>>;

/// A value of the file: some elements of a source, in some order, perhaps
/// scaled and shifted by what is not folded into a layer yet.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) source: Source,
    /// The file's shape, without the batch.
    pub(super) shape: Vec<usize>,
    pub(super) order: Order,
    pub(super) affine: Option<Rc<Affine>>,
}

/// `x * scale + shift`, one pair an element of a view.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Affine {
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
}

impl View {
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Where element `i` is stored.
    pub(super) fn position(&self, i: usize) -> usize {
        self.order.as_ref().map_or(i, |order| order[i] as usize)
    }

    /// The elements `pick` names, by their place in this view, in a new shape.
    pub(super) fn select(&self, shape: Vec<usize>, pick: &[usize]) -> Self {
        let order = pick.iter().map(|i| self.position(*i) as u32).collect();
        let affine = self.affine.as_ref().map(|affine| {
            Rc::new(Affine {
                scale: pick.iter().map(|i| affine.scale[*i]).collect(),
                shift: pick.iter().map(|i| affine.shift[*i]).collect(),
            })
        });
        Self { source: self.source, shape, order: plain(order), affine }
    }
}

/// An order, `None` where it changes nothing.
pub(super) fn plain(order: Vec<u32>) -> Order {
    let changes = order.iter().enumerate().any(|(i, at)| i != *at as usize);
    changes.then(|| order.into())
}

/// Positions of the elements of the file's `[channels][length][width]` in the
/// device's `[length][width][channels]`.
pub(super) fn channels_last(shape: Shape) -> Order {
    let places = shape.length * shape.width;
    let at = |c: usize| (0..places).map(move |place| (place * shape.channels + c) as u32);
    plain((0..shape.channels).flat_map(at).collect())
}

/// Steps from one element to the next along each axis, row-major.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// For each element of `shape`, row-major, its sum of `index * step` over the axes.
pub(super) fn indices(shape: &[usize], steps: &[usize]) -> Vec<usize> {
    let mut all = vec![0];
    for (len, step) in shape.iter().zip(steps) {
        all = all.iter().flat_map(|base| (0..*len).map(move |i| base + i * step)).collect();
    }
    all
}
