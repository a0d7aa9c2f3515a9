//! `cargo xtask bench compress`: what chains of passes cost on handwritten digits.
//!
//! Every stage is a command of `picovae` whose output is kept under `target/bench-compress/`; an
//! interrupted bench goes on where it was.

mod chains;
mod digits;
mod stage;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::cli::Cli;
use crate::shell;
use chains::{Chain, Chains};
use digits::{Digits, Set};
use stage::Stages;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Seeds; figures are medians over them.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Only these chains, by model.
    #[arg(long, value_delimiter = ',')]
    chains: Vec<String>,
    /// Networks trained at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Sizes and ELBO only: no network is trained without a digit.
    #[arg(long)]
    no_auc: bool,
    /// A tenth of the digits, one seed, an epoch where the bench takes several: does it run? Gates nothing.
    #[arg(long)]
    quick: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// One row.
#[derive(Debug, Serialize)]
struct Row {
    model: String,
    chain: String,
    blob_bytes: f64,
    ratio: f64,
    neg_elbo: f64,
    neg_elbo_float: f64,
    auc: Option<f64>,
    auc_float: Option<f64>,
    m4_instructions: Option<f64>,
}

/// What is read of `picovae eval --json`.
#[derive(Debug, Deserialize)]
struct Evaluated {
    roc_auc: Option<f64>,
    negative_elbo: f64,
}

/// What is read of `picovae inspect --json`.
#[derive(Debug, Deserialize)]
struct Inspected {
    blob_bytes: f64,
    instructions: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Scores that may be chosen for the float teacher.
const SCORES: [&str; 5] =
    ["bernoulli-excess", "bernoulli-nll", "negative-elbo", "reconstruction-error", "kl-divergence"];

/// The article's network in f32, bytes.
const FLOAT_BYTES: f64 = 4.0 * 1_082_680.0;

/// Runs it; `false` where a chain misses what is required of it.
pub fn run(args: &Args) -> Result<bool> {
    if !shell::data().join("mnist").is_dir() {
        eprintln!("SKIPPED: no digits at {} (set PICOVAE_DATA)", shell::data().display());
        return Ok(true);
    }
    let cli = Cli::build()?;
    let chains = Chains::read(args.quick)?;
    let folder = if args.quick { "bench-compress-quick" } else { "bench-compress" };
    let folder = shell::scratch(folder)?;
    let digits = Digits::prepare(&folder, args.quick)?;
    let seeds = if args.quick { 1 } else { args.seeds.max(1) };
    let wanted = |chain: &&Chain| args.chains.is_empty() || args.chains.contains(&chain.model);
    let wanted: Vec<&Chain> = chains.chain.iter().filter(wanted).collect();
    train_all(&cli, &folder, &chains, &wanted, &digits, seeds, args)?;
    let mut rows = Vec::new();
    let mut good = true;
    for chain in wanted {
        let mut runs = Vec::new();
        for seed in 1..=seeds {
            let stages = Stages::new(&cli, &folder, seed)?;
            runs.push(measure(&stages, &chains, chain, &digits, !args.no_auc)?);
        }
        let row = median(chain, &runs);
        let missed = missed(chain, &row);
        if !args.quick {
            missed.iter().for_each(|text| eprintln!("{}: {text}", chain.model));
            good &= missed.is_empty();
        }
        rows.push(row);
    }
    if args.json {
        println!("{}", serde_json::to_string(&rows)?);
    } else {
        print!("{}", table(&rows));
    }
    Ok(good)
}

/// Trains what all rows need, `--jobs` networks at a time: a network by itself leaves two cores a quarter idle.
fn train_all(
    cli: &Cli,
    folder: &Path,
    chains: &Chains,
    wanted: &[&Chain],
    digits: &Digits,
    seeds: u64,
    args: &Args,
) -> Result<()> {
    let sets = digits.sets.len().min(if args.no_auc { 1 } else { usize::MAX });
    let sets = digits.sets.get(..sets).unwrap_or_default();
    // Networks of one seed and set begin alike, so one job makes them in turn.
    let jobs: Vec<(u64, &Set)> =
        (1..=seeds).flat_map(|seed| sets.iter().map(move |set| (seed, set))).collect();
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some((seed, set)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let stages = Stages::new(cli, folder, *seed)?;
            for chain in wanted {
                stages.networks(chains, chain, set)?;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..args.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// One seed of one chain.
fn measure(
    stages: &Stages<'_>,
    chains: &Chains,
    chain: &Chain,
    digits: &Digits,
    with_auc: bool,
) -> Result<Row> {
    let (whole, without) = digits.sets.split_first().map_or((None, &[][..]), |(a, b)| (Some(a), b));
    let whole = whole.ok_or_else(|| anyhow::anyhow!("no digits"))?;
    // The score is the float teacher's best on digits held back from training.
    let score = if with_auc { choose(stages, chains, digits, without)? } else { SCORES[0].into() };
    let (float, blob) = stages.pair(chains, chain, whole, &score)?;
    let elbo = |model: &str| -> Result<f64> {
        let found: Evaluated = stages.eval(model, &digits.test, None, &score)?;
        Ok(found.negative_elbo)
    };
    let (neg_elbo_float, neg_elbo) = (elbo(&float)?, elbo(&blob)?);
    let inspected: Inspected = stages.inspect(&blob)?;
    let (mut auc, mut auc_float) = (None, None);
    if with_auc {
        let (mut sum, mut sum_float) = (0.0, 0.0);
        for set in without {
            let (float, blob) = stages.pair(chains, chain, set, &score)?;
            let of = |model: &str| -> Result<f64> {
                let found: Evaluated =
                    stages.eval(model, &digits.test, set.test_labels.as_deref(), &score)?;
                found.roc_auc.ok_or_else(|| anyhow::anyhow!("no AUC of {model}"))
            };
            sum_float += of(&float)?;
            sum += of(&blob)?;
        }
        let count = without.len().max(1) as f64;
        (auc, auc_float) = (Some(sum / count), Some(sum_float / count));
    }
    let instructions = inspected.instructions.and_then(|all| all.get("cortex-m4")?.as_f64());
    Ok(Row {
        model: chain.model.clone(),
        chain: chain.spell(chains),
        blob_bytes: inspected.blob_bytes,
        ratio: FLOAT_BYTES / inspected.blob_bytes,
        neg_elbo,
        neg_elbo_float,
        auc,
        auc_float,
        m4_instructions: instructions,
    })
}

/// The score with the best mean AUC of the teachers, a digit left out each, on validation digits.
fn choose(
    stages: &Stages<'_>,
    chains: &Chains,
    digits: &Digits,
    without: &[Set],
) -> Result<String> {
    let mut best = (SCORES[0], f64::NEG_INFINITY);
    for score in SCORES {
        let mut sum = 0.0;
        for set in without {
            let teacher = stages.teacher(chains, set)?;
            let labels = set.validation_labels.as_deref();
            let found: Evaluated = stages.eval(&teacher, &digits.validation, labels, score)?;
            sum += found.roc_auc.unwrap_or(0.0);
        }
        if sum > best.1 {
            best = (score, sum);
        }
    }
    Ok(best.0.into())
}

/// Medians over the seeds.
fn median(chain: &Chain, runs: &[Row]) -> Row {
    let of = |value: &dyn Fn(&Row) -> Option<f64>| -> Option<f64> {
        let mut values: Vec<f64> = runs.iter().filter_map(value).collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
        Some(0.5 * (values.get(low)? + values.get(high)?))
    };
    let always = |value: &dyn Fn(&Row) -> f64| of(&|row| Some(value(row))).unwrap_or(f64::NAN);
    Row {
        model: chain.model.clone(),
        chain: runs.first().map(|row| row.chain.clone()).unwrap_or_default(),
        blob_bytes: always(&|row| row.blob_bytes),
        ratio: always(&|row| row.ratio),
        neg_elbo: always(&|row| row.neg_elbo),
        neg_elbo_float: always(&|row| row.neg_elbo_float),
        auc: of(&|row| row.auc),
        auc_float: of(&|row| row.auc_float),
        m4_instructions: of(&|row| row.m4_instructions),
    }
}

/// What a row misses of its requirements.
fn missed(chain: &Chain, row: &Row) -> Vec<String> {
    let mut missed = Vec::new();
    for required in &chain.requires {
        let change = row.neg_elbo / row.neg_elbo_float - 1.0;
        if row.ratio < required.ratio {
            missed.push(format!("{:.1} times smaller, required {}", row.ratio, required.ratio));
        }
        if change.is_nan() || change > required.elbo {
            missed.push(format!(
                "negative ELBO {:+.2} %, required {:+.2} %",
                100.0 * change,
                100.0 * required.elbo
            ));
        }
        let loss = row.auc_float.zip(row.auc).map(|(float, auc)| float - auc);
        if let Some(loss) = loss.filter(|loss| *loss > required.auc_loss) {
            missed.push(format!("AUC loss {loss:.4}, required {}", required.auc_loss));
        }
    }
    missed
}

/// A Markdown table.
fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| model | blob | ratio | -ELBO float | -ELBO | AUC float | AUC | M4 instructions |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    let figure =
        |value: Option<f64>| value.map_or("–".to_string(), |value| format!("{value:.4}"));
    for row in rows {
        text += &format!(
            "| `{}` | {:.0} B | {:.1} | {:.2} | {:.2} ({:+.2} %) | {} | {} | {} |\n",
            row.model,
            row.blob_bytes,
            row.ratio,
            row.neg_elbo_float,
            row.neg_elbo,
            100.0 * (row.neg_elbo / row.neg_elbo_float - 1.0),
            figure(row.auc_float),
            figure(row.auc),
            row.m4_instructions.map_or("–".to_string(), |count| format!("{count:.0}")),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(neg_elbo: f64, auc: Option<f64>) -> Row {
        Row {
            model: "x".into(),
            chain: String::new(),
            blob_bytes: FLOAT_BYTES / 40.0,
            ratio: 40.0,
            neg_elbo,
            neg_elbo_float: 100.0,
            auc,
            auc_float: auc.map(|_| 0.9),
            m4_instructions: None,
        }
    }

    #[test]
    fn medians_and_gates() {
        let chains = Chains::read(false).unwrap();
        let chain = chains.chain.iter().find(|chain| chain.model == "conv-int8").unwrap();
        let rows = [row(101.0, Some(0.91)), row(99.0, Some(0.88)), row(98.0, Some(0.92))];
        let middle = median(chain, &rows);
        assert_eq!((middle.neg_elbo, middle.auc), (99.0, Some(0.91)));
        assert!(missed(chain, &middle).is_empty());
        assert_eq!(missed(chain, &row(100.5, Some(0.89))).len(), 2);
        assert_eq!(missed(chain, &row(99.5, None)).len(), 0);
        assert_eq!(median(chain, &rows[..2]).neg_elbo, 100.0);
    }
}
