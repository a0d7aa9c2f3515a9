//! A study in a file, through `rusqlite`.

use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql};

use super::database::{Database, Value};

/// How long a writer waits for another's transaction.
const PATIENCE: Duration = Duration::from_secs(60);

struct Sqlite(Connection);

pub(super) fn open(path: &str) -> Result<Box<dyn Database>, String> {
    let connection = Connection::open(path).map_err(|error| error.to_string())?;
    connection.busy_timeout(PATIENCE).map_err(|error| error.to_string())?;
    Ok(Box::new(Sqlite(connection)))
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Bytes(value) => ValueRef::Blob(value),
        }))
    }
}

impl Database for Sqlite {
    fn begin(&mut self) -> Result<(), String> {
        self.0.execute_batch("BEGIN IMMEDIATE").map_err(|error| error.to_string())
    }

    fn run(&mut self, sql: &str, values: &[Value]) -> Result<u64, String> {
        let places = rusqlite::params_from_iter(values);
        let touched = self.0.execute(sql, places).map_err(|error| error.to_string())?;
        Ok(touched as u64)
    }

    fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Vec<Value>>, String> {
        let mut statement = self.0.prepare(sql).map_err(|error| error.to_string())?;
        let columns = statement.column_count();
        let rows = statement.query_map(rusqlite::params_from_iter(values), |row| {
            (0..columns)
                .map(|column| {
                    Ok(match row.get_ref(column)? {
                        ValueRef::Integer(value) => Value::Int(value),
                        ValueRef::Text(value) => Value::Text(String::from_utf8_lossy(value).into()),
                        ValueRef::Blob(value) => Value::Bytes(value.into()),
                        ValueRef::Real(value) => Value::Int(value as i64),
                        ValueRef::Null => Value::Int(0),
                    })
                })
                .collect()
        });
        let rows: rusqlite::Result<Vec<Vec<Value>>> = rows.and_then(Iterator::collect);
        rows.map_err(|error| error.to_string())
    }

    fn now(&self) -> &'static str {
        "CAST(strftime('%s', 'now') AS BIGINT)"
    }
}
