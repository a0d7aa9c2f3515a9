//! A rotating machine that does not exist: accelerometer windows with and
//! without faults, for the demo and for tests where no recording is at hand;
//! and [`inject`], which damages an existing recording.
//!
//! Three axes at 200 Hz in counts of 1/2048 g, as a small MEMS accelerometer
//! gives them. The machine: a shaft near 19 Hz whose speed drifts slowly, some
//! residual imbalance at once and twice its rate, five blades, gravity along a
//! direction that differs from mounting to mounting, and noise. Imbalance adds
//! to the first harmonic (a mass on a blade); a bearing fault adds decaying
//! bursts of a structural resonance, one each time a rolling element passes
//! the flaw, stronger where the load zone is. Everything is drawn from the
//! seed, so the same options give the same samples.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::TAU;
use std::ops::Range;

mod inject;

pub use inject::{Injection, InjectionKind, inject};

/// Samples a second.
pub const SAMPLE_RATE_HZ: f64 = 200.0;
/// Frames a window.
pub const WINDOW_LEN: usize = 200;
/// Axes a frame.
pub const AXES: usize = 3;
/// Counts a g.
pub const COUNTS_PER_G: f64 = 2048.0;

/// What is wrong with the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A flaw in a bearing: periodic impulses that excite a resonance.
    Bearing,
    /// Mass added to one side: the shaft's own frequency grows.
    Imbalance,
    /// Nothing.
    None,
}

impl std::str::FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "bearing" => Ok(Self::Bearing),
            "imbalance" => Ok(Self::Imbalance),
            "none" => Ok(Self::None),
            _ => Err(format!("unknown fault `{text}`; known: none, imbalance, bearing")),
        }
    }
}

/// A fault over a range of windows.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    /// Windows it lasts.
    pub windows: Range<usize>,
    /// What is wrong.
    pub fault: Fault,
    /// 0 is nothing; 1 is plain to see in the spectrum.
    pub severity: f64,
}

/// What to simulate.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    /// Windows in all.
    pub windows: usize,
    /// Seed of everything random.
    pub seed: u64,
    /// When what is wrong; the rest is normal. Later episodes win.
    pub schedule: Vec<Episode>,
}

/// A simulated recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SynthRecording {
    /// `[windows, WINDOW_LEN, AXES]`.
    pub shape: [usize; 3],
    /// Counts, row-major.
    pub samples: Vec<i16>,
    /// One a window: 1 where a fault of severity above 0 is active.
    pub labels: Vec<u8>,
}

/// Properties of one mounting of the machine, drawn once.
struct Machine {
    gravity: [f64; AXES],
    /// g a harmonic (1×, 2×, blades) and axis.
    amplitude: [[f64; AXES]; 3],
    phase: [[f64; AXES]; 3],
    /// How strongly each axis feels the bearing.
    bearing: [f64; AXES],
}

/// Mean shaft frequency.
const SHAFT_HZ: f64 = 19.0;
/// Multiples of the shaft's frequency that the healthy machine shows.
const ORDERS: [f64; 3] = [1.0, 2.0, 5.0];
/// g, before the mounting's own variation.
const HARMONIC_G: [f64; 3] = [0.030, 0.012, 0.018];
/// g, standard deviation of the noise.
const NOISE_G: f64 = 0.008;
/// g added to the first harmonic at severity 1.
const IMBALANCE_G: f64 = 0.045;
/// g of a burst at severity 1.
const BURST_G: f64 = 0.16;
/// Passes of a rolling element over the flaw, a turn of the shaft.
const FLAW_ORDER: f64 = 3.57;
/// The structure's resonance, and how fast it dies down.
const RESONANCE_HZ: f64 = 71.0;
const DECAY_S: f64 = 0.018;

/// Runs the simulation.
pub fn simulate(simulation: &Simulation) -> SynthRecording {
    let mut rng = ChaCha8Rng::seed_from_u64(simulation.seed);
    let machine = Machine::new(&mut rng);
    let dt = 1.0 / SAMPLE_RATE_HZ;
    let mut samples = Vec::with_capacity(simulation.windows * WINDOW_LEN * AXES);
    let mut labels = Vec::with_capacity(simulation.windows);
    // Speed wanders around its mean: a slow Ornstein-Uhlenbeck process.
    let mut speed = 0.0f64;
    let mut turns = rng.random_range(0.0..1.0f64);
    // The ringing structure: a burst restarts it.
    let (mut ring, mut ring_age) = (0.0f64, f64::INFINITY);
    let mut passes = 0.0f64;
    for window in 0..simulation.windows {
        let (fault, severity) = active(&simulation.schedule, window);
        labels.push(u8::from(fault != Fault::None && severity > 0.0));
        for _ in 0..WINDOW_LEN {
            speed += -speed * dt / 20.0 + 0.06 * dt.sqrt() * normal(&mut rng);
            let shaft_hz = SHAFT_HZ + speed;
            turns += shaft_hz * dt;
            if fault == Fault::Bearing {
                passes += FLAW_ORDER * shaft_hz * dt;
                if passes >= 1.0 {
                    // Rolling elements slip: the next pass is a little early
                    // or late.
                    passes -= 1.0 + 0.02 * normal(&mut rng);
                    let load_zone = 1.0 + 0.6 * (TAU * turns).cos();
                    let ringing = ring * (-ring_age / DECAY_S).exp();
                    ring = ringing + severity * BURST_G * load_zone;
                    ring_age = 0.0;
                }
            }
            let burst = if ring_age.is_finite() {
                ring * (-ring_age / DECAY_S).exp() * (TAU * RESONANCE_HZ * ring_age).cos()
            } else {
                0.0
            };
            ring_age += dt;
            for axis in 0..AXES {
                let mut g = machine.gravity[axis] + NOISE_G * normal(&mut rng);
                for (h, order) in ORDERS.iter().enumerate() {
                    let mut amplitude = machine.amplitude[h][axis];
                    if h == 0 && fault == Fault::Imbalance {
                        amplitude += severity * IMBALANCE_G * machine.radial(axis);
                    }
                    g += amplitude * (TAU * order * turns + machine.phase[h][axis]).sin();
                }
                g += burst * machine.bearing[axis];
                // `as` saturates, as the converter does.
                samples.push((g * COUNTS_PER_G).round() as i16);
            }
        }
    }
    SynthRecording { shape: [simulation.windows, WINDOW_LEN, AXES], samples, labels }
}

impl Machine {
    fn new(rng: &mut impl Rng) -> Self {
        // Nearly upright: gravity mostly along the third axis.
        let tilt: [f64; 2] = [0.15 * normal(rng), 0.15 * normal(rng)];
        let length = (1.0 + tilt[0] * tilt[0] + tilt[1] * tilt[1]).sqrt();
        let mut vary = |g: f64| g * rng.random_range(0.7..1.3);
        let amplitude = HARMONIC_G.map(|g| [vary(g), vary(g), vary(0.4 * g)]);
        let bearing = [vary(1.0), vary(0.7), vary(0.5)];
        let phase = ORDERS.map(|_| [0; AXES].map(|_| rng.random_range(0.0..TAU)));
        Self {
            gravity: [tilt[0] / length, tilt[1] / length, 1.0 / length],
            amplitude,
            phase,
            bearing,
        }
    }

    /// A rotating mass pulls in the plane of rotation.
    fn radial(&self, axis: usize) -> f64 {
        [1.0, 0.9, 0.15][axis]
    }
}

fn active(schedule: &[Episode], window: usize) -> (Fault, f64) {
    schedule
        .iter()
        .rev()
        .find(|episode| episode.windows.contains(&window))
        .map_or((Fault::None, 0.0), |e| (e.fault, e.severity))
}

fn normal(rng: &mut impl Rng) -> f64 {
    StandardNormal.sample(rng)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(fault: Fault, severity: f64) -> SynthRecording {
        simulate(&Simulation {
            windows: 8,
            seed: 5,
            schedule: vec![Episode { windows: 4..8, fault, severity }],
        })
    }

    /// Amplitude of one axis at a frequency over some windows, in g.
    fn amplitude(recording: &SynthRecording, windows: Range<usize>, axis: usize, hz: f64) -> f64 {
        let frames = &recording.samples[windows.start * 600..windows.end * 600];
        let (mut re, mut im) = (0.0, 0.0);
        let n = frames.len() / AXES;
        for (t, frame) in frames.as_chunks::<AXES>().0.iter().enumerate() {
            let angle = TAU * hz * t as f64 / SAMPLE_RATE_HZ;
            let g = f64::from(frame[axis]) / COUNTS_PER_G;
            re += g * angle.cos();
            im += g * angle.sin();
        }
        2.0 * re.hypot(im) / n as f64
    }

    fn deviation(recording: &SynthRecording, windows: Range<usize>) -> f64 {
        let x: Vec<f64> = recording.samples[windows.start * 600..windows.end * 600]
            .iter()
            .step_by(AXES)
            .map(|v| f64::from(*v) / COUNTS_PER_G)
            .collect();
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        (x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64).sqrt()
    }

    #[test]
    fn same_seed_same_samples() {
        assert_eq!(run(Fault::Bearing, 1.0), run(Fault::Bearing, 1.0));
        let normal = run(Fault::None, 0.0);
        assert_eq!(normal.shape, [8, 200, 3]);
        assert_eq!(normal.labels, [0; 8]);
        assert_eq!(run(Fault::Bearing, 1.0).labels, [0, 0, 0, 0, 1, 1, 1, 1]);
        // Gravity, mostly on the third axis.
        assert!((normal.samples[2] - 2048).abs() < 300);
    }

    #[test]
    fn faults_show_where_physics_says() {
        let normal = run(Fault::None, 0.0);
        let imbalance = run(Fault::Imbalance, 1.0);
        let bearing = run(Fault::Bearing, 1.0);
        let shaft = |r: &SynthRecording| {
            // The speed drifts: take the strongest line around it.
            (0..60)
                .map(|i| amplitude(r, 4..5, 0, SHAFT_HZ - 3.0 + 0.1 * f64::from(i)))
                .fold(0.0, f64::max)
        };
        assert!(shaft(&imbalance) > 1.5 * shaft(&normal));
        assert!(deviation(&bearing, 4..8) > 1.2 * deviation(&normal, 4..8));
        assert!(shaft(&bearing) < 1.3 * shaft(&normal));
        // Before the episode nothing differs.
        assert_eq!(imbalance.samples[..4 * 600], normal.samples[..4 * 600]);
    }
}
