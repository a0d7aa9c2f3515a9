//! Every network of the suite on this target's backend against the portable hashes.
#![no_std]
#![no_main]

#[allow(dead_code)]
#[path = "common.rs"]
mod common;

use picovae_core::trace::ActivationHash;
use picovae_core::{Arena, Model, Vae, kernels};
use semihosting::{println, process};

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut arena = Arena::<8192>::new();
    let (mut runs, mut wrong) = (0, 0);
    for net in common::CHECKED.iter().copied().flatten() {
        let model = match Model::parse(&net.blob.0) {
            Ok(model) => model,
            Err(error) => {
                println!("{}: {error}", net.name);
                process::exit(1)
            }
        };
        for (index, &expected) in (0..).zip(net.expected) {
            let Ok(mut vae) = Vae::new(&model, arena.bytes()) else { process::exit(1) };
            common::fill(index, vae.features_mut());
            let mut trace = ActivationHash::new();
            vae.encode_traced(&mut trace);
            vae.decode_traced(&mut trace);
            runs += 1;
            if trace.value() != expected {
                wrong += 1;
                println!(
                    "{} features {index}: {:016x}, portable {expected:016x}",
                    net.name,
                    trace.value()
                );
            }
        }
    }
    println!("{}: {runs} runs, {wrong} wrong", kernels::BACKEND);
    process::exit(i32::from(wrong != 0))
}
