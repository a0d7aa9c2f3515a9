//! The study: every trial in one database, so that any number of processes and
//! machines take turns without talking to each other.
//!
//! A claim is a row's state with a heartbeat. Whoever finds a heartbeat older
//! than the study's patience takes the trial over, from the last rung's weights;
//! a worker that comes back from the dead finds its claim gone and its result
//! refused.

mod database;
#[cfg(feature = "postgresql")]
mod postgresql;
mod sqlite;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use database::{Database, Value, bytes, int, text};

use super::candidate::Candidate;
use super::figures::Figures;

/// What went wrong with a study.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum StudyError {
    /// The database.
    #[error("{study}: {reason}")]
    #[diagnostic(help(
        "give --study a file that can be written, or postgresql://user@host/database of a server that is reached"
    ))]
    Database {
        /// The file, or the server without its password.
        study: String,
        /// What the client said.
        reason: String,
    },
    /// This build has no PostgreSQL client.
    #[error("this build of picovae has no PostgreSQL client")]
    #[diagnostic(help("build it with the feature `postgresql`, or give --study a file"))]
    NoPostgresql,
    /// A study of this name searches for something else.
    #[error("{study}: the study `{name}` was begun with other settings: {difference}")]
    #[diagnostic(help("give the same settings and data, or another --name"))]
    Settings {
        /// The database.
        study: String,
        /// The study.
        name: String,
        /// The settings that differ.
        difference: String,
    },
    /// A row does not make sense.
    #[error("{study}: trial {trial}: {reason}")]
    #[diagnostic(help("the study was written by another version, or by hand: begin a new one"))]
    Row {
        /// The database.
        study: String,
        /// The trial.
        trial: i64,
        /// What is wrong with it.
        reason: String,
    },
}

/// Where a trial stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Someone works on its rung.
    Running,
    /// Its rung is done.
    Done,
    /// It cannot be trained.
    Failed,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// A trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// From 0.
    pub id: i64,
    /// The network.
    pub candidate: Candidate,
    /// The trial whose weights it began with.
    pub parent: Option<i64>,
    /// The rung it is at, from 0.
    pub rung: usize,
    /// Where it stands.
    pub state: State,
    /// Seconds since its worker was heard of.
    pub silent: i64,
    /// Figures of each rung it has finished.
    pub figures: Vec<Figures>,
    /// Why it failed.
    pub note: String,
}

/// A study in a database.
pub struct Study {
    database: Box<dyn Database>,
    url: String,
    name: String,
}

const TABLES: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS picovae_study (
        name TEXT PRIMARY KEY, settings TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS picovae_trial (
        study TEXT NOT NULL, id BIGINT NOT NULL, candidate TEXT NOT NULL, parent BIGINT NOT NULL,
        rung BIGINT NOT NULL, state TEXT NOT NULL, worker TEXT NOT NULL, beat BIGINT NOT NULL,
        note TEXT NOT NULL, PRIMARY KEY (study, id))",
    "CREATE TABLE IF NOT EXISTS picovae_result (
        study TEXT NOT NULL, trial BIGINT NOT NULL, rung BIGINT NOT NULL, figures TEXT NOT NULL,
        weights BYTEA NOT NULL, PRIMARY KEY (study, trial, rung))",
];

impl Study {
    /// Opens the database at `url`, a file or `postgresql://…`, and makes its tables.
    ///
    /// # Errors
    /// [`StudyError::Database`], [`StudyError::NoPostgresql`].
    pub fn open(url: &str, name: &str) -> Result<Self, StudyError> {
        let shown = without_password(url);
        let is_server = url.starts_with("postgresql://") || url.starts_with("postgres://");
        let opened: Result<Box<dyn Database>, String> = if is_server {
            #[cfg(feature = "postgresql")]
            {
                postgresql::open(url)
            }
            #[cfg(not(feature = "postgresql"))]
            return Err(StudyError::NoPostgresql);
        } else {
            sqlite::open(url)
        };
        let failed = |reason| StudyError::Database { study: shown.clone(), reason };
        let mut study =
            Self { database: opened.map_err(failed)?, url: shown.clone(), name: name.into() };
        // Two that begin at once must not both make the tables.
        study.within(|study| TABLES.iter().try_for_each(|sql| study.run(sql, &[]).map(drop)))?;
        Ok(study)
    }

    /// Begins the study, or joins it where its settings are these.
    ///
    /// # Errors
    /// [`StudyError::Settings`] where they are not.
    pub fn join(&mut self, settings: &serde_json::Value) -> Result<(), StudyError> {
        let line = settings.to_string();
        self.within(|study| {
            let known = study
                .rows("SELECT settings FROM picovae_study WHERE name = $1", &[text(&study.name)])?;
            let Some(row) = known.first() else {
                let new = [text(&study.name), text(&line)];
                study.run("INSERT INTO picovae_study (name, settings) VALUES ($1, $2)", &new)?;
                return Ok(());
            };
            let known = row.first().map(Value::text).unwrap_or_default();
            let known = serde_json::from_str(known).unwrap_or_default();
            // Both as they were read: a number may lose its last bit on the way.
            let given = serde_json::from_str(&line).unwrap_or_default();
            match difference(&known, &given) {
                None => Ok(()),
                Some(difference) => Err(StudyError::Settings {
                    study: study.url.clone(),
                    name: study.name.clone(),
                    difference,
                }),
            }
        })
    }

    /// Every trial, in order.
    ///
    /// # Errors
    /// [`StudyError`].
    pub fn trials(&mut self) -> Result<Vec<Trial>, StudyError> {
        let now = self.database.now();
        let sql = format!(
            "SELECT id, candidate, parent, rung, state, {now} - beat, note
             FROM picovae_trial WHERE study = $1 ORDER BY id"
        );
        let name = text(&self.name);
        let rows = self.rows(&sql, std::slice::from_ref(&name))?;
        let figures = self.rows(
            "SELECT trial, figures FROM picovae_result WHERE study = $1 ORDER BY trial, rung",
            &[name],
        )?;
        let mut trials = Vec::with_capacity(rows.len());
        for row in rows {
            trials.push(self.trial(&row)?);
        }
        for row in figures {
            let [id, line] = &row[..] else { continue };
            let parsed = serde_json::from_str(line.text());
            let parsed = parsed.map_err(|error| self.odd(id.int(), error.to_string()))?;
            if let Ok(at) = trials.binary_search_by_key(&id.int(), |trial| trial.id) {
                trials[at].figures.push(parsed);
            }
        }
        Ok(trials)
    }

    fn trial(&self, row: &[Value]) -> Result<Trial, StudyError> {
        let [id, candidate, parent, rung, state, silent, note] = row else {
            return Err(self.odd(-1, "columns are missing".into()));
        };
        let id = id.int();
        Ok(Trial {
            id,
            candidate: candidate.text().parse().map_err(|reason| self.odd(id, reason))?,
            parent: Some(parent.int()).filter(|parent| *parent >= 0),
            rung: usize::try_from(rung.int()).unwrap_or(0),
            state: match state.text() {
                "running" => State::Running,
                "done" => State::Done,
                "failed" => State::Failed,
                other => return Err(self.odd(id, format!("unknown state `{other}`"))),
            },
            silent: silent.int(),
            figures: Vec::new(),
            note: note.text().into(),
        })
    }

    /// Adds a trial at rung 0 and claims it. Only [`within`](Self::within).
    pub(super) fn add(
        &mut self,
        candidate: &Candidate,
        parent: Option<i64>,
        worker: &str,
    ) -> Result<i64, StudyError> {
        let count = "SELECT count(*) FROM picovae_trial WHERE study = $1";
        let rows = self.rows(count, &[text(&self.name)])?;
        let id = rows.first().and_then(|row| row.first()).map_or(0, Value::int);
        let sql = format!(
            "INSERT INTO picovae_trial
             (study, id, candidate, parent, rung, state, worker, beat, note)
             VALUES ($1, $2, $3, $4, 0, 'running', $5, {}, '')",
            self.database.now()
        );
        let parent = parent.unwrap_or(-1);
        let new =
            [text(&self.name), int(id), text(&candidate.to_string()), int(parent), text(worker)];
        self.run(&sql, &new)?;
        Ok(id)
    }

    /// Claims a trial for a rung. Only [`within`](Self::within).
    pub(super) fn claim(&mut self, id: i64, rung: usize, worker: &str) -> Result<(), StudyError> {
        let sql = format!(
            "UPDATE picovae_trial SET rung = $1, state = 'running', worker = $2, beat = {}
             WHERE study = $3 AND id = $4",
            self.database.now()
        );
        self.run(&sql, &[int(rung as i64), text(worker), text(&self.name), int(id)])?;
        Ok(())
    }

    /// Tells that the worker lives. False where the claim is someone else's by now.
    ///
    /// # Errors
    /// [`StudyError::Database`].
    pub fn beat(&mut self, id: i64, worker: &str) -> Result<bool, StudyError> {
        let sql = format!(
            "UPDATE picovae_trial SET beat = {}
             WHERE study = $1 AND id = $2 AND worker = $3 AND state = 'running'",
            self.database.now()
        );
        Ok(self.run(&sql, &[text(&self.name), int(id), text(worker)])? == 1)
    }

    /// Writes a rung's figures and weights. False where the claim is someone else's by now.
    ///
    /// # Errors
    /// [`StudyError::Database`].
    pub fn finish(
        &mut self,
        id: i64,
        rung: usize,
        worker: &str,
        figures: &Figures,
        weights: &[u8],
    ) -> Result<bool, StudyError> {
        let line =
            serde_json::to_string(figures).map_err(|error| self.odd(id, error.to_string()))?;
        self.within(|study| {
            if !study.end(id, worker, State::Done, "")? {
                return Ok(false);
            }
            let new = [text(&study.name), int(id), int(rung as i64), text(&line), bytes(weights)];
            study.run(
                "INSERT INTO picovae_result (study, trial, rung, figures, weights)
                 VALUES ($1, $2, $3, $4, $5)",
                &new,
            )?;
            Ok(true)
        })
    }

    /// Marks a trial as one that cannot be trained.
    ///
    /// # Errors
    /// [`StudyError::Database`].
    pub fn fail(&mut self, id: i64, worker: &str, note: &str) -> Result<bool, StudyError> {
        self.end(id, worker, State::Failed, note)
    }

    fn end(&mut self, id: i64, worker: &str, state: State, note: &str) -> Result<bool, StudyError> {
        let sql = "UPDATE picovae_trial SET state = $1, note = $2
                   WHERE study = $3 AND id = $4 AND worker = $5 AND state = 'running'";
        let values = [text(state.name()), text(note), text(&self.name), int(id), text(worker)];
        Ok(self.run(sql, &values)? == 1)
    }

    /// Weights of a finished rung.
    ///
    /// # Errors
    /// [`StudyError::Database`].
    pub fn weights(&mut self, id: i64, rung: usize) -> Result<Option<Vec<u8>>, StudyError> {
        let mut rows = self.rows(
            "SELECT weights FROM picovae_result WHERE study = $1 AND trial = $2 AND rung = $3",
            &[text(&self.name), int(id), int(rung as i64)],
        )?;
        Ok(match rows.pop().and_then(|mut row| row.pop()) {
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        })
    }

    /// Runs `f` while nobody else writes.
    pub(super) fn within<T>(
        &mut self,
        f: impl FnOnce(&mut Self) -> Result<T, StudyError>,
    ) -> Result<T, StudyError> {
        self.database.begin().map_err(|reason| self.failed(reason))?;
        let outcome = f(self);
        let end = if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" };
        match (self.run(end, &[]), outcome) {
            (Err(error), Ok(_)) => Err(error),
            (_, outcome) => outcome,
        }
    }

    fn run(&mut self, sql: &str, values: &[Value]) -> Result<u64, StudyError> {
        self.database.run(sql, values).map_err(|reason| self.failed(reason))
    }

    fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Vec<Value>>, StudyError> {
        self.database.rows(sql, values).map_err(|reason| self.failed(reason))
    }

    fn failed(&self, reason: String) -> StudyError {
        StudyError::Database { study: self.url.clone(), reason }
    }

    fn odd(&self, trial: i64, reason: String) -> StudyError {
        StudyError::Row { study: self.url.clone(), trial, reason }
    }
}

/// Every key whose values differ, and how.
fn difference(known: &serde_json::Value, given: &serde_json::Value) -> Option<String> {
    let empty = serde_json::Map::new();
    let (known, given) = (known.as_object().unwrap_or(&empty), given.as_object().unwrap_or(&empty));
    let keys: BTreeSet<&String> = known.keys().chain(given.keys()).collect();
    let none = serde_json::Value::Null;
    let pairs = keys
        .iter()
        .map(|key| (key, known.get(*key).unwrap_or(&none), given.get(*key).unwrap_or(&none)));
    let differ = pairs.filter(|(_, was, is)| was != is);
    let said: Vec<String> =
        differ.map(|(key, was, is)| format!("`{key}` was {was}, is {is}")).collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// A URL as it may be shown.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.into() };
    match rest.rsplit_once('@') {
        Some((login, host)) => {
            let user = login.split(':').next().unwrap_or(login);
            format!("{scheme}://{user}@{host}")
        }
        None => url.into(),
    }
}
