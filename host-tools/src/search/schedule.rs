//! Who trains what next: new candidates, and the best so far for longer
//! (asynchronous successive halving, Li et al. 2020, over parents chosen as NSGA-II does).

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::candidate::Candidate;
use super::pareto;
use super::space::Space;
use super::study::{State, Study, StudyError, Trial};

/// The study's rules, the same for every worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Networks tried.
    pub trials: usize,
    /// Rungs: how often a network may be trained on.
    pub rungs: usize,
    /// One in so many is trained on, so many times as long.
    pub eta: usize,
    /// Networks at random before any has children; `trials` makes it a random search.
    pub random: usize,
    /// Seconds of silence after which a worker counts as dead.
    pub patience: i64,
    /// Seed of every draw.
    pub seed: u64,
}

/// What a worker is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Job {
    /// Train this trial to the end of a rung.
    Train {
        /// The trial.
        trial: i64,
        /// The network.
        candidate: Candidate,
        /// The trial whose weights a new one begins with.
        parent: Option<i64>,
        /// The rung.
        rung: usize,
    },
    /// Others are at work on what decides the next step.
    Wait,
    /// Nothing is left.
    Finished,
}

/// A parent is the best of so many at random. Two, as usual in NSGA-II, are for many
/// generations: over some 45 trials their children are no better than random ones.
const TOURNAMENT: usize = 6;
/// How often a candidate is drawn again that does not fit the budgets, and after how many draws it is made
/// narrower until it does: where the budgets are tight, hardly a network at random keeps them.
const DRAWS: usize = 250;
const PATIENT_DRAWS: usize = 200;

/// The next job, claimed for `worker`. `fits` tells whether a candidate keeps the budgets.
///
/// # Errors
/// [`StudyError`].
pub fn next(
    study: &mut Study,
    space: &Space,
    rules: &Rules,
    worker: &str,
    fits: &dyn Fn(&Candidate) -> bool,
) -> Result<Job, StudyError> {
    study.within(|study| {
        let trials = study.trials()?;
        let job = |trial: &Trial, rung| Job::Train {
            trial: trial.id,
            candidate: trial.candidate.clone(),
            parent: trial.parent,
            rung,
        };
        let dead = |t: &&Trial| t.state == State::Running && t.silent > rules.patience;
        if let Some(trial) = trials.iter().find(dead) {
            study.claim(trial.id, trial.rung, worker)?;
            return Ok(job(trial, trial.rung));
        }
        let complete = trials.len() >= rules.trials;
        if let Some(trial) = promoted(&trials, rules, complete) {
            study.claim(trial.id, trial.rung + 1, worker)?;
            return Ok(job(trial, trial.rung + 1));
        }
        if !complete && let Some((candidate, parent)) = draw(&trials, space, rules, fits) {
            let trial = study.add(&candidate, parent, worker)?;
            return Ok(Job::Train { trial, candidate, parent, rung: 0 });
        }
        let running = trials.iter().any(|trial| trial.state == State::Running);
        Ok(if running { Job::Wait } else { Job::Finished })
    })
}

/// A trial that earned its next rung: among the best of those that finished the
/// same one. Once no more are coming, the best of a rung goes on in any case.
fn promoted<'t>(trials: &'t [Trial], rules: &Rules, complete: bool) -> Option<&'t Trial> {
    (0..rules.rungs.saturating_sub(1)).rev().find_map(|rung| {
        let finished: Vec<&Trial> =
            trials.iter().filter(|trial| trial.figures.len() > rung).collect();
        let quiet = complete && trials.iter().all(|t| t.state != State::Running || t.rung > rung);
        let places = (finished.len() / rules.eta.max(2)).max(usize::from(quiet));
        let points: Vec<Vec<f64>> = finished.iter().map(|t| t.figures[rung].quality()).collect();
        let order = pareto::order(&points);
        let best = order.into_iter().take(places).map(|at| finished[at]);
        let mut waiting = best.filter(|t| t.rung == rung && t.state == State::Done);
        waiting.next()
    })
}

/// A candidate that fits the budgets and was not tried before, and its first parent.
fn draw(
    trials: &[Trial],
    space: &Space,
    rules: &Rules,
    fits: &dyn Fn(&Candidate) -> bool,
) -> Option<(Candidate, Option<i64>)> {
    let mut rng = ChaCha8Rng::seed_from_u64(rules.seed);
    rng.set_stream(trials.len() as u64);
    let known: Vec<&Trial> = trials.iter().filter(|trial| !trial.figures.is_empty()).collect();
    let ranked = ranked(&known);
    let pick = |rng: &mut ChaCha8Rng| {
        let places = (0..TOURNAMENT).map(|_| rng.random_range(0..ranked.len()));
        known[ranked[places.min().unwrap_or(0)]]
    };
    for attempt in 0..DRAWS {
        let (candidate, parent) = if trials.len() < rules.random || known.len() < 4 {
            (space.random(&mut rng), None)
        } else {
            let (one, other) = (pick(&mut rng), pick(&mut rng));
            (space.child(&one.candidate, &other.candidate, &mut rng), Some(one.id))
        };
        let fitting = match attempt {
            ..PATIENT_DRAWS => Some(candidate).filter(|candidate| fits(candidate)),
            _ => widest(candidate, fits),
        };
        let new = |one: &Candidate| trials.iter().all(|trial| trial.candidate != *one);
        if let Some(candidate) = fitting.filter(new) {
            return Some((candidate, parent));
        }
    }
    None
}

/// The widest that fits of a candidate and its narrower forms.
fn widest(candidate: Candidate, fits: &dyn Fn(&Candidate) -> bool) -> Option<Candidate> {
    let forms: Vec<Candidate> =
        std::iter::successors(Some(candidate), Candidate::narrower).collect();
    // A narrower one needs less of everything; planning takes its time.
    forms.get(forms.partition_point(|form| !fits(form))).cloned()
}

/// Places of the trials from best to worst. Half of the places go by quality alone,
/// half by all objectives, in turn; quality is compared at the first rung, which all have.
fn ranked(known: &[&Trial]) -> Vec<usize> {
    let quality: Vec<Vec<f64>> = known.iter().map(|t| t.figures[0].quality()).collect();
    let all: Vec<Vec<f64>> = known.iter().map(|t| t.figures[0].objectives()).collect();
    let (by_quality, by_all) = (pareto::order(&quality), pareto::order(&all));
    let mut ranked = Vec::with_capacity(known.len());
    for place in by_quality.iter().zip(&by_all).flat_map(|(a, b)| [*a, *b]) {
        if !ranked.contains(&place) {
            ranked.push(place);
        }
    }
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::figures::Figures;

    fn figures(loss: f64, bytes: usize) -> Figures {
        Figures {
            loss,
            float_loss: loss,
            detection: 0.9,
            blob_bytes: bytes,
            arena_bytes: 100,
            instructions: 1000,
            epochs: 1,
        }
    }

    /// A search whose loss is known at once: distance from the best widths.
    fn loss(candidate: &Candidate) -> f64 {
        let distance = |width: usize, best: f64| (width as f64 / best).log2().abs();
        let sum = |widths: &[usize]| widths.iter().map(|w| distance(*w, 96.0)).sum::<f64>();
        sum(&candidate.hidden)
            + sum(&candidate.decoder_hidden)
            + (candidate.hidden.len() as f64 - 2.0).abs()
            + distance(candidate.latent, 12.0)
    }

    fn best(rules: &Rules) -> f64 {
        let space =
            Space { fully_connected: true, convolutional: false, latent: None, four_bit: false };
        let mut study = Study::open(":memory:", "s").unwrap();
        let fits = |candidate: &Candidate| candidate.hidden.iter().sum::<usize>() < 400;
        let mut trained = vec![0; rules.trials];
        loop {
            match next(&mut study, &space, rules, "w", &fits).unwrap() {
                Job::Train { trial, candidate, rung, .. } => {
                    assert!(fits(&candidate));
                    assert_eq!(trained[trial as usize], rung, "rungs come in order");
                    trained[trial as usize] += 1;
                    let loss = loss(&candidate) / (1.0 + 0.1 * rung as f64);
                    assert!(study.finish(trial, rung, "w", &figures(loss, 100), &[]).unwrap());
                }
                Job::Finished => break,
                Job::Wait => panic!("there is nobody to wait for"),
            }
        }
        let trials = study.trials().unwrap();
        assert_eq!(trials.len(), rules.trials);
        let reached = |rung| trials.iter().filter(|t| t.figures.len() > rung).count();
        // More than one in `eta`: who is promoted early is passed by better children later.
        assert!((1..rules.trials).contains(&reached(1)), "{}", reached(1));
        assert!((1..reached(1)).contains(&reached(2)), "{}", reached(2));
        trials.iter().map(|t| loss(&t.candidate)).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn children_of_the_best_beat_as_many_at_random() {
        let rules =
            |seed, random| Rules { trials: 45, rungs: 3, eta: 3, random, patience: 60, seed };
        let mean = |random| (0..8).map(|seed| best(&rules(seed, random))).sum::<f64>() / 8.0;
        let (searched, at_random) = (mean(12), mean(45));
        assert!(searched < 0.8 * at_random, "{searched} against {at_random} at random");
    }

    #[test]
    fn budgets_that_hardly_any_network_at_random_keeps_are_kept() {
        let rules = Rules { trials: 6, rungs: 1, eta: 3, random: 6, patience: 60, seed: 2 };
        let space =
            Space { fully_connected: true, convolutional: true, latent: Some(3), four_bit: false };
        let mut study = Study::open(":memory:", "s").unwrap();
        let widths = |candidate: &Candidate| {
            let channels = candidate.convolutions.iter().map(|c| c.channels);
            channels.chain(candidate.hidden.iter().chain(&candidate.decoder_hidden).copied()).sum()
        };
        let fits = |candidate: &Candidate| -> bool { (1..9).contains::<usize>(&widths(candidate)) };
        while let Job::Train { trial, candidate, rung, .. } =
            next(&mut study, &space, &rules, "w", &fits).unwrap()
        {
            assert!(fits(&candidate));
            assert!(study.finish(trial, rung, "w", &figures(1.0, 100), &[]).unwrap());
        }
        assert_eq!(study.trials().unwrap().len(), rules.trials);
    }

    #[test]
    fn a_dead_workers_trial_is_taken_over() {
        let rules = Rules { trials: 1, rungs: 1, eta: 3, random: 1, patience: -1, seed: 0 };
        let space =
            Space { fully_connected: true, convolutional: false, latent: None, four_bit: false };
        let mut study = Study::open(":memory:", "s").unwrap();
        let mut take = |worker: &str| next(&mut study, &space, &rules, worker, &|_| true).unwrap();
        let first = take("one");
        // With a patience of -1 even a heartbeat of this second is old.
        assert_eq!(take("two"), first);
        let Job::Train { trial, .. } = first else { panic!("{first:?}") };
        assert!(!study.beat(trial, "one").unwrap());
        assert!(!study.finish(trial, 0, "one", &figures(1.0, 1), &[]).unwrap());
        assert!(study.finish(trial, 0, "two", &figures(2.0, 1), &[7]).unwrap());
        assert_eq!(study.trials().unwrap()[0].figures, [figures(2.0, 1)]);
        assert_eq!(study.weights(trial, 0).unwrap(), Some(vec![7]));
        let none = next(&mut study, &space, &rules, "two", &|_| true).unwrap();
        assert_eq!(none, Job::Finished);
    }
}
