//! Known states of a machine: the device's word against likelihoods in floats.

use ndarray::Array2;
use picovae::emit::{Blob, Calibrated, with_heads, write};
use picovae::graph::Activation;
use picovae::quantize::{IntHead, IntHeads, KnownState, QuantizeOptions, lower, observe};
use picovae_core::Vae;
use picovae_tests::random_model::{self, Recipe};

const LATENT: usize = 3;
const UNIT: f64 = 4096.0;

fn blob() -> Blob {
    let recipe = Recipe {
        window_len: 10,
        channels: 2,
        hidden: vec![7],
        latent: LATENT,
        activation: Activation::Relu,
        bernoulli: false,
        variational: true,
        remove_mean: true,
    };
    let vae = random_model::vae(&recipe, 5);
    let features = random_model::features(&vae, &random_model::windows(&recipe, 20, 6));
    let options = QuantizeOptions::default();
    let ranges = observe(&vae, features.view(), &options).unwrap();
    let quantized = lower(&vae, &ranges, &options).unwrap();
    write(&quantized, "portable", Calibrated::default()).unwrap()
}

/// Uniform numbers in [-1, 1].
fn noise(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_041);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// States about centers, each as wide in every direction as it says.
fn states(widths: &[[f64; LATENT]]) -> Vec<KnownState> {
    let mut draw = noise(3);
    let centers: Vec<[f64; LATENT]> =
        widths.iter().map(|_| std::array::from_fn(|_| 2.0 * draw())).collect();
    let state = |(index, (center, width)): (usize, (&[f64; LATENT], &[f64; LATENT]))| {
        let mu = Array2::from_shape_fn((400, LATENT), |(_, i)| {
            let x = center[i] + width[i] * (draw() + draw());
            (x * UNIT).round() / UNIT
        });
        KnownState { name: format!("state {index}"), mu }
    };
    centers.iter().zip(widths).enumerate().map(state).collect()
}

fn mean_and_variance(state: &KnownState) -> ([f64; LATENT], [f64; LATENT]) {
    let count = state.mu.nrows() as f64;
    let mean: [f64; LATENT] = std::array::from_fn(|i| state.mu.column(i).sum() / count);
    let variance = std::array::from_fn(|i| {
        state.mu.column(i).iter().map(|x| (x - mean[i]).powi(2)).sum::<f64>() / count
    });
    (mean, variance)
}

/// The device's class against the float one at many points; how often they agree among
/// those where the float margin is not small.
fn compare(heads: &IntHeads, score: impl Fn(&[f64; LATENT]) -> Vec<f64>) {
    let blob = with_heads(&blob(), heads).unwrap();
    let model = blob.model().unwrap();
    let mut draw = noise(17);
    let (mut seen, mut clear) = (vec![0; heads.names.len()], 0);
    for _ in 0..4_000 {
        let raw: [i16; LATENT] = std::array::from_fn(|_| (3.5 * UNIT * draw()) as i16);
        let mut scores = score(&raw.map(|mu| f64::from(mu) / UNIT));
        let best = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
        let found = model.resemblance(&raw).unwrap();
        assert_eq!(found.name, heads.names[usize::from(found.class)]);
        scores.sort_by(f64::total_cmp);
        let (most, next) = (scores[scores.len() - 1], scores[scores.len() - 2]);
        if most - next > 0.02 + 1e-3 * (most.abs() + next.abs()) {
            assert_eq!(usize::from(found.class), best, "{raw:?} {scores:?}");
            assert!(found.margin > 0);
            clear += 1;
            seen[best] += 1;
        }
    }
    assert!(clear > 3_500, "{clear} clear points");
    assert!(seen.iter().all(|&count| count > 20), "{seen:?}: every state is met");
}

#[test]
fn the_nearest_cluster_is_the_likeliest_gaussian() {
    let states = states(&[[0.5, 0.8, 0.3], [0.9, 0.4, 0.6], [0.3, 0.3, 0.9], [0.7, 0.7, 0.7]]);
    let heads = IntHeads::clusters(&states, 12).unwrap();
    let fitted: Vec<_> = states.iter().map(mean_and_variance).collect();
    compare(&heads, |mu| {
        let minus_two_ln = |(mean, variance): &([f64; LATENT], [f64; LATENT])| {
            // The fit adds a thousandth of the mean variance to each.
            let ridge = 1e-3 * variance.iter().sum::<f64>() / LATENT as f64 + 1.0 / (UNIT * UNIT);
            (0..LATENT)
                .map(|i| {
                    let variance = variance[i] + ridge;
                    (mu[i] - mean[i]).powi(2) / variance + variance.ln()
                })
                .sum::<f64>()
        };
        fitted.iter().map(|fitted| -minus_two_ln(fitted)).collect()
    });
}

#[test]
fn the_nearest_center_is_the_nearest_in_floats() {
    let states = states(&[[0.5, 0.8, 0.3], [0.9, 0.4, 0.6], [0.3, 0.3, 0.9]]);
    let heads = IntHeads::k_means(&states, 2, 7, 12).unwrap();
    assert_eq!(heads.names.len(), 6);
    assert_eq!(heads.names[0], heads.names[1]);
    let IntHead::Clusters { mean, .. } = heads.kind.clone() else { panic!("made as clusters") };
    let centers: Vec<[f64; LATENT]> =
        mean.chunks(LATENT).map(|c| std::array::from_fn(|i| f64::from(c[i]) / UNIT)).collect();
    // Every center is the mean of the state's windows nearest to it: nothing is left to move.
    for (state, own) in states.iter().zip(centers.chunks(2)) {
        let squared = |mu: ndarray::ArrayView1<'_, f64>, center: &[f64; LATENT]| {
            (0..LATENT).map(|i| (mu[i] - center[i]).powi(2)).sum::<f64>()
        };
        for (at, center) in own.iter().enumerate() {
            let near = |mu: &ndarray::ArrayView1<'_, f64>| {
                squared(*mu, center) < squared(*mu, &own[1 - at])
            };
            let near: Vec<_> = state.mu.rows().into_iter().filter(near).collect();
            assert!(near.len() > 20);
            for i in 0..LATENT {
                let mean = near.iter().map(|mu| mu[i]).sum::<f64>() / near.len() as f64;
                assert!((mean - center[i]).abs() < 2.0 / UNIT, "{mean} {}", center[i]);
            }
        }
    }
    compare(&heads, |mu| {
        let minus_squares =
            |center: &[f64; LATENT]| -(0..LATENT).map(|i| (mu[i] - center[i]).powi(2)).sum::<f64>();
        centers.iter().map(minus_squares).collect()
    });
}

#[test]
fn a_linear_head_divides_equal_gaussians_halfway() {
    // One width for all: the plane between two states is halfway in deviations.
    let states = states(&[[0.5, 0.5, 0.5]; 3]);
    let heads = IntHeads::linear(&states, 12).unwrap();
    let means: Vec<[f64; LATENT]> = states.iter().map(|s| mean_and_variance(s).0).collect();
    // Gauss-Jordan on the pooled covariance: another way than the fit's.
    let mut pooled = [[0f64; LATENT]; LATENT];
    let count: usize = states.iter().map(|s| s.mu.nrows()).sum();
    for (state, mean) in states.iter().zip(&means) {
        for mu in state.mu.rows() {
            for (i, row) in pooled.iter_mut().enumerate() {
                for (j, value) in row.iter_mut().enumerate() {
                    *value += (mu[i] - mean[i]) * (mu[j] - mean[j]) / count as f64;
                }
            }
        }
    }
    let ridge = 1e-3 * (0..LATENT).map(|i| pooled[i][i]).sum::<f64>() / LATENT as f64;
    (0..LATENT).for_each(|i| pooled[i][i] += ridge + 1.0 / (UNIT * UNIT));
    let inverse = inverse(pooled);
    let times = |v: &[f64; LATENT]| -> [f64; LATENT] {
        std::array::from_fn(|i| (0..LATENT).map(|j| inverse[i][j] * v[j]).sum())
    };
    compare(&heads, |mu| {
        means
            .iter()
            .map(|mean| {
                let apart: [f64; LATENT] = std::array::from_fn(|i| mu[i] - mean[i]);
                let white = times(&apart);
                -0.5 * (0..LATENT).map(|i| apart[i] * white[i]).sum::<f64>()
            })
            .collect()
    });
}

fn inverse(mut a: [[f64; LATENT]; LATENT]) -> [[f64; LATENT]; LATENT] {
    let mut b: [[f64; LATENT]; LATENT] =
        std::array::from_fn(|i| std::array::from_fn(|j| f64::from(u8::from(i == j))));
    for i in 0..LATENT {
        let pivot = a[i][i];
        a[i].iter_mut().chain(&mut b[i]).for_each(|x| *x /= pivot);
        for k in (0..LATENT).filter(|&k| k != i) {
            let factor = a[k][i];
            for j in 0..LATENT {
                (a[k][j], b[k][j]) = (a[k][j] - factor * a[i][j], b[k][j] - factor * b[i][j]);
            }
        }
    }
    b
}

#[test]
fn heads_leave_the_rest_of_a_blob_as_it_was() {
    let plain = blob();
    let heads = IntHeads::clusters(&states(&[[0.5; LATENT], [0.6; LATENT]]), 12).unwrap();
    let once = with_heads(&plain, &heads).unwrap();
    let both = with_heads(&once, &IntHeads::linear(&states(&[[0.5; LATENT]; 2]), 12).unwrap());
    let both = both.unwrap();
    let window: Vec<i16> = (0..20).map(|t| t * 37 % 101).collect();
    let score = |blob: &Blob| {
        let model = blob.model().unwrap();
        let mut words = vec![0u128; model.arena_len() / 16];
        let mut vae = Vae::new(&model, bytemuck::cast_slice_mut(&mut words)).unwrap();
        vae.score_window(&window).unwrap()
    };
    assert_eq!(score(&plain), score(&once));
    assert_eq!(score(&plain), score(&both));
    assert!(plain.model().unwrap().resemblance(&[0; LATENT]).is_none());
    let sections = *both.model().unwrap().sections();
    assert!(sections.latent_clusters.is_some() && sections.latent_classifier.is_some());

    // Names that are not one a class, and a shift beyond what 64 bits hold, are refused.
    let mut bad = heads.clone();
    bad.names[0] = "two\nlines".into();
    assert!(with_heads(&plain, &bad).is_err());
    let mut bad = heads;
    let IntHead::Clusters { shifts, .. } = &mut bad.kind else { unreachable!("made as clusters") };
    shifts[0] = 48;
    assert!(with_heads(&plain, &bad).is_err());
}
