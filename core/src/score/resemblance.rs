//! Which known state of a machine a latent resembles: the nearest of some Gaussians, or a linear
//! classifier's word. Asked behind a verdict; no part of the score.

use super::mahalanobis::LatentGaussian;

/// The known state that a latent resembles most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Resemblance<'a> {
    /// Which.
    pub class: u16,
    /// What it is called.
    pub name: &'a str,
    /// By how much the next one is behind (Q16 squared deviations, or products of the classifier);
    /// `i64::MAX` where there is none.
    pub margin: i64,
}

/// Known states as diagonal Gaussians, `[class][latent]` each.
#[derive(Clone, Copy, Debug)]
pub struct Clusters<'a> {
    /// Means, `mu_frac_bits`.
    pub mean: &'a [i16],
    /// Reciprocal deviations.
    pub weights: &'a [i16],
    /// Their right shifts to 12 fraction bits, at most 47.
    pub shifts: &'a [u8],
    /// Twice the sum of ln of each class's deviations, Q16.
    pub constant: &'a [i32],
}

impl Clusters<'_> {
    /// The class of the least `squared distance + constant` (of equal ones the first) and its margin:
    /// -2 ln of the likelihood, but for what all have in common. `None` of no class.
    pub fn nearest(&self, mu: &[i16]) -> Option<(u16, i64)> {
        let len = mu.len().max(1);
        let rows = self.mean.chunks(len).zip(self.weights.chunks(len)).zip(self.shifts.chunks(len));
        let distances = rows.zip(self.constant).map(|(((mean, weights), shifts), &constant)| {
            let gaussian = LatentGaussian { mean, weights, shifts, full: false };
            gaussian.squared_distance(mu).saturating_add(constant.into()).saturating_neg()
        });
        largest(distances)
    }
}

/// A linear classifier.
#[derive(Clone, Copy, Debug)]
pub struct Classifier<'a> {
    /// `[class][latent]`.
    pub weights: &'a [i16],
    /// One a class, in units of 2^8 products.
    pub bias: &'a [i32],
}

impl Classifier<'_> {
    /// The class of the greatest `sum(w * mu) + bias * 2^8` (of equal ones the first) and its margin; exact.
    /// `None` of no class.
    ///
    /// ```
    /// use picovae_core::score::resemblance::Classifier;
    /// let classifier = Classifier { weights: &[1, 0, 0, 1], bias: &[0, 0] };
    /// assert_eq!(classifier.classify(&[3, 5]), Some((1, 2)));
    /// ```
    pub fn classify(&self, mu: &[i16]) -> Option<(u16, i64)> {
        let rows = self.weights.chunks(mu.len().max(1)).zip(self.bias);
        largest(rows.map(|(weights, &bias)| {
            let products = weights.iter().zip(mu).map(|(&w, &mu)| i32::from(w) * i32::from(mu));
            products.fold(i64::from(bias) << 8, |sum, product| sum + i64::from(product))
        }))
    }
}

/// The first of the largest, and how far the next largest is below.
fn largest(values: impl Iterator<Item = i64>) -> Option<(u16, i64)> {
    let mut best: Option<(u16, i64)> = None;
    let mut second: Option<i64> = None;
    for (index, value) in (0u16..).zip(values) {
        match best {
            Some((_, most)) if value <= most => second = second.max(Some(value)),
            _ => {
                second = best.map(|(_, most)| most);
                best = Some((index, value));
            }
        }
    }
    let (class, most) = best?;
    Some((class, second.map_or(i64::MAX, |second| most.saturating_sub(second))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_largest_wins_by_its_margin() {
        assert_eq!(largest([].into_iter()), None);
        assert_eq!(largest([7].into_iter()), Some((0, i64::MAX)));
        assert_eq!(largest([3, 9, 9, 4].into_iter()), Some((1, 0)));
        assert_eq!(largest([3, 9, 4, 20].into_iter()), Some((3, 11)));
        assert_eq!(largest([20, 3, 9].into_iter()), Some((0, 11)));
    }

    #[test]
    fn the_nearest_is_nearest_in_deviations() {
        // Class 0 at 0 with deviation 1, class 1 at 4 with deviation 4: 2 is two deviations from the
        // first and half of one from the second, whose ln weighs 2 ln 4.
        let one = 1 << 12;
        let clusters = Clusters {
            mean: &[0, 4 * one],
            weights: &[one, one / 4],
            shifts: &[12, 12],
            constant: &[0, 181_704],
        };
        let (class, margin) = clusters.nearest(&[2 * one]).unwrap();
        assert_eq!((class, margin), (1, (4 << 16) - (1 << 14) - 181_704));
        assert_eq!(clusters.nearest(&[one]).unwrap().0, 0);
    }
}
