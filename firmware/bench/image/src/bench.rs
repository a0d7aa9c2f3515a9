//! The benchmark networks, each between two marks: encoder and decoder of one inference.
#![no_std]
#![no_main]

#[allow(dead_code)]
#[path = "common.rs"]
mod common;
mod measure;

use measure::{mark, stack_of};
use picovae_core::arena::align_up;
use picovae_core::fixed::Rounding;
use picovae_core::kernels::{self, OutputBuffer};
use picovae_core::model::LayerView;
use picovae_core::{Arena, Model, Vae};
use semihosting::{println, process};

/// Words painted below the stack pointer: more than any network uses.
const PAINTED: usize = 4096;

/// What is counted; never inlined, so that a profile finds it at one place.
#[inline(never)]
fn measured(vae: &mut Vae<'_, '_>) {
    mark();
    vae.encode();
    vae.decode();
    mark();
}

/// The same for the encoder alone.
#[inline(never)]
fn encoder(vae: &mut Vae<'_, '_>) {
    mark();
    vae.encode();
    mark();
}

/// The same for the decoder alone.
#[inline(never)]
fn decoder(vae: &mut Vae<'_, '_>) {
    mark();
    vae.decode();
    mark();
}

/// The same for one layer.
#[inline(never)]
fn one_layer(layer: &LayerView<'_>, input: &[i8], scratch: &mut [u8], out: &mut [i8]) {
    mark();
    kernels::run(layer, Rounding::Double, input, scratch, OutputBuffer::Int8(out));
    mark();
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut arena = Arena::<8192>::new();
    println!("backend {}", kernels::BACKEND);
    for net in [common::BENCHMARKS, common::COMPRESSED, common::FOUR_BITS].into_iter().flatten() {
        let Ok(model) = Model::parse(&net.blob.0) else { process::exit(1) };
        let Ok(mut vae) = Vae::new(&model, arena.bytes()) else { process::exit(1) };
        common::fill(0, vae.features_mut());
        let stack = stack_of::<PAINTED>(|| measured(&mut vae));
        println!("net {} {} {} {stack}", net.name, net.macs, model.arena_len());
    }
    for net in common::ARTICLE {
        let Ok(model) = Model::parse(&net.blob.0) else { process::exit(1) };
        let Ok(mut vae) = Vae::new(&model, arena.bytes()) else { process::exit(1) };
        let macs = |first: usize, last: usize| {
            (first..last).filter_map(|i| model.layer(i)).map(|layer| layer.macs()).sum::<usize>()
        };
        common::fill(0, vae.features_mut());
        let stack = stack_of::<PAINTED>(|| encoder(&mut vae));
        let arena = model.arena_len();
        println!("net article-encoder {} {arena} {stack}", macs(0, model.encoder_len()));
        let stack = stack_of::<PAINTED>(|| decoder(&mut vae));
        let macs = macs(model.encoder_len(), model.layer_count());
        println!("net article-decoder {macs} {arena} {stack}");
    }
    for net in common::CONVOLUTIONS.iter().take(3).chain(common::CHANNELWISE) {
        let Ok(model) = Model::parse(&net.blob.0) else { process::exit(1) };
        let Some(layer) = model.layer(0) else { process::exit(1) };
        let (work, out) = arena.bytes().split_at_mut(6144);
        let (input, scratch) = work.split_at_mut(2048);
        let input: &mut [i8] = bytemuck::cast_slice_mut(input);
        let out: &mut [i8] = bytemuck::cast_slice_mut(out);
        common::fill(0, &mut input[..layer.input_len()]);
        // The scratch that the network's own arena leaves this layer.
        let left = model.plan().work - align_up(layer.output_len());
        let scratch = &mut scratch[..left];
        let (input, out) = (&input[..layer.input_len()], &mut out[..layer.output_len()]);
        let stack = stack_of::<PAINTED>(|| one_layer(&layer, input, scratch, out));
        println!("net {} {} {} {stack}", net.name, layer.macs(), model.arena_len());
    }
    process::exit(0)
}
