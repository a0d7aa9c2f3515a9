//! Operators all of whose inputs are known: done while reading.

use super::fold;
use super::reader::{Item, Now, Reader, Refusal, again};
use super::tensor::{Data, Tensor};

impl Reader<'_> {
    /// An operator all of whose inputs are known; `None` where it is not
    /// one that can be computed while reading.
    pub(super) fn folded(
        &mut self,
        now: &Now<'_>,
        inputs: &[&Tensor],
    ) -> Result<Option<Vec<Item>>, Refusal> {
        let (x, attributes) = (inputs[0], &now.attributes);
        let axis =
            |name: &str, default: i64| fold::index(attributes.int(name, default), x.shape.len());
        let op = now.node.op_type.as_str();
        let result = match op {
            "Identity" => Some(x.clone()),
            "Cast" => Some(fold::cast(x, attributes.int("to", 1))),
            "Shape" => Some(Tensor::ints(x.shape.iter().map(|d| *d as i64).collect())),
            "Add" | "Sub" | "Mul" | "Div" | "Mod" | "Pow" | "Max" | "Min" | "Equal" | "Greater"
            | "Less" | "GreaterOrEqual" | "LessOrEqual" | "And" | "Or" => {
                inputs.get(1).and_then(|y| fold::binary(op, x, y))
            }
            "Neg" | "Exp" | "Log" | "Sqrt" | "Reciprocal" | "Floor" | "Ceil" | "Abs" | "Not" => {
                fold::unary(op, x)
            }
            "Gather" => match (inputs.get(1), axis("axis", 0)) {
                (Some(indices), Some(axis)) => fold::gather(x, indices, axis),
                _ => None,
            },
            "Concat" => {
                let all: Vec<Tensor> = inputs.iter().map(|t| (*t).clone()).collect();
                axis("axis", 0).and_then(|axis| fold::concat(&all, axis))
            }
            "Where" => match inputs {
                [condition, a, b] => fold::choose(condition, a, b),
                _ => None,
            },
            "Transpose" => {
                let reversed = || (0..x.shape.len()).rev().map(|a| a as i64).collect();
                let axes = attributes.ints("perm").unwrap_or_else(reversed);
                let axes: Option<Vec<usize>> =
                    axes.iter().map(|a| usize::try_from(*a).ok()).collect();
                axes.and_then(|axes| fold::transpose(x, &axes))
            }
            "Expand" => inputs.get(1).and_then(|s| sizes(s)).and_then(|s| fold::expand(x, &s)),
            "ConstantOfShape" => {
                let value = match attributes.tensor("value", self.file) {
                    Some(value) => value.map_err(again)?,
                    None => Tensor { shape: vec![1], data: Data::Float(vec![0.0]) },
                };
                let mut shape = sizes(x).unwrap_or_default();
                // The same for every window: one will do.
                if let Some(first) = shape.first_mut()
                    && self.batch_is_open
                    && *first == self.batch
                {
                    *first = 1;
                }
                fold::expand(&value, &shape)
            }
            "Split" => return self.split_constant(now, x).map(Some),
            "Tile" => inputs.get(1).and_then(|times| sizes(times)).and_then(|t| fold::tile(x, &t)),
            "ReduceProd" | "ReduceSum" | "ReduceMax" | "ReduceMin" => {
                self.spend(x.len())?;
                let given = now.ints("axes", 1)?.filter(|axes| !axes.is_empty());
                let all = || (0..x.shape.len() as i64).collect();
                let axes = given.unwrap_or_else(all).into_iter();
                let axes = axes.map(|a| fold::index(a, x.shape.len())).collect::<Option<Vec<_>>>();
                let keep = attributes.int("keepdims", 1) != 0;
                axes.and_then(|axes| fold::reduce(op, x, &axes, keep))
            }
            "Range" => match inputs {
                [start, limit, step] => fold::range(start, limit, step),
                _ => None,
            },
            "Dropout" => Some(x.clone()),
            "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" => {
                let same = |shape: &Vec<usize>| shape.iter().product::<usize>() == x.len();
                self.reshaped(now, &x.shape)?
                    .filter(same)
                    .map(|shape| Tensor { shape, ..x.clone() })
            }
            "Slice" => {
                let mut result = Some(x.clone());
                for (axis, range) in self.slices(now, &x.shape)? {
                    result = result.and_then(|x| fold::slice(&x, axis, &range));
                }
                result
            }
            _ => return Ok(None),
        };
        let result = result.ok_or_else(|| again("computes a constant that cannot be"))?;
        self.spend(result.len())?;
        Ok(Some(vec![Item::Constant(result)]))
    }
}

impl Reader<'_> {
    /// Parts of a constant, in the order of the outputs.
    fn split_constant(&mut self, now: &Now<'_>, x: &Tensor) -> Result<Vec<Item>, Refusal> {
        self.spend(x.len())?;
        let (axis, parts) = self.parts(now, &x.shape)?;
        let cut = |range: &Vec<usize>| {
            let part = fold::slice(x, axis, range);
            part.map(Item::Constant).ok_or_else(|| again("computes a constant that cannot be"))
        };
        parts.iter().map(cut).collect()
    }
}

/// A shape given as numbers.
pub(super) fn sizes(tensor: &Tensor) -> Option<Vec<usize>> {
    tensor.as_ints()?.into_iter().map(|d| usize::try_from(d).ok()).collect()
}
