//! The datasets: how their detectors are made, and what they are judged on.

use anyhow::Result;
use serde_json::{Value, json};

use super::device::Streamed;
use super::known_states::States;
use super::{Row, helper};
use crate::shell;
use crate::streams::Lessons;

/// A detector and its tests.
pub struct Dataset {
    pub name: &'static str,
    /// Verbs that go before it.
    pub before: Vec<Vec<String>>,
    /// The verb that makes `{blob}`, and `{float}` where those before it did not.
    pub fit: Vec<String>,
    /// The float network that `{float}` was distilled from, where it is another one.
    pub teacher: Option<String>,
    /// What the baselines are fitted to.
    pub train: Value,
    pub tests: Vec<Test>,
    /// What runs on the emulated device.
    pub streamed: Streamed,
    /// States that the blob is taught afterwards.
    pub states: Option<States>,
}

/// Normal and anomalous recordings.
pub struct Test {
    pub name: String,
    /// Of `picovae eval`.
    pub arguments: Vec<String>,
    /// The same for the baselines.
    pub task: Value,
}

/// A line as a shell would split it, `{data}` filled in.
fn words(line: &str) -> Vec<String> {
    let data = shell::data().display().to_string();
    line.split_whitespace().map(|word| word.replace("{data}", &data)).collect()
}

/// A part of a recording, as a stream of a device that learns nothing.
fn streamed(recording: &str, rows: &'static str) -> Streamed {
    Streamed { recording: recording.into(), rows, lessons: Lessons::default() }
}

fn data(path: &str) -> String {
    shell::data().join(path).display().to_string()
}

/// Makes a dataset, and files that it needs.
type Make = fn() -> Result<Dataset>;

/// Names, and what makes them: files of the others stay as they are.
pub const ALL: [(&str, Make); 5] = [
    ("ecg5000", || Ok(heartbeats())),
    ("fan", || Ok(fan())),
    ("toycar", || Ok(toycar())),
    ("toycar-search", toycar_search),
    ("cwru", bearings),
];

/// ECG5000: the normal beats of the official training set.
fn heartbeats() -> Dataset {
    let (signals, labels) =
        (data("ecg5000/signals_5000x140_f32.npy"), data("ecg5000/labels_5000_u1.npy"));
    let fit = "fit {data}/ecg5000/signals_5000x140_f32.npy --labels {data}/ecg5000/labels_5000_u1.npy --rows 0..500 \
         --window 140 --hop 140 --channels 1 --flash 16K --target cortex-m4 -o {blob} --float {float}";
    Dataset {
        name: "ecg5000",
        streamed: streamed(&signals, "500..700"),
        states: None,
        before: Vec::new(),
        teacher: None,
        fit: words(fit),
        train: json!([{ "path": &signals, "labels": &labels, "rows": "0..500" }]),
        tests: vec![Test {
            name: "ecg5000".into(),
            arguments: words(
                "--data {data}/ecg5000/signals_5000x140_f32.npy --labels {data}/ecg5000/labels_5000_u1.npy --rows 500..5000",
            ),
            task: json!({ "data": [{ "path": signals, "labels": labels, "rows": "500..5000" }] }),
        }],
    }
}

/// The fan at low speed, and with a coin on a blade.
fn fan() -> Dataset {
    let (normal, coin) =
        (data("fan_accel/fan_0_low_0_weight.npy"), data("fan_accel/fan_0_low_1_weight.npy"));
    let fit = "fit {data}/fan_accel/fan_0_low_0_weight.npy --rows 0..400 --sample-rate 200 --flash 16K \
         --target cortex-m4 -o {blob} --float {float}";
    Dataset {
        name: "fan",
        streamed: streamed(&coin, "400..450"),
        states: None,
        before: Vec::new(),
        teacher: None,
        fit: words(fit),
        train: json!([{ "path": &normal, "rows": "0..400" }]),
        tests: vec![Test {
            name: "fan".into(),
            arguments: words(
                "--normal {data}/fan_accel/fan_0_low_0_weight.npy --anomalous {data}/fan_accel/fan_0_low_1_weight.npy --rows 400..",
            ),
            task: json!({
                "normal": [{ "path": normal, "rows": "400.." }],
                "anomalous": [{ "path": coin, "rows": "400.." }],
            }),
        }],
    }
}

/// MLPerf Tiny's machine sound, log-mel frames; judged by the mean of a clip.
fn toycar() -> Dataset {
    let train = data("mlperf_tiny_ad/train_normal_clips.npy");
    let fit = "fit {data}/mlperf_tiny_ad/train_normal_clips.npy --flash 64K --target cortex-m4 -o {blob} --float {float}";
    let task = json!({
        "data": [{
            "path": data("mlperf_tiny_ad/test_clips.npy"),
            "labels": data("mlperf_tiny_ad/test_labels.csv"),
        }],
    });
    Dataset {
        name: "toycar",
        streamed: streamed(&data("mlperf_tiny_ad/test_clips.npy"), "0..2"),
        states: None,
        before: Vec::new(),
        teacher: None,
        fit: words(fit),
        train: json!([{ "path": train }]),
        tests: vec![Test {
            name: "toycar".into(),
            arguments: words(
                "--data {data}/mlperf_tiny_ad/test_clips.npy --labels {data}/mlperf_tiny_ad/test_labels.csv",
            ),
            task,
        }],
    }
}

/// The same sounds by `search`: a network of 52,768 parameters on means of 16 frames, and a smaller one
/// that learns from it. The budget of instructions is what is left of 45,000 by what `search` does not count: 19,500 of the front-end,
/// 2,800 of the score, some 200 a row of a head whose 16 bits are finer than its sums (`kernels::packed::in_parts`).
fn toycar_search() -> Result<Dataset> {
    let folder = shell::scratch("detect")?;
    let large = folder.join("toycar_large.safetensors").display().to_string();
    let study = folder.join("toycar_search.db");
    // An old study would be gone on with.
    let _ = std::fs::remove_file(&study);
    let clips = "{data}/mlperf_tiny_ad/train_normal_clips.npy";
    let train = format!(
        "train {clips} --channels 128 --window 16 --hop 4 --average 16 --decimate 4 --hidden 128,64 --latent 16 \
         --likelihood gaussian --normalize per-channel --epochs 30 --lr 2e-3 --cosine --patience 0 \
         --score gaussian-nll --seed 1 -o {large}"
    );
    let search = format!(
        "search {large} {clips} --target cortex-m4 --flash 48K --ram 8K --instructions 10000 --families mlp \
         --trials 48 --rungs 2 --epochs 12 --jobs 1 --study {} --seed 1 -o {{float}}",
        study.display()
    );
    let quantize = format!("quantize {{float}} --calibrate {clips} --target cortex-m4 -o {{blob}}");
    let before = [train, search].iter().map(|line| words(line)).collect();
    let name = "toycar-search";
    let mut dataset =
        Dataset { name, before, teacher: Some(large), fit: words(&quantize), ..toycar() };
    dataset.tests.iter_mut().for_each(|test| test.name = name.into());
    Ok(dataset)
}

/// Where a bearing is damaged, and the damage's diameter in mil.
const FAULTS: [&str; 6] = ["IR_7", "IR_21", "B_7", "B_21", "OR@6_7", "OR@6_21"];

/// Bearings: the normal recording is thinned to the faults' rate; its last part is held back.
fn bearings() -> Result<Dataset> {
    let thinned = shell::scratch("detect")?.join("cwru_normal_12k.npy").display().to_string();
    helper::<Vec<Row>>(&["thin", &data("cwru/1797_Normal.npy"), &thinned, "4"], "")?;
    let fit = "--rows 0..42000 --sample-rate 12000 --flash 32K --target cortex-m4 -o {blob} --float {float}";
    let mut step = vec!["fit".to_string(), thinned.clone()];
    step.extend(words(fit));
    let tests = FAULTS.map(|fault| {
        let path = data(&format!("cwru/1797_{fault}_DE12.npy"));
        let rows = "42000..60000";
        let arguments = ["--normal", &thinned, "--anomalous", &path, "--rows", rows];
        Test {
            name: format!("cwru {fault}"),
            arguments: arguments.map(String::from).to_vec(),
            task: json!({
                "normal": [{ "path": thinned, "rows": rows }],
                "anomalous": [{ "path": path, "rows": rows }],
            }),
        }
    });
    let known = |name| (name, data(&format!("cwru/1797_{name}_DE12.npy")));
    let mut recordings = vec![("normal", thinned.clone())];
    recordings.extend(FAULTS.map(known));
    Ok(Dataset {
        name: "cwru",
        streamed: streamed(&data("cwru/1797_IR_21_DE12.npy"), "42000..54000"),
        states: Some(States { recordings, rows: "0..40000", test_rows: "42000..60000" }),
        before: Vec::new(),
        teacher: None,
        fit: step,
        train: json!([{ "path": thinned, "rows": "0..42000" }]),
        tests: tests.into(),
    })
}
