//! The networks: benchmarks by name, and the conformance suite.

use picovae_core::fixed::Rounding;

use crate::{Layer, Net, Random, Values};

fn relu(outputs: usize) -> Layer {
    Layer { outputs, short: true, clamp: None, table: false, zero_point: -128 }
}

fn dense(name: &str, inputs: usize, encoder: &[usize], latent: usize, decoder: &[usize]) -> Net {
    let layers = |widths: &[usize]| widths.iter().map(|&width| relu(width)).collect();
    Net {
        name: name.into(),
        inputs,
        encoder: layers(encoder),
        decoder: layers(decoder),
        latent,
        rounding: Rounding::Double,
        values: Values::Random,
        seed: 1,
    }
}

/// The benchmark networks of issue 3.
pub fn benchmarks() -> Vec<Net> {
    vec![
        dense("ad", 640, &[128, 128, 128, 128, 8], 8, &[128, 128, 128, 128, 640]),
        dense("sensor", 64, &[32, 16, 8], 4, &[16, 32, 64]),
        dense("small", 64, &[32, 16, 4], 4, &[16, 32, 64]),
    ]
}

/// Networks around every lane width: sizes, clamps, tables, zero points,
/// shifts, roundings and extremes, all drawn; four to five layers each.
pub fn conformance() -> Vec<Net> {
    let mut nets = Vec::new();
    for seed in 0..90 {
        let mut random = Random::new(1000 + seed);
        let mut size = |max: i64| random.range(1, max) as usize;
        // The first nets walk through all lengths around 4, 8, 16 and 32.
        let inputs = match seed {
            0..45 => 1 + seed as usize,
            45..50 => [255, 256, 257, 260, 513][seed as usize - 45],
            _ => size(80),
        };
        let latent = size(9);
        let widths = [size(40), size(20), size(20), size(40)];
        let wide_head = random.bits() & 1 == 0;
        let mut layer = |outputs: usize| {
            let low = random.range(-128, 127) as i8;
            Layer {
                outputs,
                short: random.bits() % 4 != 0,
                clamp: (random.bits() % 4 == 0)
                    .then(|| (low, low.max(random.range(-128, 127) as i8))),
                table: random.bits() % 4 == 0,
                zero_point: random.range(-128, 127) as i8,
            }
        };
        let head = if wide_head { 2 * latent } else { latent };
        nets.push(Net {
            name: format!("case-{seed}"),
            inputs,
            encoder: vec![layer(widths[0]), layer(widths[1]), layer(head)],
            decoder: vec![layer(widths[2]), layer(widths[3]), layer(inputs)],
            latent,
            rounding: if random.bits() & 1 == 0 { Rounding::Double } else { Rounding::Single },
            values: if random.bits() % 3 == 0 { Values::Extreme } else { Values::Random },
            seed,
        });
    }
    nets
}
