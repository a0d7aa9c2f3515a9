//! `cargo xtask bench models`: every model in `models/` by its recipe, float against int8.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::cli::Cli;
use crate::shell;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Train each model anew first: half an hour for all of them on two cores.
    #[arg(long)]
    train: bool,
    /// Quantize each model anew first, into models/.
    #[arg(long)]
    quantize: bool,
    /// Only these models, by folder.
    #[arg(long, value_delimiter = ',')]
    models: Vec<String>,
    /// Write the table into README.md, between its `models` marks.
    #[arg(long)]
    readme: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// `models/<name>/recipe.toml`.
#[derive(Debug, Deserialize)]
struct Recipe {
    about: String,
    train: Vec<String>,
    quantize: Vec<String>,
    eval: Vec<String>,
}

/// What is read of `picovae eval --json`.
#[derive(Debug, Deserialize)]
struct Evaluated {
    windows: usize,
    roc_auc: Option<f64>,
    negative_elbo: f64,
}

/// What is read of `picovae inspect --json`.
#[derive(Debug, Deserialize)]
struct Inspected {
    params: usize,
    blob_bytes: Option<usize>,
    arena_bytes: Option<usize>,
}

/// One row of the table.
#[derive(Debug, Serialize)]
struct Row {
    model: String,
    about: String,
    params: usize,
    float_bytes: usize,
    blob_bytes: Option<usize>,
    arena_bytes: Option<usize>,
    windows: usize,
    roc_auc_float: Option<f64>,
    roc_auc: Option<f64>,
    neg_elbo_float: f64,
    neg_elbo: f64,
    /// Negative ELBO of int8 over float, less one.
    neg_elbo_change: f64,
}

/// Runs it.
pub fn run(args: &Args) -> Result<bool> {
    let cli = Cli::build()?;
    let mut rows = Vec::new();
    for folder in folders(args)? {
        let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let path = folder.join("recipe.toml");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("reading {}", path.display()))?;
        let recipe: Recipe =
            toml::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
        if !shell::data().is_dir() {
            eprintln!("SKIPPED {name}: no data at {} (set PICOVAE_DATA)", shell::data().display());
            continue;
        }
        let float = folder.join(format!("{name}.safetensors")).display().to_string();
        let blob = folder.join(format!("{name}.pvae")).display().to_string();
        if args.train {
            eprintln!("training {name}");
            let output = ["-o".to_string(), float.clone()];
            cli.run(verb("train", None).chain(fill(&recipe.train)).chain(output))?;
        }
        if args.train || args.quantize {
            let output = ["-o".to_string(), blob.clone()];
            cli.run(verb("quantize", Some(&float)).chain(fill(&recipe.quantize)).chain(output))?;
        }
        let eval = |model: &str| -> Result<Evaluated> {
            cli.json(verb("eval", Some(model)).chain(fill(&recipe.eval)))
        };
        let (on_float, on_blob) = (eval(&float)?, eval(&blob)?);
        let inspected: Inspected = cli.json(verb("inspect", Some(&blob)))?;
        rows.push(Row {
            model: name,
            about: recipe.about,
            params: inspected.params,
            float_bytes: 4 * inspected.params,
            blob_bytes: inspected.blob_bytes,
            arena_bytes: inspected.arena_bytes,
            windows: on_blob.windows,
            roc_auc_float: on_float.roc_auc,
            roc_auc: on_blob.roc_auc,
            neg_elbo_float: on_float.negative_elbo,
            neg_elbo: on_blob.negative_elbo,
            neg_elbo_change: on_blob.negative_elbo / on_float.negative_elbo - 1.0,
        });
    }
    if args.readme {
        write_readme(&table(&rows))?;
    }
    if args.json {
        println!("{}", serde_json::to_string(&serde_json::json!({ "models": rows }))?);
    } else {
        print!("{}", table(&rows));
    }
    Ok(true)
}

/// Replaces what lies between the marks of README.md.
fn write_readme(table: &str) -> Result<()> {
    let path = shell::root().join("README.md");
    let text = std::fs::read_to_string(&path).context("reading README.md")?;
    let (start, end) = ("<!-- models -->\n", "<!-- /models -->");
    let (before, rest) = text.split_once(start).context("README.md has no <!-- models --> mark")?;
    let (_, after) = rest.split_once(end).context("README.md has no <!-- /models --> mark")?;
    std::fs::write(&path, format!("{before}{start}{table}{end}{after}"))
        .context("writing README.md")
}

/// A Markdown table: the README's.
fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| model | what | float | blob | arena | ROC AUC float | ROC AUC int8 | -ELBO float | -ELBO int8 |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    let auc = |value: Option<f64>| value.map_or("–".to_string(), |value| format!("{value:.4}"));
    let bytes =
        |value: Option<usize>| value.map_or("–".to_string(), |value| format!("{value} B"));
    for row in rows {
        text += &format!(
            "| `{}` | {} | {} B | {} | {} | {} | {} | {:.2} | {:.2} ({:+.2} %) |\n",
            row.model,
            row.about,
            row.float_bytes,
            bytes(row.blob_bytes),
            bytes(row.arena_bytes),
            auc(row.roc_auc_float),
            auc(row.roc_auc),
            row.neg_elbo_float,
            row.neg_elbo,
            100.0 * row.neg_elbo_change,
        );
    }
    text
}

/// Folders of `models/` with a recipe, sorted.
fn folders(args: &Args) -> Result<Vec<PathBuf>> {
    let models = shell::root().join("models");
    let wanted = |path: &Path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        name.is_some_and(|name| args.models.is_empty() || args.models.contains(&name))
    };
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&models)
        .with_context(|| format!("reading {}", models.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.join("recipe.toml").is_file() && wanted(path))
        .collect();
    folders.sort();
    Ok(folders)
}

fn verb(verb: &str, model: Option<&str>) -> impl Iterator<Item = String> {
    std::iter::once(verb.to_string()).chain(model.map(String::from))
}

/// `{data}` in arguments of a recipe.
fn fill(arguments: &[String]) -> impl Iterator<Item = String> {
    let data = shell::data().display().to_string();
    arguments.iter().map(move |argument| argument.replace("{data}", &data))
}
