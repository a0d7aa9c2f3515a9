//! `cargo xtask demo`: placeholder.
use anyhow::Result;
/// x
pub fn run() -> Result<bool> {
    Ok(true)
}
