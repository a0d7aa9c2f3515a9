//! The traffic of an ADXL345.

use super::*;
use crate::adxl34x::{Adxl34x, AltAddressPad, COUNTS_PER_G};

/// The sensor's, with its pin low.
const ADDRESS: u8 = 0x53;

fn set(register: u8, value: u8) -> Transaction {
    Transaction::write(ADDRESS, vec![register, value])
}

fn get(register: u8, bytes: &[u8]) -> Transaction {
    Transaction::write_read(ADDRESS, vec![register], bytes.to_vec())
}

/// DEVID; standby, 200 Hz, 2 g left-justified, INT1, watermark, measuring; the FIFO emptied and on.
fn start() -> Vec<Transaction> {
    let settings = [(0x2d, 0x00), (0x2c, 0x0b), (0x31, 0x04), (0x2f, 0x00), (0x2e, 0x02)];
    let settings = settings.map(|(register, value)| set(register, value));
    let last = [set(0x2d, 0x08), set(0x38, 0x00), set(0x38, 0x90)];
    iter::once(get(0x00, &[0xe5])).chain(settings).chain(last).collect()
}

/// FIFO_STATUS and so many samples, each its own transaction, all of this x.
fn samples(count: u8, x: u8) -> Vec<Transaction> {
    let sample = |_| get(0x32, &[x, 0, 0, 0, 0, 0x40]);
    iter::once(get(0x39, &[count])).chain((0..count).map(sample)).collect()
}

fn sensor(bus: Mock) -> Adxl34x<Mock> {
    Adxl34x::new(bus, AltAddressPad::Low)
}

fn check(bus: Vec<Vec<Transaction>>, pauses_ms: &[u32], results: &[Result<usize, Fault>]) {
    super::check(sensor, bus, pauses_ms, results);
}

#[test]
fn counts_are_little_endian_in_the_order_of_the_axes() {
    // The trigger's bit above the number of samples is none of it.
    let sample = vec![get(0x39, &[0x81]), get(0x32, &[0x40, 0x00, 0x00, 0xc0, 0x00, 0x40])];
    let frames = frames(sensor, vec![start(), sample]);
    assert_eq!(frames, [[64, -COUNTS_PER_G as i16, COUNTS_PER_G as i16]]);
}

#[test]
fn the_other_address_is_used() {
    let mut bus = Mock::new(&[Transaction::write_read(0x1d, vec![0x00], vec![0x00])]);
    let mut sensor = Adxl34x::new(bus.clone(), AltAddressPad::High);
    assert_eq!(now(sensor.start()), Err(Fault::Identity { found: 0 }));
    bus.done();
}

#[test]
fn no_more_is_read_than_there_is_room_for() {
    let mut thirteen = samples(13, 1);
    thirteen.truncate(1 + 12);
    assert_eq!(frames(sensor, vec![start(), thirteen]).len(), 12);
}

#[test]
fn a_nack_within_a_sample_is_told_behind_the_samples_that_were_whole() {
    let mut torn = samples(3, 4);
    torn.truncate(3);
    torn.push(get(0x32, &[0; 6]).with_error(NACK));
    let results = [Ok(2), Err(Fault::NoAcknowledge), Ok(2)];
    check(vec![start(), torn, samples(2, 5)], &[0], &results);
    let first = vec![get(0x39, &[2]), get(0x32, &[0; 6]).with_error(NACK)];
    check(vec![start(), first, samples(2, 4)], &[0], &[Err(Fault::NoAcknowledge), Ok(2)]);
}

#[test]
fn an_overrun_is_told_and_sampling_goes_on_without_a_restart() {
    for entries in [32, 33] {
        let overrun = vec![get(0x39, &[entries]), set(0x38, 0x00), set(0x38, 0x90)];
        let results = [Err(Fault::Overrun { lost: 32 }), Ok(2)];
        check(vec![start(), overrun, samples(2, 1)], &[0], &results);
    }
}

#[test]
fn a_full_fifo_that_cannot_be_emptied_is_still_full() {
    let failed = vec![get(0x39, &[33]), set(0x38, 0x00).with_error(ErrorKind::Bus)];
    let overrun = vec![get(0x39, &[33]), set(0x38, 0x00), set(0x38, 0x90)];
    let results = [Err(Fault::Bus), Err(Fault::Overrun { lost: 32 }), Ok(1)];
    check(vec![start(), failed, overrun, samples(1, 1)], &[0], &results);
}

#[test]
fn samples_are_read_as_they_come() {
    let bus = vec![start(), samples(3, 1), samples(0, 0), samples(2, 9)];
    check(bus, &[0], &[Ok(3), Ok(0), Ok(2)]);
}

#[test]
fn nobody_answers_and_the_pauses_grow() {
    let absent = || vec![get(0x00, &[0]).with_error(NACK)];
    let none = Err(Fault::NoAcknowledge);
    check(vec![absent(), absent(), start(), samples(1, 1)], &[0, 10, 20], &[none, none, Ok(1)]);
}

#[test]
fn another_device_is_named() {
    let other = vec![get(0x00, &[0xe6])];
    let bus = vec![other, start(), samples(1, 1)];
    check(bus, &[0, 10], &[Err(Fault::Identity { found: 0xe6 }), Ok(1)]);
}

#[test]
fn a_start_that_fails_half_way_is_begun_again() {
    let mut half = start();
    half.truncate(4);
    half.push(set(0x2f, 0x00).with_error(ErrorKind::Bus));
    check(vec![half, start(), samples(1, 1)], &[0, 10], &[Err(Fault::Bus), Ok(1)]);
}

#[test]
fn a_bus_error_is_told_and_the_next_read_goes_on() {
    let failed = vec![get(0x39, &[1]).with_error(ErrorKind::ArbitrationLoss)];
    check(vec![start(), failed, samples(1, 1)], &[0], &[Err(Fault::Bus), Ok(1)]);
}

#[test]
fn a_bus_that_fails_on_is_told_each_time_and_the_sensor_restarted() {
    let failed = || vec![get(0x39, &[1]).with_error(ErrorKind::Bus)];
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
