//! Centers of some points: k-means (Lloyd 1982) from well-spread beginnings (k-means++, Arthur and Vassilvitskii 2007).

use ndarray::{Array2, ArrayView1, ArrayView2};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Rounds at most; the points of a few thousand windows settle in some tens.
const ROUNDS: usize = 200;
/// Beginnings of which the best is kept.
const BEGINNINGS: u64 = 4;

/// Centers, and what is left.
#[derive(Debug, Clone)]
pub(super) struct Centers {
    /// `[center][dimension]`.
    pub(super) centers: Array2<f64>,
    /// Squared distances of all points to their centers, summed.
    pub(super) squares: f64,
}

/// At most `count` centers of `points[point][dimension]`, fewer where there are not so many different points;
/// `None` without points.
pub(super) fn k_means(points: ArrayView2<'_, f64>, count: usize, seed: u64) -> Option<Centers> {
    if points.nrows() == 0 || count == 0 {
        return None;
    }
    let run = |at: u64| settle(points, begin(points, count, seed.wrapping_add(at)));
    (0..BEGINNINGS).map(run).min_by(|a, b| a.squares.total_cmp(&b.squares))
}

/// The first point by lot, every further one with a chance that grows with its squared distance from those chosen.
fn begin(points: ArrayView2<'_, f64>, count: usize, seed: u64) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut chosen = vec![rng.random_range(0..points.nrows())];
    let mut apart: Vec<f64> = vec![f64::INFINITY; points.nrows()];
    while chosen.len() < count {
        let last = points.row(chosen[chosen.len() - 1]);
        for (apart, point) in apart.iter_mut().zip(points.rows()) {
            *apart = apart.min(squared_distance(point, last));
        }
        let all: f64 = apart.iter().sum();
        if all <= 0.0 {
            break;
        }
        let mut left = all * rng.random::<f64>();
        let next = apart.iter().position(|apart| {
            left -= apart;
            left < 0.0 && *apart > 0.0
        });
        // Rounding may leave nothing: the farthest then.
        let farthest = || (0..apart.len()).max_by(|a, b| apart[*a].total_cmp(&apart[*b]));
        chosen.extend(next.or_else(farthest));
    }
    points.select(ndarray::Axis(0), &chosen)
}

/// Moves every center to the mean of the points nearest to it, until none changes sides.
fn settle(points: ArrayView2<'_, f64>, mut centers: Array2<f64>) -> Centers {
    let mut sides = vec![usize::MAX; points.nrows()];
    let mut squares = 0.0;
    for _ in 0..ROUNDS {
        let (mut sums, mut counts) = (Array2::zeros(centers.raw_dim()), vec![0.0; centers.nrows()]);
        let mut changed = false;
        squares = 0.0;
        for (point, side) in points.rows().into_iter().zip(&mut sides) {
            let mut nearest = (0, f64::INFINITY);
            for (at, center) in centers.rows().into_iter().enumerate() {
                let distance = squared_distance(point, center);
                if distance < nearest.1 {
                    nearest = (at, distance);
                }
            }
            changed |= *side != nearest.0;
            *side = nearest.0;
            squares += nearest.1;
            counts[nearest.0] += 1.0;
            let mut sum = sums.row_mut(nearest.0);
            sum += &point;
        }
        if !changed {
            break;
        }
        for ((mut center, sum), count) in
            centers.rows_mut().into_iter().zip(sums.rows()).zip(&counts)
        {
            // One without points stays.
            if *count > 0.0 {
                center.assign(&(&sum / *count));
            }
        }
    }
    Centers { centers, squares }
}

fn squared_distance(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points within ±0.2 of four corners, in turn.
    fn corners() -> Array2<f64> {
        let corner = [[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [5.0, 5.0]];
        Array2::from_shape_fn((200, 2), |(at, axis)| {
            let jitter = ((at * 7_919 + axis * 104_729) % 101) as f64 / 250.0 - 0.2;
            corner[at % 4][axis] + jitter
        })
    }

    #[test]
    fn every_heap_gets_its_center() {
        let points = corners();
        for seed in 0..5 {
            let found = k_means(points.view(), 4, seed).unwrap();
            let mut rounded: Vec<(i64, i64)> = found
                .centers
                .rows()
                .into_iter()
                .map(|c| (c[0].round() as i64, c[1].round() as i64))
                .collect();
            rounded.sort_unstable();
            assert_eq!(rounded, [(0, 0), (0, 5), (5, 0), (5, 5)]);
            assert!(found.squares < 200.0 * 0.08, "{}", found.squares);
        }
        // Fewer centers leave more.
        let less = k_means(points.view(), 2, 0).unwrap().squares;
        assert!(less > 10.0 * k_means(points.view(), 4, 0).unwrap().squares);
    }

    #[test]
    fn equal_points_have_one_center() {
        let points = Array2::from_elem((9, 3), 2.5);
        let found = k_means(points.view(), 4, 1).unwrap();
        assert_eq!((found.centers.nrows(), found.squares), (1, 0.0));
        assert!(k_means(points.slice(ndarray::s![..0, ..]), 4, 1).is_none());
    }
}
