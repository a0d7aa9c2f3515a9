//! Chooses the kernels: one backend a build, by the target and its flags.
//!
//! Stable rustc shows no ARM target feature but the triple, so the triple
//! decides; `-C target-cpu` tells the M55 from the M33. `PICOVAE_KERNELS`
//! overrides, `portable` always works. Emits `cfg(kernels = "...")`.

use std::env;

const BACKENDS: [&str; 6] = ["armv6m", "armv7em", "armv7m", "mve", "portable", "x86"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PICOVAE_KERNELS");
    let quoted: Vec<String> = BACKENDS.iter().map(|name| format!("{name:?}")).collect();
    println!("cargo::rustc-check-cfg=cfg(kernels, values({}))", quoted.join(", "));
    let target = env::var("TARGET").unwrap_or_default();
    let wanted = env::var("PICOVAE_KERNELS").unwrap_or_default();
    let able = able(&target);
    let backend = match wanted.as_str() {
        "" => able.first().copied().unwrap_or("portable"),
        "portable" => "portable",
        // A build of a host and a device in one go names the device's kernels.
        other if able.contains(&other) => other,
        other if BACKENDS.contains(&other) && !target.starts_with("thumb") => {
            able.first().copied().unwrap_or("portable")
        }
        other => {
            println!("cargo::error=PICOVAE_KERNELS={other}: {target} has {able:?} and portable");
            return;
        }
    };
    println!("cargo::rustc-cfg=kernels={backend:?}");
    // The triple of an M33 leaves its DSP extension out, the M55's its vectors: the assembly asks for them.
    let cpu = match backend {
        "armv7em" if target.starts_with("thumbv8m") => ".cpu cortex-m33",
        "mve" => ".cpu cortex-m55",
        _ => "",
    };
    println!("cargo::rustc-env=PICOVAE_CPU={cpu}");
    // Assembly cannot ask for a feature.
    let forms = u8::from(env::var_os("CARGO_FEATURE_COMPRESSED_WEIGHTS").is_some());
    println!("cargo::rustc-env=PICOVAE_FORMS=.set picovae_forms, {forms}");
}

/// Backends the target can run, best first.
fn able(target: &str) -> &'static [&'static str] {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let has_mve = ["cortex-m52", "cortex-m55", "cortex-m85"].iter().any(|cpu| flags.contains(cpu));
    if target.starts_with("thumbv8m.main") && has_mve {
        &["mve", "armv7em", "armv7m"]
    } else if target.starts_with("thumbv8m.main") {
        &["armv7em", "armv7m", "mve"]
    } else if target.starts_with("thumbv7em") {
        &["armv7em", "armv7m", "armv6m"]
    } else if target.starts_with("thumbv7m") {
        &["armv7m", "armv6m"]
    } else if target.starts_with("thumb") {
        &["armv6m"]
    } else if target.starts_with("x86_64") {
        &["x86"]
    } else {
        &[]
    }
}
