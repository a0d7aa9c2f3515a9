//! Periods of a signal, by the autocorrelation of its samples or of its bursts. Called by [`super::Signal`].

/// Least autocorrelation of a period, and the longest one looked for.
pub(super) const PERIODIC: f64 = 0.3;
const LONGEST: usize = 512;
/// Share of the power that must be left without the wander: less is rounding.
const LEFT: f64 = 1e-4;
/// Frames around a frame without whose mean bursts are left, and over which their sizes are averaged.
const QUICK: usize = 33;
const BURST: usize = 65;
/// Least autocorrelation of bursts: noise of 3,000 frames stays below 0.25.
const RHYTHMIC: f64 = 0.4;
/// Frames looked at.
const FRAMES: usize = 8_192;

/// A series without its mean; of a long one without the mean of what is around each frame, as a baseline
/// that wanders hides any period. Nothing where nothing is left.
fn without_wander(series: &[f64]) -> Option<Vec<f64>> {
    let mean = series.iter().sum::<f64>() / series.len() as f64;
    let centered: Vec<f64> = series.iter().map(|x| x - mean).collect();
    if series.len() < 4 * LONGEST {
        return Some(centered);
    }
    let around = 2 * LONGEST + 1;
    let mut sum: f64 = centered[..around].iter().sum();
    let mut quick = Vec::with_capacity(series.len() - around + 1);
    for start in 0..=series.len() - around {
        quick.push(centered[start + LONGEST] - sum / around as f64);
        sum += centered.get(start + around).copied().unwrap_or(0.0) - centered[start];
    }
    let power = |series: &[f64]| series.iter().map(|x| x * x).sum::<f64>() / series.len() as f64;
    (power(&quick) > LEFT * power(&centered)).then_some(quick)
}

/// The lag of the greatest autocorrelation behind its first fall below 0, and that correlation.
pub(super) fn period(series: &[Vec<f64>]) -> Option<(usize, f64)> {
    let longest = series.iter().max_by_key(|clip| clip.len())?;
    let frames = &longest[..longest.len().min(FRAMES)];
    if frames.len() < 32 {
        return None;
    }
    let frames = without_wander(frames)?;
    let at = |lag: usize| {
        let products = frames.iter().zip(&frames[lag..]).map(|(a, b)| a * b).sum::<f64>();
        products / (frames.len() - lag) as f64
    };
    let power = at(0);
    if power <= 0.0 {
        return None;
    }
    let correlation: Vec<f64> =
        (0..LONGEST.min(frames.len() / 3)).map(|lag| at(lag) / power).collect();
    let fallen = correlation.iter().position(|r| *r < 0.0)?;
    let peak =
        (fallen..correlation.len()).max_by(|a, b| correlation[*a].total_cmp(&correlation[*b]))?;
    // Of a period's multiples, which are about as strong, the first.
    let first = (fallen..=peak).find(|lag| {
        let here = correlation[*lag];
        let around = lag.saturating_sub(1)..=(lag + 1).min(correlation.len() - 1);
        here >= 0.85 * correlation[peak] && around.into_iter().all(|l| correlation[l] <= here)
    });
    let lag = first.unwrap_or(peak);
    Some((lag, correlation[lag]))
}

/// The period of bursts that do not quite keep time, such as heartbeats, on a level that wanders: their
/// samples are out of step after one period, what is quick about them, averaged over some frames, is not.
pub(super) fn rhythm(series: &[Vec<f64>]) -> Option<(usize, f64)> {
    let longest = series.iter().max_by_key(|clip| clip.len())?;
    let frames = &longest[..longest.len().min(2 * FRAMES)];
    let around = means(frames, QUICK)?;
    let quick: Vec<f64> =
        frames[QUICK / 2..].iter().zip(&around).map(|(x, mean)| (x - mean).abs()).collect();
    period(&[means(&quick, BURST)?]).filter(|(_, strength)| *strength > RHYTHMIC)
}

/// Means of `len` values in a row.
fn means(series: &[f64], len: usize) -> Option<Vec<f64>> {
    let mut sum: f64 = series.get(..len)?.iter().sum();
    let mut means = vec![sum / len as f64];
    for (gone, come) in series.iter().zip(&series[len..]) {
        sum += come - gone;
        means.push(sum / len as f64);
    }
    Some(means)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_distr::{Distribution, StandardNormal};

    #[test]
    fn noise_has_no_rhythm() {
        for seed in 0..20 {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            let (mut slow, mut series) = (0.0, Vec::new());
            for _ in 0..3_000 {
                let noise: f64 = StandardNormal.sample(&mut rng);
                slow = 0.9 * slow + noise;
                series.push(slow);
            }
            assert_eq!(rhythm(&[series]), None, "{seed}");
        }
        assert_eq!(rhythm(&[vec![1.0; 3_000]]), None);
        assert_eq!(rhythm(&[vec![1.0, 2.0]]), None);
    }

    #[test]
    fn means_run() {
        assert_eq!(means(&[1.0, 2.0, 6.0, 4.0], 2), Some(vec![1.5, 4.0, 5.0]));
        assert_eq!(means(&[1.0], 2), None);
    }
}
