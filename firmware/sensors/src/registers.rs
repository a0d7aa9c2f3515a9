//! A device's registers on the bus, for the families that have no driver fit to be taken.
//!
//! Called by `adxl34x` and `mpu6050`; tells every error of the bus apart and never tries again by itself.

use embedded_hal_async::i2c::I2c;

use crate::supervise::Fault;

/// A device at its address.
pub(crate) struct Registers<I> {
    bus: I,
    address: u8,
}

impl<I: I2c> Registers<I> {
    pub(crate) const fn new(bus: I, address: u8) -> Self {
        Self { bus, address }
    }

    /// Reads as many registers as there are bytes, from the first on.
    pub(crate) async fn read(&mut self, first: u8, bytes: &mut [u8]) -> Result<(), Fault> {
        self.bus.write_read(self.address, &[first], bytes).await.map_err(Fault::of)
    }

    pub(crate) async fn byte(&mut self, register: u8) -> Result<u8, Fault> {
        let mut byte = [0];
        self.read(register, &mut byte).await?;
        let [byte] = byte;
        Ok(byte)
    }

    /// Fails where the device is another.
    pub(crate) async fn identify(&mut self, register: u8, identity: u8) -> Result<(), Fault> {
        match self.byte(register).await? {
            found if found == identity => Ok(()),
            found => Err(Fault::Identity { found }),
        }
    }

    /// Writes registers and their values, in order.
    pub(crate) async fn set(&mut self, settings: &[(u8, u8)]) -> Result<(), Fault> {
        for &(register, value) in settings {
            self.bus.write(self.address, &[register, value]).await.map_err(Fault::of)?;
        }
        Ok(())
    }
}
