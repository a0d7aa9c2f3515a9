//! Keras models of others: MLPerf Tiny's autoencoder from its `.h5`.

use std::path::{Path, PathBuf};

use ndarray::Array2;
use picovae::graph::{Activation, LikelihoodKind};
use picovae::import::{ForeignOptions, parse_keras};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A file of the benchmark's folder; says loudly where it is absent.
fn data(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("PICOVAE_DATA")
        .map_or_else(|| root().join("../shared/data"), PathBuf::from);
    let path = folder.join("mlperf_tiny_ad").join(name);
    if path.is_file() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is absent", path.display());
    None
}

#[test]
fn ad01_gives_kerass_numbers() {
    let Some(path) = data("ad01.h5") else { return };
    let bytes = std::fs::read(&path).unwrap();
    let vae = parse_keras(&path, &bytes, &ForeignOptions::default()).unwrap();
    assert_eq!((vae.input_len(), vae.latent_len(), vae.layers().count()), (640, 8, 10));
    assert!(vae.logvar.is_none());
    assert_eq!(vae.likelihood.kind(), LikelihoodKind::Gaussian);
    // Batch normalization is folded, and a ReLU follows every layer but the last.
    let relu = vae.layers().filter(|layer| layer.activation == Activation::Relu).count();
    assert_eq!(relu, 9);
    // As `tests/fixtures/keras_ad01.py` makes them.
    let x = Array2::from_shape_fn((2, 640), |(k, i)| {
        (-30.0 + 20.0 * (0.1 * i as f64 * (k + 1) as f64).sin()) as f32
    });
    let golden = root().join("tests/fixtures/keras/ad01.json");
    let golden: serde_json::Value =
        serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
    let rows: Vec<Vec<f32>> = serde_json::from_value(golden["output"].clone()).unwrap();
    let expected = Array2::from_shape_vec((2, 640), rows.concat()).unwrap();
    let found = vae.decode(vae.encode(x.view()).0.view());
    let largest = expected.iter().fold(0f32, |max, y| max.max(y.abs()));
    let difference = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference <= 1e-4 * largest, "differs by {difference} of {largest}");
}
