//! A finished blob with another threshold: weights, front-end and everything else stay as they are.

use picovae_core::arena::align_up;
use picovae_core::model::wire::sections::{SectionRecord, Sections};
use picovae_core::model::wire::{Description, HEADER_LEN, Header};

use super::blob::{Blob, BlobError};
use super::envelope::enclose;
use super::write::{Calibrated, Payload};

/// The blob with this threshold and this summary of normal scores, read back with the core. An alarm's end
/// (hysteresis) keeps its share of the way from the normal median to the threshold.
///
/// # Errors
/// [`BlobError`].
pub fn with_threshold(blob: &Blob, calibrated: Calibrated) -> Result<Blob, BlobError> {
    let model = blob.model()?;
    let before = model.description();
    let bytes = blob.bytes();
    let mut header: Header = bytemuck::pod_read_unaligned(&bytes[..HEADER_LEN]);
    let start = align_up(HEADER_LEN + header.description_len as usize);
    let mut payload = Payload::of(&bytes[start..]);
    let mut sections: Sections = *model.sections();
    if let Some(decision) = &mut sections.decision
        && let Some(clear) = decision.clear
    {
        let old = before.threshold.map(|threshold| (threshold, before.calibration.median));
        let new = calibrated.threshold.map(|threshold| (threshold, calibrated.summary.median));
        decision.clear = old.zip(new).map(|(old, new)| moved(clear, old, new));
        let records: Vec<SectionRecord> = sections.records().collect();
        header.sections = payload.push(bytemuck::cast_slice(&records), 4);
    }
    let description = Description {
        threshold: calibrated.threshold,
        calibration: calibrated.summary,
        ..before.clone()
    };
    let changed = enclose(header, &description, payload.bytes())?;
    let changed = Blob::from_bytes(&changed, model.name());
    changed.model()?;
    Ok(changed)
}

/// `clear` at the same share of the way from median to threshold.
fn moved(clear: i64, (threshold, median): (i64, i64), (to, normal): (i64, i64)) -> i64 {
    let way = threshold.saturating_sub(median).max(1) as f64;
    let share = (threshold.saturating_sub(clear) as f64 / way).clamp(0.0, 1.0);
    let new_way = to.saturating_sub(normal).max(0) as f64;
    // `as` saturates.
    to.saturating_sub((new_way * share).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::moved;

    #[test]
    fn an_alarm_ends_at_the_same_share() {
        assert_eq!(moved(75, (100, 0), (300, 100)), 250);
        assert_eq!(moved(100, (100, 0), (300, 100)), 300);
        assert_eq!(moved(0, (100, 0), (50, 60)), 50);
    }
}
