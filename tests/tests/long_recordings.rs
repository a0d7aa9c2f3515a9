//! Recordings larger than memory: read in blocks they give what they give when read whole.

use std::path::Path;
use std::process::Command;

use picovae_tests::cli::{Workshop, picovae, stderr};
use serde_json::Value;

fn fan() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("models/fan-vae/fan-vae.pvae").to_str().unwrap().to_string()
}

/// Samples of a machine of three axes, differing from frame to frame.
fn samples(frames: usize) -> Vec<i16> {
    let at = |i: usize| ((i * 7_919 + i / 3 * 31) % 4_001) as i16 - 2_000;
    (0..3 * frames).map(at).collect()
}

fn write_wav(path: &Path, samples: &[i16]) {
    let len = 2 * samples.len() as u32;
    let mut bytes = Vec::new();
    bytes.extend(b"RIFF");
    bytes.extend((36 + len).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16u32.to_le_bytes());
    bytes.extend([1u16, 3].iter().flat_map(|x| x.to_le_bytes()));
    bytes.extend([1_600u32, 9_600].iter().flat_map(|x| x.to_le_bytes()));
    bytes.extend([6u16, 16].iter().flat_map(|x| x.to_le_bytes()));
    bytes.extend(b"data");
    bytes.extend(len.to_le_bytes());
    bytes.extend(samples.iter().flat_map(|x| x.to_le_bytes()));
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn blocks_and_whole_recordings_give_the_same() {
    let shop = Workshop::empty();
    let model = fan();
    // A length that no block divides.
    let samples = samples(7_777);
    let raw: Vec<u8> = samples.iter().flat_map(|x| x.to_le_bytes()).collect();
    std::fs::write(shop.path("r.raw"), &raw).unwrap();
    write_wav(&shop.path("r.wav"), &samples);
    picovae::recording::write_npy_i16(&shop.path("r.npy"), &[7_777, 3], &samples).unwrap();
    picovae::recording::write_npy_i16(&shop.path("clips.npy"), &[11, 707, 3], &samples).unwrap();
    // With a counter, which is no channel, and which only the end of the file can tell from one that is.
    let mut text = String::from("n,x,y,z\n");
    for (i, frame) in samples.chunks(3).enumerate() {
        text += &format!("{i},{},{},{}\n", frame[0], frame[1], frame[2]);
    }
    std::fs::write(shop.path("r.csv"), &text).unwrap();
    let mut hashes = Vec::new();
    for file in ["r.raw", "r.wav", "r.npy", "r.csv", "clips.npy"] {
        let run = |memory: &str, more: &[&str]| -> (Value, Vec<Vec<u8>>) {
            let mut arguments = vec!["simulate", model.as_str(), file, "--memory", memory];
            arguments.extend(["--scores", "s.csv", "--events", "e.csv", "--frames", "f.i16"]);
            if file == "r.raw" {
                arguments.extend(["--raw-input", "i16x3"]);
            }
            let report = shop.json(&[&arguments[..], more].concat());
            let files = ["s.csv", "e.csv", "f.i16"];
            (report, files.iter().map(|name| std::fs::read(shop.path(name)).unwrap()).collect())
        };
        let whole = run("64M", &[]);
        for memory in ["40000", "9000", "1"] {
            let blocks = run(memory, &[]);
            assert_eq!(blocks.0, whole.0, "{file} in {memory} bytes");
            assert!(blocks.1 == whole.1, "{file} in {memory} bytes: a file differs");
        }
        let learning = ["--recalibrate", "5000"];
        assert_eq!(run("9000", &learning), run("64M", &learning), "{file}");
        if file == "r.raw" {
            assert_eq!(whole.1[2], raw, "every frame once");
        }
        if file.starts_with("r.") && file != "r.csv" {
            let rows = ["--rows", "1000..5003"];
            assert_eq!(run("9000", &rows), run("64M", &rows), "{file}");
        }
        hashes.push(whole.0["hash"].clone());
    }
    assert!(hashes[..4].iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    // What is wrong is found where it is, however far in.
    std::fs::write(shop.path("cut.csv"), text.replace("7000,", "7000,x")).unwrap();
    let output = shop.run(&["simulate", &model, "cut.csv", "--memory", "9000"]);
    assert!(stderr(&output).contains("line 7002"), "{}", stderr(&output));
}

/// A file that takes 630 MB when it is read whole, in 350 MB of address space, of which the allocator reserves most.
#[test]
#[cfg(target_os = "linux")]
fn memory_stays_small() {
    let shop = Workshop::empty();
    // Zeros that take no room on the disk.
    let file = std::fs::File::create(shop.path("long.raw")).unwrap();
    file.set_len(6 * 35_000_000).unwrap();
    let mut command = Command::new(picovae());
    command.current_dir(shop.path("")).env("RAYON_NUM_THREADS", "2");
    command.args(["simulate", &fan(), "long.raw", "--raw-input", "i16x3", "--memory", "8M"]);
    command.args(["--rows", "20000000..", "--limit", "2000", "--json"]);
    let mut shell = Command::new("sh");
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    shell.current_dir(shop.path("")).env("RAYON_NUM_THREADS", "2");
    shell.args(["-c", &format!("ulimit -v 350000; exec {}", line.join(" "))]);
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["windows"], 2_000);
    // Whole, it does not fit.
    shell = Command::new("sh");
    shell.current_dir(shop.path("")).env("RAYON_NUM_THREADS", "2");
    let whole = line.join(" ").replace("'8M'", "'1000M'");
    shell.args(["-c", &format!("ulimit -v 350000; exec {whole}")]);
    assert!(!shell.output().unwrap().status.success());
}
