//! Models that PyTorch exports, from the file to the integers.

use std::fmt::Write as _;
use std::path::PathBuf;

use ndarray::Array2;
use picovae::emit::{Calibrated, write};
use picovae::graph::{Provenance, Vae};
use picovae::import::{Imported, ReadOptions, read};
use picovae::quantize::{QuantizeOptions, lower, observe};
use picovae_tests::cli::Workshop;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/onnx")).join(name)
}

fn float(name: &str) -> Vae {
    match read(&fixture(name), &ReadOptions::default()).unwrap() {
        Imported::Float { vae, .. } => *vae,
        other => panic!("{other:?}"),
    }
}

/// The blob of a file, but for where the file came from.
fn blob(name: &str) -> Vec<u8> {
    let mut vae = float(name);
    assert_eq!(vae.provenance.source, name);
    vae.provenance = Provenance::default();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let features =
        Array2::from_shape_simple_fn((64, vae.input_len()), || random.random_range(0.0..1.0));
    let options = QuantizeOptions::default();
    let ranges = observe(&vae, features.view(), &options).unwrap();
    let quantized = lower(&vae, &ranges, &options).unwrap();
    write(&quantized, "cortex-m4", Calibrated::default()).unwrap().bytes().to_vec()
}

#[test]
fn one_model_in_four_files_is_one_blob() {
    let wanted = blob("article.safetensors");
    for name in ["article.onnx", "article.dynamo.onnx", "article.pt"] {
        assert!(blob(name) == wanted, "{name}");
    }
}

/// A recording of `windows` windows that vary smoothly, with some noise.
fn recording(shop: &Workshop, name: &str, frames: usize, channels: usize, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut text = String::new();
    for frame in 0..frames {
        for channel in 0..channels {
            let slow = (frame as f32 / (5.0 + channel as f32)).sin();
            let value: f32 = 0.5 + 0.4 * slow + random.random_range(-0.1..0.1);
            let _ = write!(text, "{}{value:.5}", if channel == 0 { "" } else { "," });
        }
        text.push('\n');
    }
    std::fs::write(shop.path(name), text).unwrap();
}

#[test]
fn convolutional_models_quantize_and_run() {
    let shop = Workshop::new();
    for (model, window, channels) in [("cvae.onnx", 784, 1), ("conv1d.dynamo.onnx", 32, 2)] {
        let windows = 40;
        recording(&shop, "calm.csv", windows * window, channels, 5);
        let path = fixture(model);
        let path = path.to_str().unwrap();
        let report = shop.json(&[
            "quantize",
            path,
            "--calibrate",
            "calm.csv",
            "-o",
            "out.pvae",
            "--max-drift",
            "0.02",
            "--target",
            "cortex-m4",
        ]);
        assert_eq!(report["calibration_windows"], windows, "{report}");
        let run = shop.json(&["simulate", "out.pvae", "calm.csv"]);
        assert_eq!(run["windows"], windows);
        // Float and int8, layer by layer: int8 steps are all that parts them.
        let parted = shop.run(&["diff", path, "out.pvae", "--input", "calm.csv", "--json"]);
        let parted: serde_json::Value = serde_json::from_slice(&parted.stdout).unwrap();
        let mut of_mu = f64::NAN;
        for layer in parted["layers"].as_array().unwrap() {
            let (mean, rms) = (layer["mean_abs"].as_f64().unwrap(), layer["rms"].as_f64().unwrap());
            let most = match layer["name"].as_str() {
                // Its grid reaches as far as the prior is drawn from, +-4 in 127 steps each,
                // however little of it an untrained model takes: beside the error of `mu` there
                // is that of rounding to it, a quarter of a step in the mean (0.0079; the rms of
                // these latents is 0.1 to 0.4). A quarter more for the few values they have.
                Some("latent") => of_mu + 1.25 * (4.0 / 127.0) / 4.0,
                _ => 0.03 * rms,
            };
            if layer["name"] == "mu" || layer["name"] == "fc_mu" {
                of_mu = mean;
            }
            assert!(mean < most, "{model}: {layer}, at most {most}");
        }
    }
}

#[test]
fn import_writes_what_every_verb_reads() {
    let shop = Workshop::new();
    recording(&shop, "calm.csv", 40 * 32, 2, 7);
    let path = fixture("conv1d.onnx");
    let path = path.to_str().unwrap();
    let report = shop.json(&["import", path, "-o", "own.safetensors", "--normal", "calm.csv"]);
    assert_eq!(report["window_len"], 32, "{report}");
    assert_eq!(report["channels"], 2);
    for model in [path, "own.safetensors"] {
        shop.ok(&["quantize", model, "--calibrate", "calm.csv", "-o", "out.pvae"]);
        std::fs::copy(shop.path("out.pvae"), shop.path(&format!("{}.pvae", model.len()))).unwrap();
    }
    // Once imported, the file says all that the options said.
    let scores = |blob: &str| shop.json(&["simulate", blob, "calm.csv"])["hash"].clone();
    assert_eq!(scores(&format!("{}.pvae", path.len())), scores("15.pvae"));
    let inspected = shop.json(&["inspect", path]);
    assert_eq!(inspected["layers"][0]["input_shape"], "32x2");
    assert!(inspected["instructions"]["cortex-m4"].is_number(), "{inspected}");
    shop.refused(&["import", path, "-o", "out.pvae"], &["float weights", "quantize"]);
    shop.refused(&["simulate", path, "calm.csv"], &["float weights", "quantize"]);
    std::fs::write(shop.path("odd.onnx"), b"no model").unwrap();
    shop.refused(&["inspect", "odd.onnx"], &["odd.onnx", "export"]);
}
