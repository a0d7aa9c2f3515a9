//! Writes the memory map of `BENCH_CORE` and the networks in its packing.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use bench_gen::{FEATURES, Net, Values, pack};
use picovae_core::Model;
use picovae_core::model::wire;

fn main() {
    println!("cargo::rerun-if-env-changed=BENCH_CORE");
    println!("cargo::rerun-if-env-changed=BENCH_PACKING");
    let core = env::var("BENCH_CORE").unwrap_or_else(|_| "m4".into());
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let out = Path::new(&out);
    let (flash, flash_len, ram, ram_len) = match core.as_str() {
        "m33" => (0x1000_0000, "4M", 0x3800_0000u32, "2M"),
        "m55" => (0u32, "512K", 0x2100_0000, "2M"),
        _ => (0, "4M", 0x2000_0000, "4M"),
    };
    // The M55 machine's first flash is small; the second one takes the blobs.
    let second = if core == "m55" {
        "\nMEMORY { SECOND : ORIGIN = 0x28000000, LENGTH = 8M }\nSECTIONS { .second : { *(.second) } > SECOND } INSERT AFTER .rodata;\n"
    } else {
        ""
    };
    let memory = format!(
        "MEMORY\n{{\n  FLASH : ORIGIN = {flash:#x}, LENGTH = {flash_len}\n  RAM : ORIGIN = {ram:#x}, LENGTH = {ram_len}\n}}\n{second}"
    );
    fs::write(out.join("memory.x"), memory).expect("OUT_DIR is writable");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg=--nmagic");
    println!("cargo::rustc-link-arg=-Tlink.x");

    let packing = match env::var("BENCH_PACKING") {
        Ok(number) => number.parse().expect("BENCH_PACKING is a number"),
        Err(_) => pack::for_target(&core),
    };
    let mut source = String::new();
    nets(&mut source, out, "BENCHMARKS", &bench_gen::benchmarks(), &[packing]);
    let suite = bench_gen::conformance();
    nets(&mut source, out, "CONFORMANCE", &suite, &[packing]);
    nets(&mut source, out, "ARTICLE", &[bench_gen::article()], &[packing]);
    let convolutions = bench_gen::convolutions();
    nets(&mut source, out, "CONVOLUTIONS", &convolutions, &[packing]);
    nets(&mut source, out, "CHANNELWISE", &bench_gen::channelwise(), &[packing]);
    // A few in every packing: any target must read any blob.
    let foreign: Vec<Net> = convolutions[3..5].iter().chain(&suite[..8]).cloned().collect();
    nets(&mut source, out, "FOREIGN", &foreign, &[0, 1, 2, 3, 4]);
    let nibbles: Vec<Net> = bench_gen::nibbles();
    let own = pack::four_bit(packing);
    nets(&mut source, out, "NIBBLES", &nibbles, &[wire::packing::NIBBLES, own]);
    // Every length of packed rows in the blocks of the target; as bench models only where they are worth it.
    let sparse: Vec<Net> = bench_gen::sparse();
    nets(&mut source, out, "SPARSE", &sparse, &[packing | wire::packing::SPARSE]);
    let both = bench_gen::sparse_nibbles();
    nets(&mut source, out, "SPARSE_NIBBLES", &both, &[own | wire::packing::SPARSE]);
    let (four, pruned): (Vec<Net>, Vec<Net>) =
        bench_gen::compressed().into_iter().partition(|net| net.values == Values::Nibbles);
    nets(&mut source, out, "COMPRESSED", &pruned, &[packing]);
    nets(&mut source, out, "FOUR_BITS", &four, &[own]);
    let _ = writeln!(
        source,
        "pub static CHECKED: &[&[Net]] = &[BENCHMARKS, ARTICLE, CONVOLUTIONS, CHANNELWISE, CONFORMANCE, FOREIGN, NIBBLES, SPARSE, SPARSE_NIBBLES, COMPRESSED, FOUR_BITS];"
    );
    fs::write(out.join("nets.rs"), source).expect("OUT_DIR is writable");
}

fn nets(source: &mut String, out: &Path, list: &str, nets: &[Net], packings: &[u8]) {
    let second = env::var("BENCH_CORE").is_ok_and(|core| core == "m55");
    let _ = writeln!(source, "pub static {list}: &[Net] = &[");
    for net in nets {
        for &packing in packings {
            let blob = bench_gen::write(net, packing);
            let mut aligned = vec![0u128; blob.len().div_ceil(16)];
            // SAFETY: u128 has no padding and the length is the blob's, rounded up.
            let bytes = unsafe {
                std::slice::from_raw_parts_mut(aligned.as_mut_ptr().cast::<u8>(), blob.len())
            };
            bytes.copy_from_slice(&blob);
            let model = Model::parse(bytes).expect("a generated blob parses");
            let expected: Vec<u64> =
                (0..FEATURES).map(|index| bench_gen::hash(&model, index)).collect();
            let macs: usize = (0..model.layer_count())
                .filter_map(|index| model.layer(index))
                .map(|layer| layer.macs())
                .sum();
            let path = out.join(format!("{list}-{}-{packing}.pvae", net.name));
            fs::write(&path, &blob).expect("OUT_DIR is writable");
            let section = if second { "#[unsafe(link_section = \".second\")] " } else { "" };
            let _ = writeln!(
                source,
                "Net {{ name: {:?}, macs: {macs}, expected: &{expected:?}, blob: {{ {section}static BLOB: Aligned<[u8; {}]> = Aligned(*include_bytes!({:?})); &BLOB }} }},",
                net.name,
                blob.len(),
                path.display()
            );
        }
    }
    let _ = writeln!(source, "];");
}
