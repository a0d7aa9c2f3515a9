//! `picovae compress` where something is wrong or nothing fits, and the float file it leaves.

use picovae_tests::cli::{Workshop, stderr};
use serde_json::{Value, json};

const COMPRESS: &str =
    "compress machine.safetensors --calibrate normal.npy --target cortex-m4 -o small.pvae";

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Exit code and JSON.
fn compress(shop: &Workshop, more: &str) -> (Option<i32>, Value) {
    let output = shop.run(&[words(COMPRESS), words(more), vec!["--json"]].concat());
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code(), report.unwrap_or_else(|_| panic!("{}", stderr(&output))))
}

#[test]
fn the_float_file_of_four_bits_holds_the_blobs_integers() {
    let shop = Workshop::new();
    let (code, report) = compress(&shop, "--flash 24K --max-loss 100 --float small.safetensors");
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["chains"][1]["bits"], 4, "{report}");
    assert_eq!(report["chosen"], 1, "{report}");
    let again = shop.json(&words(
        "quantize small.safetensors --calibrate normal.npy --target cortex-m4 --max-drift 1000 \
         -o again.pvae",
    ));
    assert_eq!(again["weight_bits"], "4", "{again}");
    // Exit code 1 where they part, by however little.
    let apart = shop.json(&words("diff small.pvae again.pvae --input normal.npy"));
    assert_eq!(apart["first_divergence"], Value::Null, "{apart}");
}

#[test]
fn a_chain_that_fails_leaves_the_blob_of_another() {
    let shop = Workshop::new();
    // The first chain trains nothing, the second cannot.
    let (code, report) = compress(&shop, "--max-loss=-1000 --lr 1e39");
    assert_eq!(code, Some(1), "{report}");
    assert_eq!((&report["chosen"], &report["fits"]), (&json!(0), &json!(false)), "{report}");
    assert!(shop.path("small.pvae").exists());
    let chains = report["chains"].as_array().unwrap();
    assert!(chains[0]["failed"].is_null() && chains[0]["loss"].is_number(), "{report}");
    assert!(chains[1]["failed"].is_string() && chains[1]["loss"].is_null(), "{report}");
    let text = shop.run(&[words(COMPRESS), words("--max-loss=-1000 --lr 1e39")].concat());
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("failed: "), "{text}");

    // Nothing came of any chain: the failure is the error.
    std::fs::remove_file(shop.path("small.pvae")).unwrap();
    let all = [words(COMPRESS), words("--flash 25K --max-loss=-1000 --lr 1e39")].concat();
    let output = shop.run(&all);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(!stderr(&output).contains("no chain of passes"), "{}", stderr(&output));
    assert!(!shop.path("small.pvae").exists());
}

#[test]
fn what_cannot_be_is_refused_before_it_is_tried() {
    let shop = Workshop::new();
    for (more, said) in [
        ("--validation 2", "validation is 2, it must be above 0 and at most 0.9"),
        ("--validation nan", "validation is NaN"),
        ("--validation -1", "validation is -1"),
        ("--validation 0", "validation is 0, it must be above 0"),
        ("--batch 0", "batch is 0, it must be at least 1"),
        ("--lr nan", "lr is NaN"),
        ("--max-loss nan", "max-loss is NaN"),
        ("--max-loss inf", "max-loss is inf"),
        // The first chain would do without an image.
        ("--image 7x13 --max-loss 100", "600 features are no image of 7x13 pixels"),
    ] {
        shop.refused(&[words(COMPRESS), words(more)].concat(), &[said]);
        assert!(!shop.path("small.pvae").exists(), "{more}");
    }
}

#[test]
fn the_nearest_network_is_named_and_fits_where_it_is_given_room() {
    let shop = Workshop::new();
    let (code, report) = compress(&shop, "--flash 1K --max-loss 100");
    assert_eq!((code, &report["fits"]), (Some(2), &json!(false)), "{report}");
    assert_eq!(report["blocked"], json!(["flash"]), "{report}");
    for key in ["model", "chosen", "blob_bytes", "ratio", "arena_bytes", "instructions"] {
        assert!(report[key].is_null(), "{key}: {report}");
    }
    let chains = report["chains"].as_array().unwrap();
    let nearest = &chains[report["nearest"].as_u64().unwrap() as usize];
    let needs = |chain: &Value| chain["needs"]["blob_bytes"].as_u64().unwrap();
    assert!(chains.iter().all(|chain| needs(nearest) <= needs(chain)), "{report}");
    assert_eq!(nearest["student"], true, "{report}");
    let said = format!("takes {} bytes of flash", needs(nearest));
    shop.refused(&[words(COMPRESS), words("--flash 1K")].concat(), &[&said]);

    // A threshold's few bytes vary.
    let flash = needs(nearest) + 64;
    let (code, report) = compress(&shop, &format!("--flash {flash} --max-loss 100"));
    assert_eq!(code, Some(0), "{report}");
    assert!(report["blob_bytes"].as_u64().unwrap() <= flash, "{report}");
    assert_eq!((&report["nearest"], &report["blocked"]), (&json!(null), &json!([])), "{report}");

    // By the arena a larger network may be nearer: here none of them has the room.
    let (_, report) = compress(&shop, "--ram 1K --max-loss 100");
    assert_eq!(report["blocked"], json!(["ram"]), "{report}");
    let chains = report["chains"].as_array().unwrap();
    let nearest = &chains[report["nearest"].as_u64().unwrap() as usize];
    let arena = |chain: &Value| chain["needs"]["arena_bytes"].as_u64().unwrap();
    assert!(chains.iter().all(|chain| arena(nearest) <= arena(chain)), "{report}");
}
