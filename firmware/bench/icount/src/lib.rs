//! QEMU TCG plugin: counts retired instructions and modelled cycles.
//!
//! The image marks a boundary with the Thumb instruction `mov r11, r11`, which
//! no compiler emits; at each one the plugin writes `R <index> <instructions>
//! <cycles>` for what ran since the one before (the markers themselves are not
//! counted). `cost.rs` holds the cycle model. Called by QEMU only:
//! `qemu-system-arm -plugin libicount.so,out=FILE,model=m4`.

mod cost;
mod qemu;

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, OnceLock};

use cost::Model;

/// `mov r11, r11`.
const MARK: u16 = 0x46db;

/// Counters that generated code adds to; one vCPU, so plain memory.
#[repr(C)]
struct Counters {
    instructions: u64,
    cycles: u64,
    /// Address behind the last executed block, to see taken branches.
    next: u64,
}

static mut COUNTERS: Counters = Counters { instructions: 0, cycles: 0, next: 0 };
static MODEL: OnceLock<Model> = OnceLock::new();
static OUT: Mutex<Option<File>> = Mutex::new(None);
static LAST: Mutex<(u64, u64, u64)> = Mutex::new((0, 0, 0));

/// Plugin API version this was written for.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = 1;

/// Entry point QEMU calls.
///
/// # Safety
/// QEMU passes `argc` C strings in `argv`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    _info: *const c_void,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    for index in 0..argc as usize {
        // SAFETY: QEMU's promise, see above.
        let argument = unsafe { CStr::from_ptr(*argv.add(index)) }.to_string_lossy().into_owned();
        if let Some(path) = argument.strip_prefix("out=") {
            *OUT.lock().unwrap() = File::create(path).ok();
        }
        if let Some(name) = argument.strip_prefix("model=") {
            let _ = MODEL.set(Model::named(name));
        }
    }
    let _ = MODEL.set(Model::named("m4"));
    // SAFETY: the callback lives as long as the library, which QEMU never unloads.
    unsafe { qemu::qemu_plugin_register_vcpu_tb_trans_cb(id, translate) };
    0
}

extern "C" fn marked(_vcpu: c_uint, _data: *mut c_void) {
    // SAFETY: called on the only vCPU's thread, between two instructions.
    let (instructions, cycles) = unsafe { (COUNTERS.instructions, COUNTERS.cycles) };
    let mut last = LAST.lock().unwrap();
    if let Some(out) = OUT.lock().unwrap().as_mut() {
        let _ = writeln!(out, "R {} {} {}", last.2, instructions - last.0, cycles - last.1);
    }
    *last = (instructions, cycles, last.2 + 1);
}

/// Runs at the start of every block: was it reached by a jump?
extern "C" fn entered(_vcpu: c_uint, data: *mut c_void) {
    // SAFETY: `data` is a leaked pair made in `translate`; one vCPU.
    unsafe {
        let &(start, end) = &*data.cast::<(u64, u64)>();
        if COUNTERS.next != start {
            COUNTERS.cycles += MODEL.get().map_or(0, |model| model.taken);
        }
        COUNTERS.next = end;
    }
}

/// Whether a Thumb instruction has a second halfword.
///
/// QEMU's own answer is wrong for one in 512: in front of a 1 KB page's last halfword it looks whether the next
/// instruction crosses the page, and counts the two bytes that it read to the instruction before. A mark there was no mark.
fn is_wide(first: u16) -> bool {
    first >= 0xe800
}

extern "C" fn translate(_id: u64, block: *mut c_void) {
    let model = MODEL.get().copied().unwrap_or(Model::named("m4"));
    // SAFETY: `block` is valid during this callback; counters are static.
    unsafe {
        let count = qemu::qemu_plugin_tb_n_insns(block);
        let start = qemu::qemu_plugin_tb_vaddr(block);
        let mut end = start;
        let mut run = false;
        for index in 0..count {
            let instruction = qemu::qemu_plugin_tb_get_insn(block, index);
            let data = qemu::qemu_plugin_insn_data(instruction).cast::<u8>();
            let half = |at: usize| u16::from_le_bytes([*data.add(at), *data.add(at + 1)]);
            let first = half(0);
            let wide = is_wide(first);
            end += if wide { 4 } else { 2 };
            if first == MARK {
                qemu::qemu_plugin_register_vcpu_insn_exec_cb(
                    instruction,
                    marked,
                    0,
                    std::ptr::null_mut(),
                );
                run = false;
                continue;
            }
            let second = if wide { half(2) } else { 0 };
            let (cycles, single_access) = model.cycles(first, second, wide, run);
            run = single_access;
            let counters = &raw mut COUNTERS;
            qemu::qemu_plugin_register_vcpu_insn_exec_inline(
                instruction,
                0,
                (&raw mut (*counters).instructions).cast(),
                1,
            );
            qemu::qemu_plugin_register_vcpu_insn_exec_inline(
                instruction,
                0,
                (&raw mut (*counters).cycles).cast(),
                cycles,
            );
        }
        let span: *mut (u64, u64) = Box::into_raw(Box::new((start, end)));
        qemu::qemu_plugin_register_vcpu_tb_exec_cb(block, entered, 0, span.cast());
    }
}
