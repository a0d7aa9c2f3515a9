//! The numbers of a file, and tensors as views of them.

use super::super::Problem;
use super::super::archive::Archive;
use super::super::named_tensor::{Elements, NamedTensor};
use super::machine::Unpickled;
use super::value::{Dtype, Heap, Object, Tensor, Value};
use super::{Found, Refusal};
use std::borrow::Cow;
use std::collections::HashMap;

/// The bytes of every storage that was asked for, or why there are none.
pub(super) struct Storages<'a> {
    bytes: HashMap<String, Result<Cow<'a, [u8]>, String>>,
}

impl<'a> Storages<'a> {
    /// Reads from a zip archive what `entries` refer to.
    pub(super) fn zipped(
        heap: &Heap<'_>,
        entries: &[(String, Value<'_>)],
        mut archive: Archive<'_>,
        root: &str,
    ) -> Self {
        let mut bytes = HashMap::new();
        for tensor in entries.iter().filter_map(|(_, value)| heap.tensor(*value)) {
            let key = tensor.storage.key;
            if !bytes.contains_key(key) {
                let read = archive.read(&format!("{root}data/{key}")).map(Cow::Owned);
                bytes.insert(key.to_string(), read);
            }
        }
        Self { bytes }
    }

    /// Slices what follows the pickles of the old format: for every key a
    /// count and as many elements.
    ///
    /// # Errors
    /// A [`Refusal`] where the keys are not what the tensors refer to, or the
    /// file ends too early.
    pub(super) fn legacy(heap: &Heap<'_>, keys: &Unpickled<'a>) -> Result<Self, Refusal> {
        let dtypes: HashMap<&str, Dtype> =
            heap.storages().map(|storage| (storage.key, storage.dtype)).collect();
        let mut rest = keys.rest;
        let mut bytes = HashMap::new();
        for key in keys.heap.sequence(keys.value).unwrap_or_default() {
            let Value::Text(key) = key else {
                return Err(Refusal::damaged("a storage whose key is no text"));
            };
            let dtype = dtypes
                .get(key)
                .ok_or_else(|| Refusal::damaged(format!("storage `{key}` of unknown type")))?;
            let (count, data) = rest.split_at_checked(8).ok_or_else(Refusal::truncated)?;
            let count = u64::from_le_bytes(count.try_into().map_err(|_| Refusal::truncated())?);
            let len = usize::try_from(count).ok().and_then(|n| n.checked_mul(dtype.size()));
            let split = len.and_then(|len| data.split_at_checked(len));
            let (data, after) = split.ok_or_else(Refusal::truncated)?;
            bytes.insert(key.to_string(), Ok(Cow::Borrowed(data)));
            rest = after;
        }
        Ok(Self { bytes })
    }

    /// The tensors among `entries`, of a file of `file_len` bytes. What else a
    /// state dict holds (counters, text) is no weight, and left out.
    ///
    /// # Errors
    /// Every tensor that cannot be read.
    pub(super) fn tensors(
        &self,
        heap: &Heap<'_>,
        entries: &[(String, Value<'_>)],
        file_len: usize,
    ) -> Found<Vec<NamedTensor<'_>>> {
        let (mut list, mut problems) = (Vec::new(), Vec::new());
        // Views may overlap, but not so often that a small file fills memory.
        let mut left = file_len.saturating_mul(4).saturating_add(1 << 20);
        for (name, value) in entries {
            let tensor = match heap.get(*value) {
                Some(Object::Tensor(tensor)) => tensor,
                Some(Object::Opaque(class)) => {
                    problems.push(Problem::new(
                        name,
                        format!("made by `{class}`, which is not read"),
                        "convert the model to plain float32 tensors and save its state dict again",
                    ));
                    continue;
                }
                _ => continue,
            };
            match self.view(tensor, &mut left) {
                Ok(elements) => list.push(NamedTensor {
                    name: name.clone(),
                    shape: tensor.shape.clone(),
                    elements,
                }),
                Err(reason) => problems.push(Problem::new(
                    name,
                    reason,
                    "save the state dict again; copy shared or expanded tensors first (.contiguous())",
                )),
            }
        }
        if problems.is_empty() { Ok(list) } else { Err(problems) }
    }

    fn view(&self, tensor: &Tensor<'_>, left: &mut usize) -> Result<Elements<'_>, String> {
        let float = match tensor.storage.dtype {
            Dtype::Float(float) => float,
            Dtype::Other(name, _) => return Ok(Elements::Other(name.into())),
        };
        let key = tensor.storage.key;
        let data = match self.bytes.get(key) {
            Some(Ok(data)) => &data[..],
            Some(Err(reason)) => return Err(reason.clone()),
            None => return Err(format!("its storage `{key}` is missing")),
        };
        let stored = data.len() / float.size();
        if tensor.storage.len > stored {
            let claimed = tensor.storage.len;
            return Err(format!("its storage `{key}` has {stored} of {claimed} elements"));
        }
        let outside = || format!("shape {:?} reaches outside its storage", tensor.shape);
        let len = tensor.shape.iter().try_fold(1usize, |len, n| len.checked_mul(*n));
        let len = len.ok_or_else(outside)?;
        if len == 0 {
            return Ok(Elements::Float(float, Cow::Borrowed(&[])));
        }
        let mut last = tensor.offset;
        for (n, stride) in tensor.shape.iter().zip(&tensor.stride) {
            let step = (n - 1).checked_mul(*stride);
            last = step.and_then(|step| last.checked_add(step)).ok_or_else(outside)?;
        }
        if last >= stored {
            return Err(outside());
        }
        if len > stored {
            return Err(format!("shape {:?} repeats the elements of its storage", tensor.shape));
        }
        let bytes = len * float.size();
        *left = left.checked_sub(bytes).ok_or("tensors overlap too often in one storage")?;
        let from = tensor.offset * float.size();
        let view = match data.get(from..from + bytes) {
            Some(slice) if is_contiguous(tensor) => Cow::Borrowed(slice),
            _ => Cow::Owned(gather(tensor, data, float.size(), len)),
        };
        Ok(Elements::Float(float, view))
    }
}

/// Whether the elements lie in the storage as in a row-major array.
fn is_contiguous(tensor: &Tensor<'_>) -> bool {
    let mut expected = 1usize;
    tensor.shape.iter().zip(&tensor.stride).rev().all(|(n, stride)| {
        let fits = *n == 1 || *stride == expected;
        expected = expected.saturating_mul(*n);
        fits
    })
}

/// Copies a strided view, all of which lies inside `data`, row-major.
fn gather(tensor: &Tensor<'_>, data: &[u8], size: usize, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len * size);
    let mut index = vec![0usize; tensor.shape.len()];
    for _ in 0..len {
        let steps = index.iter().zip(&tensor.stride).map(|(i, stride)| i * stride);
        let at = (tensor.offset + steps.sum::<usize>()) * size;
        bytes.extend_from_slice(data.get(at..at + size).unwrap_or_default());
        for (i, n) in index.iter_mut().zip(&tensor.shape).rev() {
            *i += 1;
            if *i < *n {
                break;
            }
            *i = 0;
        }
    }
    bytes
}
