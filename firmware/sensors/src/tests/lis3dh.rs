//! The traffic of a LIS3DH.

use super::*;
use crate::lis3dh::{COUNTS_PER_G, Lis3dh, Sa0Pad};

/// The sensor's, with its pin low.
const ADDRESS: u8 = 0x18;

fn set(register: u8, value: u8) -> Transaction {
    Transaction::write(ADDRESS, vec![register, value])
}

fn get(register: u8, bytes: &[u8]) -> Transaction {
    Transaction::write_read(ADDRESS, vec![register], bytes.to_vec())
}

/// Identity and settings.
fn start() -> Vec<Transaction> {
    let settings =
        [(0x20, 0x67), (0x22, 0x04), (0x23, 0x88), (0x24, 0x40), (0x2e, 0x00), (0x2e, 0x90)];
    let settings = settings.map(|(register, value)| set(register, value));
    iter::once(get(0x0f, &[0x33])).chain(settings).collect()
}

/// A read of so many samples, all of this x.
fn samples(count: u8, x: u8) -> Vec<Transaction> {
    let sample = |_| get(0xa8, &[x, 0, 0, 0, 0, 0x40]);
    iter::once(get(0x2f, &[count])).chain((0..count).map(sample)).collect()
}

fn check(bus: Vec<Vec<Transaction>>, pauses_ms: &[u32], results: &[Result<usize, Fault>]) {
    super::check(|bus| Lis3dh::new(bus, Sa0Pad::Low), bus, pauses_ms, results);
}

#[test]
fn samples_are_read_as_they_come() {
    let bus = vec![start(), samples(3, 1), samples(0, 0), samples(2, 9)];
    check(bus, &[0], &[Ok(3), Ok(0), Ok(2)]);
}

#[test]
fn counts_are_little_endian_in_the_order_of_the_axes() {
    let sample = vec![get(0x2f, &[1]), get(0xa8, &[0x01, 0x00, 0x00, 0xc0, 0x00, 0x40])];
    let frames = frames(|bus| Lis3dh::new(bus, Sa0Pad::Low), vec![start(), sample]);
    assert_eq!(frames, [[1, -COUNTS_PER_G as i16, COUNTS_PER_G as i16]]);
}

#[test]
fn a_bus_error_is_told_and_the_next_read_goes_on() {
    let failed = vec![get(0x2f, &[1]).with_error(ErrorKind::ArbitrationLoss)];
    check(vec![start(), failed, samples(1, 1)], &[0], &[Err(Fault::Bus), Ok(1)]);
}

#[test]
fn a_bus_that_fails_on_is_told_each_time_and_the_sensor_restarted() {
    let failed = || vec![get(0x2f, &[1]).with_error(ErrorKind::Bus)];
    let bus = vec![start(), failed(), failed(), start(), samples(1, 1), failed(), samples(1, 2)];
    let bad = Err(Fault::Bus);
    check(bus, &[0, 10], &[bad, bad, Ok(1), bad, Ok(1)]);
}

#[test]
fn nobody_answers_and_the_pauses_grow_to_their_limit() {
    let absent = || vec![get(0x0f, &[0]).with_error(NACK)];
    let bus = vec![absent(), absent(), absent(), absent(), start(), samples(1, 1)];
    let none = Err(Fault::NoAcknowledge);
    check(bus, &[0, 10, 20, 25, 25], &[none, none, none, none, Ok(1)]);
}

#[test]
fn a_nack_within_a_sample_is_told_behind_the_samples_that_were_whole() {
    let mut torn = samples(3, 4);
    torn.truncate(3);
    torn.push(get(0xa8, &[0; 6]).with_error(NACK));
    // The sample that was on its way may be gone: between two and two others is a gap.
    let results = [Ok(2), Err(Fault::NoAcknowledge), Ok(2)];
    check(vec![start(), torn, samples(2, 5)], &[0], &results);
    let first = vec![get(0x2f, &[2]), get(0xa8, &[0; 6]).with_error(NACK)];
    check(vec![start(), first, samples(2, 4)], &[0], &[Err(Fault::NoAcknowledge), Ok(2)]);
}

#[test]
fn another_device_is_named() {
    let other = vec![get(0x0f, &[0x44])];
    let bus = vec![other, start(), samples(1, 1)];
    check(bus, &[0, 10], &[Err(Fault::Identity { found: 0x44 }), Ok(1)]);
}

#[test]
fn an_overrun_is_told_and_sampling_goes_on_without_a_restart() {
    let overrun = vec![get(0x2f, &[0x5f]), set(0x2e, 0x00), set(0x2e, 0x90)];
    check(vec![start(), overrun, samples(2, 1)], &[0], &[Err(Fault::Overrun { lost: 32 }), Ok(2)]);
}

#[test]
fn stuck_data_restart_the_sensor() {
    let bus = vec![start(), samples(4, 7), samples(2, 7), start(), samples(4, 7), samples(1, 8)];
    check(bus, &[0, 10], &[Ok(4), Err(Fault::Stuck), Ok(4), Ok(1)]);
}

#[test]
fn a_sensor_that_lost_its_settings_is_set_again() {
    let none = || samples(0, 0);
    // What answers, but has no samples any more: as it is without supply for a moment.
    let bus = vec![start(), samples(1, 1), none(), none(), none(), start(), samples(1, 2)];
    check(bus, &[0, 10], &[Ok(1), Ok(0), Ok(0), Err(Fault::Silent), Ok(1)]);
}
