//! Frames taken for windows: how tf2onnx writes a dense layer over several frames.
//!
//! `[N, T, C]` becomes `[N*T, C]`, is multiplied by a matrix, and becomes
//! `[N, T, D]` again. In between a value is kept as `[T, C]` of each window, and
//! only operators that treat all frames alike may read it.

use super::reader::{Item, Now, Reader, Refusal};
use crate::import::network::{Kind, Value};

/// Operators that do the same to every row.
const ROW_BY_ROW: [&str; 22] = [
    "Add",
    "Cast",
    "Celu",
    "Clip",
    "Div",
    "Dropout",
    "Elu",
    "Erf",
    "Exp",
    "Gelu",
    "Gemm",
    "Identity",
    "LeakyRelu",
    "MatMul",
    "Mul",
    "Neg",
    "Relu",
    "Reshape",
    "Sigmoid",
    "Softplus",
    "Sub",
    "Tanh",
];

impl Reader<'_> {
    /// Frames a window of a value that has them folded into its batch.
    pub(super) fn frames(&self, value: Value) -> Option<usize> {
        self.folded.get(&value).copied()
    }

    /// Whether an operator may read what it is given.
    pub(super) fn may_read_frames(&self, now: &Now<'_>) -> Result<(), Refusal> {
        let folded = now.inputs.iter().flatten().any(|item| match item {
            Item::Value(value) => self.frames(*value).is_some(),
            _ => false,
        });
        if !folded || ROW_BY_ROW.contains(&now.node.op_type.as_str()) {
            return Ok(());
        }
        Err((
            "works on frames that were taken for windows of a batch".into(),
            "keep the batch as the first axis".into(),
        ))
    }

    /// A reshape that takes frames for windows, or gives them back; `None` where it is
    /// another one.
    pub(super) fn fold_frames(
        &mut self,
        now: &Now<'_>,
        x: Value,
        full: &[usize],
        shape: &[usize],
    ) -> Option<Vec<Item>> {
        let own = self.network.shape(x)?.to_vec();
        match (self.frames(x), shape) {
            (None, [rows, last]) if full.len() > 2 && full.last() == Some(last) => {
                let frames: usize = full[1..full.len() - 1].iter().product();
                if frames < 2 || *rows != full[0].checked_mul(frames)? {
                    return None;
                }
                let y = self.push(now, Kind::Reshape { shape: vec![frames, *last] }, &[x]);
                self.folded.insert(y, frames);
                Some(vec![Item::Value(y)])
            }
            (Some(_), [batch, window @ ..]) if *batch == self.batch => {
                let whole = window.iter().product::<usize>() == own.iter().product::<usize>();
                if !whole || window.last() != own.last() {
                    return None;
                }
                let y = self.push(now, Kind::Reshape { shape: window.to_vec() }, &[x]);
                self.folded.remove(&y);
                Some(vec![Item::Value(y)])
            }
            _ => None,
        }
    }
}
