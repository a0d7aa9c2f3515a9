//! The drivers against a bus that is an array of registers.

use core::convert::Infallible;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use embedded_hal_async::i2c::{ErrorType, I2c, Operation};

use crate::lis3dh::{ADDRESS_LOW, Error, Lis3dh};

/// A register file with an address pointer that moves on if its top bit was set.
struct Registers {
    values: [u8; 128],
    pointer: u8,
    increments: bool,
}

impl Registers {
    fn new(identity: u8) -> Self {
        let mut values = [0; 128];
        values[0x0f] = identity;
        Self { values, pointer: 0, increments: false }
    }
}

impl ErrorType for Registers {
    type Error = Infallible;
}

impl I2c for Registers {
    async fn transaction(
        &mut self,
        address: u8,
        operations: &mut [Operation<'_>],
    ) -> Result<(), Infallible> {
        assert_eq!(address, ADDRESS_LOW);
        for operation in operations {
            match operation {
                Operation::Write(bytes) => {
                    self.pointer = bytes[0] & 0x7f;
                    self.increments = bytes[0] & 0x80 != 0;
                    if let Some(&value) = bytes.get(1) {
                        self.values[usize::from(self.pointer)] = value;
                    }
                }
                Operation::Read(bytes) => {
                    for byte in bytes.iter_mut() {
                        *byte = self.values[usize::from(self.pointer)];
                        self.pointer += u8::from(self.increments);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Runs a future that never waits.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the bus never waits"),
    }
}

#[test]
fn a_lis3dh_is_started_and_read() {
    let mut bus = Registers::new(0x33);
    // x = 1, y = -1 g, z = 1 g, little-endian.
    bus.values[0x28..0x2e].copy_from_slice(&[0x01, 0x00, 0x00, 0xc0, 0x00, 0x40]);
    let registers = &mut bus;
    let sample = now(async {
        let mut sensor = Lis3dh::start(&mut *registers, ADDRESS_LOW).await.expect("it is there");
        sensor.read().await
    });
    assert_eq!(sample, Ok([1, -16_384, 16_384]));
    assert_eq!((bus.values[0x20], bus.values[0x22], bus.values[0x23]), (0x67, 0x10, 0x88));
}

#[test]
fn another_device_is_refused() {
    let refused = now(Lis3dh::start(Registers::new(0x44), ADDRESS_LOW));
    assert!(matches!(refused, Err(Error::Identity { found: 0x44 })));
}
