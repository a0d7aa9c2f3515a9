//! `picovae fit` from the outside: a recording of a healthy machine becomes a detector.

use picovae_tests::cli::{Workshop, stderr};

#[test]
fn a_machine_without_a_model_gets_a_detector() {
    let shop = Workshop::new();
    shop.ok(&["synth", "quiet.npy", "--windows", "300", "--seed", "5"]);
    shop.ok(&["synth", "later.npy", "--windows", "1500", "--seed", "5"]);
    shop.ok(&["synth", "flawed.npy", "--windows", "60", "--seed", "5", "--fault", "bearing"]);
    // One window in 43 may alarm: rare enough to be a tail, often enough to be counted below.
    let fitted = shop.json(&[
        "fit",
        "quiet.npy",
        "-o",
        "fitted.pvae",
        "--flash",
        "16K",
        "--target",
        "cortex-m4",
        "--sample-rate",
        "200",
        "--false-alarms-per-day",
        "2000",
        "--minutes",
        "0.3",
        "--report",
        "fitted.html",
        "--float",
        "fitted.safetensors",
    ]);
    assert!(fitted["blob_bytes"].as_u64().unwrap() <= 16_384, "{fitted}");
    assert_eq!((&fitted["channels"], &fitted["hop"]), (&3.into(), &200.into()));
    assert!(fitted["candidates"].as_array().unwrap().len() >= 3);
    assert!(fitted["separation"].as_f64().unwrap() > 0.6, "{fitted}");
    let tail = &fitted["tail"];
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    assert!(number(&tail["threshold_low"]) <= number(&fitted["threshold"]));
    assert!(number(&fitted["threshold"]) <= number(&tail["threshold_high"]));
    let page = std::fs::read_to_string(shop.path("fitted.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("false alarms a day"));

    // The windows fitted to are the first ones of the longer recording: not counted.
    let later = shop.json(&["simulate", "fitted.pvae", "later.npy", "--rows", "300..1500"]);
    let (alarms, stated) = (number(&later["alarms"]) / 1_200.0, 2_000.0 / 86_400.0);
    assert!((stated / 3.0..=stated * 3.0).contains(&alarms), "{alarms} of {stated}");
    let judged =
        shop.json(&["eval", "fitted.pvae", "--normal", "later.npy", "--anomalous", "flawed.npy"]);
    assert!(number(&judged["roc_auc"]) > 0.95, "{judged}");
    shop.ok(&["inspect", "fitted.safetensors"]);

    // Another threshold for the same blob: the network's scores stay, alarms become rarer or more frequent.
    let calibrate = |rate: &str| {
        let more = ["--rows", "300..900", "--false-alarms-per-day", rate, "--sample-rate", "200"];
        let verb = ["calibrate", "fitted.pvae", "later.npy", "-o", "again.pvae"];
        let calibrated = shop.json(&[&verb[..], &more].concat());
        assert_eq!(calibrated["threshold_before"], fitted["threshold"]);
        let later = shop.json(&["simulate", "again.pvae", "later.npy", "--rows", "900..1500"]);
        assert_eq!(later["threshold"], calibrated["threshold"]);
        (number(&later["alarms"]) / 600.0, number(&later["mean_score"]))
    };
    let before = shop.json(&["simulate", "fitted.pvae", "later.npy", "--rows", "900..1500"]);
    let (seldom, often) = (calibrate("300"), calibrate("8640"));
    assert_eq!((seldom.1, often.1), (number(&before["mean_score"]), number(&before["mean_score"])));
    assert!(seldom.0 < often.0 && (0.1 / 3.0..=0.3).contains(&often.0), "{seldom:?} {often:?}");
}

#[test]
fn few_windows_are_calibrated_on_by_models_that_did_not_see_them() {
    let shop = Workshop::new();
    shop.ok(&["synth", "quiet.npy", "--windows", "120", "--seed", "5"]);
    let verb = ["fit", "quiet.npy", "-o", "few.pvae", "--sample-rate", "200", "--minutes", "0.05"];
    let fitted =
        |per_day: &str| shop.json(&[&verb[..], &["--false-alarms-per-day", per_day]].concat());
    // One in 86,400 windows is far beyond them: all of the recording stands in, and it is said.
    let rare = fitted("1");
    let count = |value: &serde_json::Value| value.as_u64().unwrap();
    let all = count(&rare["calibration_windows"]) + count(&rare["cross_fitted_windows"]);
    assert_eq!(all, count(&rare["tail"]["windows"]));
    assert!(all >= 110, "{rare}");
    assert!(rare["notes"].to_string().contains("rarer than once"), "{rare}");
    // One in ten is not, but three alarms in the last quarter are too few to count.
    let often = fitted("8640");
    assert!(count(&often["cross_fitted_windows"]) > 60, "{often}");
    assert!(!often["notes"].to_string().contains("rarer than once"), "{often}");
    // More than windows can carry is said.
    let always = fitted("60000");
    assert!(always["notes"].to_string().contains("Ask for 17280.00 a day or fewer"), "{always}");
}

#[test]
fn telemetry_with_gaps_and_labels_is_fitted() {
    let shop = Workshop::new();
    // A slow signal at one frame a minute, a channel that never moves, one that hardly ever does, a level of
    // thousands, holes, and labels.
    let mut text = String::from("timestamp,temperature,valve,mode,pressure,anomaly\n");
    for minute in 0..3_000usize {
        let t = minute as f64;
        let noise = ((minute * 7_919 % 101) as f64 - 50.0) / 50.0;
        let temperature = if minute % 500 == 77 {
            String::new()
        } else {
            format!("{:.3}", 20.0 + 3.0 * (t * 0.05).sin() + 0.2 * noise)
        };
        let pressure = 90_000.0 + 40.0 * (t * 0.05 + 1.0).cos() + 3.0 * noise;
        let (day, hour) = (1 + minute / 1_440, minute / 60 % 24);
        text += &format!(
            "2024-03-{day:02} {hour:02}:{:02}:00,{temperature},{},1,{pressure:.1},0\n",
            minute % 60,
            u8::from(minute % 700 == 3)
        );
    }
    std::fs::write(shop.path("plant.csv"), text).unwrap();
    let fitted = shop.json(&["fit", "plant.csv", "-o", "plant.pvae", "--minutes", "0.1"]);
    assert_eq!(fitted["channels"], 4, "{fitted}");
    let rate = fitted["rate"]["frames_per_second"].as_f64().unwrap();
    assert!((rate - 1.0 / 60.0).abs() < 1e-9);
    assert_eq!(fitted["remove_mean"], false);
    let notes = fitted["notes"].to_string();
    assert!(notes.contains("6 missing samples") && notes.contains("1 of 4 channels never move"));
    assert!(fitted["separation"].as_f64().unwrap() > 0.6, "{fitted}");
}

#[test]
fn recordings_larger_than_memory_are_fitted_by_stretches() {
    let shop = Workshop::new();
    let machine = |i: usize| (i as f64 * 0.7).sin() + ((i * 7_919) % 101) as f64 / 200.0;
    let text: String = (0..100_000).map(|i| format!("{:.4} {:.4}\n", machine(i), 9.8)).collect();
    std::fs::write(shop.path("long.txt"), text).unwrap();
    let verb = ["fit", "long.txt", "-o", "long.pvae", "--minutes", "0.05"];
    let fitted = shop.json(&[&verb[..], &["--memory", "1M"]].concat());
    assert_eq!(fitted["channels"], 2, "{fitted}");
    let notes = fitted["notes"].to_string();
    assert!(notes.contains("32768 rows of it were read, in 16 stretches"), "{notes}");
    // A quarter of each, without what would run over its ends.
    let windows = fitted["calibration_windows"].as_u64().unwrap();
    assert!((16..=128).contains(&windows), "{fitted}");
}

#[test]
fn what_cannot_be_fitted_says_what_to_do() {
    let shop = Workshop::new();
    shop.ok(&["synth", "short.npy", "--windows", "12", "--seed", "5"]);
    let refused = |arguments: &[&str]| {
        let output = shop.run(&[&["fit"], arguments, &["-o", "no.pvae"]].concat());
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(!shop.path("no.pvae").exists());
        stderr(&output).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let error = refused(&["short.npy"]);
    assert!(error.contains("too few") && error.contains("record longer"), "{error}");
    let error = refused(&["normal.npy", "--flash", "700"]);
    assert!(error.contains("700 bytes") && error.contains("larger --flash"), "{error}");
    std::fs::write(shop.path("flat.csv"), "x,y\n".to_string() + &"1,2\n".repeat(2_000)).unwrap();
    let error = refused(&["flat.csv"]);
    assert!(error.contains("no channel moves"), "{error}");
    let error = refused(&["normal.npy", "flat.csv"]);
    assert!(error.contains("2 channels") && error.contains("has 3"), "{error}");
}
