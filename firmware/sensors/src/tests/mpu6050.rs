//! The traffic of an MPU-6050.

use super::*;
use crate::mpu6050::{Ad0Pad, COUNTS_PER_G, FIFO_LEN, Mpu6050};

every_family!(at: 0x68, identity: 0x75, other: 0x70, status: fifo_bytes(6));

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
fn samples(count: u8, x: u8) -> Vec<Transaction> {
    let some = [burst(count.into(), x), get(0x3a, &[0x01])];
    let some = some.into_iter().take(if count > 0 { 2 } else { 0 });
    iter::once(fifo_bytes(6 * u16::from(count))).chain(some).collect()
}

fn sensor(bus: Mock) -> Mpu6050<Mock> {
    Mpu6050::new(bus, Ad0Pad::Low)
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
    asks(|bus| Mpu6050::new(bus, Ad0Pad::High), 0x69, 0x75);
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
    let bus = vec![start(), torn, emptying(), samples(2, 5)];
    reads(sensor, bus, &[Ok(8), Err(Fault::Bus), Ok(2)]);
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
