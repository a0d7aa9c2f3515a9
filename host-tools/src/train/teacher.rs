//! What a teacher adds to each batch: its posterior, its reconstructions, and windows of its own.

use ndarray::{Array2, ArrayView2, Axis, concatenate};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::features::Features;
use super::gradient::{Batch, Distillation};
use super::sampler::normal;
use super::{Stream, TrainError, stream};
use crate::graph::{Activation, Likelihood, Vae};

/// What a student takes from its teacher.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TeacherConfig {
    /// Weight of `KL(teacher's posterior || student's)` (of half the squared distance of `mu`, of
    /// plain autoencoders) at the start; it falls to 0 along a line, for a student that misses `mu` is
    /// best off with a wide posterior, which costs its own ELBO. With 0 the latents may differ in size.
    pub posterior: f32,
    /// Share of the teacher's reconstruction in the target of a window, in [0, 1].
    pub reconstruction: f32,
    /// Windows decoded from the prior by the teacher, as a share of a batch.
    pub prior: f32,
    /// Windows spliced of two, as a share of a batch; their target is all the teacher's
    /// reconstruction. What a model does off the normal is what detection rests on.
    pub spliced: f32,
}

impl Default for TeacherConfig {
    fn default() -> Self {
        Self { posterior: 1.0, reconstruction: 0.0, prior: 0.1, spliced: 0.1 }
    }
}

impl TeacherConfig {
    /// What `student` can take from `teacher`: the posterior where their latents are alike;
    /// from a plain autoencoder, which has no prior to draw from, half of the target instead.
    pub fn of(teacher: &Vae, student: &Vae) -> Self {
        let alike = teacher.logvar.is_some() == student.logvar.is_some()
            && teacher.latent_len() == student.latent_len();
        let posterior = if alike { SMALL } else { 0.0 };
        if teacher.logvar.is_some() {
            return Self { posterior, ..Self::default() };
        }
        Self { posterior, reconstruction: 0.5, prior: 0.0, ..Self::default() }
    }

    fn validate(&self) -> Result<(), TrainError> {
        let checks = [
            ("posterior", self.posterior, f32::MAX, "0 or more"),
            ("reconstruction", self.reconstruction, 1.0, "between 0 and 1"),
            ("prior", self.prior, 4.0, "between 0 and 4"),
            ("spliced", self.spliced, 4.0, "between 0 and 4"),
        ];
        match checks.into_iter().find(|(_, value, most, _)| !(0.0..=*most).contains(value)) {
            None => Ok(()),
            Some((setting, value, _, must)) => {
                Err(TrainError::Setting { setting, value: value.to_string(), must })
            }
        }
    }
}

/// Weight of the posterior for a student too small to follow it: digits, a network pruned to
/// 4.5 %, six epochs: 119.47 nats held out with 1, 118.66 with this, 118.20 without a teacher.
const SMALL: f32 = 0.1;
/// Windows a teacher looks at at once.
const BATCH: usize = 256;

/// A teacher at work.
pub(super) struct Lessons<'t> {
    teacher: &'t Vae,
    config: TeacherConfig,
    /// Its posterior of every window, where it is asked for.
    posterior: Option<(Array2<f32>, Option<Array2<f32>>)>,
    /// Values in a row of an image and at each of its places; one place for a signal.
    image: (usize, usize),
    rng: ChaCha8Rng,
}

impl<'t> Lessons<'t> {
    pub(super) fn new(
        teacher: &'t Vae,
        student: &Vae,
        features: &Features<'_, '_>,
        windows: usize,
        config: TeacherConfig,
        seed: u64,
    ) -> Result<Self, TrainError> {
        config.validate()?;
        teacher.validate()?;
        if teacher.frontend != student.frontend
            || teacher.likelihood.kind() != student.likelihood.kind()
        {
            return Err(TrainError::TeacherFeatures);
        }
        let asked = config.posterior > 0.0;
        if asked && teacher.latent_len() != student.latent_len() {
            let (teacher, student) = (teacher.latent_len(), student.latent_len());
            return Err(TrainError::TeacherLatent { teacher, student });
        }
        if config.prior > 0.0 && teacher.logvar.is_none() {
            return Err(TrainError::TeacherPrior);
        }
        let posterior = asked.then(|| {
            let all: Vec<usize> = (0..windows).collect();
            let parts: Vec<_> =
                all.chunks(BATCH).map(|rows| teacher.encode(features.of(rows).view())).collect();
            let join = |parts: Vec<ArrayView2<'_, f32>>| {
                concatenate(Axis(0), &parts).unwrap_or_else(|_| Array2::zeros((0, 0)))
            };
            let mu = join(parts.iter().map(|(mu, _)| mu.view()).collect());
            let logvar = teacher.logvar.as_ref().map(|_| {
                join(parts.iter().filter_map(|(_, lv)| lv.as_ref().map(|lv| lv.view())).collect())
            });
            (mu, logvar)
        });
        let shape = [student, teacher].into_iter().find_map(|vae| {
            let shape = vae.encoder.first()?.op.geometry()?.input;
            (shape.width > 1).then_some((shape.width * shape.channels, shape.channels))
        });
        let image = shape.unwrap_or((1, 1));
        let rng = stream(seed, Stream::Teacher);
        Ok(Self { teacher, config, posterior, image, rng })
    }

    /// The position in the teacher's stream of random numbers.
    pub(super) fn position(&self) -> u128 {
        self.rng.get_word_pos()
    }

    /// Goes on at a [`position`](Self::position).
    pub(super) fn seek(&mut self, position: u128) {
        self.rng.set_word_pos(position);
    }

    /// Adds the teacher's part to a batch of the windows `indices`; `left` is the share of the
    /// training to come.
    pub(super) fn teach(&mut self, batch: &mut Batch, indices: &[usize], left: f32) {
        let share = self.config.reconstruction;
        if share > 0.0 {
            let of_teacher = match &self.posterior {
                Some((mu, _)) => self.decoded(mu.select(Axis(0), indices).view()),
                None => self.decoded(self.teacher.encode(batch.target.view()).0.view()),
            };
            batch.target *= 1.0 - share;
            batch.target.scaled_add(share, &of_teacher);
        }
        let rows = indices.len();
        let count = |share: f32| (share * rows as f32).round() as usize;
        let (prior, spliced) = (count(self.config.prior), count(self.config.spliced));
        let mut inputs = Vec::new();
        let mut targets = Vec::new();
        if prior > 0 {
            let z = normal((prior, self.teacher.latent_len()), &mut self.rng);
            let x = self.decoded(z.view());
            targets.push(x.clone());
            inputs.push(x);
        }
        if spliced > 0 {
            let x = self.splice(&batch.input, spliced);
            targets.push(self.decoded(self.teacher.encode(x.view()).0.view()));
            inputs.push(x);
        }
        let mut posterior = self.posterior.as_ref().map(|(mu, logvar)| {
            let of = |all: &Array2<f32>| all.select(Axis(0), indices);
            (of(mu), logvar.as_ref().map(of))
        });
        let latent = batch.noise.ncols();
        for (input, target) in inputs.iter().zip(&targets) {
            if let Some((mu, logvar)) = &mut posterior {
                let (more_mu, more_logvar) = self.teacher.encode(input.view());
                append(mu, &more_mu);
                if let (Some(logvar), Some(more)) = (logvar, &more_logvar) {
                    append(logvar, more);
                }
            }
            append(&mut batch.input, input);
            append(&mut batch.target, target);
            append(&mut batch.noise, &normal((input.nrows(), latent), &mut self.rng));
        }
        let weight = self.config.posterior * left;
        batch.teacher = posterior.map(|(mu, logvar)| Distillation { mu, logvar, weight });
    }

    /// The teacher's mean of the features for a latent.
    fn decoded(&self, z: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut y = self.teacher.decode(z);
        if matches!(self.teacher.likelihood, Likelihood::Bernoulli) {
            y.mapv_inplace(|logit| Activation::Sigmoid.apply(logit));
        }
        y
    }

    /// The beginning of one window and the end of another; of images, the left and the right as often.
    fn splice(&mut self, windows: &Array2<f32>, count: usize) -> Array2<f32> {
        let (rows, len) = windows.dim();
        let (width, channels) = self.image;
        let mut spliced = Array2::zeros((count, len));
        for mut row in spliced.rows_mut() {
            let (a, b) = (self.rng.random_range(0..rows), self.rng.random_range(0..rows));
            let across = width > channels && self.rng.random();
            let length = if across { width / channels } else { len };
            let cut = self.rng.random_range(length / 4..=length - length / 4);
            for (at, x) in row.iter_mut().enumerate() {
                let at_cut = if across { at % width / channels } else { at };
                *x = windows[[if at_cut < cut { a } else { b }, at]];
            }
        }
        spliced
    }
}

/// More rows below.
fn append(all: &mut Array2<f32>, more: &Array2<f32>) {
    if let Ok(joined) = concatenate(Axis(0), &[all.view(), more.view()]) {
        *all = joined;
    }
}
