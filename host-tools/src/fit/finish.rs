//! From the chosen network to a blob: grid, score, threshold.

use super::attempt::{Trained, mean, once, separation, training_set};
use super::cross_fit::Making;
use super::faults::{Damaged, Fault};
use super::split::{Parts, windows};
use super::{FitError, FitOptions, REFITTING, Signal, Tried};
use crate::graph::Vae;
use crate::quantize::{QuantizeOptions, lower, observe, spread};
use crate::recording::{Recording, WindowSet};
use crate::simulate::{
    Assembled, DetectorOptions, FalseAlarms, assemble_apart, assemble_further, by_clip, real_score,
    score_set,
};
use crate::threshold::{MOST, TailThreshold, tail_threshold};
use indicatif::ProgressBar;
use picovae_core::{Model, VaeError};
use serde::Serialize;

/// Factors of headroom over the features seen that are tried: what is clipped cannot be
/// told apart, and a wide grid is a coarse one.
const HEADROOMS: [f32; 3] = [3.0, 6.0, 12.0];
/// A wider grid must be better by so much.
const CLEARLY: f64 = 0.002;
/// Windows whose activations are observed.
pub(super) const OBSERVED: usize = 2_000;
/// Windows judged.
const JUDGED: usize = 500;
/// Calibration windows up to which a rare rate is worth training on other parts of the data as well.
const FEW: usize = 2_000;
/// Alarms a window that thresholds are given for beside the one asked for.
const OTHER_RATES: [f64; 6] = [0.05, 0.02, 0.01, 5e-3, 2e-3, 1e-3];
/// Alarms that calibration windows must allow to do without such models.
const COUNTED: f64 = 60.0;
/// How much rarer than once in the data a rate may be without a word.
const SUPPORTED: f64 = 10.0;

/// How often an alarm may be false.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// Frames a second.
    pub frames_per_second: f64,
    /// Whether that is a guess, one a second.
    pub assumed: bool,
    /// Windows a day.
    pub windows_per_day: f64,
    /// Alarms a day that normal operation may raise.
    pub false_alarms_per_day: f64,
    /// The same a window.
    pub per_window: f64,
}

impl Rate {
    pub(super) fn new(
        known: Option<f64>,
        hop: usize,
        per_day: f64,
        notes: &mut Vec<String>,
    ) -> Self {
        let frames_per_second = known.unwrap_or(1.0);
        if known.is_none() {
            notes.push(
                "the recordings do not say how many frames a second they have: taken as 1 for the \
                 false alarms a day; --sample-rate says"
                    .into(),
            );
        }
        let windows_per_day = frames_per_second * 86_400.0 / hop.max(1) as f64;
        Self {
            frames_per_second,
            assumed: known.is_none(),
            windows_per_day,
            false_alarms_per_day: per_day,
            per_window: (per_day / windows_per_day).min(1.0),
        }
    }
}

/// A detector, and how it came to be.
#[derive(Debug)]
pub struct Fitted {
    /// The float model.
    pub vae: Vae,
    /// Blob, threshold, tail.
    pub assembled: Assembled,
    /// What the signal is like.
    pub signal: Signal,
    /// Every candidate, the best one first.
    pub tried: Vec<Tried>,
    /// Headroom of the features' grid.
    pub headroom: f32,
    /// ROC AUC of the blob on damaged windows, mean over faults.
    pub separation: f64,
    /// The same, fault by fault.
    pub faults: Vec<(Fault, f64)>,
    /// False alarms.
    pub rate: Rate,
    /// Windows of training, validation and calibration.
    pub windows: [usize; 3],
    /// The blob's scores of the calibration windows, a clip each, in order of time.
    pub calibration: Vec<Vec<f64>>,
    /// Scores beside these that the threshold rests on: of windows that other models of the same making were
    /// not trained on.
    pub cross_fitted: usize,
    /// Thresholds that other rates would have.
    pub thresholds: Vec<TailThreshold>,
    /// What was decided or noticed on the way.
    pub notes: Vec<String>,
}

/// A blob with the grid that told faults best so far.
struct Chosen {
    assembled: Assembled,
    headroom: f32,
    separation: f64,
    faults: Vec<(Fault, f64)>,
}

#[expect(clippy::too_many_arguments, reason = "the last step of one path, called once")]
pub(super) fn finish(
    trained: Trained,
    tried: Vec<Tried>,
    parts: &Parts,
    damaged: &[Damaged],
    signal: Signal,
    window: usize,
    rate: Rate,
    options: &FitOptions,
    mut notes: Vec<String>,
    progress: &mut dyn FnMut(&str) -> ProgressBar,
) -> Result<Fitted, FitError> {
    let mut vae = trained.vae;
    let best = tried.first().and_then(|tried| tried.separations.first());
    if let Some(score) = options.score.or(best.map(|best| best.score)) {
        vae.score = score;
    }
    vae.validate()?;
    let frontend = vae.frontend.clone();
    let both = || parts.train.iter().chain(&parts.validation);
    let normal = training_set(both(), &frontend)?;
    let calibration = windows(&parts.calibration, &frontend, usize::MAX)?;
    let validation = windows(&parts.validation, &frontend, JUDGED)?;
    let indices = spread(normal.len(), OBSERVED);
    let features = normal.features(&frontend, &indices);
    let detector = DetectorOptions {
        target: options.target.clone(),
        false_alarms: FalseAlarms::Episodes(rate.per_window),
        decision: options.decision.clone(),
    };
    let mut chosen: Option<Chosen> = None;
    for headroom in HEADROOMS {
        let settings = settings(headroom);
        let quantized = lower(&vae, &observe(&vae, features.view(), &settings)?, &settings)?;
        let assembled = assemble_apart(quantized, &normal, &calibration, &detector)?;
        let model = assembled.blob.model()?;
        let quiet = real_scores(&model, &validation)?;
        let scores_once = |windows_of: &Recording| -> Result<Vec<f64>, FitError> {
            let set = windows([windows_of], &once(&frontend, window), usize::MAX)?;
            Ok(real_scores(&model, &set)?)
        };
        let whole = damaged.first().map(|set| scores_once(&set.whole)).transpose()?;
        let whole = whole.unwrap_or_default();
        let mut faults = Vec::new();
        for set in damaged {
            faults.push((set.fault, separation(&quiet, &whole, &scores_once(&set.windows)?)));
        }
        let found = mean(&faults);
        if chosen.as_ref().is_none_or(|best| found > best.separation + CLEARLY) {
            chosen = Some(Chosen { assembled, headroom, separation: found, faults });
        }
    }
    let Some(Chosen { assembled, headroom, separation, faults }) = chosen else {
        return Err(FitError::Constant);
    };
    let making = Making {
        signal: &signal,
        seconds: REFITTING * 60.0 * options.minutes,
        seed: options.seed,
        score: vae.score,
        headroom,
        detector: &detector,
    };
    let mut assembled = assembled;
    let mut cross_fitted = Vec::new();
    let rare = assembled.tail.as_ref().is_some_and(|tail| tail.extrapolation * COUNTED > 1.0);
    if let Some(best) = tried.first().filter(|_| rare && calibration.len() <= FEW) {
        cross_fitted = making.scores(&best.candidate, parts, window, progress)?;
        let settings = settings(headroom);
        let quantized = lower(&vae, &observe(&vae, features.view(), &settings)?, &settings)?;
        assembled = assemble_further(quantized, &normal, &calibration, &cross_fitted, &detector)?;
    }
    notes.extend(assembled.tail.as_ref().and_then(|tail| beyond_the_data(tail, &rate)));
    notes.extend(beyond_the_windows(&rate, window, vae.frontend.hop));
    let scores = real_scores(&assembled.blob.model()?, &calibration)?;
    let by_clip = by_clip(&calibration, scores.into_iter());
    let voting = options.decision.voting(vae.frontend.window_len, vae.frontend.hop);
    let all = [by_clip.clone(), cross_fitted.clone()].concat();
    Ok(Fitted {
        thresholds: OTHER_RATES
            .iter()
            .filter_map(|rate| tail_threshold(&all, voting, *rate))
            .collect(),
        cross_fitted: cross_fitted.iter().map(Vec::len).sum(),
        calibration: by_clip,
        windows: [
            training_len(&parts.train, &frontend)?,
            windows(&parts.validation, &frontend, usize::MAX)?.len(),
            calibration.len(),
        ],
        vae,
        assembled,
        signal,
        tried,
        headroom,
        separation,
        faults,
        rate,
        notes,
    })
}

/// The grid with this headroom.
pub(super) fn settings(headroom: f32) -> QuantizeOptions {
    QuantizeOptions { input_headroom: headroom, ..QuantizeOptions::default() }
}

/// What to say where the rate asked for is much rarer than anything the normal data show.
fn beyond_the_data(tail: &TailThreshold, rate: &Rate) -> Option<String> {
    (tail.extrapolation > SUPPORTED).then(|| {
        let least = rate.false_alarms_per_day * tail.extrapolation / SUPPORTED;
        let hours = 24.0 * tail.windows as f64 / rate.windows_per_day;
        format!(
            "{} false alarms a day is {:.0} times rarer than once in the {} calibrated on: the threshold rests on \
             the shape of the tail, and anomalies have to stand out further. These data support {least:.1} a day; \
             for fewer record {} of normal operation",
            rate.false_alarms_per_day,
            tail.extrapolation,
            duration(hours),
            duration(hours * tail.extrapolation / SUPPORTED),
        )
    })
}

/// What to say where more alarms are asked for than there can be, as windows that overlap carry one.
fn beyond_the_windows(rate: &Rate, window: usize, hop: usize) -> Option<String> {
    let most = MOST / window.div_ceil(hop.max(1)) as f64;
    (rate.per_window > most).then(|| {
        format!(
            "a window lasts {}, and {} false alarms a day are more than such windows can carry apart: the \
             threshold is one that a fifth of the normal windows reach at most, and alarms will be rarer. \
             Ask for {:.2} a day or fewer",
            duration(window as f64 / rate.frames_per_second / 3_600.0),
            rate.false_alarms_per_day,
            most * rate.windows_per_day,
        )
    })
}

/// Hours as one reads them.
fn duration(hours: f64) -> String {
    match hours {
        h if h < 0.05 => format!("{:.1} seconds", 3_600.0 * h),
        h if h < 2.0 => format!("{:.1} minutes", 60.0 * h),
        h if h < 72.0 => format!("{h:.1} hours"),
        h => format!("{:.1} days", h / 24.0),
    }
}

fn training_len(train: &[Recording], frontend: &crate::graph::Frontend) -> Result<usize, FitError> {
    Ok(training_set(train, frontend)?.len())
}

pub(super) fn real_scores(model: &Model<'_>, set: &WindowSet<'_>) -> Result<Vec<f64>, VaeError> {
    let kind = model.score_kind();
    Ok(score_set(model, set)?.into_iter().map(|score| real_score(score, kind)).collect())
}
