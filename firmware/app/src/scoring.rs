//! The scoring task: batches to verdicts, an alarm, and a watchdog that is fed.

use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::zerocopy_channel::Receiver;
use embassy_time::Instant;
use embedded_hal::digital::OutputPin;
use picovae_core::Event;

use crate::{Alarm, Batch, Counters, Watch, Watchdog};

/// From the sensor's counts to those of the recordings a model was trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Units {
    /// Counts a unit in the recordings; `picovae inspect --json` gives it (`input_lsb`).
    pub model: i16,
    /// Counts a unit that the sensor gives.
    pub sensor: i16,
}

impl Units {
    /// The sensor's counts are the model's.
    pub const SAME: Self = Self { model: 1, sensor: 1 };

    /// A count in the model's units, rounded down: toward zero, 0 would stand for twice as much as 1.
    pub fn convert(self, count: i16) -> i16 {
        if self.model == self.sensor {
            return count;
        }
        let scaled = (i32::from(count) * i32::from(self.model))
            .checked_div_euclid(i32::from(self.sensor))
            .unwrap_or(0);
        scaled.clamp(i16::MIN.into(), i16::MAX.into()) as i16
    }
}

/// Judged windows between two lines of counts in the log.
const REPORT_WINDOWS: u32 = 1024;

/// Judges one batch after the other, for ever. Run it in thread mode, where the executor sleeps between batches.
pub async fn score<M, P, W, const N: usize, const LEN: usize>(
    watch: &mut Watch<'_, '_>,
    batches: &mut Receiver<'_, M, Batch<N, LEN>>,
    units: Units,
    alarm: &mut Alarm<P>,
    watchdog: &mut W,
    counters: &Counters,
) -> !
where
    M: RawMutex,
    P: OutputPin,
    W: Watchdog,
{
    loop {
        let batch = batches.receive().await;
        if batch.gap {
            watch.gap();
        }
        for frame in batch.frames.iter().take(batch.len) {
            let start = Instant::now();
            let Some(verdict) = watch.push(&frame.map(|count| units.convert(count))) else {
                continue;
            };
            counters.longest_us.raise_to(start.elapsed().as_micros() as u32);
            counters.windows.raise(1);
            counters.alarms.raise(verdict.is_anomaly().into());
            // Not window by window: votes, hysteresis and hold-off are what the rate of false alarms is promised of.
            match verdict.event {
                Some(Event::Raised) => alarm.set(true),
                Some(Event::Cleared) => alarm.set(false),
                _ => {}
            }
            if counters.windows.value().is_multiple_of(REPORT_WINDOWS) {
                counters.report();
            }
        }
        batches.receive_done();
        watchdog.feed();
    }
}
