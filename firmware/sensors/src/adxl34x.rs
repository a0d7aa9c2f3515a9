//! Analog Devices ADXL345, ADXL343: three-axis accelerometers with one register map.
//!
//! Set to 200 Hz, plus or minus 2 g, 10 bits, samples gathered in the sensor's FIFO.
//!
//! No driver is behind it. Looked at in November 2026: `adxl345-eh-driver` 0.2.2 (September 2024) blocks and knows no
//! FIFO, `adxl345_driver2` 2.0.1 (March 2024) blocks, `adxl343` 0.8.0 (January 2020) is for embedded-hal 0.2. None is
//! async, so the registers are accessed here, as the data sheet (ADXL345, revision G) has them.

use embedded_hal_async::i2c::I2c;

use crate::registers::Registers;
use crate::supervise::{Fault, Sensor, whole_first};

/// Raw counts a g in what [`Sensor::read`] gives: 10 bits over 4 g, left-justified, the scale of a LIS3DH.
pub const COUNTS_PER_G: i32 = 16_384;

/// Samples a second after [`Sensor::start`].
pub const RATE_HZ: u32 = 200;

/// Values a sample: x, y, z.
pub const AXES: usize = 3;

/// Samples in the FIFO.
pub const FIFO_LEN: usize = 32;

/// Samples from which on INT1 is high, for who waits for it: half a FIFO, 80 ms.
const WATERMARK: u8 = 16;

const DEVID: u8 = 0x00;
const BW_RATE: u8 = 0x2c;
const POWER_CTL: u8 = 0x2d;
const INT_ENABLE: u8 = 0x2e;
const INT_MAP: u8 = 0x2f;
const DATA_FORMAT: u8 = 0x31;
const DATAX0: u8 = 0x32;
const FIFO_CTL: u8 = 0x38;
const FIFO_STATUS: u8 = 0x39;

/// What DEVID holds.
const IDENTITY: u8 = 0xe5;
/// In POWER_CTL: nothing is measured, as the data sheet asks for while settings change.
const STANDBY: u8 = 0x00;
/// In POWER_CTL.
const MEASURE: u8 = 0x08;
/// In BW_RATE: 200 Hz, without the low power that is noisier.
const HZ_200: u8 = 0x0b;
/// In DATA_FORMAT: 2 g, left-justified.
const TWO_G_LEFT: u8 = 0x04;
/// In INT_MAP: everything on INT1.
const ON_INT1: u8 = 0x00;
/// In INT_ENABLE: the FIFO's watermark, and nothing else.
const WATERMARK_ON: u8 = 0x02;
/// In FIFO_CTL: the FIFO is emptied.
const BYPASS: u8 = 0x00;
/// In FIFO_CTL: the FIFO keeps the newest samples.
const STREAM: u8 = 0x80;
/// In FIFO_STATUS: how many samples there are. One more than the FIFO has places when the output registers wait too.
const ENTRIES: u8 = 0x3f;

/// Everything that is set, in order; [`EMPTYING`] follows.
static SETTINGS: [(u8, u8); 6] = [
    (POWER_CTL, STANDBY),
    (BW_RATE, HZ_200),
    (DATA_FORMAT, TWO_G_LEFT),
    (INT_MAP, ON_INT1),
    (INT_ENABLE, WATERMARK_ON),
    (POWER_CTL, MEASURE),
];

/// Empties the FIFO.
static EMPTYING: [(u8, u8); 2] = [(FIFO_CTL, BYPASS), (FIFO_CTL, STREAM | WATERMARK)];

/// The level of the pin ALT ADDRESS (SDO).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AltAddressPad {
    /// The address is 0x1d.
    High,
    /// The address is 0x53.
    Low,
}

/// The sensor with its FIFO of 32 samples: at 200 Hz none is lost for 160 ms.
pub struct Adxl34x<I> {
    chip: Registers<I>,
    /// What befell the sample behind those that were given last.
    torn: Option<Fault>,
}

impl<I: I2c> Adxl34x<I> {
    /// The sensor, its pin ALT ADDRESS low or high; [`Sensor::start`] starts it.
    pub fn new(bus: I, pin: AltAddressPad) -> Self {
        let address = match pin {
            AltAddressPad::High => 0x1d,
            AltAddressPad::Low => 0x53,
        };
        Self { chip: Registers::new(bus, address), torn: None }
    }
}

impl<I: I2c> Sensor<3> for Adxl34x<I> {
    async fn start(&mut self) -> Result<(), Fault> {
        self.torn = None;
        self.chip.identify(DEVID, IDENTITY).await?;
        self.chip.set(&SETTINGS).await?;
        self.chip.set(&EMPTYING).await
    }

    async fn read(&mut self, frames: &mut [[i16; 3]]) -> Result<usize, Fault> {
        if let Some(fault) = self.torn.take() {
            return Err(fault);
        }
        let entries = usize::from(self.chip.byte(FIFO_STATUS).await? & ENTRIES);
        if entries >= FIFO_LEN {
            // Emptied, so that what follows is whole again.
            self.chip.set(&EMPTYING).await?;
            // What was in it. The bit for an overrun is no better witness than a full FIFO: the first sample read
            // clears it, so that one between the look and that read would never be told.
            return Err(Fault::Overrun { lost: FIFO_LEN as u16 });
        }
        let mut count = 0;
        // One a transaction: behind the last axis comes another register, not the next sample.
        for frame in frames.iter_mut().take(entries) {
            let mut bytes = [0; 6];
            if let Err(fault) = self.chip.read(DATAX0, &mut bytes).await {
                // This one may have left the FIFO, and is in no frame.
                return whole_first(count, fault, &mut self.torn);
            }
            let [x0, x1, y0, y1, z0, z1] = bytes;
            *frame = [[x0, x1], [y0, y1], [z0, z1]].map(i16::from_le_bytes);
            count += 1;
        }
        Ok(count)
    }
}
