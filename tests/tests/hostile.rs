//! Hostile files end in order: each is read by the command in a process of its own, in
//! less than a second and 256 MiB.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use picovae_tests::cli::picovae;
use picovae_tests::hostile::files;

const SECOND: Duration = Duration::from_secs(1);
/// KiB.
const MEMORY: u64 = 256 << 10;
/// A busy machine may take its time, but not always.
const TRIES: usize = 3;

/// What reading a file took.
struct Taken {
    code: Option<i32>,
    words: String,
    time: Duration,
    /// The most memory that the process was seen to hold, KiB.
    peak: u64,
}

/// Reads a file in a process whose whole address space is limited.
fn inspect(path: &Path) -> Taken {
    let start = Instant::now();
    let mut child = Command::new("sh")
        .args(["-c", &format!("ulimit -v {MEMORY}; exec \"$0\" inspect \"$1\"")])
        .arg(picovae())
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut words = Vec::new();
        std::io::Read::read_to_end(&mut pipe, &mut words).unwrap();
        String::from_utf8_lossy(&words).into_owned()
    });
    let (mut peak, status) = (0, format!("/proc/{}/status", child.id()));
    let code = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let most = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let most = most.and_then(|words| words.split_whitespace().next()?.parse().ok());
        peak = most.unwrap_or(0).max(peak);
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if start.elapsed() > 20 * SECOND {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_micros(200));
    };
    let time = start.elapsed();
    Taken { code, words: reader.join().unwrap(), time, peak }
}

#[test]
fn every_hostile_file_ends_in_a_second_and_256_mib() {
    let folder = tempfile::tempdir().unwrap();
    let (mut wrong, mut slowest, mut largest, mut count) = (Vec::new(), None, None, 0);
    for file in files() {
        let path = folder.path().join(&file.name);
        let mut written = File::create(&path).unwrap();
        written.write_all(&file.bytes).unwrap();
        if file.length > 0 {
            written.set_len(file.length).unwrap();
        }
        let mut taken = inspect(&path);
        for _ in 1..TRIES {
            if taken.time >= SECOND {
                taken = inspect(&path);
            }
        }
        let ends = taken.code == Some(2) || file.may_pass && taken.code == Some(0);
        let panics = taken.words.contains("panicked") || taken.words.contains("memory");
        if !ends || panics || taken.time >= SECOND || taken.peak >= MEMORY {
            let Taken { code, words, time, peak } = &taken;
            let words: String = words.chars().take(300).collect();
            wrong.push(format!("{}: code {code:?}, {time:?}, {peak} KiB\n{words}", file.name));
        }
        slowest = slowest.max(Some((taken.time, file.name.clone())));
        largest = largest.max(Some((taken.peak, file.name)));
        count += 1;
        std::fs::remove_file(&path).unwrap();
    }
    let ((time, slow), (peak, large)) = (slowest.unwrap(), largest.unwrap());
    println!("{count} files; slowest {slow}, {} ms; largest {large}, {peak} KiB", time.as_millis());
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}
