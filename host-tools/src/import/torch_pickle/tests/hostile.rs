//! Pickles and archives made to run code, to exhaust memory, or damaged.

use super::*;
use std::io::{Cursor, Write};
use std::time::{Duration, Instant};
use zip::write::{SimpleFileOptions, ZipWriter};

/// A torch archive around a pickle, with one storage of `data`.
fn archive(pickle: &[u8], data: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let method = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, bytes) in [("x/data.pkl", pickle), ("x/data/0", data)] {
        zip.start_file(name, method).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The old format around a pickle.
fn old(pickle: &[u8]) -> Vec<u8> {
    [LEGACY_MAGIC, b"\x80\x02M\xe9\x03.", b"\x80\x02}.", pickle].concat()
}

fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

fn int(n: i64) -> Vec<u8> {
    [&[0x8a, 8], &n.to_le_bytes()[..]].concat()
}

/// A state dict with one tensor over storage `0`.
fn one_tensor(storage_len: i64, offset: i64, shape: &[i64], stride: &[i64]) -> Vec<u8> {
    let tuple = |items: &[i64]| {
        let items: Vec<u8> = items.iter().flat_map(|n| int(*n)).collect();
        [b"(".to_vec(), items, b"t".to_vec()].concat()
    };
    [
        b"\x80\x02}".to_vec(),
        text("encoder.0.weight"),
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        text("0"),
        text("cpu"),
        int(storage_len),
        b"tQ".to_vec(),
        int(offset),
        tuple(shape),
        tuple(stride),
        b"\x89NtRs.".to_vec(),
    ]
    .concat()
}

fn problem(bytes: &[u8]) -> String {
    match parse_torch(Path::new("x.pt"), bytes, &options()) {
        Err(ImportError::Problems { problems, .. }) => problems[0].reason.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn code_is_refused_by_name_and_never_run() {
    let victim = std::env::temp_dir().join(format!("picovae-pickle-{}", std::process::id()));
    let command = text(&format!("touch {}", victim.display()));
    for global in ["os system", "posix system", "builtins eval", "builtins exec", "runpy _run_code"]
    {
        let (module, name) = global.split_once(' ').unwrap();
        let call = [format!("\x63{module}\n{name}\n").as_bytes(), &command[..], b"\x85R."].concat();
        let pickle = [b"\x80\x02", &call[..]].concat();
        for file in [archive(&pickle, &[]), old(&pickle)] {
            let (reason, remedy) = refusal(&file);
            assert!(reason.contains(&format!("{module}.{name}")), "{reason}");
            assert!(remedy.contains("do not load"), "{remedy}");
        }
        // The same by protocol 4's opcode.
        let short = |s: &str| [&[0x8c, s.len() as u8], s.as_bytes()].concat();
        let pickle =
            [b"\x80\x04", &short(module)[..], &short(name), b"\x93", &command, b"\x85R."].concat();
        assert!(refusal(&archive(&pickle, &[])).0.contains(name));
    }
    assert!(!victim.exists());
}

#[test]
fn instances_of_unknown_classes_are_opaque() {
    // Whatever `evil.run` is, its call gives nothing a weight can come from.
    let pickle = [
        b"\x80\x02}".to_vec(),
        text("encoder.0.weight"),
        b"cevil\nrun\n)R}bs".to_vec(),
        text("decoder.0.weight"),
        b"cevil\nrun\n)\x81s.".to_vec(),
    ];
    let (reason, _) = refusal(&archive(&pickle.concat(), &[]));
    assert!(reason.contains("no state dict"), "{reason}");
}

#[test]
fn deep_wide_and_cyclic_pickles_end() {
    let start = Instant::now();
    let deep = |open: &[u8], n: usize, close: &[u8]| {
        [b"\x80\x02", &open.repeat(n)[..], close, b"."].concat()
    };
    // Tuples in tuples, marks in marks, lists without end.
    for pickle in [
        deep(b")", 1, &b"\x85".repeat(900_000)),
        deep(b"(", 900_000, b""),
        deep(b"]", 4_000_000, b""),
        deep(b"]q\x00", 400_000, b""),
    ] {
        refusal(&archive(&pickle, &[]));
    }
    // A billion laughs: every tuple holds the one before it ten times.
    let laugh = [
        b"\x80\x02)".to_vec(),
        b"q\x000(h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00t".repeat(60),
    ];
    refusal(&archive(&[laugh.concat(), b".".to_vec()].concat(), &[]));
    // The same with calls that copy: bounded, too.
    let copy = [
        b"\x80\x02(".to_vec(),
        b"K\x01".repeat(100_000),
        b"tq\x000".to_vec(),
        b"cbuiltins\ntuple\nh\x00\x85R0".repeat(100),
    ];
    let (reason, _) = refusal(&archive(&[copy.concat(), b".".to_vec()].concat(), &[]));
    assert!(reason.contains("over and over"), "{reason}");
    // A dict that holds itself, where the state dict is looked for.
    let pickle = [b"\x80\x02}q\x00".to_vec(), text("state_dict"), b"h\x00s.".to_vec()].concat();
    refusal(&archive(&pickle, &[]));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn tensors_stay_inside_their_storage() {
    let zeros = [0; 64];
    let wrong: [(i64, i64, &[i64], &[i64]); 8] = [
        (16, 0, &[1 << 40, 1 << 40], &[1 << 40, 1]),
        (16, 0, &[i64::MAX, 2], &[0, 0]),
        (16, 0, &[1 << 20, 1 << 20], &[0, 0]),
        (16, 15, &[1, 2], &[2, 1]),
        (16, i64::MAX, &[2, 2], &[2, 1]),
        (16, 0, &[2, 2], &[i64::MAX, i64::MAX]),
        (1 << 60, 0, &[4, 4], &[4, 1]),
        (16, 0, &[4, 5], &[0, 1]),
    ];
    for (len, offset, shape, stride) in wrong {
        problem(&archive(&one_tensor(len, offset, shape, stride), &zeros));
    }
    let negative = [(-1, 0, 2, 1), (16, -1, 2, 1), (16, 0, -2, 1), (16, 0, 2, -1)];
    for (len, offset, n, stride) in negative {
        refusal(&archive(&one_tensor(len, offset, &[n, 2], &[stride, 1]), &zeros));
    }
    // The same pickle with numbers that fit has but the decoder missing.
    let reason = problem(&archive(&one_tensor(16, 0, &[4, 4], &[4, 1]), &zeros));
    assert!(reason.contains("no Linear layer"), "{reason}");
}

#[test]
fn zip_bombs_are_cut_off() {
    let start = Instant::now();
    let (reason, _) = refusal(&archive(&vec![0; 200 << 20], &[]));
    assert!(reason.contains("zip bomb"), "{reason}");
    let reason = problem(&archive(&one_tensor(1 << 24, 0, &[4, 4], &[4, 1]), &vec![0; 100 << 20]));
    assert!(reason.contains("zip bomb"), "{reason}");
    // Most of the time goes into making them.
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn damaged_files_are_errors() {
    let start = Instant::now();
    let mut tries = 0;
    for name in ["vae.pt", "vae_legacy.pt", "vae_strided.pt", "vae_checkpoint.pth"] {
        let bytes = fixture(name);
        for len in (0..bytes.len()).step_by(37) {
            assert!(
                parse_torch(Path::new(name), &bytes[..len], &options()).is_err(),
                "{name} {len}"
            );
            tries += 1;
        }
        for bit in (0..bytes.len() * 8).step_by(61) {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // An unused byte may be flipped unnoticed; nothing may panic.
            let _ = parse_torch(Path::new(name), &damaged, &options());
            tries += 1;
        }
    }
    assert!(start.elapsed() < Duration::from_millis(10 * tries), "{:?}", start.elapsed());
}
