//! Windows and models told apart by SHA-256: what a checkpoint is of, and what all who share a study must have in
//! common beside their options, for file names differ from machine to machine.

use sha2::{Digest, Sha256};

use crate::graph::{Provenance, ScoreKind, Vae};
use crate::import::{ImportError, hex, to_safetensors};
use crate::recording::WindowSet;

/// Of the samples of the set's recordings, and of which windows of them are in it.
pub fn of_windows(set: &WindowSet<'_>) -> String {
    let mut hash = Sha256::new();
    let number = |hash: &mut Sha256, n: usize| hash.update((n as u64).to_le_bytes());
    for clips in set.sources() {
        // Windows may overlap: every sample once.
        let samples = &clips.recording().samples;
        for len in [samples.len(), clips.clip_frames(), clips.window_len()] {
            number(&mut hash, len);
        }
        hash.update(bytemuck::cast_slice::<f32, u8>(samples));
    }
    for window in 0..set.len() {
        let (source, clip) = set.group(window);
        for place in [source, clip, set.window(window).start] {
            number(&mut hash, place);
        }
    }
    hex(&hash.finalize())
}

/// Of the weights, the front-end and the likelihood, not of what the model is called, where it came from, and
/// its score, which is a setting of its own.
///
/// # Errors
/// [`ImportError::Graph`] for a model that does not validate.
pub fn of_model(vae: &Vae) -> Result<String, ImportError> {
    let bare = Vae {
        name: String::new(),
        provenance: Provenance::default(),
        score: ScoreKind::ReconstructionError,
        ..vae.clone()
    };
    Ok(hex(&Sha256::digest(to_safetensors("model".as_ref(), &bare)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::tiny;
    use crate::graph::{Activation, Frontend, Layer};
    use crate::recording::Recording;
    use ndarray::{arr1, arr2};

    #[test]
    fn other_samples_and_other_windows_are_other_sets() {
        let of = |last: f32, hop: usize, keep: &dyn Fn(usize) -> bool| {
            let mut samples: Vec<f32> = (0..16).map(|i| i as f32).collect();
            samples[15] = last;
            let recording = Recording::from_samples("r", vec![16, 1], samples).unwrap();
            let mut set = WindowSet::new();
            let clips = recording.clips(&Frontend::identity(4, hop, 1)).unwrap();
            set.add_where(clips, keep).unwrap();
            of_windows(&set)
        };
        let all = of(0.0, 4, &|_| true);
        assert_eq!(all, of(0.0, 4, &|_| true));
        let others = [of(1.0, 4, &|_| true), of(0.0, 2, &|_| true), of(0.0, 4, &|w| w != 1)];
        assert!(!others.contains(&all));
    }

    #[test]
    fn a_model_is_its_weights_and_its_front_end() {
        let vae = tiny();
        let known = of_model(&vae).unwrap();
        let renamed = Vae { name: "other".into(), score: ScoreKind::GaussianNll, ..vae.clone() };
        assert_eq!(of_model(&renamed).unwrap(), known);
        let mut scaled = vae.clone();
        scaled.frontend.scale = vec![2.0];
        let mut trained = vae;
        let weight = arr2(&[[1.0, 2.0]]);
        trained.mu = Layer::fully_connected("mu", weight, arr1(&[0.0]), Activation::Identity);
        assert_ne!(of_model(&scaled).unwrap(), known);
        assert_ne!(of_model(&trained).unwrap(), known);
    }
}
