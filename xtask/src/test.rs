//! `cargo xtask test`: the whole suite, exactly what CI runs.
//!
//! Every check runs, whatever the ones before gave. The last line counts them,
//! each cargo test on its own.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::shell::{cargo, firmware, firmware_cargo, run as ok};
use crate::{bench, boards, image_check, parity, postgresql, setup, tidy};

/// Windows a model in the suite's parity run; `cargo xtask parity` runs them all.
const PARITY_WINDOWS: u64 = 24;

/// What a check counts for: tests passed and failed.
type Count = (u64, u64);

/// Runs every check; `false` if one failed.
pub fn run() -> Result<bool> {
    let mut suite = Suite::default();
    suite.check("compilation targets and QEMU", || setup::everything().map(|()| true));
    suite.check("tidy", tidy::run);
    suite.check("formatting", || formatting().map(|()| true));
    suite.count("cargo test", cargo_test);
    suite.count("cargo test of the firmware's host-side parts", firmware_test);
    suite.check("clippy", || clippy().map(|()| true));
    suite.check("parity: host and five emulated cores", || {
        parity::run(&parity::Args { windows: Some(PARITY_WINDOWS), ..Default::default() })
    });
    suite.check("kernels against their definitions, on six emulated cores", || {
        bench::kernels::run(&bench::kernels::Args { conformance: true, ..Default::default() })
    });
    suite.check("image checks", image_check::run);
    suite.check("boards link", || boards::build().map(|()| true));
    Ok(suite.finish())
}

fn formatting() -> Result<()> {
    ok(&mut cargo(["fmt", "--all", "--", "--check", "-l"]))?;
    ok(&mut firmware_cargo(&firmware(), ["fmt", "--all", "--", "--check", "-l"]))?;
    ok(&mut firmware_cargo(&firmware().join("bench"), ["fmt", "--all", "--", "--check", "-l"]))?;
    for board in boards::folders()? {
        ok(&mut firmware_cargo(&board, ["fmt", "--", "--check", "-l"]))?;
    }
    Ok(())
}

fn clippy() -> Result<()> {
    let deny = ["--", "--deny", "warnings"];
    let workspace = ["clippy", "--quiet", "--workspace", "--exclude", "xtask", "--all-targets"];
    ok(cargo(workspace).args(deny))?;
    ok(cargo(["clippy", "--quiet", "--package", "xtask", "--all-targets"]).args(deny))?;
    // Host code of the firmware workspace, then what runs on the device. Locked:
    // a dependency of the core is a dependency here.
    let host = [
        "clippy",
        "--quiet",
        "--locked",
        "--package",
        "picovae-embed",
        "--package",
        "picovae-sensors",
        "--package",
        "picovae-app",
    ];
    let mut host = firmware_cargo(&firmware(), host);
    ok(host.args(["--all-targets", "--target", host_target()?.as_str()]).args(deny))?;
    let blob = image_check::blob()?;
    let device = ["clippy", "--quiet", "--locked", "--release", "--package", "picovae-app"];
    let mut device = firmware_cargo(&firmware(), device);
    device.args(["--package", "picovae-qemu", "--package", "picovae-bare"]);
    ok(device.env("PICOVAE_BLOB", &blob).args(deny))?;
    for board in boards::folders()? {
        let mut clippy = boards::cargo(&board, ["clippy", "--quiet", "--locked", "--release"]);
        ok(clippy.arg(boards::FURTHER).args(deny))?;
    }
    Ok(())
}

/// The machine this runs on, as rustc calls it.
fn host_target() -> Result<String> {
    let text = crate::shell::output(Command::new("rustc").arg("-vV"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_string).context("rustc -vV names no host")
}

/// Every package but this one, then this one. In one go cargo would unite the
/// features of their dependencies, and then build some of them a
/// second time for the command line alone, which is built with `-p picovae`.
fn cargo_test() -> Result<Count> {
    let workspace = ["test", "--workspace", "--exclude", "xtask", "--no-fail-fast"];
    let server = postgresql::start();
    let mut tests = cargo(workspace);
    if let Some(server) = &server {
        tests.env("PICOVAE_POSTGRESQL", &server.url);
    }
    let (passed, failed) = count_tests(&mut tests)?;
    let (p, f) = count_tests(&mut cargo(["test", "--package", "xtask"]))?;
    Ok((passed + p, failed + f))
}

/// Drivers and tasks are generic, so they are tested here.
fn firmware_test() -> Result<Count> {
    let mut test = firmware_cargo(&firmware(), ["test", "--package", "picovae-sensors"]);
    count_tests(test.args(["--package", "picovae-app", "--target", host_target()?.as_str()]))
}

/// Runs `cargo test`, passes its output on line by line, and sums its results.
fn count_tests(command: &mut Command) -> Result<Count> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting cargo test")?;
    let (mut passed, mut failed) = (0, 0);
    let pipe = child.stdout.take().context("a pipe from cargo test")?;
    for line in BufReader::new(pipe).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        if let Some((p, f)) = results(&line) {
            passed += p;
            failed += f;
        }
    }
    let status = child.wait()?;
    // It may fail without a failed test: where something does not compile.
    if !status.success() && failed == 0 {
        bail!("cargo test ended with {status}");
    }
    Ok((passed, failed))
}

/// Numbers of a line `test result: ok. 3 passed; 0 failed; …`.
fn results(line: &str) -> Option<Count> {
    let rest = line.strip_prefix("test result: ")?;
    let number = |word: &str| {
        let (before, _) = rest.split_once(word)?;
        before.trim_end().rsplit(' ').next()?.parse().ok()
    };
    Some((number(" passed")?, number(" failed")?))
}

/// The checks so far.
#[derive(Default)]
struct Suite {
    rows: Vec<(&'static str, Count, Duration)>,
}

impl Suite {
    fn check(&mut self, name: &'static str, check: impl FnOnce() -> Result<bool>) {
        self.count(name, || check().map(|passed| if passed { (1, 0) } else { (0, 1) }));
    }

    fn count(&mut self, name: &'static str, check: impl FnOnce() -> Result<Count>) {
        println!("\n== {name}");
        let start = Instant::now();
        let count = check().unwrap_or_else(|error| {
            println!("error: {error:#}");
            (0, 1)
        });
        self.rows.push((name, count, start.elapsed()));
    }

    fn finish(&self) -> bool {
        println!("\n== summary");
        let (mut passed, mut failed) = (0, 0);
        for (name, (p, f), time) in &self.rows {
            let verdict = if *f == 0 { "ok" } else { "FAILED" };
            println!("{verdict:<6} {name} ({p} passed, {f} failed, {:.0} s)", time.as_secs_f64());
            passed += p;
            failed += f;
        }
        println!("{passed} passed, {failed} failed");
        failed == 0
    }
}

#[cfg(test)]
mod tests {
    use super::results;

    #[test]
    fn results_of_cargo_test_are_read() {
        let line = "test result: FAILED. 13 passed; 2 failed; 0 ignored; 0 measured";
        assert_eq!(results(line), Some((13, 2)));
        assert_eq!(results("running 3 tests"), None);
    }
}
