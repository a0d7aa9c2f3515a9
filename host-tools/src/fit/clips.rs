//! Recordings of any shape as clips without gaps.

use super::FitError;
use crate::recording::{BRIDGED, Recording, RecordingError};

/// Samples of one stretch of time, `[frames][channels]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Clip {
    pub(super) samples: Vec<f32>,
    pub(super) frames: usize,
    /// The recording it comes from; its clips are in order of time.
    pub(super) source: usize,
}

/// All clips, and what they have in common.
#[derive(Debug)]
pub(super) struct Clips {
    pub(super) clips: Vec<Clip>,
    pub(super) channels: usize,
    /// Frames of every clip, where the recordings are many clips of one length.
    pub(super) rows: Option<usize>,
    pub(super) notes: Vec<String>,
    /// Names of the columns, where the first recording has them.
    columns: Vec<String>,
}

/// Most columns that an array of two axes is taken to have as channels; wider rows are
/// windows of one channel.
const MOST_CHANNELS: usize = 64;
/// Share of missing frames from which a channel is no channel.
const MISSING: f64 = 0.5;
/// Clips of one length from which they are taken as they are, instead of cut in time.
pub(super) const MANY: usize = 10;

impl Clips {
    /// Reads the shapes, bridges short gaps, cuts at long ones.
    pub(super) fn new(
        recordings: Vec<Recording>,
        channels: Option<usize>,
        window: Option<usize>,
    ) -> Result<Self, FitError> {
        let columns = recordings.first().map_or_else(Vec::new, |r| r.columns.clone());
        let mut all =
            Self { clips: Vec::new(), channels: 0, rows: None, notes: Vec::new(), columns };
        let mut lengths = Vec::new();
        for (source, mut recording) in recordings.into_iter().enumerate() {
            all.notes.extend(align(&mut recording, &all.columns));
            let (count, frames, found) = shape_of(&recording, channels, window)?;
            let name =
                recording.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if (2..=8).contains(&count) && recording.shape.len() == 2 {
                all.notes.push(format!(
                    "{name}: its {count} rows of {frames} values are taken for {count} recordings of one channel; \
                     if they are channels, transpose the array"
                ));
            }
            if all.channels == 0 {
                all.channels = found;
            } else if all.channels != found {
                let expected = all.channels;
                return Err(FitError::Channels { path: recording.path, found, expected });
            }
            refuse_missing(&recording, found)?;
            lengths.push((count, frames));
            // Jumps are counted in rows: where a row is a whole clip they lie between clips, which nothing joins.
            let jumps = if count == 1 { &recording.jumps[..] } else { &[] };
            let (mut bridged, mut cut) = (0, 0);
            for samples in recording.samples.chunks_exact((frames * found).max(1)) {
                let mut samples = samples.to_vec();
                bridged += bridge(&mut samples, found);
                let (whole, gaps) = whole_stretches(&samples, found, source, jumps);
                cut += gaps;
                // A clip with a hole is no longer as long as the others.
                if count >= MANY && whole.len() != 1 {
                    continue;
                }
                all.clips.extend(whole);
            }
            if bridged + cut > 0 {
                all.notes.push(format!(
                    "{name}: {bridged} missing samples were bridged, {cut} longer gaps cut the recording"
                ));
            }
            if let [first, ..] = jumps {
                let jumps = jumps.len();
                all.notes.push(format!(
                    "{name}: its timestamps jump {jumps} times, first at row {first}: what follows is a stretch of its own"
                ));
            }
        }
        if let [(count, frames), rest @ ..] = &lengths[..]
            && lengths.iter().map(|(count, _)| count).sum::<usize>() >= MANY
            && *count >= MANY
            && rest.iter().all(|(_, other)| other == frames)
        {
            all.clips.retain(|clip| clip.frames == *frames);
            all.rows = Some(*frames);
        }
        Ok(all)
    }

    /// Moves and scales every recording so that its channels have the mean and deviation that they have
    /// over all recordings: what a device does that learns its normalization anew at each start.
    pub(super) fn renormalize(&mut self) {
        let sources = self.clips.iter().map(|clip| clip.source + 1).max().unwrap_or(0);
        let mut moments = vec![vec![[0.0f64; 3]; self.channels]; sources];
        for clip in &self.clips {
            for (at, x) in clip.samples.iter().enumerate() {
                let [count, sum, squares] = &mut moments[clip.source][at % self.channels];
                let x = f64::from(*x);
                (*count, *sum, *squares) = (*count + 1.0, *sum + x, *squares + x * x);
            }
        }
        let normal = |[count, sum, squares]: [f64; 3]| {
            let mean = sum / count.max(1.0);
            (mean, (squares / count.max(1.0) - mean * mean).max(0.0).sqrt())
        };
        for channel in 0..self.channels {
            let each: Vec<(f64, f64)> =
                moments.iter().map(|source| normal(source[channel])).collect();
            let share = 1.0 / each.len().max(1) as f64;
            let level = each.iter().map(|(mean, _)| mean * share).sum::<f64>();
            let spread = (each.iter().map(|(_, d)| d * d * share).sum::<f64>()).sqrt();
            for clip in &mut self.clips {
                let (mean, deviation) = each[clip.source];
                let gain = if deviation > 0.0 { spread / deviation } else { 1.0 };
                for x in clip.samples.iter_mut().skip(channel).step_by(self.channels) {
                    *x = (level + gain * (f64::from(*x) - mean)) as f32;
                }
            }
        }
    }

    /// What to call a channel.
    pub(super) fn name(&self, channel: usize) -> String {
        self.columns.get(channel).cloned().unwrap_or_else(|| format!("channel {channel}"))
    }

    /// Frames in all.
    pub(super) fn frames(&self) -> usize {
        self.clips.iter().map(|clip| clip.frames).sum()
    }
}

/// Brings columns of the same names into this order; says so, or that they have other names.
fn align(recording: &mut Recording, columns: &[String]) -> Option<String> {
    let found = &recording.columns;
    if found.is_empty() || columns.is_empty() || found == columns || found.len() != columns.len() {
        return None;
    }
    let name = recording.path.file_name().unwrap_or_default().to_string_lossy();
    let places: Option<Vec<usize>> =
        columns.iter().map(|wanted| found.iter().position(|name| name == wanted)).collect();
    let Some(places) = places else {
        let (found, columns) = (found.join(", "), columns.join(", "));
        return Some(format!("{name}: its columns {found} are taken for {columns}, in this order"));
    };
    let note = format!("{name}: its columns were brought into the first recording's order");
    for frame in recording.samples.chunks_exact_mut(columns.len()) {
        let before = frame.to_vec();
        frame.iter_mut().zip(&places).for_each(|(x, place)| *x = before[*place]);
    }
    recording.columns = columns.to_vec();
    Some(note)
}

/// Clips, frames of each, channels.
fn shape_of(
    recording: &Recording,
    channels: Option<usize>,
    window: Option<usize>,
) -> Result<(usize, usize, usize), FitError> {
    let found = &recording.shape;
    Ok(match found[..] {
        [frames] => {
            let channels = channels.unwrap_or(1);
            (1, frames / channels.max(1), channels)
        }
        [count, row] => {
            // Columns of a file with names are channels, whatever their number.
            let named = !recording.columns.is_empty();
            let is_row = match (channels, window) {
                (Some(channels), _) => channels != row,
                (None, Some(window)) if !named => window == row && row > 1,
                _ => !named && row > MOST_CHANNELS && count > 1,
            };
            let channels = channels.unwrap_or(if is_row { 1 } else { row });
            if is_row { (count, row / channels.max(1), channels) } else { (1, count, row) }
        }
        [_, first, last] if first < last && first <= 8 => {
            return Err(RecordingError::ChannelsFirst {
                path: recording.path.clone(),
                found: found.clone(),
                channels: first,
                frames: last,
            }
            .into());
        }
        [count, frames, channels] => (count, frames, channels),
        _ => {
            let (window_len, channels) = (window.unwrap_or(0), channels.unwrap_or(0));
            return Err(RecordingError::Shape {
                path: recording.path.clone(),
                found: found.clone(),
                window_len,
                channels,
                input_len: window_len * channels,
            }
            .into());
        }
    })
}

fn refuse_missing(recording: &Recording, channels: usize) -> Result<(), FitError> {
    let mut missing = vec![0usize; channels];
    let mut frames = 0.0;
    for frame in recording.samples.chunks_exact(channels.max(1)) {
        // Where nothing is there at all, no channel is worse than the others.
        if frame.iter().all(|x| x.is_nan()) && channels > 1 {
            continue;
        }
        frames += 1.0;
        missing.iter_mut().zip(frame).for_each(|(n, x)| *n += usize::from(x.is_nan()));
    }
    // A channel alone may be missing for long: then the recording is short.
    let most = if channels == 1 { 0.99 } else { MISSING };
    match missing.iter().position(|count| *count as f64 > most * frames) {
        None => Ok(()),
        Some(channel) => Err(FitError::Missing {
            path: recording.path.clone(),
            channel: recording.columns.get(channel).cloned().unwrap_or_else(|| channel.to_string()),
            percent: 100.0 * missing[channel] as f64 / frames,
        }),
    }
}

/// Fills short gaps of each channel by straight lines; returns how many samples.
fn bridge(samples: &mut [f32], channels: usize) -> usize {
    let frames = samples.len() / channels.max(1);
    let mut filled = 0;
    for channel in 0..channels {
        let mut last: Option<usize> = None;
        for frame in 0..frames {
            let value = samples[frame * channels + channel];
            if value.is_nan() {
                continue;
            }
            if let Some(before) = last
                && (2..=BRIDGED + 1).contains(&(frame - before))
            {
                let from = samples[before * channels + channel];
                for between in before + 1..frame {
                    let share = (between - before) as f32 / (frame - before) as f32;
                    samples[between * channels + channel] = from + share * (value - from);
                    filled += 1;
                }
            }
            last = Some(frame);
        }
    }
    filled
}

/// The stretches between frames with a hole, and from one jump in time to the next; how many holes lie between them.
fn whole_stretches(
    samples: &[f32],
    channels: usize,
    source: usize,
    jumps: &[usize],
) -> (Vec<Clip>, usize) {
    let mut clips: Vec<Clip> = Vec::new();
    let (mut open, mut hole, mut gaps) = (false, false, 0);
    for (at, frame) in samples.chunks_exact(channels.max(1)).enumerate() {
        open &= jumps.binary_search(&at).is_err();
        if frame.iter().any(|x| x.is_nan()) {
            (open, hole) = (false, !clips.is_empty());
            continue;
        }
        gaps += usize::from(std::mem::take(&mut hole));
        match clips.last_mut() {
            Some(clip) if open => {
                clip.samples.extend_from_slice(frame);
                clip.frames += 1;
            }
            _ => clips.push(Clip { samples: frame.to_vec(), frames: 1, source }),
        }
        open = true;
    }
    (clips, gaps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(shape: &[usize], samples: Vec<f32>) -> Recording {
        let zeros = vec![0.0; samples.len()];
        let mut recording = Recording::from_samples("a.npy", shape.to_vec(), zeros).unwrap();
        recording.samples = samples;
        recording
    }

    #[test]
    fn short_gaps_are_bridged_and_long_ones_cut() {
        let nan = f32::NAN;
        let mut samples = vec![0.0, 1.0, nan, nan, 4.0];
        samples.extend(vec![nan; 6]);
        samples.extend([7.0, 8.0, 9.0, 9.0, 9.0]);
        let clips = Clips::new(vec![recording(&[16, 1], samples)], None, None).unwrap();
        let lengths: Vec<usize> = clips.clips.iter().map(|clip| clip.frames).collect();
        assert_eq!(lengths, [5, 5]);
        assert_eq!(clips.clips[0].samples, [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert!(clips.notes[0].contains("2 missing samples"), "{:?}", clips.notes);
        let error =
            Clips::new(vec![recording(&[3, 2], vec![nan, 1.0, nan, 1.0, 1.0, 1.0])], None, None);
        assert!(matches!(error, Err(FitError::Missing { .. })));
    }

    #[test]
    fn a_jump_in_time_cuts() {
        let mut jumped = recording(&[6, 1], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        jumped.jumps = vec![2];
        let later = jumped.clone().select_rows("1..6".parse().unwrap()).unwrap();
        assert_eq!(later.jumps, [1]);
        assert!(later.select_rows("2..".parse().unwrap()).unwrap().jumps.is_empty());
        let clips = Clips::new(vec![jumped], None, None).unwrap();
        let samples: Vec<&[f32]> = clips.clips.iter().map(|clip| &*clip.samples).collect();
        assert_eq!(samples, [&[1.0, 2.0][..], &[3.0, 4.0, 5.0, 6.0]]);
        assert!(clips.notes[0].contains("jump 1 times, first at row 2"), "{:?}", clips.notes);
        assert_eq!(clips.notes.len(), 1);
    }

    #[test]
    fn a_gap_is_counted_where_the_time_jumps_too() {
        let mut jumped = recording(&[10, 1], vec![1.0; 10]);
        jumped.samples[2..8].fill(f32::NAN);
        jumped.jumps = vec![8];
        let clips = Clips::new(vec![jumped], None, None).unwrap();
        assert!(clips.notes[0].contains("1 longer gaps"), "{:?}", clips.notes);
    }

    #[test]
    fn a_jump_in_time_lies_between_rows_that_are_clips() {
        let mut rows = recording(&[20, 100], vec![1.0; 2_000]);
        rows.jumps = vec![7];
        let clips = Clips::new(vec![rows], None, None).unwrap();
        assert!(clips.clips.iter().all(|clip| clip.frames == 100));
        assert_eq!((clips.clips.len(), clips.notes.len()), (20, 0));
    }

    #[test]
    fn columns_are_brought_into_one_order() {
        let of = |names: [&str; 2], samples: Vec<f32>| {
            let mut recording = recording(&[3, 2], samples);
            recording.columns = names.map(String::from).to_vec();
            recording
        };
        let first = of(["a", "b"], vec![1.0, 10.0, 2.0, 20.0, 3.0, 30.0]);
        let swapped = of(["b", "a"], vec![10.0, 1.0, 20.0, 2.0, 30.0, 3.0]);
        let clips = Clips::new(vec![first.clone(), swapped], None, None).unwrap();
        assert_eq!(clips.clips[0].samples, clips.clips[1].samples);
        assert!(clips.notes[0].contains("order"), "{:?}", clips.notes);
        let other = of(["a", "c"], vec![1.0, 10.0, 2.0, 20.0, 3.0, 30.0]);
        let clips = Clips::new(vec![first, other], None, None).unwrap();
        assert!(clips.notes[0].contains("taken for"), "{:?}", clips.notes);
    }

    #[test]
    fn shapes_are_told_apart() {
        let of = |shape: &[usize], channels, window| {
            let samples = vec![0.5; shape.iter().product()];
            let clips = Clips::new(vec![recording(shape, samples)], channels, window).unwrap();
            (clips.clips.len(), clips.clips[0].frames, clips.channels)
        };
        assert_eq!(of(&[500, 140], None, None), (500, 140, 1));
        assert_eq!(of(&[500, 25], None, None), (1, 500, 25));
        assert_eq!(of(&[500, 25], None, Some(25)), (500, 25, 1));
        assert_eq!(of(&[500, 140], Some(140), None), (1, 500, 140));
        assert_eq!(of(&[20, 200, 3], None, Some(64)), (20, 200, 3));
        assert_eq!(of(&[900], None, None), (1, 900, 1));
        let first = Clips::new(vec![recording(&[20, 3, 200], vec![0.5; 12_000])], None, None);
        assert!(matches!(first, Err(FitError::Recording(RecordingError::ChannelsFirst { .. }))));
    }

    #[test]
    fn recordings_are_brought_to_one_level() {
        let of = |level: f32, swing: f32| {
            recording(&[400, 1], (0..400).map(|i| level + swing * (i as f32).sin()).collect())
        };
        let mut clips = Clips::new(vec![of(10.0, 1.0), of(-20.0, 3.0)], None, None).unwrap();
        clips.renormalize();
        let [a, b] = &clips.clips[..] else { panic!() };
        assert!(a.samples.iter().zip(&b.samples).all(|(a, b)| (a - b).abs() < 0.1));
        assert!((a.samples.iter().sum::<f32>() / 400.0 + 5.0).abs() < 0.1);
    }
}
