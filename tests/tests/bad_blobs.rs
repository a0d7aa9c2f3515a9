//! Damaged blobs: each is refused with a typed error, or runs; none panics.

use picovae::emit::{Blob, Calibrated, write};
use picovae::graph::Activation;
use picovae::quantize::{QuantizeOptions, lower, observe};
use picovae_core::arena::align_up;
use picovae_core::fixed::gaussian::Gaussian;
use picovae_core::model::wire::{self, HEADER_LEN};
use picovae_core::{Detector, Model, ModelError, Vae, VaeError};
use picovae_tests::random_model::{self, Recipe};
use rand::RngExt;

fn recipe(bernoulli: bool) -> Recipe {
    Recipe {
        window_len: 12,
        channels: if bernoulli { 1 } else { 2 },
        hidden: vec![9, 5],
        latent: 3,
        activation: Activation::Tanh,
        bernoulli,
        variational: true,
        remove_mean: !bernoulli,
    }
}

fn blob(recipe: &Recipe) -> Blob {
    let mut vae = random_model::vae(recipe, 3);
    if !recipe.bernoulli {
        // A widened output, so that its table is damaged too.
        vae.decoder.last_mut().unwrap().activation = Activation::Tanh;
    }
    let windows = random_model::windows(recipe, 30, 4);
    let features = random_model::features(&vae, &windows);
    let options = QuantizeOptions::default();
    let ranges = observe(&vae, features.view(), &options).unwrap();
    write(&lower(&vae, &ranges, &options).unwrap(), "portable", Calibrated::default()).unwrap()
}

fn parse_error(bytes: &[u8]) -> ModelError {
    let blob = Blob::from_bytes(bytes, "test");
    Model::parse(blob.bytes()).map(|_| ()).unwrap_err()
}

#[test]
fn every_truncation_is_refused_by_length() {
    let blob = blob(&recipe(false));
    let bytes = blob.bytes();
    for len in 0..bytes.len() {
        let error = parse_error(&bytes[..len]);
        assert!(
            matches!(error, ModelError::Length { got, .. } if got as usize == len),
            "{len}: {error:?}"
        );
    }
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert!(matches!(parse_error(&longer), ModelError::Length { .. }));
}

#[test]
fn every_flipped_bit_is_refused() {
    let blob = blob(&recipe(true));
    let bytes = blob.bytes();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = parse_error(&damaged);
        match bit / 8 {
            0..4 => assert_eq!(error, ModelError::BadMagic),
            4..6 => assert!(matches!(error, ModelError::UnsupportedVersion { .. })),
            8..12 => assert!(matches!(error, ModelError::Length { .. })),
            _ => assert!(matches!(error, ModelError::Checksum { .. }), "bit {bit}: {error:?}"),
        }
    }
}

#[test]
fn a_blob_of_another_version_is_refused_by_name() {
    let mut bytes = blob(&recipe(false)).bytes().to_vec();
    bytes[4] = 99;
    let error = parse_error(&bytes);
    assert_eq!(error, ModelError::UnsupportedVersion { found: 99 });
    assert!(error.to_string().contains("99"), "{error}");
}

#[test]
fn a_misaligned_blob_is_refused() {
    let blob = blob(&recipe(false));
    let mut shifted = vec![0u128; blob.bytes().len() / 16 + 2];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut shifted);
    bytes[1..=blob.bytes().len()].copy_from_slice(blob.bytes());
    let error = Model::parse(&bytes[1..=blob.bytes().len()]).map(|_| ()).unwrap_err();
    assert_eq!(error, ModelError::Misaligned);
}

/// Changes bytes behind the checksum's back: whatever `parse` still accepts must run.
#[test]
fn what_is_accepted_runs_whatever_its_bytes() {
    let mut accepted = 0;
    let mut refused = std::collections::BTreeSet::new();
    for bernoulli in [false, true] {
        let recipe = recipe(bernoulli);
        let original = blob(&recipe).bytes().to_vec();
        let windows = random_model::windows(&recipe, 3, 9);
        let mut rng = random_model::rng(11);
        for round in 0..60_000 {
            let mut bytes = original.clone();
            for _ in 0..rng.random_range(1..4u32) {
                // Mostly where the structure lies: description, records, numbers.
                let at = if round % 3 == 0 {
                    rng.random_range(HEADER_LEN..bytes.len())
                } else {
                    rng.random_range(HEADER_LEN..HEADER_LEN + 400)
                };
                bytes[at.min(original.len() - 1)] = match rng.random_range(0..4u32) {
                    0 => 0xff,
                    1 => 0x80,
                    2 => 0,
                    _ => rng.random(),
                };
            }
            let crc = wire::checksum(&bytes).to_le_bytes();
            bytes[12..16].copy_from_slice(&crc);
            let blob = Blob::from_bytes(&bytes, "mutated");
            match Model::parse(blob.bytes()) {
                Err(error) => {
                    refused
                        .insert(format!("{error:?}").split([' ', '{']).next().unwrap().to_string());
                }
                Ok(model) => {
                    accepted += 1;
                    run(&model, &windows);
                }
            }
        }
    }
    // The test is worth nothing unless both sides were met.
    assert!(accepted > 1_000, "{accepted}");
    for kind in [
        "Description",
        "Section",
        "LayerShape",
        "LayerNumbers",
        "Frontend",
        "Score",
        "ArenaLength",
        "UnsupportedLayer",
        "LayerOverflow",
    ] {
        assert!(refused.contains(kind), "{kind} was never met: {refused:?}");
    }
}

fn run(model: &Model<'_>, windows: &[Vec<i16>]) {
    if model.arena_len() > 1 << 20 {
        return;
    }
    let mut words = vec![0u128; align_up(model.arena_len()) / 16];
    let arena: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    let mut vae = Vae::new(model, arena).unwrap();
    for window in windows {
        let mut fitting = window.clone();
        fitting.resize(model.input_len(), 100);
        vae.score_window(&fitting).unwrap();
        let _ = (vae.reconstruction_error(), vae.nll(), vae.kl_divergence(), vae.negative_elbo());
        vae.decode_sample(&mut Gaussian::new(1));
        vae.generate(&mut Gaussian::new(2));
        assert_eq!(vae.reconstruction().count(), model.input_len());
    }
    let mut words = vec![0u128; align_up(model.arena_len()) / 16];
    let mut ring = vec![0i16; model.input_len()];
    let channels = model.frontend().channels;
    let mut detector =
        Detector::new(model, bytemuck::cast_slice_mut(&mut words), &mut ring).unwrap();
    let frame = vec![7i16; channels];
    for _ in 0..model.frontend().window_len.min(64) {
        detector.push(&frame);
    }
}

/// No fraction bits and many dimensions: the sum of squares would leave 64 bits.
#[test]
fn a_hostile_divergence_saturates() {
    use picovae_core::score::kl_divergence::kl_divergence;
    let (mu, logvar) = ([i16::MIN; 64], [0; 64]);
    let hostile = kl_divergence(&mu, &logvar, 0, 12);
    assert!(hostile > kl_divergence(&mu[..4], &logvar[..4], 0, 12), "{hostile}");
    assert!(kl_divergence(&[0; 2000], &[i16::MAX; 2000], 12, 11) > 0);
}

#[test]
fn callers_mistakes_have_their_own_errors() {
    let blob = blob(&recipe(false));
    let model = blob.model().unwrap();
    let mut words = vec![0u128; model.arena_len() / 16];
    let arena: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    let len = arena.len();
    assert_eq!(
        Vae::new(&model, &mut arena[..len - 16]).unwrap_err(),
        VaeError::ArenaTooSmall { needed: len, got: len - 16 }
    );
    assert_eq!(Vae::new(&model, &mut arena[1..]).unwrap_err(), VaeError::ArenaMisaligned);
    let mut ring = [0i16; 23];
    assert_eq!(
        Detector::new(&model, arena, &mut ring).map(|_| ()).unwrap_err(),
        VaeError::RingTooSmall { needed: 24, got: 23 }
    );
    let mut vae = Vae::new(&model, arena).unwrap();
    assert_eq!(
        vae.score_window(&[0; 25]).unwrap_err(),
        VaeError::InputLength { needed: 24, got: 25 }
    );
    assert_eq!(
        vae.decode_latent(&[0; 2]).unwrap_err(),
        VaeError::InputLength { needed: 3, got: 2 }
    );
}

#[test]
fn a_detector_scores_what_the_windows_score() {
    let recipe = recipe(false);
    let blob = blob(&recipe);
    let model = blob.model().unwrap();
    let hop = model.frontend().hop;
    let stream: Vec<i16> = random_model::windows(&recipe, 6, 21).concat();
    let channels = model.frontend().channels;
    let mut words = vec![0u128; model.arena_len() / 16];
    let mut ring = vec![0i16; model.input_len()];
    let mut detector =
        Detector::new(&model, bytemuck::cast_slice_mut(&mut words), &mut ring).unwrap();
    let verdicts: Vec<_> =
        stream.chunks(channels).filter_map(|frame| detector.push(frame)).collect();

    let mut words = vec![0u128; model.arena_len() / 16];
    let mut vae = Vae::new(&model, bytemuck::cast_slice_mut(&mut words)).unwrap();
    let starts = (0..=stream.len() - model.input_len()).step_by(hop * channels);
    let expected: Vec<_> = starts
        .map(|start| vae.score_window(&stream[start..start + model.input_len()]).unwrap())
        .collect();
    assert!(expected.len() > 8);
    assert_eq!(verdicts.iter().map(|verdict| verdict.score).collect::<Vec<_>>(), expected);
}
