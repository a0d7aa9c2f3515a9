//! `cargo xtask wiring`: draws each board's `wiring.toml` as the picture in its README, `wiring.svg`.
//!
//! The tests hold the committed pictures to the tables, and the tables to the pins that the firmware opens.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::boards;

/// What is connected on one board.
#[derive(Debug, Deserialize)]
struct Wiring {
    /// Name of the board.
    title: String,
    /// Where the debug probe is.
    probe: String,
    /// The alarm's LED.
    led: String,
    /// Its pin, as the firmware calls it.
    #[cfg(test)]
    led_pin: String,
    /// Name of the sensor.
    sensor: String,
    wires: Vec<Wire>,
}

/// One of them.
#[derive(Debug, Deserialize)]
struct Wire {
    /// The board's pin, as it is printed there.
    board: String,
    /// The same as the firmware calls it; none of supply and ground.
    pin: Option<String>,
    /// The sensor's pin.
    sensor: String,
    /// What for.
    what: String,
}

/// Draws all of them.
pub fn run() -> Result<()> {
    for folder in boards::folders()? {
        let path = folder.join("wiring.svg");
        std::fs::write(&path, svg(&read(&folder)?)?).with_context(|| path.display().to_string())?;
        println!("{}", path.display());
    }
    Ok(())
}

fn read(folder: &Path) -> Result<Wiring> {
    let path = folder.join("wiring.toml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

/// Left and right edge of the board, then of the sensor.
const EDGES: [i32; 4] = [20, 330, 530, 650];
const WIDTH: i32 = 980;
const FIRST_ROW: i32 = 130;
const ROW: i32 = 36;

/// A wire's color by what it carries.
fn color(wire: &Wire) -> &'static str {
    match (wire.sensor.as_str(), wire.pin.is_some()) {
        ("SDA", _) => "#1565c0",
        ("SCL", _) => "#ef8f00",
        (_, true) => "#2e7d32",
        _ if wire.board.contains("GND") => "#222222",
        _ => "#c62828",
    }
}

fn svg(wiring: &Wiring) -> Result<String> {
    let rows = wiring.wires.len() as i32;
    let height = FIRST_ROW + ROW * rows + 20;
    let [left, board, sensor, right] = EDGES;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"15\">\n\
         <title>{} with {}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        wiring.title, wiring.sensor
    );
    let mut part = |x: i32, to: i32, y: i32, fill: &str| {
        let (width, height) = (to - x, height - 10 - y);
        writeln!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"10\" fill=\"{fill}\"/>"
        )
    };
    part(left, board, 10, "#e3eef3")?;
    part(sensor, right, 84, "#efe6f5")?;
    let mut text = |x: i32, y: i32, more: &str, words: &str| {
        writeln!(out, "<text x=\"{x}\" y=\"{y}\"{more}>{words}</text>")
    };
    text(left + 14, 36, " font-weight=\"bold\"", &wiring.title)?;
    text(left + 14, 60, "", &format!("probe: {}", wiring.probe))?;
    text(left + 14, 84, "", &format!("alarm: {}", wiring.led))?;
    text(sensor, 74, " font-weight=\"bold\"", &wiring.sensor)?;
    let y = |row: usize| FIRST_ROW + ROW * row as i32;
    for (row, wire) in wiring.wires.iter().enumerate() {
        text(sensor + 14, y(row) + 5, "", &wire.sensor)?;
        text(right + 14, y(row) + 5, " fill=\"#555555\"", &wire.what)?;
        let first = wiring.wires.iter().position(|other| other.board == wire.board).unwrap_or(row);
        if first == row {
            text(board - 14, y(row) + 5, " text-anchor=\"end\"", &wire.board)?;
        }
    }
    for (row, wire) in wiring.wires.iter().enumerate() {
        let first = wiring.wires.iter().position(|other| other.board == wire.board).unwrap_or(row);
        // A pin with several wires branches, each pin at a place of its own.
        let branch = board + 60 + 30 * first as i32;
        let (from, to, color) = (y(first), y(row), color(wire));
        let way = if first == row { String::new() } else { format!("H{branch} V{to} ") };
        writeln!(
            out,
            "<path d=\"M{board},{from} {way}H{sensor}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"3\"/>\n\
             <circle cx=\"{board}\" cy=\"{from}\" r=\"5\" fill=\"{color}\"/>\n\
             <circle cx=\"{sensor}\" cy=\"{to}\" r=\"5\" fill=\"{color}\"/>"
        )?;
        if first != row {
            writeln!(out, "<circle cx=\"{branch}\" cy=\"{from}\" r=\"5\" fill=\"{color}\"/>")?;
        }
    }
    out.push_str("</svg>\n");
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_board_has_the_picture_of_its_table_and_opens_those_pins() {
        let folders = boards::folders().unwrap();
        assert!(folders.len() > 5, "{folders:?}");
        for folder in folders {
            let text = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
            let name = folder.display();
            let wiring = read(&folder).unwrap();
            let drawn = std::fs::read_to_string(folder.join("wiring.svg")).unwrap_or_default();
            assert_eq!(drawn, svg(&wiring).unwrap(), "{name}: run `cargo xtask wiring`");
            assert!(
                text("README.md").contains("](wiring.svg)"),
                "{name}: its page shows no picture"
            );
            // The Pico 2 builds the Pico's source.
            let source = ["src/main.rs", "src/board.rs", "../pico/src/main.rs"]
                .map(|file| std::fs::read_to_string(folder.join(file)).unwrap_or_default());
            let source = if source[0].is_empty() { &source[2] } else { &source[..2].concat() };
            let pins = wiring.wires.iter().filter_map(|wire| wire.pin.as_deref());
            for pin in pins.chain([wiring.led_pin.as_str()]) {
                let opened = source.split(|c: char| !c.is_alphanumeric() && c != '_');
                assert!(opened.into_iter().any(|word| word == pin), "{name}: {pin} is not opened");
            }
            // Two signals on one pin would be a mistake.
            let signals: Vec<_> =
                wiring.wires.iter().filter_map(|wire| wire.pin.as_ref()).collect();
            let alone = |pin| signals.iter().filter(|other| **other == pin).count() == 1;
            assert!(signals.iter().all(|pin| alone(*pin)), "{name}: {signals:?}");
        }
    }
}
