//! Students for a budget: networks of another shape than the model's, as wide as fits.
//!
//! What is taken for granted here was measured on digits (`docs/compression.md`): convolutions
//! find what is local, a narrow hidden layer between them and the latent what is where, and SiLU
//! learns better than ReLU.

use crate::graph::{Activation, Vae};
use crate::train::{Architecture, Convolution, Image, Stream, TrainError, random_vae, stream};

/// Narrowest student: channels of its first convolution, a quarter of a fully connected one's latent side.
const NARROWEST: usize = 2;
/// Widths grow by a sixteenth, rounded up, so often at most.
const WIDTHS: usize = 64;
/// Frames (rows of an image) from which convolutions pay.
const CONVOLVED: usize = 24;
/// Convolutions halve a signal until about so many places are left.
const PLACES: usize = 16;

/// An untrained student.
#[derive(Debug, Clone)]
pub(super) enum Student {
    /// Not even this one, the narrowest, fits.
    Narrowest(Vae),
    /// The widest that fits.
    Widest(Vae),
}

/// The widest student that `fits`, or the narrowest where none does.
///
/// # Errors
/// [`TrainError`] where `image` is not the size of the features.
pub(super) fn student(
    model: &Vae,
    image: Option<Image>,
    seed: u64,
    fits: impl Fn(&Vae) -> bool,
) -> Result<Student, TrainError> {
    let network = |width: usize| {
        let shape = shape(model, image, width);
        random_vae(model.frontend.clone(), &shape, &mut stream(seed, Stream::Init))
    };
    let next = |width: &usize| Some(width + width.div_ceil(16));
    let widths: Vec<usize> = std::iter::successors(Some(NARROWEST), next).take(WIDTHS).collect();
    // A student that is wider needs more of everything.
    let (mut fit, mut beyond) = (0, widths.len());
    let mut found = None;
    while fit < beyond {
        let middle = (fit + beyond) / 2;
        let candidate = network(widths[middle])?;
        if fits(&candidate) {
            found = Some(candidate);
            fit = middle + 1;
        } else {
            beyond = middle;
        }
    }
    Ok(match found {
        Some(widest) => Student::Widest(widest),
        None => Student::Narrowest(network(NARROWEST)?),
    })
}

/// A student's shape: of images and of signals with frames enough, convolutions whose channels are
/// multiples of `width`, a hidden layer, the model's latent, and back; of others two hidden layers.
fn shape(model: &Vae, image: Option<Image>, width: usize) -> Architecture {
    let frontend = &model.frontend;
    let groups = frontend.groups().max(1);
    let length =
        image.map_or(frontend.feature_len() / groups, |image| image.rows.min(image.columns));
    let mut shape = Architecture {
        name: model.name.clone(),
        convolutions: Vec::new(),
        decoder_convolutions: None,
        image,
        hidden: vec![8 * width, 4 * width],
        decoder_hidden: vec![4 * width, 8 * width],
        latent: model.latent_len(),
        activation: Activation::Silu,
        likelihood: model.likelihood.kind(),
        score: model.score,
    };
    if length < CONVOLVED {
        return shape;
    }
    // Of a signal a kernel has one axis, so it may be longer.
    let (kernel, channels) = match image {
        Some(image) => (3, frontend.feature_len() / (image.rows * image.columns).max(1)),
        None => (5, groups),
    };
    let halvings = (length / PLACES).max(4).ilog2() as usize;
    let layer = |channels: usize, kernel: usize, stride: usize| Convolution {
        channels: channels.max(1),
        kernel,
        stride,
    };
    shape.convolutions = (0..halvings).map(|at| layer(width << at.min(1), kernel, 2)).collect();
    shape.convolutions.push(layer(width.div_ceil(2), 3, 1));
    let mut back = vec![layer(5 * width / 2, 3, 1)];
    back.extend((1..halvings).map(|_| layer(width, kernel + 1, 2)));
    back.push(layer(channels, 5, 2));
    shape.decoder_convolutions = Some(back);
    shape.hidden = vec![6 * width];
    shape.decoder_hidden = vec![6 * width];
    shape
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Frontend;
    use crate::graph::tests::tiny;

    #[test]
    fn as_wide_as_fits_and_of_the_models_interface() {
        let model = tiny();
        let most = 4_000;
        let Student::Widest(found) = student(&model, None, 1, |vae| vae.params() <= most).unwrap()
        else {
            panic!("there are smaller ones");
        };
        assert!(found.params() <= most && found.params() > most / 2, "{}", found.params());
        assert_eq!(found.input_len(), model.input_len());
        assert_eq!(found.latent_len(), model.latent_len());
        assert_eq!(found.likelihood.kind(), model.likelihood.kind());
        let Student::Narrowest(least) = student(&model, None, 1, |_| false).unwrap() else {
            panic!("none fits");
        };
        assert!(least.params() < found.params());
        assert_eq!(least.encoder[0].output_len(), 8 * NARROWEST);
    }

    #[test]
    fn signals_and_images_are_convolved() {
        for (frames, channels, image, first) in
            [(784, 1, Some("28x28"), "14x14x16"), (200, 3, None, "100x16"), (16, 3, None, "128")]
        {
            let mut model = tiny();
            model.frontend = Frontend::identity(frames, frames, channels);
            let image: Option<Image> = image.map(|text| text.parse().unwrap());
            let shape = shape(&model, image, 16);
            let vae =
                random_vae(model.frontend.clone(), &shape, &mut stream(1, Stream::Init)).unwrap();
            vae.validate().unwrap();
            assert_eq!(vae.encoder[0].op.output().to_string(), first);
            assert_eq!(vae.decoder.last().unwrap().output_len(), frames * channels);
        }
    }
}
