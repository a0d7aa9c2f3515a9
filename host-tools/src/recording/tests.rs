//! Files good and bad, written to a scratch folder.

use super::*;
use crate::graph::Frontend;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A scratch file that is removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, bytes: &[u8]) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("picovae-{}-{n}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }

    fn read(&self) -> Result<Recording, RecordingError> {
        Recording::read(&self.0, &[])
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn npy(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header =
        format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(data);
    bytes
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn csv_with_timestamps_and_semicolons() {
    let file = Scratch::new(
        "a.csv",
        b"datetime;a;b\n2020-02-08 13:30:47;1.5;2\n2020-02-08 13:30:48;-3;4e1\n",
    );
    let recording = file.read().unwrap();
    assert_eq!(recording.shape, [2, 2]);
    assert_eq!(recording.columns, ["a", "b"]);
    assert_eq!(recording.samples, [1.5, 2.0, -3.0, 40.0]);
    let b = Recording::read(&file.0, &["b".into()]).unwrap();
    assert_eq!((b.shape, b.samples), (vec![2, 1], vec![2.0, 40.0]));
    let error = Recording::read(&file.0, &["c".into()]).unwrap_err();
    assert!(error.to_string().contains("datetime, a, b"), "{error}");
}

#[test]
fn csv_without_header_and_with_tabs() {
    let recording = Scratch::new("b.tsv", b"1\t2\n3\t4\n5\t6").read().unwrap();
    assert_eq!(recording.shape, [3, 2]);
    assert_eq!(recording.columns, ["0", "1"]);
    assert!(recording.is_i16());
}

#[test]
fn csv_errors_name_line_and_column() {
    let error = Scratch::new("n.csv", b"t,x\n1,2\n2,nan\n").read().unwrap_err();
    assert!(error.to_string().ends_with("row 3, column x is NaN"), "{error}");
    let error = Scratch::new("w.csv", b"t,x\n1,2\n2,oops\n").read().unwrap_err();
    assert!(error.to_string().ends_with("line 3, column x: `oops` is not a number"), "{error}");
    let error = Scratch::new("r.csv", b"t,x\n1,2\n2\n").read().unwrap_err();
    assert!(matches!(error, RecordingError::Ragged { line: 3, expected: 2, found: 1, .. }));
    assert!(matches!(Scratch::new("e.csv", b"").read(), Err(RecordingError::Empty { .. })));
    assert!(matches!(
        Scratch::new("x.bin", &[0xff, 0xfe, 0x80]).read(),
        Err(RecordingError::Format { .. })
    ));
}

#[test]
fn npy_dtypes_and_orders() {
    let f2: Vec<u8> =
        [1.5f32, -2.0].iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
    let recording = Scratch::new("h.npy", &npy("<f2", "False", "(2,)", &f2)).read().unwrap();
    assert_eq!(recording.samples, [1.5, -2.0]);
    let u1 = Scratch::new("u.npy", &npy("|u1", "False", "(1, 3)", &[0, 7, 255]));
    assert_eq!(u1.read().unwrap().samples, [0.0, 7.0, 255.0]);
    // Fortran order: columns first in the file.
    let f = npy("<f4", "True", "(2, 3)", &floats(&[1., 4., 2., 5., 3., 6.]));
    let recording = Scratch::new("f.npy", &f).read().unwrap();
    assert_eq!(recording.samples, [1., 2., 3., 4., 5., 6.]);

    let path = Scratch::new("w.npy", &[]);
    write_npy_i16(&path.0, &[2, 2], &[1, -2, 3, i16::MIN]).unwrap();
    let recording = path.read().unwrap();
    assert_eq!(recording.shape, [2, 2]);
    assert_eq!(recording.samples, [1.0, -2.0, 3.0, -32768.0]);
}

#[test]
fn npy_lies_are_refused() {
    let truncated = npy("<f4", "False", "(3,)", &floats(&[1.0, 2.0]));
    assert!(matches!(
        Scratch::new("t.npy", &truncated).read(),
        Err(RecordingError::Truncated { expected: 12, found: 8, .. })
    ));
    let absurd = npy("<f4", "False", "(4294967295, 4294967295, 4294967295)", &[]);
    assert!(matches!(Scratch::new("o.npy", &absurd).read(), Err(RecordingError::Format { .. })));
    let large = npy("<f4", "False", "(99999999999,)", &[]);
    assert!(matches!(Scratch::new("l.npy", &large).read(), Err(RecordingError::Truncated { .. })));
    let text = npy("<U4", "False", "(1,)", &[0; 16]);
    assert!(matches!(Scratch::new("s.npy", &text).read(), Err(RecordingError::Format { .. })));
    let object = Scratch::new("o.npy", &npy("|O", "False", "(2,)", b"\x80\x03]q\x00."));
    let error = object.read().unwrap_err().to_string();
    assert!(error.contains("dtype `|O`") && error.contains("cannot be read"), "{error}");
    let nan = npy("<f4", "False", "(2, 2)", &floats(&[0., 1., f32::NAN, 3.]));
    let error = Scratch::new("n.npy", &nan).read().unwrap_err();
    assert!(error.to_string().ends_with("row 1, column 0 is NaN"), "{error}");
    // Every prefix and every flipped header byte: an error or a recording,
    // never a panic.
    let good = npy("<i2", "False", "(2, 2)", &[1, 0, 2, 0, 3, 0, 4, 0]);
    for len in 0..good.len() {
        assert!(Scratch::new("p.npy", &good[..len]).read().is_err());
    }
    for at in 0..good.len() {
        for flip in [0x01, 0x10, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            let _ = Scratch::new("b.npy", &bad).read();
        }
    }
}

#[test]
fn idx_plain_and_gzipped() {
    let mut bytes = vec![0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3];
    bytes.extend([1, 2, 3, 4, 5, 6]);
    let recording = Scratch::new("i.idx", &bytes).read().unwrap();
    assert_eq!(recording.shape, [2, 3]);
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, &bytes).unwrap();
    let packed = gz.finish().unwrap();
    let unpacked = Scratch::new("i.gz", &packed).read().unwrap();
    assert_eq!(unpacked.samples, recording.samples);
    for len in 2..bytes.len() {
        assert!(Scratch::new("p.idx", &bytes[..len]).read().is_err());
    }
    for len in 2..packed.len() - 8 {
        assert!(Scratch::new("p.gz", &packed[..len]).read().is_err());
    }
    bytes[4] = 0xff;
    assert!(matches!(Scratch::new("a.idx", &bytes).read(), Err(RecordingError::Truncated { .. })));
}

fn counting(shape: &[usize]) -> Recording {
    let len: usize = shape.iter().product();
    let samples = (0..len).map(|i| i as f32).collect();
    Recording::from_samples("memory", shape.to_vec(), samples).unwrap()
}

#[test]
fn shapes_become_windows() {
    let frontend = Frontend::identity(2, 1, 3);
    // Clips that slide.
    let recording = counting(&[2, 4, 3]);
    let clips = recording.clips(&frontend).unwrap();
    assert_eq!((clips.clip_count(), clips.windows_per_clip()), (2, 3));
    let w = clips.window(4);
    assert_eq!((w.clip, w.start), (1, 1));
    assert_eq!(w.samples, [15.0, 16.0, 17.0, 18.0, 19.0, 20.0]);
    assert_eq!(clips.windows().len(), 6);
    let batches: Vec<_> = clips.batches(4).collect();
    assert_eq!(batches, [0..4, 4..6]);
    assert_eq!(clips.features(&frontend, 4..6).row(0).to_vec(), w.samples);
    // One window a row, one stream, images.
    for (shape, windows) in
        [(vec![5, 6], 5), (vec![5, 3], 4), (vec![5, 2, 3], 5), (vec![5, 3, 2], 5)]
    {
        let recording = counting(&shape);
        let clips = recording.clips(&frontend).unwrap();
        assert_eq!(clips.window_count(), windows, "{shape:?}");
    }
    let mono = Frontend::identity(4, 2, 1);
    assert_eq!(counting(&[10]).clips(&mono).unwrap().window_count(), 4);
    assert_eq!(counting(&[3, 10]).clips(&mono).unwrap().window_count(), 12);
    assert!(matches!(counting(&[3]).clips(&mono), Err(RecordingError::TooShort { frames: 3, .. })));
    for shape in [vec![3, 100], vec![5, 3, 100]] {
        let error = counting(&shape).clips(&frontend).unwrap_err();
        assert!(matches!(error, RecordingError::ChannelsFirst { frames: 100, .. }), "{error}");
        assert!(miette::Diagnostic::help(&error).unwrap().to_string().contains("transpose"));
    }
    let error = counting(&[5, 7]).clips(&frontend).unwrap_err();
    let help = miette::Diagnostic::help(&error).unwrap().to_string();
    assert!(error.to_string().contains("[5, 7]"), "{error}");
    assert!(help.contains("[windows, 6]"), "{help}");
}

#[test]
fn rows_are_selected() {
    let recording = counting(&[4, 2]).select_rows("1..3".parse().unwrap()).unwrap();
    assert_eq!(recording.shape, [2, 2]);
    assert_eq!(recording.samples, [2.0, 3.0, 4.0, 5.0]);
    let rest = counting(&[4]).select_rows("3..".parse().unwrap()).unwrap();
    assert_eq!(rest.samples, [3.0]);
    assert!(counting(&[4]).select_rows("2..5".parse().unwrap()).is_err());
    assert!("5".parse::<Rows>().is_err());
    assert!("a..b".parse::<Rows>().is_err());
}

#[test]
fn labels_fit_clips_windows_or_frames() {
    let file = Scratch::new("l.csv", b"clip,label,machine\na,0,1\nb,1,2\n");
    let labels = Labels::read(&file.0, None).unwrap();
    assert_eq!(labels.values, [0, 1]);
    let recording = counting(&[2, 3, 1]);
    let frontend = Frontend::identity(2, 1, 1);
    let clips = recording.clips(&frontend).unwrap();
    let aligned = labels.align(&clips).unwrap();
    assert_eq!(aligned.windows, [0, 0, 1, 1]);
    assert_eq!(aligned.clips, Some(vec![0, 1]));
    let frames = Labels { values: vec![0, 0, 1, 0, 0, 0], ..labels.clone() };
    assert_eq!(frames.align(&clips).unwrap().windows, [0, 1, 0, 0]);
    let wrong = Labels { values: vec![0; 5], ..labels };
    assert!(matches!(wrong.align(&clips), Err(RecordingError::LabelCount { found: 5, .. })));
    let u1 = Scratch::new("l.npy", &npy("|u1", "False", "(3,)", &[0, 1, 9]));
    assert_eq!(Labels::read(&u1.0, None).unwrap().values, [0, 1, 9]);
    let half = Scratch::new("f.csv", b"0.5\n1\n");
    assert!(matches!(Labels::read(&half.0, None), Err(RecordingError::LabelValue { row: 0, .. })));
    let two = Scratch::new("two.csv", b"a,b\n1,2\n1,3\n");
    assert!(matches!(Labels::read(&two.0, None), Err(RecordingError::LabelShape { .. })));
}

#[test]
fn waveforms_know_their_rate_and_channels() {
    let mut wav = std::io::Cursor::new(Vec::new());
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 16_000,
        bits_per_sample: 24,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::new(&mut wav, spec).unwrap();
    for sample in [256, -512, 768, 8_388_607] {
        writer.write_sample(sample).unwrap();
    }
    writer.finalize().unwrap();
    let file = Scratch::new("a.wav", &wav.into_inner());
    let recording = file.read().unwrap();
    assert_eq!((&recording.shape[..], recording.sample_rate), (&[2, 2][..], Some(16_000.0)));
    assert_eq!(recording.samples[..3], [1.0, -2.0, 3.0]);

    let bytes: Vec<u8> = [1i16, -2, 3, 4, 5, 6].iter().flat_map(|x| x.to_le_bytes()).collect();
    let file = Scratch::new("a.i16", &bytes);
    let with = |kind: &str| {
        let headerless = Some(kind.parse().unwrap());
        Recording::read_with(&file.0, &ReadOptions { headerless, ..ReadOptions::default() })
    };
    assert_eq!(with("i16x3").unwrap().shape, [2, 3]);
    assert_eq!(with("i16").unwrap().samples, [1.0, -2.0, 3.0, 4.0, 5.0, 6.0]);
    assert!(with("i16x4").unwrap_err().to_string().contains("frames of 4"));
    assert!(with("f32").unwrap_err().to_string().contains("NaN"));
    assert!("u8x3".parse::<Headerless>().is_err() && "i16x0".parse::<Headerless>().is_err());
}

#[test]
fn one_array_of_an_archive() {
    use std::io::Write;
    let archive = |names: &[&str]| {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (at, name) in names.iter().enumerate() {
            let options = zip::write::SimpleFileOptions::default();
            zip.start_file(format!("{name}.npy"), options).unwrap();
            zip.write_all(&npy("<f4", "False", "(2, 1)", &floats(&[at as f32, 5.0]))).unwrap();
        }
        Scratch::new("a.npz", &zip.finish().unwrap().into_inner())
    };
    assert_eq!(archive(&["x"]).read().unwrap().samples, [0.0, 5.0]);
    let two = archive(&["x", "y"]);
    assert!(two.read().unwrap_err().to_string().contains("NPZ of x, y"));
    assert_eq!(Recording::read(&two.0, &["y".into()]).unwrap().samples, [1.0, 5.0]);
    let error = Recording::read(&two.0, &["z".into()]).unwrap_err();
    assert!(matches!(error, RecordingError::UnknownColumn { .. }));
}

#[test]
fn gaps_are_kept_where_asked_for() {
    let file = Scratch::new("a.csv", b"x,y\n1,2\n,3\nnan,inf\nNA,5\n");
    let gaps = ReadOptions { gaps: true, ..ReadOptions::default() };
    let recording = Recording::read_with(&file.0, &gaps).unwrap();
    let missing: Vec<bool> = recording.samples.iter().map(|x| x.is_nan()).collect();
    assert_eq!(missing, [false, false, true, false, true, true, true, false]);
    assert!(file.read().is_err());
    let file = Scratch::new("a.npy", &npy("<f4", "False", "(2, 1)", &floats(&[f32::NAN, 1.0])));
    assert!(Recording::read_with(&file.0, &gaps).unwrap().samples[0].is_nan());
    assert!(matches!(file.read(), Err(RecordingError::NotFinite { .. })));
}
