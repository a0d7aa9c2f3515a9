//! The sampling task: from the sensor into the batch that is not being judged.

use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::zerocopy_channel::Sender;
use embassy_time::{Duration, Ticker, Timer, with_timeout};
use embedded_hal_async::delay::DelayNs;
use embedded_hal_async::digital::Wait;
use picovae_sensors::supervise::{Fault, Sensor, Supervised};

use crate::Counters;

/// Frames that were taken from a sensor at once: `N` channels, at most `LEN` of them.
///
/// Two of them in a `zerocopy_channel` are a double buffer: one is filled while the other is judged.
#[derive(Clone, Copy, Debug)]
pub struct Batch<const N: usize, const LEN: usize> {
    pub(crate) frames: [[i16; N]; LEN],
    pub(crate) len: usize,
    /// Frames are missing before these.
    pub(crate) gap: bool,
}

impl<const N: usize, const LEN: usize> Batch<N, LEN> {
    /// No frames.
    pub const fn new() -> Self {
        Self { frames: [[0; N]; LEN], len: 0, gap: false }
    }
}

impl<const N: usize, const LEN: usize> Default for Batch<N, LEN> {
    fn default() -> Self {
        Self::new()
    }
}

/// When to look at the sensor again.
pub trait Pace {
    /// Waits for it.
    fn next(&mut self) -> impl Future<Output = ()>;
}

/// By time. A sensor with a FIFO is looked at before that is full.
impl Pace for Ticker {
    async fn next(&mut self) {
        Ticker::next(self).await;
    }
}

/// By the sensor's data-ready line, or its FIFO's watermark line: while it is high there is something to read.
///
/// A sensor that was not started yet, or lost its settings, never raises it: so the sensor is looked at after some
/// time all the same, before its FIFO is full. With the line left open, that is all there is.
#[derive(Debug)]
pub struct DataReady<P> {
    line: P,
    at_most: Duration,
}

impl<P> DataReady<P> {
    /// Waits for the line to be high, `at_most` so long.
    pub const fn new(line: P, at_most: Duration) -> Self {
        Self { line, at_most }
    }
}

impl<P: Wait> Pace for DataReady<P> {
    async fn next(&mut self) {
        if let Ok(Err(_)) = with_timeout(self.at_most, self.line.wait_for_high()).await {
            defmt::error!("the data-ready pin cannot be waited for");
            Timer::after(self.at_most).await;
        }
    }
}

/// Fills one batch after the other, for ever.
///
/// Run it above the scoring: in an `InterruptExecutor`, so that it goes on while a window is scored.
pub async fn sample<M, S, D, P, const N: usize, const LEN: usize>(
    sensor: &mut Supervised<S, D, N>,
    pace: &mut P,
    batches: &mut Sender<'_, M, Batch<N, LEN>>,
    counters: &Counters,
) -> !
where
    M: RawMutex,
    S: Sensor<N>,
    D: DelayNs,
    P: Pace,
{
    loop {
        pace.next().await;
        // A full batch may not have been all that the sensor has.
        while fill(sensor, batches, counters).await == LEN {}
    }
}

/// One batch; how many frames it took.
async fn fill<M, S, D, const N: usize, const LEN: usize>(
    sensor: &mut Supervised<S, D, N>,
    batches: &mut Sender<'_, M, Batch<N, LEN>>,
    counters: &Counters,
) -> usize
where
    M: RawMutex,
    S: Sensor<N>,
    D: DelayNs,
{
    if batches.is_full() {
        counters.late.raise(1);
        defmt::warn!("scoring is late: no batch is free");
    }
    // What is not taken yet waits in the sensor.
    let batch = batches.send().await;
    (batch.len, batch.gap) = match sensor.read(&mut batch.frames).await {
        Ok(count) => (count.min(LEN), false),
        Err(fault) => {
            match fault {
                Fault::Overrun { lost } => {
                    counters.overruns.raise(1);
                    counters.lost.raise(lost.into());
                }
                _ => counters.faults.raise(1),
            }
            log(fault, sensor.faults());
            (0, true)
        }
    };
    let count = batch.len;
    counters.frames.raise(count as u32);
    batches.send_done();
    count
}

/// What is wrong, once each time.
fn log(fault: Fault, faults: u32) {
    match fault {
        Fault::Bus => defmt::error!("sensor: bus error (fault {=u32})", faults),
        Fault::Identity { found } => defmt::error!("sensor: it says it is {=u8:#x}", found),
        Fault::NoAcknowledge => defmt::error!("sensor: nobody answers (fault {=u32})", faults),
        Fault::Overrun { lost } => {
            defmt::warn!("sensor: samples were lost, {=u16} at least (fault {=u32})", lost, faults)
        }
        Fault::Silent => defmt::error!("sensor: no samples (fault {=u32})", faults),
        Fault::Stuck => defmt::error!("sensor: stuck (fault {=u32})", faults),
    }
}
