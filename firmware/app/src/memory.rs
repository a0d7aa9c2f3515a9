//! All that a board's two tasks keep in RAM, as one static; and how they begin.

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::zerocopy_channel::{Channel, Receiver, Sender};
use embassy_time::{Delay, Duration, Ticker};
use embedded_hal_async::digital::Wait;
use picovae_core::{Arena, Model};
use picovae_sensors::supervise::{Policy, Sensor, Supervised};
use static_cell::{ConstStaticCell, StaticCell};

use crate::{AtOnce, Batch, Converter, Counters, DataReady, Timed, Watch, open, sample};

/// The sampling task's end of the double buffer: `N` channels, `LEN` frames a batch.
pub type Sampled<const N: usize, const LEN: usize> =
    Sender<'static, CriticalSectionRawMutex, Batch<N, LEN>>;

/// The scoring task's end.
pub type Judged<const N: usize, const LEN: usize> =
    Receiver<'static, CriticalSectionRawMutex, Batch<N, LEN>>;

/// Arena and ring of a model, and the double buffer between the tasks.
///
/// `ARENA` is [`Model::arena_len`], `INPUT` [`Model::window_samples`], `N` the sensor's channels and `LEN` what it
/// gives at once at most: all of its FIFO.
pub struct Memory<const ARENA: usize, const INPUT: usize, const N: usize, const LEN: usize> {
    model: StaticCell<Model<'static>>,
    buffers: ConstStaticCell<Buffers<ARENA, INPUT, N, LEN>>,
    channel: StaticCell<Channel<'static, CriticalSectionRawMutex, Batch<N, LEN>>>,
}

/// What needs no more than zeros.
struct Buffers<const ARENA: usize, const INPUT: usize, const N: usize, const LEN: usize> {
    arena: Arena<ARENA>,
    ring: [i16; INPUT],
    batches: [Batch<N, LEN>; 2],
}

/// What the tasks are made of.
pub struct Begun<const N: usize, const LEN: usize> {
    /// For the scoring task.
    pub watch: Watch<'static, 'static>,
    /// For the sampling task.
    pub sampled: Sampled<N, LEN>,
    /// For the scoring task.
    pub judged: Judged<N, LEN>,
}

impl<const ARENA: usize, const INPUT: usize, const N: usize, const LEN: usize>
    Memory<ARENA, INPUT, N, LEN>
{
    /// Unused.
    pub const fn new() -> Self {
        Self {
            model: StaticCell::new(),
            buffers: ConstStaticCell::new(Buffers {
                arena: Arena::new(),
                ring: [0; INPUT],
                batches: [Batch::new(); 2],
            }),
            channel: StaticCell::new(),
        }
    }

    /// How a board begins: checks the blob, scores the windows embedded in the image, then joins model and memory.
    /// `None` where the blob is refused or reads another number of channels than `N`, or the second time; it is logged.
    pub fn begin(&'static self, blob: &'static [u8], windows: &[u8]) -> Option<Begun<N, LEN>> {
        let model = self.model.try_init(open(blob).ok()?)?;
        let Buffers { arena, ring, batches } = self.buffers.try_take()?;
        let watch = Watch::begin(model, arena.bytes(), ring, windows, N)?;
        let channel = self.channel.try_init(Channel::new(batches))?;
        let (sampled, judged) = channel.split();
        Some(Begun { watch, sampled, judged })
    }
}

impl<const ARENA: usize, const INPUT: usize, const N: usize, const LEN: usize> Default
    for Memory<ARENA, INPUT, N, LEN>
{
    fn default() -> Self {
        Self::new()
    }
}

/// The sampling task of a sensor with a FIFO: looks at it once every `period`, starts it again where it fails.
pub async fn sample_every<S: Sensor<N>, const N: usize, const LEN: usize>(
    period: Duration,
    sensor: S,
    mut sampled: Sampled<N, LEN>,
    counters: &Counters,
) -> ! {
    let mut sensor = Supervised::new(sensor, Delay, Policy::default());
    sample(&mut sensor, &mut Ticker::every(period), &mut sampled, counters).await
}

/// The sampling task of a sensor that raises a line when its FIFO holds enough: looks at it then, and once every
/// `at_most` in any case.
pub async fn sample_ready<P: Wait, S: Sensor<N>, const N: usize, const LEN: usize>(
    line: P,
    at_most: Duration,
    sensor: S,
    mut sampled: Sampled<N, LEN>,
    counters: &Counters,
) -> ! {
    let mut sensor = Supervised::new(sensor, Delay, Policy::default());
    sample(&mut sensor, &mut DataReady::new(line, at_most), &mut sampled, counters).await
}

/// The sampling task of a converter that is asked for `rate_hz` frames a second.
pub async fn sample_timed<C: Converter<N>, const N: usize, const LEN: usize>(
    rate_hz: u32,
    converter: C,
    mut sampled: Sampled<N, LEN>,
    counters: &Counters,
) -> ! {
    // A converter's input may rest: equal frames are no fault.
    let policy = Policy { stuck_frames: 0, ..Policy::default() };
    let mut sensor = Supervised::new(Timed::new(converter, rate_hz), Delay, policy);
    sample(&mut sensor, &mut AtOnce, &mut sampled, counters).await
}
