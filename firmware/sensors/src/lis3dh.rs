//! ST LIS3DH, LIS2DH12: three-axis accelerometers with one register map.
//!
//! Set to 200 Hz, plus or minus 2 g, 12 bits. Register names are the
//! datasheet's (ST DocID17530, section 8).

use embedded_hal_async::i2c::I2c;

/// Bus address with the SA0 pin low.
pub const ADDRESS_LOW: u8 = 0x18;
/// Bus address with the SA0 pin high.
pub const ADDRESS_HIGH: u8 = 0x19;

/// Raw counts a g in what [`Lis3dh::read`] gives: 12 bits over 4 g, left-justified.
pub const COUNTS_PER_G: i32 = 16_384;

/// Samples a second after [`Lis3dh::start`].
pub const RATE_HZ: u32 = 200;

const WHO_AM_I: u8 = 0x0f;
const CTRL_REG1: u8 = 0x20;
const CTRL_REG3: u8 = 0x22;
const CTRL_REG4: u8 = 0x23;
const OUT_X_L: u8 = 0x28;
/// Set in a register's number: the next byte is the next register's.
const AUTO_INCREMENT: u8 = 0x80;

const IDENTITY: u8 = 0x33;
/// 200 Hz, all three axes.
const RATE_200_HZ: u8 = 0x67;
/// Data-ready on pin INT1.
const READY_ON_INT1: u8 = 0x10;
/// Block data update, 2 g, high resolution.
const TWO_G_12_BIT: u8 = 0x88;

/// Why the sensor cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The bus failed: wiring, pull-ups, address.
    Bus(E),
    /// Another device answers at the address.
    Identity {
        /// What its `WHO_AM_I` holds.
        found: u8,
    },
}

impl<E> From<E> for Error<E> {
    fn from(error: E) -> Self {
        Self::Bus(error)
    }
}

/// The sensor, running.
#[derive(Debug)]
pub struct Lis3dh<I> {
    bus: I,
    address: u8,
}

impl<I: I2c> Lis3dh<I> {
    /// Checks that the sensor is there and starts it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn start(mut bus: I, address: u8) -> Result<Self, Error<I::Error>> {
        let mut identity = [0];
        bus.write_read(address, &[WHO_AM_I], &mut identity).await?;
        let [found] = identity;
        if found != IDENTITY {
            return Err(Error::Identity { found });
        }
        for (register, value) in
            [(CTRL_REG1, RATE_200_HZ), (CTRL_REG4, TWO_G_12_BIT), (CTRL_REG3, READY_ON_INT1)]
        {
            bus.write(address, &[register, value]).await?;
        }
        Ok(Self { bus, address })
    }

    /// The newest sample, x, y, z, [`COUNTS_PER_G`] a g. Reading lowers INT1.
    ///
    /// # Errors
    /// The bus's.
    pub async fn read(&mut self) -> Result<[i16; 3], I::Error> {
        let mut bytes = [0; 6];
        self.bus.write_read(self.address, &[OUT_X_L | AUTO_INCREMENT], &mut bytes).await?;
        let [x0, x1, y0, y1, z0, z1] = bytes;
        Ok([[x0, x1], [y0, y1], [z0, z1]].map(i16::from_le_bytes))
    }
}
