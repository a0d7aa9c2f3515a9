//! ST LSM6DSO, LSM6DSOX, LSM6DSV16X: the accelerometer of inertial units, through the published driver `lsm6dsv16x-rs`.
//!
//! Set to 208 Hz (240 Hz the LSM6DSV16X), plus or minus 2 g, 16 bits, samples gathered in the sensor's FIFO; the
//! gyroscope is off. The driver is the maker's for the LSM6DSV16X. The others have the same registers at the same
//! addresses, save the FIFO's status, and other codes for the rates, so its raw access serves them too.
//!
//! Its own functions for the FIFO take two transactions a sample and leave out the latched overrun: both are done here,
//! by its raw access. Its `write_to_register` keeps 257 bytes on hold, so a register goes out by `write_bytes`. Looked at
//! for the LSM6DSO in November 2026 and not taken: `lsm6dso` 0.2.1 (no FIFO, no raw access), `lsm6dsox` 2.1.0 (blocks, no
//! FIFO, license OLFL), `lsm6ds3tr` 0.2.2 (blocks, no FIFO), `lsm6dso16is-rs` 2.1.0 (of a sensor without FIFO).

use embedded_hal_async::delay::DelayNs;
use embedded_hal_async::i2c::I2c;
use lsm6dsv16x_rs::asynchronous::prelude::{Error, I2CAddress, Lsm6dsv16x, MainBank, Reg};
use st_mems_bus::asynchronous::{BusOperation, I2cBus};

use crate::supervise::{Fault, Sensor, whole_first};

/// Raw counts a g in what [`Sensor::read`] gives: 16 bits over 4 g.
pub const COUNTS_PER_G: i32 = 16_384;

/// Values a sample: x, y, z.
pub const AXES: usize = 3;

/// Samples in the smallest FIFO of the family; [`Chip::fifo_len`] is each one's.
pub const FIFO_LEN: usize = 256;

/// Samples from which on INT1 is high, for who waits for it: 77 ms, 67 ms of the LSM6DSV16X.
const WATERMARK: u8 = 16;

/// Samples a transaction: what a task keeps on hold for it, against what the address costs on the bus.
const BURST: usize = 8;
/// In the FIFO: what it is of, and the three axes. Behind the last of these registers comes the first again, so that one
/// transaction takes many.
const WORD_BYTES: usize = 1 + 2 * AXES;

/// In CTRL1 of the LSM6DSO: 208 Hz, 2 g.
const DSO_208_HZ_2_G: u8 = 0x50;
/// In FIFO_CTRL3 of the LSM6DSO: the accelerometer's samples, all of them.
const DSO_BATCH_208_HZ: u8 = 0x05;
/// In CTRL1 of the LSM6DSV16X: 240 Hz, high performance.
const DSV_240_HZ: u8 = 0x07;
/// In FIFO_CTRL3 of the LSM6DSV16X: the accelerometer's samples, all of them.
const DSV_BATCH_240_HZ: u8 = 0x07;
/// In CTRL2: the gyroscope.
const OFF: u8 = 0x00;
/// In CTRL3: block data update, addresses go up by themselves.
const WHOLE_SAMPLES: u8 = 0x44;
/// In CTRL8: no further filter. Of the LSM6DSV16X also 2 g.
const UNFILTERED: u8 = 0x00;
/// In FIFO_CTRL2: no compression, and the watermark is no limit.
const PLAIN: u8 = 0x00;
/// In FIFO_CTRL4: the FIFO is emptied.
const BYPASS: u8 = 0x00;
/// In FIFO_CTRL4: the FIFO keeps the newest samples; neither temperature nor time is in it.
const CONTINUOUS: u8 = 0x06;
/// In INT1_CTRL.
const WATERMARK_ON_INT1: u8 = 0x08;

/// Where the LSM6DSO has its FIFO's status.
const DSO_FIFO_STATUS1: u8 = 0x3a;
/// In both bytes of the status: how many samples there are. The LSM6DSV16X has a bit less, and keeps the highest clear.
const LEVEL: u16 = 0x03ff;
/// In them: samples were overwritten, now or since the last look.
const OVERRUN: u16 = 0x4800;
/// Where a word's first byte tells of what it is.
const TAG_SHIFT: u8 = 3;
/// A sample of the accelerometer, uncompressed.
const TAG_ACCEL: u8 = 0x02;

/// Empties the FIFO.
static EMPTYING: [(Reg, u8); 2] = [(Reg::FifoCtrl4, BYPASS), (Reg::FifoCtrl4, CONTINUOUS)];

/// What the sensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chip {
    /// LSM6DSO or LSM6DSOX. An LSM6DSO32 cannot be told from them, and gives half the counts.
    Lsm6dso,
    /// LSM6DSV16X; the LSM6DSV, which lacks nothing that is used here.
    Lsm6dsv16x,
}

impl Chip {
    /// Samples a second after [`Sensor::start`].
    pub const fn rate_hz(self) -> u32 {
        match self {
            Self::Lsm6dso => 208,
            Self::Lsm6dsv16x => 240,
        }
    }

    /// Samples in the FIFO.
    pub const fn fifo_len(self) -> usize {
        match self {
            Self::Lsm6dso => 512,
            Self::Lsm6dsv16x => 256,
        }
    }

    /// What WHO_AM_I holds.
    const fn identity(self) -> u8 {
        match self {
            Self::Lsm6dso => 0x6c,
            Self::Lsm6dsv16x => 0x70,
        }
    }

    const fn fifo_status(self) -> u8 {
        match self {
            Self::Lsm6dso => DSO_FIFO_STATUS1,
            Self::Lsm6dsv16x => Reg::FifoStatus1 as u8,
        }
    }

    /// Everything that is set, in order; [`EMPTYING`] follows.
    const fn settings(self) -> [(Reg, u8); 8] {
        let (sampling, batching) = match self {
            Self::Lsm6dso => (DSO_208_HZ_2_G, DSO_BATCH_208_HZ),
            Self::Lsm6dsv16x => (DSV_240_HZ, DSV_BATCH_240_HZ),
        };
        [
            (Reg::Ctrl3, WHOLE_SAMPLES),
            (Reg::Ctrl8, UNFILTERED),
            (Reg::Ctrl1, sampling),
            (Reg::Ctrl2, OFF),
            (Reg::FifoCtrl1, WATERMARK),
            (Reg::FifoCtrl2, PLAIN),
            (Reg::FifoCtrl3, batching),
            (Reg::Int1Ctrl, WATERMARK_ON_INT1),
        ]
    }
}

/// The level of the pin SA0 (SDO).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sa0Pad {
    /// The address is 0x6b.
    High,
    /// The address is 0x6a.
    Low,
}

/// What the driver asks for to wait in one self-test, which is not called.
struct NoDelay;

impl DelayNs for NoDelay {
    async fn delay_ns(&mut self, _: u32) {}
}

/// The sensor with its FIFO of 256 or 512 samples: none is lost for a second.
pub struct Lsm6ds<I: I2c> {
    driver: Lsm6dsv16x<I2cBus<I>, NoDelay, MainBank>,
    chip: Chip,
    /// What befell the samples behind those that were given last.
    torn: Option<Fault>,
}

impl<I: I2c> Lsm6ds<I> {
    /// The sensor, its pin SA0 (SDO) low or high; [`Sensor::start`] starts it.
    pub fn new(bus: I, chip: Chip, pin: Sa0Pad) -> Self {
        let address = match pin {
            Sa0Pad::High => I2CAddress::I2cAddH,
            Sa0Pad::Low => I2CAddress::I2cAddL,
        };
        Self { driver: Lsm6dsv16x::new_i2c(bus, address, NoDelay), chip, torn: None }
    }

    async fn set(&mut self, settings: &[(Reg, u8)]) -> Result<(), Fault> {
        for &(register, value) in settings {
            self.driver.bus.write_bytes(&[register as u8, value]).await.map_err(Fault::of)?;
        }
        Ok(())
    }

    /// How many samples there are, and whether some were lost.
    async fn status(&mut self) -> Result<(usize, bool), Fault> {
        let mut bytes = [0; 2];
        let register = self.chip.fifo_status();
        self.driver.bus.read_from_register(register, &mut bytes).await.map_err(Fault::of)?;
        let status = u16::from_le_bytes(bytes);
        Ok((usize::from(status & LEVEL), status & OVERRUN != 0))
    }
}

fn fault<E: embedded_hal_async::i2c::Error>(error: Error<E>) -> Fault {
    match error {
        Error::Bus(error) => Fault::of(error),
        // Of banks of registers that are not used here.
        _ => Fault::Bus,
    }
}

impl<I: I2c> Sensor<3> for Lsm6ds<I> {
    async fn start(&mut self) -> Result<(), Fault> {
        self.torn = None;
        let found = self.driver.device_id_get().await.map_err(fault)?;
        if found != self.chip.identity() {
            return Err(Fault::Identity { found });
        }
        self.set(&self.chip.settings()).await?;
        self.set(&EMPTYING).await?;
        // Looking clears what is latched: a sensor that ran on while the board restarted has overrun, and that is over.
        self.status().await.map(|_| ())
    }

    async fn read(&mut self, frames: &mut [[i16; 3]]) -> Result<usize, Fault> {
        if let Some(fault) = self.torn.take() {
            return Err(fault);
        }
        let (level, overrun) = self.status().await?;
        if overrun {
            // Emptied, so that what follows is of now, and without a gap.
            self.set(&EMPTYING).await?;
            // What it holds; how many were overwritten, the sensor does not tell.
            return Err(Fault::Overrun { lost: self.chip.fifo_len() as u16 });
        }
        let mut count = 0;
        let mut free = frames.iter_mut();
        let mut left = level.min(free.len());
        while left > 0 {
            let mut bytes = [0; BURST * WORD_BYTES];
            let (words, _) = bytes.as_chunks_mut::<WORD_BYTES>();
            let words = words.get_mut(..left.min(BURST)).unwrap_or_default();
            left -= words.len();
            let register = Reg::FifoDataOutTag as u8;
            let result =
                self.driver.bus.read_from_register(register, words.as_flattened_mut()).await;
            if let Err(error) = result {
                // Some of these may have left the FIFO, and are in no frame.
                return whole_first(count, Fault::of(error), &mut self.torn);
            }
            let samples = words.iter().filter(|word| word[0] >> TAG_SHIFT == TAG_ACCEL);
            for (&[_, x0, x1, y0, y1, z0, z1], frame) in samples.zip(&mut free) {
                *frame = [[x0, x1], [y0, y1], [z0, z1]].map(i16::from_le_bytes);
                count += 1;
            }
        }
        Ok(count)
    }
}
