//! Hand-sized networks with known answers, shared by other modules' tests.

use super::*;
use ndarray::{arr1, arr2};

/// Two features, a latent of one, hand-checkable: mu = x0 + x1 (after a ReLU
/// layer that copies its input), logvar = 0.5, decoder copies z twice.
pub(crate) fn tiny() -> Vae {
    let copy = arr2(&[[1.0, 0.0], [0.0, 1.0]]);
    Vae {
        name: "tiny".into(),
        frontend: Frontend::identity(2, 2, 1),
        encoder: vec![Layer::fully_connected(
            "encoder.0",
            copy,
            arr1(&[0.0, 0.0]),
            Activation::Relu,
        )],
        mu: Layer::fully_connected("mu", arr2(&[[1.0, 1.0]]), arr1(&[0.0]), Activation::Identity),
        logvar: Some(Layer::fully_connected(
            "logvar",
            arr2(&[[0.0, 0.0]]),
            arr1(&[0.5]),
            Activation::Identity,
        )),
        decoder: vec![Layer::fully_connected(
            "decoder.0",
            arr2(&[[1.0], [2.0]]),
            arr1(&[0.0, 1.0]),
            Activation::Identity,
        )],
        likelihood: Likelihood::Gaussian { precision: None },
        score: ScoreKind::NegativeElbo,
        provenance: Provenance::default(),
        pruned_blocks: false,
    }
}

#[test]
fn forward_matches_the_hand() {
    let vae = tiny();
    vae.validate().unwrap();
    let x = arr2(&[[1.0, 2.0], [-4.0, 3.0]]);
    let (mu, logvar) = vae.encode(x.view());
    assert_eq!(mu, arr2(&[[3.0], [3.0]]));
    assert_eq!(logvar, Some(arr2(&[[0.5], [0.5]])));
    assert_eq!(vae.decode(mu.view()), arr2(&[[3.0, 7.0], [3.0, 7.0]]));
    assert_eq!((vae.params(), vae.macs()), (6 + 3 + 3 + 4, 4 + 2 + 2 + 2));

    let trace = vae.trace(x.view(), None);
    assert_eq!(trace.encoder[0], arr2(&[[1.0, 2.0], [0.0, 3.0]]));
    assert_eq!(trace.latent, mu);
    let noisy = vae.trace(x.view(), Some(arr2(&[[2.0], [0.0]]).view()));
    assert!((noisy.latent[[0, 0]] - (3.0 + 2.0 * 0.25f32.exp())).abs() < 1e-6);
}

#[test]
fn scores_match_the_formulas() {
    let mut vae = tiny();
    let x = arr2(&[[1.0, 2.0]]);
    let s = vae.scores(x.view())[0];
    // Output 3, 7: squared errors 4 and 25.
    assert!((s.reconstruction_error - 14.5).abs() < 1e-9);
    let ln_tau = std::f64::consts::TAU.ln();
    assert!((s.nll - 0.5 * (29.0 + 2.0 * ln_tau)).abs() < 1e-6);
    let kl = 0.5 * (9.0 + 0.5f64.exp() - 1.0 - 0.5);
    assert!((s.kl_divergence - kl).abs() < 1e-6);
    assert!((s.negative_elbo() - s.nll - kl).abs() < 1e-6);

    vae.likelihood = Likelihood::Gaussian { precision: Some(arr1(&[4.0, 0.25])) };
    let s = vae.scores(x.view())[0];
    // ln 4 + ln 0.25 cancel.
    assert!((s.nll - 0.5 * (16.0 + 6.25 + 2.0 * ln_tau)).abs() < 1e-6);

    // Bernoulli: logits 3 and 7 against 1 and 0.
    vae.likelihood = Likelihood::Bernoulli;
    let out = arr2(&[[3.0, 7.0]]);
    let (mu, logvar) = vae.encode(x.view());
    let s = vae.scores_of(arr2(&[[1.0, 0.0]]).view(), &mu, logvar.as_ref(), &out)[0];
    let expected = (1.0 + (-3f64).exp()).ln() + (1.0 + 7f64.exp()).ln();
    assert!((s.nll - expected).abs() < 1e-9);

    vae.logvar = None;
    assert_eq!(vae.scores(x.view())[0].kl_divergence, 0.0);
}

#[test]
fn validation_names_the_layer() {
    let mut vae = tiny();
    vae.decoder[0].op =
        Op::FullyConnected { weight: Array2::zeros((2, 3)), bias: Array1::zeros(2) };
    let error = vae.validate().unwrap_err();
    assert_eq!(
        error,
        GraphError::InputLength {
            layer: "decoder.0".into(),
            from: "the latent".into(),
            expected: 3,
            found: 1
        }
    );

    let mut vae = tiny();
    let Op::FullyConnected { weight, .. } = &mut vae.encoder[0].op else {
        panic!("fully connected")
    };
    weight[[0, 1]] = f32::NAN;
    assert_eq!(vae.validate(), Err(GraphError::NotFinite { layer: "encoder.0".into() }));

    let mut vae = tiny();
    vae.score = ScoreKind::BernoulliNll;
    assert!(matches!(vae.validate(), Err(GraphError::ScoreUnfit { .. })));

    let mut vae = tiny();
    vae.likelihood = Likelihood::Gaussian { precision: Some(arr1(&[1.0, 0.0])) };
    assert!(matches!(vae.validate(), Err(GraphError::PrecisionValue { feature: 1, .. })));
}
