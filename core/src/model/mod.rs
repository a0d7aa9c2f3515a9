//! A validated model, borrowed from its blob.

pub mod blocks;
mod check;
mod check_decision;
mod check_frontend;
mod check_score;
mod error;
mod four_bit;
mod geometry;
mod layer;
pub mod packing;
mod phases;
mod plan;
pub(crate) mod read;
pub mod wire;

#[cfg(feature = "recalibration")]
pub(crate) use check::valid_scale;
pub use error::ModelError;
pub(crate) use geometry::Axis;
pub use geometry::Geometry;
pub use layer::{LayerView, Operator, Output};
pub use packing::{Matrix, RowNumbers};
pub use phases::Phases;
pub use plan::{ArenaPlan, Step};

use crate::fixed::Rounding;
use crate::frontend::Frontend;
use crate::score::mahalanobis::LatentGaussian;
#[cfg(feature = "latent-heads")]
use crate::score::resemblance::Resemblance;
use crate::score::{Score, ScoreKind};
use crate::stream::{Decision, HealthChecks, NormalFeatures};
use wire::sections::Sections;
use wire::{Calibration, Description, LayerRecord, Likelihood, Provenance};

/// A model that [`parse`](Self::parse) has proven sound. It borrows everything
/// from the blob, which may stay in flash; a few hundred bytes of RAM.
///
/// ```
/// use picovae_core::{Model, ModelError};
/// assert_eq!(Model::parse(&[]).unwrap_err(), ModelError::Length { stated: 32, got: 0 });
/// ```
#[derive(Clone, Debug)]
pub struct Model<'a> {
    description: Description<'a>,
    sections: Sections,
    layers: &'a [LayerRecord],
    payload: &'a [u8],
    /// Of the blob: what a saved state belongs to.
    checksum: u32,
    /// [`Frontend::feature_len`].
    features: usize,
    plan: ArenaPlan,
}

impl<'a> Model<'a> {
    /// Checks a blob completely: lengths, checksum, version, every section,
    /// shapes that chain, every multiplier and shift, and that no sum can
    /// leave 32 bits. Whatever this accepts runs without error and without panic.
    ///
    /// `blob` must start at a 16-byte boundary ([`Aligned`](crate::arena::Aligned)).
    ///
    /// # Errors
    /// A [`ModelError`] that names what is wrong.
    pub fn parse(blob: &'a [u8]) -> Result<Self, ModelError> {
        check::parse(blob)
    }

    /// CRC-32 of the blob, as its header states it.
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    /// Name of the model; empty without the feature `names`, as are its origin and its target.
    pub fn name(&self) -> &'a str {
        self.description.name
    }

    /// Where the model came from.
    pub fn provenance(&self) -> Provenance<'a> {
        self.description.provenance
    }

    /// The whole description, as the blob states it.
    pub fn description(&self) -> &Description<'a> {
        &self.description
    }

    /// What version 2 of the format added; empty for a version 1 blob.
    pub fn sections(&self) -> &Sections {
        &self.sections
    }

    /// Bytes of arena a [`Vae`](crate::Vae) of this model needs.
    pub fn arena_len(&self) -> usize {
        self.plan.len
    }

    /// Where each activation lies in the arena.
    pub fn plan(&self) -> ArenaPlan {
        self.plan
    }

    /// Features a window: what the encoder reads and the decoder gives back.
    pub fn input_len(&self) -> usize {
        self.features
    }

    /// Raw samples a window: `window_len * channels`.
    pub fn window_samples(&self) -> usize {
        let wire = &self.description.frontend;
        usize::from(wire.window_len) * usize::from(wire.channels)
    }

    /// Latent dimensions.
    pub fn latent_len(&self) -> usize {
        self.description.latent.len.into()
    }

    /// Layers, encoder first.
    pub fn layer_count(&self) -> usize {
        self.layers.len()
    }

    /// How many of the layers are the encoder's.
    pub fn encoder_len(&self) -> usize {
        self.description.encoder_len.into()
    }

    /// The raw record of layer `index`.
    pub fn record(&self, index: usize) -> Option<&'a LayerRecord> {
        self.layers.get(index)
    }

    /// Layer `index` with its weights, `None` behind the last.
    pub fn layer(&self, index: usize) -> Option<LayerView<'a>> {
        LayerView::resolve(self.layers.get(index)?, self.payload)
    }

    /// Name of layer `index`, empty if it has none.
    pub fn layer_name(&self, index: usize) -> &'a str {
        let bytes = self.layers.get(index).and_then(|layer| layer.name.of(self.payload));
        bytes.and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or("")
    }

    /// Rounding of every requantization of a layer that does not say otherwise.
    pub fn rounding(&self) -> Rounding {
        self.description.rounding
    }

    /// Rounding of every requantization of layer `index`.
    #[inline]
    pub fn layer_rounding(&self, index: usize) -> Rounding {
        let other = |layer: &LayerRecord| layer.flags & wire::flags::OTHER_ROUNDING != 0;
        let is_single = self.rounding() == Rounding::Single;
        // No branch: every layer of an inference asks.
        match is_single ^ self.layers.get(index).is_some_and(other) {
            false => Rounding::Double,
            true => Rounding::Single,
        }
    }

    /// The front-end.
    pub fn frontend(&self) -> Frontend<'a> {
        let wire = &self.description.frontend;
        let mut frontend = Frontend {
            window_len: wire.window_len.into(),
            hop: wire.hop.into(),
            channels: wire.channels.into(),
            remove_mean: wire.remove_mean,
            zero_point: wire.zero_point,
            decimation: check_frontend::decimation(&self.sections, self.payload).unwrap_or(None),
            #[cfg(feature = "spectrum")]
            spectrum: check_frontend::spectrum(&self.sections, self.payload).unwrap_or(None),
            offset: &[],
            multiplier: &[],
            shift: &[],
        };
        let groups = frontend.groups();
        frontend.offset = layer::array(self.payload, wire.offset, groups).unwrap_or(&[]);
        frontend.multiplier = layer::array(self.payload, wire.multiplier, groups).unwrap_or(&[]);
        frontend.shift = layer::array(self.payload, wire.shift, groups).unwrap_or(&[]);
        frontend
    }

    /// Real value of one raw count, a channel, as IEEE-754 bits: for the host
    /// and people, the core never reads it.
    pub fn lsb_bits(&self) -> &'a [u32] {
        let wire = &self.description.frontend;
        layer::array(self.payload, wire.lsb, wire.channels.into()).unwrap_or(&[])
    }

    /// What the decoder's output means.
    pub fn likelihood(&self) -> Likelihood {
        self.description.likelihood
    }

    /// The u16 precisions of a Gaussian likelihood, empty otherwise.
    pub fn precision(&self) -> &'a [u16] {
        match self.description.likelihood {
            Likelihood::Gaussian { precision, .. } => {
                layer::array(self.payload, precision, self.input_len()).unwrap_or(&[])
            }
            Likelihood::Bernoulli => &[],
        }
    }

    /// From scores to an alarm.
    pub fn decision(&self) -> Decision {
        check_decision::decision(self)
    }

    /// What a detector watches of the sensor.
    pub fn health_checks(&self) -> HealthChecks<'a> {
        check_decision::health_checks(self).unwrap_or_default()
    }

    /// Where the features of normal windows lie, where the blob says.
    pub fn normal_features(&self) -> Option<NormalFeatures<'a>> {
        check_decision::normal_features(self).unwrap_or(None)
    }

    /// How the latents of normal windows lie, where the blob says.
    pub fn latent_gaussian(&self) -> Option<LatentGaussian<'a>> {
        check_score::latent_gaussian(self).unwrap_or(None)
    }

    /// Which known state of the machine a latent, `[latent_len]`, resembles: the classifier's word where the
    /// blob has one, else the nearest cluster. `None` where it knows no states.
    #[cfg(feature = "latent-heads")]
    pub fn resemblance(&self, mu: &[i16]) -> Option<Resemblance<'a>> {
        let (found, names) = match check_score::classifier(self).ok()? {
            Some((classifier, names)) => (classifier.classify(mu), names),
            None => {
                let (clusters, names) = check_score::clusters(self).ok()??;
                (clusters.nearest(mu), names)
            }
        };
        let (class, margin) = found?;
        // By bytes: searching text for a character links a panic.
        let name = names.as_bytes().split(|&byte| byte == b'\n').nth(class.into())?;
        let name = core::str::from_utf8(name).unwrap_or("");
        Some(Resemblance { class, name, margin })
    }

    /// The score the model was calibrated for.
    pub fn score_kind(&self) -> ScoreKind {
        self.description.score
    }

    /// What no window scores less than, in the score's Q format (but for the last digit of a
    /// Bernoulli score).
    pub fn score_floor(&self) -> i64 {
        use ScoreKind::{GaussianNll, NegativeElbo, ReconstructionProbability};
        match (self.description.likelihood, self.description.score) {
            (
                Likelihood::Gaussian { constant, .. },
                GaussianNll | NegativeElbo | ReconstructionProbability,
            ) => constant,
            _ => 0,
        }
    }

    /// Greatest magnitude of an offset of the front-end: no difference leaves 32 bits.
    #[cfg(feature = "recalibration")]
    pub(crate) fn offset_bound(&self) -> i32 {
        check_frontend::offset_bound(self)
    }

    /// The calibrated threshold: scores at or above it are anomalies.
    pub fn threshold(&self) -> Option<Score> {
        self.description.threshold.map(Score)
    }

    /// Scores of the calibration windows.
    pub fn calibration(&self) -> Calibration {
        self.description.calibration
    }
}
