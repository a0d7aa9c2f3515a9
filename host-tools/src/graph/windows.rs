//! Convolutions and pools in f32, one window of the batch at a time.

use super::{Geometry, Layer, Op, Places};
use ndarray::{Array1, Array2, ArrayView2};
use rayon::prelude::*;

impl Op {
    /// Runs the operator on a batch: `x[window][in]` to `[window][out]`.
    pub fn forward(&self, x: ArrayView2<'_, f32>) -> Array2<f32> {
        let each = |geometry: &Geometry, run: &(dyn Fn(&[f32], &mut [f32]) + Sync)| {
            let x = x.as_standard_layout();
            let (inputs, outputs) = (geometry.input.len().max(1), geometry.output.len().max(1));
            let mut y = Array2::zeros((x.nrows(), outputs));
            if let (Some(x), Some(y)) = (x.as_slice(), y.as_slice_mut()) {
                y.par_chunks_mut(outputs).zip(x.par_chunks(inputs)).for_each(|(y, x)| run(x, y));
            }
            y
        };
        match self {
            Self::FullyConnected { weight, bias } => {
                let mut y = x.dot(&weight.t());
                y += bias;
                y
            }
            Self::Convolution { weight, bias, geometry } => {
                // The weight as `[out][taps * channels]`.
                let matrix = flat(weight.as_slice(), geometry.output.channels);
                let places = Places::reading(geometry);
                each(geometry, &|x, y| convolution(geometry, &places, &matrix, bias, x, y))
            }
            Self::TransposedConvolution { weight, bias, geometry } => {
                // As `[out * taps][channels]`.
                let matrix = flat(weight.as_slice(), geometry.output.channels * geometry.taps());
                let places = Places::writing(geometry);
                each(geometry, &|x, y| transposed(geometry, &places, &matrix, bias, x, y))
            }
            Self::DepthwiseConvolution { weight, bias, geometry } => {
                let weight = weight.as_slice().unwrap_or(&[]);
                let taps = geometry.taps();
                let places = Places::reading(geometry);
                each(geometry, &|x, y| {
                    pool(geometry, &places, x, y, |channel, window| {
                        let row = &weight[channel * taps..][..taps];
                        bias[channel] + window.map(|(tap, x)| row[tap] * x).sum::<f32>()
                    });
                })
            }
            Self::MaxPool(geometry) => {
                let places = Places::reading(geometry);
                each(geometry, &|x, y| {
                    pool(geometry, &places, x, y, |_, window| {
                        window.fold(f32::MIN, |max, (_, x)| max.max(x))
                    });
                })
            }
            Self::AveragePool(geometry) => {
                let places = Places::reading(geometry);
                each(geometry, &|x, y| {
                    pool(geometry, &places, x, y, |_, window| {
                        let (mut sum, mut count) = (0.0, 0u16);
                        window.for_each(|(_, x)| (sum, count) = (sum + x, count + 1));
                        sum / f32::from(count.max(1))
                    });
                })
            }
        }
    }
}

impl Layer {
    /// The layer's operator as a full matrix `[out][in]` and bias `[out]`: what a
    /// fully connected layer in its place would hold.
    pub fn dense(&self) -> (Array2<f32>, Array1<f32>) {
        if let Op::FullyConnected { weight, bias } = &self.op {
            return (weight.clone(), bias.clone());
        }
        let inputs = self.input_len();
        let bias = self.op.forward(Array2::zeros((1, inputs)).view()).row(0).to_owned();
        let columns = self.op.forward(Array2::eye(inputs).view()) - &bias;
        (columns.reversed_axes(), bias)
    }
}

fn flat(weight: Option<&[f32]>, rows: usize) -> Array2<f32> {
    let values = weight.unwrap_or(&[]).to_vec();
    let columns = values.len().checked_div(rows).unwrap_or(0);
    Array2::from_shape_vec((rows, columns), values).unwrap_or_default()
}

/// Gathers every window and multiplies once.
fn convolution(
    geometry: &Geometry,
    places: &Places,
    matrix: &Array2<f32>,
    bias: &Array1<f32>,
    x: &[f32],
    y: &mut [f32],
) {
    let mut patches = Array2::<f32>::zeros((geometry.positions(), matrix.ncols()));
    if let Some(patches) = patches.as_slice_mut() {
        places.gather(x, geometry.input.channels, patches);
    }
    let product = patches.dot(&matrix.t()) + bias;
    for (y, value) in y.iter_mut().zip(&product) {
        *y = *value;
    }
}

/// Multiplies every place once and adds the products where they belong.
fn transposed(
    geometry: &Geometry,
    places: &Places,
    matrix: &Array2<f32>,
    bias: &Array1<f32>,
    x: &[f32],
    y: &mut [f32],
) {
    let (outputs, taps) = (geometry.output.channels, geometry.taps());
    let shape = (places.windows(), geometry.input.channels);
    let Ok(x) = ArrayView2::from_shape(shape, x) else { return };
    // `[place][out * taps]`
    let products = x.dot(&matrix.t());
    for cell in y.chunks_exact_mut(outputs) {
        cell.iter_mut().zip(bias).for_each(|(y, bias)| *y = *bias);
    }
    for (window, row) in places.each().zip(products.rows()) {
        for (tap, place) in window {
            for (out, y) in y[place * outputs..][..outputs].iter_mut().enumerate() {
                *y += row[out * taps + tap];
            }
        }
    }
}

/// Calls `of` with each channel's window, as pairs of tap and value.
fn pool(
    geometry: &Geometry,
    places: &Places,
    x: &[f32],
    y: &mut [f32],
    of: impl Fn(usize, &mut dyn Iterator<Item = (usize, f32)>) -> f32,
) {
    let channels = geometry.input.channels;
    // One window iterator a channel: they are cheap, the places are known.
    for (at, cell) in y.chunks_exact_mut(channels.max(1)).enumerate() {
        for (channel, y) in cell.iter_mut().enumerate() {
            let mut window =
                places.window(at).map(|(tap, from)| (tap, x[from * channels + channel]));
            *y = of(channel, &mut window);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Shape;
    use super::*;
    use ndarray::{Array3, Array4};

    fn op(geometry: Geometry, transposed: bool, weight: Vec<f32>, bias: f32) -> Op {
        let (input, output) = (geometry.input.channels, geometry.output.channels);
        let [l, w] = geometry.kernel;
        let weight = Array4::from_shape_vec((output, l, w, input), weight).unwrap();
        let bias = Array1::from_elem(output, bias);
        if transposed {
            Op::TransposedConvolution { weight, bias, geometry }
        } else {
            Op::Convolution { weight, bias, geometry }
        }
    }

    fn run(op: &Op, x: &[f32]) -> Vec<f32> {
        op.validate("test").unwrap();
        op.forward(ArrayView2::from_shape((1, x.len()), x).unwrap()).into_iter().collect()
    }

    #[test]
    fn a_signal_convolved_by_hand() {
        // Two channels, kernel 3, stride 2, padding 1; the weight of channel 1 is ten times that of 0.
        let geometry =
            Geometry::convolution(Shape::new(4, 1, 2), 1, [3, 1], [2, 1], [(1, 1), (0, 0)]);
        let conv = op(geometry, false, vec![1., 10., 2., 20., 3., 30.], 0.5);
        // Frames (1, 0), (2, 0), (3, 1), (4, 0).
        let y = run(&conv, &[1., 0., 2., 0., 3., 1., 4., 0.]);
        assert_eq!(y, [0.5 + 2. + 6., 0.5 + 2. + 6. + 20. + 12.]);
    }

    #[test]
    fn transposed_is_the_adjoint_of_convolution() {
        // <conv(x), y> = <x, transposed(y)> with in and out exchanged, for 2-D with odd sizes.
        let small = Geometry::convolution(Shape::new(7, 6, 2), 3, [3, 2], [2, 3], [(1, 1), (1, 0)]);
        let weight: Vec<f32> = (0..3 * 3 * 2 * 2).map(|i| ((i * 7) % 11) as f32 - 5.0).collect();
        let forward = op(small, false, weight.clone(), 0.0);
        let back = Geometry { input: small.output, output: small.input, ..small };
        let mut swapped = Array4::zeros((2, 3, 2, 3));
        let of = Array4::from_shape_vec((3, 3, 2, 2), weight).unwrap();
        for ((o, i, j, c), w) in of.indexed_iter() {
            swapped[[c, i, j, o]] = *w;
        }
        let adjoint =
            Op::TransposedConvolution { weight: swapped, bias: Array1::zeros(2), geometry: back };
        let x: Vec<f32> = (0..84).map(|i| ((i * 5) % 13) as f32 - 6.0).collect();
        let y: Vec<f32> = (0..small.output.len()).map(|i| ((i * 3) % 7) as f32 - 3.0).collect();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let x_back = adjoint.forward(ArrayView2::from_shape((1, y.len()), &y).unwrap());
        assert_eq!(dot(&run(&forward, &x), &y), dot(&x, x_back.as_slice().unwrap()));
    }

    #[test]
    fn pools_leave_the_padding_out() {
        let geometry =
            Geometry::convolution(Shape::new(3, 1, 1), 1, [2, 1], [2, 1], [(1, 0), (0, 0)]);
        assert_eq!(run(&Op::MaxPool(geometry), &[-3., -4., -1.]), [-3., -1.]);
        assert_eq!(run(&Op::AveragePool(geometry), &[-3., -4., -1.]), [-3., -2.5]);
        let depthwise = Op::DepthwiseConvolution {
            weight: Array3::from_shape_vec((1, 2, 1), vec![1.0, 10.0]).unwrap(),
            bias: Array1::from_elem(1, 1.0),
            geometry,
        };
        assert_eq!(run(&depthwise, &[1., 2., 3.]), [11., 33.]);
    }
}
