//! `.safetensors`: this tool's own files and foreign state dicts.
//!
//! Own files hold tensors named as in PyTorch (`<layer>.weight`,
//! `<layer>.bias`, optionally `likelihood.precision`) and, under the metadata
//! key `picovae`, a JSON text with everything else: format version, name,
//! front-end, layers with their activations, likelihood, score, provenance.

use super::assemble::Assembled;
use super::named_tensor::{Elements, FloatType, NamedTensor};
use super::state_dict::{self, ForeignOptions};
use super::tensors::{PRECISION, Tensors};
use super::windowed::WindowedOp;
use super::{ImportError, Problem};
use crate::graph::{
    Activation, Frontend, Layer, Likelihood, LikelihoodKind, Provenance, ScoreKind, Vae,
};
use crate::quantize::Settled;
use crate::whole_file;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Metadata key of own files.
pub const METADATA_KEY: &str = "picovae";

/// Metadata key of what quantization-aware training settled on ([`Settled::to_json`]).
pub const SETTLED_KEY: &str = "picovae.quantization";

/// Version of the metadata this version writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;

/// The JSON under [`METADATA_KEY`].
#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    format_version: u32,
    name: String,
    frontend: Frontend,
    encoder: Vec<LayerMetadata>,
    mu: LayerMetadata,
    logvar: Option<LayerMetadata>,
    decoder: Vec<LayerMetadata>,
    likelihood: LikelihoodKind,
    score: ScoreKind,
    #[serde(default)]
    provenance: Provenance,
    /// Only where there are some: other files stay as they were.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pruned_blocks: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct LayerMetadata {
    name: String,
    /// Absent for fully connected layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    op: Option<WindowedOp>,
    #[serde(default)]
    activation: Activation,
}

/// Reads a model file. `options` is used for foreign state dicts only.
///
/// # Errors
/// [`ImportError`]; everything wrong with the tensors is reported at once.
pub fn read_safetensors(
    path: impl AsRef<Path>,
    options: &ForeignOptions,
) -> Result<Vae, ImportError> {
    let path = path.as_ref();
    let bytes = super::read::bytes_of(path)?;
    parse_safetensors(path, &bytes, options)
}

/// Reads a model from memory; `path` is used in messages and for the name.
///
/// # Errors
/// As [`read_safetensors`].
pub fn parse_safetensors(
    path: &Path,
    bytes: &[u8],
    options: &ForeignOptions,
) -> Result<Vae, ImportError> {
    parse(path, bytes, options).map(|assembled| assembled.vae)
}

/// [`parse_safetensors`], with what its user should know.
///
/// # Errors
/// As [`parse_safetensors`].
pub(super) fn parse(
    path: &Path,
    bytes: &[u8],
    options: &ForeignOptions,
) -> Result<Assembled, ImportError> {
    let container = |e: safetensors::SafeTensorError| ImportError::Container {
        path: path.to_path_buf(),
        format: "safetensors",
        reason: e.to_string(),
        remedy: "copy or export it again; from PyTorch: safetensors.torch.save_file(model.state_dict(), path)",
    };
    let file = SafeTensors::deserialize(bytes).map_err(container)?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(container)?;
    let own = header.metadata().as_ref().and_then(|m| m.get(METADATA_KEY));
    let list = named_tensors(&file);
    let Some(json) = own else {
        return state_dict::import(path, bytes, &list, options);
    };
    let metadata = parse_metadata(path, json)?;
    let mut tensors = Tensors::read(&list, "", true);
    let vae = assemble_own(&mut tensors, metadata);
    state_dict::finish(path, tensors, vae)
}

fn named_tensors<'a>(file: &SafeTensors<'a>) -> Vec<NamedTensor<'a>> {
    let named = |(name, view): (String, TensorView<'a>)| {
        let float = match view.dtype() {
            Dtype::BF16 => Some(FloatType::Bf16),
            Dtype::F16 => Some(FloatType::F16),
            Dtype::F32 => Some(FloatType::F32),
            Dtype::F64 => Some(FloatType::F64),
            _ => None,
        };
        let elements = match float {
            Some(float) => Elements::Float(float, view.data().into()),
            None => Elements::Other(format!("{:?}", view.dtype())),
        };
        NamedTensor { name, shape: view.shape().to_vec(), elements }
    };
    file.tensors().into_iter().map(named).collect()
}

/// Whether a file holds this tool's own metadata; foreign state dicts do not.
pub fn is_own(bytes: &[u8]) -> bool {
    SafeTensors::read_metadata(bytes).is_ok_and(|(_, metadata)| {
        metadata.metadata().as_ref().is_some_and(|map| map.contains_key(METADATA_KEY))
    })
}

/// Writes a model file.
///
/// # Errors
/// [`ImportError::Graph`] for a model that does not validate,
/// [`ImportError::Io`] when the file cannot be written.
pub fn write_safetensors(path: impl AsRef<Path>, vae: &Vae) -> Result<(), ImportError> {
    write_trained(path, vae, None)
}

/// [`write_safetensors`] with what quantization-aware training settled on.
///
/// # Errors
/// As [`write_safetensors`].
pub fn write_trained(
    path: impl AsRef<Path>,
    vae: &Vae,
    settled: Option<&Settled>,
) -> Result<(), ImportError> {
    let path = path.as_ref();
    let bytes = serialize(path, vae, settled)?;
    whole_file::replace(path, &[&bytes])
        .map_err(|source| ImportError::Io { path: path.to_path_buf(), source })
}

/// What quantization-aware training settled on, where a file holds it; `None` for any other file.
///
/// # Errors
/// [`ImportError::Io`]; [`ImportError::Metadata`] where it is there and makes no sense.
pub fn read_settled(path: impl AsRef<Path>) -> Result<Option<Settled>, ImportError> {
    let path = path.as_ref();
    let bytes = std::fs::read(path)
        .map_err(|source| ImportError::Io { path: path.to_path_buf(), source })?;
    parse_settled(path, &bytes)
}

/// [`read_settled`] from memory; `path` is used in messages.
///
/// # Errors
/// [`ImportError::Metadata`].
pub fn parse_settled(path: &Path, bytes: &[u8]) -> Result<Option<Settled>, ImportError> {
    let Ok((_, header)) = SafeTensors::read_metadata(bytes) else { return Ok(None) };
    let Some(json) = header.metadata().as_ref().and_then(|map| map.get(SETTLED_KEY)) else {
        return Ok(None);
    };
    let bad = |reason| ImportError::Metadata { path: path.to_path_buf(), reason };
    Settled::from_json(json).map(Some).map_err(bad)
}

/// The bytes [`write_safetensors`] writes; the same model gives the same bytes.
///
/// # Errors
/// [`ImportError::Graph`] for a model that does not validate.
pub fn to_safetensors(path: &Path, vae: &Vae) -> Result<Vec<u8>, ImportError> {
    serialize(path, vae, None)
}

/// The bytes [`write_trained`] writes.
///
/// # Errors
/// As [`to_safetensors`].
pub fn to_trained_safetensors(
    path: &Path,
    vae: &Vae,
    settled: Option<&Settled>,
) -> Result<Vec<u8>, ImportError> {
    serialize(path, vae, settled)
}

fn serialize(path: &Path, vae: &Vae, settled: Option<&Settled>) -> Result<Vec<u8>, ImportError> {
    vae.validate().map_err(|source| ImportError::Graph { path: path.to_path_buf(), source })?;
    let mut parts: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for layer in vae.layers() {
        if let Some(bias) = layer.op.bias() {
            let name = &layer.name;
            let shape = layer.op.weight_shape().to_vec();
            parts.push((format!("{name}.weight"), shape, le_bytes(layer.op.weight().iter())));
            parts.push((format!("{name}.bias"), vec![bias.len()], le_bytes(bias.iter())));
        }
    }
    if let Likelihood::Gaussian { precision: Some(precision) } = &vae.likelihood {
        let shape = vec![precision.len()];
        parts.push((PRECISION.into(), shape, le_bytes(precision.iter())));
    }
    let describe = |layer: &Layer| LayerMetadata {
        name: layer.name.clone(),
        op: WindowedOp::of(&layer.op),
        activation: layer.activation,
    };
    let metadata = Metadata {
        format_version: FORMAT_VERSION,
        name: vae.name.clone(),
        frontend: vae.frontend.clone(),
        encoder: vae.encoder.iter().map(describe).collect(),
        mu: describe(&vae.mu),
        logvar: vae.logvar.as_ref().map(describe),
        decoder: vae.decoder.iter().map(describe).collect(),
        likelihood: vae.likelihood.kind(),
        score: vae.score,
        provenance: vae.provenance.clone(),
        pruned_blocks: vae.pruned_blocks,
    };
    let unwritable = |reason: String| ImportError::Metadata { path: path.to_path_buf(), reason };
    let json = serde_json::to_string(&metadata).map_err(|e| unwritable(e.to_string()))?;
    let views = parts
        .iter()
        .map(|(name, shape, data)| {
            TensorView::new(Dtype::F32, shape.clone(), data).map(|view| (name.as_str(), view))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| unwritable(e.to_string()))?;
    let mut info = HashMap::from([(METADATA_KEY.to_string(), json)]);
    if let Some(settled) = settled {
        info.insert(SETTLED_KEY.to_string(), settled.to_json());
    }
    let file = safetensors::serialize(views, Some(info)).map_err(|e| unwritable(e.to_string()))?;
    Ok(in_order(file))
}

/// The header of a file.
#[derive(Serialize, Deserialize)]
struct Header {
    #[serde(rename = "__metadata__")]
    metadata: BTreeMap<String, String>,
    #[serde(flatten)]
    tensors: BTreeMap<String, TensorEntry>,
}

#[derive(Serialize, Deserialize)]
struct TensorEntry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// The file with its metadata in the order of their keys: the crate writes them in that of a hash
/// map, another one every time, and the same model shall give the same file.
pub(super) fn in_order(mut file: Vec<u8>) -> Vec<u8> {
    let header = file.split_first_chunk::<8>().and_then(|(len, rest)| {
        let text = rest.get(..usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
        let header: Header = serde_json::from_slice(text).ok()?;
        let mut sorted = serde_json::to_vec(&header).ok()?;
        (sorted.len() <= text.len()).then(|| {
            sorted.resize(text.len(), b' ');
            sorted
        })
    });
    if let Some(header) = header {
        file[8..8 + header.len()].copy_from_slice(&header);
    }
    file
}

fn parse_metadata(path: &Path, json: &str) -> Result<Metadata, ImportError> {
    let bad = |reason: String| ImportError::Metadata { path: path.to_path_buf(), reason };
    // The version first: a newer file may lack what this version requires.
    #[derive(Deserialize)]
    struct Version {
        format_version: u32,
    }
    let version: Version = serde_json::from_str(json).map_err(|e| bad(e.to_string()))?;
    if version.format_version != FORMAT_VERSION {
        return Err(bad(format!(
            "format version {} is not {FORMAT_VERSION}, the one this version reads",
            version.format_version
        )));
    }
    serde_json::from_str(json).map_err(|e| bad(e.to_string()))
}

fn assemble_own(tensors: &mut Tensors, metadata: Metadata) -> Option<Vae> {
    let mut missing = Vec::new();
    let mut take = |tensors: &mut Tensors, layer: &LayerMetadata| {
        let known = tensors.mentions(&layer.name);
        let taken = match &layer.op {
            None => tensors.take(&layer.name, layer.activation),
            Some(op) => op.take(tensors, &layer.name, layer.activation),
        };
        if taken.is_none() && !known {
            missing.push(Problem::new(
                format!("{}.weight", layer.name),
                "missing, although the metadata lists the layer",
                "copy the file again, or write it again with picovae",
            ));
        }
        taken
    };
    let encoder: Vec<_> = metadata.encoder.iter().map(|l| take(tensors, l)).collect();
    let mu = take(tensors, &metadata.mu);
    let logvar = metadata.logvar.as_ref().map(|l| take(tensors, l));
    let decoder: Vec<_> = metadata.decoder.iter().map(|l| take(tensors, l)).collect();
    for name in tensors.names() {
        missing.push(Problem::new(
            name,
            "not listed in the metadata",
            "remove the tensor, or the `picovae` metadata if another tool changed the file",
        ));
    }
    tensors.problems.extend(missing);
    Some(Vae {
        name: metadata.name,
        frontend: metadata.frontend,
        encoder: encoder.into_iter().collect::<Option<_>>()?,
        mu: mu?,
        logvar: match logvar {
            Some(layer) => Some(layer?),
            None => None,
        },
        decoder: decoder.into_iter().collect::<Option<_>>()?,
        likelihood: match metadata.likelihood {
            LikelihoodKind::Bernoulli => Likelihood::Bernoulli,
            LikelihoodKind::Gaussian => {
                Likelihood::Gaussian { precision: tensors.precision.take() }
            }
        },
        score: metadata.score,
        provenance: metadata.provenance,
        pruned_blocks: metadata.pruned_blocks,
    })
}

fn le_bytes<'a>(values: impl Iterator<Item = &'a f32>) -> Vec<u8> {
    values.flat_map(|v| v.to_le_bytes()).collect()
}
