//! `board.toml`: one board's description.

use std::borrow::Cow;
use std::path::PathBuf;

use picovae_core::Model;
use serde::{Deserialize, Deserializer, Serialize};

use super::BoardError;
use crate::emit::pack::for_target;
use crate::emit::{Blob, BlobError, repack};

/// A board as its `board.toml` describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board {
    /// Name, and the folder's.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Rust's target triple.
    pub target: String,
    /// The chip as `probe-rs` calls it.
    pub chip: String,
    /// The core.
    pub core: Core,
    /// Clock of the core.
    pub clock_hz: u64,
    /// Flash of the chip.
    pub flash_bytes: u64,
    /// RAM of the chip.
    pub ram_bytes: u64,
    /// Where flash begins.
    pub flash_origin: u32,
    /// Family of the chip in UF2 files, where its boot loader takes them.
    #[serde(default, deserialize_with = "maybe_number")]
    pub uf2_family: Option<u32>,
    /// The sensor that the board's firmware reads.
    #[serde(default)]
    pub sensor: Option<String>,
    /// Where the blob lies, where the firmware can read it from a section of its own.
    #[serde(default)]
    pub model_origin: Option<u32>,
    /// Bytes of that section.
    #[serde(default)]
    pub model_bytes: Option<u64>,
    /// Flash of the app without its blob.
    #[serde(default = "app_flash_bytes")]
    pub app_flash_bytes: u64,
    /// RAM of the app without arena, window and stack.
    #[serde(default = "app_ram_bytes")]
    pub app_ram_bytes: u64,
}

/// What the app is held to where a board says nothing else (`cargo xtask size`).
fn app_flash_bytes() -> u64 {
    40 * 1024
}

/// What the app is held to where a board says nothing else.
fn app_ram_bytes() -> u64 {
    12 * 1024
}

/// A core that has kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Core {
    /// Cortex-M0 and M0+.
    M0,
    /// Cortex-M3.
    M3,
    /// Cortex-M33.
    M33,
    /// Cortex-M4.
    M4,
    /// Cortex-M55.
    M55,
    /// Cortex-M7.
    M7,
}

impl Core {
    /// The name that `--target` takes.
    pub fn target(self) -> &'static str {
        match self {
            Self::M0 => "cortex-m0",
            Self::M3 => "cortex-m3",
            Self::M33 => "cortex-m33",
            Self::M4 => "cortex-m4",
            Self::M55 => "cortex-m55",
            Self::M7 => "cortex-m7",
        }
    }
}

impl Board {
    /// Reads the text of a `board.toml`; `folder` names it in errors.
    ///
    /// # Errors
    /// [`BoardError::Description`].
    pub fn parse(folder: &str, text: &str) -> Result<Self, BoardError> {
        let wrong = |reason: String| BoardError::Description {
            path: PathBuf::from(folder).join("board.toml"),
            reason,
        };
        let board: Self = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if board.clock_hz == 0 || board.flash_bytes == 0 || board.ram_bytes == 0 {
            return Err(wrong("clock_hz, flash_bytes and ram_bytes must not be 0".into()));
        }
        if board.model_origin.is_some_and(|origin| !origin.is_multiple_of(16)) {
            return Err(wrong("model_origin must be a multiple of 16".into()));
        }
        Ok(board)
    }

    /// Whether a blob's weights are packed for the kernels of the board's core.
    pub fn is_packed(&self, model: &Model<'_>) -> bool {
        for_target(model.description().target) == for_target(self.core.target())
    }

    /// The blob, packed for the board's core where it is packed for another: the same scores, and fast.
    ///
    /// # Errors
    /// [`BlobError`].
    pub fn pack<'b>(&self, blob: &'b Blob) -> Result<Cow<'b, Blob>, BlobError> {
        match self.is_packed(&blob.model()?) {
            true => Ok(Cow::Borrowed(blob)),
            false => repack(blob, self.core.target()).map(Cow::Owned),
        }
    }
}

/// A number, or one written as text in hexadecimal.
fn maybe_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Number(u32),
        Text(String),
    }
    let text = match Number::deserialize(deserializer)? {
        Number::Number(number) => return Ok(Some(number)),
        Number::Text(text) => text,
    };
    let digits = text.strip_prefix("0x").unwrap_or(&text).replace('_', "");
    let number = u32::from_str_radix(&digits, 16);
    number.map(Some).map_err(|error| serde::de::Error::custom(format!("`{text}`: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICO: &str = r#"
        name = "pico"
        title = "Raspberry Pi Pico"
        target = "thumbv6m-none-eabi"
        chip = "RP2040"
        core = "m0"
        clock_hz = 125_000_000
        flash_bytes = 2097152
        ram_bytes = 270336
        flash_origin = 0x1000_0000
        uf2_family = "0xe48bff56"
    "#;

    #[test]
    fn a_description_is_read_and_a_wrong_one_named() {
        let pico = Board::parse("pico", PICO).unwrap();
        assert_eq!((pico.core, pico.uf2_family), (Core::M0, Some(0xe48b_ff56)));
        assert_eq!(pico.flash_origin, 0x1000_0000);
        assert_eq!((pico.sensor, pico.model_origin), (None, None));
        for (from, to) in [
            ("core = \"m0\"", "core = \"m1\""),
            ("125_000_000", "0"),
            ("0xe48bff56", "pico"),
            ("chip", "chap"),
        ] {
            let error = Board::parse("pico", &PICO.replace(from, to)).unwrap_err();
            assert!(error.to_string().contains("board.toml"), "{error}");
        }
    }
}
