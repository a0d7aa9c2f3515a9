//! How a recording's shape becomes clips, and clips become windows.
//!
//! A window is a contiguous run of the recording's samples, so windows are
//! slices: nothing is copied however much they overlap.

use super::window_set::features_of;
use super::{Recording, RecordingError};
use crate::graph::Frontend;
use ndarray::Array2;
use std::ops::Range;

/// A recording seen as clips of equal length, each cut into windows.
#[derive(Debug, Clone, Copy)]
pub struct Clips<'a> {
    recording: &'a Recording,
    clips: usize,
    clip_frames: usize,
    channels: usize,
    window_len: usize,
    hop: usize,
    windows_per_clip: usize,
}

/// One window of a recording.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window<'a> {
    /// Index among all windows of the recording.
    pub index: usize,
    /// Index of the clip it was cut from.
    pub clip: usize,
    /// First frame within the clip.
    pub start: usize,
    /// `window_len * channels` samples, time-major.
    pub samples: &'a [f32],
}

impl Recording {
    /// How this recording becomes windows of the model's front-end.
    ///
    /// | shape | condition | gives |
    /// |---|---|---|
    /// | `[n, t, channels]` | t >= window_len | n clips of t frames |
    /// | `[n, ...]` | the rest multiplies to input_len | n windows |
    /// | `[t, channels]` | t >= window_len | one clip |
    /// | `[n, t]` | channels is 1, t >= window_len | n clips of t frames |
    /// | `[t]` | channels is 1, t >= window_len | one clip |
    ///
    /// # Errors
    /// [`RecordingError::Shape`], [`RecordingError::ChannelsFirst`] or
    /// [`RecordingError::TooShort`].
    pub fn clips(&self, frontend: &Frontend) -> Result<Clips<'_>, RecordingError> {
        let (window_len, channels) = (frontend.window_len, frontend.channels);
        let input_len = frontend.input_len();
        let too_short =
            |frames| Err(RecordingError::TooShort { path: self.path.clone(), frames, window_len });
        let (clips, clip_frames) = match self.shape[..] {
            [n, t, c] if c == channels && t >= window_len => (n, t),
            [n, ..] if self.shape.len() > 1 && self.row_len() == input_len => (n, window_len),
            [t, c] if c == channels && t >= window_len => (1, t),
            [n, t] if channels == 1 && t >= window_len => (n, t),
            [t] if channels == 1 && t >= window_len => (1, t),
            // Channels before frames.
            [.., c, t] if c == channels && c != t && t >= window_len && self.shape.len() <= 3 => {
                return Err(RecordingError::ChannelsFirst {
                    path: self.path.clone(),
                    found: self.shape.clone(),
                    channels,
                    frames: t,
                });
            }
            // The right number of channels, but too few frames.
            [_, t, c] if c == channels => return too_short(t),
            [t, c] if c == channels => return too_short(t),
            [t] if channels == 1 => return too_short(t),
            _ => {
                return Err(RecordingError::Shape {
                    path: self.path.clone(),
                    found: self.shape.clone(),
                    window_len,
                    channels,
                    input_len,
                });
            }
        };
        Ok(Clips {
            recording: self,
            clips,
            clip_frames,
            channels,
            window_len,
            hop: frontend.hop.max(1),
            windows_per_clip: (clip_frames - window_len) / frontend.hop.max(1) + 1,
        })
    }
}

impl<'a> Clips<'a> {
    /// The recording these clips are cut from.
    pub fn recording(&self) -> &'a Recording {
        self.recording
    }

    /// Number of clips.
    pub fn clip_count(&self) -> usize {
        self.clips
    }

    /// Frames of each clip.
    pub fn clip_frames(&self) -> usize {
        self.clip_frames
    }

    /// Frames of a window.
    pub fn window_len(&self) -> usize {
        self.window_len
    }

    /// Values of a frame.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Windows of each clip.
    pub fn windows_per_clip(&self) -> usize {
        self.windows_per_clip
    }

    /// Windows of all clips.
    pub fn window_count(&self) -> usize {
        self.clips * self.windows_per_clip
    }

    /// All samples of one clip, time-major.
    ///
    /// # Panics
    /// When `clip` is not below [`Self::clip_count`].
    pub fn clip(&self, clip: usize) -> &'a [f32] {
        let len = self.clip_frames * self.channels;
        &self.recording.samples[clip * len..][..len]
    }

    /// One window by its index among all of them.
    ///
    /// # Panics
    /// When `index` is not below [`Self::window_count`].
    pub fn window(&self, index: usize) -> Window<'a> {
        let clip = index / self.windows_per_clip;
        let start = index % self.windows_per_clip * self.hop;
        Window {
            index,
            clip,
            start,
            samples: &self.clip(clip)[start * self.channels..][..self.window_len * self.channels],
        }
    }

    /// All windows, clip by clip.
    pub fn windows(&self) -> impl ExactSizeIterator<Item = Window<'a>> + use<'a> {
        let this = *self;
        (0..this.window_count()).map(move |index| this.window(index))
    }

    /// Features of a range of windows, `[window][feature_len]`.
    ///
    /// # Panics
    /// When the range leaves [`Self::window_count`].
    pub fn features(&self, frontend: &Frontend, range: Range<usize>) -> Array2<f32> {
        features_of(frontend, range.len(), |row| self.window(range.start + row).samples)
    }

    /// Ranges of at most `len` windows that cover all of them, for
    /// [`Self::features`].
    pub fn batches(&self, len: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let (count, len) = (self.window_count(), len.max(1));
        (0..count).step_by(len).map(move |start| start..(start + len).min(count))
    }
}
