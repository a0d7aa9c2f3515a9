//! The power spectrum of a real frame, in place, in int32.
//!
//! N real samples are read as N/2 complex ones; a radix-4 decimation-in-time
//! transform (a radix-2 pass first where log2 is odd) gives their spectrum, and
//! a last pass turns it into the powers of the real one. Nothing is scaled
//! between the passes: the frame is brought to 18 bits beforehand, and 11 bits of
//! growth still fit int32. Called by the front-end only.

use super::sine::{TURN, cos_sin};

/// Bits of magnitude of a frame: samples lie in `-2^18..=2^18`.
pub(super) const FRAME_BITS: u32 = 18;

/// A complex number: real, imaginary.
pub(super) type Complex = [i32; 2];

/// `x * w / 2^15`, exact product, rounded half up; `|w| <= 2^15`, `|x| < 2^30`.
///
/// All in 32 bits: `x = 2^15 high + low`, and `high * w` needs no rounding.
#[inline]
pub(super) fn scale_q15(x: i32, w: i32) -> i32 {
    (x >> 15)
        .wrapping_mul(w)
        .wrapping_add(((x & 0x7fff).wrapping_mul(w).wrapping_add(1 << 14)) >> 15)
}

/// `(x * a + y * b) / 2^15`, exact sum, rounded half up; `|a| + |b| <= 46_342`, `|x|, |y| < 2^30`.
#[inline]
fn dot_q15(x: i32, a: i32, y: i32, b: i32) -> i32 {
    // The M0 has no long multiply; elsewhere two of them are shorter. The same integer either way.
    if cfg!(kernels = "armv6m") {
        let high = (x >> 15).wrapping_mul(a).wrapping_add((y >> 15).wrapping_mul(b));
        let low = (x & 0x7fff).wrapping_mul(a).wrapping_add((y & 0x7fff).wrapping_mul(b));
        high.wrapping_add(low.wrapping_add(1 << 14) >> 15)
    } else {
        let sum = i64::from(x) * i64::from(a) + i64::from(y) * i64::from(b);
        ((sum + (1 << 14)) >> 15) as i32
    }
}

/// `x * e^(-i angle)`, the angle given by its cosine and sine.
#[inline]
fn turn_back(x: Complex, (cosine, sine): (i32, i32)) -> Complex {
    [dot_q15(x[0], cosine, x[1], sine), dot_q15(x[1], cosine, x[0], -sine)]
}

#[inline]
fn add(a: Complex, b: Complex) -> Complex {
    [a[0].wrapping_add(b[0]), a[1].wrapping_add(b[1])]
}

#[inline]
fn sub(a: Complex, b: Complex) -> Complex {
    [a[0].wrapping_sub(b[0]), a[1].wrapping_sub(b[1])]
}

/// Replaces a frame by four times the powers of its bins `0..N/2`, as u64 in the same bytes.
///
/// `frame` holds N/2 complex numbers, N a power of two from 64 to 2,048: the real
/// samples `x[2i], x[2i + 1]`, each within [`FRAME_BITS`]. The bin at N/2 is left
/// out. By Parseval the powers sum to at most `4 N^2 2^36 <= 2^60`.
#[inline(never)]
pub(super) fn powers(frame: &mut [Complex]) {
    reverse_bits(frame);
    transform(frame);
    unpack(frame);
}

#[inline(never)]
fn reverse_bits(frame: &mut [Complex]) {
    let bits = frame.len().trailing_zeros();
    for i in 0..frame.len() {
        let j = i.reverse_bits().wrapping_shr(usize::BITS.wrapping_sub(bits));
        if i < j && j < frame.len() {
            frame.swap(i, j);
        }
    }
}

/// Complex transform of bit-reversed input.
fn transform(frame: &mut [Complex]) {
    // log2 of what has been transformed so far.
    let mut done = frame.len().trailing_zeros() % 2;
    if done == 1 {
        for pair in frame.as_chunks_mut::<2>().0 {
            let [a, b] = *pair;
            *pair = [add(a, b), sub(a, b)];
        }
    } else {
        for four in frame.as_chunks_mut::<4>().0 {
            *four = butterfly(*four);
        }
        done = 2;
    }
    while done + 2 <= frame.len().trailing_zeros() {
        let quarter = 1usize << done;
        let step = (TURN / 4) >> done;
        let mut rest = &mut *frame;
        while let Some((low, tail)) = rest.split_at_mut_checked(2 * quarter)
            && let Some((high, tail)) = tail.split_at_mut_checked(2 * quarter)
        {
            pass(low, high, quarter, step);
            rest = tail;
        }
        done += 2;
    }
}

/// One block of a radix-4 pass: four quarters, the first two in `low`.
fn pass(low: &mut [Complex], high: &mut [Complex], quarter: usize, step: usize) {
    let Some((a, b)) = low.split_at_mut_checked(quarter) else { return };
    let Some((c, d)) = high.split_at_mut_checked(quarter) else { return };
    let mut at = 0;
    for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
        let four = [
            *a,
            turn_back(*b, cos_sin(2 * at)),
            turn_back(*c, cos_sin(at)),
            turn_back(*d, cos_sin(3 * at)),
        ];
        [*a, *b, *c, *d] = butterfly(four);
        at += step;
    }
}

/// The four-point transform of bit-reversed input.
#[inline]
fn butterfly([a, b, c, d]: [Complex; 4]) -> [Complex; 4] {
    let (s0, d0, s1, d1) = (add(a, b), sub(a, b), add(c, d), sub(c, d));
    // -i * d1
    let turned = [d1[1], d1[0].wrapping_neg()];
    [add(s0, s1), add(d0, turned), sub(s0, s1), sub(d0, turned)]
}

/// From the spectrum of N/2 complex samples to the powers of N real ones.
#[inline(never)]
fn unpack(frame: &mut [Complex]) {
    let step = (TURN / 2) >> (frame.len().trailing_zeros() % usize::BITS);
    let Some((first, rest)) = frame.split_first_mut() else { return };
    *first = store(square([first[0].wrapping_add(first[1]).wrapping_mul(2), 0]));
    let (mut low, mut high) = (0, rest.len());
    while low < high {
        high -= 1;
        let at = |i: usize| rest.get(i).copied().unwrap_or([0; 2]);
        let (z, w) = (at(low), at(high));
        let even = [z[0].wrapping_add(w[0]), z[1].wrapping_sub(w[1])];
        // -i times the difference of z and conj(w).
        let odd = [z[1].wrapping_add(w[1]), w[0].wrapping_sub(z[0])];
        let odd = turn_back(odd, cos_sin((low + 1) * step));
        // The middle bin is its own mirror image; the lower one of the two is written last.
        if let Some(slot) = rest.get_mut(high) {
            *slot = store(square(sub(even, odd)));
        }
        if let Some(slot) = rest.get_mut(low) {
            *slot = store(square(add(even, odd)));
        }
        low += 1;
    }
}

#[inline]
fn square([re, im]: Complex) -> u64 {
    let (re, im) = (u64::from(re.unsigned_abs()), u64::from(im.unsigned_abs()));
    re * re + im * im
}

#[inline]
fn store(power: u64) -> Complex {
    [power as i32, (power >> 32) as i32]
}

/// The power that [`powers`] left in a slot.
#[inline]
pub(super) fn load([low, high]: Complex) -> u64 {
    u64::from(low as u32) | (u64::from(high as u32) << 32)
}
