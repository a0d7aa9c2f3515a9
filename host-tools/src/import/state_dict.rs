//! Foreign PyTorch state dicts: which Linear layer plays which part.
//!
//! A state dict holds weights but no activations, no likelihood and no
//! front-end; [`ForeignOptions`] supplies them. Four layouts are recognized:
//!
//! - `encoder.N` and `decoder.N` (`nn.Sequential`, nested or not; also `enc1`,
//!   `dec1`), the last encoder layer holding mu and logvar stacked (twice the
//!   latent), or mu alone (a plain autoencoder);
//! - the same with heads of their own: `fc_mu`, `mu`, `z_mean`, … and
//!   `fc_logvar`, `fc_var`, `z_log_var`, …; a head for ln σ (`fc_logsigma`,
//!   `log_std`, …) is doubled to give ln σ²; `decoder_input`, which has no
//!   activation, and `final_layer` belong to the decoder;
//! - `fc1`, `fc21`, `fc22`, `fc3`, `fc4` of PyTorch's VAE example, with any
//!   number of layers and other stems (`linear`, `l`, `dense`, …);
//! - `fc1`, `fc2`, … with named heads, where the widths tell which layers come
//!   before the heads.

use super::assemble::Assembled;
use super::layout::{self, Parts};
use super::named_tensor::NamedTensor;
use super::tensors::Tensors;
use super::{ImportError, Problem};
use crate::graph::{
    Activation, Frontend, Layer, Likelihood, LikelihoodKind, Provenance, ScoreKind, TOOL, Vae,
};
use ndarray::{Axis, s};
use sha2::{Digest, Sha256};
use std::path::Path;

/// What a state dict does not say.
#[derive(Debug, Clone, PartialEq)]
pub struct ForeignOptions {
    /// After every hidden layer; the heads and the last decoder layer have
    /// none.
    pub activation: Activation,
    /// How features are distributed. For Bernoulli the decoder's last Linear
    /// is taken to emit logits: a sigmoid after it is not in the file. Without
    /// it state dicts are Bernoulli; graphs are where they end in a sigmoid,
    /// else Gaussian.
    pub likelihood: Option<LikelihoodKind>,
    /// How samples become features. Without it, Bernoulli models are taken to
    /// read u8 images divided by 255, Gaussian ones windows of one channel as
    /// they are, as long as the first layer has inputs.
    pub frontend: Option<Frontend>,
    /// Default score; without it the negative ELBO, or the reconstruction
    /// error for a plain autoencoder.
    pub score: Option<ScoreKind>,
    /// Name of the model; without it the file's name.
    pub name: Option<String>,
    /// Layer that is the latent of a plain autoencoder; without it the narrowest.
    pub latent: Option<String>,
}

impl Default for ForeignOptions {
    fn default() -> Self {
        Self {
            activation: Activation::Relu,
            likelihood: None,
            frontend: None,
            score: None,
            name: None,
            latent: None,
        }
    }
}

/// Makes a model of the tensors of a foreign state dict. `bytes` is the whole
/// file, for its hash.
///
/// # Errors
/// [`ImportError::Problems`] with everything that is wrong,
/// [`ImportError::Graph`] where the layers make no model.
pub(super) fn import(
    path: &Path,
    bytes: &[u8],
    list: &[NamedTensor<'_>],
    options: &ForeignOptions,
) -> Result<Assembled, ImportError> {
    let file_name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into());
    let names: Vec<&str> = list.iter().map(|tensor| tensor.name.as_str()).collect();
    let mut tensors = Tensors::read(list, &common_prefix(&names), false);
    let vae = assemble(&mut tensors, options, &file_name).map(|mut vae| {
        vae.provenance.sha256 = hex(&Sha256::digest(bytes));
        vae
    });
    finish(path, tensors, vae)
}

/// The model that was assembled, checked; or everything that is wrong.
pub(super) fn finish(
    path: &Path,
    tensors: Tensors,
    vae: Option<Vae>,
) -> Result<Assembled, ImportError> {
    let Some(mut vae) = vae.filter(|_| tensors.problems.is_empty()) else {
        return Err(ImportError::Problems { path: path.to_path_buf(), problems: tensors.problems });
    };
    strip_sigmoid(&mut vae);
    vae.validate().map_err(|source| ImportError::Graph { path: path.to_path_buf(), source })?;
    Ok(Assembled { vae, notes: tensors.notes })
}

/// Assembles a model; on failure `tensors.problems` says everything that is
/// wrong.
fn assemble(tensors: &mut Tensors, options: &ForeignOptions, file_name: &str) -> Option<Vae> {
    let parts = layout::assign(tensors);
    // What was refused by name breaks the chain; saying that, too, helps nobody.
    if tensors.problems.is_empty() {
        check_chain(tensors, &parts);
    }
    if !tensors.problems.is_empty() {
        return None;
    }
    let mut encoder: Vec<Layer> =
        parts.encoder.iter().filter_map(|name| tensors.take(name, options.activation)).collect();
    let last = parts.decoder.len().saturating_sub(1);
    let decoder: Vec<Layer> = parts
        .decoder
        .iter()
        .enumerate()
        .filter_map(|(i, name)| {
            let linear = i == last || layout::is_decoder_input(name);
            tensors.take(name, if linear { Activation::Identity } else { options.activation })
        })
        .collect();
    let (mu, mut logvar) = match &parts.mu {
        Some(name) => {
            let logvar = parts.logvar.as_ref();
            (
                tensors.take(name, Activation::Identity)?,
                logvar.and_then(|name| tensors.take(name, Activation::Identity)),
            )
        }
        None => {
            let mut stacked = encoder.pop()?;
            stacked.activation = Activation::Identity;
            let latent = decoder.first()?.input_len();
            if stacked.output_len() == latent {
                (stacked, None)
            } else {
                let (mu, logvar) = split(&stacked, latent);
                (mu, Some(logvar))
            }
        }
    };
    if parts.logvar_is_log_sigma
        && let Some((weight, bias)) = logvar.as_mut().and_then(|l| l.op.parameters_mut())
    {
        // ln σ² = 2 ln σ
        weight.iter_mut().for_each(|w| *w *= 2.0);
        *bias *= 2.0;
    }
    let features = encoder.first().unwrap_or(&mu).input_len();
    let likelihood = options.likelihood.unwrap_or(LikelihoodKind::Bernoulli);
    let frontend = match (&options.frontend, likelihood) {
        (Some(frontend), _) => frontend.clone(),
        (None, LikelihoodKind::Bernoulli) => Frontend::image(features),
        (None, LikelihoodKind::Gaussian) => Frontend::identity(features, features, 1),
    };
    let score = options.score.unwrap_or(if logvar.is_some() {
        ScoreKind::NegativeElbo
    } else {
        ScoreKind::ReconstructionError
    });
    Some(Vae {
        name: options.name.clone().unwrap_or_else(|| stem(file_name)),
        frontend,
        encoder,
        mu,
        logvar,
        decoder,
        likelihood: match likelihood {
            LikelihoodKind::Bernoulli => Likelihood::Bernoulli,
            LikelihoodKind::Gaussian => {
                Likelihood::Gaussian { precision: tensors.precision.take() }
            }
        },
        score,
        provenance: Provenance {
            source: file_name.to_string(),
            tool: TOOL.into(),
            ..Provenance::default()
        },
        pruned_blocks: false,
    })
}

/// Every layer must read what the one before it emits.
fn check_chain(tensors: &mut Tensors, parts: &Parts) {
    let mut problems = Vec::new();
    for (part, names) in [("encoder", &parts.encoder), ("decoder", &parts.decoder)] {
        let head_alone = part == "encoder" && parts.mu.is_some();
        if names.is_empty() && !head_alone {
            problems.push(Problem::new(
                part,
                "no Linear layer of that name in the file",
                format!("export the whole model; layers are named {part}.0, {part}.2, …"),
            ));
        }
    }
    let mut expect = |name: &str, from: &str, len: usize| match tensors.dim(name) {
        Some((_, input)) if input != len => problems.push(Problem::new(
            format!("{name}.weight"),
            format!("reads {input} values, but {from} gives {len}"),
            "check that all layers come from one model and their names give their order",
        )),
        _ => {}
    };
    for names in [&parts.encoder, &parts.decoder] {
        for pair in names.windows(2) {
            if let Some((out, _)) = tensors.dim(&pair[0]) {
                expect(&pair[1], &format!("`{}`", pair[0]), out);
            }
        }
    }
    if let Some(last) = parts.encoder.last()
        && let Some((out, _)) = tensors.dim(last)
    {
        for head in [&parts.mu, &parts.logvar].into_iter().flatten() {
            expect(head, &format!("`{last}`"), out);
        }
    }
    let dim = |name: Option<&String>| name.and_then(|name| tensors.dim(name));
    let latent = dim(parts.decoder.first()).map(|(_, input)| input);
    let head = parts.mu.as_ref().or(parts.encoder.last());
    if let (Some(latent), Some(head)) = (latent, head)
        && let Some((out, _)) = tensors.dim(head)
        && out != latent
        && (parts.mu.is_some() || out != 2 * latent)
    {
        let wanted = if parts.mu.is_some() {
            format!("{latent}")
        } else {
            format!("{} (mu and logvar) or {latent} (mu alone)", 2 * latent)
        };
        problems.push(Problem::new(
            format!("{head}.weight"),
            format!(
                "emits {out} values; the decoder reads a latent of {latent}, so {wanted} is wanted"
            ),
            "check that encoder and decoder come from one model",
        ));
    }
    if let (Some((mu, _)), Some((logvar, _))) = (dim(parts.mu.as_ref()), dim(parts.logvar.as_ref()))
        && mu != logvar
    {
        problems.push(Problem::new(
            "logvar",
            format!("{logvar} values, but mu has {mu}"),
            "both heads must describe the same latent",
        ));
    }
    if let (None, Some(logvar)) = (&parts.mu, &parts.logvar) {
        problems.push(Problem::new(
            logvar.clone(),
            "a logvar head without a mu head",
            "name the other head fc_mu",
        ));
    }
    tensors.problems.extend(problems);
}

/// Splits a stacked head into mu (first half) and logvar.
fn split(stacked: &Layer, latent: usize) -> (Layer, Layer) {
    let (weight, bias) = stacked.dense();
    let half = |name: &str, at: usize| {
        let rows = s![at..at + latent, ..];
        let bias = bias.slice(s![at..at + latent]).to_owned();
        Layer::fully_connected(name, weight.slice(rows).to_owned(), bias, Activation::Identity)
    };
    debug_assert_eq!(weight.len_of(Axis(0)), 2 * latent);
    (half("mu", 0), half("logvar", latent))
}

/// The file's name up to its first dot: what a model without a name is called.
pub(super) fn stem(file_name: &str) -> String {
    file_name.split('.').next().unwrap_or(file_name).to_string()
}

/// Under a Bernoulli likelihood the decoder emits logits: a sigmoid at its end
/// belongs to the likelihood.
fn strip_sigmoid(vae: &mut Vae) {
    if let (Likelihood::Bernoulli, Some(last)) = (&vae.likelihood, vae.decoder.last_mut())
        && last.activation == Activation::Sigmoid
    {
        last.activation = Activation::Identity;
    }
}

/// Wrappers that PyTorch users put around a model (`module.` of
/// `DataParallel`, `_orig_mod.` of `torch.compile`, a field of a trainer),
/// where all tensors share them.
pub(super) fn common_prefix(names: &[&str]) -> String {
    const WRAPPERS: [&str; 7] =
        ["module.", "model.", "_orig_mod.", "vae.", "net.", "network.", "state_dict."];
    let mut prefix = String::new();
    while let Some(wrapper) = WRAPPERS.iter().find(|wrapper| {
        let longer = format!("{prefix}{wrapper}");
        !names.is_empty() && names.iter().all(|name| name.starts_with(&longer))
    }) {
        prefix.push_str(wrapper);
    }
    prefix
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
