//! Convolutions and pools as gathers, scatters and matrix products.
//!
//! Inside a convolutional part a batch lies `[channel][place][window]`: a whole
//! batch of one place is contiguous, so that moving it is a copy of a row, and
//! a convolution of a batch is one product with the weights as the graph stores
//! them. Which rows go where is a table made once from the [`Geometry`];
//! padding reads, and outputs cut off write, one row behind the last.

use crate::graph::{Geometry, Shape};
use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData, s};
use ndarray::Array2;

/// A batch between two layers.
#[derive(Debug, Clone)]
pub(super) struct Signal {
    values: Tensor<2>,
    layout: Layout,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Layout {
    /// `[window][element]`, elements channels last.
    Vectors,
    /// `[channel * places + place][window]`.
    Planes(Shape),
}

impl Signal {
    pub(super) fn vectors(values: Tensor<2>) -> Self {
        Self { values, layout: Layout::Vectors }
    }

    fn planes(values: Tensor<2>, shape: Shape) -> Self {
        Self { values, layout: Layout::Planes(shape) }
    }

    /// `[window][element]`.
    pub(super) fn into_vectors(self) -> Tensor<2> {
        let Layout::Planes(shape) = self.layout else { return self.values };
        let windows = self.values.dims()[1];
        let cube = self.values.reshape([shape.channels, shape.length * shape.width, windows]);
        cube.permute([2, 1, 0]).reshape([windows, shape.len()])
    }

    /// `[channel * places + place][window]`.
    fn into_planes(self, shape: Shape) -> Tensor<2> {
        if self.layout == Layout::Planes(shape) {
            return self.values;
        }
        let vectors = self.into_vectors();
        let windows = vectors.dims()[0];
        let cube = vectors.reshape([windows, shape.length * shape.width, shape.channels]);
        cube.permute([2, 1, 0]).reshape([shape.len(), windows])
    }

    /// Changes every element by itself.
    pub(super) fn map(self, f: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Self {
        Self { values: f(self.values), layout: self.layout }
    }
}

/// Which row of the input each row of the patches is.
#[derive(Debug, Clone)]
pub(super) struct Gather {
    rows: Tensor<1, Int>,
    geometry: Geometry,
    /// What padding reads; `None` without padding.
    padding: Option<f32>,
}

/// Which row of the output each product is added to.
#[derive(Debug, Clone)]
pub(super) struct Scatter {
    rows: Tensor<1, Int>,
    geometry: Geometry,
}

impl Gather {
    /// Patches `[tap][channel][place]`: what a convolution multiplies.
    pub(super) fn by_tap(geometry: &Geometry, device: &Device) -> Self {
        let places = geometry.input.length * geometry.input.width;
        let (taps, channels) = (taps(geometry), geometry.input.channels);
        let row = move |from: Option<usize>, channel: usize| match from {
            Some(from) => channel * places + from,
            None => channels * places,
        };
        let rows = taps
            .iter()
            .flat_map(|tap| (0..channels).flat_map(move |c| tap.iter().map(move |f| row(*f, c))));
        Self::new(geometry, rows.collect(), 0.0, device)
    }

    /// Patches `[channel][tap][place]`: what a pool reduces. Padding reads `padding`.
    pub(super) fn by_channel(geometry: &Geometry, padding: f32, device: &Device) -> Self {
        let places = geometry.input.length * geometry.input.width;
        let (taps, channels) = (taps(geometry), geometry.input.channels);
        let mut rows = Vec::with_capacity(channels * geometry.taps() * geometry.positions());
        for channel in 0..channels {
            for from in taps.iter().flatten() {
                rows.push(from.map_or(channels * places, |from| channel * places + from));
            }
        }
        Self::new(geometry, rows, padding, device)
    }

    fn new(geometry: &Geometry, rows: Vec<usize>, padding: f32, device: &Device) -> Self {
        let padded = rows.contains(&geometry.input.len());
        Self { rows: index(rows, device), geometry: *geometry, padding: padded.then_some(padding) }
    }

    /// The patches of a batch, `[…][window]`.
    fn patches(&self, x: Signal) -> Tensor<2> {
        let mut x = x.into_planes(self.geometry.input);
        if let Some(padding) = self.padding {
            let row = Tensor::full([1, x.dims()[1]], padding, &x.device());
            x = Tensor::cat(vec![x, row], 0);
        }
        x.select(0, self.rows.clone())
    }

    /// A convolution with `weight[out][tap * in]`.
    pub(super) fn convolution(&self, x: Signal, weight: Tensor<2>, bias: Tensor<1>) -> Signal {
        let [outputs, columns] = weight.dims();
        let patches = self.patches(x);
        let windows = patches.dims()[1];
        let across = self.geometry.positions() * windows;
        let y = weight.matmul(patches.reshape([columns, across])) + bias.unsqueeze_dim(1);
        Signal::planes(y.reshape([outputs * self.geometry.positions(), windows]), self.output())
    }

    /// A convolution of each channel by itself, `weight[channel][tap]`.
    pub(super) fn depthwise(&self, x: Signal, weight: Tensor<2>, bias: Tensor<1>) -> Signal {
        let [channels, taps] = weight.dims();
        let (cube, windows) = self.cube(x);
        let y: Tensor<3> = weight.reshape([channels, 1, taps]).matmul(cube);
        let y = y + bias.reshape([channels, 1, 1]);
        Signal::planes(y.reshape([self.geometry.output.len(), windows]), self.output())
    }

    /// The greatest value of each window; padding must read the least number.
    pub(super) fn maximum(&self, x: Signal) -> Signal {
        let (cube, windows) = self.cube(x);
        let y = cube.max_dim(1).reshape([self.geometry.output.len(), windows]);
        Signal::planes(y, self.output())
    }

    /// The mean of each window, padding left out; padding must read 0.
    pub(super) fn average(&self, x: Signal, weights: &Tensor<2>) -> Signal {
        let (cube, windows) = self.cube(x);
        let sum = cube.sum_dim(1).reshape([self.geometry.output.len(), windows]);
        Signal::planes(sum * weights.clone(), self.output())
    }

    /// Patches `[channel][tap][place and window]`, and how many windows there are.
    fn cube(&self, x: Signal) -> (Tensor<3>, usize) {
        let patches = self.patches(x);
        let windows = patches.dims()[1];
        let across = self.geometry.positions() * windows;
        let channels = self.geometry.input.channels;
        (patches.reshape([channels, self.geometry.taps(), across]), windows)
    }

    fn output(&self) -> Shape {
        self.geometry.output
    }
}

impl Scatter {
    pub(super) fn new(geometry: &Geometry, device: &Device) -> Self {
        let places = geometry.positions();
        let (input, output) = (geometry.input, geometry.output);
        let mut rows = Vec::with_capacity(output.channels * geometry.taps() * input.len());
        for channel in 0..output.channels {
            for i in 0..geometry.kernel[0] {
                for j in 0..geometry.kernel[1] {
                    for l in 0..input.length {
                        for w in 0..input.width {
                            let to = geometry.output_at(0, l, i).zip(geometry.output_at(1, w, j));
                            rows.push(to.map_or(output.len(), |(l, w)| {
                                channel * places + l * output.width + w
                            }));
                        }
                    }
                }
            }
        }
        Self { rows: index(rows, device), geometry: *geometry }
    }

    /// A transposed convolution with `weight[out * tap][in]`.
    pub(super) fn transposed(&self, x: Signal, weight: Tensor<2>, bias: Tensor<1>) -> Signal {
        let (input, output) = (self.geometry.input, self.geometry.output);
        let x = x.into_planes(input);
        let windows = x.dims()[1];
        let places = input.length * input.width;
        let rows = weight.dims()[0];
        let products = weight.matmul(x.reshape([input.channels, places * windows]));
        let products = products.reshape([rows * places, windows]);
        let zeros = Tensor::<2>::zeros([output.len() + 1, windows], &products.device());
        let sums = zeros.select_assign(0, self.rows.clone(), products, IndexingUpdateOp::Add);
        let sums = sums.slice(s![0..output.len(), ..]);
        let across = self.geometry.positions() * windows;
        let y = sums.reshape([output.channels, across]) + bias.unsqueeze_dim(1);
        Signal::planes(y.reshape([output.len(), windows]), output)
    }
}

/// 1 / (elements of the window inside the input), `[channel * place][1]`.
pub(super) fn mean_weights(geometry: &Geometry, device: &Device) -> Tensor<2> {
    let taps = taps(geometry);
    let counts =
        Array2::from_shape_fn((geometry.output.channels, geometry.positions()), |(_, p)| {
            let inside = taps.iter().filter(|tap| tap[p].is_some()).count();
            1.0 / inside.max(1) as f32
        });
    let len = counts.len();
    Tensor::from_data(TensorData::new(counts.into_iter().collect::<Vec<f32>>(), [len, 1]), device)
}

/// For each tap the place of the input that each output reads, `None` in the padding.
fn taps(geometry: &Geometry) -> Vec<Vec<Option<usize>>> {
    let (output, input) = (geometry.output, geometry.input);
    let [length, width] = geometry.kernel;
    (0..length * width)
        .map(|tap| {
            let (i, j) = (tap / width, tap % width);
            (0..output.length * output.width)
                .map(|place| {
                    let l = geometry.input_at(0, place / output.width, i)?;
                    let w = geometry.input_at(1, place % output.width, j)?;
                    Some(l * input.width + w)
                })
                .collect()
        })
        .collect()
}

fn index(rows: Vec<usize>, device: &Device) -> Tensor<1, Int> {
    let len = rows.len();
    let rows: Vec<i64> = rows.into_iter().map(|row| row as i64).collect();
    Tensor::from_data(TensorData::new(rows, [len]), device)
}
