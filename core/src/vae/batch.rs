//! Many windows at a time, for hosts: the bits of [`Vae`](crate::Vae), several times as fast.
//!
//! Threads share a [`Prepared`] model. A [`Batch`] runs windows on it layer by layer, so that each
//! weight is read once for several windows, and keeps every activation:
//!
//! ```text
//! features  int8   [window][input]
//! encoder   int16  features [window][input], then each layer [window][outputs]; the last is the head.
//!                  A widened head comes twice: as the int8 values it is made of, then as itself
//! decoder   int16  latent [window][latent], then each layer; the last is the output
//! work      bytes  for layers that run window by window
//! arena     bytes  of the window looked at
//! ```
//! Each vector starts at a multiple of 32 elements.

use core::ops::Range;

use super::network::to_grid;
use super::prepared::{Prepared, cut, layers};
use super::{Vae, VaeError, posterior_sample};
use crate::fixed::gaussian::Gaussian;
use crate::kernels::Line;
use crate::kernels::batch::{Rows, lines, run, vectorized, work_len};
use crate::model::Model;

/// int16 elements of a line.
const LANES: usize = Rows::<()>::LANES;

/// Runs up to a fixed number of windows at a time.
///
/// [`load`](Self::load) each window, [`encode`](Self::encode), [`decode`](Self::decode),
/// then read the scores.
#[derive(Debug)]
pub struct Batch<'p, 'm, 'a> {
    pub(super) prepared: &'p Prepared<'m, 'a>,
    pub(super) windows: usize,
    pub(super) features: &'p mut [i8],
    pub(super) encoder: &'p mut [i16],
    pub(super) decoder: &'p mut [i16],
    pub(super) work: &'p mut [u8],
    /// Holds the window looked at.
    pub(super) vae: Vae<'p, 'a>,
}

/// Lines of a batch's parts.
struct Parts {
    features: usize,
    encoder: usize,
    decoder: usize,
    work: usize,
    arena: usize,
}

impl Parts {
    fn new(model: &Model<'_>, windows: usize) -> Self {
        let (middle, end) = (model.encoder_len(), model.layer_count());
        let vectors = |first: usize, range: Range<usize>| {
            let outputs: usize = layers(model, range)
                .map(|layer| {
                    stride(layer.output_len()) * if layer.narrow().is_some() { 2 } else { 1 }
                })
                .sum();
            (stride(first) + outputs) / LANES * windows
        };
        let layers_work = layers(model, 0..end).map(|layer| work_len(&layer, windows)).max();
        let work = layers_work.unwrap_or(0).max(model.frontend().scratch_len());
        Self {
            features: (stride(model.input_len()) * windows).div_ceil(size_of::<Line>()),
            encoder: vectors(model.input_len(), 0..middle),
            decoder: vectors(model.latent_len(), middle..end),
            work: work.div_ceil(size_of::<Line>()),
            arena: model.arena_len().div_ceil(size_of::<Line>()),
        }
    }
}

impl<'p, 'm, 'a> Batch<'p, 'm, 'a> {
    /// Lines of memory that a batch of `windows` takes.
    pub fn memory_len(model: &Model<'_>, windows: usize) -> usize {
        let Parts { features, encoder, decoder, work, arena } = Parts::new(model, windows);
        features + encoder + decoder + work + arena
    }

    /// A batch of up to `windows` in `memory`, of [`memory_len`](Self::memory_len) lines.
    ///
    /// # Errors
    /// [`VaeError::ArenaTooSmall`], in bytes.
    pub fn new(
        prepared: &'p Prepared<'m, 'a>,
        memory: &'p mut [Line],
        windows: usize,
    ) -> Result<Self, VaeError> {
        let parts = Parts::new(prepared.model, windows);
        let memory = cut(memory, Self::memory_len(prepared.model, windows))?;
        // Elements behind a vector's end meet zero weights, but have to be int8 values.
        memory.fill(Line::default());
        let (features, rest) = memory.split_at_mut(parts.features);
        let (encoder, rest) = rest.split_at_mut(parts.encoder);
        let (decoder, rest) = rest.split_at_mut(parts.decoder);
        let (work, arena) = rest.split_at_mut(parts.work);
        Ok(Self {
            prepared,
            windows,
            features: bytemuck::cast_slice_mut(features)
                .get_mut(..stride(prepared.model.input_len()) * windows)
                .unwrap_or_default(),
            encoder: bytemuck::cast_slice_mut(encoder),
            decoder: bytemuck::cast_slice_mut(decoder),
            work: bytemuck::cast_slice_mut(work),
            vae: Vae::new(prepared.model, bytemuck::cast_slice_mut(arena))?,
        })
    }

    /// The model.
    pub fn model(&self) -> &'m Model<'a> {
        self.prepared.model
    }

    /// Windows it holds.
    pub fn len(&self) -> usize {
        self.windows
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.windows == 0
    }

    /// Runs the front-end on raw samples: window `at`.
    ///
    /// # Errors
    /// [`VaeError::InputLength`], also where `at` is not below [`len`](Self::len).
    pub fn load(&mut self, at: usize, window: &[i16]) -> Result<(), VaeError> {
        let Self { prepared, features, work, .. } = self;
        let (needed, got) = (prepared.model.window_samples(), window.len());
        let features = place(features, prepared.model.input_len(), at);
        if needed != got || features.is_empty() {
            return Err(VaeError::InputLength { needed, got });
        }
        vectorized(|| prepared.frontend.features_at_once(window, work, features));
        Ok(())
    }

    /// The int8 features of window `at`, to be set directly; none where there is no such window.
    pub fn features_mut(&mut self, at: usize) -> &mut [i8] {
        let len = self.model().input_len();
        place(self.features, len, at)
    }

    /// Features to `mu` and `logvar`, of the first `count` windows.
    pub fn encode(&mut self, count: usize) {
        let len = self.model().input_len();
        let stride = stride(len);
        let count = count.min(self.windows);
        vectorized(|| {
            let bytes = self.features.chunks_exact(stride).take(count);
            for (wide, bytes) in self.encoder.chunks_exact_mut(stride).zip(bytes) {
                for (wide, &q) in wide.iter_mut().zip(bytes) {
                    *wide = q.into();
                }
            }
        });
        self.run(false, count);
    }

    /// Decodes the latents at their means, of the first `count` windows.
    pub fn decode(&mut self, count: usize) {
        self.decode_with(count, |_, _, mu, _| mu);
    }

    /// Decodes a sample of each posterior: `noise` gives the generator of a window.
    pub fn decode_samples(&mut self, count: usize, mut noise: impl FnMut(usize) -> Gaussian) {
        let latent = self.model().description().latent;
        let mut drawn = Gaussian::new(0);
        self.decode_with(count, |at, i, mu, logvar| {
            if i == 0 {
                drawn = noise(at);
            }
            posterior_sample(&latent, mu, logvar, &mut drawn)
        });
    }

    /// Decodes what `value` makes of window, dimension, `mu` and `logvar`.
    fn decode_with(
        &mut self,
        count: usize,
        mut value: impl FnMut(usize, usize, i16, Option<i16>) -> i16,
    ) {
        let model = self.model();
        let latent = &model.description().latent;
        let len = model.latent_len();
        let count = count.min(self.windows);
        let heads = last_vectors(self.encoder, head_len(model), self.windows);
        let rows = self.decoder.chunks_exact_mut(stride(len)).zip(heads).take(count);
        for (at, (z, head)) in rows.enumerate() {
            let (mu, logvar) = head.split_at_checked(len).unwrap_or((&[], &[]));
            for (i, (z, &mu)) in z.iter_mut().zip(mu).enumerate() {
                let logvar = if latent.has_logvar { logvar.get(i).copied() } else { None };
                *z = to_grid(latent, value(at, i, mu, logvar)).into();
            }
        }
        self.run(true, count);
    }

    /// The layers of encoder or decoder over the first `count` windows.
    fn run(&mut self, decoder: bool, count: usize) {
        let Self { prepared, windows, .. } = *self;
        let model = prepared.model;
        let middle = model.encoder_len();
        let mut weights =
            prepared.weights.get(if decoder { prepared.decoder } else { 0 }..).unwrap_or(&[]);
        let (range, mut len, area) = match decoder {
            true => (middle..model.layer_count(), model.latent_len(), &mut *self.decoder),
            false => (0..middle, model.input_len(), &mut *self.encoder),
        };
        let Some((mut input, mut rest)) = area.split_at_mut_checked(windows * stride(len)) else {
            return;
        };
        for (layer, index) in layers(model, range.clone()).zip(range) {
            let rounding = model.layer_rounding(index);
            let from = Rows { values: &*input, stride: stride(len) };
            let from =
                Rows { values: from.values.get(..count * from.stride).unwrap_or(&[]), ..from };
            len = layer.output_len();
            let Some((out, others)) = rest.split_at_mut_checked(windows * stride(len)) else {
                return;
            };
            let Some((own, following)) = weights.split_at_checked(lines(&layer)) else { return };
            let to = Rows { values: &mut *out, stride: stride(len) };
            weights = following;
            let Some((narrow, table)) = layer.narrow() else {
                run(&layer, rounding, own, from, to, self.work);
                (input, rest) = (out, others);
                continue;
            };
            run(&narrow, rounding, own, from, to, self.work);
            let Some((wide, others)) = others.split_at_mut_checked(windows * stride(len)) else {
                return;
            };
            for (wide, &q) in wide.iter_mut().zip(&*out) {
                *wide = table.get((i32::from(q) + 128) as usize).copied().unwrap_or(0);
            }
            (input, rest) = (wide, others);
        }
    }
}

/// Elements of a vector's place: whole lines.
pub(super) fn stride(len: usize) -> usize {
    len.next_multiple_of(LANES)
}

/// Elements of the encoder's output.
pub(super) fn head_len(model: &Model<'_>) -> usize {
    model.latent_len() * if model.description().latent.has_logvar { 2 } else { 1 }
}

/// Vector `at` of features.
pub(super) fn place(features: &mut [i8], len: usize, at: usize) -> &mut [i8] {
    let start = at.saturating_mul(stride(len));
    features.get_mut(start..start.saturating_add(len)).unwrap_or(&mut [])
}

/// The vectors of `len` elements that an area ends with.
fn last_vectors(area: &[i16], len: usize, windows: usize) -> impl Iterator<Item = &[i16]> {
    let start = area.len().saturating_sub(windows * stride(len));
    area.get(start..).unwrap_or(&[]).chunks_exact(stride(len))
}

/// Vector `at` of those.
#[inline]
pub(super) fn vector(area: &[i16], len: usize, windows: usize, at: usize) -> &[i16] {
    let start = area.len().saturating_sub(windows * stride(len));
    let start = start.saturating_add(at.saturating_mul(stride(len)));
    match at < windows {
        true => area.get(start..start + len).unwrap_or(&[]),
        false => &[],
    }
}
