//! ST LIS3DH, LIS2DH12: three-axis accelerometers with one register map, through the published driver `lis2dh`.
//!
//! Set to 200 Hz, plus or minus 2 g, 12 bits, samples gathered in the sensor's FIFO. What is here is what that driver
//! leaves to its user: which samples are whole, and which were lost.

use embedded_hal_async::i2c::I2c;
pub use lis2dh::Sa0Pad;
use lis2dh::{AccelerationData, Error, Lis2dh, OutputDataRate, Register};

use crate::supervise::{Fault, Sensor, whole_first};

/// Raw counts a g in what [`Sensor::read`] gives: 12 bits over 4 g, left-justified.
pub const COUNTS_PER_G: i32 = 16_384;

/// Samples a second after [`Sensor::start`].
pub const RATE_HZ: u32 = 200;

/// Values a sample: x, y, z.
pub const AXES: usize = 3;

/// Samples in the FIFO.
pub const FIFO_LEN: usize = 32;

/// Samples from which on INT1 is high, for who waits for it: half a FIFO, 80 ms.
const WATERMARK: u8 = 16;

/// What WHO_AM_I holds.
const IDENTITY: u8 = 0x33;
/// In CTRL_REG1, with the rate: all three axes, and not the low power that has 8 bits.
const AXES_ON: u8 = 0x07;
/// In CTRL_REG3: the FIFO's watermark on INT1.
const WATERMARK_ON_INT1: u8 = 0x04;
/// In CTRL_REG4: block data update, 2 g, high resolution.
const TWO_G_12_BIT: u8 = 0x88;
/// In CTRL_REG5: the FIFO is on.
const FIFO_ON: u8 = 0x40;
/// In FIFO_CTRL_REG: the FIFO is emptied.
const BYPASS: u8 = 0x00;
/// In FIFO_CTRL_REG: the FIFO keeps the newest samples.
const STREAM: u8 = 0x80;

/// Everything that is set, in order; register by register, so that a sensor that lost its supply has all of it again.
static SETTINGS: [(Register, u8); 6] = [
    (Register::CtrlReg1, OutputDataRate::Hz200 as u8 | AXES_ON),
    (Register::CtrlReg3, WATERMARK_ON_INT1),
    (Register::CtrlReg4, TWO_G_12_BIT),
    (Register::CtrlReg5, FIFO_ON),
    (Register::FifoCtrlReg, BYPASS),
    (Register::FifoCtrlReg, STREAM | WATERMARK),
];

/// The last of them, which empty the FIFO.
const EMPTIED: usize = 4;

/// The sensor with its FIFO of 32 samples: at 200 Hz none is lost for 160 ms.
pub struct Lis3dh<I> {
    chip: Lis2dh<I>,
    /// What befell the sample behind those that were given last.
    torn: Option<Fault>,
}

impl<I: I2c> Lis3dh<I> {
    /// The sensor, its pin SA0 (SDO) low or high; [`Sensor::start`] starts it.
    pub fn new(bus: I, pin: Sa0Pad) -> Self {
        Self { chip: Lis2dh::new(bus, pin), torn: None }
    }

    /// Sets all from one on.
    async fn set(&mut self, first: usize) -> Result<(), Fault> {
        for &(register, value) in SETTINGS.iter().skip(first) {
            self.chip.write_register(register, value).await.map_err(fault)?;
        }
        Ok(())
    }
}

fn fault<E: embedded_hal_async::i2c::Error>(error: Error<E>) -> Fault {
    match error {
        Error::I2c(error) => Fault::of(error),
        // Of registers and parameters that are not used here.
        _ => Fault::Bus,
    }
}

impl<I: I2c> Sensor<3> for Lis3dh<I> {
    async fn start(&mut self) -> Result<(), Fault> {
        self.torn = None;
        let found = self.chip.get_device_id().await.map_err(fault)?;
        if found != IDENTITY {
            return Err(Fault::Identity { found });
        }
        self.set(0).await
    }

    async fn read(&mut self, frames: &mut [[i16; 3]]) -> Result<usize, Fault> {
        if let Some(fault) = self.torn.take() {
            return Err(fault);
        }
        let status = self.chip.read_fifo_status().await.map_err(fault)?;
        if status.full {
            // Emptied, so that what follows is whole again.
            self.set(EMPTIED).await?;
            // What was in it. The bit comes with the last free place and stays while samples are overwritten: how many
            // those were, if any, the sensor does not tell.
            return Err(Fault::Overrun { lost: FIFO_LEN as u16 });
        }
        let mut count = 0;
        for frame in frames.iter_mut().take(status.sample_count.into()) {
            let mut sample = [AccelerationData::default()];
            if let Err(error) = self.chip.read_data(&mut sample).await {
                // This one may have left the FIFO, and is in no frame.
                return whole_first(count, fault(error), &mut self.torn);
            }
            let [AccelerationData { x, y, z }] = sample;
            *frame = [x, y, z];
            count += 1;
        }
        Ok(count)
    }
}
