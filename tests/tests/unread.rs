//! Every problem of a file is told in one pass: where, which operator, why, and what to do.

use picovae_tests::cli::{Workshop, stderr};

/// For each file what its three problems are about: layer, operator, remedy.
const FILES: [(&str, [[&str; 3]; 3]); 7] = [
    (
        "unread.onnx",
        [
            ["norm", "(LayerNormalization)", "use batch normalization"],
            ["/Softmax", "(Softmax)", "use convolutions or fully connected"],
            ["/HardSwish", "(HardSwish)", "use silu"],
        ],
    ),
    ("unread.pt", STATE_DICT),
    ("unread.safetensors", STATE_DICT),
    ("unread.keras", KERAS),
    ("unread.h5", KERAS),
    (
        "unread_fp32.tflite",
        [
            ["conv2d", "(HARD_SWISH)", "use silu"],
            ["softmax", "(SOFTMAX)", "without softmax"],
            ["resize_bilinear", "(RESIZE_BILINEAR)", "nearest"],
        ],
    ),
    (
        "unread_int8.tflite",
        [
            ["conv2d", "(HARD_SWISH)", "import the float model"],
            ["softmax", "(SOFTMAX)", "import the float model"],
            ["resize_bilinear", "(RESIZE_BILINEAR)", "import the float model"],
        ],
    ),
];
const STATE_DICT: [[&str; 3]; 3] = [
    ["decoder.1.weight", "kernel of a convolution", "export the model as ONNX"],
    ["encoder.weight_hh_l0", "recurrent layer", "use a network of Linear layers"],
    ["scale", "neither weight nor bias", "leave it out"],
];
const KERAS: [[&str; 3]; 3] = [
    ["norm", "(LayerNormalization)", "use BatchNormalization"],
    ["slopes", "(PReLU)", "use ReLU"],
    ["shares", "(Softmax)", "use ReLU"],
];

#[test]
fn three_problems_are_told_at_once_in_every_format() {
    let shop = Workshop::empty();
    for (file, problems) in FILES {
        let path = format!("{}/fixtures/unread/{file}", env!("CARGO_MANIFEST_DIR"));
        let output = shop.run(&["import", &path, "-o", "out.safetensors"]);
        assert_eq!(output.status.code(), Some(2), "{file}");
        let text = stderr(&output);
        let flat: String =
            text.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        // Behind the summary each problem has a paragraph with its remedy.
        let paragraphs: Vec<&str> = flat.split('×').skip(2).collect();
        for [layer, operator, remedy] in problems {
            let told = |paragraph: &&&str| {
                let (what, help) = paragraph.split_once("help:").unwrap_or((paragraph, ""));
                what.contains(layer) && what.contains(operator) && help.contains(remedy)
            };
            assert!(paragraphs.iter().any(|p| told(&p)), "{file}: {layer} {operator}\n{text}");
        }
        assert!(!shop.path("out.safetensors").exists(), "{file}");
    }
}
