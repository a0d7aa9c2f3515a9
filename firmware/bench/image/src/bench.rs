//! The benchmark networks, each between two marks: encoder and decoder of one inference.
#![no_std]
#![no_main]

#[allow(dead_code)]
#[path = "common.rs"]
mod common;

use core::arch::asm;

use picovae_core::{Arena, Model, Vae, kernels};
use semihosting::{println, process};

/// A boundary the `icount` plugin sees.
#[inline(always)]
fn mark() {
    // SAFETY: moves a register to itself.
    unsafe { asm!("mov r11, r11", options(nostack, preserves_flags)) };
}

/// What is counted; never inlined, so that a profile finds it at one place.
#[inline(never)]
fn measured(vae: &mut Vae<'_, '_>) {
    mark();
    vae.encode();
    vae.decode();
    mark();
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut arena = Arena::<4096>::new();
    println!("backend {}", kernels::BACKEND);
    for net in common::BENCHMARKS {
        let Ok(model) = Model::parse(&net.blob.0) else { process::exit(1) };
        let Ok(mut vae) = Vae::new(&model, arena.bytes()) else { process::exit(1) };
        common::fill(0, vae.features_mut());
        measured(&mut vae);
        println!("net {} {} {}", net.name, net.macs, model.arena_len());
    }
    process::exit(0)
}
