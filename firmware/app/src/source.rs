//! Where windows come from.

/// A source of raw windows.
pub trait Windows {
    /// Why a window could not be had.
    type Error: defmt::Format;

    /// Fills `window` (`[window_len][channels]`, time outermost) with raw
    /// samples; `false` where there are no more.
    ///
    /// # Errors
    /// The source's own.
    fn next_window(&mut self, window: &mut [i16]) -> Result<bool, Self::Error>;
}

/// Windows in flash: little-endian `i16`, back to back.
#[derive(Clone, Copy, Debug)]
pub struct Embedded<'a> {
    bytes: &'a [u8],
}

impl<'a> Embedded<'a> {
    /// Windows from `bytes`; an incomplete one at the end is left out.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The samples of all windows.
    pub fn samples(&self) -> impl Iterator<Item = i16> + use<'a> {
        let (pairs, _) = self.bytes.as_chunks::<2>();
        pairs.iter().map(|&pair| i16::from_le_bytes(pair))
    }
}

impl Windows for Embedded<'_> {
    type Error = core::convert::Infallible;

    fn next_window(&mut self, window: &mut [i16]) -> Result<bool, Self::Error> {
        let Some((bytes, rest)) = self.bytes.split_at_checked(window.len() * 2) else {
            return Ok(false);
        };
        let (pairs, _) = bytes.as_chunks::<2>();
        for (sample, &pair) in window.iter_mut().zip(pairs) {
            *sample = i16::from_le_bytes(pair);
        }
        self.bytes = rest;
        Ok(!window.is_empty())
    }
}
