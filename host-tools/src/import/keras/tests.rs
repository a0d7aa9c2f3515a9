//! Files that Keras 2 and 3 wrote (`tests/fixtures/keras_models.py`), against
//! what Keras computed; damaged and hostile ones.

use super::*;
use crate::graph::{Activation, LikelihoodKind, Op};
use crate::import::Problem;
use ndarray::Array2;
use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use zip::write::{SimpleFileOptions, ZipWriter};

fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/keras");
    std::fs::read(PathBuf::from(folder).join(name)).unwrap()
}

fn import(name: &str) -> Result<Assembled, ImportError> {
    parse(Path::new(name), &fixture(name), &ForeignOptions::default())
}

fn problems(result: Result<Assembled, ImportError>) -> Vec<Problem> {
    match result {
        Err(ImportError::Problems { problems, .. }) => problems,
        other => panic!("no problems: {other:?}"),
    }
}

fn refusal(name: &str, bytes: &[u8]) -> (String, &'static str) {
    match parse(Path::new(name), bytes, &ForeignOptions::default()) {
        Err(ImportError::Container { format: "Keras", reason, remedy, .. }) => (reason, remedy),
        other => panic!("not refused: {other:?}"),
    }
}

fn array(json: &serde_json::Value) -> Array2<f32> {
    let rows: Vec<Vec<f32>> = serde_json::from_value(json.clone()).unwrap();
    Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
}

/// Compares latent and reconstruction with Keras' numbers.
fn check(golden: &str, name: &str) -> Assembled {
    let golden: serde_json::Value = serde_json::from_slice(&fixture(golden)).unwrap();
    let assembled = import(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    let vae = &assembled.vae;
    vae.validate().unwrap();
    let (mu, logvar) = vae.encode(array(&golden["input"]).view());
    let mut output = vae.decode(mu.view());
    if vae.likelihood.kind() == LikelihoodKind::Bernoulli {
        output.mapv_inplace(|x| Activation::Sigmoid.apply(x));
    }
    let output_key = if golden.get("output").is_some() { "output" } else { "reconstruction" };
    let found = [(output_key, Some(output)), ("mu", Some(mu)), ("logvar", logvar)];
    for (what, found) in found {
        // A plain autoencoder's file has the output alone.
        let Some(found) = found.filter(|_| what == output_key || golden.get(what).is_some()) else {
            continue;
        };
        let expected = array(&golden[what]);
        assert_eq!(found.dim(), expected.dim(), "{name}: {what}");
        let scale = expected.iter().fold(1.0f32, |max, x| max.max(x.abs()));
        let pairs = found.iter().zip(&expected);
        let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference <= 1e-5 * scale, "{name}: {what} differs by {difference}");
    }
    assembled
}

#[test]
fn nested_variational_models_of_both_versions() {
    for (golden, name) in [
        ("dense_vae.json", "dense_vae.keras"),
        ("dense_vae.json", "dense_vae.h5"),
        ("dense_vae_keras2.json", "dense_vae_keras2.keras"),
        ("dense_vae_keras2.json", "dense_vae_keras2.h5"),
    ] {
        let Assembled { vae, notes } = check(golden, name);
        let logvar = vae.logvar.as_ref().map(|layer| layer.name.as_str());
        assert_eq!((vae.mu.name.as_str(), logvar), ("z_mean", Some("z_log_var")), "{name}");
        assert!(notes.iter().any(|note| note.contains("`sampling` (Sampling")), "{notes:?}");
        assert_eq!(vae.provenance.sha256.len(), 64);
    }
}

#[test]
fn windowed_layers_in_one_and_two_dimensions() {
    for suffix in ["keras", "h5"] {
        let signal = check("conv1d.json", &format!("conv1d.{suffix}")).vae;
        assert!(signal.encoder.iter().any(|l| matches!(l.op, Op::DepthwiseConvolution { .. })));
        check("conv2d.json", &format!("conv2d.{suffix}"));
    }
}

#[test]
fn cut_cropped_and_repeated() {
    for name in ["halves.keras", "halves.h5", "split.keras", "items.keras"] {
        let golden = format!("../keras_zoo/{}.json", name.split('.').next().unwrap());
        let Assembled { vae, notes } = check(&golden, &format!("../keras_zoo/{name}"));
        assert_eq!((vae.latent_len(), vae.logvar.is_some()), (3, true), "{name}");
        let guessed = notes.iter().any(|note| note.contains("two halves"));
        assert_eq!(guessed, name.starts_with("halves"), "{notes:?}");
    }
    for name in ["repeated.keras", "repeated.h5", "cropped.keras"] {
        let golden = format!("../keras_zoo/{}.json", name.split('.').next().unwrap());
        check(&golden, &format!("../keras_zoo/{name}"));
    }
}

#[test]
fn every_unread_layer_is_named_in_one_pass() {
    let found = problems(import("unread.keras"));
    let subjects: Vec<&str> = found.iter().map(|p| p.subject.as_str()).collect();
    assert_eq!(subjects, ["memory (LSTM)", "norm (LayerNormalization)", "latent (Dense)"]);
    assert!(found.iter().all(|p| !p.remedy.is_empty()));
}

#[test]
fn what_is_no_model_is_refused_with_a_remedy() {
    let (reason, remedy) = refusal("subclass.keras", &fixture("subclass.keras"));
    assert!(reason.contains("`Subclass`") && remedy.contains("keras.Model("), "{reason}");
    let (reason, remedy) = refusal("only.weights.h5", &fixture("only.weights.h5"));
    assert!(reason.contains("without the model"), "{reason}");
    assert!(remedy.contains("model.save(path)"));
}

#[test]
fn content_is_recognized() {
    assert!(is_keras(&fixture("conv2d.keras")) && is_keras(&fixture("conv2d.h5")));
    assert!(!is_keras(b"PK\x03\x04") && !is_keras(&[]) && !is_keras(b"{}"));
}

/// The archive of a fixture with another configuration.
fn with_config(name: &str, config: &str) -> Vec<u8> {
    let bytes = fixture(name);
    let weights = Archive::open(&bytes).unwrap().read(WEIGHTS).unwrap();
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in [(CONFIG, config.as_bytes()), (WEIGHTS, &weights)] {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn config(name: &str) -> String {
    let bytes = fixture(name);
    String::from_utf8(Archive::open(&bytes).unwrap().read(CONFIG).unwrap()).unwrap()
}

#[test]
fn hostile_configurations_are_errors() {
    let start = Instant::now();
    let fails = |config: &str| {
        let bytes = with_config("dense_vae.keras", config);
        parse(Path::new("x.keras"), &bytes, &ForeignOptions::default()).unwrap_err().to_string()
    };
    let text = config("dense_vae.keras");
    // A graph that reads itself.
    let cyclic = text.replace(r#"["dense", 0, 0]"#, r#"["z_mean", 0, 0]"#);
    assert_ne!(cyclic, text);
    assert!(fails(&cyclic).contains("read each other"), "{}", fails(&cyclic));
    // Weights that are not there, weights of another layer, absurd lengths.
    assert!(
        fails(&text.replace(r#""use_bias": false"#, r#""use_bias": true"#)).contains("missing")
    );
    fails(&text.replace("12", "13"));
    fails(&text.replace("12", "4000000000000"));
    fails(&text.replace("12", "null"));
    // Models in models in models, and layers without end.
    let model = |inner: &str| {
        format!(r#"{{"class_name": "Sequential", "config": {{"name": "m", "layers": [{inner}]}}}}"#)
    };
    let input = r#"{"class_name": "InputLayer", "config": {"batch_shape": [null, 4]}}"#;
    let deep = (0..20).fold(input.to_string(), |inner, _| model(&inner));
    fails(&model(&format!("{input}, {deep}")));
    fails(&"[".repeat(1_000_000));
    assert!(fails(&format!("[{}0]", "{},".repeat(2 << 20))).contains("bytes"));
    let wide = vec![r#"{"class_name": "Flatten", "config": {}}"#; 1000].join(",");
    let wide = vec![model(&wide); 100].join(",");
    assert!(fails(&model(&format!("{input}, {wide}"))).contains("operators"));
    for nothing in ["{}", "null", r#"{"class_name": 3, "config": []}"#, &model(""), &model(input)] {
        fails(nothing);
    }
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn damaged_files_are_errors() {
    let start = Instant::now();
    let mut tries = 0;
    for name in ["dense_vae.h5", "dense_vae_keras2.h5", "conv1d.h5", "dense_vae.keras"] {
        let bytes = fixture(name);
        let options = ForeignOptions::default();
        for len in (0..bytes.len()).step_by(997) {
            assert!(parse(Path::new(name), &bytes[..len], &options).is_err(), "{name} {len}");
            tries += 1;
        }
        for bit in (0..bytes.len() * 8).step_by(2003) {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // A weight may change unnoticed; nothing may panic.
            let _ = parse(Path::new(name), &damaged, &options);
            tries += 1;
        }
    }
    assert!(start.elapsed() < Duration::from_millis(20 * tries), "{:?}", start.elapsed());
}
