//! Both tasks on the host, with a sensor that does as it is told: what is lost is counted, a fault leaves a
//! gap, the alarm is set, and a watchdog is fed by progress only.

extern crate std;
use core::cell::{Cell, RefCell};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::sync::Mutex;
use std::vec::Vec;

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::zerocopy_channel::Channel;
use embassy_time::{Duration, MockDriver};
use embedded_hal::digital::ErrorType;
use embedded_hal_async::delay::DelayNs;
use embedded_hal_async::digital::Wait;
use embedded_hal_mock::eh1::digital::{Mock, State, Transaction};
use picovae_core::arena::Aligned;
use picovae_core::{Arena, Model};
use picovae_sensors::supervise::{Fault, Policy, Sensor, Supervised};

use crate::{
    Alarm, Batch, Converter, Counters, DataReady, Pace, Pushed, Timed, Units, Watch, Watchdog,
    sample, score,
};

/// Frames a window of the fan's.
const WINDOW_LEN: usize = 200;

/// The fan's blob.
static BLOB: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../models/fan-vae/fan-vae.pvae"));

/// Room in a batch.
const LEN: usize = 32;
type Frames = Batch<3, LEN>;

/// defmt needs a logger to link; nothing is read of it here.
#[allow(unsafe_code)]
mod log {
    #[defmt::global_logger]
    struct Nowhere;

    // SAFETY: nothing is written anywhere, so that nothing can be interleaved.
    unsafe impl defmt::Logger for Nowhere {
        fn acquire() {}
        unsafe fn flush() {}
        unsafe fn release() {}
        unsafe fn write(_: &[u8]) {}
    }

    defmt::timestamp!("");
}

/// What a sensor does when it is read.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// Gives so many frames of noise around this value.
    Frames(usize, i16),
    Fails(Fault),
    /// Never answers.
    Hangs,
}

/// Plays a list; then it hangs.
struct Played<'a> {
    plays: &'a [Does],
    seed: u32,
    reads: &'a Cell<usize>,
}

impl Sensor<3> for Played<'_> {
    async fn start(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    async fn read(&mut self, frames: &mut [[i16; 3]]) -> Result<usize, Fault> {
        let read = self.reads.replace(self.reads.get() + 1);
        match self.plays.get(read).copied().unwrap_or(Does::Hangs) {
            Does::Frames(count, around) => {
                for sample in frames.iter_mut().take(count).flatten() {
                    self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    *sample = around.saturating_add((self.seed >> 24) as i16);
                }
                Ok(count)
            }
            Does::Fails(fault) => Err(fault),
            Does::Hangs => core::future::pending().await,
        }
    }
}

/// Time that has always passed.
struct Now;

impl DelayNs for Now {
    async fn delay_ns(&mut self, _: u32) {}
}

impl Pace for Now {
    /// Once a poll, as a ticker is ready once a period.
    async fn next(&mut self) {
        let mut first = true;
        core::future::poll_fn(|_| {
            if core::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
}

/// Counts its meals.
struct Fed<'a>(&'a Cell<u32>);

impl Watchdog for Fed<'_> {
    fn feed(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

fn poll<F: Future>(future: Pin<&mut F>) {
    assert!(future.poll(&mut Context::from_waker(Waker::noop())).is_pending(), "tasks never end");
}

/// What was seen.
struct Seen {
    counters: Counters,
    meals: u32,
    reads: usize,
}

/// Both tasks: `order` tells which is polled, `S`ampling or scoring (`J`udging).
fn check(plays: &[Does], order: &str, pin_states: &[State]) -> Seen {
    let model = Model::parse(&BLOB.0).unwrap();
    let mut arena = Arena::<4096>::new();
    let mut ring = [0; 3 * WINDOW_LEN];
    let mut watch = Watch::new(&model, arena.bytes(), &mut ring).unwrap();
    let states: Vec<_> = pin_states.iter().map(|&state| Transaction::set(state)).collect();
    let mut led = Mock::new(&states);
    let mut alarm = Alarm::active_low(led.clone());
    let mut slots = [Frames::new(); 2];
    let mut channel = Channel::<CriticalSectionRawMutex, _>::new(&mut slots);
    let (mut sender, mut receiver) = channel.split();
    let (counters, meals, reads) = (Counters::new(), Cell::new(0), Cell::new(0));
    let policy = Policy { retries: 0, ..Policy::default() };
    let played = Played { plays, seed: 1, reads: &reads };
    let mut sensor = Supervised::new(played, Now, policy);
    let (mut now, mut fed) = (Now, Fed(&meals));
    {
        let mut sampling = pin!(sample(&mut sensor, &mut now, &mut sender, &counters));
        let scoring =
            score(&mut watch, &mut receiver, Units::SAME, &mut alarm, &mut fed, &counters);
        let mut scoring = pin!(scoring);
        for task in order.chars() {
            if task == 'S' { poll(sampling.as_mut()) } else { poll(scoring.as_mut()) }
        }
    }
    led.done();
    Seen { counters, meals: meals.get(), reads: reads.get() }
}

/// Some windows, far from anything the fan did.
const LOUD: [Does; 20] = [Does::Frames(LEN - 1, 12_000); 20];

#[test]
fn batches_become_verdicts_an_alarm_and_meals() {
    let hop = Model::parse(&BLOB.0).unwrap().frontend().hop;
    let frames = LOUD.len() * (LEN - 1);
    let windows = (frames - WINDOW_LEN) / hop + 1;
    // One alarm, however many windows it lasts.
    let seen = check(&LOUD, &"SJ".repeat(21), &[State::Low]);
    assert_eq!(seen.counters.frames.value() as usize, frames);
    assert_eq!(seen.counters.windows.value() as usize, windows);
    assert_eq!(seen.counters.alarms.value() as usize, windows);
    assert_eq!(seen.counters.late.value() + seen.counters.faults.value(), 0);
    assert_eq!(seen.meals as usize, LOUD.len());
}

#[test]
fn a_full_batch_is_followed_by_another_at_once() {
    let plays = [Does::Frames(LEN, 0), Does::Frames(3, 0), Does::Frames(3, 0)];
    assert_eq!(check(&plays, "SS", &[]).reads, 2);
}

#[test]
fn sampling_goes_on_while_a_batch_is_judged_and_a_late_one_is_counted() {
    let plays = [Does::Frames(4, 0); 6];
    // The second batch is filled while nothing judges; there is no place for a third.
    let seen = check(&plays, "SSSSS", &[]);
    assert_eq!((seen.counters.frames.value(), seen.reads), (8, 2));
    assert_eq!(seen.counters.late.value(), 1, "once, however long it waits");
    assert_eq!(seen.meals, 0);
    let seen = check(&plays, "SSSSSJSS", &[]);
    assert_eq!(seen.counters.frames.value(), 16, "it goes on where there is place again");
}

#[test]
fn lost_samples_are_counted_and_leave_a_gap() {
    // A window is never whole: the gap takes back what came before it.
    let mut plays = [Does::Frames(LEN - 1, 12_000); 8];
    plays[4] = Does::Fails(Fault::Overrun { lost: 7 });
    let seen = check(&plays, &"SJ".repeat(9), &[]);
    assert_eq!((seen.counters.overruns.value(), seen.counters.faults.value()), (1, 0));
    assert_eq!(seen.counters.lost.value(), 7);
    assert_eq!((seen.counters.windows.value(), seen.meals), (0, 8));
}

#[test]
fn faults_are_progress_and_sampling_resumes() {
    let fails = Does::Fails(Fault::NoAcknowledge);
    let seen = check(&[fails, fails, Does::Frames(5, 0)], &"SJ".repeat(4), &[]);
    assert_eq!((seen.counters.faults.value(), seen.counters.frames.value()), (2, 5));
    assert_eq!(seen.meals, 3);
}

#[test]
fn a_sensor_that_hangs_feeds_no_watchdog() {
    let seen = check(&[Does::Frames(5, 0), Does::Hangs], &"SJ".repeat(50), &[]);
    assert_eq!(seen.meals, 1);
}

#[test]
fn counts_are_scaled_down_not_toward_zero_and_saturate() {
    let units = Units { model: 2_048, sensor: 16_384 };
    assert_eq!([-9, -8, -1, 0, 7, 8].map(|count| units.convert(count)), [-2, -1, -1, 0, 0, 1]);
    assert_eq!(Units { model: 2, sensor: 1 }.convert(20_000), i16::MAX);
    assert_eq!(Units { model: 2, sensor: 0 }.convert(1), 0, "no division by zero");
}

#[test]
fn what_is_pushed_while_no_batch_is_free_is_counted_and_leaves_one_gap() {
    let mut slots = [Batch::<1, 4>::new(); 2];
    let mut channel = Channel::<CriticalSectionRawMutex, _>::new(&mut slots);
    let (sender, mut receiver) = channel.split();
    let counters = Counters::new();
    let mut pushed = Pushed::new(sender, &counters);
    let frames: Vec<[i16; 1]> = (0..14).map(|value| [value]).collect();
    // Two batches, then six frames for which there is none.
    pushed.push(&frames);
    assert_eq!((counters.frames.value(), counters.lost.value()), (8, 6));
    assert_eq!((counters.overruns.value(), counters.late.value()), (1, 2));
    for expected in [[0, 1, 2, 3], [4, 5, 6, 7]] {
        let batch = receiver.try_receive().expect("a batch");
        assert_eq!((batch.frames.as_flattened(), batch.len, batch.gap), (&expected[..], 4, false));
        receiver.receive_done();
    }
    pushed.push(&[[20], [21], [22], [23], [24]]);
    for (len, gap) in [(4, true), (1, false)] {
        let batch = receiver.try_receive().expect("a batch");
        assert_eq!((batch.len, batch.gap), (len, gap));
        receiver.receive_done();
    }
    assert_eq!(counters.frames.value(), 13);
}

/// The clock is one for all tests: who moves it holds this.
static CLOCK: Mutex<()> = Mutex::new(());

/// A line that is high, or never becomes so.
struct Line(bool);

impl ErrorType for Line {
    type Error = core::convert::Infallible;
}

impl Wait for Line {
    async fn wait_for_high(&mut self) -> Result<(), Self::Error> {
        if self.0 { Ok(()) } else { core::future::pending().await }
    }
    async fn wait_for_low(&mut self) -> Result<(), Self::Error> {
        core::future::pending().await
    }
    async fn wait_for_rising_edge(&mut self) -> Result<(), Self::Error> {
        core::future::pending().await
    }
    async fn wait_for_falling_edge(&mut self) -> Result<(), Self::Error> {
        core::future::pending().await
    }
    async fn wait_for_any_edge(&mut self) -> Result<(), Self::Error> {
        core::future::pending().await
    }
}

#[test]
fn a_line_that_stays_low_does_not_keep_a_sensor_from_being_started() {
    let _held = CLOCK.lock();
    let clock = MockDriver::get();
    let mut context = Context::from_waker(Waker::noop());
    let mut high = DataReady::new(Line(true), Duration::from_millis(100));
    assert_eq!(pin!(high.next()).poll(&mut context), Poll::Ready(()));
    let mut low = DataReady::new(Line(false), Duration::from_millis(100));
    let mut next = pin!(low.next());
    assert!(next.as_mut().poll(&mut context).is_pending());
    clock.advance(Duration::from_millis(99));
    assert!(next.as_mut().poll(&mut context).is_pending(), "the line may still come");
    clock.advance(Duration::from_millis(1));
    assert_eq!(next.as_mut().poll(&mut context), Poll::Ready(()));
}

/// Counts its conversions.
struct Counting(i16);

impl Converter<1> for Counting {
    async fn convert(&mut self, frame: &mut [i16; 1]) -> Result<(), Fault> {
        self.0 += 1;
        *frame = [self.0];
        Ok(())
    }
}

#[test]
fn a_converter_is_asked_on_time_and_what_it_was_not_asked_for_is_lost() {
    let _held = CLOCK.lock();
    let clock = MockDriver::get();
    let mut timed = Timed::new(Counting(0), 1_000);
    let mut context = Context::from_waker(Waker::noop());
    let mut frames = [[0i16; 1]; 3];
    assert_eq!(pin!(timed.start()).poll(&mut context), Poll::Ready(Ok(())));
    {
        let mut read = pin!(timed.read(&mut frames));
        for _ in 0..3 {
            assert!(read.as_mut().poll(&mut context).is_pending(), "not due yet");
            clock.advance(Duration::from_millis(1));
        }
        assert_eq!(read.as_mut().poll(&mut context), Poll::Ready(Ok(3)));
    }
    assert_eq!(frames, [[1], [2], [3]]);
    // Due 1 ms from now; 5 ms pass, so four are past and the fifth is due.
    clock.advance(Duration::from_millis(5));
    let lost = Poll::Ready(Err(Fault::Overrun { lost: 4 }));
    assert_eq!(pin!(timed.read(&mut frames)).poll(&mut context), lost);
    let mut one = [[0i16; 1]; 1];
    {
        // A timer that is due yields once.
        let mut read = pin!(timed.read(&mut one));
        assert!(read.as_mut().poll(&mut context).is_pending());
        assert_eq!(read.as_mut().poll(&mut context), Poll::Ready(Ok(1)));
    }
    assert_eq!(one, [[4]]);
}

#[test]
fn a_rate_that_is_no_whole_number_of_ticks_is_kept() {
    let _held = CLOCK.lock();
    let clock = MockDriver::get();
    let mut context = Context::from_waker(Waker::noop());
    // 142,857 ticks and a seventh of one, a frame.
    let mut timed = Timed::new(Counting(0), 7);
    assert_eq!(pin!(timed.start()).poll(&mut context), Poll::Ready(Ok(())));
    let mut frames = [[0i16; 1]; 71];
    let mut read = pin!(timed.read(&mut frames));
    for _ in 0..100 {
        assert!(
            read.as_mut().poll(&mut context).is_pending(),
            "not all of them are due before 10 s"
        );
        clock.advance(Duration::from_millis(100));
    }
    assert!(read.as_mut().poll(&mut context).is_pending(), "70 frames in 10 s, and one more");
    clock.advance(Duration::from_micros(142_857));
    assert!(read.as_mut().poll(&mut context).is_pending(), "a part of a tick too early");
    clock.advance(Duration::from_micros(1));
    assert_eq!(read.as_mut().poll(&mut context), Poll::Ready(Ok(71)));
}

#[test]
fn a_pin_follows_its_polarity() {
    let states = [State::Low, State::High, State::High, State::Low].map(Transaction::set);
    let mut pin = Mock::new(&states);
    let seen = RefCell::new(pin.clone());
    let mut low = Alarm::active_low(seen.borrow().clone());
    low.set(true);
    low.set(false);
    let mut high = Alarm::active_high(seen.into_inner());
    high.set(true);
    high.set(false);
    pin.done();
}
