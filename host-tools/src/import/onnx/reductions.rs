//! Sums, means and maxima over axes: pools, or parts of a loss.

use super::fold;
use super::reader::{Item, Now, Reader, Refusal, again};
use crate::import::network::{Kind, Pool};

impl Reader<'_> {
    /// The mean or maximum over every axis but one is a global pool; the rest belongs to
    /// losses, which are outputs that no one needs.
    pub(super) fn reduce(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let x = now.value(0)?;
        let full = self.full_shape(x)?;
        let rank = full.len();
        let all = || (0..rank as i64).collect();
        let axes: Option<Vec<usize>> = now
            .ints("axes", 1)?
            .filter(|axes| !axes.is_empty())
            .unwrap_or_else(all)
            .iter()
            .map(|a| fold::index(*a, rank))
            .collect();
        let axes = axes.ok_or_else(|| again("has no such axis"))?;
        if axes.contains(&0) {
            return Ok(vec![Item::OverBatch]);
        }
        let pool = match now.node.op_type.as_str() {
            "ReduceMax" => Some(Pool::Max),
            "ReduceMean" => Some(Pool::Average { include_padding: false }),
            _ => None,
        };
        let keep = now.attributes.int("keepdims", 1) != 0;
        let kept: Vec<usize> = (1..rank).filter(|axis| !axes.contains(axis)).collect();
        let ([channel], Some(pool)) = (&kept[..], pool) else {
            let left = |axis: usize| match axes.contains(&axis) {
                true => keep.then_some(1),
                false => Some(full[axis]),
            };
            let shape = (1..rank).filter_map(left).collect();
            return Ok(self.one(now, Kind::Reduce { shape }, &[x]));
        };
        if rank == 2 {
            return Ok(vec![Item::Value(x)]);
        }
        let mut y = x;
        if *channel != 1 {
            let mut axes: Vec<usize> = (0..rank - 1).collect();
            axes.remove(channel - 1);
            axes.insert(0, channel - 1);
            y = self.push(now, Kind::Transpose { axes }, &[y]);
        }
        y = self.push(now, Kind::GlobalPool { pool, keep_axes: false }, &[y]);
        if keep {
            let mut shape = vec![1; rank - 1];
            shape[channel - 1] = self.full_shape(y)?[1];
            y = self.push(now, Kind::Reshape { shape }, &[y]);
        }
        Ok(vec![Item::Value(y)])
    }
}
