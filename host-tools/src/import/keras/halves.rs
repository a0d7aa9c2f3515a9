//! Values cut apart: `ops.split(h, 2, axis=1)`, `h[:, :z]`, layers of the user that do so.

use super::Refused;
use super::config::Layer;
use super::model::Reader;
use crate::import::network::{Kind, Node, Value};
use serde_json::Value as Json;

/// Parts of one value, at most.
const MAX_PARTS: usize = 64;

impl Reader {
    /// `ops.split`: one value a part.
    pub(super) fn split(&mut self, layer: Layer<'_>, x: Value) -> Result<Vec<Value>, Refused> {
        let shape = self.network.shape(x).map(<[usize]>::to_vec).ok_or_else(Refused::behind)?;
        let odd = |reason: &str| Refused::new(reason, "cut the window's last axis: axis=-1");
        let axis = layer.config.get("axis").and_then(Json::as_i64).unwrap_or(0);
        let rank = shape.len() as i64;
        // Axis 0 is the batch.
        let axis = if axis < 0 { axis + rank + 1 } else { axis } - 1;
        let axis = usize::try_from(axis).ok().filter(|axis| *axis < shape.len());
        let axis = axis.ok_or_else(|| odd("cuts the batch apart"))?;
        let len = shape[axis];
        let sections = layer.config.get("indices_or_sections");
        let mut ends: Vec<usize> = match sections {
            Some(Json::Array(_)) => layer.lengths("indices_or_sections").unwrap_or_default(),
            sections => {
                let parts = sections.and_then(Json::as_u64).and_then(|n| usize::try_from(n).ok());
                let parts = parts.filter(|n| (1..=MAX_PARTS).contains(n) && len % n == 0);
                let parts = parts.ok_or_else(|| odd("does not cut into equal parts"))?;
                (1..parts).map(|part| len / parts * part).collect()
            }
        };
        ends.push(len);
        let rising = ends.windows(2).all(|pair| pair[0] < pair[1]);
        if !rising || ends[0] == 0 || ends.len() > MAX_PARTS {
            return Err(odd("its parts do not follow each other"));
        }
        let mut start = 0;
        let cut = |end: usize| {
            let kind = Kind::Slice { axis, start, end };
            start = end;
            self.network.add(Node::new(layer.name, layer.class, kind), &[x])
        };
        Ok(ends.into_iter().map(cut).collect())
    }

    /// Whether a layer of the user's own gives two values of one: the halves of a layer that
    /// holds both heads, as TensorFlow's tutorial has it.
    pub(super) fn halves(&self, layer: Layer<'_>, x: Value) -> bool {
        let even =
            self.network.shape(x).is_some_and(|shape| shape.last().is_some_and(|n| n % 2 == 0));
        even && layer.is_of_user() && self.two_outputs.contains(layer.name)
    }

    /// The halves of the last axis: the code that says so is not read.
    pub(super) fn cut_in_two(&mut self, layer: Layer<'_>, x: Value) -> Result<Vec<Value>, Refused> {
        let shape = self.network.shape(x).map(<[usize]>::to_vec).ok_or_else(Refused::behind)?;
        let (Some(axis), Some(len)) = (shape.len().checked_sub(1), shape.last()) else {
            return Err(Refused::behind());
        };
        self.notes.push(format!(
            "layer `{}` ({}) is taken to cut its input in two halves (its code is not read)",
            layer.name, layer.class
        ));
        let half = len / 2;
        let cut = |start: usize| {
            let kind = Kind::Slice { axis, start, end: start + half };
            self.network.add(Node::new(layer.name, layer.class, kind), &[x])
        };
        Ok([0, half].map(cut).to_vec())
    }

    /// `h[:, a:b]`.
    pub(super) fn item(&mut self, layer: Layer<'_>, x: Value) -> Result<Value, Refused> {
        let shape = self.network.shape(x).map(<[usize]>::to_vec).ok_or_else(Refused::behind)?;
        let odd = || Refused::new("is no plain slice", "slice with [:, a:b]");
        let ranges = layer.slices().filter(|ranges| ranges.len() <= shape.len() + 1);
        let ranges = ranges.ok_or_else(odd)?;
        let mut y = x;
        for (at, (start, stop)) in ranges.into_iter().enumerate() {
            let len = at.checked_sub(1).map_or(0, |axis| shape[axis]);
            let place = |n: i64| if n < 0 { n + len as i64 } else { n.min(len as i64) };
            match (at.checked_sub(1), start.unwrap_or(0), stop) {
                (_, 0, None) => {}
                (Some(axis), start, stop) => {
                    let (start, end) = (place(start), stop.map_or(len as i64, place));
                    let (Ok(start), Ok(end)) = (usize::try_from(start), usize::try_from(end))
                    else {
                        return Err(odd());
                    };
                    y = self.add(layer, Kind::Slice { axis, start, end }, &[y]);
                }
                (None, ..) => return Err(odd()),
            }
        }
        Ok(y)
    }
}
