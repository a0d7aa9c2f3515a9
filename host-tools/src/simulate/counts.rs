//! Real samples to the device's raw counts.

use crate::graph::Frontend;

/// Converts windows of one front-end.
#[derive(Debug, Clone)]
pub(super) struct Counts {
    /// Real value of one count, for each sample of a window.
    lsb: Vec<f64>,
}

impl Counts {
    pub(super) fn new(frontend: &Frontend) -> Self {
        let channels = frontend.channels.max(1);
        let lsb = |i: usize| f64::from(frontend.lsb(i % channels));
        Self { lsb: (0..frontend.input_len()).map(lsb).collect() }
    }

    /// Appends `samples / lsb`, rounded half away from zero and saturated to i16, and returns how many were
    /// saturated; samples are a whole window, or as much of one as is there.
    pub(super) fn append(&self, samples: &[f32], counts: &mut Vec<i16>) -> u64 {
        let start = counts.len();
        counts.resize(start + samples.len(), 0);
        let mut saturated = 0u32;
        for ((count, &x), &lsb) in counts[start..].iter_mut().zip(samples).zip(&self.lsb) {
            let real = f64::from(x) / lsb;
            // What rounds to a number of 16 bits; not a number does not.
            saturated += u32::from(!(real > -32_768.5 && real < 32_767.5));
            *count = round_to_i16(real);
        }
        saturated.into()
    }
}

/// `real.round() as i16` in operations that vectorize: there is no vector instruction for either half.
#[inline]
fn round_to_i16(real: f64) -> i16 {
    /// The number before 0.5: added to what lies just below a half, it does not reach the next integer.
    const HALF: f64 = 0.499_999_999_999_999_94;
    let magnitude = real.abs();
    let magnitude = if magnitude < 32_768.0 { magnitude } else { 32_768.0 };
    let rounded = (magnitude + HALF) as i32;
    let signed = if real < 0.0 { -rounded } else { rounded.min(32_767) };
    if real.is_nan() { 0 } else { signed as i16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_that_of_the_standard_library() {
        let mut state = 1u64;
        let check = |real: f64| {
            for real in [real, -real, real.next_up(), real.next_down()] {
                assert_eq!(round_to_i16(real), real.round() as i16, "{real:?}");
                let inside = (-32_768.0..=32_767.0).contains(&real.round());
                assert_eq!(real > -32_768.5 && real < 32_767.5, inside, "{real:?}");
            }
        };
        for edge in [0.0, 0.5, 1.5, 2.5, 32_766.5, 32_767.0, 32_767.5, 32_768.0, 32_768.5, 1e300] {
            check(edge);
        }
        check(f64::INFINITY);
        check(f64::NAN);
        check(f64::MIN_POSITIVE);
        for _ in 0..100_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let uniform = (state >> 11) as f64 / (1u64 << 53) as f64;
            check(uniform * 70_000.0);
            check((uniform * 70_000.0).floor() + 0.5);
            check(uniform);
        }
    }
}
