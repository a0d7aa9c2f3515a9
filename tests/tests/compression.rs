//! `picovae search`, as several processes over one study: budgets are kept, a killed
//! worker's trial is finished by another, and what comes out is quantized within the budget.
//! `picovae compress` and `picovae report`: the cheapest chain that fits, with reasons.

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
    assert!(stderr(&other).contains("begun with other settings: `lr`"), "{}", stderr(&other));

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

#[test]
fn the_cheapest_chain_that_fits() {
    let shop = Workshop::new();
    let compress = |out: &str, more: &[&str]| {
        let fixed =
            "compress machine.safetensors --calibrate normal.npy --target cortex-m4 --json -o";
        let arguments: Vec<&str> = fixed.split_whitespace().chain([out]).collect();
        let output = shop.run(&[&arguments, more].concat());
        let report: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", stderr(&output)));
        (output.status.code(), report)
    };
    // Nothing is asked for: 8 bits do, and nothing is trained.
    let (code, easy) = compress("easy.pvae", &["--max-loss", "0.05"]);
    assert_eq!((code, easy["fits"].as_bool()), (Some(0), Some(true)), "{easy}");
    assert_eq!(easy["chains"].as_array().unwrap().len(), 1);
    let whole = easy["blob_bytes"].as_u64().unwrap();
    assert_eq!(std::fs::metadata(shop.path("easy.pvae")).unwrap().len(), whole);
    // The float model is counted as the blob is: both heads are one layer.
    let inspected = shop.json(&["inspect", "easy.pvae"]);
    assert_eq!(easy["instructions"], inspected["instructions"]["cortex-m4"], "{easy}");

    // Two thirds of that: 8 bits are ruled out by the planner, 4 bits are trained.
    let flash = (whole * 2 / 3).to_string();
    let (_, half) = compress(
        "half.pvae",
        &[
            "--flash",
            &flash,
            "--max-loss",
            "0.5",
            "--float",
            "half.safetensors",
            "--report",
            "r.html",
        ],
    );
    assert!(half["blob_bytes"].as_u64().unwrap() <= whole * 2 / 3, "{half}");
    assert_eq!(half["chains"][0]["beyond"], serde_json::json!(["flash"]), "{half}");
    assert!(half["chains"][0]["loss"].is_null());
    assert_eq!(half["chains"][1]["bits"], 4);
    assert!(half["chains"][1]["int8"]["agreement"].as_f64().unwrap() > 0.5, "{half}");
    let html = std::fs::read_to_string(shop.path("r.html")).unwrap();
    for part in ["Before and after", "Error of every layer", "Ranges", "Reconstructions", "Latents"]
    {
        assert!(html.contains(part), "{part}");
    }

    // A limit on instructions: units are pruned, and are gone from blob, arena and count.
    let instructions = easy["instructions"].as_u64().unwrap();
    let limit = (instructions * 3 / 4).to_string();
    let (_, fast) = compress("fast.pvae", &["--instructions", &limit, "--max-loss", "0.5"]);
    assert!(fast["instructions"].as_u64().unwrap() <= instructions * 3 / 4, "{fast}");
    let inspected = shop.json(&["inspect", "fast.pvae"]);
    let before = shop.json(&["inspect", "easy.pvae"]);
    // The arena is the output layer's, which prunes no unit.
    assert!(inspected["arena_bytes"].as_u64() <= before["arena_bytes"].as_u64());
    for key in ["params", "macs", "blob_bytes"] {
        assert!(inspected[key].as_u64() < before[key].as_u64(), "{key}: {inspected}");
    }

    // Nothing can be that small; what blocks is said.
    let nothing = "compress machine.safetensors --calibrate normal.npy --flash 1K -o no.pvae";
    let nothing: Vec<&str> = nothing.split_whitespace().collect();
    shop.refused(&nothing, &["beyond the limit of flash"]);
    assert!(!shop.path("no.pvae").exists());

    let report = shop.json(&[
        "report",
        "machine.safetensors",
        "machine.pvae",
        "--data",
        "normal.npy",
        "-o",
        "both.html",
    ]);
    assert!(report["int8"]["agreement"].as_f64().unwrap() > 0.99, "{report}");
    assert!(shop.path("both.html").exists());

    // A blob that looks at other windows is not what came of the model.
    shop.train("half.safetensors", &["--window", "32"]);
    let blob = "quantize half.safetensors --calibrate normal.npy --max-drift 100 -o half.pvae";
    shop.ok(&blob.split_whitespace().collect::<Vec<_>>());
    let unlike = "report machine.safetensors half.pvae --data normal.npy -o unlike.html";
    let unlike: Vec<&str> = unlike.split_whitespace().collect();
    shop.refused(&unlike, &["half.pvae: its windows are 32 x", "those of machine.safetensors"]);
    assert!(!shop.path("unlike.html").exists());
}

#[test]
fn pruned_blocks_cost_nothing_and_stay_so() {
    let shop = Workshop::new();
    let words = |line: &str| -> Vec<String> { line.split_whitespace().map(String::from).collect() };
    let json = |line: &str| shop.json(&words(line).iter().map(String::as_str).collect::<Vec<_>>());
    let sparse =
        json("prune machine.safetensors normal.npy --blocks 0.6 --rounds 2 -o sparse.safetensors");
    assert_eq!(sparse["params"], sparse["params_before"], "{sparse}");
    assert!(sparse["empty_blocks"].as_u64().unwrap() * 2 > sparse["blocks"].as_u64().unwrap());
    json("finetune sparse.safetensors normal.npy --epochs 2 -o tuned.safetensors");
    json(
        "finetune sparse.safetensors normal.npy --qat --weight-bits 4 --epochs 2 -o four.safetensors",
    );
    json(
        "finetune machine.safetensors normal.npy --qat --weight-bits 4 --epochs 2 -o all4.safetensors",
    );
    let of = |name: &str| {
        json(&format!(
            "quantize {name}.safetensors --calibrate normal.npy --target cortex-m4 -o {name}.pvae"
        ));
        let blob = json(&format!("inspect {name}.pvae"));
        let float = json(&format!("inspect {name}.safetensors"));
        let instructions =
            |of: &serde_json::Value| of["instructions"]["cortex-m4"].as_f64().unwrap();
        // Of a float file, 8 bits are told. A block may still come to be all zeros in rounding.
        if name == "machine" {
            assert_eq!(blob["instructions"], float["instructions"], "{name}");
        }
        if name != "four" && name != "all4" {
            let error = instructions(&blob) / instructions(&float) - 1.0;
            assert!(error.abs() < 0.02, "{name}: {blob} {float}");
        }
        (blob["blob_bytes"].as_u64().unwrap(), instructions(&blob))
    };
    let (machine, tuned, four, all4) = (of("machine"), of("tuned"), of("four"), of("all4"));
    for (sparse, dense) in [(tuned, machine), (four, all4)] {
        // Row numbers, tables and outputs cost what they did.
        assert!(10 * sparse.0 < 8 * dense.0, "{sparse:?} {dense:?}");
        assert!(10.0 * sparse.1 < 8.0 * dense.1, "{sparse:?} {dense:?}");
    }

    let report = json(
        "report four.safetensors four.pvae --from machine.safetensors --from sparse.safetensors \
         --data normal.npy -o way.html",
    );
    let passes = report["passes"].as_array().unwrap();
    let names: Vec<_> = passes.iter().map(|pass| pass["pass"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["machine.safetensors", "sparse.safetensors", "four.safetensors", "four.pvae"]
    );
    assert!(passes[1]["instructions"].as_u64() < passes[0]["instructions"].as_u64(), "{report}");
    let html = std::fs::read_to_string(shop.path("way.html")).unwrap();
    for part in ["Before and after each pass", "Pareto front", "Ranges of every layer"] {
        assert!(html.contains(part), "{part}");
    }
}

#[test]
fn criteria_are_ranked_at_equal_size_and_steps() {
    let shop = Workshop::new();
    let arguments = "prune machine.safetensors normal.npy --keep 0.5 --rounds 2 --compare \
         --report criteria.html -o half.safetensors";
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let report = shop.json(&arguments);
    let criteria = report["ranking"]["criteria"].as_array().unwrap();
    assert_eq!(criteria.len(), 4, "{report}");
    let loss = |of: &serde_json::Value| of["quality"]["negative_elbo"].as_f64().unwrap();
    assert!(criteria.windows(2).all(|pair| loss(&pair[0]) <= loss(&pair[1])), "{report}");
    assert!(criteria.iter().all(|one| one["steps"] == criteria[0]["steps"]), "{report}");
    // What is written is of the criterion asked for.
    let taylor = criteria.iter().find(|one| one["criterion"] == "taylor").unwrap();
    assert_eq!((&taylor["params"], &taylor["rounds"]), (&report["params"], &report["rounds"]));
    let html = std::fs::read_to_string(shop.path("criteria.html")).unwrap();
    assert!(html.contains("<svg") && html.contains("<td>magnitude</td>"));
    shop.refused(
        &[&arguments[..], &["--blocks", "0.5", "--criterion", "activation"]].concat(),
        &["a block of weights has no activation"],
    );
}
