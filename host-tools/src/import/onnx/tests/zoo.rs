//! VAEs as people write them, and as tf2onnx writes those of Keras.

use super::*;

/// Every model of a folder, in every file of it; what is wrong with any of them is said at once.
fn check_all(folder: &str, models: usize) {
    let path = fixture(&format!("../{folder}")).0;
    let mut names: Vec<String> = std::fs::read_dir(path)
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".json").map(|name| format!("../{folder}/{name}"))
        })
        .collect();
    names.sort();
    assert_eq!(names.len(), models);
    let mut failed = Vec::new();
    for name in &names {
        let text = fixture(&format!("{name}.json")).1;
        let expected: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let turn = expected["channels_first"] == true;
        let ends: &[&str] = if folder == "zoo" { &["onnx", "dynamo.onnx"] } else { &["onnx"] };
        for end in ends {
            let file = format!("{name}.{end}");
            let checked = std::panic::catch_unwind(|| check(name, &file, turn, false));
            failed.extend(checked.is_err().then_some(file));
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn as_people_write_them_in_pytorch() {
    check_all("zoo", 12);
}

#[test]
fn as_tf2onnx_writes_them() {
    check_all("tf2onnx", 6);
}

#[test]
fn names_go_without_wrappers() {
    for end in ["onnx", "dynamo.onnx"] {
        let vae = import(&format!("../zoo/wrapped.{end}")).vae;
        assert_eq!((vae.encoder[0].name.as_str(), vae.mu.name.as_str()), ("fc1", "fc21"));
    }
}

#[test]
fn repetitions_cost_no_layer_where_a_convolution_follows() {
    let vae = import("../zoo/repeated.onnx").vae;
    let ops: Vec<_> = vae.decoder.iter().map(|layer| layer.op.name()).collect();
    assert_eq!(ops, ["transposed_convolution", "convolution"]);
    let vae = import("../tf2onnx/upsampled.onnx").vae;
    assert!(vae.layers().all(|layer| !layer.name.ends_with("upsample")));
}
