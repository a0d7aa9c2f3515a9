//! A study on a PostgreSQL server, through `postgres`. The connection is not
//! encrypted: reach a server beyond the local network through a tunnel.

use postgres::types::{ToSql, Type};
use postgres::{Client, NoTls};

use super::database::{Database, Value};

struct Postgresql(Client);

pub(super) fn open(url: &str) -> Result<Box<dyn Database>, String> {
    Ok(Box::new(Postgresql(Client::connect(url, NoTls).map_err(said)?)))
}

/// The server's own words, where it had any: the client's are only "db error".
fn said(error: postgres::Error) -> String {
    match error.as_db_error() {
        Some(server) => server.message().to_string(),
        None => match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

fn place(value: &Value) -> &(dyn ToSql + Sync) {
    match value {
        Value::Int(value) => value,
        Value::Text(value) => value,
        Value::Bytes(value) => value,
    }
}

impl Database for Postgresql {
    fn begin(&mut self) -> Result<(), String> {
        // One key for all studies of a database: they are claimed in milliseconds.
        let sql = "BEGIN; SELECT pg_advisory_xact_lock(7016996765293437281)";
        self.0.batch_execute(sql).map_err(said)
    }

    fn run(&mut self, sql: &str, values: &[Value]) -> Result<u64, String> {
        let places: Vec<_> = values.iter().map(place).collect();
        self.0.execute(sql, &places).map_err(said)
    }

    fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Vec<Value>>, String> {
        let places: Vec<_> = values.iter().map(place).collect();
        let rows = self.0.query(sql, &places).map_err(said)?;
        let value = |row: &postgres::Row, column: usize| {
            Ok(match *row.columns()[column].type_() {
                Type::INT8 => Value::Int(row.try_get(column)?),
                Type::BYTEA => Value::Bytes(row.try_get(column)?),
                _ => Value::Text(row.try_get(column)?),
            })
        };
        let all: Result<Vec<Vec<Value>>, postgres::Error> =
            rows.iter().map(|row| (0..row.len()).map(|c| value(row, c)).collect()).collect();
        all.map_err(said)
    }

    fn now(&self) -> &'static str {
        "CAST(extract(epoch FROM clock_timestamp()) AS BIGINT)"
    }
}
