//! Trained models from files: one module a format.
//!
//! [`read`] takes any of them; the content decides, not the name. Whatever is not
//! understood is refused by name, all of it in one pass.
//!
//! | files | how they are read |
//! |---|---|
//! | `.safetensors` of this tool | as written: `safetensors` |
//! | state dicts: `.safetensors`, `.pt` | the names of tensors tell the layers: `state_dict`, `torch_pickle` |
//! | graphs: `.onnx`, `.keras`, `.h5`, float `.tflite` | into a `network`, which `assemble` makes a model of |
//! | int8 `.tflite` | layer by layer, every integer kept: `tflite` |

mod archive;
mod assemble;
mod batch_norm;
mod error;
mod keras;
mod layout;
mod named_tensor;
mod network;
mod onnx;
mod order;
mod read;
mod safetensors;
mod state_dict;
mod tensors;
mod tflite;
mod torch_pickle;
mod windowed;

pub use error::{ImportError, Problem};
pub use keras::{is_keras, parse_keras};
pub use read::{Imported, ReadOptions, parse, read};
pub use safetensors::{
    FORMAT_VERSION, METADATA_KEY, SETTLED_KEY, is_own, parse_safetensors, parse_settled,
    read_safetensors, read_settled, to_safetensors, to_trained_safetensors, write_safetensors,
    write_trained,
};
pub use state_dict::ForeignOptions;
pub(crate) use state_dict::hex;
pub use tflite::{Contents as TfliteContents, Int8Model, TfliteOptions, is_tflite, parse_tflite};
pub use torch_pickle::{is_torch, parse_torch};

#[cfg(test)]
mod foreign_tests;
#[cfg(test)]
mod tests;
