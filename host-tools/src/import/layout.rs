//! Which layer of a foreign state dict plays which part, told from names.

use super::Problem;
use super::order;
use super::tensors::{Tensors, natural_key};

/// Layer names by part, each in the order values pass through them.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) encoder: Vec<String>,
    pub(super) mu: Option<String>,
    pub(super) logvar: Option<String>,
    /// The logvar head gives ln σ, half of ln σ².
    pub(super) logvar_is_log_sigma: bool,
    pub(super) decoder: Vec<String>,
}

/// Stems of layers that are numbered through from encoder to decoder.
const NUMBERED: [&str; 7] = ["fc", "linear", "lin", "l", "dense", "layer", "h"];

/// What a head computes, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    Mu,
    Logvar,
    LogSigma,
    Sigma,
}

/// A layer of a plainly numbered layout, e.g. `fc3`: stem and number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Numbered {
    name: String,
    stem: String,
    number: u64,
}

/// Gives every layer its part by name; a name without one is a problem.
pub(super) fn assign(tensors: &mut Tensors) -> Parts {
    let mut parts = Parts::default();
    let names = tensors.names();
    let numbered: Vec<Numbered> = names.iter().filter_map(|name| numbered(name)).collect();
    let pair = head_pair(tensors, &numbered);
    let mut plain = Vec::new();
    for name in names {
        if let Some((mu, logvar)) = &pair
            && (name == mu.name || name == logvar.name)
        {
            let head = if name == mu.name { Head::Mu } else { Head::Logvar };
            set_head(tensors, &mut parts, head, name);
            continue;
        }
        let in_decoder = is_decoder(&name);
        match head(&name) {
            // The mean of what the decoder emits.
            Some(Head::Mu) if in_decoder => parts.decoder.push(name),
            Some(_) if in_decoder => tensors.problems.push(Problem::new(
                name,
                "a variance that the decoder emits is not read",
                "train with a fixed variance a feature, and give it as `likelihood.precision`",
            )),
            Some(Head::Sigma) => tensors.problems.push(Problem::new(
                name,
                "is named like a standard deviation; the logarithm of the variance is wanted",
                "export a head that gives ln σ² (named fc_logvar) or ln σ (named fc_logsigma)",
            )),
            Some(head) => set_head(tensors, &mut parts, head, name),
            None if in_decoder => parts.decoder.push(name),
            None if is_encoder(&name) => parts.encoder.push(name),
            None => plain.push(name),
        }
    }
    assign_plain(tensors, &mut parts, pair.map(|(mu, _)| mu), &numbered, plain);
    order::sort(tensors, &mut parts);
    parts
}

fn set_head(tensors: &mut Tensors, parts: &mut Parts, head: Head, name: String) {
    let slot = if head == Head::Mu { &mut parts.mu } else { &mut parts.logvar };
    if let Some(other) = slot {
        tensors.problems.push(Problem::new(
            name,
            format!("a second head beside `{other}`"),
            "leave one of them out of the exported state dict",
        ));
        return;
    }
    *slot = Some(name);
    parts.logvar_is_log_sigma |= head == Head::LogSigma;
}

/// Layers named neither after encoder nor decoder: those numbered below the
/// heads come before them, those above after. Where the heads are not
/// numbered, the widths tell.
fn assign_plain(
    tensors: &mut Tensors,
    parts: &mut Parts,
    mu: Option<Numbered>,
    numbered: &[Numbered],
    plain: Vec<String>,
) {
    let chain: Vec<&Numbered> = numbered.iter().filter(|n| plain.contains(&n.name)).collect();
    let decoder_from = match &mu {
        Some(mu) => Some(mu.number / 10),
        None => split_by_widths(tensors, parts, &chain),
    };
    for name in plain {
        let number = chain.iter().find(|n| {
            let of_heads = mu.as_ref().is_none_or(|mu| mu.stem == n.stem);
            n.name == name && of_heads
        });
        match (number, decoder_from) {
            (Some(n), Some(from)) if n.number < from => parts.encoder.push(name),
            (Some(_), Some(_)) => parts.decoder.push(name),
            _ if is_output(&name) => parts.decoder.push(name),
            _ => tensors.problems.push(Problem::new(
                name,
                "belongs neither to encoder, heads nor decoder",
                "name layers encoder.N, decoder.N and fc_mu, fc_logvar, or leave it out",
            )),
        }
    }
}

/// The first number of the decoder in `fc1 fc2 fc_mu fc_logvar fc3 fc4`.
fn split_by_widths(tensors: &Tensors, parts: &Parts, chain: &[&Numbered]) -> Option<u64> {
    let (latent, input) = tensors.dim(parts.mu.as_ref()?)?;
    let mut chain = chain.to_vec();
    chain.sort_by_key(|n| n.number);
    let same_stem = chain.windows(2).all(|pair| pair[0].stem == pair[1].stem);
    let fits = |at: &usize| {
        let before = tensors.dim(&chain[at - 1].name);
        let after = tensors.dim(&chain[*at].name);
        before.is_some_and(|(out, _)| out == input) && after.is_some_and(|(_, i)| i == latent)
    };
    let mut splits = (1..chain.len()).filter(fits);
    match (splits.next(), splits.next()) {
        (Some(at), None) if same_stem => Some(chain[at].number),
        _ => None,
    }
}

/// Two heads numbered K1 (mu) and K2 (logvar) in place of a layer K.
fn head_pair(tensors: &Tensors, numbered: &[Numbered]) -> Option<(Numbered, Numbered)> {
    let find = |stem: &str, number: u64| {
        numbered.iter().find(|n| n.stem == stem && n.number == number).cloned()
    };
    let mut pairs =
        numbered.iter().filter(|mu| mu.number > 10 && mu.number % 10 == 1 && !is_decoder(&mu.name));
    pairs.find_map(|mu| {
        let logvar = find(&mu.stem, mu.number + 1)?;
        let alone = find(&mu.stem, mu.number / 10).is_none();
        (alone && tensors.dim(&mu.name) == tensors.dim(&logvar.name)).then(|| (mu.clone(), logvar))
    })
}

/// Stem and number of `fc3`, `encoder.fc_3`; not of `encoder.3`.
fn numbered(name: &str) -> Option<Numbered> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = name[stem.len()..].parse().ok()?;
    let last = stem.rsplit('.').next()?.trim_end_matches('_').to_ascii_lowercase();
    NUMBERED.contains(&last.as_str()).then(|| Numbered {
        name: name.to_string(),
        stem: stem.to_string(),
        number,
    })
}

/// What a name says its layer computes: its last part that is no number,
/// without underscores and without what tools put around it.
fn head(name: &str) -> Option<Head> {
    const BEFORE: [&str; 15] = [
        "encoder", "enc", "fc", "z", "linear", "lin", "dense", "latent", "to", "hidden2", "hid2",
        "h2", "q", "layer", "head",
    ];
    const AFTER: [&str; 6] = ["layer", "head", "linear", "fc", "out", "z"];
    let lower = name.to_ascii_lowercase();
    let is_number = |part: &&str| part.bytes().all(|b| b.is_ascii_digit());
    let last = lower.rsplit('.').find(|part| !is_number(part))?.replace('_', "");
    let mut core = last.as_str();
    while let Some(rest) = BEFORE.iter().find_map(|b| core.strip_prefix(b)) {
        // As in fc2_mu.
        core = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    while let Some(rest) = AFTER.iter().find_map(|a| core.strip_suffix(a)) {
        core = rest;
    }
    match core {
        "mu" | "mean" | "loc" => Some(Head::Mu),
        // `var` is what widespread PyTorch models call ln σ².
        "logvar" | "var" | "lv" | "logv" | "lnvar" | "logvariance" | "logsigma2" | "logsigmasq"
        | "logsigmasquared" => Some(Head::Logvar),
        "sigma" | "std" | "stddev" | "stdev" => Some(Head::Sigma),
        _ if core.contains("logsigma") || core.contains("logstd") => Some(Head::LogSigma),
        _ => None,
    }
}

/// The first part of a name, without `fc_` and the like.
fn first_part(name: &str) -> String {
    let first = name.split('.').next().unwrap_or(name).to_ascii_lowercase();
    let stems = ["fc_", "linear_", "lin_", "dense_"];
    let stripped = stems.iter().find_map(|stem| first.strip_prefix(stem)).map(str::to_string);
    stripped.unwrap_or(first)
}

fn is_encoder(name: &str) -> bool {
    begins(name, &["enc", "inference", "recognition", "img_2", "img2", "x_2", "x2", "input_to"])
}

fn is_decoder(name: &str) -> bool {
    let begins = begins(name, &["dec", "generat", "z_2", "z2", "z_to", "latent_to", "latent2"]);
    begins || ["2img", "2x", "to_output"].iter().any(|end| first_part(name).ends_with(end))
}

fn begins(name: &str, words: &[&str]) -> bool {
    let first = first_part(name);
    words.iter().any(|word| first.starts_with(word))
}

/// `decoder_input`, which has no activation after it when others follow.
pub(super) fn is_decoder_input(name: &str) -> bool {
    name.eq_ignore_ascii_case("decoder_input")
}

/// Layers named as the last one.
fn is_output(name: &str) -> bool {
    matches!(first_part(name).as_str(), "final_layer" | "output" | "output_layer" | "out")
}

/// Where a name puts its layer within its part, numbers aside.
pub(super) fn rank(name: &str) -> u8 {
    if is_decoder_input(name) {
        0
    } else if is_output(name) {
        2
    } else {
        1
    }
}

/// Whether names put one layer before another: by rank, or by the first
/// number in which they differ.
pub(super) fn precedes(a: &str, b: &str) -> bool {
    if rank(a) != rank(b) {
        return rank(a) < rank(b);
    }
    let (a, b) = (natural_key(a), natural_key(b));
    let differing = a.iter().zip(&b).find(|(a, b)| a != b);
    differing.is_some_and(|((text, n), (other, m))| text == other && n < m)
}
