//! What exporters compute from constants and shapes: done while reading.

use super::tensor::{Data, Tensor};

/// Elements of what is computed, at most: shapes and scales, no weights.
const MAX_ELEMENTS: usize = 1 << 20;

/// Elementwise arithmetic with broadcasting; `None` where it is not known.
pub(super) fn binary(op: &str, a: &Tensor, b: &Tensor) -> Option<Tensor> {
    let shape = broadcast(&a.shape, &b.shape)?;
    let (at_a, at_b) = (spread(&a.shape, &shape)?, spread(&b.shape, &shape)?);
    let data = match (&a.data, &b.data) {
        (Data::Int(x), Data::Int(y)) => {
            let apply = |x: i64, y: i64| {
                Some(match op {
                    "Add" => x.checked_add(y)?,
                    "Sub" => x.checked_sub(y)?,
                    "Mul" => x.checked_mul(y)?,
                    "Div" => x.checked_div(y)?,
                    "Mod" => x.checked_rem_euclid(y)?,
                    "Pow" => x.checked_pow(u32::try_from(y).ok()?)?,
                    "Max" => x.max(y),
                    "Min" => x.min(y),
                    "Equal" => i64::from(x == y),
                    "Greater" => i64::from(x > y),
                    "Less" => i64::from(x < y),
                    "GreaterOrEqual" => i64::from(x >= y),
                    "LessOrEqual" => i64::from(x <= y),
                    "And" => i64::from(x != 0 && y != 0),
                    "Or" => i64::from(x != 0 || y != 0),
                    _ => return None,
                })
            };
            let pairs = at_a.iter().zip(&at_b);
            Data::Int(pairs.map(|(i, j)| apply(x[*i], y[*j])).collect::<Option<_>>()?)
        }
        _ => {
            let (x, y) = (a.floats(), b.floats());
            let apply = |x: f32, y: f32| {
                Some(match op {
                    "Add" => x + y,
                    "Sub" => x - y,
                    "Mul" => x * y,
                    "Div" => x / y,
                    "Pow" => x.powf(y),
                    "Max" => x.max(y),
                    "Min" => x.min(y),
                    _ => return None,
                })
            };
            let pairs = at_a.iter().zip(&at_b);
            Data::Float(pairs.map(|(i, j)| apply(x[*i], y[*j])).collect::<Option<_>>()?)
        }
    };
    Some(Tensor { shape, data })
}

/// Elementwise functions.
pub(super) fn unary(op: &str, x: &Tensor) -> Option<Tensor> {
    let shape = x.shape.clone();
    if let ("Neg", Data::Int(values)) = (op, &x.data) {
        let data = Data::Int(values.iter().map(|v| v.wrapping_neg()).collect());
        return Some(Tensor { shape, data });
    }
    if let ("Not", Data::Int(values)) = (op, &x.data) {
        let data = Data::Int(values.iter().map(|v| i64::from(*v == 0)).collect());
        return Some(Tensor { shape, data });
    }
    let apply: fn(f32) -> f32 = match op {
        "Neg" => |x| -x,
        "Exp" => f32::exp,
        "Log" => f32::ln,
        "Sqrt" => f32::sqrt,
        "Reciprocal" => f32::recip,
        "Floor" => f32::floor,
        "Ceil" => f32::ceil,
        "Abs" => f32::abs,
        _ => return None,
    };
    let data = Data::Float(x.floats().into_iter().map(apply).collect());
    Some(Tensor { shape, data })
}

/// To integers (truncated) or floats, by ONNX's number of the type.
pub(super) fn cast(x: &Tensor, to: i64) -> Tensor {
    let data = match (to, &x.data) {
        (1 | 10 | 11 | 16, _) => Data::Float(x.floats()),
        (9, data) => Data::Int(match data {
            Data::Float(values) => values.iter().map(|v| i64::from(*v != 0.0)).collect(),
            Data::Int(values) => values.iter().map(|v| i64::from(*v != 0)).collect(),
        }),
        (_, Data::Float(values)) => Data::Int(values.iter().map(|v| *v as i64).collect()),
        (_, data) => data.clone(),
    };
    Tensor { shape: x.shape.clone(), data }
}

/// Elements `indices` of an axis.
pub(super) fn gather(x: &Tensor, indices: &Tensor, axis: usize) -> Option<Tensor> {
    let len = *x.shape.get(axis)?;
    let wanted = indices.as_ints()?.into_iter().map(|i| index(i, len));
    let wanted: Vec<usize> = wanted.collect::<Option<_>>()?;
    let (outer, inner) = around(&x.shape, axis);
    if outer.checked_mul(wanted.len())?.checked_mul(inner)? > MAX_ELEMENTS {
        return None;
    }
    let mut pick = Vec::new();
    for o in 0..outer {
        for i in &wanted {
            pick.extend((0..inner).map(|k| (o * len + i) * inner + k));
        }
    }
    let mut shape = x.shape[..axis].to_vec();
    shape.extend(&indices.shape);
    shape.extend(&x.shape[axis + 1..]);
    x.select(shape, &pick)
}

/// Elements `start`, `start + step`, … of an axis.
pub(super) fn slice(x: &Tensor, axis: usize, range: &[usize]) -> Option<Tensor> {
    let indices = Tensor::ints(range.iter().map(|i| *i as i64).collect());
    gather(x, &indices, axis)
}

/// One behind the other.
pub(super) fn concat(all: &[Tensor], axis: usize) -> Option<Tensor> {
    let first = all.first()?;
    let mut shape = first.shape.clone();
    *shape.get_mut(axis)? = 0;
    for one in all {
        let alike = one.shape.len() == shape.len()
            && (0..shape.len()).all(|i| i == axis || one.shape[i] == shape[i]);
        if !alike {
            return None;
        }
        shape[axis] = shape[axis].checked_add(one.shape[axis])?;
    }
    if shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d))? > MAX_ELEMENTS {
        return None;
    }
    let (outer, inner) = around(&first.shape, axis);
    let whole = all.iter().all(|one| matches!(one.data, Data::Int(_)));
    let (mut ints, mut floats) = (Vec::new(), Vec::new());
    for o in 0..outer {
        for one in all {
            let len = one.shape[axis] * inner;
            match &one.data {
                Data::Int(values) if whole => ints.extend(&values[o * len..][..len]),
                _ => floats.extend(&one.floats()[o * len..][..len]),
            }
        }
    }
    let data = if whole { Data::Int(ints) } else { Data::Float(floats) };
    Some(Tensor { shape, data })
}

/// The axes in another order.
pub(super) fn transpose(x: &Tensor, axes: &[usize]) -> Option<Tensor> {
    let mut sorted = axes.to_vec();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..x.shape.len()) {
        return None;
    }
    let steps = strides(&x.shape);
    let shape: Vec<usize> = axes.iter().map(|axis| x.shape[*axis]).collect();
    let steps: Vec<usize> = axes.iter().map(|axis| steps[*axis]).collect();
    x.select(shape.clone(), &walk(&shape, &steps))
}

/// The whole of it repeated along each axis.
pub(super) fn tile(x: &Tensor, times: &[usize]) -> Option<Tensor> {
    if times.len() != x.shape.len() {
        return None;
    }
    times.iter().enumerate().try_fold(x.clone(), |x, (axis, times)| {
        let len = x.shape[axis];
        if x.len().checked_mul(*times)? > MAX_ELEMENTS {
            return None;
        }
        let indices: Vec<usize> = (0..len * times).map(|i| i % len).collect();
        slice(&x, axis, &indices)
    })
}

/// Products, sums, extremes over axes.
pub(super) fn reduce(op: &str, x: &Tensor, axes: &[usize], keep: bool) -> Option<Tensor> {
    let mut result = x.clone();
    for axis in axes {
        let indices = 0..result.shape[*axis];
        let mut parts = indices.map(|i| slice(&result, *axis, &[i]));
        let first = parts.next()??;
        let with = match op {
            "ReduceProd" => "Mul",
            "ReduceSum" => "Add",
            "ReduceMax" => "Max",
            _ => "Min",
        };
        result = parts.try_fold(first, |sum, part| binary(with, &sum, &part?))?;
    }
    if !keep {
        let left = |(axis, len): (usize, &usize)| (!axes.contains(&axis)).then_some(*len);
        result.shape = result.shape.iter().enumerate().filter_map(left).collect();
    }
    Some(result)
}

/// `start`, `start + step`, … up to `limit`; integers only.
pub(super) fn range(start: &Tensor, limit: &Tensor, step: &Tensor) -> Option<Tensor> {
    let number = |tensor: &Tensor| match tensor.as_ints()?[..] {
        [number] => Some(number),
        _ => None,
    };
    let (start, limit, step) = (number(start)?, number(limit)?, number(step)?);
    let span = i128::from(limit) - i128::from(start);
    if step == 0 {
        return None;
    }
    let count = (span / i128::from(step) + i128::from(span % i128::from(step) != 0)).max(0);
    let count = i64::try_from(count).ok().filter(|count| *count <= MAX_ELEMENTS as i64)?;
    Some(Tensor::ints((0..count).map(|i| start + i * step).collect()))
}

/// Repeated up to a shape.
pub(super) fn expand(x: &Tensor, shape: &[usize]) -> Option<Tensor> {
    let shape = broadcast(&x.shape, shape)?;
    let pick = spread(&x.shape, &shape)?;
    x.select(shape, &pick)
}

/// `condition ? a : b`.
pub(super) fn choose(condition: &Tensor, a: &Tensor, b: &Tensor) -> Option<Tensor> {
    let shape = broadcast(&condition.shape, &broadcast(&a.shape, &b.shape)?)?;
    let (a, b) = (expand(a, &shape)?, expand(b, &shape)?);
    let condition = expand(condition, &shape)?.as_ints()?;
    let both =
        concat(&[Tensor { shape: vec![a.len()], ..a }, Tensor { shape: vec![b.len()], ..b }], 0)?;
    let half = condition.len();
    let pick: Vec<usize> =
        condition.iter().enumerate().map(|(i, c)| if *c != 0 { i } else { half + i }).collect();
    both.select(shape, &pick)
}

/// An index that may count from the end.
pub(super) fn index(i: i64, len: usize) -> Option<usize> {
    let i = if i < 0 { i.checked_add(i64::try_from(len).ok()?)? } else { i };
    usize::try_from(i).ok().filter(|i| *i < len)
}

/// Elements outside and inside of an axis.
fn around(shape: &[usize], axis: usize) -> (usize, usize) {
    (shape[..axis].iter().product(), shape[axis + 1..].iter().product())
}

fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
    let shape: Option<Vec<usize>> = (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Some(x),
            (x, 1) => Some(x),
            (1, y) => Some(y),
            _ => None,
        })
        .collect();
    let shape = shape?;
    let len = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d))?;
    (len <= MAX_ELEMENTS).then_some(shape)
}

/// For each element of `shape` the element of `own` that is repeated there.
fn spread(own: &[usize], shape: &[usize]) -> Option<Vec<usize>> {
    let lead = shape.len().checked_sub(own.len())?;
    let mut steps = vec![0; lead];
    for (len, step) in own.iter().zip(strides(own)) {
        steps.push(if *len == 1 { 0 } else { step });
    }
    Some(walk(shape, &steps))
}

fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

fn walk(shape: &[usize], steps: &[usize]) -> Vec<usize> {
    let mut all = vec![0];
    for (len, step) in shape.iter().zip(steps) {
        all = all.iter().flat_map(|base| (0..*len).map(move |i| base + i * step)).collect();
    }
    all
}
