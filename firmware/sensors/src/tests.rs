//! Every fault of bus and sensor, as a mocked bus shows it: told once, tried again, sampling resumes. A family a file,
//! each with its own registers.

use embedded_hal_async::i2c::{ErrorKind, NoAcknowledgeSource};
use embedded_hal_mock::eh1::delay::CheckedDelay;
use embedded_hal_mock::eh1::delay::Transaction as Pause;
use embedded_hal_mock::eh1::i2c::{Mock, Transaction};

use crate::supervise::{Fault, Policy, Sensor, Supervised};

extern crate std;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::vec::Vec;
use std::{iter, vec};

mod adxl34x;
mod lis3dh;
mod lsm6ds;
mod mpu6050;

const NACK: ErrorKind = ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address);
const POLICY: Policy =
    Policy { retries: 1, pause_ms: 10, longest_ms: 25, stuck_frames: 5, silent_reads: 3 };

/// Runs a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the mocked bus never waits"),
    }
}

/// Reads as often as there are results, which must be these; the bus and the pauses must
/// have been exactly those given.
fn check<S: Sensor<3>>(
    sensor: impl FnOnce(Mock) -> S,
    bus: Vec<Vec<Transaction>>,
    pauses_ms: &[u32],
    results: &[Result<usize, Fault>],
) {
    let mut bus = Mock::new(&bus.concat());
    let pauses: Vec<Pause> = pauses_ms.iter().map(|&ms| Pause::async_delay_ms(ms)).collect();
    let mut delay = CheckedDelay::new(&pauses);
    let mut supervised = Supervised::new(sensor(bus.clone()), delay.clone(), POLICY);
    let mut frames = [[0; 3]; 8];
    for (index, expected) in results.iter().enumerate() {
        assert_eq!(now(supervised.read(&mut frames)), *expected, "read {index}");
    }
    let faults = results.iter().filter(|result| result.is_err()).count();
    assert_eq!(supervised.faults() as usize, faults);
    bus.done();
    delay.done();
}

/// What a start and one read give, of at most twelve frames: more than a burst.
fn frames<S: Sensor<3>>(
    sensor: impl FnOnce(Mock) -> S,
    bus: Vec<Vec<Transaction>>,
) -> Vec<[i16; 3]> {
    let mut bus = Mock::new(&bus.concat());
    let mut sensor = sensor(bus.clone());
    let mut frames = [[0; 3]; 12];
    now(sensor.start()).expect("the start");
    let count = now(sensor.read(&mut frames)).expect("the read");
    bus.done();
    frames[..count].to_vec()
}
