//! Which place of the input each tap of each output meets, once a layer: what forward
//! and backward pass of every windowed operator share.

use super::Geometry;

/// A tap in the padding.
const OUTSIDE: u32 = u32::MAX;

/// The places a windowed operator reads (or a transposed one writes).
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// `[window][tap]`: place of the other side, or [`OUTSIDE`].
    map: Vec<u32>,
    taps: usize,
}

impl Places {
    /// Of a convolution or pool: windows are output places, the other side is the input.
    pub(crate) fn reading(geometry: &Geometry) -> Self {
        let (windows, other) = (geometry.output, geometry.input);
        Self::new(geometry, [windows.length, windows.width], other.width, |axis, at, tap| {
            geometry.input_at(axis, at, tap)
        })
    }

    /// Of a transposed convolution: windows are input places, the other side is the output.
    pub(crate) fn writing(geometry: &Geometry) -> Self {
        let (windows, other) = (geometry.input, geometry.output);
        Self::new(geometry, [windows.length, windows.width], other.width, |axis, at, tap| {
            geometry.output_at(axis, at, tap)
        })
    }

    /// Of a transposed convolution from its outputs: windows are output places, the other side is
    /// the input; most taps of a window reach no input.
    pub(crate) fn reaching(geometry: &Geometry) -> Self {
        let (windows, other) = (geometry.output, geometry.input);
        Self::new(geometry, [windows.length, windows.width], other.width, |axis, at, tap| {
            geometry.source_at(axis, at, tap)
        })
    }

    fn new(
        geometry: &Geometry,
        [length, width]: [usize; 2],
        row: usize,
        at: impl Fn(usize, usize, usize) -> Option<usize>,
    ) -> Self {
        let mut map = Vec::with_capacity(length * width * geometry.taps());
        for l in 0..length {
            for w in 0..width {
                for i in 0..geometry.kernel[0] {
                    for j in 0..geometry.kernel[1] {
                        let place = at(0, l, i).zip(at(1, w, j)).map(|(l, w)| l * row + w);
                        map.push(place.map_or(OUTSIDE, |place| place as u32));
                    }
                }
            }
        }
        Self { map, taps: geometry.taps() }
    }

    /// Windows of one sample.
    pub(crate) fn windows(&self) -> usize {
        self.map.len() / self.taps.max(1)
    }

    /// Taps inside, as (tap, place), of each window in order.
    pub(crate) fn each(&self) -> impl Iterator<Item = impl Iterator<Item = (usize, usize)> + '_> {
        (0..self.windows()).map(|at| self.window(at))
    }

    /// Taps inside, as (tap, place), of window `at`.
    pub(crate) fn window(&self, at: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let taps = self.map.iter().skip(at * self.taps).take(self.taps).enumerate();
        taps.filter(|(_, place)| **place != OUTSIDE).map(|(tap, place)| (tap, *place as usize))
    }

    /// `[place][channels]` to `[window][tap][channels]`, zeros outside.
    pub(crate) fn gather(&self, from: &[f32], channels: usize, to: &mut [f32]) {
        if channels == 1 {
            for (to, place) in to.iter_mut().zip(&self.map) {
                *to = from.get(*place as usize).copied().unwrap_or(0.0);
            }
            return;
        }
        for (to, place) in to.chunks_exact_mut(channels.max(1)).zip(&self.map) {
            match *place {
                OUTSIDE => to.fill(0.0),
                place => to.copy_from_slice(&from[place as usize * channels..][..channels]),
            }
        }
    }

    /// Adds `[window][tap][channels]` to `[place][channels]`: the adjoint of [`gather`](Self::gather).
    pub(crate) fn scatter(&self, from: &[f32], channels: usize, to: &mut [f32]) {
        if channels == 1 {
            for (from, place) in from.iter().zip(&self.map) {
                // `OUTSIDE` is beyond every input.
                if let Some(to) = to.get_mut(*place as usize) {
                    *to += from;
                }
            }
            return;
        }
        for (from, place) in from.chunks_exact(channels.max(1)).zip(&self.map) {
            if *place != OUTSIDE {
                let to = &mut to[*place as usize * channels..][..channels];
                to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
            }
        }
    }
}
