//! One stage: a command whose output is kept.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;

use super::chains::{Chain, Chains};
use super::digits::Set;
use crate::cli::Cli;
use crate::shell;

/// Stages of one seed.
#[derive(Debug)]
pub struct Stages<'c> {
    cli: &'c Cli,
    folder: PathBuf,
    seed: u64,
}

impl<'c> Stages<'c> {
    /// Kept below `folder`.
    pub fn new(cli: &'c Cli, folder: &Path, seed: u64) -> Result<Self> {
        let folder = folder.join(format!("seed-{seed}"));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("creating {}", folder.display()))?;
        Ok(Self { cli, folder, seed })
    }

    /// The float teacher of a set.
    pub fn teacher(&self, chains: &Chains, set: &Set) -> Result<String> {
        self.trained(&chains.teacher, &format!("teacher-{}", set.name), set, "", "")
    }

    /// The float network a chain is held against, and the chain's blob.
    pub fn pair(
        &self,
        chains: &Chains,
        chain: &Chain,
        set: &Set,
        score: &str,
    ) -> Result<(String, String)> {
        let (float, last) = self.networks(chains, chain, set)?;
        let bits = chain.bits.as_ref().map(|bits| format!(" --weight-bits {bits}"));
        let quantize = format!(
            "quantize {last} --calibrate {} --rows 0..5000 --score {score} --max-drift 1e9{}",
            set.train.display(),
            bits.unwrap_or_default()
        );
        let blob = self.kept(&quantize, &format!("{}-{}.pvae", chain.model, set.name))?;
        Ok((float, blob))
    }

    /// All that is trained for [`pair`](Self::pair): the float network, and the chain's last.
    pub fn networks(&self, chains: &Chains, chain: &Chain, set: &Set) -> Result<(String, String)> {
        let teacher = self.teacher(chains, set)?;
        let float = match chain.epochs {
            0 => teacher.clone(),
            _ => {
                let epochs = chains.longest();
                let further = format!("{} --epochs {epochs}", chains.further);
                self.trained(
                    &further,
                    &format!("further-{epochs}-{}", set.name),
                    set,
                    &teacher,
                    "",
                )?
            }
        };
        let mut last = teacher.clone();
        for (at, step) in chain.steps.iter().enumerate() {
            // Chains that begin alike share their beginning.
            let mut way = DefaultHasher::new();
            chain.steps[..=at].hash(&mut way);
            let name = format!("step-{at}-{:016x}-{}", way.finish(), set.name);
            last = self.trained(step, &name, set, &teacher, &last)?;
        }
        Ok((float, last))
    }

    /// Figures of a model.
    pub fn eval<T: DeserializeOwned>(
        &self,
        model: &str,
        data: &Path,
        labels: Option<&Path>,
        score: &str,
    ) -> Result<T> {
        let mut words: Vec<String> = ["eval", model, "--score", score, "--data"]
            .map(String::from)
            .into_iter()
            .chain([data.display().to_string()])
            .collect();
        if let Some(labels) = labels {
            words.extend(["--labels".to_string(), labels.display().to_string()]);
        }
        self.cli.json(words)
    }

    /// Size and needs of a blob.
    pub fn inspect<T: DeserializeOwned>(&self, blob: &str) -> Result<T> {
        self.cli.json(["inspect", blob])
    }

    fn trained(
        &self,
        step: &str,
        name: &str,
        set: &Set,
        teacher: &str,
        last: &str,
    ) -> Result<String> {
        let step = step
            .replace("{train}", &set.train.display().to_string())
            .replace("{teacher}", teacher)
            .replace("{last}", last);
        let command = format!("{step} --seed {} --validation 0.02", self.seed);
        self.kept(&command, &format!("{name}.safetensors"))
    }

    /// Runs a command unless its output is there, of the same command and the same inputs.
    fn kept(&self, command: &str, file: &str) -> Result<String> {
        let out = self.folder.join(file);
        let note = self.folder.join(format!("{file}.command"));
        // As seen from the repository, so that what was trained may move with it.
        let spelt = command.replace(&format!("{}/", shell::root().display()), "");
        let words: Vec<&str> = command.split(' ').collect();
        let written = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
        let newest_input = words.iter().filter_map(|word| written(Path::new(word))).max();
        let fresh = std::fs::read_to_string(&note).is_ok_and(|kept| kept == spelt)
            && written(&out).is_some_and(|own| newest_input.is_none_or(|input| own >= input));
        if !fresh {
            eprintln!("seed {}: {command}", self.seed);
            let part = self.folder.join(format!("part-{file}"));
            let part_text = part.display().to_string();
            self.cli.run(words.into_iter().chain(["-o", &part_text]))?;
            std::fs::rename(&part, &out).with_context(|| format!("writing {}", out.display()))?;
            std::fs::write(&note, &spelt).with_context(|| format!("writing {}", note.display()))?;
        }
        Ok(out.display().to_string())
    }
}
