//! Every table entry and every error bound that `docs/numerics.md` states, against f64.

use picovae_core::fixed::exp::{exp_q24, ln_1p_q24, sigmoid_grid, softplus_q24};
use picovae_core::fixed::gaussian::Gaussian;
use picovae_core::fixed::tables::{EXP2, GAUSSIAN, LN1P};
use picovae_core::fixed::wide::Factor;

const Q24: f64 = 16_777_216.0;

#[test]
fn tables_are_what_they_say() {
    for (i, (&exp2, &ln1p)) in EXP2.iter().zip(&LN1P).enumerate() {
        let x = i as f64 / 64.0;
        assert_eq!(exp2, (Q24 * x.exp2()).round() as u32, "EXP2[{i}]");
        assert_eq!(ln1p, (Q24 * x.ln_1p()).round() as u32, "LN1P[{i}]");
    }
    for (o, row) in GAUSSIAN.iter().enumerate() {
        for (s, &z) in row.iter().enumerate() {
            let tail = 2f64.powi(-(o as i32 + 2)) * (1.0 + s as f64 / 8.0);
            assert_eq!(z, (8192.0 * quantile(tail)).round() as u16, "GAUSSIAN[{o}][{s}]");
        }
    }
}

#[test]
fn exp_is_within_its_bound_over_its_whole_domain() {
    for x_q16 in (-(17 << 16)..=17 << 16).step_by(7) {
        let real = (f64::from(x_q16) / 65_536.0).exp();
        let value = exp_q24(x_q16) as f64 / Q24;
        let allowed = 1.6e-5 * real + 1.0 / Q24;
        assert!((value - real).abs() <= allowed, "{x_q16}: {value} against {real}");
    }
    assert_eq!(exp_q24(i32::MIN), exp_q24(-(17 << 16)));
    assert_eq!(exp_q24(i32::MAX), exp_q24(17 << 16));
}

#[test]
fn ln_1p_is_within_its_bound() {
    for t in (0..=1 << 24).step_by(11) {
        let real = (f64::from(t) / Q24).ln_1p();
        let error = (f64::from(ln_1p_q24(t)) / Q24 - real).abs();
        // Linear: 1/64^2/8; the fraction cut to 12 bits: 1/64/2^12; one last digit.
        assert!(error <= 3.44e-5, "{t}: {error}");
    }
    assert_eq!(ln_1p_q24(u32::MAX), ln_1p_q24(1 << 24));
}

#[test]
fn softplus_and_sigmoid_are_within_their_bounds_for_every_input() {
    for x in i16::MIN..=i16::MAX {
        let real_x = f64::from(x) / 256.0;
        let softplus = real_x.max(0.0) + (-real_x.abs()).exp().ln_1p();
        let error = (f64::from(softplus_q24(x)) / Q24 - softplus).abs();
        assert!(error <= 5e-5, "softplus({x}): {error}");
        let sigmoid = 16_320.0 / (1.0 + (-real_x).exp());
        let error = (f64::from(sigmoid_grid(x)) - sigmoid).abs();
        assert!(error <= 1.0, "sigmoid({x}): {error}");
    }
}

#[test]
fn factors_round_half_up_and_saturate() {
    let half = Factor { multiplier: 1 << 30, shift: 31 };
    assert_eq!((half.scale(0), half.scale(1), half.scale(2), half.scale(3)), (0, 1, 1, 2));
    let large = Factor { multiplier: (1 << 31) - 1, shift: 0 };
    assert_eq!(large.scale(u64::MAX), i64::MAX);
    let tiny = Factor { multiplier: 1 << 30, shift: 94 };
    assert_eq!(tiny.scale(u64::MAX), 1);
}

#[test]
fn gaussian_numbers_are_gaussian() {
    const COUNT: usize = 4_000_000;
    let mut noise = Gaussian::new(2024);
    let (mut sum, mut squares, mut fourths) = (0f64, 0f64, 0f64);
    let mut beyond = [0usize; 5];
    for _ in 0..COUNT {
        let z = f64::from(noise.sample_q13()) / 8192.0;
        assert!(z.abs() <= 4.91);
        sum += z;
        squares += z * z;
        fourths += z.powi(4);
        for (sigma, count) in beyond.iter_mut().enumerate() {
            *count += usize::from(z.abs() > sigma as f64);
        }
    }
    let n = COUNT as f64;
    // Five standard errors of each moment.
    assert!((sum / n).abs() < 5.0 / n.sqrt(), "mean {}", sum / n);
    assert!((squares / n - 1.0).abs() < 5.0 * (2.0 / n).sqrt() + 1e-3, "variance {}", squares / n);
    assert!((fourths / n - 3.0).abs() < 0.02, "kurtosis {}", fourths / n);
    for (sigma, count) in beyond.iter().enumerate().skip(1) {
        let expected = 2.0 * tail(sigma as f64) * n;
        let allowed = 5.0 * expected.sqrt() + 2e-3 * expected;
        assert!(
            (*count as f64 - expected).abs() < allowed,
            "beyond {sigma} sigma: {count}, {expected}"
        );
    }
}

/// Upper tail probability of N(0, 1): by parts near 0, by a continued fraction further out.
fn tail(z: f64) -> f64 {
    let density = (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt();
    if z < 3.0 {
        // Phi(z) - 1/2 = density * sum z^(2k+1) / (1 * 3 * 5 ...)
        let (mut term, mut sum) = (z, z);
        for k in 1..200 {
            term *= z * z / (2.0 * f64::from(k) + 1.0);
            sum += term;
        }
        0.5 - density * sum
    } else {
        let fraction = (1..200).rev().fold(z, |x, k| z + f64::from(k) / x);
        density / fraction
    }
}

/// The z with this upper tail, by bisection.
fn quantile(p: f64) -> f64 {
    let (mut low, mut high) = (0.0, 10.0);
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if tail(middle) > p { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}
