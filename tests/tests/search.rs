//! `picovae search`, as several processes over one study: budgets are kept, a killed
//! worker's trial is finished by another, and what comes out is quantized within the budget.

use std::process::{Command, Stdio};
use std::time::Duration;

use picovae_tests::cli::{Workshop, picovae, stderr};

const SEARCH: &str = "search machine.safetensors normal.npy -o small.safetensors --flash 20K --ram 6K \
     --instructions 200K --epochs 2 --rungs 2 --study study.db --patience 12 --report r.html";

#[test]
fn a_study_survives_a_killed_worker_and_keeps_its_budget() {
    let shop = Workshop::new();
    let mut arguments: Vec<&str> = SEARCH.split_whitespace().collect();
    arguments.extend(["--trials", "7"]);
    // A first worker dies somewhere in a trial.
    let mut doomed = Command::new(picovae())
        .current_dir(shop.path(""))
        .args(&arguments)
        .args(["--jobs", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1_500));
    doomed.kill().unwrap();
    doomed.wait().unwrap();

    let report = shop.json(&[&arguments[..], &["--jobs", "2"]].concat());
    assert_eq!(report["trials"], 7, "{report}");
    assert_eq!(report["failed"], 0, "{report}");
    let best = &report["best"];
    assert!(best["blob_bytes"].as_u64().unwrap() <= 20 * 1024, "{best}");
    assert!(best["arena_bytes"].as_u64().unwrap() <= 6 * 1024, "{best}");
    assert!(best["instructions"].as_u64().unwrap() <= 200_000, "{best}");
    assert!(best["detection"].as_f64().unwrap() > 0.5, "{best}");
    assert!(!report["front"].as_array().unwrap().is_empty());
    let html = std::fs::read_to_string(shop.path("r.html")).unwrap();
    assert!(html.contains("<svg") && html.contains("picovae search machine.safetensors"));

    // The same study again is finished: nothing is trained, the same network comes out.
    let again = shop.json(&[&arguments[..], &["--jobs", "1"]].concat());
    assert_eq!(again["best"], report["best"]);
    // Other settings are another study.
    let other = shop.run(&[&arguments[..], &["--lr", "0.01"]].concat());
    assert!(!other.status.success());
    assert!(stderr(&other).contains("`lr` was 0.001"), "{}", stderr(&other));

    let bits = best["weight_bits"].as_str().unwrap();
    let quantized = shop.json(&[
        "quantize",
        "small.safetensors",
        "--calibrate",
        "normal.npy",
        "--weight-bits",
        bits,
        "--target",
        "cortex-m4",
        "-o",
        "small.pvae",
    ]);
    assert!(quantized["blob_bytes"].as_u64().unwrap() <= 20 * 1024 + 64, "{quantized}");
}

#[test]
fn budgets_nothing_keeps_are_said() {
    let shop = Workshop::new();
    let mut arguments: Vec<&str> = SEARCH.split_whitespace().collect();
    let flash = arguments.iter().position(|a| *a == "20K").unwrap();
    arguments[flash] = "1K";
    let output = shop.run(&arguments);
    assert!(!output.status.success());
    assert!(
        stderr(&output).contains("nothing that was drawn keeps the budgets"),
        "{}",
        stderr(&output)
    );
}
