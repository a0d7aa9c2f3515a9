//! MLPerf Tiny's float autoencoder, imported and quantized with the defaults: as good as its float
//! self, where the published int8 model is not.

use std::path::{Path, PathBuf};

use picovae::emit::{Calibrated, write};
use picovae::graph::Frontend;
use picovae::import::{ForeignOptions, TfliteContents, TfliteOptions, parse_tflite};
use picovae::metrics::roc_auc;
use picovae::quantize::{QuantizeOptions, lower, observe};
use picovae::recording::{Recording, WindowSet};
use picovae::simulate::{real_score, score_all};
use picovae::train::input_lsb;

#[test]
fn ad01_quantized_with_the_defaults_keeps_the_float_models_auc() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = std::env::var_os("PICOVAE_DATA")
        .map_or_else(|| root.join("../shared/data"), PathBuf::from)
        .join("mlperf_tiny_ad");
    let path = folder.join("ad01_fp32.tflite");
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("SKIPPED: {} is absent", path.display());
        return;
    };
    let (options, foreign) = (TfliteOptions::default(), ForeignOptions::default());
    let Ok(TfliteContents::Float(mut vae, _)) = parse_tflite(&path, &bytes, &options, &foreign)
    else {
        panic!("{} is a float model", path.display())
    };
    let normal = Recording::read(folder.join("train_normal_clips.npy"), &[]).unwrap();
    let test = Recording::read(folder.join("test_clips.npy"), &[]).unwrap();
    vae.frontend = Frontend::identity(5, 1, 128);
    let mut set = WindowSet::new();
    set.add(normal.clips(&vae.frontend).unwrap()).unwrap();
    vae.frontend.input_lsb = input_lsb(&set, 128);

    // As `picovae quantize` does without options.
    let options = QuantizeOptions::default();
    let step = set.len().div_ceil(options.max_windows);
    let indices: Vec<usize> = (0..set.len()).step_by(step).collect();
    let features = set.features(&vae.frontend, &indices);
    let ranges = observe(&vae, features.view(), &options).unwrap();
    let blob = write(&lower(&vae, &ranges, &options).unwrap(), "portable", Calibrated::default());
    let blob = blob.unwrap();
    let model = blob.model().unwrap();

    let labels = std::fs::read_to_string(folder.join("test_labels.csv")).unwrap();
    let label = |line: &str| line.split(',').nth(1) == Some("1");
    let labels: Vec<bool> = labels.lines().skip(1).map(label).collect();
    let scored = score_all(&model, &test.clips(&vae.frontend).unwrap(), 0).unwrap();
    let mut sums = vec![0.0; labels.len()];
    for window in &scored.windows {
        sums[window.clip] += real_score(window.score, model.score_kind());
    }
    assert_eq!((scored.windows.len(), labels.len()), (14_112, 72));
    let auc = roc_auc(&sums, &labels).unwrap();
    println!("ROC AUC {auc:.4}");
    assert!(auc >= 0.885, "{auc}");
}
