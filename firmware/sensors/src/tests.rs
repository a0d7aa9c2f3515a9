//! Every fault of bus and sensor, as a mocked bus shows it: told once, tried again, sampling resumes. What all families
//! have to withstand is here; each has a file with its own registers, and with what is its own.

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

/// What every family has to withstand. Its module has `sensor(bus)`, with the pin low; `start()`, the traffic of a start,
/// identity first; `samples(count, x)`, that of a read. `at` is the address, `identity` the register that says what a
/// device is, `other` what another one says, `status` how a read begins where a sample waits.
macro_rules! every_family {
    (at: $address:literal, identity: $identity:literal, other: $other:literal, status: $status:expr) => {
        fn set(register: u8, value: u8) -> Transaction {
            set_at($address, register, value)
        }

        fn get(register: u8, bytes: &[u8]) -> Transaction {
            get_at($address, register, bytes)
        }

        fn check(bus: Vec<Vec<Transaction>>, pauses_ms: &[u32], results: &[Result<usize, Fault>]) {
            super::check(sensor, bus, pauses_ms, results);
        }

        #[test]
        fn samples_are_read_as_they_come() {
            let bus = vec![start(), samples(3, 1), samples(0, 0), samples(2, 9)];
            check(bus, &[0], &[Ok(3), Ok(0), Ok(2)]);
        }

        #[test]
        fn nobody_answers_and_the_pauses_grow_to_their_limit() {
            let absent = || vec![get($identity, &[0]).with_error(NACK)];
            let bus = vec![absent(), absent(), absent(), absent(), start(), samples(1, 1)];
            let none = Err(Fault::NoAcknowledge);
            check(bus, &[0, 10, 20, 25, 25], &[none, none, none, none, Ok(1)]);
        }

        #[test]
        fn another_device_is_named() {
            let bus = vec![vec![get($identity, &[$other])], start(), samples(1, 1)];
            check(bus, &[0, 10], &[Err(Fault::Identity { found: $other }), Ok(1)]);
        }

        #[test]
        fn a_start_that_fails_half_way_is_begun_again() {
            let bus = vec![failing_at(4, ErrorKind::Bus, start()), start(), samples(1, 1)];
            check(bus, &[0, 10], &[Err(Fault::Bus), Ok(1)]);
        }

        #[test]
        fn a_bus_error_is_told_and_the_next_read_goes_on() {
            let failed = vec![$status.with_error(ErrorKind::ArbitrationLoss)];
            check(vec![start(), failed, samples(1, 1)], &[0], &[Err(Fault::Bus), Ok(1)]);
        }

        #[test]
        fn a_bus_that_fails_on_is_told_each_time_and_the_sensor_restarted() {
            let failed = || vec![$status.with_error(ErrorKind::Bus)];
            let bus =
                vec![start(), failed(), failed(), start(), samples(1, 1), failed(), samples(1, 2)];
            let bad = Err(Fault::Bus);
            check(bus, &[0, 10], &[bad, bad, Ok(1), bad, Ok(1)]);
        }

        #[test]
        fn stuck_data_restart_the_sensor() {
            let (before, stuck) = (samples(4, 7), samples(2, 7));
            let bus = vec![start(), before, stuck, start(), samples(4, 7), samples(1, 8)];
            check(bus, &[0, 10], &[Ok(4), Err(Fault::Stuck), Ok(4), Ok(1)]);
        }

        #[test]
        fn a_sensor_that_lost_its_settings_is_set_again() {
            let none = || samples(0, 0);
            // What answers, but has no samples any more: as it is without supply for a moment.
            let bus = vec![start(), samples(1, 1), none(), none(), none(), start(), samples(1, 2)];
            check(bus, &[0, 10], &[Ok(1), Ok(0), Ok(0), Err(Fault::Silent), Ok(1)]);
        }
    };
}

/// What a family has to withstand besides where each sample is a transaction of its own.
macro_rules! sample_by_sample {
    () => {
        #[test]
        fn a_nack_within_a_sample_is_told_behind_the_samples_that_were_whole() {
            // The sample that was on its way may be gone: between two and two others is a gap.
            let bus = vec![start(), failing_at(3, NACK, samples(3, 4)), samples(2, 5)];
            check(bus, &[0], &[Ok(2), Err(Fault::NoAcknowledge), Ok(2)]);
            let bus = vec![start(), failing_at(1, NACK, samples(2, 4)), samples(2, 4)];
            check(bus, &[0], &[Err(Fault::NoAcknowledge), Ok(2)]);
        }
    };
}

mod adxl34x;
mod lis3dh;
mod lsm6ds;
mod mpu6050;

const NACK: ErrorKind = ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address);
const POLICY: Policy =
    Policy { retries: 1, pause_ms: 10, longest_ms: 25, stuck_frames: 5, silent_reads: 3 };

fn set_at(address: u8, register: u8, value: u8) -> Transaction {
    Transaction::write(address, vec![register, value])
}

fn get_at(address: u8, register: u8, bytes: &[u8]) -> Transaction {
    Transaction::write_read(address, vec![register], bytes.to_vec())
}

/// The traffic as far as this transaction, which fails.
fn failing_at(index: usize, error: ErrorKind, mut bus: Vec<Transaction>) -> Vec<Transaction> {
    bus.truncate(index + 1);
    bus[index] = bus[index].clone().with_error(error);
    bus
}

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

/// Starts a sensor that nobody restarts, and reads at most twelve frames at a time: the results must be these.
fn reads<S: Sensor<3>>(
    sensor: impl FnOnce(Mock) -> S,
    bus: Vec<Vec<Transaction>>,
    results: &[Result<usize, Fault>],
) {
    let mut bus = Mock::new(&bus.concat());
    let mut sensor = sensor(bus.clone());
    let mut frames = [[0; 3]; 12];
    assert_eq!(now(sensor.start()), Ok(()));
    for (index, expected) in results.iter().enumerate() {
        assert_eq!(now(sensor.read(&mut frames)), *expected, "read {index}");
    }
    bus.done();
}

/// A start asks this register at this address first.
fn asks<S: Sensor<3>>(sensor: impl FnOnce(Mock) -> S, address: u8, register: u8) {
    let mut bus = Mock::new(&[get_at(address, register, &[0x00])]);
    let mut sensor = sensor(bus.clone());
    assert_eq!(now(sensor.start()), Err(Fault::Identity { found: 0 }));
    bus.done();
}
