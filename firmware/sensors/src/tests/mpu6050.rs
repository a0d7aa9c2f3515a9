//! The traffic of an MPU-6050.

use super::*;
use crate::mpu6050::{Ad0Pad, COUNTS_PER_G, FIFO_LEN, Mpu6050};

/// The sensor's, with its pin low.
const ADDRESS: u8 = 0x68;

fn set(register: u8, value: u8) -> Transaction {
    Transaction::write(ADDRESS, vec![register, value])
}

fn get(register: u8, bytes: &[u8]) -> Transaction {
    Transaction::write_read(ADDRESS, vec![register], bytes.to_vec())
}

/// Nothing into the FIFO, off, reset, on, the accelerometer into it; the overflow's bit cleared.
fn emptying() -> Vec<Transaction> {
    let settings = [(0x23, 0x00), (0x6a, 0x00), (0x6a, 0x04), (0x6a, 0x40), (0x23, 0x08)];
    let settings = settings.map(|(register, value)| set(register, value));
    settings.into_iter().chain([get(0x3a, &[0x10])]).collect()
}

/// WHO_AM_I; the clock, a gyroscope's axis, 94 Hz, 200 Hz, 2 g, the overflow's interrupt; the FIFO emptied.
fn start() -> Vec<Transaction> {
    let settings =
        [(0x6b, 0x01), (0x6c, 0x03), (0x1a, 0x02), (0x19, 0x04), (0x1c, 0x00), (0x38, 0x10)];
    let settings = settings.map(|(register, value)| set(register, value));
    iter::once(get(0x75, &[0x68])).chain(settings).chain(emptying()).collect()
}

/// FIFO_COUNT, big-endian.
fn fifo_bytes(bytes: u16) -> Transaction {
    get(0x72, &bytes.to_be_bytes())
}

/// A burst of so many samples, all of this x.
fn burst(count: usize, x: u8) -> Transaction {
    get(0x74, &[0, x, 0, 0, 0x40, 0].repeat(count))
}

/// A read of at most one burst; INT_STATUS behind it, where there is anything.
fn samples(count: u16, x: u8) -> Vec<Transaction> {
    let some = [burst(count.into(), x), get(0x3a, &[0x01])];
    let some = some.into_iter().take(if count > 0 { 2 } else { 0 });
    iter::once(fifo_bytes(6 * count)).chain(some).collect()
}

fn sensor(bus: Mock) -> Mpu6050<Mock> {
    Mpu6050::new(bus, Ad0Pad::Low)
}

fn check(bus: Vec<Vec<Transaction>>, pauses_ms: &[u32], results: &[Result<usize, Fault>]) {
    super::check(sensor, bus, pauses_ms, results);
}

const LOST: Result<usize, Fault> = Err(Fault::Overrun { lost: FIFO_LEN as u16 });

#[test]
fn counts_are_big_endian_in_the_order_of_the_axes() {
    let bytes = [0x00, 0x01, 0xc0, 0x00, 0x40, 0x00];
    let sample = vec![fifo_bytes(6), get(0x74, &bytes), get(0x3a, &[0x00])];
    let frames = frames(sensor, vec![start(), sample]);
    assert_eq!(frames, [[1, -COUNTS_PER_G as i16, COUNTS_PER_G as i16]]);
}

#[test]
fn a_long_fifo_takes_more_than_one_burst() {
    // Of thirteen there is room for twelve.
    let read = vec![fifo_bytes(78), burst(8, 1), burst(4, 2), get(0x3a, &[0x00])];
    let frames = frames(sensor, vec![start(), read]);
    let x: Vec<i16> = frames.iter().map(|frame| frame[0]).collect();
    assert_eq!(x, [1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2]);
}

#[test]
fn the_other_address_is_used() {
    let mut bus = Mock::new(&[Transaction::write_read(0x69, vec![0x75], vec![0x00])]);
    let mut sensor = Mpu6050::new(bus.clone(), Ad0Pad::High);
    assert_eq!(now(sensor.start()), Err(Fault::Identity { found: 0 }));
    bus.done();
}

#[test]
fn no_sample_is_read_in_part() {
    let part = vec![fifo_bytes(6 + 4), burst(1, 2), get(0x3a, &[0x00])];
    check(vec![start(), part, vec![fifo_bytes(4)]], &[0], &[Ok(1), Ok(0)]);
}

#[test]
fn a_nack_within_a_burst_leaves_no_ragged_sample_behind() {
    let torn = vec![fifo_bytes(18), burst(3, 0).with_error(NACK)];
    let bus = vec![start(), torn, emptying(), samples(0, 0), samples(2, 5)];
    check(bus, &[0], &[Err(Fault::NoAcknowledge), Ok(0), Ok(2)]);
}

#[test]
fn a_fault_behind_a_whole_burst_is_told_behind_its_samples() {
    let torn = vec![fifo_bytes(66), burst(8, 1), burst(3, 0).with_error(ErrorKind::Bus)];
    let mut bus = Mock::new(&[start(), torn, emptying(), samples(2, 5)].concat());
    let mut sensor = sensor(bus.clone());
    let mut frames = [[0; 3]; 12];
    assert_eq!(now(sensor.start()), Ok(()));
    assert_eq!(now(sensor.read(&mut frames)), Ok(8));
    assert_eq!(now(sensor.read(&mut frames)), Err(Fault::Bus));
    assert_eq!(now(sensor.read(&mut frames)), Ok(2));
    bus.done();
}

#[test]
fn an_overrun_is_told_and_sampling_goes_on_without_a_restart() {
    let overrun = [vec![fifo_bytes(1024)], emptying()].concat();
    check(vec![start(), overrun, samples(2, 1)], &[0], &[LOST, Ok(2)]);
}

#[test]
fn samples_that_an_overflow_shifted_while_they_were_read_are_not_given() {
    let read = vec![fifo_bytes(18), burst(3, 1), get(0x3a, &[0x11])];
    check(vec![start(), [read, emptying()].concat(), samples(2, 1)], &[0], &[LOST, Ok(2)]);
}

#[test]
fn a_fifo_that_cannot_be_emptied_is_emptied_before_the_next_sample() {
    let failed = vec![fifo_bytes(1024), set(0x23, 0x00).with_error(ErrorKind::Bus)];
    let bus = vec![start(), failed, emptying(), samples(1, 1)];
    check(bus, &[0], &[Err(Fault::Bus), Ok(1)]);
}

#[test]
fn without_the_status_behind_them_samples_are_not_given() {
    let read = vec![fifo_bytes(6), burst(1, 1), get(0x3a, &[0]).with_error(NACK)];
    let bus = vec![start(), read, emptying(), samples(1, 2)];
    check(bus, &[0], &[Err(Fault::NoAcknowledge), Ok(1)]);
}

#[test]
fn samples_are_read_as_they_come() {
    let bus = vec![start(), samples(3, 1), samples(0, 0), samples(2, 9)];
    check(bus, &[0], &[Ok(3), Ok(0), Ok(2)]);
}

#[test]
fn nobody_answers_and_the_pauses_grow() {
    let absent = || vec![get(0x75, &[0]).with_error(NACK)];
    let none = Err(Fault::NoAcknowledge);
    check(vec![absent(), absent(), start(), samples(1, 1)], &[0, 10, 20], &[none, none, Ok(1)]);
}

#[test]
fn another_device_is_named() {
    let other = vec![get(0x75, &[0x70])];
    let bus = vec![other, start(), samples(1, 1)];
    check(bus, &[0, 10], &[Err(Fault::Identity { found: 0x70 }), Ok(1)]);
}

#[test]
fn a_start_that_fails_half_way_is_begun_again() {
    let mut half = start();
    half.truncate(4);
    half.push(set(0x19, 0x04).with_error(ErrorKind::Bus));
    check(vec![half, start(), samples(1, 1)], &[0, 10], &[Err(Fault::Bus), Ok(1)]);
}

#[test]
fn a_bus_error_is_told_and_the_next_read_goes_on() {
    let failed = vec![fifo_bytes(6).with_error(ErrorKind::ArbitrationLoss)];
    check(vec![start(), failed, samples(1, 1)], &[0], &[Err(Fault::Bus), Ok(1)]);
}

#[test]
fn a_bus_that_fails_on_is_told_each_time_and_the_sensor_restarted() {
    let failed = || vec![fifo_bytes(6).with_error(ErrorKind::Bus)];
    let bus = vec![start(), failed(), failed(), start(), samples(1, 1), failed(), samples(1, 2)];
    let bad = Err(Fault::Bus);
    check(bus, &[0, 10], &[bad, bad, Ok(1), bad, Ok(1)]);
}

#[test]
fn stuck_data_restart_the_sensor() {
    let bus = vec![start(), samples(4, 7), samples(2, 7), start(), samples(4, 7), samples(1, 8)];
    check(bus, &[0, 10], &[Ok(4), Err(Fault::Stuck), Ok(4), Ok(1)]);
}

#[test]
fn a_sensor_that_lost_its_settings_is_set_again() {
    let none = || samples(0, 0);
    let bus = vec![start(), samples(1, 1), none(), none(), none(), start(), samples(1, 2)];
    check(bus, &[0, 10], &[Ok(1), Ok(0), Ok(0), Err(Fault::Silent), Ok(1)]);
}
