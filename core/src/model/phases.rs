//! A transposed convolution's matrices, one a phase of its strides, in one section of weights.

use super::geometry::Geometry;
use super::packing::Matrix;
use super::wire::LayerRecord;
use crate::arena::align_up;

/// The matrices of a transposed convolution, one a phase of the strides.
#[derive(Clone, Copy, Debug)]
pub struct Phases<'a> {
    pub(super) record: &'a LayerRecord,
    pub(super) payload: &'a [u8],
}

impl<'a> Phases<'a> {
    /// Shapes, kernel, stride and padding.
    pub fn geometry(&self) -> Geometry<'a> {
        Geometry(self.record)
    }

    /// Layout of the weights: [`packing`](super::wire::packing).
    pub fn packing(&self) -> u8 {
        self.record.packing
    }

    /// Columns of the largest phase.
    pub fn max_inputs(&self) -> usize {
        let geometry = self.geometry();
        let taps = geometry.length().taps(0) * geometry.width().taps(0);
        taps as usize * geometry.in_channels()
    }

    /// The matrix of a phase; `None` where the record has none.
    pub fn matrix(&self, length: i32, width: i32) -> Option<Matrix<'a>> {
        let mut found = None;
        self.each(|phase, matrix| {
            if phase == [length, width] {
                found = Some(matrix);
            }
        })?;
        found
    }

    /// Calls `visit` with every phase in order of storage, width innermost.
    pub(crate) fn each(&self, mut visit: impl FnMut([i32; 2], Matrix<'a>)) -> Option<()> {
        let record = self.record;
        let geometry = self.geometry();
        let weights = record.weights.of(self.payload)?;
        let [.., outputs] = record.out_shape;
        let (mut start, mut first) = (0usize, 0u16);
        for length in 0..geometry.length().stride {
            for width in 0..geometry.width().stride {
                let taps = geometry.length().taps(length) * geometry.width().taps(width);
                let inputs = u16::try_from(taps as usize * geometry.in_channels()).ok()?;
                let mut matrix = Matrix {
                    inputs,
                    outputs,
                    weights: weights.get(start..)?,
                    record,
                    payload: self.payload,
                    first,
                };
                let len = matrix.len()?;
                matrix.weights = matrix.weights.get(..len)?;
                let end = start.checked_add(len)?;
                visit([length, width], matrix);
                start = align_up(end);
                first = first.checked_add(outputs)?;
            }
        }
        Some(())
    }
}
