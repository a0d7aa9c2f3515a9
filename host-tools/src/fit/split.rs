//! Train, choose, calibrate: three parts of the normal recordings, apart in time.

use super::FitError;
use super::clips::{Clip, Clips};
use crate::graph::Frontend;
use crate::recording::{Recording, WindowSet};

/// Where validation and calibration begin, as shares of each clip's time.
const VALIDATION: f64 = 0.6;
const CALIBRATION: f64 = 0.75;
/// Windows that each part must hold.
const LEAST: [usize; 3] = [16, 6, 8];

/// The parts.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) train: Vec<Recording>,
    pub(super) validation: Vec<Recording>,
    pub(super) calibration: Vec<Recording>,
}

impl Parts {
    /// Splits whole clips where there are many of one length, else each clip in time, with a gap of
    /// a window (where so much can be spared) between the parts.
    pub(super) fn new(clips: Clips, window: usize) -> Result<Self, FitError> {
        let frames = clips.frames();
        let too_short = || {
            let windows: usize = LEAST.iter().sum();
            // A quarter of a window from one to the next is enough; validation is the shortest part, gaps come on top.
            Err(FitError::TooShort { frames, window, needed: window * (windows / 2 + 3) })
        };
        let channels = clips.channels;
        let mut parts = Self { train: vec![], validation: vec![], calibration: vec![] };
        if let Some(row) = clips.rows {
            let count = clips.clips.len();
            if row < window {
                return too_short();
            }
            let cut = |share: f64| (count as f64 * share).round() as usize;
            let (validation, calibration) = (cut(VALIDATION), cut(CALIBRATION));
            let part = |name: &str, range: std::ops::Range<usize>| {
                let clips = &clips.clips[range];
                let samples: Vec<f32> = clips.iter().flat_map(|c| c.samples.clone()).collect();
                Recording::from_samples(name, vec![clips.len(), row, channels], samples)
            };
            parts.train.push(part("train", 0..validation)?);
            parts.validation.push(part("validation", validation..calibration)?);
            parts.calibration.push(part("calibration", calibration..count)?);
        } else {
            for Clip { samples, frames, .. } in clips.clips {
                let gap = window.min(frames / 40);
                let (validation, calibration) =
                    ((frames as f64 * VALIDATION) as usize, (frames as f64 * CALIBRATION) as usize);
                let part = |into: &mut Vec<Recording>, name: &str, from: usize, to: usize| {
                    if to < from + window {
                        return Ok(());
                    }
                    let samples = samples[from * channels..to * channels].to_vec();
                    Recording::from_samples(name, vec![to - from, channels], samples)
                        .map(|recording| into.push(recording))
                };
                part(&mut parts.train, "train", 0, validation)?;
                part(&mut parts.validation, "validation", validation + gap, calibration)?;
                part(&mut parts.calibration, "calibration", calibration + gap, frames)?;
            }
        }
        let windows = |part: &[Recording]| {
            let hop = (window / 4).max(1);
            let of = |r: &Recording| match r.shape[..] {
                [rows, len, _] => rows * ((len - window) / hop + 1),
                [len, _] => (len - window) / hop + 1,
                _ => 0,
            };
            part.iter().map(of).sum::<usize>()
        };
        let enough = [&parts.train, &parts.validation, &parts.calibration].into_iter().zip(LEAST);
        if enough.into_iter().any(|(part, least)| windows(part) < least) {
            return too_short();
        }
        Ok(parts)
    }
}

/// All windows of some recordings, at most `most` of them, evenly spread.
pub(super) fn windows<'r>(
    recordings: impl IntoIterator<Item = &'r Recording>,
    frontend: &Frontend,
    most: usize,
) -> Result<WindowSet<'r>, FitError> {
    let mut set = WindowSet::new();
    for recording in recordings {
        set.add(recording.clips(frontend)?)?;
    }
    if set.len() <= most {
        return Ok(set);
    }
    let indices: Vec<usize> = (0..most).map(|i| i * set.len() / most).collect();
    Ok(set.subset(&indices))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clips(shape: &[usize]) -> Clips {
        let samples = (0..shape.iter().product::<usize>()).map(|i| i as f32).collect();
        let recording = Recording::from_samples("a.npy", shape.to_vec(), samples).unwrap();
        Clips::new(vec![recording], None, None).unwrap()
    }

    #[test]
    fn parts_do_not_meet_in_time() {
        let parts = Parts::new(clips(&[4_000, 1]), 32).unwrap();
        let last = |part: &[Recording]| *part[0].samples.last().unwrap();
        assert!(last(&parts.train) + 32.0 < parts.validation[0].samples[0]);
        assert!(last(&parts.validation) + 32.0 < parts.calibration[0].samples[0]);
        assert_eq!(last(&parts.calibration), 3_999.0);
        let rows = Parts::new(clips(&[100, 70, 3]), 64).unwrap();
        let counts = [&rows.train, &rows.validation, &rows.calibration].map(|p| p[0].shape[0]);
        assert_eq!(counts, [60, 15, 25]);
    }

    #[test]
    fn too_short_says_how_much_is_needed() {
        match Parts::new(clips(&[300, 1]), 64) {
            Err(FitError::TooShort { frames: 300, window: 64, needed }) => {
                assert!(Parts::new(clips(&[3 * needed, 1]), 64).is_ok(), "{needed}");
            }
            other => panic!("{other:?}"),
        }
    }
}
