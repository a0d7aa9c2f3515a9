//! The checkout that holds the boards' firmware, and how it is found.

use std::path::{Path, PathBuf};

use super::{Board, BoardError};

/// Names the checkout, or its `firmware` folder.
pub const FIRMWARE_VARIABLE: &str = "PICOVAE_FIRMWARE";

/// A folder with `boards/` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    boards: PathBuf,
}

impl Checkout {
    /// At `folder`: the checkout itself, or its `firmware` folder.
    pub fn at(folder: &Path) -> Option<Self> {
        [folder.join("firmware/boards"), folder.join("boards")]
            .into_iter()
            .find(|boards| is_boards(boards))
            .map(|boards| Self { boards })
    }

    /// At `named`; else where [`FIRMWARE_VARIABLE`] says; else the nearest folder from the current one upward.
    ///
    /// `Ok(None)` where nothing was named and nothing found.
    ///
    /// # Errors
    /// [`BoardError::NoFirmware`] where a folder was named and holds no boards.
    pub fn find(named: Option<&Path>) -> Result<Option<Self>, BoardError> {
        let variable = std::env::var_os(FIRMWARE_VARIABLE).filter(|value| !value.is_empty());
        if let Some(folder) = named.map(Path::to_path_buf).or(variable.map(PathBuf::from)) {
            let none = || BoardError::NoFirmware {
                board: "any board".into(),
                looked: format!("{} holds no firmware/boards", folder.display()),
            };
            return Self::at(&folder).map(Some).ok_or_else(none);
        }
        let here = std::env::current_dir().unwrap_or_default();
        Ok(here.ancestors().find_map(Self::at))
    }

    /// Every board that has a description, by name.
    ///
    /// # Errors
    /// [`BoardError`] of a folder or description that cannot be read.
    pub fn boards(&self) -> Result<Vec<Board>, BoardError> {
        let io = |path: &Path, source| BoardError::Io { path: path.to_path_buf(), source };
        let entries = std::fs::read_dir(&self.boards).map_err(|e| io(&self.boards, e))?;
        let mut boards = Vec::new();
        for folder in entries.filter_map(Result::ok).map(|entry| entry.path()) {
            let file = folder.join("board.toml");
            if file.is_file() {
                let text = std::fs::read_to_string(&file).map_err(|e| io(&file, e))?;
                boards.push(Board::parse(&folder.to_string_lossy(), &text)?);
            }
        }
        boards.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(boards)
    }

    /// The folder of a board's crate.
    ///
    /// # Errors
    /// [`BoardError::NoFirmware`] where it has none.
    pub fn folder(&self, board: &str) -> Result<PathBuf, BoardError> {
        let folder = self.boards.join(board);
        if folder.join("Cargo.toml").is_file() {
            return Ok(folder);
        }
        let looked = format!("{} has no Cargo.toml", folder.display());
        Err(BoardError::NoFirmware { board: board.into(), looked })
    }
}

/// Whether a folder of a folder in it has a `board.toml`.
fn is_boards(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(Result::ok).any(|entry| entry.path().join("board.toml").is_file())
}
