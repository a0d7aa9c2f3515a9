//! A stream with a mark at the end of every stage, for the instruction counter
//! (`firmware/bench/icount`), which counts what runs between two marks.

use core::arch::asm;

use picovae_app::Windows;
use picovae_core::trace::Trace;
use picovae_core::{Detector, Model, Score};

use crate::model;
use crate::recording::Recording;

/// A boundary the counter sees.
#[inline(always)]
fn mark() {
    // SAFETY: moves a register to itself.
    unsafe { asm!("mov r11, r11", options(nostack, preserves_flags)) };
}

/// A mark behind the front-end, the encoder, the decoder and the score.
struct Stages {
    /// Index of the decoder's last layer.
    last: usize,
}

impl Trace for Stages {
    #[inline(always)]
    fn features(&mut self, _features: &[i8]) {
        mark();
    }

    #[inline(always)]
    fn latent(&mut self, _z: &[i8]) {
        mark();
    }

    #[inline(always)]
    fn head(&mut self, index: usize, _values: &[i16]) {
        if index == self.last {
            mark();
        }
    }

    #[inline(always)]
    fn score(&mut self, _score: Score) {
        mark();
    }
}

/// Never inlined, so that a profile finds it at one place.
#[inline(never)]
fn measured(detector: &mut Detector<'_, '_>, frame: &[i16], stages: &mut Stages) {
    mark();
    let _ = detector.push_traced(frame, stages);
    mark();
}

/// Pushes a recording's frames, each between two marks; `false` where something fails.
pub fn run(model: &Model<'_>, arena: &mut [u8], ring: &mut [i16], source: &mut Recording) -> bool {
    let Ok(mut detector) = Detector::new(model, arena, ring) else { return false };
    let mut stages = Stages { last: model.layer_count().saturating_sub(1) };
    let mut frame = [0; model::CHANNELS];
    loop {
        match source.next_window(&mut frame) {
            Ok(true) => measured(&mut detector, &frame, &mut stages),
            Ok(false) => return true,
            Err(error) => {
                defmt::error!("recording: {}", error);
                return false;
            }
        }
    }
}
