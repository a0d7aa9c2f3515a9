//! The app's two tasks on an emulated core, a recording in the place of the sensor.
//!
//! As on a board, sampling runs in an interrupt and scoring in thread mode, with a double buffer between them. With a
//! rate, the recording is a sensor with a FIFO that fills by the emulated time: what is not taken in time is lost,
//! and told. Without one it gives as much as there is room for.

use core::convert::Infallible;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::task::{Context, Poll, Waker};

use cortex_m::interrupt::InterruptNumber;
use embassy_executor::InterruptExecutor;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::zerocopy_channel::{Channel, Receiver, Sender};
use embassy_time::{Delay, Duration, Instant, Ticker, block_for};
use embedded_hal::digital::{ErrorType, OutputPin};
use picovae_app::{Alarm, Batch, Counters, Pace, Units, Watch, Watchdog, sample, score};
use picovae_core::stream::Lessons;
use picovae_sensors::supervise::{Fault, Policy, Sensor, Supervised};

use crate::model;
use crate::recording::{Recording, Stream};

const CHANNELS: usize = model::CHANNELS;
/// Frames a batch and in the emulated FIFO: 32 of an accelerometer, fewer of what has more channels.
const LEN: usize = if CHANNELS < 96 / 32 {
    32
} else if CHANNELS < 96 {
    96 / CHANNELS
} else {
    1
};
type Frames = Batch<CHANNELS, LEN>;

/// What the tasks share.
pub struct Buffers {
    batches: [Frames; 2],
    channel: Option<Channel<'static, CriticalSectionRawMutex, Frames>>,
}

impl Buffers {
    /// Empty.
    pub const fn new() -> Self {
        Self { batches: [Frames::new(); 2], channel: None }
    }
}

static COUNTERS: Counters = Counters::new();
static EXECUTOR: InterruptExecutor = InterruptExecutor::new();
/// Every frame of the recording was judged.
static ENDED: AtomicBool = AtomicBool::new(false);
static FAILED: AtomicBool = AtomicBool::new(false);
/// Times that the alarm's pin became high.
static RAISED: AtomicU32 = AtomicU32::new(0);

/// An interrupt that none of the machines uses.
#[derive(Clone, Copy)]
pub struct Sampling;

impl Sampling {
    /// Its number.
    pub const NUMBER: i16 = 25;
}

// SAFETY: every machine has at least 32 interrupts.
unsafe impl InterruptNumber for Sampling {
    fn number(self) -> u16 {
        Self::NUMBER as u16
    }
}

/// The sampling task's interrupt.
pub fn on_interrupt() {
    // SAFETY: from the handler only; `run` starts the executor before it unmasks the interrupt.
    unsafe { EXECUTOR.on_interrupt() }
}

/// A recording that is read as a sensor is.
struct Played {
    recording: Recording,
    /// Frames a second; 0 for as many as there is room for.
    rate: u64,
    start: Instant,
    /// Frames given or lost so far.
    given: u64,
    /// Reads that met the end of the file.
    empty: u8,
}

impl Sensor<CHANNELS> for Played {
    async fn start(&mut self) -> Result<(), Fault> {
        self.start = Instant::now();
        Ok(())
    }

    async fn read(&mut self, frames: &mut [[i16; CHANNELS]]) -> Result<usize, Fault> {
        let mut room = frames.len();
        if self.rate > 0 && self.empty == 0 {
            let due = self.start.elapsed().as_micros() * self.rate / 1_000_000;
            let waiting = due.saturating_sub(self.given);
            if waiting > LEN as u64 {
                // The FIFO ran over: it is emptied, and its frames are gone.
                let before = self.given;
                for _ in 0..waiting {
                    if self.take(frames.get_mut(..1).unwrap_or(&mut []))? == 0 {
                        // And so is the file.
                        self.empty = 1;
                        break;
                    }
                }
                let lost = u16::try_from(self.given - before).unwrap_or(u16::MAX);
                defmt::info!("lost_behind={=u64} lost_frames={=u16}", before, lost);
                return Err(Fault::Overrun { lost });
            }
            room = room.min(waiting as usize);
        }
        let count = self.take(frames.get_mut(..room).unwrap_or(&mut []))?;
        if count < room {
            // The file's end. When a third batch is there to be filled, the first of them is judged.
            self.empty += 1;
            if self.empty == 3 {
                ENDED.store(true, Ordering::Relaxed);
                core::future::pending::<()>().await;
            }
        }
        Ok(count)
    }
}

impl Played {
    /// The next frames of the file.
    fn take(&mut self, frames: &mut [[i16; CHANNELS]]) -> Result<usize, Fault> {
        match self.recording.samples(frames.as_flattened_mut()) {
            Ok(samples) => {
                let count = samples / CHANNELS;
                self.given += count as u64;
                Ok(count)
            }
            Err(error) => {
                defmt::error!("recording: {}", error);
                FAILED.store(true, Ordering::Relaxed);
                ENDED.store(true, Ordering::Relaxed);
                Err(Fault::Bus)
            }
        }
    }
}

/// Half a FIFO at a time, or whenever there is room.
struct HalfFull(Option<Ticker>);

impl Pace for HalfFull {
    async fn next(&mut self) {
        if let Some(ticker) = &mut self.0 {
            ticker.next().await;
        }
    }
}

/// The alarm's pin, which leads nowhere: how often it was raised is counted.
struct Pin;

impl ErrorType for Pin {
    type Error = Infallible;
}

impl OutputPin for Pin {
    fn set_low(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        // Armv6-M has loads and stores only.
        RAISED.store(RAISED.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
        Ok(())
    }
}

/// In the watchdog's place, which scoring feeds between batches: so it can make scoring slow, once.
struct Stall {
    stall_ms: u32,
}

impl Watchdog for Stall {
    fn feed(&mut self) {
        if self.stall_ms > 0 && COUNTERS.windows.value() >= STALLED {
            block_for(Duration::from_millis(core::mem::take(&mut self.stall_ms).into()));
        }
    }
}

/// Windows that are judged before.
const STALLED: u32 = 3;

#[embassy_executor::task]
async fn sampling(
    played: Played,
    mut pace: HalfFull,
    mut batches: Sender<'static, CriticalSectionRawMutex, Frames>,
) {
    // Equal frames, or none for a while, are no fault of a recording's.
    let policy = Policy { stuck_frames: 0, silent_reads: 0, ..Policy::default() };
    let mut sensor = Supervised::new(played, Delay, policy);
    sample(&mut sensor, &mut pace, &mut batches, &COUNTERS).await
}

/// A recording as one stream: what a board does with a sensor. `false` where something failed.
// Not part of its caller, which `cargo xtask image-check` would take the executor's panics for.
#[inline(never)]
pub fn run(
    watch: &mut Watch<'_, '_>,
    stream: Stream,
    recording: Recording,
    buffers: &'static mut Buffers,
) -> bool {
    let Stream { rate_hz, normalization, threshold, stall_ms } = stream;
    let rate = u64::from(rate_hz);
    let lessons = Lessons { normalization, threshold };
    if lessons != Lessons::default() && watch.calibrate(lessons).is_err() {
        return false;
    }
    let pace = HalfFull((rate > 0).then(|| {
        Ticker::every(Duration::from_micros((LEN as u64 * 500_000 / rate.max(1)).max(1)))
    }));
    let Buffers { batches, channel } = buffers;
    let (sender, mut receiver) = channel.insert(Channel::new(batches)).split();
    let played = Played { recording, rate, start: Instant::now(), given: 0, empty: 0 };
    let spawner = EXECUTOR.start(Sampling);
    let Ok(task) = sampling(played, pace, sender) else { return false };
    spawner.spawn(task);
    let start = Instant::now();
    let asleep_us = judge(watch, &mut receiver, Stall { stall_ms });
    COUNTERS.report();
    let raised = RAISED.load(Ordering::Relaxed);
    let elapsed_us = start.elapsed().as_micros();
    defmt::info!("elapsed_us={=u64} asleep_us={=u64} raised={=u32}", elapsed_us, asleep_us, raised);
    watch.report();
    !FAILED.load(Ordering::Relaxed)
}

/// The scoring task, until the recording has ended. It sleeps between batches, as an executor would; for how many
/// microseconds.
fn judge(
    watch: &mut Watch<'_, '_>,
    batches: &mut Receiver<'_, CriticalSectionRawMutex, Frames>,
    mut stall: Stall,
) -> u64 {
    let mut alarm = Alarm::active_high(Pin);
    let mut asleep_us = 0;
    let scoring = score(watch, batches, Units::SAME, &mut alarm, &mut stall, &COUNTERS);
    let mut scoring = pin!(scoring);
    while !ENDED.load(Ordering::Relaxed) {
        // An interrupt ends the sleep, and the clock's comes every millisecond; so nobody needs to wake this.
        let Poll::Pending = scoring.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if !ENDED.load(Ordering::Relaxed) {
            // Masked: the interrupt that ends the sleep runs behind it, and is not counted as sleep.
            asleep_us += cortex_m::interrupt::free(|_| {
                let start = Instant::now();
                cortex_m::asm::wfi();
                start.elapsed().as_micros()
            });
        }
    }
    asleep_us
}
