//! The command on data unlike the tool's own: channels of unlike units, foreign state dicts.

use std::path::Path;

use picovae_tests::cli::Workshop;

/// Channels of very different units and offsets, in floats, and faults far beyond
/// the normal range: int8 must tell them apart as the float model does.
#[test]
fn int8_keeps_the_auc_of_channels_with_unlike_units() {
    let shop = Workshop::new();
    let mut seed = 1u32;
    let mut noise = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(seed >> 8) / f64::from(1 << 24) - 0.5
    };
    let mut rows = |count: usize, fault: f64| -> String {
        let mut text = String::from("when;volts;rms;flow\n");
        for i in 0..count {
            let phase = (i as f64 * 0.3).sin();
            let volts = 230.0 + 4.0 * phase + noise();
            let rms = 0.02 + 0.002 * phase + 0.0005 * noise() + 0.02 * fault * noise();
            let flow = 32.0 + 0.5 * noise() + 3.0 * fault * phase;
            text += &format!("2026-01-01 00:00:{:02};{volts:.3};{rms:.6};{flow:.3}\n", i % 60);
        }
        text
    };
    for (name, count, fault) in
        [("n.csv", 4_000, 0.0), ("held.csv", 1_000, 0.0), ("bad.csv", 1_000, 0.5)]
    {
        std::fs::write(shop.path(name), rows(count, fault)).unwrap();
    }
    shop.ok(&[
        "train",
        "n.csv",
        "--window",
        "20",
        "--hop",
        "5",
        "--likelihood",
        "gaussian",
        "--hidden",
        "24",
        "--latent",
        "3",
        "--epochs",
        "20",
        "--seed",
        "1",
        "--score",
        "reconstruction-error",
        "-o",
        "u.safetensors",
    ]);
    shop.ok(&["quantize", "u.safetensors", "--calibrate", "n.csv", "-o", "u.pvae"]);
    let auc = |model: &str| {
        let eval = shop.json(&["eval", model, "--normal", "held.csv", "--anomalous", "bad.csv"]);
        eval["roc_auc"].as_f64().unwrap()
    };
    let (float, int8) = (auc("u.safetensors"), auc("u.pvae"));
    assert!(float > 0.9, "{float}");
    assert!((float - int8).abs() < 0.02, "{float} {int8}");
}

/// A state dict as PyTorch saves it, on pixels of 0 to 255 and of 0 to 1: one model, one verdict.
#[test]
fn a_foreign_state_dict_reads_pixels_of_either_range() {
    let shop = Workshop::new();
    foreign_state_dict(&shop.path("foreign.safetensors"), 16, 8, 2);
    let bytes: Vec<u8> = (0..16 * 50u32).map(|i| (i * 37 % 256) as u8).collect();
    let csv = |scale: f64| -> String {
        let rows = bytes.chunks(16);
        rows.map(|row| {
            let cells: Vec<String> =
                row.iter().map(|&x| format!("{}", f64::from(x) * scale)).collect();
            cells.join(";") + "\n"
        })
        .collect()
    };
    std::fs::write(shop.path("bytes.csv"), csv(1.0)).unwrap();
    std::fs::write(shop.path("unit.csv"), csv(1.0 / 255.0)).unwrap();
    let elbo = |data: &str| {
        shop.json(&["eval", "foreign.safetensors", "--data", data])["negative_elbo"]
            .as_f64()
            .unwrap()
    };
    let (bytes, unit) = (elbo("bytes.csv"), elbo("unit.csv"));
    assert!((bytes / unit - 1.0).abs() < 1e-3, "{bytes} {unit}");
    for data in ["bytes.csv", "unit.csv"] {
        let report =
            shop.json(&["quantize", "foreign.safetensors", "--calibrate", data, "-o", "f.pvae"]);
        assert!(report["drift"].as_f64().unwrap().abs() < 0.02, "{report}");
        let int8 =
            shop.json(&["eval", "f.pvae", "--data", data])["negative_elbo"].as_f64().unwrap();
        assert!((int8 / bytes - 1.0).abs() < 0.02, "{int8} {bytes}");
    }

    // Neither file of a pair knows a front-end: the student's is the teacher's.
    foreign_state_dict(&shop.path("small.safetensors"), 16, 4, 2);
    foreign_state_dict(&shop.path("wide.safetensors"), 20, 4, 2);
    let distill = |student: &str| {
        let line = format!(
            "distill foreign.safetensors bytes.csv --student {student} --epochs 1 -o s.safetensors"
        );
        line.split_whitespace().map(String::from).collect::<Vec<_>>()
    };
    let [small, wide] = ["small.safetensors", "wide.safetensors"].map(distill);
    shop.ok(&small.iter().map(String::as_str).collect::<Vec<_>>());
    let quality = shop.json(&["eval", "s.safetensors", "--data", "bytes.csv"]);
    assert!(quality["negative_elbo"].as_f64().unwrap() < 1.2 * bytes, "{quality}");
    shop.refused(
        &wide.iter().map(String::as_str).collect::<Vec<_>>(),
        &["the windows have 16 samples, the network reads 20"],
    );
}

/// `encoder.0`, `encoder.2`, `decoder.0`, `decoder.2` of the article, without metadata.
fn foreign_state_dict(path: &Path, input: usize, hidden: usize, latent: usize) {
    let shapes = [
        ("encoder.0", hidden, input),
        ("encoder.2", 2 * latent, hidden),
        ("decoder.0", hidden, latent),
        ("decoder.2", input, hidden),
    ];
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    let mut seed = 7u32;
    for (name, out, inputs) in shapes {
        for (part, shape) in [("weight", vec![out, inputs]), ("bias", vec![out])] {
            let start = data.len();
            for _ in 0..shape.iter().product::<usize>() {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let value = (seed >> 8) as f32 / (1u32 << 24) as f32 - 0.5;
                data.extend((value * 1.5 / (inputs as f32).sqrt()).to_le_bytes());
            }
            let tensor = serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] });
            header.insert(format!("{name}.{part}"), tensor);
        }
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header);
    out.extend(data);
    std::fs::write(path, out).unwrap();
}
