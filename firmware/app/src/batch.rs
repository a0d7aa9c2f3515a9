//! Whole windows: load, encode, decode, score, and a hash over all of it.

use picovae_core::trace::ActivationHash;
use picovae_core::{Model, Score, Vae, VaeError};

use crate::Windows;

/// What [`run`] saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Windows scored.
    pub windows: u32,
    /// Windows scored above the threshold.
    pub alarms: u32,
    /// Score of the first window.
    pub first: Option<Score>,
    /// [`ActivationHash`] over every window, in order.
    pub hash: u64,
}

/// Why [`run`] stopped early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub enum RunError<E> {
    /// The source failed.
    Source(E),
    /// A buffer does not fit the model.
    Vae(VaeError),
}

impl<E> From<VaeError> for RunError<E> {
    fn from(error: VaeError) -> Self {
        Self::Vae(error)
    }
}

/// Scores every window of `source`, logs each score, and closes with
/// `hash=… windows=… alarms=…`.
///
/// `arena` takes [`Model::arena_len`] bytes at a 16-byte boundary, `window`
/// [`Model::window_samples`] samples.
///
/// # Errors
/// [`RunError`]; it is logged as well.
pub fn run<W: Windows>(
    model: &Model<'_>,
    arena: &mut [u8],
    window: &mut [i16],
    source: &mut W,
) -> Result<Summary, RunError<W::Error>> {
    let result = score_all(model, arena, window, source);
    match &result {
        Ok(summary) => defmt::info!(
            "hash={=u64:016x} windows={=u32} alarms={=u32}",
            summary.hash,
            summary.windows,
            summary.alarms,
        ),
        Err(error) => defmt::error!("run stopped: {}", error),
    }
    result
}

fn score_all<W: Windows>(
    model: &Model<'_>,
    arena: &mut [u8],
    window: &mut [i16],
    source: &mut W,
) -> Result<Summary, RunError<W::Error>> {
    let threshold = model.threshold();
    let mut vae = Vae::new(model, arena)?;
    let mut hash = ActivationHash::new();
    let (mut windows, mut alarms, mut first) = (0u32, 0u32, None);
    while source.next_window(window).map_err(RunError::Source)? {
        let score = vae.score_window_traced(window, &mut hash)?;
        first.get_or_insert(score);
        let alarm = threshold.is_some_and(|threshold| score >= threshold);
        if alarm {
            defmt::info!("window={=u32} score={=i64} alarm=true", windows, score.0);
        } else {
            defmt::debug!("window={=u32} score={=i64} alarm=false", windows, score.0);
        }
        windows = windows.wrapping_add(1);
        alarms = alarms.wrapping_add(alarm.into());
    }
    Ok(Summary { windows, alarms, first, hash: hash.value() })
}
