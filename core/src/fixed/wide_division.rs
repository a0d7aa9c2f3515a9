//! Quotients and roots of 128-bit integers, bit by bit: for numbers that change once in a
//! thousand windows, where a few hundred bytes of code weigh more than time.

/// `dividend / divisor` towards zero, saturated to 64 bits; saturated where `divisor` is 0.
///
/// ```
/// use picovae_core::fixed::wide_division::divide;
/// assert_eq!(divide(7 << 64, 1 << 64), 7);
/// assert_eq!(divide(1 << 100, 3), u64::MAX);
/// ```
// Called from many places, none of them in a hurry: inlined, each would cost stack and code.
#[inline(never)]
pub fn divide(dividend: u128, divisor: u128) -> u64 {
    let Some(mut places) = divisor.leading_zeros().checked_sub(dividend.leading_zeros()) else {
        return 0;
    };
    if divisor == 0 {
        return u64::MAX;
    }
    let (mut rest, mut quotient) = (dividend, 0u128);
    loop {
        let part = divisor << places;
        quotient <<= 1;
        if rest >= part {
            rest -= part;
            quotient |= 1;
        }
        match places.checked_sub(1) {
            Some(next) => places = next,
            None => return u64::try_from(quotient).unwrap_or(u64::MAX),
        }
    }
}

/// The square root, rounded down.
///
/// ```
/// use picovae_core::fixed::wide_division::square_root;
/// assert_eq!(square_root(u128::MAX), u64::MAX);
/// assert_eq!(square_root(99), 9);
/// ```
#[inline(never)]
pub fn square_root(square: u128) -> u64 {
    let (mut rest, mut root) = (square, 0u128);
    for place in (0..64).rev() {
        let bit = 1u128 << (2 * place);
        if rest >= root + bit {
            rest -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    root as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_and_roots_are_those_of_the_language() {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            u128::from(state >> 1) << 64 | u128::from(state.rotate_left(29))
        };
        for _ in 0..20_000 {
            let shift = (next() % 128) as u32;
            let (a, b) = (next() >> shift, (next() >> (next() % 127) as u32).max(1));
            assert_eq!(divide(a, b), u64::try_from(a / b).unwrap_or(u64::MAX), "{a} / {b}");
            assert_eq!(square_root(a), a.isqrt() as u64, "{a}");
        }
        for a in 0..200u128 {
            assert_eq!(square_root(a), a.isqrt() as u64);
            assert_eq!(divide(a, 7), (a / 7) as u64);
            assert_eq!(divide(a, 0), u64::MAX);
        }
    }
}
