//! `picovae inspect`: layers, shapes, sizes and what the device will need.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use picovae::cost::{CORES, LayerCost};
use picovae::emit::Blob;
use picovae::graph::{BandScale, Frontend, Spectrum, Taper, Vae};
use picovae::needs::needs;
use picovae::quantize::{QuantizeOptions, WeightBits};
use picovae::simulate::real_score;
use picovae_core::model::wire::Likelihood;
use picovae_core::model::{Matrix, Operator, Output};
use serde::Serialize;

use super::model_file::{ForeignArgs, ModelFile, open};
use crate::args::file_name;
use crate::printer::{Listing, Printer, Table};

/// Arguments of `picovae inspect`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae inspect fan.pvae
  picovae inspect vae.onnx --json | jq .macs

For float weights, blob and arena bytes are those of the blob `picovae quantize` would write.")]
pub struct InspectArgs {
    /// A model of any format, or a blob.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    foreign: ForeignArgs,
}

/// JSON of `picovae inspect --json`.
#[derive(Debug, Serialize)]
struct InspectReport {
    file: String,
    kind: &'static str,
    name: String,
    params: usize,
    macs: usize,
    blob_bytes: Option<usize>,
    arena_bytes: Option<usize>,
    window_len: usize,
    hop: usize,
    channels: usize,
    remove_mean: bool,
    decimate: usize,
    average: usize,
    spectrum: Option<SpectrumReport>,
    input_lsb: Vec<f32>,
    latent: usize,
    variational: bool,
    likelihood: &'static str,
    score: &'static str,
    threshold: Option<f64>,
    source: String,
    source_sha256: String,
    tool: String,
    /// Predicted instructions an inference, by core; `null` where an operator was not measured.
    instructions: BTreeMap<&'static str, Option<u64>>,
    layers: Vec<LayerReport>,
}

/// The spectrum of a front-end.
#[derive(Debug, Serialize)]
struct SpectrumReport {
    frame_len: usize,
    frame_hop: usize,
    stack: usize,
    taper: &'static str,
    bands: usize,
    scale: &'static str,
}

impl SpectrumReport {
    fn of_float(spectrum: &Spectrum) -> Self {
        Self {
            frame_len: spectrum.frame_len,
            frame_hop: spectrum.frame_hop,
            stack: spectrum.stack,
            taper: match spectrum.taper {
                Taper::None => "none",
                Taper::Hann => "hann",
            },
            bands: spectrum.bands,
            scale: match spectrum.scale {
                BandScale::Linear => "linear",
                BandScale::Log => "log",
                BandScale::LogMel => "log-mel",
            },
        }
    }

    /// The blob holds edges: whether they are linear or logarithmic is for the eye.
    fn of_wire(spectrum: &picovae_core::model::wire::sections::Spectrum) -> Self {
        Self {
            frame_len: 1 << spectrum.log2_len,
            frame_hop: spectrum.frame_hop.into(),
            stack: spectrum.stack.into(),
            taper: match spectrum.taper {
                picovae_core::frontend::Taper::None => "none",
                picovae_core::frontend::Taper::Hann => "hann",
            },
            bands: spectrum.bands.into(),
            scale: if spectrum.triangles.is_some() { "triangles" } else { "sums" },
        }
    }
}

impl std::fmt::Display for SpectrumReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { frame_len, frame_hop, stack, taper, bands, scale } = self;
        write!(f, "{stack} x {frame_len} samples, hop {frame_hop}, {taper}, {bands} bands, {scale}")
    }
}

/// One layer.
#[derive(Debug, Serialize)]
struct LayerReport {
    name: String,
    part: &'static str,
    op: &'static str,
    inputs: usize,
    outputs: usize,
    activation: String,
    output: &'static str,
    params: usize,
    macs: usize,
    weight_bytes: usize,
    weight_bits: u8,
    /// Shapes as length x width x channels, where the file tells them.
    input_shape: Option<String>,
    output_shape: Option<String>,
    /// Least and greatest weight of float layers.
    weight_range: Option<[f32; 2]>,
}

/// Runs the verb.
pub fn run(args: InspectArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    let file = file_name(&args.file);
    let report = match open(&args.file, &args.foreign)? {
        ModelFile::Float { vae, .. } => of_float(file, &vae),
        ModelFile::Blob(blob) => of_blob(file, &blob)?,
    };
    let mut table = Table::new([
        "layer",
        "part",
        "op",
        "in",
        "out",
        "activation",
        "writes",
        "params",
        "MACs",
        "weight bytes",
    ]);
    for layer in &report.layers {
        table.row([
            layer.name.clone(),
            layer.part.into(),
            layer.op.into(),
            layer.input_shape.clone().unwrap_or_else(|| layer.inputs.to_string()),
            layer.output_shape.clone().unwrap_or_else(|| layer.outputs.to_string()),
            layer.activation.clone(),
            layer.output.into(),
            layer.params.to_string(),
            layer.macs.to_string(),
            layer.weight_bytes.to_string(),
        ]);
    }
    let bytes = |bytes: Option<usize>| {
        bytes.map_or("not quantizable as it is".into(), |b| format!("{b} bytes"))
    };
    let known = report.instructions.iter().filter_map(|(core, n)| Some((core, (*n)?)));
    let cores: Vec<String> = known.map(|(core, n)| format!("{n} {core}")).collect();
    let cores =
        if cores.is_empty() { "an operator is not measured".into() } else { cores.join(", ") };
    let listing = Listing::new()
        .row("name", &report.name)
        .row("kind", report.kind)
        .row(
            "window",
            format!(
                "{} frames x {} channels, hop {}",
                report.window_len, report.channels, report.hop
            ),
        )
        .row(
            "decimation",
            match (report.decimate, report.average) {
                (1, 1) => "none".into(),
                (factor, 1) => factor.to_string(),
                (factor, average) => format!("means of {average} frames, one every {factor}"),
            },
        )
        .row("spectrum", report.spectrum.as_ref().map_or("none".into(), ToString::to_string))
        .row(
            "latent",
            format!(
                "{}{}",
                report.latent,
                if report.variational { ", variational" } else { ", plain autoencoder" }
            ),
        )
        .row("likelihood", report.likelihood)
        .row("score", report.score)
        .row("threshold", report.threshold.map_or("none".into(), |t| format!("{t:.5}")))
        .row("parameters", report.params)
        .row("MACs", report.macs)
        .row("blob (flash)", bytes(report.blob_bytes))
        .row("arena (RAM)", bytes(report.arena_bytes))
        .row("instructions, predicted", cores)
        .row("source", format!("{} {}", report.source, report.source_sha256))
        .row("tool", &report.tool);
    printer.report(&report, &format!("{listing}\n{table}"))?;
    Ok(ExitCode::SUCCESS)
}

fn of_float(file: String, vae: &Vae) -> InspectReport {
    let predicted = needs(vae, &QuantizeOptions::default(), "portable").ok();
    let heads = 1 + usize::from(vae.logvar.is_some());
    let layers = vae.layers().enumerate().map(|(i, layer)| LayerReport {
        name: layer.name.clone(),
        part: if i < vae.encoder.len() {
            "encoder"
        } else if i < vae.encoder.len() + heads {
            "head"
        } else {
            "decoder"
        },
        op: layer.op.name(),
        inputs: layer.input_len(),
        outputs: layer.output_len(),
        activation: layer.activation.to_string(),
        output: "f32",
        params: layer.params(),
        macs: layer.macs(),
        weight_bytes: 4 * layer.params(),
        weight_bits: 32,
        input_shape: Some(layer.op.input().to_string()),
        output_shape: Some(layer.op.output().to_string()),
        weight_range: range(layer.op.weight()),
    });
    InspectReport {
        file,
        kind: "float",
        name: vae.name.clone(),
        params: vae.params(),
        macs: vae.macs(),
        blob_bytes: predicted.map(|needs| needs.blob_bytes),
        arena_bytes: predicted.map(|needs| needs.arena_bytes),
        window_len: vae.frontend.window_len,
        hop: vae.frontend.hop,
        channels: vae.frontend.channels,
        remove_mean: vae.frontend.remove_mean,
        decimate: vae.frontend.decimate,
        average: vae.frontend.average,
        spectrum: vae.frontend.spectrum.as_ref().map(SpectrumReport::of_float),
        input_lsb: vae.frontend.input_lsb.clone(),
        latent: vae.latent_len(),
        variational: vae.logvar.is_some(),
        likelihood: match vae.likelihood {
            picovae::graph::Likelihood::Bernoulli => "bernoulli",
            picovae::graph::Likelihood::Gaussian { .. } => "gaussian",
        },
        score: vae.score.name(),
        threshold: None,
        source: vae.provenance.source.clone(),
        source_sha256: vae.provenance.sha256.clone(),
        tool: vae.provenance.tool.clone(),
        instructions: instructions(&LayerCost::of_model(vae, &WeightBits::default())),
        layers: layers.collect(),
    }
}

/// Least and greatest of some weights; `None` of a pool.
fn range(weights: &[f32]) -> Option<[f32; 2]> {
    let first = *weights.first()?;
    let wider = |[low, high]: [f32; 2], w: &f32| [low.min(*w), high.max(*w)];
    Some(weights.iter().fold([first, first], wider))
}

/// Predicted instructions an inference on every core.
fn instructions(layers: &[LayerCost]) -> BTreeMap<&'static str, Option<u64>> {
    CORES.iter().map(|cost| (cost.core, cost.instructions(layers))).collect()
}

/// Trained numbers and bytes of an operator's matrices; a bias an output channel.
fn sizes(matrices: &[Matrix<'_>]) -> (usize, usize) {
    let weights: usize = matrices.iter().map(|matrix| matrix.inputs() * matrix.outputs()).sum();
    let biases = matrices.first().map_or(0, Matrix::outputs);
    (weights + biases, matrices.iter().map(|matrix| matrix.weights().len()).sum())
}

fn of_blob(file: String, blob: &Blob) -> miette::Result<InspectReport> {
    let model = blob.model()?;
    let description = model.description();
    let (mut layers, mut costs) = (Vec::new(), Vec::new());
    for (index, view) in (0..model.layer_count()).filter_map(|i| Some((i, model.layer(i)?))) {
        let (params, weight_bytes) = match &view.operator {
            Operator::FullyConnected(matrix)
            | Operator::Convolution(_, matrix)
            | Operator::DepthwiseConvolution(_, matrix) => sizes(&[*matrix]),
            Operator::TransposedConvolution(phases) => {
                let [length, width] = phases.geometry().stride();
                let matrices: Vec<_> = (0..length)
                    .flat_map(|l| (0..width).map(move |w| (l, w)))
                    .filter_map(|(l, w)| phases.matrix(l, w))
                    .collect();
                sizes(&matrices)
            }
            _ => sizes(&[]),
        };
        let cost = LayerCost::of_blob(view);
        let LayerCost { op, macs, bits: weight_bits, .. } = cost;
        costs.push(cost);
        let (activation, output) = match view.output {
            Output::Int8 { table: Some(_), .. } => ("table", "int8"),
            Output::Int8 { min, max: 127, zero_point, .. } if min == zero_point => ("relu", "int8"),
            Output::Int8 { min: -128, max: 127, .. } => ("identity", "int8"),
            Output::Int8 { .. } => ("clamp", "int8"),
            Output::Int16 => ("identity", "int16"),
            Output::Widened { .. } => ("table", "int16"),
        };
        let part = if index + 1 < model.encoder_len() {
            "encoder"
        } else if index < model.encoder_len() {
            "head"
        } else {
            "decoder"
        };
        layers.push(LayerReport {
            name: model.layer_name(index).to_string(),
            part,
            op,
            inputs: view.input_len(),
            outputs: view.output_len(),
            activation: activation.into(),
            output,
            params,
            macs,
            weight_bytes,
            weight_bits,
            input_shape: None,
            output_shape: None,
            weight_range: None,
        });
    }
    let provenance = model.provenance();
    Ok(InspectReport {
        file,
        kind: "blob",
        name: model.name().to_string(),
        params: layers.iter().map(|layer| layer.params).sum(),
        macs: layers.iter().map(|layer| layer.macs).sum(),
        blob_bytes: Some(blob.bytes().len()),
        arena_bytes: Some(model.arena_len()),
        window_len: description.frontend.window_len.into(),
        hop: description.frontend.hop.into(),
        channels: description.frontend.channels.into(),
        remove_mean: description.frontend.remove_mean,
        decimate: model.sections().decimation.map_or(1, |decimation| decimation.factor.into()),
        average: model.sections().decimation.map_or(1, |decimation| {
            let taps = usize::from(decimation.taps);
            // One step of the anti-alias filter is as long as its taps.
            let low_pass = taps == Frontend::window_for(1, decimation.factor.into(), 1);
            if low_pass { 1 } else { taps }
        }),
        spectrum: model.sections().spectrum.as_ref().map(SpectrumReport::of_wire),
        input_lsb: model.lsb_bits().iter().map(|bits| f32::from_bits(*bits)).collect(),
        latent: model.latent_len(),
        variational: description.latent.has_logvar,
        likelihood: match description.likelihood {
            Likelihood::Bernoulli => "bernoulli",
            Likelihood::Gaussian { .. } => "gaussian",
        },
        score: model.score_kind().name(),
        threshold: model.threshold().map(|score| real_score(score, model.score_kind())),
        source: provenance.source.to_string(),
        source_sha256: provenance.source_sha256.to_string(),
        tool: provenance.tool.to_string(),
        instructions: instructions(&costs),
        layers,
    })
}
