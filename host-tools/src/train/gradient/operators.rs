//! Forward and backward pass of one operator on a batch.
//!
//! With `y = op(x)` and a loss L, [`Saved::backward`] turns `dL/dy` into `dL/dx`,
//! `dL/dweight` and `dL/dbias`; weights are in the graph's order of storage.

use ndarray::{Array2, ArrayView2, Axis, CowArray, Ix2};

use crate::graph::{Geometry, Op, Places};

/// What the backward pass of an operator needs of its forward pass.
#[derive(Debug)]
pub(super) struct Saved {
    /// What it multiplied the weights with: its input, or the windows of it.
    factor: Array2<f32>,
    places: Option<Places>,
    rows: usize,
    /// Real value of one unit of `factor`.
    pub(super) unit: f32,
}

/// Derivatives of the loss by an operator's parameters.
#[derive(Debug, Clone, Default)]
pub(crate) struct OpGradient {
    /// In the weight's order of storage.
    pub(crate) weight: Vec<f32>,
    /// One an output channel.
    pub(crate) bias: Vec<f32>,
}

/// Runs an operator and keeps what its backward pass needs.
pub(super) fn forward(op: &Op, x: ArrayView2<'_, f32>) -> (Array2<f32>, Saved) {
    let saved = Saved::new(op, x);
    let (rows, factor) = (saved.rows, &saved.factor);
    let y = match (op, &saved.places) {
        (Op::FullyConnected { weight, bias }, _) => factor.dot(&weight.t()) + bias,
        (Op::Convolution { weight, bias, geometry }, _) => {
            let matrix = matrix(weight.as_slice(), geometry.output.channels);
            batch(factor.dot(&matrix.t()) + bias, rows)
        }
        (Op::TransposedConvolution { weight, bias, geometry }, Some(places)) => {
            let (outputs, taps) = (geometry.output.channels, geometry.taps());
            // `[place][tap][out]`, so that the scatter moves whole channels.
            let by_tap = by_tap(weight.as_slice(), outputs, taps, geometry.input.channels);
            // A product may come back column-major.
            let products = values(factor.dot(&by_tap.t()));
            let mut y = Array2::zeros((rows, geometry.output.len()));
            let len = places.windows() * taps * outputs;
            for (mut y, products) in y.rows_mut().into_iter().zip(products.chunks_exact(len.max(1)))
            {
                let Some(y) = y.as_slice_mut() else { continue };
                for cell in y.chunks_exact_mut(outputs) {
                    cell.iter_mut().zip(bias).for_each(|(y, bias)| *y = *bias);
                }
                places.scatter(products, outputs, y);
            }
            y
        }
        _ => op.forward(x),
    };
    (y, saved)
}

impl Saved {
    /// What is needed of the input alone.
    pub(super) fn new(op: &Op, x: ArrayView2<'_, f32>) -> Self {
        let rows = x.nrows();
        let (factor, places) = match op {
            Op::FullyConnected { .. } => (x.to_owned(), None),
            Op::Convolution { geometry, .. } => {
                let places = Places::reading(geometry);
                (gather(&places, geometry, geometry.input.channels, x), Some(places))
            }
            Op::TransposedConvolution { geometry, .. } => (
                places_of(&x, geometry.input.channels).into_owned(),
                Some(Places::writing(geometry)),
            ),
            Op::DepthwiseConvolution { .. } | Op::MaxPool(_) | Op::AveragePool(_) => {
                (x.as_standard_layout().into_owned(), op.geometry().map(Places::reading))
            }
        };
        Self { factor, places, rows, unit: 1.0 }
    }

    /// Derivatives by the input (unless `first`, where nobody asks) and by the parameters.
    pub(super) fn backward(
        &self,
        op: &Op,
        dy: ArrayView2<'_, f32>,
        first: bool,
    ) -> (Array2<f32>, OpGradient) {
        let (dx, mut gradient) = self.by_factor(op, dy, first);
        if self.unit != 1.0 {
            gradient.weight.iter_mut().for_each(|slope| *slope *= self.unit);
        }
        (dx, gradient)
    }

    /// [`backward`](Self::backward), the weights' slopes for a factor in its own unit.
    fn by_factor(
        &self,
        op: &Op,
        dy: ArrayView2<'_, f32>,
        first: bool,
    ) -> (Array2<f32>, OpGradient) {
        match (op, &self.places) {
            (Op::FullyConnected { weight, .. }, _) => {
                let gradient = OpGradient {
                    weight: values(dy.t().dot(&self.factor)),
                    bias: dy.sum_axis(Axis(0)).to_vec(),
                };
                let dx = if first { Array2::zeros((0, 0)) } else { dy.dot(weight) };
                (dx, gradient)
            }
            (Op::Convolution { weight, geometry, .. }, Some(places)) => {
                let outputs = geometry.output.channels;
                let dy = places_of(&dy, outputs);
                let gradient = OpGradient {
                    weight: values(dy.t().dot(&self.factor)),
                    bias: dy.sum_axis(Axis(0)).to_vec(),
                };
                if first {
                    return (Array2::zeros((0, 0)), gradient);
                }
                let windows = dy.dot(&matrix(weight.as_slice(), outputs));
                let dx = scatter(
                    places,
                    geometry.input.channels,
                    geometry.input.len(),
                    windows,
                    self.rows,
                );
                (dx, gradient)
            }
            (Op::TransposedConvolution { weight, geometry, .. }, Some(places)) => {
                let (outputs, inputs) = (geometry.output.channels, geometry.input.channels);
                let taps = geometry.taps();
                let windows = gather(places, geometry, outputs, dy);
                let dw = windows.t().dot(&self.factor);
                let bias = places_of(&dy, outputs).sum_axis(Axis(0)).to_vec();
                let weight_gradient = from_by_tap(dw, outputs, taps, inputs);
                let by_tap = by_tap(weight.as_slice(), outputs, taps, inputs);
                let dx = batch(windows.dot(&by_tap), self.rows);
                (dx, OpGradient { weight: weight_gradient, bias })
            }
            (Op::DepthwiseConvolution { weight, geometry, .. }, Some(places)) => {
                self.depthwise(weight.as_slice().unwrap_or(&[]), geometry, places, dy)
            }
            (Op::MaxPool(geometry), Some(places)) => {
                let dx = self.pool(geometry, places, dy, |window, dy, dx, x| {
                    // The first of equals, as the forward pass finds it.
                    let best = window.reduce(|a, b| if x[b.1] > x[a.1] { b } else { a });
                    if let Some((_, at)) = best {
                        dx[at] += dy;
                    }
                });
                (dx, OpGradient::default())
            }
            (Op::AveragePool(geometry), Some(places)) => {
                let dx = self.pool(geometry, places, dy, |window, dy, dx, _| {
                    let places: Vec<usize> = window.map(|(_, at)| at).collect();
                    let share = dy / places.len().max(1) as f32;
                    places.into_iter().for_each(|at| dx[at] += share);
                });
                (dx, OpGradient::default())
            }
            // `forward` saved the places of every windowed operator.
            _ => (Array2::zeros((0, 0)), OpGradient::default()),
        }
    }

    fn depthwise(
        &self,
        weight: &[f32],
        geometry: &Geometry,
        places: &Places,
        dy: ArrayView2<'_, f32>,
    ) -> (Array2<f32>, OpGradient) {
        let (channels, taps) = (geometry.input.channels, geometry.taps());
        let mut gradient =
            OpGradient { weight: vec![0.0; weight.len()], bias: vec![0.0; channels] };
        let mut dx = Array2::<f32>::zeros(self.factor.dim());
        for ((x, dy), mut dx) in self.factor.rows().into_iter().zip(dy.rows()).zip(dx.rows_mut()) {
            for (window, at) in places.each().zip((0..).step_by(channels.max(1))) {
                for (tap, place) in window {
                    for channel in 0..channels {
                        let (from, dy) = (place * channels + channel, dy[at + channel]);
                        gradient.weight[channel * taps + tap] += dy * x[from];
                        dx[from] += dy * weight[channel * taps + tap];
                    }
                }
            }
            for (at, dy) in dy.iter().enumerate() {
                gradient.bias[at % channels.max(1)] += dy;
            }
        }
        (dx, gradient)
    }

    /// Calls `share` with each channel's window, as (tap, element of the input).
    fn pool(
        &self,
        geometry: &Geometry,
        places: &Places,
        dy: ArrayView2<'_, f32>,
        share: impl Fn(&mut dyn Iterator<Item = (usize, usize)>, f32, &mut [f32], &[f32]),
    ) -> Array2<f32> {
        let channels = geometry.input.channels;
        let mut dx = Array2::<f32>::zeros(self.factor.dim());
        let rows = self.factor.rows().into_iter().zip(dy.rows()).zip(dx.rows_mut());
        for ((x, dy), mut dx) in rows {
            let (Some(x), Some(dx)) = (x.as_slice(), dx.as_slice_mut()) else { continue };
            for (window, at) in places.each().zip((0..).step_by(channels.max(1))) {
                let window: Vec<(usize, usize)> = window.collect();
                for channel in 0..channels {
                    let mut elements =
                        window.iter().map(|(tap, place)| (*tap, place * channels + channel));
                    share(&mut elements, dy[at + channel], dx, x);
                }
            }
        }
        dx
    }
}

/// `[out][...]` as a matrix of `rows` rows.
fn matrix(weight: Option<&[f32]>, rows: usize) -> ArrayView2<'_, f32> {
    let values = weight.unwrap_or(&[]);
    let columns = values.len().checked_div(rows).unwrap_or(0);
    ArrayView2::from_shape((rows, columns), values)
        .unwrap_or_else(|_| unreachable!("a validated weight fills its shape"))
}

/// `[out][tap][in]` to `[tap][out]` by `[in]`.
fn by_tap(weight: Option<&[f32]>, outputs: usize, taps: usize, inputs: usize) -> Array2<f32> {
    let weight = weight.unwrap_or(&[]);
    Array2::from_shape_fn((taps * outputs, inputs), |(row, input)| {
        let (tap, out) = (row / outputs, row % outputs);
        weight[(out * taps + tap) * inputs + input]
    })
}

/// The inverse of [`by_tap`].
fn from_by_tap(by_tap: Array2<f32>, outputs: usize, taps: usize, inputs: usize) -> Vec<f32> {
    let mut weight = vec![0.0; outputs * taps * inputs];
    for ((row, input), value) in by_tap.indexed_iter() {
        let (tap, out) = (row / outputs, row % outputs);
        weight[(out * taps + tap) * inputs + input] = *value;
    }
    weight
}

/// Windows of every sample, `[sample and window][taps * channels]`.
fn gather(
    places: &Places,
    geometry: &Geometry,
    channels: usize,
    x: ArrayView2<'_, f32>,
) -> Array2<f32> {
    let columns = geometry.taps() * channels;
    let mut windows = Array2::zeros((x.nrows() * places.windows(), columns));
    let len = places.windows() * columns;
    if let Some(to) = windows.as_slice_mut() {
        for (to, x) in to.chunks_exact_mut(len.max(1)).zip(x.rows()) {
            match x.as_slice() {
                Some(x) => places.gather(x, channels, to),
                None => places.gather(&x.to_vec(), channels, to),
            }
        }
    }
    windows
}

/// The adjoint of [`gather`]: windows back to `[sample][len]`.
fn scatter(
    places: &Places,
    channels: usize,
    len: usize,
    windows: Array2<f32>,
    rows: usize,
) -> Array2<f32> {
    let mut dx = Array2::zeros((rows, len));
    let windows = values(windows);
    let each = windows.len().checked_div(rows).unwrap_or(0);
    for (mut dx, windows) in dx.rows_mut().into_iter().zip(windows.chunks_exact(each.max(1))) {
        if let Some(dx) = dx.as_slice_mut() {
            places.scatter(windows, channels, dx);
        }
    }
    dx
}

/// `[sample][place * channels]` as `[sample and place][channels]`.
fn places_of<'x>(x: &'x ArrayView2<'_, f32>, channels: usize) -> CowArray<'x, f32, Ix2> {
    let places = x.len().checked_div(channels).unwrap_or(0);
    match x.as_slice() {
        Some(values) => ArrayView2::from_shape((places, channels), values).map(CowArray::from),
        None => Array2::from_shape_vec((places, channels), x.iter().copied().collect())
            .map(CowArray::from),
    }
    .unwrap_or_else(|_| unreachable!("a sample is whole places"))
}

/// `[sample and place][channels]` as `[sample][...]`.
fn batch(y: Array2<f32>, rows: usize) -> Array2<f32> {
    let columns = y.len().checked_div(rows).unwrap_or(0);
    Array2::from_shape_vec((rows, columns), values(y))
        .unwrap_or_else(|_| unreachable!("every sample has as many places"))
}

/// The elements in row-major order.
fn values(array: Array2<f32>) -> Vec<f32> {
    if array.is_standard_layout() {
        array.into_raw_vec_and_offset().0
    } else {
        array.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Shape;
    use crate::train::{Stream, stream};
    use ndarray::{Array1, Array3, Array4};
    use rand::RngExt;

    /// Every operator's derivatives against differences of `sum(g * op(x))`, which is
    /// linear in weights and (but for the maximum) in x.
    #[test]
    fn derivatives_are_differences() {
        let mut rng = stream(5, Stream::Init);
        let mut random =
            |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-1.0..1.0)).collect() };
        let input = Shape::new(5, 4, 2);
        let geometry = Geometry::convolution(input, 3, [3, 2], [2, 1], [(1, 1), (0, 1)]);
        let each = Geometry::convolution(input, 2, [3, 2], [2, 1], [(1, 1), (0, 1)]);
        let wide = Geometry::transposed(input, 3, [3, 2], [2, 1], [(1, 0), (0, 1)]);
        let kernel = |values| Array4::from_shape_vec((3, 3, 2, 2), values).unwrap();
        let bias = |n| Array1::linspace(-0.3, 0.4, n);
        let ops = [
            Op::FullyConnected {
                weight: Array2::from_shape_vec((7, 40), random(280)).unwrap(),
                bias: bias(7),
            },
            Op::Convolution { weight: kernel(random(36)), bias: bias(3), geometry },
            Op::TransposedConvolution { weight: kernel(random(36)), bias: bias(3), geometry: wide },
            Op::DepthwiseConvolution {
                weight: Array3::from_shape_vec((2, 3, 2), random(12)).unwrap(),
                bias: bias(2),
                geometry: each,
            },
            Op::MaxPool(each),
            Op::AveragePool(each),
        ];
        for op in ops {
            let x = Array2::from_shape_vec((2, 40), random(80)).unwrap();
            let (y, saved) = forward(&op, x.view());
            let direct = op.forward(x.view());
            assert!((&y - &direct).iter().all(|d| d.abs() < 1e-5), "{}", op.name());
            let g = Array2::from_shape_vec(y.dim(), random(y.len())).unwrap();
            let (dx, gradient) = saved.backward(&op, g.view(), false);
            let loss = |op: &Op, x: &Array2<f32>| -> f64 {
                op.forward(x.view()).iter().zip(&g).map(|(y, g)| f64::from(y * g)).sum()
            };
            let step = 1e-2f32;
            let check = |what: &str, analytic: f32, up: f64, down: f64| {
                let numeric = (up - down) / f64::from(2.0 * step);
                let near = (numeric - f64::from(analytic)).abs() < 2e-3 * numeric.abs().max(1.0);
                assert!(near, "{} by {what}: {analytic}, differences say {numeric}", op.name());
            };
            for at in [0, 17, 41, 79] {
                let (mut up, mut down) = (x.clone(), x.clone());
                up.as_slice_mut().unwrap()[at] += step;
                down.as_slice_mut().unwrap()[at] -= step;
                let analytic = dx.as_slice().unwrap()[at];
                check("input", analytic, loss(&op, &up), loss(&op, &down));
            }
            for at in (0..op.weight().len()).step_by(5) {
                let moved = |by: f32| {
                    let mut op = op.clone();
                    op.parameters_mut().unwrap().0[at] += by;
                    loss(&op, &x)
                };
                check("weight", gradient.weight[at], moved(step), moved(-step));
            }
            for at in 0..gradient.bias.len() {
                let moved = |by: f32| {
                    let mut op = op.clone();
                    op.parameters_mut().unwrap().1[at] += by;
                    loss(&op, &x)
                };
                check("bias", gradient.bias[at], moved(step), moved(-step));
            }
        }
    }
}
