//! Files that PyTorch wrote (`tests/fixtures/torch_models.py`), against what
//! PyTorch computed.

use super::*;
use crate::graph::{LikelihoodKind, ScoreKind};
use crate::import::parse_safetensors;
use ndarray::Array2;
use std::path::PathBuf;

mod hostile;

fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/torch");
    std::fs::read(PathBuf::from(folder).join(name)).unwrap()
}

fn options() -> ForeignOptions {
    ForeignOptions { likelihood: Some(LikelihoodKind::Gaussian), ..ForeignOptions::default() }
}

fn import(name: &str) -> Result<Vae, ImportError> {
    parse_torch(Path::new(name), &fixture(name), &options())
}

/// Reason and remedy of a file that is refused as a whole.
fn refusal(bytes: &[u8]) -> (String, &'static str) {
    match parse_torch(Path::new("x.pt"), bytes, &options()) {
        Err(ImportError::Container { format: "PyTorch", reason, remedy, .. }) => (reason, remedy),
        other => panic!("not refused: {other:?}"),
    }
}

fn array(json: &serde_json::Value) -> Array2<f32> {
    let rows: Vec<Vec<f32>> = serde_json::from_value(json.clone()).unwrap();
    Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
}

fn largest_difference(a: &Array2<f32>, b: &Array2<f32>) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Compares everything the model gives with PyTorch's numbers.
fn check(name: &str, tolerance: f32) {
    let golden: serde_json::Value = serde_json::from_slice(&fixture("vae.json")).unwrap();
    let vae = import(name).unwrap();
    assert_eq!(vae.score, ScoreKind::NegativeElbo, "{name}");
    let (mu, logvar) = vae.encode(array(&golden["input"]).view());
    for (what, found) in
        [("output", vae.decode(mu.view())), ("mu", mu), ("logvar", logvar.unwrap())]
    {
        let difference = largest_difference(&found, &array(&golden[what]));
        assert!(difference <= tolerance, "{name}: {what} differs by {difference}");
    }
}

#[test]
fn every_way_to_save_gives_pytorchs_numbers() {
    for name in ["vae.pt", "vae_protocol4.pt", "vae_legacy.pt", "vae_strided.pt", "vae_f64.pt"] {
        check(name, 1e-5);
    }
    check("vae_checkpoint.pth", 1e-5);
    // Weights of 11 and 8 bits.
    check("vae_f16.pt", 5e-3);
    check("vae_bf16.pt", 5e-2);
}

#[test]
fn what_is_taken_for_granted_is_told() {
    let notes = parse(Path::new("vae.pt"), &fixture("vae.pt"), &options()).unwrap().notes;
    let folded = [("encoder.1", "encoder.0"), ("encoder.5", "encoder.6")];
    assert_eq!(notes.len(), 2, "{notes:?}");
    for (note, (norm, linear)) in notes.iter().zip(folded) {
        assert!(
            note.contains(norm) && note.contains(linear) && note.contains("eps 1e-5"),
            "{note}"
        );
    }
}

#[test]
fn all_containers_hold_the_same_model() {
    let expected =
        parse_safetensors(Path::new("vae.safetensors"), &fixture("vae.safetensors"), &options())
            .unwrap();
    for name in ["vae.pt", "vae_legacy.pt", "vae_protocol4.pt", "vae_strided.pt", "vae_f64.pt"] {
        let mut vae = import(name).unwrap();
        assert_eq!(vae.provenance.source, name);
        assert_eq!(vae.provenance.sha256.len(), 64);
        vae.provenance = expected.provenance.clone();
        vae.name = expected.name.clone();
        assert_eq!(vae, expected, "{name}");
    }
}

#[test]
fn encoder_and_decoder_saved_apart_in_one_file() {
    let vae = import("parts.pt").unwrap();
    assert_eq!((vae.mu.name.as_str(), vae.decoder[0].name.as_str()), ("encoder.0", "decoder.0"));
}

#[test]
fn what_is_no_state_dict_is_refused_with_a_remedy() {
    let (reason, remedy) = refusal(&fixture("whole_module.pt"));
    assert!(reason.contains("__main__.Vae"), "{reason}");
    assert!(remedy.contains("torch.save(model.state_dict(), path)"));
    let (reason, remedy) = refusal(&fixture("torchscript.pt"));
    assert!(reason.contains("TorchScript") && remedy.contains("ONNX"), "{reason}");
    let Err(ImportError::Problems { problems, .. }) = import("conv.pt") else {
        panic!("a convolution without stride and padding")
    };
    assert_eq!(problems[0].subject, "encoder.0.weight");
    assert!(problems[0].remedy.contains("ONNX"), "{problems:?}");
}

#[test]
fn content_is_recognized() {
    for name in ["vae.pt", "vae_legacy.pt", "whole_module.pt", "torchscript.pt"] {
        assert!(is_torch(&fixture(name)), "{name}");
    }
    assert!(!is_torch(&fixture("vae.safetensors")) && !is_torch(&[]) && !is_torch(b"PK\x03\x04"));
}
