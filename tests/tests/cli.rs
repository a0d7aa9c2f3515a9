//! The `picovae` command, run as a user runs it: good runs end to end, and bad
//! input of every kind, each with an error that names the file and the fix.

use std::path::Path;
use std::process::Command;

use picovae_tests::cli::{Workshop, picovae, stderr};
use serde_json::Value;
use tempfile::TempDir;

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn from_recording_to_blob_to_figures() {
    let shop = Workshop::new();
    let inspected = shop.json(&["inspect", "machine.pvae"]);
    for key in ["params", "macs", "blob_bytes", "arena_bytes", "layers"] {
        assert!(keys(&inspected).contains(&key), "{key}");
    }
    assert_eq!(inspected["macs"], 600 * 24 + 24 * 8 + 4 * 24 + 24 * 600);
    let size = std::fs::metadata(shop.path("machine.pvae")).unwrap().len();
    assert_eq!(inspected["blob_bytes"], size);
    // What `inspect` predicts of float weights is what `quantize` wrote, but for padding by names.
    let float = shop.json(&["inspect", "machine.safetensors"]);
    assert_eq!(float["arena_bytes"], inspected["arena_bytes"]);
    assert!((float["blob_bytes"].as_i64().unwrap() - size as i64).abs() <= 64, "{float}");

    let simulated = shop.json(&[
        "simulate",
        "machine.pvae",
        "faulty.npy",
        "--scores",
        "s.csv",
        "--raw",
        "w.i16",
        "--plot",
        "p.png",
    ]);
    assert_eq!(simulated["windows"], 40);
    assert_eq!(std::fs::metadata(shop.path("w.i16")).unwrap().len(), 40 * 600 * 2);
    assert_eq!(&std::fs::read(shop.path("p.png")).unwrap()[1..4], b"PNG");
    let scores = std::fs::read_to_string(shop.path("s.csv")).unwrap();
    let mut lines = scores.lines();
    assert_eq!(lines.next(), Some("window,clip,start_frame,score,raw,alarm"));
    assert_eq!(lines.clone().count(), 40);
    let alarms = lines.filter(|line| line.ends_with(",1")).count();
    assert_eq!(simulated["alarms"], alarms);

    for model in ["machine.pvae", "machine.safetensors"] {
        let eval =
            shop.json(&["eval", model, "--normal", "normal.npy", "--anomalous", "faulty.npy"]);
        for key in ["roc_auc", "pr_auc", "best_f1", "threshold", "windows"] {
            assert!(eval[key].is_number(), "{key} of {model}: {eval}");
        }
        assert_eq!(eval["windows"], 100);
        assert!(eval["roc_auc"].as_f64().unwrap() > 0.9, "a plain imbalance is found: {eval}");
    }

    shop.ok(&["generate", "machine.pvae", "-o", "g.png", "--count", "4", "--seed", "7"]);
    let first = std::fs::read(shop.path("g.png")).unwrap();
    shop.ok(&["generate", "machine.pvae", "-o", "g.png", "--count", "4", "--seed", "7"]);
    assert_eq!(std::fs::read(shop.path("g.png")).unwrap(), first, "equal seeds, equal samples");
    shop.ok(&["generate", "machine.pvae", "-o", "g.png", "--count", "4", "--seed", "8"]);
    assert_ne!(std::fs::read(shop.path("g.png")).unwrap(), first, "other seeds, other samples");
}

#[test]
fn labels_are_read_by_window_and_a_second_training_gives_the_same_model() {
    let shop = Workshop::new();
    shop.ok(&[
        "synth",
        "night.npy",
        "--windows",
        "50",
        "--seed",
        "5",
        "--labels",
        "night.csv",
        "--episode",
        "imbalance:30..50:1.5",
    ]);
    let eval = shop.json(&["eval", "machine.pvae", "--data", "night.npy", "--labels", "night.csv"]);
    assert_eq!((&eval["judged"], &eval["anomalies"]), (&50.into(), &20.into()));
    shop.train("again.safetensors", &["--name", "machine"]);
    shop.ok(&["quantize", "again.safetensors", "--calibrate", "normal.npy", "-o", "again.pvae"]);
    let hash = |model: &str| shop.json(&["simulate", model, "faulty.npy"])["hash"].clone();
    assert_eq!(hash("machine.pvae"), hash("again.pvae"));
}

#[test]
fn every_packing_scores_the_same() {
    let shop = Workshop::new();
    let reference = shop.json(&["simulate", "machine.pvae", "faulty.npy"])["hash"].clone();
    for target in ["cortex-m0", "cortex-m3", "cortex-m4", "cortex-m55"] {
        shop.ok(&[
            "quantize",
            "machine.safetensors",
            "--calibrate",
            "normal.npy",
            "--target",
            target,
            "-o",
            "t.pvae",
        ]);
        assert_eq!(shop.json(&["simulate", "t.pvae", "faulty.npy"])["hash"], reference, "{target}");
    }
}

#[test]
fn diff_names_the_first_layer_that_parts() {
    let shop = Workshop::new();
    let diff = |b: &str| -> (i32, Value) {
        let output =
            shop.run(&["diff", "machine.safetensors", b, "--input", "normal.npy", "--json"]);
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), serde_json::from_str(&text).unwrap())
    };
    let (code, report) = diff("machine.safetensors");
    assert_eq!((code, &report["first_divergence"]), (0, &Value::Null));
    assert_eq!(report["layers"][0]["max_abs"], 0.0);
    let (code, report) = diff("machine.pvae");
    assert_eq!((code, &report["first_divergence"]), (0, &Value::Null), "{report}");
    // Another training parts at its first layer, not at the features.
    shop.train("other.safetensors", &["--beta", "0.5"]);
    let (code, report) = diff("other.safetensors");
    assert_eq!(code, 1);
    assert_eq!(report["first_divergence"], report["layers"][1]["name"]);
}

#[test]
fn a_drift_beyond_the_budget_is_exit_code_1() {
    let shop = Workshop::new();
    let output = shop.run(&[
        "quantize",
        "machine.safetensors",
        "--calibrate",
        "normal.npy",
        "-o",
        "x.pvae",
        "--max-drift",
        "0",
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
}

#[test]
fn passes_behind_training_are_asked_for_one_by_one() {
    let shop = Workshop::new();
    let quantize = |out: &str, more: &str| {
        let fixed = "quantize machine.safetensors --calibrate normal.npy --weight-bits 4 -o";
        let arguments: Vec<&str> =
            fixed.split(' ').chain([out]).chain(more.split_whitespace()).collect();
        shop.json(&arguments)
    };
    let plain = quantize("plain.pvae", "");
    assert_eq!((&plain["weight_bits"], &plain["sensitivities"]), (&"4".into(), &Value::Null));
    let blob = |name: &str| std::fs::read(shop.path(name)).unwrap();
    for (name, options) in [
        ("equal.pvae", "--equalize"),
        ("learnt.pvae", "--adaround --seed 1"),
        ("both.pvae", "--equalize --adaround"),
    ] {
        let report = quantize(name, options);
        let first = blob(name);
        assert_ne!(first, blob("plain.pvae"), "{options}");
        // Other weights of the same shape; a threshold's bytes vary.
        let size = |report: &Value| report["blob_bytes"].as_u64().unwrap();
        assert!(size(&report).abs_diff(size(&plain)) <= 32, "{report}");
        quantize(name, options);
        assert_eq!(blob(name), first, "equal seeds, equal blobs: {options}");
    }
    let error = |name: &str| -> f64 {
        let eval = shop.json(&["eval", name, "--data", "normal.npy"]);
        eval["negative_elbo"].as_f64().unwrap()
    };
    assert!(error("learnt.pvae") < error("plain.pvae"));
}

#[test]
fn weight_bits_are_chosen_to_come_under_a_size() {
    let shop = Workshop::new();
    let quantize = ["quantize", "machine.safetensors", "--calibrate", "normal.npy", "-o"];
    let run = |out: &str, more: &[&str]| shop.json(&[&quantize[..], &[out], more].concat());
    let size = |report: &Value| report["blob_bytes"].as_u64().unwrap();
    let eight = size(&run("eight.pvae", &[]));
    let four = size(&run("four.pvae", &["--weight-bits", "4"]));
    let flash = ((eight + four) / 2).to_string();
    let auto = ["--weight-bits", "auto", "--flash", &flash];
    let report = run("auto.pvae", &auto);
    assert!(size(&report) <= (eight + four) / 2, "{report}");
    let layers = report["sensitivities"].as_array().unwrap();
    let names: Vec<&str> = layers.iter().map(|layer| layer["layer"].as_str().unwrap()).collect();
    assert_eq!(names, ["encoder.0", "mu", "decoder.0", "decoder.2"]);
    for bits in [8, 4] {
        assert!(layers.iter().any(|layer| layer["bits"] == bits), "{report}");
    }
    assert!(
        layers.iter().all(|layer| layer["loss_rise"].is_f64() && layer["bytes_saved"].is_i64())
    );
    // What was chosen, given by hand, is the same blob.
    let bits = report["weight_bits"].as_str().unwrap();
    run("given.pvae", &["--weight-bits", bits]);
    let blob = |name: &str| std::fs::read(shop.path(name)).unwrap();
    assert_eq!(blob("auto.pvae"), blob("given.pvae"));
    // As text, a table.
    assert!(shop.ok(&[&quantize[..], &["t.pvae"], &auto].concat()).contains("4 bits save"));

    let refused = |more: &[&str], words: &[&str]| {
        shop.refused(&[&quantize[..], &["x.pvae"], more].concat(), words);
    };
    refused(&["--weight-bits", "auto", "--flash", "1K"], &["4-bit weights everywhere", "1024"]);
    refused(&["--weight-bits", "auto"], &["needs `--flash`"]);
    refused(&["--flash", "64K"], &["--weight-bits auto"]);
}

#[test]
fn damaged_blobs_are_refused_with_the_file_and_the_fix() {
    let shop = Workshop::new();
    let good = std::fs::read(shop.path("machine.pvae")).unwrap();
    let damage = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        std::fs::write(shop.path(name), bytes).unwrap();
    };
    damage("cut.pvae", &|bytes| bytes.truncate(1_000));
    damage("empty.pvae", &|bytes| bytes.clear());
    damage("flipped.pvae", &|bytes| bytes[5_000] ^= 1);
    damage("version.pvae", &|bytes| bytes[4] = 9);
    damage("alien.pvae", &|bytes| bytes[0] = b'X');
    for verb in ["simulate", "eval", "inspect", "generate"] {
        let arguments = |file: &'static str| -> Vec<&str> {
            match verb {
                "simulate" => vec![verb, file, "normal.npy"],
                "eval" => vec![verb, file, "--data", "normal.npy"],
                "inspect" => vec![verb, file],
                _ => vec![verb, file, "-o", "x.png"],
            }
        };
        shop.refused(&arguments("cut.pvae"), &["cut.pvae", "1000 bytes", "copy it again"]);
        shop.refused(&arguments("empty.pvae"), &["empty.pvae", "0 bytes"]);
        shop.refused(&arguments("flipped.pvae"), &["flipped.pvae", "CRC-32", "copy it again"]);
        shop.refused(&arguments("version.pvae"), &["version.pvae", "version 9", "write it again"]);
        shop.refused(&arguments("alien.pvae"), &["alien.pvae", "not a"]);
        shop.refused(&arguments("missing.pvae"), &["missing.pvae"]);
    }
}

#[test]
fn bad_recordings_are_refused_with_the_file_and_the_fix() {
    let shop = Workshop::new();
    let write = |name: &str, text: &str| std::fs::write(shop.path(name), text).unwrap();
    let line = |x: &str| format!("{x},2,3\n");
    write(
        "nan.csv",
        &(["x,y,z\n".to_string()]
            .into_iter()
            .chain((0..300).map(|i| line(if i == 250 { "NaN" } else { "1" })))
            .collect::<String>()),
    );
    shop.refused(&["simulate", "machine.pvae", "nan.csv"], &["nan.csv", "row 252", "column x"]);
    write("two.csv", &"1,2\n".repeat(300));
    shop.refused(&["simulate", "machine.pvae", "two.csv"], &["two.csv", "3"]);
    write("short.csv", &line("1").repeat(50));
    shop.refused(&["simulate", "machine.pvae", "short.csv"], &["short.csv", "50", "200"]);
    write("words.csv", "a,b,c\nhello,there,you\n");
    shop.refused(&["simulate", "machine.pvae", "words.csv"], &["words.csv"]);
    let npy = std::fs::read(shop.path("normal.npy")).unwrap();
    std::fs::write(shop.path("cut.npy"), &npy[..5_000]).unwrap();
    shop.refused(&["simulate", "machine.pvae", "cut.npy"], &["cut.npy"]);
    write("labels.csv", "label\n0\n1\n");
    shop.refused(
        &["eval", "machine.pvae", "--data", "normal.npy", "--labels", "labels.csv"],
        &["labels.csv", "2", "60"],
    );
    shop.refused(&["simulate", "machine.pvae", "absent.npy"], &["absent.npy"]);
}

#[test]
fn bad_weights_are_refused_by_name() {
    let shop = Workshop::new();
    let path = shop.path("machine.safetensors");
    drop_tensor(&path, "decoder.0.weight", &shop.path("missing.safetensors"));
    shop.refused(
        &["quantize", "missing.safetensors", "--calibrate", "normal.npy", "-o", "x.pvae"],
        &["missing.safetensors", "decoder.0"],
    );
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(shop.path("cut.safetensors"), &bytes[..bytes.len() / 2]).unwrap();
    shop.refused(&["inspect", "cut.safetensors"], &["cut.safetensors"]);
    std::fs::write(shop.path("noise.safetensors"), [0xff; 64]).unwrap();
    shop.refused(&["inspect", "noise.safetensors"], &["noise.safetensors"]);
    assert!(!shop.path("x.pvae").exists(), "nothing is written where something is wrong");
}

/// Copies a safetensors file without one tensor: its header is JSON behind a u64 length.
fn drop_tensor(from: &Path, name: &str, to: &Path) {
    let bytes = std::fs::read(from).unwrap();
    let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + len]).unwrap();
    let removed = header.as_object_mut().unwrap().remove(name).expect("the tensor is there");
    // Offsets must stay contiguous: the bytes of the tensor leave too, later ones move.
    let at = |value: &Value, i: usize| value["data_offsets"][i].as_u64().unwrap();
    let (start, end) = (at(&removed, 0), at(&removed, 1));
    for (_, tensor) in
        header.as_object_mut().unwrap().iter_mut().filter(|(key, _)| *key != "__metadata__")
    {
        if at(tensor, 0) >= end {
            let moved = [at(tensor, 0) - (end - start), at(tensor, 1) - (end - start)];
            tensor["data_offsets"] = moved.to_vec().into();
        }
    }
    let header = serde_json::to_vec(&header).unwrap();
    let data = &bytes[8 + len..];
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header);
    out.extend(&data[..start as usize]);
    out.extend(&data[end as usize..]);
    std::fs::write(to, out).unwrap();
}

#[test]
fn help_has_examples_and_a_wrong_command_line_is_exit_code_2() {
    let shop = TempDir::new().unwrap();
    let run = |arguments: &[&str]| {
        Command::new(picovae()).current_dir(shop.path()).args(arguments).output().unwrap()
    };
    for verb in ["synth", "train", "quantize", "inspect", "simulate", "eval", "generate"] {
        let output = run(&[verb, "--help"]);
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("Examples:"), "{verb}");
    }
    assert_eq!(run(&["frobnicate"]).status.code(), Some(2));
    assert_eq!(run(&["simulate"]).status.code(), Some(2));
}
