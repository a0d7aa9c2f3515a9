//! The weights of a Keras model: HDF5 groups in the two arrangements that
//! Keras writes.
//!
//! Legacy `.h5` files have a group for each layer of the outermost model, with
//! an attribute that lists its weights by name, those of nested models
//! included. `model.weights.h5` in a `.keras` archive mirrors the nesting:
//! `layers/<class>_<n>/vars/<i>`, where class and count stand for the layer's
//! name.

use super::Refused;
use hdf5_reader::group::Group;
use hdf5_reader::{BytesStorage, Hdf5File, OpenOptions};
use ndarray::ArrayD;
use std::sync::Arc;

/// Numbers that all weights may have together: 64 MiB, far more than a device
/// holds.
const MAX_NUMBERS: usize = 16 << 20;

/// Bytes of one object's header.
const MAX_HEADER: usize = 4 << 20;

/// An opened weights file.
pub(super) struct Store {
    root: Group,
    legacy: bool,
    left: usize,
}

/// Where in the file the weights of a layer are.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// Group of the outermost layer; the name of the layer itself where it is
    /// nested inside that one.
    Legacy { group: String, nested: Option<String> },
    /// Path of the layer's group.
    Mirrored { path: String },
}

/// Opens an HDF5 file in memory.
fn open(bytes: Vec<u8>) -> Result<Group, String> {
    let options = OpenOptions::default()
        .with_max_chunk_bytes(MAX_NUMBERS * 4)
        .with_max_read_bytes(MAX_NUMBERS * 8)
        .with_max_object_header_bytes(MAX_HEADER);
    let len = bytes.len() as u64;
    let storage = Arc::new(BytesStorage::new(bytes));
    let file = Hdf5File::from_storage_with_options(storage, options).map_err(|e| e.to_string())?;
    let said = file.superblock().eof_address;
    if len < said {
        return Err(format!("it ends too early: {len} of {said} bytes"));
    }
    file.root_group().map_err(|e| e.to_string())
}

impl Store {
    /// A legacy `.h5` file: its weights, and the JSON that describes the model,
    /// which a file of weights alone lacks.
    pub(super) fn legacy(bytes: Vec<u8>) -> Result<(Self, Option<String>), String> {
        let root = open(bytes)?;
        let config = root.attribute("model_config").ok().and_then(|a| a.read_string().ok());
        let weights = root.group("model_weights").unwrap_or(root);
        Ok((Self { root: weights, legacy: true, left: MAX_NUMBERS }, config))
    }

    /// The `model.weights.h5` of a `.keras` archive.
    pub(super) fn mirrored(bytes: Vec<u8>) -> Result<Self, String> {
        Ok(Self { root: open(bytes)?, legacy: false, left: MAX_NUMBERS })
    }

    /// Where the outermost model is.
    pub(super) fn outermost(&self) -> Option<Place> {
        (!self.legacy).then(|| Place::Mirrored { path: String::new() })
    }

    /// Reads the variables of a layer, in Keras' order; each with the names it
    /// has had in Keras' versions.
    pub(super) fn variables(
        &mut self,
        place: &Place,
        names: &[&[&str]],
    ) -> Result<Vec<ArrayD<f32>>, Refused> {
        match place {
            Place::Mirrored { path } => {
                let of = |i: usize| {
                    let path = format!("{path}/vars/{i}");
                    // What Keras 2.12 to 2.15 called the list of layers.
                    let old = path.replace("layers/", "_layer_checkpoint_dependencies/");
                    [path, old]
                };
                (0..names.len()).map(|i| self.first(&of(i), names[i])).collect()
            }
            Place::Legacy { group, nested } => {
                let listed = self.listed(group);
                let mut arrays = Vec::new();
                for names in names {
                    let fits = |path: &&String| {
                        let mut parts = path.rsplit('/');
                        let variable = parts.next().unwrap_or_default();
                        let variable = variable.split(':').next().unwrap_or_default();
                        let of_layer = nested.as_deref().is_none_or(|n| parts.next() == Some(n));
                        of_layer && names.contains(&variable)
                    };
                    let paths: Vec<String> =
                        listed.iter().filter(fits).map(|path| format!("{group}/{path}")).collect();
                    arrays.push(self.first(&paths, names)?);
                }
                Ok(arrays)
            }
        }
    }

    /// Names of a group's weights; a list too long for one attribute is cut
    /// into several.
    fn listed(&self, group: &str) -> Vec<String> {
        let Ok(group) = self.root.group(group) else { return Vec::new() };
        let strings = |name: &str| group.attribute(name).ok()?.read_strings().ok();
        if let Some(names) = strings("weight_names") {
            return names;
        }
        (0..64).map_while(|i| strings(&format!("weight_names{i}"))).flatten().collect()
    }

    /// The dataset at the first of several paths that there is.
    fn first(&mut self, paths: &[String], names: &[&str]) -> Result<ArrayD<f32>, Refused> {
        let damaged = |reason: String| {
            Refused::new(reason, "the file is damaged: save the model again with model.save(path)")
        };
        for path in paths {
            let (groups, name) = path.rsplit_once('/').unwrap_or(("", path));
            let mut group = self.root.clone();
            let mut parts = groups.split('/').filter(|part| !part.is_empty());
            if !parts.all(|part| group.group(part).map(|inner| group = inner).is_ok()) {
                continue;
            }
            let Ok(dataset) = group.dataset(name) else { continue };
            let numbers = dataset.shape().iter().try_fold(1usize, |len, n| {
                usize::try_from(*n).ok().and_then(|n| len.checked_mul(n))
            });
            let left = numbers.and_then(|numbers| self.left.checked_sub(numbers));
            self.left = left.ok_or_else(|| {
                Refused::new(
                    format!("its weights have more than {MAX_NUMBERS} numbers"),
                    "use a smaller network: a device holds a few hundred thousand",
                )
            })?;
            let array = dataset
                .read_array::<f32>()
                .or_else(|_| dataset.read_array::<f64>().map(|wide| wide.mapv(|v| v as f32)));
            let array = array.map_err(|e| damaged(format!("weights `{path}`: {e}")))?;
            if let Some(value) = array.iter().find(|v| !v.is_finite()) {
                return Err(Refused::new(
                    format!("weights `{path}` hold {value}"),
                    "training diverged: train again with a lower learning rate",
                ));
            }
            return Ok(array);
        }
        Err(damaged(format!("its weights `{}` are missing", names.first().unwrap_or(&""))))
    }
}

impl Place {
    /// Of layers of a model at this place (`None`: the outermost of a legacy
    /// file). `class` is the layer's, `count` how many of that class came
    /// before it.
    pub(super) fn layer(model: Option<&Self>, name: &str, class: &str, count: usize) -> Self {
        match model {
            None => Self::Legacy { group: name.to_string(), nested: None },
            Some(Self::Legacy { group, .. }) => {
                Self::Legacy { group: group.clone(), nested: Some(name.to_string()) }
            }
            Some(Self::Mirrored { path }) => {
                let class = snake_case(class);
                let suffix = if count > 0 { format!("_{count}") } else { String::new() };
                Self::Mirrored { path: format!("{path}/layers/{class}{suffix}") }
            }
        }
    }
}

impl Place {
    /// Of the layer `name` inside a wrapper that is here.
    pub(super) fn wrapped(&self, name: &str) -> Self {
        match self {
            Self::Legacy { group, nested } => {
                Self::Legacy { group: group.clone(), nested: nested.as_ref().map(|_| name.into()) }
            }
            Self::Mirrored { path } => Self::Mirrored { path: format!("{path}/layer") },
        }
    }
}

/// `Conv2DTranspose` to `conv2d_transpose`, `ReLU` to `re_lu`, as Keras does.
fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut snake = String::new();
    for (i, letter) in letters.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|i| letters.get(i));
        let starts_word = letters.get(i + 1).is_some_and(char::is_ascii_lowercase);
        let ends_word = before.is_some_and(char::is_ascii_lowercase);
        if letter.is_ascii_uppercase() && before.is_some() && (starts_word || ends_word) {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn class_names_as_keras_writes_them() {
        for (class, snake) in [
            ("Dense", "dense"),
            ("Conv2DTranspose", "conv2d_transpose"),
            ("DepthwiseConv1D", "depthwise_conv1d"),
            ("BatchNormalization", "batch_normalization"),
            ("LeakyReLU", "leaky_re_lu"),
            ("Functional", "functional"),
        ] {
            assert_eq!(snake_case(class), snake);
        }
    }
}
