//! The one buffer an inference needs, aligned for every kernel.

/// `N` bytes, 16-byte aligned: every activation of one [`Vae`](crate::Vae) lives here.
///
/// The length a model needs is [`Model::arena_len`](crate::Model::arena_len);
/// `picovae inspect` prints it, so it is known before flashing.
///
/// ```
/// use picovae_core::Arena;
/// static_assertions(core::mem::align_of::<Arena<64>>());
/// fn static_assertions(align: usize) { assert_eq!(align, 16); }
/// ```
#[derive(Clone)]
#[repr(C, align(16))]
pub struct Arena<const N: usize>([u8; N]);

impl<const N: usize> Arena<N> {
    /// A zeroed arena; `const`, so it can be the initializer of a `static`.
    pub const fn new() -> Self {
        Self([0; N])
    }

    /// The bytes, for [`Vae::new`](crate::Vae::new).
    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl<const N: usize> Default for Arena<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Bytes placed at a 16-byte boundary, for a blob embedded with `include_bytes!`.
///
/// ```
/// use picovae_core::arena::Aligned;
/// static BLOB: &Aligned<[u8]> = &Aligned(*b"not a model, only bytes");
/// assert_eq!(BLOB.0.as_ptr() as usize % 16, 0);
/// ```
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub struct Aligned<T: ?Sized>(
    /// The aligned value.
    pub T,
);

/// Sizes in an arena are rounded up to this many bytes.
pub const ALIGNMENT: usize = 16;

/// `len` rounded up to the next multiple of [`ALIGNMENT`]; lengths here are far below the address space.
pub const fn align_up(len: usize) -> usize {
    len.wrapping_add(ALIGNMENT - 1) & !(ALIGNMENT - 1)
}
