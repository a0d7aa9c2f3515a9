//! The tail on simulated scores, where the truth is known.

use super::*;
use rand_distr::{Distribution, StandardNormal};

/// Scores of overlapping windows: squared Gaussian noise, averaged over `overlap` steps.
fn scores(count: usize, overlap: usize, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let squares: Vec<f64> = (0..count + overlap)
        .map(|_| {
            let x: f64 = StandardNormal.sample(&mut rng);
            x * x
        })
        .collect();
    squares.windows(overlap).take(count).map(|w| w.iter().sum::<f64>() / w.len() as f64).collect()
}

fn alarms(scores: Vec<f64>, voting: Voting, threshold: f64) -> f64 {
    let count = scores.len() as f64;
    Episodes::new(&[scores], voting).peaks_above(threshold).len() as f64 / count
}

#[test]
fn realised_false_alarms_are_within_a_factor_of_three() {
    // Up to a hundred times rarer than once in what was calibrated on.
    for (overlap, votes, of) in [(1, 1, 1), (4, 1, 1), (4, 2, 3)] {
        let voting = Voting { votes, of, apart: overlap + of - 1 };
        for rate in [0.02, 1e-3, 1e-4] {
            let mut realised = Vec::new();
            for seed in 0..5 {
                let normal = vec![scores(4_000, overlap, seed)];
                let found = tail_threshold(&normal, voting, rate).unwrap();
                assert!(found.interval[0] <= found.threshold);
                assert!(found.threshold <= found.interval[1]);
                let fresh = scores(300_000, overlap, 100 + seed);
                realised.push(alarms(fresh, voting, found.threshold) / rate);
            }
            realised.sort_by(f64::total_cmp);
            assert!((1.0 / 3.0..=3.0).contains(&realised[2]), "{overlap} {rate}: {realised:?}");
        }
    }
}

#[test]
fn the_interval_holds_what_more_data_would_give() {
    let rate = 1e-4;
    let truth = tail_threshold(&[scores(400_000, 1, 7)], Voting::SINGLE, rate).unwrap().threshold;
    let inside = (0..20)
        .filter(|seed| {
            let normal = [scores(3_000, 1, 50 + seed)];
            let [low, high] = tail_threshold(&normal, Voting::SINGLE, rate).unwrap().interval;
            (low..=high).contains(&truth)
        })
        .count();
    assert!(inside >= 13, "{inside} of 20 intervals of 90 %");
}

#[test]
fn moments_find_the_shape() {
    for shape in [-0.2, 0.0, 0.3] {
        let truth = Pareto { shape, scale: 2.0 };
        let excesses: Vec<f64> =
            (0..2_000).map(|i| truth.level((f64::from(i) + 0.5) / 2_000.0)).collect();
        let fitted = Pareto::fit(&excesses).unwrap();
        assert!((fitted.shape - shape).abs() < 0.05, "{shape}: {fitted:?}");
        assert!((fitted.scale - 2.0).abs() < 0.15, "{shape}: {fitted:?}");
        assert!((truth.level(1.0)).abs() < 1e-12);
    }
}

#[test]
fn what_overlaps_is_one_alarm() {
    let scores = vec![0.0, 5.0, 6.0, 0.0, 7.0, 0.0, 0.0, 0.0, 8.0];
    let episodes =
        |apart| Episodes::new(std::slice::from_ref(&scores), Voting { votes: 1, of: 1, apart });
    assert_eq!(episodes(1).peaks_above(5.0), [6.0, 7.0, 8.0]);
    assert_eq!(episodes(2).peaks_above(5.0), [7.0, 8.0]);
    // Clips are apart, whatever their order.
    let two = Episodes::new(&[vec![5.0], vec![5.0]], Voting { votes: 1, of: 1, apart: 9 });
    assert_eq!(two.peaks_above(5.0), [5.0, 5.0]);
    // Two of three: the second greatest of the last three carries.
    let voted = Episodes::new(&[scores], Voting { votes: 2, of: 3, apart: 1 });
    assert_eq!(voted.sorted_votes(), [0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 5.0, 6.0]);
}

#[test]
fn few_scores_fall_back_and_say_so() {
    let of = |count: usize| tail_threshold(&[scores(count, 1, 3)], Voting::SINGLE, 1e-5).unwrap();
    assert_eq!(of(10).method, Method::Greatest);
    assert_eq!(of(50).method, Method::FixedShape);
    assert_eq!(of(500).method, Method::Pareto);
    let greatest = scores(10, 1, 3).into_iter().fold(0.0, f64::max);
    assert!(of(10).threshold > greatest);
    assert!(tail_threshold(&[], Voting::SINGLE, 0.1).is_none());
    assert!(tail_threshold(&[vec![f64::NAN]], Voting::SINGLE, 0.1).is_none());
    // A constant score alarms at nothing that was seen.
    assert!(tail_threshold(&[vec![1.0; 100]], Voting::SINGLE, 0.1).unwrap().threshold > 1.0);
    // As many alarms as windows: counted.
    let many = tail_threshold(&[scores(1_000, 1, 3)], Voting::SINGLE, 0.2).unwrap();
    assert_eq!(many.method, Method::Counted);
    assert_eq!(alarms(scores(1_000, 1, 3), Voting::SINGLE, many.threshold), 0.2);
}

#[test]
fn rates_that_windows_cannot_tell_are_counted() {
    // Windows of a day, cut eight times a day: few episodes, and one a day is more than there can be.
    let voting = Voting { votes: 1, of: 1, apart: 8 };
    let series = scores(140, 8, 4);
    let found = tail_threshold(std::slice::from_ref(&series), voting, 0.125).unwrap();
    assert_eq!(found.method, Method::Counted);
    let reached = series.iter().filter(|score| **score >= found.threshold).count();
    assert!((20..=28).contains(&reached), "{reached} of 140 windows: a fifth at most");
    // Two alarms in these windows are counted as well, where there is no tail.
    let steady: Vec<f64> = (0..100).map(|i| if i % 40 == 7 { f64::from(i) } else { 1.0 }).collect();
    let found = tail_threshold(std::slice::from_ref(&steady), Voting::SINGLE, 0.02).unwrap();
    assert_eq!((found.method, found.threshold > 7.0), (Method::Counted, true));
    assert_eq!(steady.iter().filter(|score| **score >= found.threshold).count(), 2);
}
