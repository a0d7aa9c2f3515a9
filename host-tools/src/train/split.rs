//! Which windows are held out for validation.

use crate::recording::WindowSet;
use rand::Rng;
use rand::seq::SliceRandom;

/// Clips below which the end of each clip is held out instead of whole clips.
const MIN_CLIPS: usize = 10;

/// Training and validation indices into `data`.
///
/// Overlapping windows must not lie on both sides, or validation measures
/// memory. Where there are enough clips, or all are of one window, whole clips are held out at random;
/// else the last part of each clip of more than one, with the windows that overlap it dropped.
pub(super) fn split(
    data: &WindowSet<'_>,
    fraction: f32,
    rng: &mut impl Rng,
) -> (Vec<usize>, Vec<usize>) {
    if fraction <= 0.0 {
        return ((0..data.len()).collect(), Vec::new());
    }
    // Windows of a clip are neighbours in a set.
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut last = None;
    for i in 0..data.len() {
        let group = data.group(i);
        if last != Some(group) {
            groups.push(Vec::new());
            last = Some(group);
        }
        if let Some(windows) = groups.last_mut() {
            windows.push(i);
        }
    }
    let held_out = |n: usize| ((n as f32 * fraction).round() as usize).clamp(1, n.max(2) - 1);
    let (mut train, mut validation) = (Vec::new(), Vec::new());
    // A clip of one window has no end to be held out.
    let several = groups.len() > 1;
    let are_single = several && groups.iter().all(|windows| windows.len() == 1);
    if groups.len() >= MIN_CLIPS || are_single {
        groups.shuffle(rng);
        let rest = groups.split_off(held_out(groups.len()));
        validation.extend(groups.into_iter().flatten());
        train.extend(rest.into_iter().flatten());
    } else {
        for windows in groups {
            if several && windows.len() == 1 {
                train.extend(windows);
                continue;
            }
            let cut = windows.len() - held_out(windows.len()).min(windows.len());
            let Some(first) = windows.get(cut).map(|i| data.window(*i).start) else {
                continue;
            };
            let window_len = |i: usize| data.sources()[data.group(i).0].window_len();
            let before = |i: &&usize| data.window(**i).start + window_len(**i) <= first;
            train.extend(windows[..cut].iter().filter(before));
            validation.extend(&windows[cut..]);
        }
    }
    train.sort_unstable();
    validation.sort_unstable();
    (train, validation)
}

#[cfg(test)]
mod tests {
    use super::super::{Stream, stream};
    use super::*;
    use crate::graph::Frontend;
    use crate::recording::Recording;

    #[test]
    fn few_clips_of_one_window_are_held_out_whole() {
        let mixed = Recording::from_samples("mixed", vec![1, 16], vec![0.0; 16]).unwrap();
        let single = Recording::from_samples("single", vec![2, 4], vec![0.0; 8]).unwrap();
        let mut set = WindowSet::new();
        for recording in [&single, &mixed] {
            set.add(recording.clips(&Frontend::identity(4, 4, 1)).unwrap()).unwrap();
        }
        let (train, validation) = split(&set, 0.1, &mut stream(1, Stream::Split));
        assert_eq!((train, validation), (vec![0, 1, 2, 3, 4], vec![5]));
        for (clips, held_out) in [(2, 1), (3, 1), (8, 1), (9, 1), (30, 3)] {
            let recording =
                Recording::from_samples("few", vec![clips, 4], vec![0.0; 4 * clips]).unwrap();
            let mut set = WindowSet::new();
            set.add(recording.clips(&Frontend::identity(4, 4, 1)).unwrap()).unwrap();
            let (train, validation) = split(&set, 0.1, &mut stream(1, Stream::Split));
            assert_eq!((train.len(), validation.len()), (clips - held_out, held_out));
        }
    }
}
