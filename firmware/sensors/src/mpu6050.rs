//! InvenSense MPU-6050 (MPU-6000, MPU-9150): the accelerometer of an inertial unit.
//!
//! Set to 200 Hz, plus or minus 2 g, 16 bits below 94 Hz, samples gathered in the sensor's FIFO. Of the gyroscope only
//! one axis runs, as the clock: the internal oscillator's rate is several percent off.
//!
//! No driver is behind it. Looked at in November 2026: `mpu6050-dmp` 0.6.1 is async, but talks to the sensor before it
//! can be had, never asks for its identity, keeps its register access to itself, and sets fields by OR into what it
//! finds, so that what is there is never cleared; `mpu6050` 0.1.6 (2022) is for embedded-hal 0.2. Of the newer ICM-42688,
//! `icm426xx` 0.4.0 is for SPI alone and `icm42688` 0.2.0 for embedded-hal 0.2. So the registers are accessed here, as
//! the register map (RM-MPU-6000A, revision 4.2) has them.

use embedded_hal_async::i2c::I2c;

use crate::registers::Registers;
use crate::supervise::{Fault, Sensor, whole_first};

/// Raw counts a g in what [`Sensor::read`] gives: 16 bits over 4 g.
pub const COUNTS_PER_G: i32 = 16_384;

/// Samples a second after [`Sensor::start`].
pub const RATE_HZ: u32 = 200;

/// Values a sample: x, y, z.
pub const AXES: usize = 3;

/// Whole samples in the FIFO.
pub const FIFO_LEN: usize = FIFO_BYTES / FRAME_BYTES;

const FIFO_BYTES: usize = 1024;
const FRAME_BYTES: usize = 2 * AXES;
/// Frames a transaction: what a task keeps on hold for it, against what the address costs on the bus.
const BURST: usize = 8;

const SMPLRT_DIV: u8 = 0x19;
const CONFIG: u8 = 0x1a;
const ACCEL_CONFIG: u8 = 0x1c;
const FIFO_EN: u8 = 0x23;
const INT_ENABLE: u8 = 0x38;
const INT_STATUS: u8 = 0x3a;
const USER_CTRL: u8 = 0x6a;
const PWR_MGMT_1: u8 = 0x6b;
const PWR_MGMT_2: u8 = 0x6c;
const FIFO_COUNTH: u8 = 0x72;
const FIFO_R_W: u8 = 0x74;
const WHO_AM_I: u8 = 0x75;

/// What WHO_AM_I holds, whatever the level of AD0.
const IDENTITY: u8 = 0x68;
/// In PWR_MGMT_1: awake, clocked by the gyroscope's x axis.
const AWAKE_BY_GYRO_X: u8 = 0x01;
/// In PWR_MGMT_2: the gyroscope's y and z axes sleep.
const GYRO_X_ALONE: u8 = 0x03;
/// In CONFIG: the filter of 94 Hz, with which the rate is divided from 1 kHz.
const BELOW_94_HZ: u8 = 0x02;
/// In SMPLRT_DIV: one less than the divisor.
const HZ_200: u8 = 4;
/// In ACCEL_CONFIG.
const TWO_G: u8 = 0x00;
/// In INT_ENABLE and INT_STATUS: the FIFO overflowed.
const OVERFLOW: u8 = 0x10;
/// In FIFO_EN and USER_CTRL: off.
const OFF: u8 = 0x00;
/// In FIFO_EN: the accelerometer's samples.
const ACCEL: u8 = 0x08;
/// In USER_CTRL; does so only while the FIFO is off.
const FIFO_RESET: u8 = 0x04;
/// In USER_CTRL.
const FIFO_ON: u8 = 0x40;

/// Everything that is set, in order; [`EMPTYING`] follows. Awake first: asleep it keeps what is written, but does not
/// obey.
static SETTINGS: [(u8, u8); 6] = [
    (PWR_MGMT_1, AWAKE_BY_GYRO_X),
    (PWR_MGMT_2, GYRO_X_ALONE),
    (CONFIG, BELOW_94_HZ),
    (SMPLRT_DIV, HZ_200),
    (ACCEL_CONFIG, TWO_G),
    (INT_ENABLE, OVERFLOW),
];

/// Empties the FIFO. Nothing is written to it meanwhile, so that it begins with a whole sample.
static EMPTYING: [(u8, u8); 5] = [
    (FIFO_EN, OFF),
    (USER_CTRL, OFF),
    (USER_CTRL, FIFO_RESET),
    (USER_CTRL, FIFO_ON),
    (FIFO_EN, ACCEL),
];

/// The level of the pin AD0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ad0Pad {
    /// The address is 0x69.
    High,
    /// The address is 0x68.
    Low,
}

/// The sensor with its FIFO of 170 samples: at 200 Hz none is lost for 850 ms.
pub struct Mpu6050<I> {
    chip: Registers<I>,
    /// What befell the sample behind those that were given last.
    torn: Option<Fault>,
    /// The FIFO may begin within a sample: it is one of bytes, and knows no samples.
    ragged: bool,
}

impl<I: I2c> Mpu6050<I> {
    /// The sensor, its pin AD0 low or high; [`Sensor::start`] starts it.
    pub fn new(bus: I, pin: Ad0Pad) -> Self {
        let address = match pin {
            Ad0Pad::High => 0x69,
            Ad0Pad::Low => 0x68,
        };
        Self { chip: Registers::new(bus, address), torn: None, ragged: false }
    }

    /// Empties the FIFO, so that what follows is whole again.
    async fn empty(&mut self) -> Result<(), Fault> {
        // Until the last of it is done: where it fails, the next read begins with it.
        self.ragged = true;
        self.chip.set(&EMPTYING).await?;
        // Reading clears it. Left set, it would tell of this overflow once more.
        self.chip.byte(INT_STATUS).await?;
        self.ragged = false;
        Ok(())
    }

    async fn overrun(&mut self) -> Fault {
        match self.empty().await {
            // What was in it; how much was overwritten before, the sensor does not tell.
            Ok(()) => Fault::Overrun { lost: FIFO_LEN as u16 },
            Err(fault) => fault,
        }
    }
}

impl<I: I2c> Sensor<3> for Mpu6050<I> {
    async fn start(&mut self) -> Result<(), Fault> {
        self.torn = None;
        self.chip.identify(WHO_AM_I, IDENTITY).await?;
        self.chip.set(&SETTINGS).await?;
        self.empty().await
    }

    async fn read(&mut self, frames: &mut [[i16; 3]]) -> Result<usize, Fault> {
        if let Some(fault) = self.torn.take() {
            return Err(fault);
        }
        if self.ragged {
            self.empty().await?;
        }
        let mut bytes = [0; 2];
        self.chip.read(FIFO_COUNTH, &mut bytes).await?;
        let bytes = usize::from(u16::from_be_bytes(bytes));
        if bytes >= FIFO_BYTES {
            // Full is too late: it is no multiple of a sample, so the oldest one has lost its head.
            return Err(self.overrun().await);
        }
        let mut count = 0;
        // A sample that is just being written waits for the next read, and an empty FIFO must not be read at all.
        let whole = (bytes / FRAME_BYTES).min(frames.len());
        for burst in frames.get_mut(..whole).unwrap_or_default().chunks_mut(BURST) {
            let mut bytes = [0; BURST * FRAME_BYTES];
            let (samples, _) = bytes.as_chunks_mut::<FRAME_BYTES>();
            let samples = samples.get_mut(..burst.len()).unwrap_or_default();
            if let Err(fault) = self.chip.read(FIFO_R_W, samples.as_flattened_mut()).await {
                self.ragged = true;
                return whole_first(count, fault, &mut self.torn);
            }
            for (frame, &[x1, x0, y1, y0, z1, z0]) in burst.iter_mut().zip(samples.iter()) {
                *frame = [[x1, x0], [y1, y0], [z1, z0]].map(i16::from_be_bytes);
                count += 1;
            }
        }
        // Behind the samples: an overflow while they were read has shifted them.
        if count > 0 {
            match self.chip.byte(INT_STATUS).await {
                Ok(status) if status & OVERFLOW == 0 => {}
                Ok(_) => return Err(self.overrun().await),
                Err(fault) => {
                    // Reading may have cleared what it did not get across.
                    self.ragged = true;
                    return Err(fault);
                }
            }
        }
        Ok(count)
    }
}
