//! Shared by both programs: the generated networks, the features, the panic exit.

use core::panic::PanicInfo;

use cortex_m as _;
use picovae_core::arena::Aligned;

/// A network with the portable kernels' hashes.
pub struct Net {
    pub name: &'static str,

    pub macs: u32,
    pub expected: &'static [u64],
    pub blob: &'static Aligned<[u8]>,
}

include!(concat!(env!("OUT_DIR"), "/nets.rs"));

/// As `bench_gen::fill`.
pub fn fill(index: u32, features: &mut [i8]) {
    let mut state = index.wrapping_mul(0x9e37_79b9) | 1;
    for q in features {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        *q = match index % 2 {
            0 => (state >> 16) as i8,
            _ if state & 0x80 == 0 => -128,
            _ => 127,
        };
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    semihosting::println!("{info}");
    semihosting::process::exit(101)
}

#[cortex_m_rt::exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    semihosting::println!("hard fault at {:#x}", frame.pc());
    semihosting::process::exit(102)
}
