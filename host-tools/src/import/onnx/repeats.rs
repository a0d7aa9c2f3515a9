//! Values repeated along an axis: expansions, tiles.

use super::constants::sizes;
use super::reader::{Item, Now, Reader, Refusal, again};
use crate::import::network::{Kind, Value};

impl Reader<'_> {
    pub(super) fn expand(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let mut x = now.value(0)?;
        let mut full = self.full_shape(x)?;
        let wanted = sizes(now.wanted(1, "shape")?).ok_or_else(|| again("names no shape"))?;
        if wanted.len() > full.len() {
            // New axes stand in front of the batch.
            let new = wanted.len() - full.len();
            let batch_of_one = wanted[0] == self.batch && full[0] == self.batch;
            if !batch_of_one && wanted[..new].iter().any(|d| *d != 1) {
                return Err(windows());
            }
            let mut shape = vec![1; new];
            shape.extend(&full[1..]);
            x = self.push(now, Kind::Reshape { shape: shape.clone() }, &[x]);
            full = std::iter::once(self.batch).chain(shape).collect();
        }
        let lead = full.len() - wanted.len();
        let factors = full.iter().enumerate().map(|(axis, len)| {
            match axis.checked_sub(lead).map_or(1, |at| wanted[at]) {
                1 => Some(1),
                to if to == *len => Some(1),
                to if *len == 1 => Some(to),
                _ => None,
            }
        });
        let factors = factors.collect::<Option<Vec<usize>>>();
        let factors = factors.ok_or_else(|| again("its shape does not fit its input"))?;
        self.repeated(now, x, &full, &factors)
    }

    pub(super) fn tile(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let x = now.value(0)?;
        let full = self.full_shape(x)?;
        let factors = sizes(now.wanted(1, "number of repeats")?);
        let factors = factors.filter(|factors| factors.len() == full.len());
        let factors = factors.ok_or_else(|| again("its repeats do not fit its input"))?;
        self.repeated(now, x, &full, &factors)
    }

    /// A tile that repeats single elements; longer ones would come back after the whole.
    fn repeated(
        &mut self,
        now: &Now<'_>,
        x: Value,
        full: &[usize],
        factors: &[usize],
    ) -> Result<Vec<Item>, Refusal> {
        if factors[0] != 1 {
            return Err(windows());
        }
        if factors.iter().all(|factor| *factor == 1) {
            return Ok(self.one(now, Kind::Identity, &[x]));
        }
        if full.iter().zip(factors).any(|(len, factor)| *len > 1 && *factor != 1) {
            return Err((
                "repeats a whole row of values behind itself".into(),
                "use nearest upsampling, a transposed convolution, or repeat single values".into(),
            ));
        }
        Ok(self.one(now, Kind::Upsample { factors: factors[1..].to_vec() }, &[x]))
    }
}

fn windows() -> Refusal {
    ("repeats the windows of a batch".into(), "keep the batch as it is".into())
}
