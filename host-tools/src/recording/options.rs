//! What can be said about a recording before it is read.

/// How a file is to be read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReadOptions {
    /// Columns of a CSV file to keep, in that order, or the array of an NPZ file; empty keeps what measures.
    pub columns: Vec<String>,
    /// Keep missing samples (NaN, infinite, empty cells) as NaN instead of refusing them.
    pub gaps: bool,
    /// The file is samples without a header.
    pub headerless: Option<Headerless>,
}

/// Samples without a header, little-endian, written `i16x3`: the type, and the channels of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headerless {
    /// f32 instead of i16.
    pub float: bool,
    /// Values a frame.
    pub channels: usize,
}

impl std::str::FromStr for Headerless {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, channels) = text.split_once('x').unwrap_or((text, "1"));
        let float = match kind {
            "i16" => false,
            "f32" => true,
            _ => return Err(format!("`{text}` is neither i16 nor f32, such as i16x3")),
        };
        match channels.parse() {
            Ok(channels) if channels > 0 => Ok(Self { float, channels }),
            _ => Err(format!("`{text}` is no number of channels, such as i16x3")),
        }
    }
}
