//! From a file's graph to a model: parts told by structure, batch
//! normalization and constants folded, activations fused, flattening undone.
//!
//! | module | what it does |
//! |---|---|
//! | `rewrite` | reads idioms of several nodes as one operator |
//! | `parts` | finds input, sampling, heads, reconstruction |
//! | `chains` | splits encoder, heads and decoder |
//! | `lower` | turns nodes into layers, one after the other |
//! | `layers`, `kernels`, `fold` | the layers, their weights, what goes into them |
//! | `repeats` | upsampling, zeros around windows |
//! | `stage` | layers in the making, and views of what they store |
//!
//! Every step is exact but for rounding; what has no exact equivalent is
//! refused by name, all of it in one pass.

mod chains;
mod fold;
mod kernels;
mod layers;
mod lower;
mod parts;
mod repeats;
mod rewrite;
mod stage;

use super::network::Network;
use super::state_dict::stem;
use super::{ForeignOptions, Problem};
use crate::graph::{
    Activation, Frontend, Likelihood, LikelihoodKind, Provenance, ScoreKind, TOOL, Vae,
};
use chains::{Assembly, Chains};
use parts::Analysis;

/// A model, and what its user should know about how the file was read.
#[derive(Debug)]
pub(crate) struct Assembled {
    pub(crate) vae: Vae,
    pub(crate) notes: Vec<String>,
}

/// Makes a model of a graph. `file_name` becomes its name and provenance.
///
/// # Errors
/// Every problem found, at least one.
pub(crate) fn assemble(
    network: &Network,
    options: &ForeignOptions,
    file_name: &str,
) -> Result<Assembled, Vec<Problem>> {
    if !network.problems().is_empty() {
        return Err(network.problems().to_vec());
    }
    let mut analysis = Analysis::new(network);
    let parts = match analysis.parts() {
        Some(parts) if analysis.problems.is_empty() => parts,
        _ => return Err(analysis.problems),
    };
    let notes = std::mem::take(&mut analysis.notes);
    let mut assembly =
        Assembly { network, analysis: &analysis, options, notes, problems: Vec::new() };
    let chains = match &parts.heads {
        Some(heads) => assembly.variational(parts.input, heads, parts.reconstruction),
        None => assembly.plain(parts.input, parts.reconstruction),
    };
    let vae = chains.map(|chains| assembly.finish(chains, file_name));
    match vae {
        Some(vae) if assembly.problems.is_empty() => {
            for layer in vae.layers() {
                if let Err(error) = layer.op.validate(&layer.name) {
                    assembly.problems.push(Problem::new(
                        &layer.name,
                        error.to_string(),
                        "change the layer and train again; `docs/import.md` lists what fits",
                    ));
                }
            }
            if assembly.problems.is_empty() {
                Ok(Assembled { vae, notes: assembly.notes })
            } else {
                Err(assembly.problems)
            }
        }
        _ => Err(assembly.problems),
    }
}

impl Assembly<'_, '_> {
    fn finish(&mut self, chains: Chains, file_name: &str) -> Vae {
        let Chains { encoder, mu, logvar, mut decoder, window, is_signal } = chains;
        let sigmoid = decoder.last().is_some_and(|l| l.activation == Activation::Sigmoid);
        let likelihood = self.options.likelihood.unwrap_or(if sigmoid {
            LikelihoodKind::Bernoulli
        } else {
            LikelihoodKind::Gaussian
        });
        if sigmoid
            && likelihood == LikelihoodKind::Bernoulli
            && let Some(last) = decoder.last_mut()
            && last.op.bias().is_some()
        {
            // It belongs to the likelihood: the decoder emits logits.
            last.activation = Activation::Identity;
        }
        let score = self.options.score.unwrap_or(if logvar.is_some() {
            ScoreKind::NegativeElbo
        } else {
            ScoreKind::ReconstructionError
        });
        let signal = || Frontend::identity(window.length, window.length, window.channels);
        let frontend = match (&self.options.frontend, likelihood) {
            (Some(frontend), _) => frontend.clone(),
            (None, LikelihoodKind::Bernoulli) if window.channels == 1 => {
                Frontend::image(window.length)
            }
            (None, _) => signal(),
        };
        if is_signal && window.channels > 1 {
            self.notes.push(format!(
                "recordings are read as {} frames of {} channels",
                window.length, window.channels
            ));
        }
        let mut vae = Vae {
            name: self.options.name.clone().unwrap_or_else(|| stem(file_name)),
            frontend,
            encoder,
            mu,
            logvar,
            decoder,
            likelihood: match likelihood {
                LikelihoodKind::Bernoulli => Likelihood::Bernoulli,
                LikelihoodKind::Gaussian => Likelihood::Gaussian { precision: None },
            },
            score,
            provenance: Provenance {
                source: file_name.to_string(),
                tool: TOOL.into(),
                ..Provenance::default()
            },
            pruned_blocks: false,
        };
        name_apart(&mut vae);
        vae
    }
}

/// Every layer has its own name: files and reports go by it.
fn name_apart(vae: &mut Vae) {
    if let Some(logvar) = &mut vae.logvar
        && logvar.name == vae.mu.name
    {
        // One layer of the file holds both.
        (vae.mu.name, logvar.name) = ("mu".into(), "logvar".into());
    }
    let mut taken = std::collections::HashSet::new();
    let heads = std::iter::once(&mut vae.mu).chain(&mut vae.logvar);
    for layer in vae.encoder.iter_mut().chain(heads).chain(&mut vae.decoder) {
        let mut name = layer.name.clone();
        let mut count = 1;
        while !taken.insert(name.clone()) {
            count += 1;
            name = format!("{}.{count}", layer.name);
        }
        layer.name = name;
    }
}

#[cfg(test)]
mod tests;
