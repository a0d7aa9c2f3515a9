//! What both databases must do: a statement, a question, one writer at a time.

/// A value in a row or a place of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// BIGINT.
    Int(i64),
    /// TEXT.
    Text(String),
    /// BYTEA.
    Bytes(Vec<u8>),
}

impl Value {
    /// The number, or 0.
    pub(super) fn int(&self) -> i64 {
        if let Self::Int(value) = self { *value } else { 0 }
    }

    /// The text, or none.
    pub(super) fn text(&self) -> &str {
        if let Self::Text(value) = self { value } else { "" }
    }
}

/// A number.
pub(super) fn int(value: i64) -> Value {
    Value::Int(value)
}

/// A text.
pub(super) fn text(value: &str) -> Value {
    Value::Text(value.into())
}

/// Bytes.
pub(super) fn bytes(value: &[u8]) -> Value {
    Value::Bytes(value.into())
}

/// A connection. Places in statements are `$1`, `$2`, … in order of first use,
/// which both dialects read alike.
pub(super) trait Database: Send {
    /// Begins a transaction that no other may write beside.
    fn begin(&mut self) -> Result<(), String>;
    /// Runs a statement; rows it touched.
    fn run(&mut self, sql: &str, values: &[Value]) -> Result<u64, String>;
    /// Asks a question.
    fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Vec<Value>>, String>;
    /// Seconds of the database's own clock, as SQL: machines' clocks differ.
    fn now(&self) -> &'static str;
}
