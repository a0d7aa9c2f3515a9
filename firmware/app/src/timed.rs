//! A sensor without a memory of its own: an ADC, asked for every frame when it is due.

use embassy_time::{Duration, Instant, Timer};
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

/// A [`Sensor`] made of it: a frame every period, as many a read as there is room for.
///
/// Reading takes that long; the other batch is judged meanwhile. A frame that nobody asked for before the
/// next one was due is lost, and told.
#[derive(Debug)]
pub struct Timed<C> {
    converter: C,
    period: Duration,
    /// When the next frame is due.
    due: Instant,
}

impl<C> Timed<C> {
    /// A frame every `period`, once started.
    pub const fn new(converter: C, period: Duration) -> Self {
        Self { converter, period, due: Instant::MIN }
    }

    /// Frames that were due and are past.
    fn missed(&self) -> u16 {
        let since = Instant::now().saturating_duration_since(self.due).as_ticks();
        u16::try_from(since / self.period.as_ticks().max(1)).unwrap_or(u16::MAX)
    }
}

impl<C: Converter<N>, const N: usize> Sensor<N> for Timed<C> {
    async fn start(&mut self) -> Result<(), Fault> {
        self.due = Instant::now() + self.period;
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
                self.due += self.period * lost.into();
                return Err(Fault::Overrun { lost });
            }
            Timer::at(self.due).await;
            self.due += self.period;
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
