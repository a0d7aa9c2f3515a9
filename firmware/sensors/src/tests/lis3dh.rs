//! The traffic of a LIS3DH.

use super::*;
use crate::lis3dh::{COUNTS_PER_G, Lis3dh, Sa0Pad};

every_family!(at: 0x18, identity: 0x0f, other: 0x44, status: get(0x2f, &[1]));
sample_by_sample!();

fn sensor(bus: Mock) -> Lis3dh<Mock> {
    Lis3dh::new(bus, Sa0Pad::Low)
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

#[test]
fn counts_are_little_endian_in_the_order_of_the_axes() {
    let sample = vec![get(0x2f, &[1]), get(0xa8, &[0x01, 0x00, 0x00, 0xc0, 0x00, 0x40])];
    let frames = frames(sensor, vec![start(), sample]);
    assert_eq!(frames, [[1, -COUNTS_PER_G as i16, COUNTS_PER_G as i16]]);
}

#[test]
fn an_overrun_is_told_and_sampling_goes_on_without_a_restart() {
    let overrun = vec![get(0x2f, &[0x5f]), set(0x2e, 0x00), set(0x2e, 0x90)];
    check(vec![start(), overrun, samples(2, 1)], &[0], &[Err(Fault::Overrun { lost: 32 }), Ok(2)]);
}
