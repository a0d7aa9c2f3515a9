//! `--weight-bits auto --flash BYTES`: bits layer by layer, by what the model minds least.

use miette::{IntoDiagnostic, miette};
use picovae::compress::{Sensitivities, Sensitivity};
use picovae::graph::Vae;
use picovae::quantize::{QuantizeOptions, Ranges, WeightBits, lower};
use picovae::recording::WindowSet;
use picovae::simulate::{DetectorOptions, assemble};

use super::progress;
use crate::printer::Table;

/// Values of `--weight-bits`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BitsArg {
    /// Chosen to come under `--flash`.
    Auto,
    /// Given.
    Given(WeightBits),
}

impl std::str::FromStr for BitsArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "auto" { Ok(Self::Auto) } else { text.parse().map(Self::Given) }
    }
}

/// The flash that `bits` are to be chosen for; `None` where they are given.
pub fn wanted(bits: Option<&BitsArg>, flash: Option<usize>) -> miette::Result<Option<usize>> {
    match (bits, flash) {
        (Some(BitsArg::Auto), Some(flash)) => Ok(Some(flash)),
        (Some(BitsArg::Auto), None) => Err(miette!(
            help = "e.g. `--weight-bits auto --flash 64K`",
            "`--weight-bits auto` needs `--flash`, the bytes the blob may take"
        )),
        (_, Some(_)) => Err(miette!(
            help = "write `--weight-bits auto --flash 64K`",
            "`--flash` is for `--weight-bits auto`, which chooses bits to come under it"
        )),
        (_, None) => Ok(None),
    }
}

/// Tries blobs until one, threshold and all, takes at most `flash` bytes.
pub fn choose(
    vae: &Vae,
    ranges: &Ranges,
    options: &QuantizeOptions,
    set: &WindowSet<'_>,
    detector: &DetectorOptions,
    flash: usize,
) -> miette::Result<(WeightBits, Vec<Sensitivity>)> {
    let bar = progress::steps();
    let target = &detector.target;
    let mut found = Sensitivities::measure(vae, ranges, options, set, target, &bar)?;
    bar.finish_and_clear();
    let mut limit = flash;
    loop {
        let weight_bits = found.choose(limit)?;
        let options = QuantizeOptions { weight_bits, ..options.clone() };
        // What a decision, a threshold and a score bring along is known only then.
        let blob = assemble(lower(vae, ranges, &options)?, set, detector).into_diagnostic()?.blob;
        match blob.bytes().len().checked_sub(flash) {
            None | Some(0) => return Ok((options.weight_bits, found.layers)),
            Some(excess) => limit = limit.saturating_sub(excess),
        }
    }
}

/// The table of sensitivities.
pub fn table(layers: &[Sensitivity]) -> String {
    let mut table = Table::new(["layer", "4 bits save", "and raise the loss by", "bits"]);
    for layer in layers {
        table.row([
            layer.layer.clone(),
            format!("{} bytes", layer.bytes_saved),
            format!("{:+.4} nats", layer.loss_rise),
            layer.bits.to_string(),
        ]);
    }
    table.to_string()
}
