//! The chains of `chains.toml`.

use anyhow::{Context, Result};
use serde::Deserialize;

/// Everything in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chains {
    /// Trains the teacher.
    pub teacher: String,
    /// Gives it further steps.
    pub further: String,
    /// The chains.
    pub chain: Vec<Chain>,
}

/// From the teacher to a blob.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// Name of the row.
    pub model: String,
    /// Epochs of all steps together.
    pub epochs: usize,
    /// Verbs with their arguments.
    pub steps: Vec<String>,
    /// `--weight-bits` of the quantization; without, what training settled on.
    #[serde(default)]
    pub bits: Option<String>,
    /// What the row must reach; none for a row that is only shown.
    #[serde(default, deserialize_with = "one_or_many")]
    pub requires: Vec<Required>,
}

/// What a row must reach.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Required {
    /// At least so many times smaller than the float network.
    pub ratio: f64,
    /// Negative ELBO over the float's, less one, at most.
    pub elbo: f64,
    /// AUC lost, at most.
    pub auc_loss: f64,
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Required>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        One(Required),
        Many(Vec<Required>),
    }
    Ok(match Either::deserialize(from)? {
        Either::One(one) => vec![one],
        Either::Many(many) => many,
    })
}

impl Chains {
    /// Reads them; `quick` cuts every count of epochs to one.
    pub fn read(quick: bool) -> Result<Self> {
        let mut chains: Self =
            toml::from_str(include_str!("chains.toml")).context("reading chains.toml")?;
        if quick {
            let steps = chains.chain.iter_mut().flat_map(|chain| &mut chain.steps);
            for step in steps.chain([&mut chains.teacher]) {
                *step = one_epoch(step);
            }
            chains.chain.iter_mut().for_each(|chain| chain.epochs = chain.steps.len());
        }
        Ok(chains)
    }

    /// Epochs of the longest chain: what the teacher gets on top, whichever chain it is held against.
    pub fn longest(&self) -> usize {
        self.chain.iter().map(|chain| chain.epochs).max().unwrap_or(0)
    }
}

fn one_epoch(step: &str) -> String {
    let mut cut = false;
    let words = step.split(' ').map(|word| {
        let now = std::mem::replace(&mut cut, matches!(word, "--epochs" | "--rounds" | "--starts"));
        if now { "1" } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}

impl Chain {
    /// The whole chain as commands.
    pub fn spell(&self, chains: &Chains) -> String {
        let bits = self.bits.as_ref().map(|bits| format!(" --weight-bits {bits}"));
        let quantize =
            format!("quantize {{last}} --calibrate {{train}}{}", bits.unwrap_or_default());
        let steps = std::iter::once(&chains.teacher).chain(&self.steps).chain([&quantize]);
        steps.cloned().collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_reads_and_its_epochs_add_up() {
        let chains = Chains::read(false).unwrap();
        for chain in &chains.chain {
            let number = |step: &str, option: &str| -> usize {
                let mut words = step.split(' ').skip_while(|word| *word != option);
                words.nth(1).map_or(1, |word| word.parse().unwrap())
            };
            let epochs = |step: &String| match step.starts_with("prune") {
                // Pruning doubles its last round.
                true => number(step, "--epochs") * (number(step, "--rounds") + 1),
                // A beginning that is not gone on with took an epoch too.
                false => number(step, "--epochs") + number(step, "--starts") - 1,
            };
            assert_eq!(chain.steps.iter().map(epochs).sum::<usize>(), chain.epochs, "{chain:?}");
        }
        let quick = Chains::read(true).unwrap();
        assert!(quick.teacher.contains("--epochs 1 --lr"), "{}", quick.teacher);
    }
}
