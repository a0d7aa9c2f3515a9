//! The built `picovae` command, and a folder to run it in.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// Path of the command, built once in this test run's profile.
pub fn picovae() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["build", "--quiet", "--package", "picovae", "--bin", "picovae"])
            .args(["--message-format", "json-render-diagnostics"])
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", stderr(&output));
        let messages = String::from_utf8_lossy(&output.stdout);
        // The last message that names an executable; no JSON parser for one field.
        let line = messages.lines().rev().find(|line| line.contains("\"executable\":\""));
        let path = line.and_then(|line| line.split("\"executable\":\"").nth(1)?.split('"').next());
        PathBuf::from(path.expect("cargo names the executable"))
    })
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder with a small machine recording, a model trained on it, and its blob.
pub struct Workshop {
    folder: TempDir,
}

impl Workshop {
    /// The folder alone.
    ///
    /// # Panics
    /// Where there is no room for it.
    pub fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Makes all of them.
    ///
    /// # Panics
    /// Where the command fails: this is for tests.
    #[expect(clippy::new_without_default, reason = "it runs commands")]
    pub fn new() -> Self {
        let this = Self { folder: tempfile::tempdir().unwrap() };
        this.ok(&["synth", "normal.npy", "--windows", "60", "--seed", "1"]);
        this.ok(&["synth", "faulty.npy", "--windows", "40", "--seed", "2", "--fault", "imbalance"]);
        this.train("machine.safetensors", &[]);
        this.ok(&[
            "quantize",
            "machine.safetensors",
            "--calibrate",
            "normal.npy",
            "-o",
            "machine.pvae",
        ]);
        this
    }

    /// Trains the model of this folder, always the same, under another name.
    pub fn train(&self, out: &str, more: &[&str]) {
        let arguments = "train normal.npy --likelihood gaussian --remove-mean --hidden 24 \
             --latent 4 --epochs 15 --seed 3 --score reconstruction-error -o";
        let arguments: Vec<&str> = arguments.split_whitespace().chain([out]).collect();
        self.ok(&[&arguments, more].concat());
    }

    /// A file of the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the command there.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new(picovae()).current_dir(self.folder.path()).args(arguments).output().unwrap()
    }

    /// Runs what must succeed; gives standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}\n{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs with `--json`.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let text = self.ok(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Fails with exit code 2, without a panic, naming all of `words`.
    pub fn refused(&self, arguments: &[&str], words: &[&str]) {
        let output = self.run(arguments);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}\n{text}");
        assert!(!text.contains("panicked"), "{text}");
        // The report wraps lines at the terminal's width.
        let flat: String =
            text.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(flat.contains(word), "`{word}` is missing in:\n{text}");
        }
    }
}
