//! Operators of a float file that are one node each.

use super::super::super::network::{Kind, Node, Pool, Value};
use super::super::path::Step;
use super::super::schema::code;
use super::{EXPORT, Found, Reader, inner_axis, refuse};
use crate::graph::Activation;

impl<'a, 'f> Reader<'a, 'f> {
    /// What the operator computes, and from what.
    pub(super) fn simple(
        &mut self,
        step: &Step<'a, 'f>,
    ) -> Result<(Kind, Vec<Value>), (String, &'static str)> {
        let operator = step.operator;
        match operator.code {
            code::ADD | code::SUB | code::MUL | code::DIV => {
                let inputs = vec![self.operand(step, 0)?, self.operand(step, 1)?];
                let kind = match operator.code {
                    code::ADD => Kind::Add,
                    code::SUB => Kind::Subtract,
                    code::MUL => Kind::Multiply,
                    _ => Kind::Divide,
                };
                return Ok((kind, inputs));
            }
            code::RANDOM_STANDARD_NORMAL => {
                let shape = step.output.inner_shape().to_vec();
                return Ok((Kind::RandomNormal { shape }, Vec::new()));
            }
            code::CONCATENATION => {
                let axis = inner_axis(step.output, &[operator.option(0, 0)?]);
                let Some(axis) = axis else { return refuse("it joins batches", EXPORT) };
                let inputs: Result<Vec<Value>, _> =
                    (0..operator.inputs.len()).map(|at| self.operand(step, at)).collect();
                return Ok((Kind::Concat { axis }, inputs?));
            }
            _ => {}
        }
        let kind = self.unary(step)?;
        Ok((kind, vec![self.value(step, 0)?]))
    }

    fn unary(&self, step: &Step<'a, 'f>) -> Found {
        let operator = step.operator;
        let activation = |activation| Ok(Kind::Activation(activation));
        match operator.code {
            code::RELU => activation(Activation::Relu),
            code::RELU6 => activation(Activation::Relu6),
            code::RELU_N1_TO_1 => Ok(Kind::Clip { low: -1.0, high: 1.0 }),
            code::RELU_0_TO_1 => Ok(Kind::Clip { low: 0.0, high: 1.0 }),
            code::LEAKY_RELU => {
                activation(Activation::LeakyRelu { alpha: operator.option(0, 0.0)? })
            }
            code::ELU => activation(Activation::Elu { alpha: 1.0 }),
            code::LOGISTIC => activation(Activation::Sigmoid),
            code::TANH => activation(Activation::Tanh),
            code::GELU => activation(Activation::Gelu),
            code::EXP => Ok(Kind::Exp),
            code::LOG => Ok(Kind::Log),
            code::SQRT => Ok(Kind::Sqrt),
            code::CAST | code::QUANTIZE | code::DEQUANTIZE => Ok(Kind::Identity),
            code::RESHAPE | code::SQUEEZE | code::EXPAND_DIMS => {
                Ok(Kind::Reshape { shape: step.output.inner_shape().to_vec() })
            }
            code::TRANSPOSE => self.transpose(step),
            code::SLICE | code::STRIDED_SLICE => self.slice(step),
            code::PAD => self.pad(step),
            code::MEAN => self.global(step, Pool::Average { include_padding: false }),
            code::REDUCE_MAX => self.global(step, Pool::Max),
            code::TILE | code::BROADCAST_TO => {
                let shapes = step.output.inner_shape().iter().zip(step.input.inner_shape());
                let factor = |(&to, &from): (&usize, &usize)| match from {
                    1 => Some(to),
                    from => (from == to).then_some(1),
                };
                match shapes.map(factor).collect::<Option<Vec<_>>>() {
                    Some(factors) if step.input.shape.len() == step.output.shape.len() => {
                        Ok(Kind::Upsample { factors })
                    }
                    _ => refuse("it repeats a whole row of values", "repeat single values"),
                }
            }
            code::RESIZE_NEAREST_NEIGHBOR => {
                let factor =
                    |(&to, &from): (&usize, &usize)| to.is_multiple_of(from).then(|| to / from);
                let shapes = step.output.inner_shape().iter().zip(step.input.inner_shape());
                match shapes.map(factor).collect::<Option<Vec<_>>>() {
                    Some(factors) => Ok(Kind::Upsample { factors }),
                    None => refuse("it does not repeat every element equally", "use whole factors"),
                }
            }
            _ => refuse("no layer of the device computes it", remedy(operator.code)),
        }
    }

    /// An operand, computed or of the file.
    fn operand(&mut self, step: &Step<'a, 'f>, at: usize) -> Result<Value, (String, &'static str)> {
        let index = step.operator.inputs.get(at).copied().flatten();
        if let Some(value) = index.and_then(|index| self.values[index]) {
            return Ok(value);
        }
        let Some(source) = index.and_then(|index| self.constants.source(index)) else {
            return self.value(step, at);
        };
        let numbers = self.constants.read(source)?;
        let node = Node::new(&self.file.tensors[source].name, "constant", Kind::Constant(numbers));
        Ok(self.network.add(node, &[]))
    }

    fn transpose(&self, step: &Step<'a, 'f>) -> Found {
        let axes = self.constants.integers(step, 1).unwrap_or_default();
        let inner = axes.get(1..).unwrap_or(&[]).iter();
        let inner: Option<Vec<usize>> =
            inner.map(|&axis| usize::try_from(axis.checked_sub(1)?).ok()).collect();
        match inner {
            Some(axes_of_one) if axes.first() == Some(&0) => {
                Ok(Kind::Transpose { axes: axes_of_one })
            }
            _ => refuse("it moves the batch", "keep the batch in front"),
        }
    }

    /// A slice of one axis with stride 1.
    fn slice(&self, step: &Step<'a, 'f>) -> Found {
        let whole = "it is no plain slice of one axis";
        let (from, to) = (&step.input.shape, &step.output.shape);
        let mask = |field| step.operator.option(field, 0i32);
        let mut begin = self.constants.integers(step, 1).unwrap_or_default();
        if step.operator.code == code::STRIDED_SLICE {
            let strides = self.constants.integers(step, 3).unwrap_or_default();
            // Fields 2 to 4: ellipsis, new axes, axes that vanish.
            if strides.iter().any(|stride| *stride != 1)
                || mask(2)? != 0
                || mask(3)? != 0
                || mask(4)? != 0
            {
                return refuse(whole, "slice with [:, a:b]");
            }
            let open = mask(0)?;
            for (axis, begin) in begin.iter_mut().enumerate().take(31) {
                if open >> axis & 1 == 1 {
                    *begin = 0;
                }
            }
        }
        let cut: Vec<usize> =
            (0..from.len()).filter(|&axis| from.get(axis) != to.get(axis)).collect();
        let (&[axis], true) = (&cut[..], from.len() == to.len() && begin.len() == from.len())
        else {
            return match cut.is_empty() && from.len() == to.len() {
                true => Ok(Kind::Identity),
                false => refuse(whole, "slice with [:, a:b]"),
            };
        };
        let len = from[axis] as i64;
        let first = i64::from(begin[axis]);
        let start = if first < 0 { first + len } else { first };
        match (usize::try_from(start), axis.checked_sub(1)) {
            (Ok(start), Some(axis)) => {
                Ok(Kind::Slice { axis, start, end: start.saturating_add(to[axis + 1]) })
            }
            _ => refuse(whole, "slice with [:, a:b]"),
        }
    }

    fn pad(&self, step: &Step<'a, 'f>) -> Found {
        let numbers = self.constants.integers(step, 1).unwrap_or_default();
        let pairs: Vec<(isize, isize)> =
            numbers.chunks_exact(2).map(|pair| (pair[0] as isize, pair[1] as isize)).collect();
        match pairs.split_first() {
            Some((&(0, 0), inner)) if inner.len() + 1 == step.input.shape.len() => {
                Ok(Kind::Pad { padding: inner.to_vec() })
            }
            _ => refuse("it pads the batch, or by numbers that are not in the file", EXPORT),
        }
    }

    /// A mean or greatest value over all places.
    fn global(&self, step: &Step<'a, 'f>, pool: Pool) -> Found {
        let rank = step.input.shape.len() as i32;
        let mut axes = self.constants.integers(step, 1).unwrap_or_default();
        for axis in &mut axes {
            *axis = if *axis < 0 { axis.saturating_add(rank) } else { *axis };
        }
        axes.sort_unstable();
        if rank >= 3 && axes == (1..rank - 1).collect::<Vec<_>>() {
            let keep_axes = step.operator.option(0, 0i8)? != 0;
            return Ok(Kind::GlobalPool { pool, keep_axes });
        }
        refuse("it reduces other axes than all places", "use global pooling")
    }
}

/// What to do about an operator that is not read.
fn remedy(operator: i32) -> &'static str {
    match operator {
        code::CUSTOM => "convert without custom or Flex operators (SELECT_TF_OPS)",
        16 | 44 => "use convolutions over time instead of a recurrent layer",
        25 => "end the layer without softmax",
        54 => "use leaky_relu with a fixed slope",
        117 => "use silu: on the device both are one table",
        23 => "upsample with interpolation=\"nearest\", or use a transposed convolution",
        58 | 66 | 101 | 108 | 158 => "use one of the usual activations",
        _ => "replace the layer by dense, convolution, pooling or a usual activation",
    }
}
