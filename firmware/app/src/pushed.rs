//! Frames that come by themselves: the halves of a DMA ring, of a microphone or a converter with a timer of its own.

use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::zerocopy_channel::Sender;

use crate::{Batch, Counters};

/// Puts what it is given into batches. It never waits: what finds no free batch is lost, counted, and a gap in the
/// stream.
pub struct Pushed<'a, M: RawMutex, const N: usize, const LEN: usize> {
    batches: Sender<'a, M, Batch<N, LEN>>,
    counters: &'a Counters,
    /// Frames were lost since the last batch.
    gap: bool,
}

impl<'a, M: RawMutex, const N: usize, const LEN: usize> Pushed<'a, M, N, LEN> {
    /// Into the sampling task's end of the double buffer.
    pub const fn new(batches: Sender<'a, M, Batch<N, LEN>>, counters: &'a Counters) -> Self {
        Self { batches, counters, gap: false }
    }

    /// Takes frames, `LEN` of them at once at best.
    pub fn push(&mut self, frames: &[[i16; N]]) {
        for frames in frames.chunks(LEN.max(1)) {
            let count = frames.len() as u32;
            let Some(batch) = self.batches.try_send() else {
                self.counters.late.raise(1);
                self.counters.lost.raise(count);
                // One of them, however long it lasts.
                self.counters.overruns.raise(u32::from(!self.gap));
                if !self.gap {
                    defmt::warn!("scoring is late: no batch is free, samples are lost");
                }
                self.gap = true;
                continue;
            };
            for (slot, frame) in batch.frames.iter_mut().zip(frames) {
                *slot = *frame;
            }
            (batch.len, batch.gap) = (frames.len().min(LEN), core::mem::take(&mut self.gap));
            self.batches.send_done();
            self.counters.frames.raise(count);
        }
    }
}
