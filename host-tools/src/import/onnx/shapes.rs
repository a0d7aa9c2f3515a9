//! Operators that move the elements of a window: reshapes, transposes, slices.

use super::fold;
use super::reader::{Item, Now, Reader, Refusal, again};
use super::tensor::{Data, Tensor};
use crate::import::network::{Kind, Value};

impl Reader<'_> {
    /// Operators that move the elements of a window.
    pub(super) fn shape_operator(&mut self, now: &Now<'_>) -> Option<Result<Vec<Item>, Refusal>> {
        Some(match now.node.op_type.as_str() {
            "Shape" => self.shape_of(now),
            "Size" => now.value(0).and_then(|x| {
                let size: usize = self.full_shape(x)?.iter().product();
                let data = Data::Int(vec![size as i64]);
                Ok(vec![Item::Constant(Tensor { shape: vec![], data })])
            }),
            "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" => self.reshape(now),
            "Transpose" => self.transpose(now),
            "Slice" => self.slice(now),
            "Split" => self.split(now),
            "Gather" => self.gather(now),
            "Concat" => self.concat(now),
            "Expand" => self.expand(now),
            "Tile" => self.tile(now),
            "Pad" => self.pad(now),
            _ => return None,
        })
    }

    fn shape_of(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let shape = self.full_shape(now.value(0)?)?;
        let rank = shape.len() as i64;
        let clamp =
            |i: i64| (if i < 0 { i.saturating_add(rank) } else { i }).clamp(0, rank) as usize;
        let start = clamp(now.attributes.int("start", 0));
        let end = clamp(now.attributes.int("end", rank)).max(start);
        let part = shape[start..end].iter().map(|d| *d as i64).collect();
        Ok(vec![Item::Constant(Tensor::ints(part))])
    }

    /// The full shape that a reshaping operator gives; `None` where it does
    /// not hold the same elements.
    pub(super) fn reshaped(
        &self,
        now: &Now<'_>,
        from: &[usize],
    ) -> Result<Option<Vec<usize>>, Refusal> {
        let rank = from.len();
        let len = from.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        let shape: Vec<usize> = match now.node.op_type.as_str() {
            "Flatten" => {
                let axis = now.attributes.int("axis", 1);
                let axis = if axis == rank as i64 { Some(rank) } else { fold::index(axis, rank) };
                let axis = axis.ok_or_else(|| again("its axis is none of its input's"))?;
                vec![from[..axis].iter().product(), from[axis..].iter().product()]
            }
            "Squeeze" => {
                let axes = now.ints("axes", 1)?;
                let drop: Option<Vec<usize>> = match axes {
                    Some(axes) => axes.iter().map(|a| fold::index(*a, rank)).collect(),
                    None => Some((0..rank).filter(|a| from[*a] == 1).collect()),
                };
                let drop = drop.ok_or_else(|| again("its axes are none of its input's"))?;
                (0..rank).filter(|a| !drop.contains(a)).map(|a| from[a]).collect()
            }
            "Unsqueeze" => {
                let axes = now.ints("axes", 1)?.ok_or_else(|| again("names no axes"))?;
                let rank = rank + axes.len();
                let new: Option<Vec<usize>> = axes.iter().map(|a| fold::index(*a, rank)).collect();
                let new = new.ok_or_else(|| again("its axes are none of its output's"))?;
                let mut rest = from.iter();
                (0..rank)
                    .map(|a| if new.contains(&a) { 1 } else { *rest.next().unwrap_or(&1) })
                    .collect()
            }
            _ => {
                let target = now.ints("shape", 1)?.ok_or_else(|| again("names no shape"))?;
                let keep_zero = now.attributes.int("allowzero", 0) == 1;
                let mut shape = Vec::new();
                for (i, dim) in target.iter().enumerate() {
                    shape.push(match dim {
                        0 if !keep_zero => *from.get(i).unwrap_or(&0),
                        -1 => usize::MAX,
                        dim => usize::try_from(*dim).map_err(|_| again("its shape is negative"))?,
                    });
                }
                let open = shape.iter().filter(|d| **d == usize::MAX).count();
                let known: Option<usize> = shape
                    .iter()
                    .filter(|d| **d != usize::MAX)
                    .try_fold(1usize, |n, d| n.checked_mul(*d));
                if let (1, Some(known), Some(len)) = (open, known.filter(|n| *n > 0), len) {
                    // A file exported with one window, its batch written out, reads any number.
                    let one_window =
                        self.batch_is_open && from.first() == Some(&self.batch) && shape[0] == 1;
                    let len = if one_window { len / self.batch } else { len };
                    let rest = if len.is_multiple_of(known) { len / known } else { 0 };
                    shape.iter_mut().filter(|d| **d == usize::MAX).for_each(|d| *d = rest);
                }
                shape
            }
        };
        let new = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        let same = new == len
            // The batch of the example that the model was exported with.
            || self.batch_is_open
                && shape.len() > 1
                && new.and_then(|n| n.checked_mul(self.batch)) == len
                && shape[0] == 1;
        Ok((new.is_some() && same).then_some(shape))
    }

    fn reshape(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let x = now.value(0)?;
        let full = self.full_shape(x)?;
        let elements: usize = full[1..].iter().product();
        let shape = self.reshaped(now, &full)?.unwrap_or_default();
        if let Some(items) = self.fold_frames(now, x, &full, &shape) {
            return Ok(items);
        }
        match shape.split_first() {
            Some((_, window)) if window.iter().product::<usize>() == elements => {
                Ok(self.one(now, Kind::Reshape { shape: window.to_vec() }, &[x]))
            }
            _ => Err((
                format!("makes {shape:?} of {full:?}, which mixes the windows of a batch"),
                "reshape to (x.size(0), …): the batch must stay the first axis".into(),
            )),
        }
    }

    fn transpose(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let x = now.value(0)?;
        let rank = self.full_shape(x)?.len();
        let reversed = || (0..rank as i64).rev().collect();
        let axes: Vec<i64> = now.attributes.ints("perm").unwrap_or_else(reversed);
        let window: Option<Vec<usize>> =
            axes.iter().skip(1).map(|a| usize::try_from(*a - 1).ok()).collect();
        match (axes.first(), window) {
            (Some(0), Some(axes)) => Ok(self.one(now, Kind::Transpose { axes }, &[x])),
            _ => Err((
                "moves the batch away from the first axis".into(),
                "use batch_first=True, and transpose within the window only".into(),
            )),
        }
    }

    /// Axis and indices of each slice, on a full shape.
    pub(super) fn slices(
        &self,
        now: &Now<'_>,
        full: &[usize],
    ) -> Result<Vec<(usize, Vec<usize>)>, Refusal> {
        let starts = now.ints("starts", 1)?.ok_or_else(|| again("names no starts"))?;
        let ends = now.ints("ends", 2)?.ok_or_else(|| again("names no ends"))?;
        let all = || (0..starts.len() as i64).collect();
        let axes = now.ints("axes", 3)?.unwrap_or_else(all);
        let steps = now.ints("steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return Err(again("its starts, ends, axes and steps differ in number"));
        }
        let mut result = Vec::new();
        for i in 0..starts.len() {
            let axis = fold::index(axes[i], full.len()).ok_or_else(|| again("has no such axis"))?;
            let len = full[axis] as i64;
            if full[axis] > 1 << 22 {
                return Err(again("slices more than a model of its size needs"));
            }
            let (start, end, step) = (starts[i], ends[i], steps[i]);
            let from_end = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
            let range: Vec<usize> = match step {
                0 => return Err(again("slices with a step of 0")),
                1.. => {
                    let (start, end) = (from_end(start).clamp(0, len), from_end(end).clamp(0, len));
                    (start..end).step_by(step as usize).map(|at| at as usize).collect()
                }
                _ => {
                    let start = from_end(start).clamp(-1, len - 1);
                    let end = from_end(end).clamp(-1, len - 1);
                    let back = (end + 1..=start).rev();
                    back.step_by(step.unsigned_abs() as usize).map(|at| at as usize).collect()
                }
            };
            result.push((axis, range));
        }
        Ok(result)
    }

    fn slice(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let mut x = now.value(0)?;
        let full = self.full_shape(x)?;
        for (axis, range) in self.slices(now, &full)? {
            if range.len() != full[axis] {
                x = self.cut(now, x, axis, &range)?;
            }
        }
        Ok(vec![Item::Value(x)])
    }

    /// Successive elements of an axis of the full shape.
    fn cut(
        &mut self,
        now: &Now<'_>,
        x: Value,
        axis: usize,
        range: &[usize],
    ) -> Result<Value, Refusal> {
        let (Some(first), Some(axis)) = (range.first(), axis.checked_sub(1)) else {
            return Err(("takes some windows of a batch".into(), "keep all windows".into()));
        };
        if range.iter().enumerate().any(|(i, at)| *at != first + i) {
            return Err((
                "takes elements that do not follow each other".into(),
                "use a strided convolution or pool".into(),
            ));
        }
        let kind = Kind::Slice { axis, start: *first, end: first + range.len() };
        Ok(self.push(now, kind, &[x]))
    }

    /// Axis and indices of each part of a full shape.
    pub(super) fn parts(
        &self,
        now: &Now<'_>,
        full: &[usize],
    ) -> Result<(usize, Vec<Vec<usize>>), Refusal> {
        let axis = fold::index(now.attributes.int("axis", 0), full.len())
            .ok_or_else(|| again("has no such axis"))?;
        let count = now.node.output.len().max(1);
        let lengths = match now.ints("split", 1)? {
            Some(lengths) => lengths,
            None => {
                let each = full[axis].div_ceil(count);
                let left = |i: usize| full[axis].saturating_sub(i * each).min(each) as i64;
                (0..count).map(left).collect()
            }
        };
        if full[axis] > 1 << 22 {
            return Err(again("splits more than a model of its size needs"));
        }
        let (mut start, mut parts) = (0usize, Vec::new());
        for len in lengths.iter().take(count) {
            let len = usize::try_from(*len).ok().filter(|len| *len <= full[axis] - start);
            let len = len.ok_or_else(|| again("its parts are longer than the whole"))?;
            parts.push((start..start + len).collect());
            start += len;
        }
        Ok((axis, parts))
    }

    fn split(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let x = now.value(0)?;
        let (axis, parts) = self.parts(now, &self.full_shape(x)?)?;
        let mut items = Vec::new();
        for range in parts {
            items.push(Item::Value(self.cut(now, x, axis, &range)?));
        }
        Ok(items)
    }

    fn gather(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let x = now.value(0)?;
        let full = self.full_shape(x)?;
        let axis = fold::index(now.attributes.int("axis", 0), full.len())
            .ok_or_else(|| again("has no such axis"))?;
        let indices = now.wanted(1, "index")?;
        let at: Option<Vec<usize>> = indices
            .as_ints()
            .and_then(|all| all.iter().map(|i| fold::index(*i, full[axis])).collect());
        let at = at.ok_or_else(|| again("its indices are beyond the axis"))?;
        let y = self.cut(now, x, axis, &at)?;
        if indices.shape.is_empty() {
            // A number takes the axis away.
            let mut shape = full[1..].to_vec();
            shape.remove(axis - 1);
            return Ok(self.one(now, Kind::Reshape { shape }, &[y]));
        }
        Ok(vec![Item::Value(y)])
    }

    fn concat(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        if now.inputs.iter().flatten().any(|item| matches!(item, Item::Constant(_))) {
            return Err((
                "puts constants beside values of the window".into(),
                "export without conditions: a device has one window".into(),
            ));
        }
        let values: Vec<Value> =
            (0..now.inputs.len()).map(|i| now.value(i)).collect::<Result<_, _>>()?;
        let rank =
            values.first().map(|x| self.full_shape(*x)).transpose()?.unwrap_or_default().len();
        match fold::index(now.attributes.int("axis", 0), rank) {
            Some(axis) if axis > 0 => Ok(self.one(now, Kind::Concat { axis: axis - 1 }, &values)),
            _ => Err(("puts batches behind each other".into(), "keep the batch as it is".into())),
        }
    }

    fn pad(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let x = now.value(0)?;
        let full = self.full_shape(x)?;
        let mode = now.attributes.text("mode", "constant");
        let by_input = now.constant(2).map_or(Some(0.0), Tensor::number);
        let filling = if now.attributes.has("value") {
            Some(now.attributes.float("value", 0.0))
        } else {
            by_input
        };
        if mode != "constant" || filling != Some(0.0) {
            return Err((
                format!("pads with other than zeros ({mode})"),
                "pad with zeros, or give the convolution padding_mode='zeros'".into(),
            ));
        }
        let pads = now.ints("pads", 1)?.ok_or_else(|| again("names no padding"))?;
        let axes = match now.ints("axes", 3)? {
            Some(axes) => axes,
            None => (0..full.len() as i64).collect(),
        };
        let mut padding = vec![(0isize, 0isize); full.len()];
        if pads.len() != 2 * axes.len() {
            return Err(again("its padding does not fit its axes"));
        }
        for (i, axis) in axes.iter().enumerate() {
            let axis = fold::index(*axis, full.len()).ok_or_else(|| again("has no such axis"))?;
            let small = |n: i64| isize::try_from(n).ok().filter(|n| n.abs() < 1 << 20);
            let pair = small(pads[i]).zip(small(pads[i + axes.len()]));
            padding[axis] = pair.ok_or_else(|| again("its padding makes no sense"))?;
        }
        if padding[0] != (0, 0) {
            return Err(("pads the batch".into(), "pad within the window only".into()));
        }
        let mut y = x;
        // What is cut off, first; then zeros.
        for (axis, (before, after)) in padding.iter_mut().enumerate() {
            let (from, end) = ((-*before).max(0) as usize, (-*after).max(0) as usize);
            if from + end > 0 {
                let range: Vec<usize> = (from..full[axis].saturating_sub(end)).collect();
                y = self.cut(now, y, axis, &range)?;
            }
            (*before, *after) = ((*before).max(0), (*after).max(0));
        }
        if padding.iter().all(|pair| *pair == (0, 0)) {
            return Ok(vec![Item::Value(y)]);
        }
        Ok(self.one(now, Kind::Pad { padding: padding[1..].to_vec() }, &[y]))
    }
}
