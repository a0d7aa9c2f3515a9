//! Trained models from files: one module a format.
//!
//! Today: `.safetensors`, this tool's own files as well as foreign PyTorch
//! state dicts, the `.pt` files that PyTorch itself writes, Keras' `.keras`
//! and `.h5`, full-int8 `.tflite`. Whatever is not understood is refused by
//! name, all of it in one pass.

mod archive;
#[allow(dead_code, reason = "the readers of graph formats call it")]
mod assemble;
mod batch_norm;
mod error;
mod keras;
mod layout;
mod named_tensor;
#[allow(dead_code, unused_imports, reason = "the readers of graph formats fill it")]
mod network;
mod order;
mod safetensors;
mod state_dict;
mod tensors;
mod tflite;
mod torch_pickle;
mod windowed;

pub use error::{ImportError, Problem};
pub use keras::{is_keras, parse_keras};
pub use safetensors::{
    FORMAT_VERSION, METADATA_KEY, is_own, parse_safetensors, read_safetensors, to_safetensors,
    write_safetensors,
};
pub use state_dict::ForeignOptions;
pub use tflite::{Contents as TfliteContents, Int8Model, TfliteOptions, is_tflite, parse_tflite};
pub use torch_pickle::{is_torch, parse_torch};

#[cfg(test)]
mod foreign_tests;
#[cfg(test)]
mod tests;
