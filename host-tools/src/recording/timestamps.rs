//! Columns that count time or rows rather than measure anything.

/// Rows it takes to believe that a column counts.
const MIN_ROWS: usize = 16;

/// How far steps may differ from the first one, relative to it.
const STEP_TOLERANCE: f64 = 1e-3;

const NAMES: [&str; 7] = ["time", "timestamp", "ts", "datetime", "date", "index", "unnamed: 0"];

/// Whether a header names a column of timestamps or row numbers.
pub(super) fn is_named(name: &str) -> bool {
    NAMES.iter().any(|known| known.eq_ignore_ascii_case(name.trim()))
}

/// Watches whether a column's values rise (or fall) by a constant step.
#[derive(Debug, Clone, Default)]
pub(super) struct Steps {
    rows: usize,
    last: f64,
    first_step: f64,
    uneven: bool,
}

impl Steps {
    /// Whether the column may still count; no need to [`Self::push`] otherwise.
    pub(super) fn may_count(&self) -> bool {
        !self.uneven
    }

    /// Takes the next row's value.
    pub(super) fn push(&mut self, value: f64) {
        let step = value - self.last;
        match self.rows {
            0 => {}
            1 => {
                self.first_step = step;
                self.uneven = step == 0.0;
            }
            _ => {
                let deviation = (step - self.first_step).abs();
                // Written so that NaN is uneven.
                let even = deviation < STEP_TOLERANCE * self.first_step.abs();
                self.uneven |= !even;
            }
        }
        self.last = value;
        self.rows += 1;
    }

    /// Whether all rows were seen to count, and were enough to tell.
    pub(super) fn counts(&self) -> bool {
        !self.uneven && self.rows >= MIN_ROWS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(values: impl Iterator<Item = f64>) -> bool {
        let mut steps = Steps::default();
        for value in values {
            steps.push(value);
        }
        steps.counts()
    }

    #[test]
    fn constant_steps_count() {
        assert!(counts((0..16).map(f64::from)));
        assert!(counts((0..16).rev().map(f64::from)));
        // Too large for f32 to tell the seconds apart; jitter within tolerance.
        assert!(counts((0..99).map(|i| 1.7e9 + f64::from(i) * 1.0001)));
        assert!(!counts((0..15).map(f64::from)));
        assert!(!counts((0..99).map(|_| 3.0)));
        assert!(!counts((0..99).map(|i| f64::from(i % 20))));
        assert!(!counts((0..99).map(|i| f64::from(i * i))));
        assert!(!counts((0..99).map(|_| f64::NAN)));
    }

    #[test]
    fn names_are_known_in_any_case() {
        assert!(is_named("Time") && is_named("TIMESTAMP") && is_named("Unnamed: 0"));
        assert!(!is_named("t") && !is_named("times") && !is_named("0"));
    }
}
