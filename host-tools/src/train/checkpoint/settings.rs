//! What decides the result of a command or of a training, by name, to be compared with a checkpoint's.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::Teacher;
use super::CheckpointError;
use crate::fingerprint;
use crate::graph::{TOOL, Vae};
use crate::import::{hex, to_safetensors};
use crate::quantize::QuantizeOptions;
use crate::recording::WindowSet;

/// Names and values, in the order they are compared in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    values: Vec<(String, String)>,
}

impl Settings {
    /// Those of a command, beginning with its verb and this tool's version, of which other
    /// ones may compute other bits.
    pub fn of_command(verb: &str) -> Self {
        Self::default().and("command", verb).and("tool", TOOL)
    }

    /// Adds one.
    pub fn and(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.values.push((name.into(), value.to_string()));
        self
    }

    /// Adds every field of a structure, under its name.
    pub fn and_all(self, values: &impl Serialize) -> Self {
        // Numbers, strings and lists: nothing that JSON refuses, but for numbers that are none.
        match serde_json::to_value(values) {
            Ok(serde_json::Value::Object(fields)) => {
                fields.into_iter().fold(self, |all, (name, value)| match value {
                    serde_json::Value::Object(_) => all.and_all(&value),
                    serde_json::Value::String(text) => all.and(&name, text),
                    value => all.and(&name, value),
                })
            }
            _ => self,
        }
    }

    /// Adds a model: its SHA-256, whatever it is called.
    pub fn and_model(self, name: &str, vae: &Vae) -> Self {
        let unnamed = Vae { name: name.into(), ..vae.clone() };
        // A model that does not validate is refused by the training.
        let bytes = to_safetensors(Path::new(name), &unnamed).unwrap_or_default();
        self.and(name, short(&hex(&Sha256::digest(bytes))))
    }

    /// Adds recordings and which windows of them: their SHA-256.
    pub fn and_data(self, name: &str, data: &WindowSet<'_>) -> Self {
        self.and(name, short(&fingerprint::of_windows(data)))
    }

    /// Adds a teacher and what is taken from it.
    pub(in super::super) fn and_teacher(self, teacher: Option<Teacher<'_>>) -> Self {
        match teacher {
            Some(Teacher { vae, config }) => self.and_model("teacher", vae).and_all(&config),
            None => self.and("teacher", "none"),
        }
    }

    /// Adds how a training quantizes; `None` trains in float.
    pub fn and_quantization(self, options: Option<&QuantizeOptions>) -> Self {
        let all = self.and("qat", options.is_some());
        let Some(options) = options else { return all };
        all.and("weight-bits", &options.weight_bits)
            .and("range", options.range)
            .and("input-headroom", options.input_headroom)
            // Whatever else there is to choose.
            .and("quantization", format!("{options:?}"))
    }

    /// Checks that a command or training is the one these were kept of.
    pub(super) fn must_equal(&self, now: &Self, path: &Path) -> Result<(), CheckpointError> {
        let absent = || (String::new(), "absent".to_string());
        let length = self.values.len().max(now.values.len());
        let at = |settings: &Self, at: usize| settings.values.get(at).cloned();
        for index in 0..length {
            let (before, now) = (at(self, index), at(now, index));
            if before != now {
                let name = now.clone().or_else(|| before.clone()).unwrap_or_else(absent).0;
                let value = |of: Option<(String, String)>| {
                    let of = of.filter(|(of, _)| *of == name).unwrap_or_else(absent);
                    of.1
                };
                return Err(CheckpointError::Differs {
                    path: path.to_path_buf(),
                    before: value(before),
                    now: value(now),
                    setting: name,
                });
            }
        }
        Ok(())
    }
}

/// The beginning of a digest, which is enough to tell files apart.
fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}
