//! Sampling that goes on: what goes wrong is told, and tried again.
//!
//! A fault is never a panic and never the end. The caller tells the detector of lost frames
//! (`Detector::gap`), and of what is wrong its user; the next call tries again.

use embedded_hal_async::delay::DelayNs;
use embedded_hal_async::i2c::{Error, ErrorKind};

/// What is wrong with a sensor or its bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The bus failed: wiring, pull-ups, another master.
    Bus,
    /// Another device answers at the address.
    Identity {
        /// What it says it is.
        found: u8,
    },
    /// Nobody answers at the address: no power, or a wrong address.
    NoAcknowledge,
    /// Samples were overwritten before they were read.
    Overrun {
        /// How many frames at least; 0 where nobody can tell. Small, so that a fault fits a register.
        lost: u16,
    },
    /// It answers, but has no samples: it lost its settings, with its supply perhaps.
    Silent,
    /// Every sample is the same.
    Stuck,
}

impl Fault {
    /// What a bus error means.
    pub fn of(error: impl Error) -> Self {
        match error.kind() {
            ErrorKind::NoAcknowledge(_) => Self::NoAcknowledge,
            ErrorKind::Overrun => Self::Overrun { lost: 0 },
            _ => Self::Bus,
        }
    }
}

/// A sensor of `N` channels that gathers samples by itself.
pub trait Sensor<const N: usize> {
    /// Checks that it is there, and starts or restarts it.
    ///
    /// # Errors
    /// A [`Fault`].
    fn start(&mut self) -> impl Future<Output = Result<(), Fault>>;

    /// Takes what it has gathered, at most as much as there is room for; how many frames.
    ///
    /// # Errors
    /// A [`Fault`]: between the frames given before and those given after, some may be missing.
    fn read(&mut self, frames: &mut [[i16; N]]) -> impl Future<Output = Result<usize, Fault>>;
}

/// What [`Sensor::read`] gives where a fault befell what is behind so many whole frames: those first, the fault with the
/// next call, which finds it in `torn`.
#[cfg(any(feature = "adxl34x", feature = "lis3dh", feature = "lsm6ds", feature = "mpu6050"))]
pub(crate) fn whole_first(
    count: usize,
    fault: Fault,
    torn: &mut Option<Fault>,
) -> Result<usize, Fault> {
    if count == 0 {
        return Err(fault);
    }
    *torn = Some(fault);
    Ok(count)
}

/// How much is tried, and how soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Reads that may fail in a row; with one more the sensor is restarted.
    pub retries: u8,
    /// Milliseconds before the first restart; doubled at every further one.
    pub pause_ms: u32,
    /// Milliseconds before a restart at most.
    pub longest_ms: u32,
    /// Equal frames in a row that mean a stuck sensor; 0 for never.
    pub stuck_frames: u32,
    /// Reads in a row without a frame that mean a silent sensor; 0 for never.
    pub silent_reads: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self { retries: 2, pause_ms: 10, longest_ms: 5_000, stuck_frames: 400, silent_reads: 20 }
    }
}

/// A sensor that is started, watched, and started again.
#[derive(Debug)]
pub struct Supervised<S, D, const N: usize> {
    sensor: S,
    delay: D,
    policy: Policy,
    running: bool,
    /// Milliseconds before the next restart; 0 before the first start.
    pause_ms: u32,
    last: Option<[i16; N]>,
    equal: u32,
    /// Reads in a row that failed.
    failed: u8,
    /// Reads in a row without a frame.
    empty: u32,
    faults: u32,
}

impl<S: Sensor<N>, D: DelayNs, const N: usize> Supervised<S, D, N> {
    /// Nothing is started yet: the first [`read`](Self::read) does.
    pub const fn new(sensor: S, delay: D, policy: Policy) -> Self {
        let (running, pause_ms, last, equal, failed, empty) = (false, 0, None, 0, 0, 0);
        Self { sensor, delay, policy, running, pause_ms, last, equal, failed, empty, faults: 0 }
    }

    /// Faults so far.
    pub fn faults(&self) -> u32 {
        self.faults
    }

    /// The sensor.
    pub fn release(self) -> S {
        self.sensor
    }

    /// Takes what the sensor has gathered; how many frames. Starts it where it does not run, after a
    /// pause that grows with every failure.
    ///
    /// # Errors
    /// Each [`Fault`], once: frames may be missing behind those given before, and the next call goes on. No
    /// read is tried again in secret: one that failed half-way may have taken samples from the sensor.
    pub async fn read(&mut self, frames: &mut [[i16; N]]) -> Result<usize, Fault> {
        let result = self.try_read(frames).await;
        if result.is_err() {
            self.faults = self.faults.saturating_add(1);
        }
        result
    }

    async fn try_read(&mut self, frames: &mut [[i16; N]]) -> Result<usize, Fault> {
        if !self.running {
            self.delay.delay_ms(self.pause_ms).await;
            self.longer_pause();
            self.sensor.start().await?;
            self.running = true;
            (self.last, self.equal, self.failed, self.empty) = (None, 0, 0, 0);
        }
        let count = match self.sensor.read(frames).await {
            Ok(count) => count,
            Err(fault) => {
                // Where samples were overwritten, the sensor runs.
                if !matches!(fault, Fault::Overrun { .. }) {
                    self.failed = self.failed.saturating_add(1);
                    self.running = self.failed <= self.policy.retries;
                }
                return Err(fault);
            }
        };
        self.failed = 0;
        self.empty = if count == 0 { self.empty.saturating_add(1) } else { 0 };
        let fault = if self.is_stuck(frames.get(..count).unwrap_or(&[])) {
            Fault::Stuck
        } else if self.policy.silent_reads > 0 && self.empty >= self.policy.silent_reads {
            Fault::Silent
        } else {
            if count > 0 {
                self.pause_ms = self.policy.pause_ms;
            }
            return Ok(count);
        };
        self.running = false;
        Err(fault)
    }

    fn longer_pause(&mut self) {
        let longer = self.pause_ms.saturating_mul(2).max(self.policy.pause_ms);
        self.pause_ms = longer.min(self.policy.longest_ms);
    }

    /// Whether too many frames in a row, these last, are equal.
    fn is_stuck(&mut self, frames: &[[i16; N]]) -> bool {
        for frame in frames {
            self.equal = if self.last == Some(*frame) { self.equal.saturating_add(1) } else { 0 };
            self.last = Some(*frame);
        }
        self.policy.stuck_frames > 0 && self.equal >= self.policy.stuck_frames
    }
}
