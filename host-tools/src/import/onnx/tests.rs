//! Models as PyTorch exports them compute what PyTorch computes.

use super::*;
use crate::graph::{LikelihoodKind, Vae};
use ndarray::{Array2, ArrayView2};
use std::path::PathBuf;

mod hostile;
mod zoo;

#[derive(serde::Deserialize)]
struct Expected {
    shape: Vec<usize>,
    input: Vec<Vec<f32>>,
    reconstruction: Vec<Vec<f32>>,
    mu: Option<Vec<Vec<f32>>>,
    logvar: Option<Vec<Vec<f32>>>,
}

pub(super) fn fixture(name: &str) -> (PathBuf, Vec<u8>) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/onnx");
    let path = PathBuf::from(folder).join(name);
    let bytes = if path.is_dir() { Vec::new() } else { std::fs::read(&path).unwrap() };
    (path, bytes)
}

fn import(name: &str) -> Assembled {
    let (path, bytes) = fixture(name);
    parse_onnx(&path, &bytes, &ForeignOptions::default()).unwrap()
}

/// Rows of the file's elements; with `turn` channels come first there, and
/// last here.
fn rows(rows: &[Vec<f32>], shape: &[usize], turn: bool) -> Array2<f32> {
    let places = shape[1..].iter().product::<usize>().max(1);
    let at = |i: usize| match turn {
        true => (i % shape[0]) * places + i / shape[0],
        false => i,
    };
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(row, i)| rows[row][at(i)])
}

fn close(what: &str, found: ArrayView2<'_, f32>, wanted: ArrayView2<'_, f32>) {
    assert_eq!(found.dim(), wanted.dim(), "{what}");
    let size = wanted.iter().fold(0f32, |max, x| max.max(x.abs()));
    let difference = (&found - &wanted).iter().fold(0f32, |max, x| max.max(x.abs()));
    assert!(difference <= 1e-5 * size.max(1.0), "{what}: {difference} of {size}");
}

/// Imports and compares mu, logvar and reconstruction.
fn check(name: &str, file: &str, turn: bool, log_sigma: bool) -> Vae {
    let text = fixture(&format!("{name}.json")).1;
    let expected: Expected = serde_json::from_slice(&text).unwrap();
    let Assembled { vae, .. } = import(file);
    vae.validate().unwrap();
    let x = rows(&expected.input, &expected.shape, turn);
    let (mu, logvar) = vae.encode(x.view());
    // A latent of several axes is stored channels last, like its window.
    let latent = expected.mu.as_ref().map(|mu| rows(mu, &[mu[0].len()], false));
    if let Some(latent) = latent.filter(|_| name != "convolutional_latent") {
        close(&format!("{file}: mu"), mu.view(), latent.view());
        let mut wanted = rows(expected.logvar.as_ref().unwrap(), &[mu.ncols()], false);
        if log_sigma {
            wanted *= 2.0;
        }
        close(&format!("{file}: logvar"), logvar.as_ref().unwrap().view(), wanted.view());
    }
    assert_eq!(logvar.is_some(), expected.logvar.is_some(), "{file}");
    let mut y = vae.decode(mu.view());
    if vae.likelihood.kind() == LikelihoodKind::Bernoulli {
        y.mapv_inplace(|x| crate::graph::Activation::Sigmoid.apply(x));
    }
    let wanted = rows(&expected.reconstruction, &expected.shape, turn);
    close(&format!("{file}: reconstruction"), y.view(), wanted.view());
    vae
}

fn both(name: &str, turn: bool, log_sigma: bool) -> [Vae; 2] {
    ["onnx", "dynamo.onnx"].map(|end| check(name, &format!("{name}.{end}"), turn, log_sigma))
}

#[test]
fn the_article_is_the_state_dict() {
    let (path, bytes) = fixture("article.safetensors");
    let options = ForeignOptions::default();
    let mut wanted = crate::import::parse_safetensors(&path, &bytes, &options).unwrap();
    for mut vae in both("article", false, false) {
        // Where it came from is all that may differ.
        wanted.provenance = Default::default();
        vae.provenance = Default::default();
        assert_eq!(vae, wanted);
    }
}

#[test]
fn heads_and_activations_spelled_out() {
    for vae in both("log_sigma", false, true) {
        assert_eq!(vae.decoder[0].activation, crate::graph::Activation::Gelu);
    }
    let vae = check("evaluated", "evaluated.onnx", false, false);
    assert_eq!(vae.decoder[0].activation, crate::graph::Activation::Silu);
    assert_eq!(vae.encoder[0].activation, crate::graph::Activation::Gelu);
}

#[test]
fn a_plain_autoencoder() {
    let vae = check("plain", "plain.onnx", false, false);
    assert!(vae.logvar.is_none());
    assert_eq!(vae.latent_len(), 2);
    assert_eq!((vae.frontend.window_len, vae.frontend.channels), (4, 2));
}

#[test]
fn tensorflows_tutorial() {
    for vae in both("cvae", false, false) {
        let ops: Vec<_> = vae.decoder.iter().map(|layer| layer.op.name()).collect();
        let transposed = "transposed_convolution";
        assert_eq!(ops, ["fully_connected", transposed, transposed, transposed]);
        assert_eq!(vae.likelihood.kind(), LikelihoodKind::Bernoulli);
        assert_eq!((vae.input_len(), vae.frontend.channels), (784, 1));
    }
}

#[test]
fn signals() {
    for vae in both("conv1d", true, false) {
        assert_eq!((vae.frontend.window_len, vae.frontend.channels), (32, 2));
        assert_eq!((vae.encoder.len(), vae.decoder.len()), (2, 3));
    }
    for vae in both("frames_first", false, false) {
        assert_eq!((vae.frontend.window_len, vae.frontend.channels), (16, 2));
    }
    check("convolutional_latent", "convolutional_latent.onnx", false, false);
}

#[test]
fn pools_upsampling_groups_and_padding() {
    for vae in both("upsampled", true, false) {
        assert!(vae.layers().filter(|l| l.op.name() == "transposed_convolution").count() == 2);
    }
    for vae in both("depthwise", true, false) {
        assert_eq!(vae.encoder[0].op.name(), "depthwise_convolution");
    }
}
