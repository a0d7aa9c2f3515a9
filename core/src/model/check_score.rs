//! The gate's part that concerns likelihood and score.

use super::Model;
use super::error::ModelError;
use super::layer::array;
use super::wire::Likelihood;
#[cfg(feature = "latent-heads")]
use super::wire::Span;
use crate::score::ScoreKind;
use crate::score::mahalanobis::LatentGaussian;
#[cfg(feature = "latent-heads")]
use crate::score::resemblance::{Classifier, Clusters};

/// Greatest right shift of a whitened row.
const MAX_SHIFT: u8 = 47;

/// The Gaussian of the latents, `None` where the blob has none.
pub(super) fn latent_gaussian<'a>(
    model: &Model<'a>,
) -> Result<Option<LatentGaussian<'a>>, ModelError> {
    let Some(wire) = model.sections.latent_gaussian else { return Ok(None) };
    let len = model.latent_len();
    let count = if wire.full { len * (len + 1) / 2 } else { len };
    Ok(Some(LatentGaussian {
        mean: array(model.payload, wire.mean, len).ok_or(ModelError::Section)?,
        weights: array(model.payload, wire.weights, count).ok_or(ModelError::Section)?,
        shifts: array(model.payload, wire.shifts, len).ok_or(ModelError::Section)?,
        full: wire.full,
    }))
}

/// Known states by distance and their names, `None` where the blob has none.
#[cfg(feature = "latent-heads")]
pub(super) fn clusters<'a>(
    model: &Model<'a>,
) -> Result<Option<(Clusters<'a>, &'a str)>, ModelError> {
    let Some(wire) = model.sections.latent_clusters else { return Ok(None) };
    let classes = usize::from(wire.classes);
    let count = classes.saturating_mul(model.latent_len());
    let clusters = Clusters {
        mean: array(model.payload, wire.mean, count).ok_or(ModelError::Section)?,
        weights: array(model.payload, wire.weights, count).ok_or(ModelError::Section)?,
        shifts: array(model.payload, wire.shifts, count).ok_or(ModelError::Section)?,
        constant: array(model.payload, wire.constant, classes).ok_or(ModelError::Section)?,
    };
    Ok(Some((clusters, names(model, wire.names, classes)?)))
}

/// Known states by a classifier and their names, `None` where the blob has none.
#[cfg(feature = "latent-heads")]
pub(super) fn classifier<'a>(
    model: &Model<'a>,
) -> Result<Option<(Classifier<'a>, &'a str)>, ModelError> {
    let Some(wire) = model.sections.latent_classifier else { return Ok(None) };
    let classes = usize::from(wire.classes);
    let count = classes.saturating_mul(model.latent_len());
    let classifier = Classifier {
        weights: array(model.payload, wire.weights, count).ok_or(ModelError::Section)?,
        bias: array(model.payload, wire.bias, classes).ok_or(ModelError::Section)?,
    };
    Ok(Some((classifier, names(model, wire.names, classes)?)))
}

/// The names of classes: as many lines.
#[cfg(feature = "latent-heads")]
fn names<'a>(model: &Model<'a>, span: Span, classes: usize) -> Result<&'a str, ModelError> {
    let bytes = span.of(model.payload).ok_or(ModelError::Section)?;
    let names = core::str::from_utf8(bytes).map_err(|_| ModelError::Description)?;
    if classes > 0 && bytes.iter().filter(|&&byte| byte == b'\n').count() + 1 == classes {
        Ok(names)
    } else {
        Err(ModelError::Score)
    }
}

/// Every setting of the latent's heads.
#[cfg(feature = "latent-heads")]
fn check_heads(model: &Model<'_>) -> Result<(), ModelError> {
    classifier(model)?;
    if let Some((clusters, _)) = clusters(model)?
        && clusters.shifts.iter().any(|&shift| shift > MAX_SHIFT)
    {
        return Err(ModelError::Score);
    }
    Ok(())
}

/// Every setting of likelihood and score.
pub(super) fn check(model: &Model<'_>) -> Result<(), ModelError> {
    let description = &model.description;
    use ScoreKind::{BernoulliExcess, Mahalanobis, ReconstructionProbability};
    let extra =
        matches!(description.score, BernoulliExcess | Mahalanobis | ReconstructionProbability);
    if extra && !cfg!(feature = "extra-scores") {
        return Err(ModelError::Score);
    }
    let kind_fits = match (description.likelihood, description.score) {
        (Likelihood::Bernoulli, ScoreKind::GaussianNll) => false,
        (Likelihood::Gaussian { .. }, ScoreKind::BernoulliNll) => false,
        (Likelihood::Gaussian { .. }, ScoreKind::BernoulliExcess) => false,
        (_, ScoreKind::KlDivergence) => description.latent.has_logvar,
        (_, ScoreKind::Mahalanobis) => model.sections.latent_gaussian.is_some(),
        (_, ScoreKind::ReconstructionProbability) => {
            description.latent.has_logvar && model.sections.sampling.is_some()
        }
        _ => true,
    };
    let likelihood_fits = match description.likelihood {
        // The features must be u8 pixels: q + 128 = 255 x.
        Likelihood::Bernoulli => description.frontend.zero_point == -128,
        Likelihood::Gaussian { precision, factor, .. } => {
            array::<u16>(model.payload, precision, model.input_len()).ok_or(ModelError::Section)?;
            factor.is_valid()
        }
    };
    let samples = model.sections.sampling.is_none_or(|sampling| sampling.samples > 0);
    if let Some(normal) = latent_gaussian(model)?
        && normal.shifts.iter().any(|&shift| shift > MAX_SHIFT)
    {
        return Err(ModelError::Score);
    }
    #[cfg(feature = "latent-heads")]
    check_heads(model)?;
    if kind_fits && samples && likelihood_fits && description.mean_square.is_valid() {
        Ok(())
    } else {
        Err(ModelError::Score)
    }
}
