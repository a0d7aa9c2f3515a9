//! `picovae boards` and `picovae flash`: what is listed, refused, built, and handed to a probe.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use picovae_tests::cli::{Workshop, picovae, stderr};
use serde_json::Value;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn fan() -> PathBuf {
    repository().join("models/fan-vae/fan-vae.pvae")
}

/// Runs the command in a folder outside of any checkout, with programs of `bin` alone on PATH.
fn run(shop: &Workshop, bin: Option<&Path>, arguments: &[&str]) -> Output {
    let mut command = Command::new(picovae());
    command.current_dir(shop.path("")).args(arguments).env_remove("PICOVAE_FIRMWARE");
    if let Some(bin) = bin {
        command.env("PATH", bin);
    }
    command.output().unwrap()
}

/// Whether standard error says so; long lines are broken anywhere, so spaces do not count.
fn says(output: &Output, needle: &str) -> bool {
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    squeezed(&stderr(output)).contains(&squeezed(needle))
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A `probe-rs` that lists `probes` and writes down what else it is asked to do.
#[cfg(unix)]
fn fake_probe_rs(shop: &Workshop, probes: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let bin = shop.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = list ]; then echo '{probes}'; exit 0; fi\n\
         echo \"$@\" >> '{}'\nfor last; do :; done\nif [ -f \"$last\" ]; then read -r line < \"$last\"; \
         echo \"$line\" >> '{}'; fi\n",
        shop.path("asked").display(),
        shop.path("asked").display()
    );
    std::fs::write(bin.join("probe-rs"), script).unwrap();
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(bin.join("probe-rs"), executable).unwrap();
    bin
}

#[test]
fn boards_are_those_of_the_folder_with_or_without_it() {
    let shop = Workshop::empty();
    let built_in = json(&run(&shop, None, &["boards", "--json"]));
    let repository = repository();
    let folder = repository.to_str().unwrap();
    let fan = fan();
    let listed =
        json(&run(&shop, None, &["boards", fan.to_str().unwrap(), "--firmware", folder, "--json"]));
    let boards = listed["boards"].as_array().unwrap();
    let names: Vec<_> = boards.iter().map(|board| board["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"nrf52840-dk"), "{names:?}");
    for board in boards {
        let name = board["name"].as_str().unwrap();
        let file = repository.join("firmware/boards").join(name).join("board.toml");
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.contains(&format!("\"{}\"", board["chip"].as_str().unwrap())), "{name}");
        let room = &board["room"];
        let blob = board["blob_bytes"].as_u64().unwrap();
        assert!(room["flash_bytes"].as_u64().unwrap() > blob, "{board}");
        assert!(room["ram_bytes"].as_u64().unwrap() > 2 * 600, "arena and window: {board}");
        let instructions = room["instructions"].as_f64().unwrap();
        let time = 1e3 * instructions / board["clock_hz"].as_f64().unwrap();
        assert!((room["milliseconds"].as_f64().unwrap() / time - 1.0).abs() < 1e-9, "{board}");
        assert_eq!(room["fits"], true, "a blob of a few KB: {board}");
        if let Some(old) = built_in["boards"].as_array().unwrap().iter().find(|b| b["name"] == name)
        {
            assert_eq!((&old["chip"], &old["target"]), (&board["chip"], &board["target"]));
            assert!(old["room"].is_null());
        }
    }
    assert!(!built_in["boards"].as_array().unwrap().is_empty());
    let text = run(&shop, None, &["boards"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("nRF52840_xxAA"));
}

#[test]
fn what_does_not_fit_is_told() {
    let shop = Workshop::empty();
    let board = shop.path("firmware/boards/tiny");
    std::fs::create_dir_all(&board).unwrap();
    let text = "name = 'tiny'\ntitle = 'Tiny'\ntarget = 'thumbv6m-none-eabi'\nchip = 'T'\ncore = 'm0'\n\
                clock_hz = 8_000_000\nflash_bytes = 4096\nflash_origin = 0\nram_bytes = 1024\n";
    std::fs::write(board.join("board.toml"), text).unwrap();
    let fan = fan();
    let fan = fan.to_str().unwrap();
    // The checkout around the current folder is found.
    let listed = json(&run(&shop, None, &["boards", fan, "--json"]));
    assert_eq!(listed["boards"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["boards"][0]["room"]["fits"], false);
    let failed = |arguments: &[&str], needles: &[&str]| {
        let output = run(&shop, None, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        for needle in needles {
            assert!(says(&output, needle), "{needle}: {}", stderr(&output));
        }
    };
    failed(&["flash", "--board", "tiny", fan, "--dry-run"], &["fan-vae.pvae", "4096", "compress"]);
    failed(&["flash", "--board", "huge", fan, "--dry-run"], &["huge", "tiny"]);
    failed(&["flash", "--board", "tiny", fan, "--dry-run", "--model-only"], &["--model-only"]);
    std::fs::write(board.join("board.toml"), text.replace("4096", "1048576")).unwrap();
    let large = text.replace("4096", "1048576").replace("1024", "262144");
    std::fs::write(board.join("board.toml"), large).unwrap();
    failed(&["flash", "--board", "tiny", fan, "--dry-run"], &["Cargo.toml", "--firmware"]);
    std::fs::write(board.join("board.toml"), "name = 3").unwrap();
    failed(&["boards"], &["board.toml", "porting.md"]);
    failed(&["boards", "--firmware", "nowhere"], &["nowhere", "--firmware"]);
}

#[test]
#[cfg(unix)]
fn without_probe_or_probe_rs_the_remedy_is_named() {
    let shop = Workshop::empty();
    let fan = fan();
    let flash = ["flash", "--board", "nrf52840-dk", fan.to_str().unwrap()];
    let nothing = run(&shop, Some(&shop.path("nothing")), &flash);
    assert_eq!(nothing.status.code(), Some(2));
    for needle in ["`probe-rs` is not installed", "--dry-run"] {
        assert!(says(&nothing, needle), "{}", stderr(&nothing));
    }
    let bin = fake_probe_rs(&shop, "No debug probes were found.");
    let none = run(&shop, Some(&bin), &flash);
    assert_eq!(none.status.code(), Some(2));
    for needle in ["no debug probe is attached", "--dry-run"] {
        assert!(says(&none, needle), "{}", stderr(&none));
    }
    assert!(!shop.path("asked").exists(), "nothing but the list was asked for");
    // With a probe, but no firmware to build.
    let bin = fake_probe_rs(&shop, "[0]: J-Link -- 1366:1051:0010 (J-Link)");
    let no_firmware = run(&shop, Some(&bin), &flash);
    assert!(says(&no_firmware, "PICOVAE_FIRMWARE"), "{}", stderr(&no_firmware));
}

#[test]
#[cfg(unix)]
fn the_blob_alone_goes_to_its_section() {
    let shop = Workshop::empty();
    let board = shop.path("firmware/boards/pico");
    std::fs::create_dir_all(&board).unwrap();
    let text = "name = 'pico'\ntitle = 'Pico'\ntarget = 'thumbv6m-none-eabi'\nchip = 'RP2040'\ncore = 'm0'\n\
                clock_hz = 125_000_000\nflash_bytes = 2097152\nflash_origin = 0x1000_0000\nram_bytes = 262144\n\
                uf2_family = '0xe48bff56'\nmodel_origin = 0x1010_0000\nmodel_bytes = 1048576\n";
    std::fs::write(board.join("board.toml"), text).unwrap();
    let fan = fan();
    let flash = ["flash", "--board", "pico", fan.to_str().unwrap(), "--model-only", "--json"];
    let bin = fake_probe_rs(&shop, "[0]: Debug Probe (CMSIS-DAP) -- 2e8a:000c:E66 (CMSIS-DAP)");
    let flashed = json(&run(&shop, Some(&bin), &flash));
    assert_eq!((&flashed["flashed"], &flashed["chip"]), (&Value::Bool(true), &"RP2040".into()));
    let asked = std::fs::read_to_string(shop.path("asked")).unwrap();
    let asked: Vec<&str> = asked.lines().collect();
    assert!(asked[0].starts_with("download --chip RP2040 --binary-format hex"), "{asked:?}");
    assert_eq!(asked[1], ":020000041010DA", "the upper half of its address");
    assert_eq!(asked[2], "reset --chip RP2040");

    let dry: Vec<&str> = flash.iter().copied().chain(["--dry-run", "-o", "out"]).collect();
    let report = json(&run(&shop, Some(&bin), &dry));
    assert_eq!(report["flashed"], false);
    let files: Vec<&str> =
        report["files"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(files, ["fan-vae-pico-model.hex", "fan-vae-pico-model.uf2"]);
    // Every block of the UF2 file, put together, is the blob, packed for the board's core.
    let uf2 = std::fs::read(shop.path("out/fan-vae-pico-model.uf2")).unwrap();
    let word = |block: &[u8], at: usize| u32::from_le_bytes(block[at..at + 4].try_into().unwrap());
    let mut blob = Vec::new();
    for (number, block) in uf2.chunks(512).enumerate() {
        assert_eq!(word(block, 12) as usize, 0x1010_0000 + 256 * number);
        assert_eq!(word(block, 28), 0xe48b_ff56);
        blob.extend(&block[32..32 + 256]);
    }
    let (inside, behind) = blob.split_at(report["blob_bytes"].as_u64().unwrap() as usize);
    assert!(behind.iter().all(|byte| *byte == 0xff));
    std::fs::write(shop.path("read.pvae"), inside).unwrap();
    let read = shop.json(&["inspect", "read.pvae"]);
    let original = shop.json(&["inspect", fan.to_str().unwrap()]);
    for key in ["name", "params", "macs", "threshold"] {
        assert_eq!(read[key], original[key], "{key}");
    }
}
