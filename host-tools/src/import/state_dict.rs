//! Foreign PyTorch state dicts: which Linear layer plays which part.
//!
//! A state dict holds weights but no activations, no likelihood and no
//! front-end; [`ForeignOptions`] supplies them. Three layouts are recognized:
//!
//! - `encoder.N` and `decoder.N` (`nn.Sequential`), the last encoder layer
//!   holding mu and logvar stacked (twice the latent), or mu alone (a plain
//!   autoencoder);
//! - the same with heads of their own: `fc_mu`, `mu`, `fc_mean`, `z_mean`, …
//!   and `fc_logvar`, `fc_var`, `logvar`, `log_var`, `z_log_var`, …;
//! - `fc1`, `fc21`, `fc22`, `fc3`, `fc4` of PyTorch's VAE example.

use super::Problem;
use super::tensors::Tensors;
use crate::graph::{
    Activation, Frontend, Layer, Likelihood, LikelihoodKind, Op, Provenance, ScoreKind, TOOL, Vae,
};
use ndarray::{Axis, s};

/// What a state dict does not say.
#[derive(Debug, Clone, PartialEq)]
pub struct ForeignOptions {
    /// After every hidden layer; the heads and the last decoder layer have
    /// none.
    pub activation: Activation,
    /// How features are distributed. For Bernoulli the decoder's last Linear
    /// is taken to emit logits: a sigmoid after it is not in the file.
    pub likelihood: LikelihoodKind,
    /// How samples become features. Without it, Bernoulli models are taken to
    /// read u8 images divided by 255; Gaussian ones are refused.
    pub frontend: Option<Frontend>,
    /// Default score; without it the negative ELBO, or the reconstruction
    /// error for a plain autoencoder.
    pub score: Option<ScoreKind>,
    /// Name of the model; without it the file's name.
    pub name: Option<String>,
}

impl Default for ForeignOptions {
    fn default() -> Self {
        Self {
            activation: Activation::Relu,
            likelihood: LikelihoodKind::Bernoulli,
            frontend: None,
            score: None,
            name: None,
        }
    }
}

const MU_NAMES: [&str; 10] = [
    "mu",
    "fc_mu",
    "fc_mean",
    "z_mean",
    "mean",
    "fc_mean_z",
    "z_mu",
    "mu_layer",
    "fc21",
    "linear_mu",
];
const LOGVAR_NAMES: [&str; 14] = [
    "logvar",
    "log_var",
    "fc_logvar",
    "fc_log_var",
    "fc_var",
    "z_log_var",
    "z_logvar",
    "logvar_layer",
    "fc22",
    "linear_logvar",
    "fc_logsigma",
    "var",
    "log_variance",
    "fc_log_variance",
];

/// Layer names by part.
#[derive(Debug, Default)]
struct Parts {
    encoder: Vec<String>,
    mu: Option<String>,
    logvar: Option<String>,
    decoder: Vec<String>,
}

/// Assembles a model; on failure `tensors.problems` says everything that is
/// wrong.
pub(super) fn assemble(
    tensors: &mut Tensors,
    options: &ForeignOptions,
    file_name: &str,
) -> Option<Vae> {
    let parts = assign(tensors);
    let before = tensors.problems.len();
    if before == 0 || !parts.decoder.is_empty() {
        check_chain(tensors, &parts);
    }
    if !tensors.problems.is_empty() {
        return None;
    }
    let hidden = |last: bool| {
        if last {
            Activation::Identity
        } else {
            options.activation
        }
    };
    let mut encoder: Vec<Layer> = parts
        .encoder
        .iter()
        .filter_map(|name| tensors.take(name, options.activation))
        .collect();
    let last = parts.decoder.len().saturating_sub(1);
    let decoder: Vec<Layer> = parts
        .decoder
        .iter()
        .enumerate()
        .filter_map(|(i, name)| tensors.take(name, hidden(i == last)))
        .collect();
    let (mu, logvar) = match &parts.mu {
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
    let features = encoder.first().unwrap_or(&mu).input_len();
    let frontend = match (&options.frontend, options.likelihood) {
        (Some(frontend), _) => frontend.clone(),
        (None, LikelihoodKind::Bernoulli) => Frontend::image(features),
        (None, LikelihoodKind::Gaussian) => {
            tensors.problems.push(Problem::new(
                "front-end",
                "a state dict does not say how samples become features",
                "give window, channels, offset, scale and input LSB, or use a file written by picovae",
            ));
            return None;
        }
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
        likelihood: match options.likelihood {
            LikelihoodKind::Bernoulli => Likelihood::Bernoulli,
            LikelihoodKind::Gaussian => Likelihood::Gaussian {
                precision: tensors.precision.take(),
            },
        },
        score,
        provenance: Provenance {
            source: file_name.to_string(),
            tool: TOOL.into(),
            ..Provenance::default()
        },
    })
}

/// Gives every layer its part by name; a name without one is a problem.
fn assign(tensors: &mut Tensors) -> Parts {
    let mut parts = Parts::default();
    for name in tensors.names() {
        let lower = name.to_ascii_lowercase();
        let last = lower.rsplit('.').next().unwrap_or(&lower);
        let first = lower.split('.').next().unwrap_or(&lower);
        let head = if MU_NAMES.contains(&last) {
            Some(&mut parts.mu)
        } else if LOGVAR_NAMES.contains(&last) {
            Some(&mut parts.logvar)
        } else {
            None
        };
        if let Some(head) = head {
            if let Some(other) = head {
                tensors.problems.push(Problem::new(
                    name,
                    format!("a second head beside `{other}`"),
                    "leave one of them out of the exported state dict",
                ));
            } else {
                *head = Some(name);
            }
            continue;
        }
        match (first, example_index(&lower)) {
            ("encoder" | "enc", _) => parts.encoder.push(name),
            ("decoder" | "dec", _) => parts.decoder.push(name),
            // PyTorch's example: fc1 before the heads fc21 and fc22, fc3 and
            // fc4 after.
            (_, Some(1)) => parts.encoder.push(name),
            (_, Some(3..=9)) => parts.decoder.push(name),
            _ => tensors.problems.push(Problem::new(
                name,
                "belongs neither to encoder, heads nor decoder",
                "name layers encoder.N, decoder.N and fc_mu, fc_logvar, or leave it out",
            )),
        }
    }
    parts
}

/// N of `fcN`.
fn example_index(name: &str) -> Option<u32> {
    name.strip_prefix("fc")?.parse().ok()
}

/// Every layer must read what the one before it emits.
fn check_chain(tensors: &mut Tensors, parts: &Parts) {
    // Parts that were refused by name already are missing here for a reason.
    let excused = !tensors.problems.is_empty();
    let mut problems = Vec::new();
    for (part, names) in [("encoder", &parts.encoder), ("decoder", &parts.decoder)] {
        let head_alone = part == "encoder" && parts.mu.is_some();
        if names.is_empty() && !head_alone && !excused {
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
            if let Some((out, _)) = tensors.dim(&pair[0])
                && !excused
            {
                expect(&pair[1], &format!("`{}`", pair[0]), out);
            }
        }
    }
    if let Some(last) = parts.encoder.last()
        && let Some((out, _)) = tensors.dim(last)
        && !excused
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
    let Op::FullyConnected { weight, bias } = &stacked.op;
    let half = |name: &str, at: usize| {
        let rows = s![at..at + latent, ..];
        let bias = bias.slice(s![at..at + latent]).to_owned();
        Layer::fully_connected(
            name,
            weight.slice(rows).to_owned(),
            bias,
            Activation::Identity,
        )
    };
    debug_assert_eq!(weight.len_of(Axis(0)), 2 * latent);
    (half("mu", 0), half("logvar", latent))
}

fn stem(file_name: &str) -> String {
    file_name.split('.').next().unwrap_or(file_name).to_string()
}
