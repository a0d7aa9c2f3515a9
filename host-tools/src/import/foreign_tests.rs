//! Layouts of foreign state dicts, and what is refused about them.

use super::tests::{PATH, STACKED, dict, import, problems};
use super::*;
use crate::graph::tests::tiny;
use crate::graph::{Activation, Frontend, Layer, LikelihoodKind, Op};
use std::path::Path;

/// Weights only, as `(name, outputs, inputs)`.
fn weights(layers: &[(&str, usize, usize)]) -> Vec<u8> {
    let names: Vec<String> = layers.iter().map(|(name, ..)| format!("{name}.weight")).collect();
    let shapes: Vec<[usize; 2]> = layers.iter().map(|(_, out, input)| [*out, *input]).collect();
    let tensors: Vec<(&str, &[usize])> =
        names.iter().zip(&shapes).map(|(name, shape)| (name.as_str(), &shape[..])).collect();
    dict(&tensors)
}

fn names(layers: &[Layer]) -> Vec<&str> {
    layers.iter().map(|layer| layer.name.as_str()).collect()
}

fn subjects(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.subject.as_str()).collect()
}

#[test]
fn log_sigma_heads_are_doubled() {
    for (logvar, factor) in [
        ("fc_logsigma", 2.0),
        ("encoder.log_sigma", 2.0),
        ("z_log_std", 2.0),
        ("enc_logstd", 2.0),
        ("fc_var", 1.0),
        ("var", 1.0),
        ("linear3_logvar", 1.0),
        ("z_log_sigma_sq", 1.0),
    ] {
        let (weight, bias) = (format!("{logvar}.weight"), format!("{logvar}.bias"));
        let vae = import(&dict(&[
            ("encoder.0.weight", &[8, 6]),
            ("fc_mu.weight", &[2, 8]),
            (&weight, &[2, 8]),
            (&bias, &[2]),
            ("decoder.0.weight", &[6, 2]),
        ]))
        .unwrap();
        let Op::FullyConnected { weight, bias } = &vae.logvar.as_ref().unwrap().op else {
            panic!("fully connected")
        };
        assert!(weight.iter().chain(bias).all(|x| *x == 0.5 * factor), "{logvar}");
        let Op::FullyConnected { weight, .. } = &vae.mu.op else { panic!("fully connected") };
        assert!(weight.iter().all(|x| *x == 0.5));
    }
}

#[test]
fn standard_deviations_are_refused_by_name() {
    for sigma in ["sigma", "fc_sigma", "encoder.std", "z_stddev"] {
        let found = problems(&weights(&[
            ("encoder.0", 8, 6),
            ("fc_mu", 2, 8),
            (sigma, 2, 8),
            ("decoder.0", 6, 2),
        ]));
        assert_eq!(subjects(&found), [sigma]);
        assert!(found[0].remedy.contains("ln σ²"), "{found:?}");
    }
    let found = problems(&weights(&[
        ("encoder.0", 4, 6),
        ("decoder.0", 8, 2),
        ("decoder.mu", 6, 8),
        ("decoder.logvar", 6, 8),
    ]));
    assert_eq!(subjects(&found), ["decoder.logvar"]);
}

#[test]
fn numbered_layouts() {
    for stem in ["fc", "linear", "lin", "l", "dense", "fc_"] {
        let name = |n: u32| format!("{stem}{n}");
        let vae = import(&weights(&[
            (&name(1), 9, 6),
            (&name(2), 8, 9),
            (&name(31), 2, 8),
            (&name(32), 2, 8),
            (&name(4), 8, 2),
            (&name(5), 9, 8),
            (&name(6), 6, 9),
        ]))
        .unwrap();
        assert_eq!(names(&vae.encoder), [name(1), name(2)]);
        assert_eq!(names(&vae.decoder), [name(4), name(5), name(6)]);
        assert_eq!((vae.mu.name, vae.logvar.unwrap().name), (name(31), name(32)));
    }
    // Named heads: the widths tell where the decoder begins.
    let vae = import(&weights(&[
        ("fc1", 9, 6),
        ("fc2", 8, 9),
        ("fc_mu", 2, 8),
        ("fc_logvar", 2, 8),
        ("fc3", 8, 2),
        ("fc4", 6, 8),
    ]))
    .unwrap();
    assert_eq!(
        (names(&vae.encoder), names(&vae.decoder)),
        (vec!["fc1", "fc2"], vec!["fc3", "fc4"])
    );
    // Twenty layers in a row are no heads.
    let many: Vec<String> = (1..=22).map(|n| format!("fc{n}")).collect();
    let layers: Vec<_> = many.iter().map(|name| (name.as_str(), 4, 4)).collect();
    assert_eq!(problems(&weights(&layers)).len(), 22);
}

#[test]
fn enc_and_dec_with_numbers() {
    let vae = import(&weights(&[
        ("enc1", 9, 6),
        ("enc2", 8, 9),
        ("enc_mu", 2, 8),
        ("enc_logvar", 2, 8),
        ("dec1", 9, 2),
        ("dec10", 6, 9),
        ("dec2", 9, 9),
    ]))
    .unwrap();
    assert_eq!(names(&vae.encoder), ["enc1", "enc2"]);
    assert_eq!(names(&vae.decoder), ["dec1", "dec2", "dec10"]);
}

#[test]
fn names_met_in_the_wild() {
    // Encoder, mu, logvar, decoder; six features, a latent of two.
    const WILD: [[&str; 5]; 12] = [
        [
            "Encoder.FC_input",
            "Encoder.FC_mean",
            "Encoder.FC_var",
            "Decoder.FC_hidden",
            "Decoder.FC_output",
        ],
        ["encoder.0", "mean_layer", "logvar_layer", "decoder.0", "decoder.2"],
        ["encoder.fc1", "encoder.fc_mu", "encoder.fc_logvar", "decoder.fc1", "decoder.fc2"],
        ["enc.0", "to_mu", "to_logvar", "dec.0", "dec.2"],
        ["encoder.0", "mu_head", "logvar_head", "decoder.0", "decoder.2"],
        ["encoder.0", "hidden2mu", "hidden2logvar", "decoder.0", "decoder.2"],
        ["fc1", "fc2_mu", "fc2_logvar", "fc3", "fc4"],
        ["linear_encoder.0", "linear_mu", "linear_log_var", "linear_decoder.0", "linear_decoder.2"],
        ["img_2hid", "hid_2mu", "hid_2logvar", "z_2hid", "hid_2img"],
        ["encoder.0", "enc_mu", "enc_lv", "latent_to_hidden", "decoder.0"],
        ["inference_net.0", "q_mean", "q_logvar", "generative_net.0", "generative_net.2"],
        ["enc_fc1", "enc_mu", "enc_logvar", "dec_fc1", "dec_fc2"],
    ];
    for wild in WILD {
        let [encoder, mu, logvar, first, last] = wild;
        let layers = [(encoder, 9, 6), (mu, 2, 9), (logvar, 2, 9), (first, 9, 2), (last, 6, 9)];
        let vae = import(&weights(&layers)).unwrap_or_else(|e| panic!("{wild:?}: {e}"));
        assert_eq!(names(&vae.encoder), [encoder]);
        assert_eq!((vae.mu.name.as_str(), vae.logvar.unwrap().name.as_str()), (mu, logvar));
        assert_eq!(names(&vae.decoder), [first, last]);
    }
    // What multiplies the noise as it is, is no ln of anything; that is all that is said.
    let found = problems(&weights(&[
        ("img_2hid", 9, 6),
        ("hid_2mu", 2, 9),
        ("hid_2sigma", 2, 9),
        ("z_2hid", 9, 2),
        ("hid_2img", 6, 9),
    ]));
    assert_eq!(subjects(&found), ["hid_2sigma"]);
}

const NESTED: [(&str, usize, usize); 8] = [
    ("encoder.0.0", 9, 6),
    ("encoder.1.0", 8, 9),
    ("fc_mu", 2, 8),
    ("fc_var", 2, 8),
    ("decoder_input", 8, 2),
    ("decoder.0.0", 9, 8),
    ("decoder.1.0", 8, 9),
    ("final_layer.0", 6, 8),
];

#[test]
fn nested_sequentials_with_decoder_input() {
    let vae = import(&weights(&NESTED)).unwrap();
    assert_eq!(names(&vae.encoder), ["encoder.0.0", "encoder.1.0"]);
    let decoder = ["decoder_input", "decoder.0.0", "decoder.1.0", "final_layer.0"];
    assert_eq!(names(&vae.decoder), decoder);
    assert_eq!(vae.decoder[0].activation, Activation::Identity);
    assert_eq!(vae.decoder[1].activation, Activation::Relu);
    assert_eq!(vae.decoder[3].activation, Activation::Identity);
}

#[test]
fn refused_tensors_are_not_missed_in_the_chain() {
    let names: Vec<String> = NESTED.iter().map(|(name, ..)| format!("{name}.weight")).collect();
    let shapes: Vec<[usize; 2]> = NESTED.iter().map(|(_, out, input)| [*out, *input]).collect();
    let mut tensors: Vec<(&str, &[usize])> =
        names.iter().zip(&shapes).map(|(name, shape)| (name.as_str(), &shape[..])).collect();
    // A convolution in the place of a Linear, and a batch normalization.
    tensors[1] = ("encoder.1.0.weight", &[8, 9, 3, 3]);
    tensors[6] = ("decoder.1.0.weight", &[8, 9, 3, 3]);
    tensors.push(("encoder.0.1.running_mean", &[9]));
    let mut found = problems(&dict(&tensors));
    found.sort_by(|a, b| a.subject.cmp(&b.subject));
    let wanted = ["decoder.1.0.weight", "encoder.0.1.running_mean", "encoder.1.0.weight"];
    assert_eq!(subjects(&found), wanted);
}

#[test]
fn order_by_widths_or_not_at_all() {
    // Alphabetical order would not chain; the widths do.
    let vae = import(&weights(&[
        ("encoder.wide", 9, 6),
        ("encoder.narrow", 8, 9),
        ("fc_mu", 2, 8),
        ("decoder.first", 8, 2),
        ("decoder.end", 6, 8),
    ]))
    .unwrap();
    assert_eq!(names(&vae.encoder), ["encoder.wide", "encoder.narrow"]);
    assert_eq!(names(&vae.decoder), ["decoder.first", "decoder.end"]);
    let found = problems(&weights(&[
        ("encoder.beta", 8, 8),
        ("encoder.alpha", 8, 8),
        ("fc_mu", 2, 8),
        ("decoder.0", 8, 2),
    ]));
    assert_eq!(subjects(&found), ["encoder.alpha, encoder.beta"]);
    assert!(found[0].remedy.contains("number them"));
    // Numbers decide however equal the widths are.
    let equal = [("encoder.0", 8, 8), ("encoder.10", 8, 8), ("encoder.2", 8, 8)];
    let mut layers = equal.to_vec();
    layers.extend([("fc_mu", 2, 8), ("decoder.0", 8, 2)]);
    let vae = import(&weights(&layers)).unwrap();
    assert_eq!(names(&vae.encoder), ["encoder.0", "encoder.2", "encoder.10"]);
}

#[test]
fn gaussian_models_need_no_frontend() {
    let options =
        ForeignOptions { likelihood: Some(LikelihoodKind::Gaussian), ..ForeignOptions::default() };
    let vae = parse_safetensors(Path::new(PATH), &dict(&STACKED), &options).unwrap();
    assert_eq!(vae.frontend, Frontend::identity(6, 6, 1));
}

#[test]
fn own_files_are_told_from_foreign_ones() {
    assert!(is_own(&to_safetensors(Path::new(PATH), &tiny()).unwrap()));
    assert!(!is_own(&dict(&STACKED)));
    assert!(!is_own(b"no safetensors") && !is_own(&[]));
}
