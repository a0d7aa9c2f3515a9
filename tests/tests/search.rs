//! What `picovae search` refuses before it works, what it writes, and what it leaves running: nothing.

use picovae_tests::cli::{Workshop, stderr};

const SEARCH: &str = "search machine.safetensors normal.npy -o small.safetensors --flash 20K --epochs 1 \
     --trials 1 --rungs 1 --jobs 1 --families mlp --study study.db";

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    SEARCH.split_whitespace().chain(more.iter().copied()).collect()
}

#[test]
fn a_study_is_of_one_set_of_windows_and_one_model() {
    let shop = Workshop::new();
    let found = shop.json(&with(&[]));
    let labels: String = (0..60).map(|clip| if clip < 30 { "0\n" } else { "1\n" }).collect();
    std::fs::write(shop.path("labels.csv"), format!("label\n{labels}")).unwrap();
    let refused = |more: &[&str], setting: &str| {
        let words = ["begun with other settings", &format!("`{setting}` was")];
        shop.refused(&with(more), &words);
    };
    refused(&["--rows", "0..30"], "windows");
    refused(&["--labels", "labels.csv"], "windows");
    refused(&["--labels", "labels.csv", "--keep-label", "1"], "windows");
    refused(&["--false-alarm-rate", "0.02"], "false_alarm_rate");
    refused(&["--score", "negative-elbo"], "score");
    shop.train("other.safetensors", &["--lr", "2e-3"]);
    let mut other = with(&[]);
    other[1] = "other.safetensors";
    shop.refused(&other, &["begun with other settings", "`model` was"]);
    // Names are no settings: elsewhere the same files may be called otherwise.
    std::fs::rename(shop.path("machine.safetensors"), shop.path("m.safetensors")).unwrap();
    std::fs::rename(shop.path("normal.npy"), shop.path("n.npy")).unwrap();
    let mut renamed = with(&[]);
    (renamed[1], renamed[2]) = ("m.safetensors", "n.npy");
    assert_eq!(shop.json(&renamed)["best"], found["best"]);
}

#[test]
fn settings_are_checked_before_there_is_a_study() {
    let shop = Workshop::new();
    for (argument, said) in [
        ("--validation=2", "validation is 2"),
        ("--validation=nan", "validation is NaN"),
        ("--validation=-1", "validation is -1"),
        ("--validation=0", "validation is 0, it must be above 0"),
        ("--batch=0", "batch is 0"),
        ("--lr=nan", "lr is NaN"),
        ("--false-alarm-rate=7", "the false-alarm rate 7"),
        ("--false-alarm-rate=0", "the false-alarm rate 0"),
        ("--false-alarm-rate=nan", "the false-alarm rate NaN"),
        ("--image=7x7", "600 features are no image of 7x7 pixels"),
        ("--latent=0", "0 is not in 1..=65535"),
    ] {
        shop.refused(&with(&[argument]), &[said]);
    }
    // Those that are given above, given otherwise.
    for (name, value) in [("trials", "0"), ("rungs", "0"), ("jobs", "0"), ("epochs", "0")] {
        let mut arguments = with(&[]);
        let option = format!("--{name}");
        let at = arguments.iter().position(|argument| *argument == option).unwrap();
        arguments[at + 1] = value;
        shop.refused(&arguments, &[&format!("{name} is 0, it must be at least 1")]);
    }
    assert!(!shop.path("study.db").exists());
}

#[test]
fn four_bit_networks_keep_the_integers_that_were_measured() {
    let shop = Workshop::new();
    // A draw may have none; then another seed's.
    let mut seeds = ["0", "1", "2", "3", "4", "5", "6", "7"].iter().map(|seed| {
        shop.json(&with(&["--four-bit", "--seed", seed, "--name", seed]))["best"].clone()
    });
    let best = seeds.find(|best| best["weight_bits"].as_str().unwrap().contains('4')).unwrap();
    let quantized = shop.json(&[
        "quantize",
        "small.safetensors",
        "--calibrate",
        "normal.npy",
        "--target",
        "cortex-m4",
        "--max-drift",
        "1e9",
        "-o",
        "small.pvae",
    ]);
    assert_eq!(quantized["weight_bits"], best["weight_bits"]);
    // All but the threshold, which `quantize` sets from more windows.
    let [measured, written] =
        [&best, &quantized].map(|report| report["blob_bytes"].as_u64().unwrap());
    assert!(measured.abs_diff(written) <= 16, "{measured} {written}");
}

#[test]
fn a_worker_begun_by_hand_works() {
    let shop = Workshop::new();
    // Standard input is empty here: only a worker with a parent ends by that.
    let output = shop.run(&with(&["--worker"]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(shop.json(&with(&[]))["trials"], 1);
}

/// Processes are looked for in `/proc`.
#[cfg(target_os = "linux")]
mod orphans {
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;
    use picovae_tests::cli::picovae;

    /// `f`, as soon as it gives something.
    fn soon<T>(mut f: impl FnMut() -> Option<T>) -> Option<T> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            if let Some(found) = f() {
                return Some(found);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    }

    /// Whether a process is there and a worker; one that has ended and was not waited for has no command line.
    fn is_worker(process: &Path) -> bool {
        let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|argument| argument == b"--worker")
    }

    #[test]
    fn workers_end_with_the_process_that_began_them() {
        let shop = Workshop::new();
        let mut arguments = with(&[]);
        let jobs = arguments.iter().position(|argument| *argument == "--jobs").unwrap();
        arguments[jobs + 1] = "2";
        let epochs = arguments.iter().position(|argument| *argument == "--epochs").unwrap();
        arguments[epochs + 1] = "1000000";
        let mut parent = Command::new(picovae())
            .current_dir(shop.path(""))
            .args(&arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let its = format!("PPid:\t{}", parent.id());
        let worker = soon(|| {
            let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
            processes.map(|entry| entry.path()).find(|process| {
                let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
                status.lines().any(|line| line == its) && is_worker(process)
            })
        });
        parent.kill().unwrap();
        parent.wait().unwrap();
        let worker = worker.expect("there is a second worker");
        if soon(|| (!is_worker(&worker)).then_some(())).is_none() {
            let id = worker.file_name().unwrap();
            let _ = Command::new("kill").arg("-9").arg(id).status();
            panic!("the worker went on without its parent");
        }
    }
}
