//! Distillation: a student VAE learns the data and, from a teacher, what the data do not show.

use crate::graph::Vae;
use crate::recording::WindowSet;
use crate::train::{
    FineTuneConfig, FineTuned, Teacher, TeacherConfig, TrainError, Watch, finetune,
};

/// How a student is taught.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DistillConfig {
    /// Steps, rates, seed; quantization, where the student is to learn in integers.
    pub fine_tune: FineTuneConfig,
    /// What is taken from the teacher.
    pub teacher: TeacherConfig,
}

/// Trains `student` on the windows and on what the teacher says of them: its posterior, its
/// reconstructions, windows from its prior and windows spliced of two. A Gaussian student leaves with
/// the precision of its residuals.
///
/// # Errors
/// [`TrainError`]: a teacher with another latent (where its posterior is to be matched), front-end or
/// likelihood; and all that [`finetune`] refuses.
pub fn distill<'w>(
    teacher: &Vae,
    student: &Vae,
    data: &WindowSet<'_>,
    config: &DistillConfig,
    watch: impl Into<Watch<'w>>,
) -> Result<FineTuned, TrainError> {
    let lessons = Teacher { vae: teacher, config: config.teacher };
    finetune(student, data, Some(lessons), &config.fine_tune, watch)
}
