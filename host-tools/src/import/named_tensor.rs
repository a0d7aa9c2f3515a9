//! A tensor as a file holds it: name, shape, and numbers not converted yet.
//! Every reader of state dicts gives a list of these to [`super::tensors`].

use super::Problem;
use half::{bf16, f16};
use std::borrow::Cow;

/// One tensor of a state dict.
#[derive(Debug, Clone)]
pub(super) struct NamedTensor<'a> {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) elements: Elements<'a>,
}

/// The numbers of a tensor, row-major.
#[derive(Debug, Clone)]
pub(super) enum Elements<'a> {
    /// Little-endian floating-point numbers, as many as the shape says.
    Float(FloatType, Cow<'a, [u8]>),
    /// Something no weight is made of; the name of its type.
    Other(String),
}

/// Floating-point types that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FloatType {
    Bf16,
    F16,
    F32,
    F64,
}

impl FloatType {
    /// Bytes of one number.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Bf16 | Self::F16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

impl NamedTensor<'_> {
    /// The numbers as f32.
    ///
    /// # Errors
    /// A problem that names the tensor: its type is not read, or a number is
    /// not finite.
    pub(super) fn values(&self) -> Result<Vec<f32>, Problem> {
        let values = match &self.elements {
            Elements::Float(FloatType::F32, data) => numbers(data, f32::from_le_bytes),
            Elements::Float(FloatType::F64, data) => {
                numbers(data, |b| f64::from_le_bytes(b) as f32)
            }
            Elements::Float(FloatType::F16, data) => {
                numbers(data, |b| f16::from_le_bytes(b).into())
            }
            Elements::Float(FloatType::Bf16, data) => {
                numbers(data, |b| bf16::from_le_bytes(b).into())
            }
            Elements::Other(dtype) => {
                return Err(Problem::new(
                    &self.name,
                    format!("dtype {dtype} is not read"),
                    "save it as float32, float64, float16 or bfloat16",
                ));
            }
        };
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(values),
            Some(at) => Err(Problem::new(
                &self.name,
                format!("element {at} is {}", values[at]),
                "training diverged: train again with a lower learning rate",
            )),
        }
    }
}

fn numbers<const N: usize>(data: &[u8], to: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    data.as_chunks::<N>().0.iter().map(|b| to(*b)).collect()
}
