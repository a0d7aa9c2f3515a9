//! Own files survive a round trip; foreign ones are recognized or refused by
//! name.

use super::*;
use crate::graph::tests::tiny;
use crate::graph::{Activation, Frontend, Likelihood, Op, ScoreKind, Vae};
use ::safetensors::tensor::{Dtype, TensorView};
use ndarray::arr1;
use std::path::Path;

pub(super) const PATH: &str = "dir/some_vae.safetensors";

/// A state dict of F32 tensors filled with 0.5.
pub(super) fn dict(tensors: &[(&str, &[usize])]) -> Vec<u8> {
    dict_of(tensors, Dtype::F32, &0.5f32.to_le_bytes())
}

fn dict_of(tensors: &[(&str, &[usize])], dtype: Dtype, element: &[u8]) -> Vec<u8> {
    let data: Vec<Vec<u8>> =
        tensors.iter().map(|(_, shape)| element.repeat(shape.iter().product())).collect();
    let views = tensors.iter().zip(&data).map(|((name, shape), data)| {
        (*name, TensorView::new(dtype, shape.to_vec(), data).unwrap())
    });
    ::safetensors::serialize(views, None).unwrap()
}

pub(super) fn import(bytes: &[u8]) -> Result<Vae, ImportError> {
    parse_safetensors(Path::new(PATH), bytes, &ForeignOptions::default())
}

pub(super) fn problems(bytes: &[u8]) -> Vec<Problem> {
    match import(bytes) {
        Err(ImportError::Problems { problems, .. }) => problems,
        other => panic!("expected problems, got {other:?}"),
    }
}

pub(super) const STACKED: [(&str, &[usize]); 8] = [
    ("encoder.0.weight", &[8, 6]),
    ("encoder.0.bias", &[8]),
    ("encoder.2.weight", &[4, 8]),
    ("encoder.2.bias", &[4]),
    ("decoder.0.weight", &[8, 2]),
    ("decoder.0.bias", &[8]),
    ("decoder.2.weight", &[6, 8]),
    ("decoder.2.bias", &[6]),
];

#[test]
fn own_files_round_trip() {
    let mut vae = tiny();
    vae.encoder[0].activation = Activation::LeakyRelu { alpha: 0.3 };
    vae.frontend.remove_mean = true;
    vae.likelihood = Likelihood::Gaussian { precision: Some(arr1(&[2.0, 0.5])) };
    vae.provenance.command = "picovae train \"x y\" ü".into();
    let path = Path::new(PATH);
    let bytes = to_safetensors(path, &vae).unwrap();
    assert_eq!(bytes, to_safetensors(path, &vae).unwrap());
    assert_eq!(import(&bytes).unwrap(), vae);
    vae.logvar = None;
    let bytes = to_safetensors(path, &vae).unwrap();
    assert_eq!(import(&bytes).unwrap(), vae);
    for len in 0..bytes.len() {
        assert!(import(&bytes[..len]).is_err(), "{len} bytes were accepted");
    }
}

#[test]
fn the_same_metadata_gives_the_same_bytes() {
    // Hash maps of eight entries: some two of these would differ.
    let data = 0.5f32.to_le_bytes();
    let written = || {
        let view = TensorView::new(Dtype::F32, vec![1], &data).unwrap();
        let info = (0..8).map(|i| (format!("key \"{i}\""), format!("{{\"a\":{i}}}"))).collect();
        safetensors::in_order(::safetensors::serialize([("b", view)], Some(info)).unwrap())
    };
    let file = written();
    for _ in 0..8 {
        assert_eq!(file, written());
    }
    let read = ::safetensors::SafeTensors::deserialize(&file).unwrap();
    assert_eq!(read.tensor("b").unwrap().data(), data);
}

#[test]
fn damaged_own_files_are_refused() {
    let bytes = to_safetensors(Path::new(PATH), &tiny()).unwrap();
    for at in 0..bytes.len() {
        for flip in [1, 0x20, 0x80] {
            let mut bad = bytes.clone();
            bad[at] ^= flip;
            // An error or a model that validates, never a panic.
            if let Ok(vae) = import(&bad) {
                vae.validate().unwrap();
            }
        }
    }
    // JSON within JSON: the inner quotes are escaped.
    let field = br#"format_version\":"#;
    let found = bytes.windows(field.len()).position(|w| w == field);
    let at = found.unwrap() + field.len();
    let mut newer = bytes.clone();
    newer[at] = b'9';
    let error = import(&newer).unwrap_err();
    assert!(error.to_string().contains("format version 9"), "{error}");
}

#[test]
fn stacked_heads_are_split() {
    let vae = import(&dict(&STACKED)).unwrap();
    assert_eq!(vae.name, "some_vae");
    assert_eq!(vae.encoder.len(), 1);
    assert_eq!((vae.latent_len(), vae.input_len()), (2, 6));
    assert!(vae.logvar.is_some());
    assert_eq!(vae.encoder[0].activation, Activation::Relu);
    assert_eq!(vae.decoder[0].activation, Activation::Relu);
    assert_eq!(vae.decoder[1].activation, Activation::Identity);
    assert_eq!(vae.frontend, Frontend::image(6));
    assert_eq!(vae.provenance.sha256.len(), 64);
    assert_eq!(vae.score, ScoreKind::NegativeElbo);
}

#[test]
fn a_single_head_makes_an_autoencoder_and_a_missing_bias_is_zero() {
    let vae = import(&dict(&[
        ("module.encoder.0.weight", &[2, 6]),
        ("module.decoder.0.weight", &[6, 2]),
        ("module.decoder.0.bias", &[6]),
    ]))
    .unwrap();
    assert!(vae.logvar.is_none() && vae.encoder.is_empty());
    assert_eq!(vae.score, ScoreKind::ReconstructionError);
    let Op::FullyConnected { bias, .. } = &vae.mu.op else { panic!("fully connected") };
    assert_eq!(*bias, arr1(&[0.0, 0.0]));
}

#[test]
fn heads_and_the_pytorch_example() {
    for (mu, logvar) in
        [("fc_mu", "fc_var"), ("z_mean", "z_log_var"), ("encoder.mu", "encoder.logvar")]
    {
        let (mu, logvar) = (format!("{mu}.weight"), format!("{logvar}.weight"));
        let vae = import(&dict(&[
            ("encoder.0.weight", &[8, 6]),
            (&mu, &[2, 8]),
            (&logvar, &[2, 8]),
            ("decoder.0.weight", &[6, 2]),
        ]))
        .unwrap();
        assert!(vae.logvar.is_some(), "{logvar}");
    }
    let vae = import(&dict(&[
        ("fc1.weight", &[8, 6]),
        ("fc1.bias", &[8]),
        ("fc21.weight", &[2, 8]),
        ("fc22.weight", &[2, 8]),
        ("fc3.weight", &[8, 2]),
        ("fc4.weight", &[6, 8]),
    ]))
    .unwrap();
    assert_eq!((vae.encoder.len(), vae.decoder.len()), (1, 2));
    assert_eq!(vae.mu.name, "fc21");
}

#[test]
fn every_dtype_is_read() {
    let shapes: [(&str, &[usize]); 2] =
        [("encoder.0.weight", &[2, 6]), ("decoder.0.weight", &[6, 2])];
    let half = half::f16::from_f32(0.5).to_le_bytes();
    let bhalf = half::bf16::from_f32(0.5).to_le_bytes();
    for (dtype, element) in [
        (Dtype::F64, 0.5f64.to_le_bytes().to_vec()),
        (Dtype::F16, half.to_vec()),
        (Dtype::BF16, bhalf.to_vec()),
    ] {
        let vae = import(&dict_of(&shapes, dtype, &element)).unwrap();
        let Op::FullyConnected { weight, .. } = &vae.mu.op else { panic!("fully connected") };
        assert!(weight.iter().all(|w| *w == 0.5), "{dtype:?}");
    }
    let found = problems(&dict_of(&shapes, Dtype::I32, &[0; 4]));
    assert_eq!(found.len(), 2);
    assert!(found[0].reason.contains("I32"));
}

#[test]
fn every_problem_is_named_in_one_pass() {
    let mut tensors = STACKED.to_vec();
    tensors.retain(|(name, _)| *name != "decoder.2.weight");
    tensors.extend([
        ("encoder.1.running_mean", &[8usize][..]),
        ("conv.weight", &[4, 1, 3, 3]),
        ("classifier.weight", &[3, 2]),
    ]);
    let found = problems(&dict(&tensors));
    let subjects: Vec<&str> = found.iter().map(|p| p.subject.as_str()).collect();
    for wanted in ["encoder.1.running_mean", "conv.weight", "decoder.2.weight", "classifier"] {
        assert!(subjects.contains(&wanted), "{wanted} not in {subjects:?}");
    }
    assert!(found.iter().all(|p| !p.remedy.is_empty()));
    let error = import(&dict(&tensors)).unwrap_err();
    assert!(error.to_string().starts_with("dir/some_vae.safetensors: 4 problems"), "{error}");
}

#[test]
fn broken_chains_and_nan_are_refused() {
    let mut tensors = STACKED.to_vec();
    tensors[2].1 = &[4, 9];
    tensors[6].1 = &[6, 7];
    let found = problems(&dict(&tensors));
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0].reason, "reads 9 values, but `encoder.0` gives 8");

    let mut tensors = STACKED.to_vec();
    tensors[2].1 = &[5, 8];
    tensors[3].1 = &[5];
    let found = problems(&dict(&tensors));
    assert!(found[0].reason.contains("latent of 2"), "{found:?}");

    let found = problems(&dict_of(&STACKED, Dtype::F32, &f32::NAN.to_le_bytes()));
    assert_eq!(found.len(), STACKED.len());

    assert!(matches!(import(b"not safetensors at all"), Err(ImportError::Container { .. })));
    assert!(matches!(import(&dict(&[])), Err(ImportError::Problems { .. })));
}
