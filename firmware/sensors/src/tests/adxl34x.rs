//! The traffic of an ADXL345.

use super::*;
use crate::adxl34x::{Adxl34x, AltAddressPad, COUNTS_PER_G};

every_family!(at: 0x53, identity: 0x00, other: 0xe6, status: get(0x39, &[1]));
sample_by_sample!();

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

#[test]
fn counts_are_little_endian_in_the_order_of_the_axes() {
    // The trigger's bit above the number of samples is none of it.
    let sample = vec![get(0x39, &[0x81]), get(0x32, &[0x40, 0x00, 0x00, 0xc0, 0x00, 0x40])];
    let frames = frames(sensor, vec![start(), sample]);
    assert_eq!(frames, [[64, -COUNTS_PER_G as i16, COUNTS_PER_G as i16]]);
}

#[test]
fn the_other_address_is_used() {
    asks(|bus| Adxl34x::new(bus, AltAddressPad::High), 0x1d, 0x00);
}

#[test]
fn no_more_is_read_than_there_is_room_for() {
    let mut thirteen = samples(13, 1);
    thirteen.truncate(1 + 12);
    assert_eq!(frames(sensor, vec![start(), thirteen]).len(), 12);
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
