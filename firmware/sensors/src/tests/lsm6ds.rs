//! The traffic of an LSM6DSO, and where it is another of an LSM6DSV16X.

use super::*;
use crate::lsm6ds::{COUNTS_PER_G, Chip, Lsm6ds, Sa0Pad};

every_family!(at: 0x6a, identity: 0x0f, other: 0x6a, status: get(0x3a, &[1, 0]));

/// The FIFO bypassed, then continuous.
fn emptying() -> Vec<Transaction> {
    vec![set(0x0a, 0x00), set(0x0a, 0x06)]
}

/// WHO_AM_I; block data update, no filter, 208 Hz and 2 g, no gyroscope, watermark, no compression, the accelerometer into
/// the FIFO, INT1; the FIFO emptied, its status cleared.
fn start() -> Vec<Transaction> {
    let settings = [
        (0x12, 0x44),
        (0x17, 0x00),
        (0x10, 0x50),
        (0x11, 0x00),
        (0x07, 0x10),
        (0x08, 0x00),
        (0x09, 0x05),
        (0x0d, 0x08),
    ];
    let settings = settings.map(|(register, value)| set(register, value));
    let last = [get(0x3a, &[0x00, 0x08])];
    let first = iter::once(get(0x0f, &[0x6c]));
    first.chain(settings).chain(emptying()).chain(last).collect()
}

/// A burst of so many words of this tag and x; the bits below the tag count and check.
fn words(count: u8, tag: u8, x: u8) -> Vec<u8> {
    [tag << 3 | 0x05, x, 0, 0, 0, 0, 0x40].repeat(count.into())
}

/// A read of at most one burst.
fn samples(count: u8, x: u8) -> Vec<Transaction> {
    let some = (count > 0).then(|| get(0x78, &words(count, 2, x)));
    iter::once(get(0x3a, &[count, 0x00])).chain(some).collect()
}

fn sensor(bus: Mock) -> Lsm6ds<Mock> {
    Lsm6ds::new(bus, Chip::Lsm6dso, Sa0Pad::Low)
}

#[test]
fn counts_are_little_endian_in_the_order_of_the_axes() {
    let word = [0x11, 0x01, 0x00, 0x00, 0xc0, 0x00, 0x40];
    let frames = frames(sensor, vec![start(), vec![get(0x3a, &[1, 0]), get(0x78, &word)]]);
    assert_eq!(frames, [[1, -COUNTS_PER_G as i16, COUNTS_PER_G as i16]]);
}

#[test]
fn a_long_fifo_takes_more_than_one_burst() {
    // 0x301 samples wait, of which there is room for twelve.
    let read =
        vec![get(0x3a, &[0x01, 0x83]), get(0x78, &words(8, 2, 1)), get(0x78, &words(4, 2, 2))];
    let frames = frames(sensor, vec![start(), read]);
    let x: Vec<i16> = frames.iter().map(|frame| frame[0]).collect();
    assert_eq!(x, [1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2]);
}

#[test]
fn words_of_other_sensors_are_no_samples() {
    let mixed = [words(1, 1, 7), words(2, 2, 3), words(1, 0, 7), words(1, 2, 4)].concat();
    let frames = frames(sensor, vec![start(), vec![get(0x3a, &[5, 0]), get(0x78, &mixed)]]);
    let x: Vec<i16> = frames.iter().map(|frame| frame[0]).collect();
    assert_eq!(x, [3, 3, 4]);
}

#[test]
fn an_lsm6dsv16x_has_other_codes_and_its_status_elsewhere() {
    let at = |register, bytes: &[u8]| get_at(0x6b, register, bytes);
    let settings = [
        (0x12, 0x44),
        (0x17, 0x00),
        (0x10, 0x07),
        (0x11, 0x00),
        (0x07, 0x10),
        (0x08, 0x00),
        (0x09, 0x07),
        (0x0d, 0x08),
        (0x0a, 0x00),
        (0x0a, 0x06),
    ];
    let settings = settings.map(|(register, value)| set_at(0x6b, register, value));
    let mut bus = vec![at(0x0f, &[0x70])];
    bus.extend(settings);
    bus.push(at(0x1b, &[0x00, 0x00]));
    let sensor = |bus| Lsm6ds::new(bus, Chip::Lsm6dsv16x, Sa0Pad::High);
    let read = vec![at(0x1b, &[2, 0]), at(0x78, &words(2, 2, 6))];
    let overrun = vec![at(0x1b, &[0x00, 0x49]), set_at(0x6b, 0x0a, 0x00), set_at(0x6b, 0x0a, 0x06)];
    let results = [Ok(2), Err(Fault::Overrun { lost: 256 }), Ok(2)];
    super::check(sensor, vec![bus, read.clone(), overrun, read], &[0], &results);
}

#[test]
fn an_lsm6dsv16x_is_no_lsm6dso() {
    let other = vec![get(0x0f, &[0x70])];
    check(vec![other], &[0], &[Err(Fault::Identity { found: 0x70 })]);
}

#[test]
fn a_nack_within_a_burst_is_told_and_the_next_read_goes_on() {
    let torn = vec![get(0x3a, &[3, 0]), get(0x78, &words(3, 2, 0)).with_error(NACK)];
    check(vec![start(), torn, samples(2, 5)], &[0], &[Err(Fault::NoAcknowledge), Ok(2)]);
}

#[test]
fn a_fault_behind_a_whole_burst_is_told_behind_its_samples() {
    let failed = get(0x78, &words(3, 2, 0)).with_error(ErrorKind::Bus);
    let torn = vec![get(0x3a, &[11, 0]), get(0x78, &words(8, 2, 1)), failed];
    reads(sensor, vec![start(), torn, samples(2, 5)], &[Ok(8), Err(Fault::Bus), Ok(2)]);
}

#[test]
fn an_overrun_is_told_and_sampling_goes_on_without_a_restart() {
    // Overrun now, and overrun since the last look.
    for status in [[0x00, 0x62], [0x05, 0x08]] {
        let overrun = [vec![get(0x3a, &status)], emptying()].concat();
        let results = [Err(Fault::Overrun { lost: 512 }), Ok(2)];
        check(vec![start(), overrun, samples(2, 1)], &[0], &results);
    }
}
