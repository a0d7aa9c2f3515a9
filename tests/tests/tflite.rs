//! TensorFlow Lite's int8 models, imported as they are: every integer equals the reference kernels'.
//!
//! `tests/fixtures/tflite/*.json` holds what those kernels gave (`tests/fixtures/tflite_golden.py`).

use std::path::{Path, PathBuf};

use picovae::emit::{Blob, Calibrated, write};
use picovae::graph::{Frontend, Likelihood, Vae};
use picovae::import::{ForeignOptions, Int8Model, TfliteContents, TfliteOptions, parse_tflite};
use picovae::recording::Recording;
use picovae_core::fixed::Rounding;
use picovae_core::trace::Trace;
use picovae_core::{Arena, Vae as Core};
use serde_json::Value;
use sha2::{Digest, Sha256};

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

fn fixture(name: &str) -> PathBuf {
    root().join("tests/fixtures/tflite").join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

fn import(path: &Path) -> Int8Model {
    import_with(path, &TfliteOptions::default())
}

fn import_with(path: &Path, options: &TfliteOptions) -> Int8Model {
    let bytes = std::fs::read(path).unwrap();
    match parse_tflite(path, &bytes, options, &ForeignOptions::default()).unwrap() {
        TfliteContents::Int8(model) => *model,
        TfliteContents::Float(..) => panic!("{} is no float model", path.display()),
    }
}

/// The int8 output of every layer, as the framework has it.
#[derive(Default)]
struct Layers {
    /// Before a widened head's table.
    layers: Vec<Vec<i8>>,
    latent: Vec<i8>,
}

impl Trace for Layers {
    fn layer(&mut self, _: usize, activations: &[i8]) {
        self.layers.push(activations.to_vec());
    }
    fn latent(&mut self, z: &[i8]) {
        self.latent = z.to_vec();
    }
}

/// Runs int8 features; the layers seen.
fn run(vae: &mut Core<'_, '_>, features: &[i8]) -> Layers {
    let mut seen = Layers::default();
    vae.features_mut().copy_from_slice(features);
    vae.encode_traced(&mut seen);
    vae.decode_traced(&mut seen);
    seen
}

fn sha256<'v>(values: impl IntoIterator<Item = &'v Vec<i8>>) -> String {
    let mut hash = Sha256::new();
    for values in values {
        hash.update(bytemuck::cast_slice::<i8, u8>(values));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// MLPerf Tiny's anomaly detector behind five frames of 128 bands.
fn ad01() -> Option<Blob> {
    let model = import(&data("ad01_int8.tflite")?);
    let model = model.with_frontend(Frontend::identity(5, 1, 128), None).unwrap();
    Some(write(&model.vae, "portable", Calibrated::default()).unwrap())
}

#[test]
fn ad01_gives_the_golden_windows_and_every_layer_of_the_first_eight() {
    let (Some(blob), Some(input)) = (ad01(), data("golden/int8_input_196x640.npy")) else { return };
    let golden = json("ad01_int8.json");
    let model = blob.model().unwrap();
    let mut arena = Arena::<4096>::new();
    let mut vae = Core::new(&model, arena.bytes()).unwrap();
    let input = Recording::read(&input, &[]).unwrap();
    let (mut outputs, mut first) = (Vec::new(), Vec::new());
    for window in input.samples.chunks(640) {
        let window: Vec<i8> = window.iter().map(|&q| q as i8).collect();
        let seen = run(&mut vae, &window);
        assert_eq!(seen.latent, seen.layers[4], "the decoder reads the latent as it was written");
        outputs.push(seen.layers[9].clone());
        if first.len() < 8 {
            first.push(seen.layers);
        }
    }
    assert_eq!(outputs.len(), 196);
    let expected = golden["golden_layers_first8"].as_array().unwrap();
    assert_eq!(expected.len(), 10);
    for (layer, expected) in expected.iter().enumerate() {
        assert_eq!(sha256(first.iter().map(|seen| &seen[layer])), *expected, "layer {layer}");
    }
    assert_eq!(sha256(&outputs), golden["golden_output"]);
}

#[test]
fn ad01_gives_all_windows_of_the_72_clips() {
    let (Some(blob), Some(clips)) = (ad01(), data("test_clips.npy")) else { return };
    let golden = json("ad01_int8.json");
    let model = blob.model().unwrap();
    let frontend = picovae::simulate::frontend_of(&model);
    let (scale, zero_point) = {
        let wire = &model.description().frontend;
        (f32::from_bits(wire.scale_bits), f64::from(wire.zero_point))
    };
    let recording = Recording::read(&clips, &[]).unwrap();
    let windows = recording.clips(&frontend).unwrap();
    assert_eq!(windows.window_count(), 14_112);
    let mut arena = Arena::<4096>::new();
    let mut vae = Core::new(&model, arena.bytes()).unwrap();
    let (mut inputs, mut outputs) = (vec![Vec::new(); 72], vec![Vec::new(); 72]);
    let mut differences = 0;
    for index in 0..windows.window_count() {
        let window = windows.window(index);
        // As the framework quantizes: one division in f32, then to the nearest.
        let quantize =
            |x: &f32| (f64::from(*x / scale).round() + zero_point).clamp(-128.0, 127.0) as i8;
        let features: Vec<i8> = window.samples.iter().map(quantize).collect();
        // The device's own way: an i16 converter, then the front-end.
        let samples = window.samples.iter().enumerate();
        let raw: Vec<i16> = samples.map(|(at, &x)| frontend.raw(x, at % 128)).collect();
        vae.load(&raw).unwrap();
        differences += vae.features().iter().zip(&features).filter(|(a, b)| a != b).count();
        outputs[window.clip].push(run(&mut vae, &features).layers[9].clone());
        inputs[window.clip].push(features);
    }
    for (clip, golden) in golden["clips"].as_array().unwrap().iter().enumerate() {
        assert_eq!(sha256(&inputs[clip]), golden["input"], "input of clip {clip}");
        assert_eq!(sha256(&outputs[clip]), golden["output"], "output of clip {clip}");
    }
    println!("{differences} of 9,031,680 features differ behind the i16 front-end");
    // Samples that f32 cannot tell from a half step.
    assert!(differences < 20, "{differences}");
}

/// What `cargo xtask parity --blob` runs on the emulated cores: int8 windows as raw samples.
#[test]
fn golden_windows_as_raw_samples_are_the_features() {
    let Some(file) = data("ad01_int8.tflite") else { return };
    let Some(input) = data("golden/int8_input_196x640.npy") else { return };
    let model = import(&file).with_int8_samples(5, 5, 128).unwrap();
    let blob = write(&model.vae, "cortex-m4", Calibrated::default()).unwrap();
    let model = blob.model().unwrap();
    let mut arena = Arena::<4096>::new();
    let mut vae = Core::new(&model, arena.bytes()).unwrap();
    let mut outputs = Vec::new();
    for window in Recording::read(&input, &[]).unwrap().samples.chunks(640) {
        let raw: Vec<i16> = window.iter().map(|&q| q as i16).collect();
        let mut seen = Layers::default();
        vae.score_window_traced(&raw, &mut seen).unwrap();
        assert!(vae.features().iter().zip(&raw).all(|(&q, &raw)| i16::from(q) == raw));
        outputs.push(seen.layers.pop().unwrap());
    }
    assert_eq!(sha256(&outputs), json("ad01_int8.json")["golden_output"]);
}

/// Small models with every operator that an int8 file may have.
#[test]
fn every_int8_operator_equals_the_reference_kernels() {
    for name in ["conv1d_int8", "conv2d_int8", "dense_int8"] {
        // The set of reference kernels has no ELU: that model ran on the optimized ones, which
        // round twice, and in vectors not quite so: its layers count up to the ELU.
        let optimized = name == "dense_int8";
        let mut options = TfliteOptions::default();
        if optimized {
            options.fully_connected_rounding = Rounding::Double;
        }
        let model = import_with(&fixture(&format!("{name}.tflite")), &options);
        let blob = write(&model.vae, "portable", Calibrated::default()).unwrap();
        let model = blob.model().unwrap();
        let golden = json(&format!("{name}.json"));
        let read = |what| Recording::read(fixture(&format!("{name}_{what}.npy")), &[]).unwrap();
        let (input, output) = (read("input"), read("output"));
        let mut arena = Arena::<8192>::new();
        let mut vae = Core::new(&model, arena.bytes()).unwrap();
        let (mut seen, mut outputs) = (Vec::<Layers>::new(), Vec::new());
        let wire = &model.description().frontend;
        let (scale, zero_point) = (f64::from(f32::from_bits(wire.scale_bits)), wire.zero_point);
        let [out_scale, out_zero] =
            [0, 1].map(|i| golden["output_quantization"][i].as_f64().unwrap());
        let windows = input.samples.chunks(model.input_len());
        for window in windows {
            let window: Vec<i8> = window.iter().map(|&q| q as i8).collect();
            seen.push(run(&mut vae, &window));
            outputs.push(vae.output().to_vec());
        }
        assert_eq!(seen.len(), 36, "{name}");
        // Layers of ours appear among the file's operators, in order; functions join the layer before.
        let operators = golden["operators"].as_array().unwrap();
        let mut rest = operators.iter();
        for layer in 0..model.layer_count() - usize::from(optimized) {
            let hash = sha256(seen.iter().map(|seen| &seen.layers[layer]));
            let found = rest.any(|operator| operator["sha256"] == hash);
            assert!(
                found,
                "{name}: layer {layer} (`{}`) is no operator's",
                model.layer_name(layer)
            );
        }
        let latent = sha256(seen.iter().map(|seen| &seen.latent));
        assert!(operators.iter().any(|operator| operator["sha256"] == latent), "{name}: latent");
        if optimized {
            continue;
        }
        for (found, expected) in outputs.iter().zip(output.samples.chunks(model.input_len())) {
            // The reconstruction is the framework's int8 on the features' grid, with six bits more.
            for (&y, &q) in found.iter().zip(expected) {
                let real = f64::from(out_scale as f32) * (f64::from(q) - out_zero);
                let on_grid = (64.0 * (real / scale + f64::from(zero_point))).round();
                // Random weights reach beyond what an int16 holds of the features' grid.
                assert_eq!(f64::from(y), on_grid.clamp(-32_768.0, 32_767.0), "{name}");
            }
        }
    }
}

fn import_float(name: &str) -> (Vae, Vec<String>) {
    let path = fixture(name);
    let bytes = std::fs::read(&path).unwrap();
    let foreign = ForeignOptions::default();
    match parse_tflite(&path, &bytes, &TfliteOptions::default(), &foreign) {
        Ok(TfliteContents::Float(vae, notes)) => (*vae, notes),
        Ok(TfliteContents::Int8(_)) => panic!("{name} is no int8 model"),
        Err(error) => panic!("{error}"),
    }
}

/// Windows of a fixture, one a row.
fn rows(name: &str) -> ndarray::Array2<f32> {
    let recording = Recording::read(fixture(name), &[]).unwrap();
    let columns = recording.samples.len() / recording.shape[0];
    ndarray::Array2::from_shape_vec((recording.shape[0], columns), recording.samples).unwrap()
}

/// Within 1e-5 of the largest value.
fn close(found: &ndarray::Array2<f32>, expected: &ndarray::Array2<f32>, what: &str) {
    let largest = expected.iter().fold(0f32, |max, x| max.max(x.abs()));
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= 1e-5 * largest, "{what}: {a} {b}");
    }
}

#[test]
fn float_models_give_what_the_framework_gives() {
    for name in ["conv1d_fp32", "conv2d_fp32", "dense_fp32", "vae_fp32"] {
        let (vae, _) = import_float(&format!("{name}.tflite"));
        let (mu, logvar) = vae.encode(rows(&format!("{name}_input.npy")).view());
        assert_eq!(logvar.is_some(), name == "vae_fp32");
        let mut output = vae.decode(mu.view());
        if vae.likelihood == Likelihood::Bernoulli {
            // The graph keeps the logits.
            output.mapv_inplace(|logit| 1.0 / (1.0 + (-logit).exp()));
        }
        close(&output, &rows(&format!("{name}_output.npy")), name);
        if name == "vae_fp32" {
            close(&mu, &rows("vae_fp32_mu.npy"), name);
        }
    }
    // Weights in int8, activations in float: the framework rounds activations, we do not.
    let (vae, notes) = import_float("dense_hybrid.tflite");
    assert!(notes.iter().any(|note| note.contains("int8")), "{notes:?}");
    let (mu, _) = vae.encode(rows("dense_hybrid_input.npy").view());
    let (found, expected) = (vae.decode(mu.view()), rows("dense_hybrid_output.npy"));
    let largest = expected.iter().fold(0f32, |max, x| max.max(x.abs()));
    let worst = (&found - &expected).iter().fold(0f32, |max, x| max.max(x.abs()));
    assert!(worst < 0.02 * largest, "{worst} of {largest}");
}

/// Cut off anywhere, or with bytes changed: an error or a model, never a panic, and soon.
#[test]
fn damaged_files_are_refused_or_read_but_never_panic() {
    use rand::RngExt;
    let mut rng = picovae_tests::random_model::rng(5);
    let (mut read, mut refused) = (0, 0);
    let started = std::time::Instant::now();
    for name in
        ["conv1d_int8", "conv2d_int8", "dense_int8", "conv2d_fp32", "dense_hybrid", "vae_fp32"]
    {
        let path = fixture(&format!("{name}.tflite"));
        let bytes = std::fs::read(&path).unwrap();
        let mut try_one = |bytes: &[u8]| {
            let (options, foreign) = (TfliteOptions::default(), ForeignOptions::default());
            match parse_tflite(&path, bytes, &options, &foreign) {
                Ok(contents) => {
                    if let TfliteContents::Int8(model) = contents {
                        // Whatever is read can be written, or is refused there.
                        let _ = write(&model.vae, "cortex-m4", Calibrated::default());
                    }
                    read += 1;
                }
                Err(_) => refused += 1,
            }
        };
        for len in (0..bytes.len()).step_by(29) {
            try_one(&bytes[..len]);
        }
        for _ in 0..2_000 {
            let mut damaged = bytes.clone();
            for _ in 0..rng.random_range(1..6u32) {
                // The tables lie at both ends of the file.
                let at = match rng.random_range(0..3u32) {
                    0 => rng.random_range(0..200),
                    1 => bytes.len() - 1 - rng.random_range(0..bytes.len() / 2),
                    _ => rng.random_range(0..bytes.len()),
                };
                damaged[at] = match rng.random_range(0..3u32) {
                    0 => 0xff,
                    1 => damaged[at] ^ 1 << rng.random_range(0..8u32),
                    _ => rng.random(),
                };
            }
            try_one(&damaged);
        }
    }
    assert!(read > 100 && refused > 1_000, "{read} {refused}");
    // Every one of them in far less than a second.
    assert!(started.elapsed().as_secs() < 120, "{:?}", started.elapsed());
}
