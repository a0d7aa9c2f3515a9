//! Where the search looks: random candidates, and small changes of known ones.

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::candidate::{Candidate, PLACES};
use crate::train::Convolution;

/// What may be chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// Fully connected networks.
    pub fully_connected: bool,
    /// Convolutions before them; needs a signal or an image.
    pub convolutional: bool,
    /// Fixed where a student's latent must be its teacher's.
    pub latent: Option<usize>,
    /// 4-bit weights.
    pub four_bit: bool,
}

const WIDTHS: [usize; 13] = [8, 12, 16, 24, 32, 48, 64, 96, 128, 160, 192, 256, 384];
const CHANNELS: [usize; 8] = [4, 6, 8, 12, 16, 24, 32, 48];
const KERNELS: [usize; 3] = [3, 5, 7];
const STRIDES: [usize; 2] = [1, 2];
const LATENTS: [usize; 10] = [2, 3, 4, 6, 8, 12, 16, 20, 24, 32];
const MOST_CONVOLUTIONS: usize = 4;
const MOST_HIDDEN: usize = 3;

impl Space {
    /// A candidate at random.
    pub fn random(&self, rng: &mut impl Rng) -> Candidate {
        let convolutional = self.convolutional && (!self.fully_connected || rng.random_bool(0.5));
        let convolutions = if convolutional {
            (0..rng.random_range(1..=MOST_CONVOLUTIONS)).map(|_| convolution(rng)).collect()
        } else {
            Vec::new()
        };
        let least = usize::from(!convolutional);
        let hidden: Vec<usize> =
            (0..rng.random_range(least..=MOST_HIDDEN)).map(|_| pick(&WIDTHS, rng)).collect();
        Candidate {
            convolutions,
            decoder_hidden: hidden.iter().rev().copied().collect(),
            hidden,
            latent: self.latent.unwrap_or_else(|| pick(&LATENTS, rng)),
            four_bit: (0..PLACES).map(|_| self.four_bit && rng.random_bool(0.3)).collect(),
        }
    }

    /// A child: at each part one parent's or the other's, then one or two changes.
    pub fn child(&self, one: &Candidate, other: &Candidate, rng: &mut impl Rng) -> Candidate {
        let mut child = one.clone();
        if one.convolutions.is_empty() == other.convolutions.is_empty() {
            if rng.random_bool(0.5) {
                child.convolutions.clone_from(&other.convolutions);
            }
            if rng.random_bool(0.5) {
                child.hidden.clone_from(&other.hidden);
                child.decoder_hidden.clone_from(&other.decoder_hidden);
            }
            if rng.random_bool(0.5) {
                child.latent = other.latent;
            }
            if rng.random_bool(0.5) {
                child.four_bit.clone_from(&other.four_bit);
            }
        }
        for _ in 0..rng.random_range(1..=2) {
            self.change(&mut child, rng);
        }
        child
    }

    fn change(&self, candidate: &mut Candidate, rng: &mut impl Rng) {
        match rng.random_range(0..5) {
            0 if !candidate.convolutions.is_empty() => change_convolutions(candidate, rng),
            1 if self.four_bit && !candidate.four_bit.is_empty() => {
                let place = rng.random_range(0..candidate.four_bit.len());
                candidate.four_bit[place] = !candidate.four_bit[place];
            }
            2 if self.latent.is_none() => candidate.latent = step(&LATENTS, candidate.latent, rng),
            3 => change_widths(&mut candidate.decoder_hidden, 0, rng),
            _ => {
                let least = usize::from(candidate.convolutions.is_empty());
                change_widths(&mut candidate.hidden, least, rng);
            }
        }
    }
}

fn pick(from: &[usize], rng: &mut impl Rng) -> usize {
    from.choose(rng).copied().unwrap_or(1)
}

/// The next value up or down.
fn step(values: &[usize], now: usize, rng: &mut impl Rng) -> usize {
    let at = values.iter().position(|value| *value >= now).unwrap_or(values.len() - 1);
    let to =
        if rng.random_bool(0.5) { at.saturating_sub(1) } else { (at + 1).min(values.len() - 1) };
    values[to]
}

fn convolution(rng: &mut impl Rng) -> Convolution {
    Convolution {
        channels: pick(&CHANNELS, rng),
        kernel: pick(&KERNELS, rng),
        stride: pick(&STRIDES, rng),
    }
}

fn change_convolutions(candidate: &mut Candidate, rng: &mut impl Rng) {
    let layers = &mut candidate.convolutions;
    let at = rng.random_range(0..layers.len());
    match rng.random_range(0..5) {
        0 if layers.len() < MOST_CONVOLUTIONS => layers.insert(at, convolution(rng)),
        1 if layers.len() > 1 => drop(layers.remove(at)),
        2 => layers[at].kernel = pick(&KERNELS, rng),
        3 => layers[at].stride = pick(&STRIDES, rng),
        _ => layers[at].channels = step(&CHANNELS, layers[at].channels, rng),
    }
}

fn change_widths(widths: &mut Vec<usize>, least: usize, rng: &mut impl Rng) {
    match rng.random_range(0..4) {
        0 if widths.len() < MOST_HIDDEN => {
            let at = rng.random_range(0..=widths.len());
            widths.insert(at, pick(&WIDTHS, rng));
        }
        1 if widths.len() > least => {
            let at = rng.random_range(0..widths.len());
            widths.remove(at);
        }
        _ if !widths.is_empty() => {
            let at = rng.random_range(0..widths.len());
            widths[at] = step(&WIDTHS, widths[at], rng);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn candidates_stay_inside() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (fully_connected, convolutional) in [(true, false), (false, true), (true, true)] {
            let space = Space { fully_connected, convolutional, latent: Some(7), four_bit: false };
            let mut known = [space.random(&mut rng), space.random(&mut rng)];
            for turn in 0..500 {
                let child = space.child(&known[0], &known[1], &mut rng);
                assert_eq!(child.latent, 7);
                assert!(!child.four_bit.contains(&true));
                assert!(child.convolutions.is_empty() || convolutional);
                assert!(!child.convolutions.is_empty() || fully_connected);
                assert!(!child.convolutions.is_empty() || !child.hidden.is_empty());
                assert!(child.convolutions.len() <= MOST_CONVOLUTIONS);
                assert!(child.hidden.len().max(child.decoder_hidden.len()) <= MOST_HIDDEN);
                assert_eq!(child.to_string().parse(), Ok(child.clone()));
                known[turn % 2] = child;
            }
        }
    }
}
