//! Columns, counters, gaps and the tables that loggers write.

use super::*;

fn read(text: &str) -> Recording {
    super::read(Path::new("a.csv"), text.as_bytes(), &ReadOptions::default()).unwrap()
}

fn lines(rows: usize, line: impl Fn(usize) -> String) -> String {
    (0..rows).map(line).collect()
}

#[test]
fn labels_beside_the_samples_are_no_channel() {
    let recording = read("x;anomaly;y;changepoint\n1;0;2;0\n3;1;4;0\n");
    assert_eq!((recording.shape, recording.samples), (vec![2, 2], vec![1.0, 2.0, 3.0, 4.0]));
    // Alone, they are what was meant.
    assert_eq!(read("anomaly\n1\n0\n").samples, [1.0, 0.0]);
}

#[test]
fn decimal_commas() {
    let recording = read("0,0;0,0312;1,0234\n0,5;-0,25;-2\n");
    assert_eq!(recording.shape, [2, 3]);
    assert_eq!(recording.samples, [0.0, 0.0312, 1.0234, 0.5, -0.25, -2.0]);
    let recording = read("x\ty\n1\t2\n1,5\t2,5e1\n");
    assert_eq!(recording.columns, ["x", "y"]);
    assert_eq!(recording.samples, [1.0, 2.0, 1.5, 25.0]);
    // Commas win over a `;` that is not on every line.
    assert_eq!(read("a,b\n1,2\n3,4\n").shape, [2, 2]);
    assert_eq!(read("a,note\n1,x;y\n3,z\n").samples, [1.0, 3.0]);
    assert_eq!(read("\"a;b\",c\n1,2\n").columns, ["a;b", "c"]);
    // Grouped thousands beside decimal points are not guessed at.
    let error =
        super::read(Path::new("a.csv"), b"1.5;2\n1,234;3\n", &ReadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("`1,234`"), "{error}");
    // A line that was cut off does not change the separator.
    let error =
        super::read(Path::new("a.csv"), b"0,0;1,5\n0,1;1,6\n0,2\n", &ReadOptions::default())
            .unwrap_err();
    assert!(matches!(error, RecordingError::Ragged { line: 3, expected: 2, found: 1, .. }));
}

#[test]
fn timestamps_are_no_channel() {
    // By name, however uneven and few.
    let recording = read("Timestamp,x\n1,2\n5,3\n6,4\n");
    assert_eq!((&recording.columns[..], recording.shape), (&["x".to_string()][..], vec![3, 1]));
    assert_eq!(read(",x,Unnamed: 0\n0,2,0\n1,2,1\n").columns, ["0", "x"]);
    // By its steps, with a header or not.
    let text = lines(16, |i| format!("{},{},{}\n", 1_700_000_000 + i, i * i, i % 3));
    let recording = read(&text);
    assert_eq!((&recording.shape[..], recording.samples[2]), (&[16, 2][..], 1.0));
    assert_eq!(recording.columns, ["1", "2"]);
    assert_eq!(read(&format!("sec,a,b\n{text}")).columns, ["a", "b"]);
    let columns = vec!["0".to_string(), "1".to_string()];
    let options = ReadOptions { columns, ..ReadOptions::default() };
    let kept = super::read(Path::new("a.csv"), text.as_bytes(), &options).unwrap();
    assert_eq!(kept.shape, [16, 2]);
    // Too few rows to tell, and never the last column left.
    assert_eq!(read(&lines(15, |i| format!("{i},{}\n", i % 3))).shape, [15, 2]);
    assert_eq!(read(&lines(20, |i| format!("{i}\n"))).shape, [20, 1]);
    assert_eq!(read(&lines(20, |i| format!("{i},{}\n", 2 * i))).shape, [20, 2]);
    assert_eq!(read("time\n1\n2\n").shape, [2, 1]);
}

#[test]
fn timestamps_say_where_rows_are_missing() {
    // A night is missing behind row 70.
    let time = |i: usize| i + if i < 70 { 0 } else { 36_000 };
    let text = format!("time_ms,a\n{}", lines(120, |i| format!("{},{}\n", 1_000 * time(i), i % 7)));
    let gaps = ReadOptions { gaps: true, ..ReadOptions::default() };
    let recording = super::read(Path::new("a.csv"), text.as_bytes(), &gaps).unwrap();
    assert_eq!((recording.sample_rate, &recording.jumps[..]), (Some(1.0), &[70][..]));
    assert_eq!(recording.shape, [120, 1]);
    assert!(read(&text).jumps.is_empty());
}

#[test]
fn tables_as_loggers_write_them() {
    let body = lines(20, |i| format!("{},{}\n", i * i, i % 3));
    let plain = read(&format!("a,b\n{body}"));
    for head in ["a,b\nm/s,V\n", "Logger 7\nserial: 12\n\na,b\n"] {
        let recording = read(&format!("{head}{body}"));
        assert_eq!((&recording.columns, &recording.samples), (&plain.columns, &plain.samples));
    }
    // A missing sample in the first row is no unit.
    assert_eq!(
        super::read(
            Path::new("a.csv"),
            b"a,b\nNA,1\n2,3\n",
            &ReadOptions { gaps: true, ..ReadOptions::default() }
        )
        .unwrap()
        .shape,
        [2, 2]
    );
    let of = |bytes: &[u8]| super::read(Path::new("a.csv"), bytes, &ReadOptions::default());
    let latin = of(b"Temp \xb0C;x\n1;2\n3;5\n").unwrap();
    assert_eq!(latin.columns, ["Temp \u{b0}C", "x"]);
    let wide: Vec<u8> =
        "\u{feff}a\tb\n1\t2\n3\t5\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(of(&wide).unwrap().samples, [1.0, 2.0, 3.0, 5.0]);
    assert_eq!(read("  1.5   2\n  3  4.5 \n").samples, [1.5, 2.0, 3.0, 4.5]);
    assert_eq!(read("x|y\n1|2\n3|4\n").columns, ["x", "y"]);
    assert!(of(b"\x01\xff\x00").is_err());
}

fn labels(text: &str, column: Option<&str>) -> Result<Vec<f32>, RecordingError> {
    read_labels(Path::new("l.csv"), text.as_bytes(), column).map(|r| r.samples)
}

#[test]
fn labels_in_words() {
    let text = "clip,label\na,normal\nb,Anomaly\nc,FAULTY\nd,ok\n";
    assert_eq!(labels(text, None).unwrap(), [0.0, 1.0, 1.0, 0.0]);
    assert_eq!(labels("clip,state\na,good\nb,fault\n", None).unwrap(), [0.0, 1.0]);
    assert_eq!(labels("normal\nabnormal\n", None).unwrap(), [0.0, 1.0]);
    assert_eq!(labels("label\nno\nyes\n", None).unwrap(), [0.0, 1.0]);
    assert_eq!(labels("anomaly\nFalse\nTrue\n", None).unwrap(), [0.0, 1.0]);
    let error = labels("clip,label\na,normal\nb,broken\n", None).unwrap_err().to_string();
    assert!(error.contains("line 3") && error.contains("`broken`"), "{error}");
    let error = labels("healthy\nbroken\n", None).unwrap_err().to_string();
    assert!(error.contains("line 1") && error.contains("`healthy`"), "{error}");
    let error = labels("a,b\nx,y\n", None).unwrap_err();
    assert!(matches!(error, RecordingError::UnknownColumn { .. }));
}

#[test]
fn label_columns_that_count_are_read() {
    let counting = lines(20, |i| format!("{i},{}\n", i % 2));
    let expected: Vec<f32> = (0..20).map(|i| (i % 2) as f32).collect();
    let text = format!("window,label\n{counting}");
    assert_eq!(labels(&text, None).unwrap(), expected);
    let text = format!("index,anomaly\n{counting}");
    assert_eq!(labels(&text, Some("anomaly")).unwrap(), expected);
    let ramp: Vec<f32> = (0..20).map(|i| i as f32).collect();
    assert_eq!(labels(&text, Some("index")).unwrap(), ramp);
    assert_eq!(labels(&lines(20, |i| format!("{i}\n")), None).unwrap(), ramp);
}
