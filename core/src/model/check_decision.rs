//! The gate's part that concerns the decision and the sensor's health.

use super::Model;
use super::error::ModelError;
use super::layer::array;
use crate::score::Score;
use crate::stream::{Decision, HealthChecks, NormalFeatures};

/// Every setting of the decision.
pub(super) fn check(model: &Model<'_>) -> Result<(), ModelError> {
    health_checks(model)?;
    normal_features(model)?;
    let Some(wire) = model.sections.decision else { return Ok(()) };
    let votes = (1..=32).contains(&wire.of) && (1..=wire.of).contains(&wire.votes);
    // Where there is a threshold, an alarm does not end above it.
    let clear = wire.clear.zip(model.threshold()).is_none_or(|(clear, at)| clear <= at.0);
    if votes && clear { Ok(()) } else { Err(ModelError::Score) }
}

/// The decision; the default where the blob has none.
pub(super) fn decision(model: &Model<'_>) -> Decision {
    model.sections.decision.map_or_else(Decision::default, |wire| Decision {
        warm_up: wire.warm_up,
        votes: wire.votes,
        of: wire.of,
        clear: wire.clear.map(Score),
        hold_off: wire.hold_off,
    })
}

/// What is watched of the sensor.
pub(super) fn health_checks<'a>(model: &Model<'a>) -> Result<HealthChecks<'a>, ModelError> {
    let Some(wire) = model.sections.decision else { return Ok(HealthChecks::default()) };
    let channels = usize::from(model.description.frontend.channels);
    let range = match wire.range {
        Some(offset) => array(model.payload, offset, channels).ok_or(ModelError::Section)?,
        None => &[],
    };
    Ok(HealthChecks { stuck: wire.stuck, rails: wire.rails, range, outside: wire.outside })
}

/// Where normal features lie.
pub(super) fn normal_features<'a>(
    model: &Model<'a>,
) -> Result<Option<NormalFeatures<'a>>, ModelError> {
    let Some(wire) = model.sections.normal_features else { return Ok(None) };
    let groups = model.frontend().groups();
    Ok(Some(NormalFeatures {
        mean: array(model.payload, wire.mean, groups).ok_or(ModelError::Section)?,
        deviation: array(model.payload, wire.deviation, groups).ok_or(ModelError::Section)?,
    }))
}
