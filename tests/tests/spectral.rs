//! Models that read spectra: what the host trains on, what the blob holds, what the device computes.

use picovae::emit::{Blob, Calibrated, write};
use picovae::graph::{Activation, BandScale, Frontend, Spectrum, Taper, Vae as FloatVae};
use picovae::import::{parse_safetensors, to_safetensors};
use picovae::quantize::{QuantizeOptions, lower, observe};
use picovae_core::arena::align_up;
use picovae_core::model::wire::{self, HEADER_LEN};
use picovae_core::{Detector, Model, Vae};
use picovae_tests::random_model::{self, Recipe};
use rand::RngExt;

/// Two channels; two frames of five bands each.
fn model(scale: BandScale, decimate: usize) -> FloatVae {
    let spectrum = Spectrum {
        frame_len: 64,
        frame_hop: 24,
        stack: 2,
        taper: Taper::Hann,
        bands: 5,
        scale,
        sample_rate: Some(8_000.0),
        min_hz: None,
        max_hz: None,
    };
    let recipe = Recipe {
        window_len: spectrum.stack * spectrum.bands,
        channels: 2,
        hidden: vec![9],
        latent: 3,
        activation: Activation::Relu,
        bernoulli: false,
        variational: true,
        remove_mean: false,
    };
    let window_len = Frontend::window_for(spectrum.window_len(), decimate, 1);
    let groups = 2 * spectrum.bands;
    let frontend = Frontend {
        remove_mean: true,
        decimate,
        offset: (0..groups).map(|group| 20.0 + 0.1 * group as f32).collect(),
        scale: (0..groups).map(|group| 2.0 + 0.1 * group as f32).collect(),
        spectrum: Some(spectrum),
        ..Frontend::identity(window_len, 12, 2)
    };
    FloatVae { frontend, ..random_model::vae(&recipe, 3) }
}

/// Tones that wander, and noise.
fn stream(frames: usize, seed: u64) -> Vec<i16> {
    let mut rng = random_model::rng(seed);
    (0..2 * frames)
        .map(|i| {
            let t = i as f64 / 2.0;
            let tone = 3_000.0 * (0.2 * t + 0.000_02 * t * t + (i % 2) as f64).sin();
            (tone + 500.0 * (rng.random::<f64>() - 0.5) + 700.0) as i16
        })
        .collect()
}

fn windows(vae: &FloatVae, count: usize) -> Vec<Vec<i16>> {
    let len = vae.frontend.input_len();
    let all = stream(count * len, 5);
    all.chunks_exact(2 * len).take(count).map(|window| window[..len].to_vec()).collect()
}

fn blob(vae: &FloatVae) -> Blob {
    let features = random_model::features(vae, &windows(vae, 40));
    let options = QuantizeOptions::default();
    let ranges = observe(vae, features.view(), &options).unwrap();
    write(&lower(vae, &ranges, &options).unwrap(), "portable", Calibrated::default()).unwrap()
}

fn kinds() -> impl Iterator<Item = FloatVae> {
    [(BandScale::Linear, 1), (BandScale::Log, 3), (BandScale::LogMel, 1), (BandScale::LogMel, 4)]
        .into_iter()
        .map(|(scale, decimate)| model(scale, decimate))
}

#[test]
fn the_device_rounds_the_features_that_the_host_trains_on() {
    for vae in kinds() {
        let blob = blob(&vae);
        assert_eq!(blob.bytes()[4], 2, "spectra are version 2");
        let device = blob.model().unwrap();
        let mut words = vec![0u128; device.arena_len() / 16];
        let mut engine = Vae::new(&device, bytemuck::cast_slice_mut(&mut words)).unwrap();
        let wire = &device.description().frontend;
        let scale = f64::from(f32::from_bits(wire.scale_bits));
        let windows = windows(&vae, 20);
        let features = random_model::features(&vae, &windows);
        let mut distinct = std::collections::BTreeSet::new();
        for (window, row) in windows.iter().zip(features.rows()) {
            engine.load(window).unwrap();
            for (&q, &real) in engine.features().iter().zip(row) {
                let exact = f64::from(real) / scale + f64::from(wire.zero_point);
                assert!((exact.clamp(-128.0, 127.0) - f64::from(q)).abs() < 0.51, "{exact} {q}");
                distinct.insert(q);
            }
        }
        assert!(distinct.len() > 10, "{distinct:?}");
    }
}

#[test]
fn a_stream_scores_what_its_windows_score() {
    for vae in kinds() {
        let blob = blob(&vae);
        let device = blob.model().unwrap();
        let len = device.window_samples();
        let stream = stream(3 * len, 8);
        let mut words = vec![0u128; device.arena_len() / 16];
        let mut ring = vec![0i16; len];
        let mut detector =
            Detector::new(&device, bytemuck::cast_slice_mut(&mut words), &mut ring).unwrap();
        let streamed: Vec<_> =
            stream.chunks(2).filter_map(|frame| detector.push(frame)).map(|v| v.score).collect();
        let mut words = vec![0u128; device.arena_len() / 16];
        let mut engine = Vae::new(&device, bytemuck::cast_slice_mut(&mut words)).unwrap();
        let starts = (0..=stream.len() - len).step_by(12 * 2);
        let expected: Vec<_> =
            starts.map(|start| engine.score_window(&stream[start..start + len]).unwrap()).collect();
        assert!(expected.len() > 8);
        assert_eq!(streamed, expected);
    }
}

#[test]
fn metadata_keeps_the_front_end() {
    for vae in kinds() {
        let bytes = to_safetensors("m.safetensors".as_ref(), &vae).unwrap();
        let back =
            parse_safetensors("m.safetensors".as_ref(), &bytes, &Default::default()).unwrap();
        assert_eq!(back, vae);
    }
}

/// Changes bytes behind the checksum's back: whatever `parse` still accepts must run.
#[test]
fn what_is_accepted_runs_whatever_its_bytes() {
    let mut refused = std::collections::BTreeSet::new();
    let mut accepted = 0;
    for vae in [model(BandScale::LogMel, 4), model(BandScale::Log, 1)] {
        let original = blob(&vae).bytes().to_vec();
        let description = u32::from_le_bytes(original[16..20].try_into().unwrap()) as usize;
        let end = HEADER_LEN + description;
        let word =
            |at: usize| u32::from_le_bytes(original[at..at + 4].try_into().unwrap()) as usize;
        let start = align_up(end) + word(20);
        let sections = start..start + word(24);
        assert!(sections.len() >= 64);
        let mut rng = random_model::rng(11);
        for round in 0..30_000 {
            let mut bytes = original.clone();
            for _ in 0..rng.random_range(1..3u32) {
                // Section records, the description, edges and shares.
                let at = match round % 3 {
                    0 => rng.random_range(sections.clone()),
                    1 => rng.random_range(HEADER_LEN..end),
                    _ => rng.random_range(bytes.len() - 300..bytes.len()),
                };
                bytes[at] = rng.random();
            }
            let crc = wire::checksum(&bytes).to_le_bytes();
            bytes[12..16].copy_from_slice(&crc);
            let blob = Blob::from_bytes(&bytes, "mutated");
            match Model::parse(blob.bytes()) {
                Err(error) => {
                    let name = format!("{error:?}");
                    refused.insert(name.split([' ', '{']).next().unwrap().to_string());
                }
                Ok(model) if model.arena_len() < 1 << 20 => {
                    accepted += 1;
                    let mut words = vec![0u128; model.arena_len() / 16];
                    let mut engine =
                        Vae::new(&model, bytemuck::cast_slice_mut(&mut words)).unwrap();
                    let window = stream(model.window_samples(), round);
                    engine.score_window(&window[..model.window_samples()]).unwrap();
                }
                Ok(_) => {}
            }
        }
    }
    assert!(accepted > 1_000, "{accepted}");
    for kind in ["Description", "Section", "Frontend"] {
        assert!(refused.contains(kind), "{kind} was never met: {refused:?}");
    }
}
