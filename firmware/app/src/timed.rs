//! A sensor without a memory of its own: an ADC, asked for every frame when it is due.

use embassy_time::{Duration, Instant, TICK_HZ, Timer};
use picovae_sensors::supervise::{Fault, Sensor};

use crate::Pace;

/// What converts when it is asked to.
pub trait Converter<const N: usize> {
    /// One sample of every channel, now.
    ///
    /// # Errors
    /// A [`Fault`].
    fn convert(&mut self, frame: &mut [i16; N]) -> impl Future<Output = Result<(), Fault>>;
}

/// A [`Sensor`] made of it: so many frames a second, as many a read as there is room for.
///
/// Reading takes that long; the other batch is judged meanwhile. A frame that nobody asked for before the
/// next one was due is lost, and told. Every frame's time is counted from the start: a rate that is no whole number
/// of the clock's ticks is kept on average, as a period rounded to ticks would not be (1 kHz at 32,768 Hz: 993 Hz).
#[derive(Debug)]
pub struct Timed<C> {
    converter: C,
    rate_hz: u32,
    start: Instant,
    /// The frame that comes next, of those since the start.
    next: u64,
}

impl<C> Timed<C> {
    /// `rate_hz` frames a second, once started.
    pub const fn new(converter: C, rate_hz: u32) -> Self {
        let rate_hz = if rate_hz == 0 { 1 } else { rate_hz };
        Self { converter, rate_hz, start: Instant::MIN, next: 0 }
    }

    /// When the next frame is due: with the first tick that is not too early.
    fn due(&self) -> Instant {
        let ticks = (self.next * TICK_HZ).div_ceil(self.rate_hz.into());
        self.start + Duration::from_ticks(ticks)
    }

    /// Frames that were due, with the one behind them due as well.
    fn missed(&self) -> u16 {
        let due = self.start.elapsed().as_ticks() * u64::from(self.rate_hz) / TICK_HZ;
        u16::try_from(due.saturating_sub(self.next)).unwrap_or(u16::MAX)
    }
}

impl<C: Converter<N>, const N: usize> Sensor<N> for Timed<C> {
    async fn start(&mut self) -> Result<(), Fault> {
        (self.start, self.next) = (Instant::now(), 1);
        Ok(())
    }

    async fn read(&mut self, frames: &mut [[i16; N]]) -> Result<usize, Fault> {
        let mut count = 0;
        for frame in frames {
            let lost = self.missed();
            if lost > 0 {
                // What there is first: the loss lies behind it, and is told with the next read.
                if count > 0 {
                    break;
                }
                self.next += u64::from(lost);
                return Err(Fault::Overrun { lost });
            }
            Timer::at(self.due()).await;
            self.next += 1;
            self.converter.convert(frame).await?;
            count += 1;
        }
        Ok(count)
    }
}

/// For a sensor whose read waits by itself.
#[derive(Debug)]
pub struct AtOnce;

impl Pace for AtOnce {
    async fn next(&mut self) {}
}
