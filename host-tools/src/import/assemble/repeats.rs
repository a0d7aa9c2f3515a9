//! Repeated elements (upsampling, tiles), and zeros around windows.
//!
//! A repetition makes no layer by itself: a [`View`] names elements several
//! times. Where an operator wants the elements in places, the repetition
//! becomes a transposed convolution, which a convolution behind it absorbs.

use super::lower::{Lowering, Mismatch};
use super::stage::{Order, Source, Stage, View, plain, strides};
use crate::graph::{Activation, Geometry, Op, Shape};
use crate::import::network::{Value, places};
use ndarray::{Array1, Array3, Array4};
use std::rc::Rc;

impl Lowering<'_, '_> {
    /// Every element `factors` times along each axis.
    pub(super) fn repeat(&mut self, x: &View, factors: &[usize]) -> Result<View, Mismatch> {
        let shape: Vec<usize> = x.shape.iter().zip(factors).map(|(len, f)| len * f).collect();
        self.spend(3 * shape.iter().product::<usize>())?;
        let mut pick = vec![0];
        for ((len, factor), step) in shape.iter().zip(factors).zip(strides(&x.shape)) {
            let along = |base: &usize| {
                let base = *base;
                (0..*len).map(move |i| base + i / factor * step)
            };
            pick = pick.iter().flat_map(along).collect();
        }
        Ok(x.select(shape, &pick))
    }

    /// Whether a view names an element more than once.
    pub(super) fn repeats(&self, x: &View) -> bool {
        let Some(order) = &x.order else { return false };
        let mut seen = vec![false; self.source_shape(x.source).len()];
        order
            .iter()
            .any(|at| seen.get_mut(*at as usize).is_none_or(|seen| std::mem::replace(seen, true)))
    }

    /// The repeated elements of a view in places, element `i` at `wanted[i]`;
    /// `None` where no length and width repeat.
    pub(super) fn spread_out(
        &mut self,
        x: &View,
        wanted: &Order,
        asked: Shape,
    ) -> Result<Option<Source>, Mismatch> {
        if !self.repeats(x) {
            return Ok(None);
        }
        let own = || places(&x.shape, self.network.layout).ok();
        let Some(at) = Some(asked).filter(|at| at.len() == x.len()).or_else(own) else {
            return Ok(None);
        };
        self.spend(2 * x.len())?;
        let mut pick = vec![0; x.len()];
        for i in 0..x.len() {
            pick[wanted.as_ref().map_or(i, |order| order[i] as usize)] = x.position(i);
        }
        let of = |l: usize, w: usize, c: usize| pick[(l * at.width + w) * at.channels + c];
        let factors = [
            (1..at.length).take_while(|l| of(*l, 0, 0) == of(0, 0, 0)).count() + 1,
            (1..at.width).take_while(|w| of(0, *w, 0) == of(0, 0, 0)).count() + 1,
        ];
        let whole = at.length.is_multiple_of(factors[0]) && at.width.is_multiple_of(factors[1]);
        if factors == [1; 2] || !whole || factors.iter().any(|factor| *factor > 255) {
            return Ok(None);
        }
        let small = Shape::new(at.length / factors[0], at.width / factors[1], at.channels);
        let all = (0..at.length).flat_map(|l| (0..at.width).map(move |w| (l, w)));
        let repeated = all.into_iter().all(|(l, w)| {
            let (l0, w0) = (l / factors[0] * factors[0], w / factors[1] * factors[1]);
            (0..at.channels).all(|c| of(l, w, c) == of(l0, w0, c))
        });
        if !repeated {
            return Ok(None);
        }
        let base: Vec<u32> = (0..small.length)
            .flat_map(|l| (0..small.width).map(move |w| (l, w)))
            .flat_map(|(l, w)| (0..at.channels).map(move |c| (l, w, c)))
            .map(|(l, w, c)| of(l * factors[0], w * factors[1], c) as u32)
            .collect();
        let shape = vec![small.length, small.width, small.channels];
        let base = View { source: x.source, shape, order: plain(base), affine: None };
        let source = self.arrange(&base, &None, small)?;
        self.upsample(source, small, factors).map(Some)
    }

    /// A transposed convolution with a kernel of ones.
    fn upsample(
        &mut self,
        source: Source,
        at: Shape,
        factors: [usize; 2],
    ) -> Result<Source, Mismatch> {
        let channels = at.channels;
        self.spend(channels.saturating_mul(channels).saturating_mul(factors[0] * factors[1]))?;
        let mut weight = Array4::zeros((channels, factors[0], factors[1], channels));
        for channel in 0..channels {
            weight.slice_mut(ndarray::s![channel, .., .., channel]).fill(1.0);
        }
        let geometry = Geometry::transposed(at, channels, factors, factors, [(0, 0); 2]);
        let name = self.stage(source).map_or("", |stage| &stage.name);
        let name = if name.is_empty() { "upsample".into() } else { format!("{name}.upsample") };
        self.stages.push(Stage {
            name,
            operator: "Upsample".into(),
            op: Rc::new(Op::TransposedConvolution {
                weight,
                bias: Array1::zeros(channels),
                geometry,
            }),
            activation: Activation::Identity,
            input: source,
            upsample: Some(factors),
        });
        Ok(Source::Stage(self.stages.len() - 1))
    }

    /// What is cut off, then zeros around length and width: a depthwise
    /// convolution with one tap.
    pub(super) fn pad(
        &mut self,
        value: Value,
        x: View,
        padding: &[(isize, isize)],
    ) -> Result<View, Mismatch> {
        let steps = strides(&x.shape);
        let cut = |by: isize| by.min(0).unsigned_abs();
        let (mut shape, mut from) = (x.shape.clone(), 0);
        for (axis, (before, after)) in padding.iter().enumerate() {
            shape[axis] = shape[axis].saturating_sub(cut(*before) + cut(*after));
            from += cut(*before) * steps[axis];
        }
        let x = if shape == x.shape { x } else { self.select(&x, shape, from, &steps)? };
        if padding.iter().all(|(before, after)| *before <= 0 && *after <= 0) {
            return Ok(x);
        }
        let at = places(&x.shape, self.network.layout)?;
        let channel = self.network.layout.channel_axis(padding.len());
        let zeros = padding.iter().enumerate().filter(|(axis, _)| *axis != channel);
        let mut zeros: Vec<(usize, usize)> =
            zeros.map(|(_, (b, a))| ((*b).max(0) as usize, (*a).max(0) as usize)).collect();
        zeros.resize(2, (0, 0));
        if padding[channel].0 > 0 || padding[channel].1 > 0 {
            return Err((
                "adds channels of zeros".into(),
                "pad length and width only, or give the convolution more channels".into(),
            ));
        }
        let kernel = [0, 1].map(|axis: usize| zeros[axis].0 + zeros[axis].1 + 1);
        self.spend(at.channels.saturating_mul(kernel[0].saturating_mul(kernel[1])))?;
        let wanted = self.canonical(&x.shape);
        let source = self.settle(value, &x, &wanted, at)?;
        let mut weight = Array3::zeros((at.channels, kernel[0], kernel[1]));
        // The zeros all lie in front of the kernel, so that its last place is still inside.
        weight.slice_mut(ndarray::s![.., zeros[0].1, zeros[1].1]).fill(1.0);
        let around = [0, 1].map(|axis: usize| (kernel[axis] - 1, kernel[axis] - 1));
        let mut geometry = Geometry::convolution(at, at.channels, kernel, [1; 2], around);
        geometry.output = Shape {
            length: at.length + zeros[0].0 + zeros[0].1,
            width: at.width + zeros[1].0 + zeros[1].1,
            ..at
        };
        let bias = Array1::zeros(at.channels);
        let op = Op::DepthwiseConvolution { weight, bias, geometry };
        let source = self.push(value, op, Activation::Identity, source);
        Ok(self.placed(value, source))
    }
}
