//! A layer as a product of matrices: the inputs each output sums, a row a sample.
//!
//! A sample is a window of a fully connected layer, a place of a window of a convolution. The
//! columns are those of a row of weights, in its order of storage.

use std::ops::Range;

use ndarray::Array2;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::graph::{Op, Places};

/// Rows of weights that read the same inputs.
#[derive(Debug)]
pub(super) struct Matrix {
    /// Output channels.
    pub(super) rows: Range<usize>,
    /// `[sample][column]`, as the device has them.
    pub(super) inputs: Array2<f32>,
    /// `[sample][row]`, the float model's sums.
    pub(super) targets: Array2<f32>,
}

/// Every row of a layer's weights: one matrix, a matrix a channel for a depthwise convolution,
/// none for a pool.
///
/// `x[window][...]` are the layer's inputs, `linear[window][...]` the float model's sums on its
/// own inputs. Of places there may be many: at most `most` are drawn.
pub(super) fn matrices(
    op: &Op,
    x: &Array2<f32>,
    linear: &Array2<f32>,
    most: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<Matrix> {
    let (geometry, places) = match op {
        Op::FullyConnected { .. } => {
            let (inputs, targets) = (x.to_owned(), linear.to_owned());
            return vec![Matrix { rows: 0..op.output().len(), inputs, targets }];
        }
        Op::Convolution { geometry, .. } | Op::DepthwiseConvolution { geometry, .. } => {
            (geometry, Places::reading(geometry))
        }
        Op::TransposedConvolution { geometry, .. } => (geometry, Places::reaching(geometry)),
        Op::MaxPool(_) | Op::AveragePool(_) => return Vec::new(),
    };
    let all = x.nrows() * places.windows();
    let mut samples: Vec<usize> = if all <= most {
        (0..all).collect()
    } else {
        (0..most).map(|_| rng.random_range(0..all)).collect()
    };
    samples.sort_unstable();
    let (inputs, outputs) = (geometry.input.channels, geometry.output.channels);
    let gather = |channels: Range<usize>, rows: Range<usize>| {
        let width = channels.len();
        let mut matrix = Matrix {
            inputs: Array2::zeros((samples.len(), geometry.taps() * width)),
            targets: Array2::zeros((samples.len(), rows.len())),
            rows: rows.clone(),
        };
        for (at, sample) in samples.iter().enumerate() {
            let (window, place) = (sample / places.windows(), sample % places.windows());
            for (tap, from) in places.window(place) {
                for (column, channel) in channels.clone().enumerate() {
                    matrix.inputs[[at, tap * width + column]] =
                        x[[window, from * inputs + channel]];
                }
            }
            for (column, row) in rows.clone().enumerate() {
                matrix.targets[[at, column]] = linear[[window, place * outputs + row]];
            }
        }
        matrix
    };
    match op {
        Op::DepthwiseConvolution { .. } => {
            (0..outputs).map(|channel| gather(channel..channel + 1, channel..channel + 1)).collect()
        }
        _ => vec![gather(0..inputs, 0..outputs)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Geometry, Shape};
    use ndarray::{Array1, Array3, Array4};
    use rand::SeedableRng;

    /// Weights times inputs are the operator's outputs, place by place.
    #[test]
    fn a_layer_is_the_product_of_its_matrices() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut random =
            |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-1.0..1.0)).collect() };
        let input = Shape::new(5, 4, 2);
        let geometry = Geometry::convolution(input, 3, [3, 2], [2, 1], [(1, 1), (0, 1)]);
        let each = Geometry::convolution(input, 2, [3, 2], [2, 1], [(1, 1), (0, 1)]);
        let wide = Geometry::transposed(input, 3, [3, 2], [2, 1], [(1, 0), (0, 1)]);
        let kernel = |values| Array4::from_shape_vec((3, 3, 2, 2), values).unwrap();
        let weight = Array2::from_shape_vec((7, 40), random(280)).unwrap();
        let ops = [
            Op::FullyConnected { weight, bias: Array1::zeros(7) },
            Op::Convolution { weight: kernel(random(36)), bias: Array1::zeros(3), geometry },
            Op::TransposedConvolution {
                weight: kernel(random(36)),
                bias: Array1::zeros(3),
                geometry: wide,
            },
            Op::DepthwiseConvolution {
                weight: Array3::from_shape_vec((2, 3, 2), random(12)).unwrap(),
                bias: Array1::zeros(2),
                geometry: each,
            },
        ];
        for op in ops {
            let x = Array2::from_shape_vec((3, 40), random(120)).unwrap();
            let y = op.forward(x.view());
            let mut found = 0;
            for matrix in matrices(&op, &x, &y, usize::MAX, &mut ChaCha8Rng::seed_from_u64(0)) {
                let columns = matrix.inputs.ncols();
                let rows = matrix.rows.start * columns..matrix.rows.end * columns;
                let weight = op.weight()[rows].to_vec();
                let weight = Array2::from_shape_vec((matrix.rows.len(), columns), weight).unwrap();
                let product = matrix.inputs.dot(&weight.t());
                let far = (&product - &matrix.targets).iter().any(|d| d.abs() > 1e-5);
                assert!(!far, "{}", op.name());
                found += product.len();
            }
            assert_eq!(found, y.len(), "{}", op.name());
        }
        let few = matrices(
            &Op::Convolution { weight: kernel(vec![0.0; 36]), bias: Array1::zeros(3), geometry },
            &Array2::zeros((9, 40)),
            &Array2::zeros((9, geometry.output.len())),
            20,
            &mut ChaCha8Rng::seed_from_u64(0),
        );
        assert_eq!(few[0].inputs.nrows(), 20);
    }
}
