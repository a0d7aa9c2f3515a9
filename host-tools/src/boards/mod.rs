//! Boards: what they are, what fits them, and how an image gets onto one.
//!
//! A board is a folder of `firmware/boards/` with its `board.toml`. Those of the checkout that
//! this was built from are compiled in, so that an installed `picovae` knows them; a [`Checkout`]
//! that is found wins, and alone can be built.

mod board;
mod build;
mod checkout;
mod error;
mod hex;
mod image;
mod probe;
mod room;
mod uf2;

pub use board::{Board, Core};
pub use build::{Built, build};
pub use checkout::{Checkout, FIRMWARE_VARIABLE};
pub use error::BoardError;
pub use hex::hex;
pub use image::{Image, Segment};
pub use probe::{attached, download, reset, run};
pub use room::Room;
pub use uf2::{BLOCK_LEN, UF2_PAYLOAD, uf2};

include!(concat!(env!("OUT_DIR"), "/boards.rs"));

/// The boards compiled in, by name.
///
/// # Errors
/// [`BoardError::Description`] of a `board.toml` that was damaged when this was built.
pub fn built_in() -> Result<Vec<Board>, BoardError> {
    BUILT_IN.iter().map(|(folder, text)| Board::parse(folder, text)).collect()
}

/// The boards of the checkout, or those compiled in where there is none.
///
/// # Errors
/// [`BoardError::Description`] of a damaged `board.toml`.
pub fn all(checkout: Option<&Checkout>) -> Result<Vec<Board>, BoardError> {
    match checkout {
        Some(checkout) => checkout.boards(),
        None => built_in(),
    }
}

/// The board called `name`.
///
/// # Errors
/// [`BoardError::Unknown`] lists the boards there are.
pub fn find(boards: Vec<Board>, name: &str) -> Result<Board, BoardError> {
    let known: Vec<String> = boards.iter().map(|board| board.name.clone()).collect();
    let found = boards.into_iter().find(|board| board.name == name);
    found.ok_or_else(|| BoardError::Unknown { name: name.into(), known: known.join(", ") })
}
