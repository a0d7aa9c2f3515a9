//! `picovae distill`: a small model learns from a large one.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use picovae::compress::{DistillConfig, distill};
use picovae::graph::{Activation, Vae};
use picovae::train::{Architecture, Convolution, Image, Settings, TeacherConfig, student};

use super::checkpoint::CheckpointArgs;
use super::finetune::finish;
use super::model_file::{ForeignArgs, LATENT_LAYER, open_float, without_alias};
use super::outputs::Outputs;
use super::training_args::TrainingArgs;
use crate::args::{DataArgs, window_set};
use crate::printer::Printer;

/// Arguments of `picovae distill`.
#[derive(Debug, Args)]
#[command(mut_arg(LATENT_LAYER, without_alias))]
#[command(after_help = "Examples:
  picovae distill mnist.safetensors train-images-idx3-ubyte.gz --hidden 64,64 -o student.safetensors
  picovae distill mnist.safetensors train-images-idx3-ubyte.gz --image 28x28 \\
      --conv 16x3s2,24x3s2,24x3s2 --epochs 20 -o conv.safetensors
  picovae distill mnist.safetensors train.npy --student pruned.safetensors --qat --weight-bits 4 -o small4.safetensors")]
pub struct DistillArgs {
    /// The teacher: a float model.
    #[arg(value_name = "TEACHER")]
    teacher: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// Use windows with this label only [default: 0, where there are labels].
    #[arg(long, value_name = "INT", requires = "labels", allow_negative_numbers = true)]
    keep_label: Option<i64>,
    /// Model to write.
    #[arg(short, long, value_name = "OUT.safetensors")]
    out: PathBuf,
    /// A student that has learnt something already, instead of a shape.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["conv", "hidden", "latent"])]
    student: Option<PathBuf>,
    /// The student's convolutions, as `picovae train` takes them.
    #[arg(long, value_delimiter = ',', value_name = "CxKsS,…")]
    conv: Vec<Convolution>,
    /// Its decoder's transposed convolutions [default: --conv, mirrored].
    #[arg(long, value_delimiter = ',', value_name = "CxKsS,…", requires = "conv")]
    decoder_conv: Option<Vec<Convolution>>,
    /// Convolve features as an image of this size.
    #[arg(long, value_name = "ROWSxCOLUMNS", requires = "conv")]
    image: Option<Image>,
    /// Widths of its encoder's fully connected hidden layers.
    #[arg(long, value_delimiter = ',', value_name = "N,…")]
    hidden: Vec<usize>,
    /// Widths of its decoder's fully connected hidden layers [default: --hidden, mirrored].
    #[arg(long, value_delimiter = ',', value_name = "N,…")]
    decoder_hidden: Option<Vec<usize>>,
    /// Dimensions of its latent [default: the teacher's].
    #[arg(long, alias = "latent-len", value_name = "N")]
    latent: Option<usize>,
    /// After each of its hidden layers, as `picovae train --activation`; silu learns images better
    /// than relu and costs a table of 256 bytes a layer.
    #[arg(long, default_value = "relu", value_name = "NAME")]
    student_activation: Activation,
    /// Weight of matching the teacher's posterior; 0 for a latent of another size.
    #[arg(long, default_value_t = 1.0, value_name = "WEIGHT")]
    posterior: f32,
    /// Share of the teacher's reconstruction in what a window should become.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    reconstruction: f32,
    /// Windows the teacher draws from its prior, as a share of a batch.
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    prior: f32,
    /// Windows spliced of two, to be reconstructed as the teacher does, as a share of a batch.
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    spliced: f32,
    #[command(flatten)]
    fit: TrainingArgs,
    #[command(flatten)]
    checkpoint: CheckpointArgs,
    #[command(flatten)]
    foreign: ForeignArgs,
}

/// Runs the verb.
pub fn run(args: DistillArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    let outputs = Outputs::default().and("-o", Some(&args.out));
    outputs.and("--checkpoint", args.checkpoint.path()).check(&args.data.paths())?;
    let loaded = args.data.load()?;
    let (mut teacher, foreign) = open_float(&args.teacher, &args.foreign)?;
    if foreign {
        args.foreign.adapt(&mut teacher, loaded.iter().map(|loaded| &loaded.recording))?;
    }
    let set = window_set(&loaded, &teacher.frontend, args.keep_label)?;
    let mut config = DistillConfig {
        fine_tune: args.fit.config(),
        teacher: TeacherConfig {
            posterior: args.posterior,
            reconstruction: args.reconstruction,
            prior: args.prior,
            spliced: args.spliced,
        },
    };
    // A network of random weights is not to be kept.
    config.fine_tune.fit.keep_start = args.student.is_some();
    let start = match &args.student {
        Some(path) => {
            let (mut start, foreign) = open_float(path, &args.foreign)?;
            if foreign && start.input_len() == teacher.input_len() {
                // Its file knows no front-end: it sees what the teacher sees.
                start.frontend = teacher.frontend.clone();
            }
            start
        }
        None => student(&teacher, &args.architecture(&teacher), config.fine_tune.fit.seed)?,
    };
    let watched = args.checkpoint.watch(Settings::of_command("distill"))?;
    let tuned = distill(&teacher, &start, &set, &config, watched.watch())?;
    finish(&args.out, tuned, watched, printer)
}

impl DistillArgs {
    fn architecture(&self, teacher: &Vae) -> Architecture {
        let stem = self.out.file_stem().map_or("student".into(), |s| s.to_string_lossy().into());
        Architecture {
            name: stem,
            convolutions: self.conv.clone(),
            decoder_convolutions: self.decoder_conv.clone(),
            image: self.image,
            hidden: self.hidden.clone(),
            decoder_hidden: self
                .decoder_hidden
                .clone()
                .unwrap_or_else(|| self.hidden.iter().rev().copied().collect()),
            latent: self.latent.unwrap_or(teacher.latent_len()),
            activation: self.student_activation,
            likelihood: teacher.likelihood.kind(),
            score: teacher.score,
        }
    }
}
