//! Nodes that become layers: fully connected, convolutions, pools.

use super::kernels::{absorb, reaches_beyond, spread};
use super::lower::{Lowering, Mismatch};
use super::stage::{Affine, Order, Source, View};
use crate::graph::{Activation, Geometry, Op, Shape};
use crate::import::network::{Kind, Pool, Value, geometry, places};
use ndarray::{Array1, Array2, Array3, Axis, concatenate};

impl Lowering<'_, '_> {
    /// A matrix over the last axis: fully connected, or behind further axes a
    /// convolution with a kernel of 1.
    pub(super) fn fully_connected(
        &mut self,
        value: Value,
        x: View,
        weight: &Array2<f32>,
        bias: Option<&Array1<f32>>,
    ) -> Result<View, Mismatch> {
        self.spend(weight.len())?;
        let bias = bias.cloned().unwrap_or_else(|| Array1::zeros(weight.nrows()));
        let shape = self.network.shape(value).unwrap_or(&[]).to_vec();
        let (out, input) = weight.dim();
        let rows: usize = x.shape[..x.shape.len().saturating_sub(1)].iter().product();
        if rows > 1 {
            let at = Shape::new(rows, 1, input);
            let source = self.settle(value, &x, &None, at)?;
            let weight = weight.to_shape((out, 1, 1, input)).map(|w| w.to_owned());
            let op = Op::Convolution {
                weight: weight.unwrap_or_default(),
                bias,
                geometry: Geometry::convolution(at, out, [1; 2], [1; 2], [(0, 0); 2]),
            };
            let source = self.push(value, op, Activation::Identity, source);
            return Ok(View { source, shape, order: None, affine: None });
        }
        let order = self.stored(&x);
        let stored = self.source_shape(x.source).len();
        let mut bias = bias;
        let weight = if order.is_none() && x.affine.is_none() && stored == input {
            weight.clone()
        } else {
            self.spend(out.saturating_mul(stored))?;
            let mut moved = Array2::zeros((out, stored));
            for i in 0..input {
                let to = order.as_ref().map_or(i, |order| order[i] as usize);
                let (scale, shift) =
                    x.affine.as_ref().map_or((1.0, 0.0), |a| (a.scale[i], a.shift[i]));
                let column = weight.column(i);
                moved.column_mut(to).scaled_add(scale, &column);
                if shift != 0.0 {
                    bias.scaled_add(shift, &column);
                }
            }
            moved
        };
        let op = Op::FullyConnected { weight, bias }.standard();
        let source = self.push(value, op, Activation::Identity, x.source);
        Ok(View { source, shape, order: None, affine: None })
    }

    /// A convolution or transposed convolution.
    pub(super) fn windowed(&mut self, value: Value, x: View) -> Result<View, Mismatch> {
        let kind = &self.network.node(value).kind;
        let (weight, bias, groups, transposed, window) = match kind {
            Kind::Convolution { weight, bias, groups, window } => {
                (weight, bias, *groups, false, window)
            }
            Kind::TransposedConvolution { weight, bias, groups, window, .. } => {
                (weight, bias, *groups, true, window)
            }
            _ => return Err(odd()),
        };
        let at = places(&x.shape, self.network.layout)?;
        let (rows, length, width, depth) = weight.dim();
        let out = if transposed { rows.saturating_mul(groups) } else { rows };
        let geometry = self.geometry(value, at, out, [length, width])?;
        let mut bias = bias.clone().unwrap_or_else(|| Array1::zeros(out));
        let taps = geometry.kernel;
        let depthwise =
            !transposed && groups > 1 && groups == at.channels && depth == 1 && out == groups;
        let columns = if depthwise { 1 } else { at.channels };
        self.spend(out.saturating_mul(taps[0] * taps[1]).saturating_mul(columns))?;
        let mut full = spread(weight, groups, transposed, depthwise, (out, columns), taps, window);

        // What is left to scale goes into the weights where that is exact.
        let mut x = x;
        if let Some(affine) = x.affine.clone()
            && let Some(pairs) = per_channel(&x, &affine, at, self.canonical(&x.shape))
        {
            let padded = transposed || geometry.padding != [0; 2] || reaches_beyond(&geometry);
            if !padded || pairs.iter().all(|(_, shift)| *shift == 0.0) {
                for (channel, (scale, shift)) in pairs.into_iter().enumerate() {
                    let index = if depthwise { (channel, 0) } else { (0, channel) };
                    if depthwise {
                        let mut row = full.index_axis_mut(Axis(0), index.0);
                        bias[channel] += shift * row.sum();
                        row *= scale;
                    } else {
                        let mut column = full.index_axis_mut(Axis(3), index.1);
                        for (bias, row) in bias.iter_mut().zip(column.outer_iter()) {
                            *bias += shift * row.sum();
                        }
                        column *= scale;
                    }
                }
                x.affine = None;
            }
        }
        let wanted = self.canonical(&x.shape);
        let source = self.settle(value, &x, &wanted, at)?;
        let op = if depthwise {
            let weight = full.index_axis_move(Axis(3), 0);
            Op::DepthwiseConvolution { weight, bias, geometry }
        } else if transposed {
            Op::TransposedConvolution { weight: full, bias, geometry }
        } else {
            if let Some((source, factors)) = self.upsampled(source)
                && let Some(op) = absorb(&full, &bias, &geometry, factors)
            {
                let source = self.push(value, op.standard(), Activation::Identity, source);
                return Ok(self.placed(value, source));
            }
            Op::Convolution { weight: full, bias, geometry }
        };
        let source = self.push(value, op.standard(), Activation::Identity, source);
        Ok(self.placed(value, source))
    }

    /// What stands before an upsampling, and its factors.
    fn upsampled(&self, source: Source) -> Option<(Source, [usize; 2])> {
        let stage = self.stage(source)?;
        Some((stage.input, stage.upsample.filter(|_| stage.activation.is_identity())?))
    }

    /// The geometry of a node on an input, a padding node before it included.
    fn geometry(
        &self,
        value: Value,
        input: Shape,
        out: usize,
        kernel: [usize; 2],
    ) -> Result<Geometry, Mismatch> {
        let remedy = || "kernel and stride must be 1 to 255".to_string();
        let kind = &self.network.node(value).kind;
        let Some((_, zeros)) = self.analysis.meanings.padding_before(value) else {
            return geometry(kind, input, out, kernel).map_err(|reason| (reason, remedy()));
        };
        let padded = Shape {
            length: input.length + zeros[0].0 + zeros[0].1,
            width: input.width + zeros[1].0 + zeros[1].1,
            ..input
        };
        let mut found = geometry(kind, padded, out, kernel).map_err(|reason| (reason, remedy()))?;
        found.input = input;
        for (padding, zeros) in found.padding.iter_mut().zip(zeros) {
            *padding += zeros.0;
        }
        Ok(found)
    }

    /// A pool, over a window or over everything.
    pub(super) fn pool(&mut self, value: Value, x: View) -> Result<View, Mismatch> {
        let kind = &self.network.node(value).kind;
        let at = places(&x.shape, self.network.layout)?;
        let (pool, kernel) = match kind {
            Kind::Pool { pool, kernel, window, .. } => {
                if window.dilation != [1; 2] {
                    let remedy = "use a pool without dilation".to_string();
                    return Err(("is a dilated pool".into(), remedy));
                }
                (*pool, *kernel)
            }
            Kind::GlobalPool { pool, .. } => (*pool, [at.length, at.width]),
            _ => return Err(odd()),
        };
        let geometry = self.geometry(value, at, at.channels, kernel)?;
        let wanted = self.canonical(&x.shape);
        // A pool hands scale and shift of its channels on, a maximum only where the scale is
        // positive.
        let pairs = x.affine.as_ref().and_then(|a| per_channel(&x, a, at, wanted.clone()));
        let keeps = pairs.filter(|pairs| pool != Pool::Max || pairs.iter().all(|p| p.0 > 0.0));
        let padded = geometry.padding != [0; 2] || reaches_beyond(&geometry);
        let counts = pool == Pool::Average { include_padding: true } && padded;
        let mut plain_x = x.clone();
        if keeps.is_some() && !counts {
            plain_x.affine = None;
        }
        let source = self.settle(value, &plain_x, &wanted, at)?;
        let op = match pool {
            Pool::Max => Op::MaxPool(geometry),
            // Every tap counts, those in the padding too: a convolution of equal weights.
            Pool::Average { .. } if counts => {
                if let Kind::Pool { ceil: true, .. } = kind {
                    return Err((
                        "counts the padding and rounds its length up".into(),
                        "set count_include_pad or ceil_mode to false".into(),
                    ));
                }
                let share = 1.0 / geometry.taps() as f32;
                Op::DepthwiseConvolution {
                    weight: Array3::from_elem((at.channels, kernel[0], kernel[1]), share),
                    bias: Array1::zeros(at.channels),
                    geometry,
                }
            }
            Pool::Average { .. } => Op::AveragePool(geometry),
        };
        let source = self.push(value, op, Activation::Identity, source);
        let mut y = self.placed(value, source);
        if matches!(kind, Kind::GlobalPool { keep_axes: false, .. }) {
            y.order = None;
        }
        match keeps {
            Some(pairs) if !counts => {
                let channel = |i: usize| y.position(i) % at.channels;
                let scale = (0..y.len()).map(|i| pairs[channel(i)].0).collect();
                let shift = (0..y.len()).map(|i| pairs[channel(i)].1).collect();
                let affine = Affine { scale, shift };
                self.affine(y, affine)
            }
            _ => Ok(y),
        }
    }

    /// Fully connected layers beside each other as one.
    pub(super) fn concat(&mut self, value: Value, views: &[View]) -> Result<View, Mismatch> {
        let beside = || {
            (
                "joins values of several layers".to_string(),
                "a device runs layers one behind the other: train without skip connections"
                    .to_string(),
            )
        };
        let shape = self.network.shape(value).unwrap_or(&[]).to_vec();
        if shape.len() != 1 || views.iter().any(|view| view.affine.is_some()) {
            return Err(beside());
        }
        let (mut weights, mut biases, mut alike) = (Vec::new(), Vec::new(), None);
        for view in views {
            let Some(stage) = self.stage(view.source) else { return Err(beside()) };
            let Op::FullyConnected { weight, bias } = &*stage.op else { return Err(beside()) };
            let of = (stage.input, stage.activation);
            if *alike.get_or_insert(of) != of {
                return Err(beside());
            }
            let pick: Vec<usize> = (0..view.len()).map(|i| view.position(i)).collect();
            weights.push(weight.select(Axis(0), &pick));
            biases.push(bias.select(Axis(0), &pick));
        }
        let weights: Vec<_> = weights.iter().map(|weight| weight.view()).collect();
        let biases: Vec<_> = biases.iter().map(|bias| bias.view()).collect();
        let (Ok(weight), Ok(bias), Some((input, activation))) =
            (concatenate(Axis(0), &weights), concatenate(Axis(0), &biases), alike)
        else {
            return Err(beside());
        };
        self.spend(weight.len())?;
        let op = Op::FullyConnected { weight, bias }.standard();
        let source = self.push(value, op, activation, input);
        Ok(View { source, shape, order: None, affine: None })
    }
}

fn odd() -> Mismatch {
    ("is no windowed operator".into(), "report this as a defect".into())
}

/// Scale and shift of each channel, if all places of a channel have the same.
fn per_channel(x: &View, affine: &Affine, at: Shape, canonical: Order) -> Option<Vec<(f32, f32)>> {
    let mut pairs: Vec<Option<(f32, f32)>> = vec![None; at.channels];
    for i in 0..x.len() {
        let stored = canonical.as_ref().map_or(i, |order| order[i] as usize);
        let pair = (affine.scale[i], affine.shift[i]);
        if *pairs[stored % at.channels].get_or_insert(pair) != pair {
            return None;
        }
    }
    pairs.into_iter().collect()
}
