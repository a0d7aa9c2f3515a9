//! ST LIS3DH, LIS2DH12: three-axis accelerometers with one register map.
//!
//! Set to 200 Hz, plus or minus 2 g, 12 bits, samples gathered in the sensor's FIFO. Register names are the
//! datasheet's (ST DocID17530, section 8).

use embedded_hal_async::i2c::I2c;

use crate::supervise::{Fault, Sensor};

/// Bus address with the SA0 pin low.
pub const ADDRESS_LOW: u8 = 0x18;
/// Bus address with the SA0 pin high.
pub const ADDRESS_HIGH: u8 = 0x19;

/// Raw counts a g in what [`Sensor::read`] gives: 12 bits over 4 g, left-justified.
pub const COUNTS_PER_G: i32 = 16_384;

/// Samples a second after [`Sensor::start`].
pub const RATE_HZ: u32 = 200;

/// Values a sample: x, y, z.
pub const AXES: usize = 3;

/// Samples in the FIFO.
pub const FIFO_LEN: usize = 32;

const WHO_AM_I: u8 = 0x0f;
const CTRL_REG1: u8 = 0x20;
const CTRL_REG4: u8 = 0x23;
const CTRL_REG5: u8 = 0x24;
const OUT_X_L: u8 = 0x28;
const FIFO_CTRL_REG: u8 = 0x2e;
const FIFO_SRC_REG: u8 = 0x2f;
/// Set in a register's number: the next byte is the next register's.
const AUTO_INCREMENT: u8 = 0x80;

const IDENTITY: u8 = 0x33;
/// 200 Hz, all three axes.
const RATE_200_HZ: u8 = 0x67;
/// Block data update, 2 g, high resolution.
const TWO_G_12_BIT: u8 = 0x88;

/// The FIFO is on.
const FIFO_ON: u8 = 0x40;
/// The FIFO is emptied.
const BYPASS: u8 = 0x00;
/// The FIFO keeps the newest 32 samples.
const STREAM: u8 = 0x80;
/// In FIFO_SRC_REG: a sample was overwritten before it was read.
const OVERRUN: u8 = 0x40;
/// In FIFO_SRC_REG: samples in the FIFO.
const LEVEL: u8 = 0x1f;

/// The sensor with its FIFO of 32 samples: at 200 Hz none is lost for 160 ms.
#[derive(Debug)]
pub struct Lis3dh<I> {
    bus: I,
    address: u8,
}

impl<I: I2c> Lis3dh<I> {
    /// The sensor at an address; [`Sensor::start`] starts it.
    pub const fn new(bus: I, address: u8) -> Self {
        Self { bus, address }
    }

    /// Gives the bus back.
    pub fn release(self) -> I {
        self.bus
    }

    async fn set(&mut self, settings: &[(u8, u8)]) -> Result<(), Fault> {
        for &(register, value) in settings {
            self.bus.write(self.address, &[register, value]).await.map_err(Fault::of)?;
        }
        Ok(())
    }
}

impl<I: I2c> Sensor<3> for Lis3dh<I> {
    async fn start(&mut self) -> Result<(), Fault> {
        let mut identity = [0];
        self.bus.write_read(self.address, &[WHO_AM_I], &mut identity).await.map_err(Fault::of)?;
        let [found] = identity;
        if found != IDENTITY {
            return Err(Fault::Identity { found });
        }
        self.set(&[
            (CTRL_REG1, RATE_200_HZ),
            (CTRL_REG4, TWO_G_12_BIT),
            (CTRL_REG5, FIFO_ON),
            (FIFO_CTRL_REG, BYPASS),
            (FIFO_CTRL_REG, STREAM),
        ])
        .await
    }

    async fn read(&mut self, frames: &mut [[i16; 3]]) -> Result<usize, Fault> {
        let mut source = [0];
        self.bus.write_read(self.address, &[FIFO_SRC_REG], &mut source).await.map_err(Fault::of)?;
        let [source] = source;
        if source & OVERRUN != 0 {
            // Emptied, so that what follows is whole again.
            self.set(&[(FIFO_CTRL_REG, BYPASS), (FIFO_CTRL_REG, STREAM)]).await?;
            // What was in it, and the one that was overwritten; of further ones the sensor tells nothing.
            return Err(Fault::Overrun { lost: FIFO_LEN as u16 + 1 });
        }
        let level = usize::from(source & LEVEL).min(frames.len());
        for frame in frames.iter_mut().take(level) {
            let mut bytes = [0; 6];
            self.bus
                .write_read(self.address, &[OUT_X_L | AUTO_INCREMENT], &mut bytes)
                .await
                .map_err(Fault::of)?;
            let [x0, x1, y0, y1, z0, z1] = bytes;
            *frame = [[x0, x1], [y0, y1], [z0, z1]].map(i16::from_le_bytes);
        }
        Ok(level)
    }
}
