//! Charts as SVG: points, lines and bars over two axes.

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::simulate::register_font;

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Dots.
    Points,
    /// A line from point to point.
    Line,
    /// Bars from 0, one wide as the distance to the next point.
    Bars,
}

/// How much of the page's width a chart takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Width {
    /// All of it.
    #[default]
    Whole,
    /// Half, beside another.
    Half,
    /// A third, beside two others.
    Third,
}

impl Width {
    /// Width and height in pixels.
    fn size(self) -> (u32, u32) {
        match self {
            Self::Whole => (900, 380),
            Self::Half => (460, 280),
            Self::Third => (300, 210),
        }
    }
}

/// Points of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// In the legend, which the page writes above the chart; empty leaves it out.
    pub name: String,
    /// How it is drawn.
    pub mark: Mark,
    /// (x, y); points that are not finite are left out.
    pub points: Vec<(f64, f64)>,
}

/// A chart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chart {
    /// What the horizontal axis shows, with its unit.
    pub x: String,
    /// What the vertical axis shows, with its unit.
    pub y: String,
    /// Horizontal axis in decades: every x must be positive.
    pub log_x: bool,
    /// Names of the places 0, 1, … of the horizontal axis; without any it has numbers.
    pub names: Vec<String>,
    /// How wide it is drawn.
    pub width: Width,
    /// What is drawn, first below.
    pub series: Vec<Series>,
}

/// Why a chart cannot be drawn.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot draw the chart of {y} over {x}: {reason}")]
pub struct ChartError {
    /// The horizontal axis.
    pub x: String,
    /// The vertical axis.
    pub y: String,
    /// What the drawing library said.
    pub reason: String,
}

const COLORS: [RGBColor; 6] = [
    RGBColor(31, 90, 160),
    RGBColor(200, 80, 30),
    RGBColor(40, 140, 70),
    RGBColor(120, 60, 150),
    RGBColor(110, 110, 110),
    RGBColor(190, 150, 20),
];

type Plane = Cartesian2d<RangedCoordf64, RangedCoordf64>;

impl Chart {
    /// Name and color of each series that has a name.
    pub fn legend(&self) -> impl Iterator<Item = (&str, String)> {
        let colored = self.series.iter().zip(COLORS.iter().cycle());
        let named = colored.filter(|(series, _)| !series.name.is_empty());
        named.map(|(series, RGBColor(r, g, b))| {
            (series.name.as_str(), format!("#{r:02x}{g:02x}{b:02x}"))
        })
    }

    /// The chart as an SVG element.
    ///
    /// # Errors
    /// [`ChartError`].
    pub fn svg(&self) -> Result<String, ChartError> {
        let fail = |reason: Box<dyn std::error::Error>| ChartError {
            x: self.x.clone(),
            y: self.y.clone(),
            reason: reason.to_string(),
        };
        register_font().map_err(fail)?;
        let mut svg = String::new();
        self.draw(&mut svg).map_err(fail)?;
        Ok(svg)
    }

    /// Where a value of the horizontal axis lies.
    fn place(&self, x: f64) -> f64 {
        if self.log_x { x.max(f64::MIN_POSITIVE).log10() } else { x }
    }

    fn draw(&self, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
        let series: Vec<Vec<(f64, f64)>> = self
            .series
            .iter()
            .map(|series| {
                let placed = series.points.iter().map(|&(x, y)| (self.place(x), y));
                placed.filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
            })
            .collect();
        let bars = self.series.iter().any(|series| series.mark == Mark::Bars);
        let all = || series.iter().flatten();
        let width = series.iter().map(|points| bar_width(points)).fold(0.0, f64::max);
        let (left, right) = span(all().map(|p| p.0), if bars { width } else { 0.0 });
        let floor = bars.then_some(0.0);
        let (low, high) = span(all().map(|p| p.1).chain(floor), 0.0);

        let size = self.width.size();
        let longest = self.names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        // Side by side where there is room for all of them.
        let upright = 8 * longest * self.names.len() > size.0 as usize - 100;
        let small = self.width == Width::Third;

        let root = SVGBackend::with_string(svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(10)
            .x_label_area_size(if upright { 30 + 7 * longest as u32 } else { 42 })
            .y_label_area_size(if small { 54 } else { 80 })
            .build_cartesian_2d(left..right, low..high)?;
        let label = |x: &f64| {
            if !self.names.is_empty() {
                let at = x.round();
                let name =
                    self.names.get(at as usize).filter(|_| at >= 0.0 && (x - at).abs() < 0.1);
                return name.cloned().unwrap_or_default();
            }
            let x = if self.log_x { 10f64.powf(*x) } else { *x };
            // Ticks are sums of steps, which miss 0 by a rounding error.
            let x = if x.abs() < 1e-9 * (right - left) { 0.0 } else { x };
            if self.log_x && (1e3..1e6).contains(&x) {
                format!("{:.1}K", x / 1e3)
            } else if x.abs() >= 1e5 || (x != 0.0 && x.abs() < 1e-3) {
                format!("{x:.1e}")
            } else if x.abs() >= 100.0 {
                format!("{x:.0}")
            } else {
                format!("{}", (x * 1e3).round() / 1e3)
            }
        };
        let font = ("sans-serif", 13).into_font();
        let turned = font.transform(FontTransform::Rotate90);
        let mut mesh = chart.configure_mesh();
        match self.names.len() {
            0 if small => mesh.x_labels(5).y_labels(5),
            0 => mesh.x_labels(10),
            // The axis reaches a bar or a twentieth further on both sides.
            names => mesh.x_labels(names + names / 10 + 3),
        };
        mesh.light_line_style(WHITE)
            .bold_line_style(RGBColor(226, 231, 236))
            .x_desc(&self.x)
            .y_desc(&self.y)
            .x_label_formatter(&label)
            .label_style(("sans-serif", 13))
            .x_label_style(if upright { turned } else { ("sans-serif", 13).into_font() })
            .axis_desc_style(("sans-serif", 15))
            .draw()?;
        for ((series, points), &color) in self.series.iter().zip(&series).zip(COLORS.iter().cycle())
        {
            draw_series(&mut chart, series, points, color)?;
        }
        root.present()?;
        Ok(())
    }
}

fn draw_series<DB: DrawingBackend>(
    chart: &mut ChartContext<'_, DB, Plane>,
    series: &Series,
    points: &[(f64, f64)],
    color: RGBColor,
) -> Result<(), Box<dyn std::error::Error>>
where
    DB::ErrorType: 'static,
{
    match series.mark {
        Mark::Points => {
            chart
                .draw_series(points.iter().map(|p| Circle::new(*p, 3, color.mix(0.7).filled())))?;
        }
        Mark::Line => {
            chart.draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?;
        }
        Mark::Bars => {
            let half = 0.45 * bar_width(points);
            let bar = |&(x, y): &(f64, f64)| {
                Rectangle::new([(x - half, 0.0), (x + half, y)], color.mix(0.8).filled())
            };
            chart.draw_series(points.iter().map(bar))?;
        }
    }
    Ok(())
}

/// Distance of neighbouring bars.
fn bar_width(points: &[(f64, f64)]) -> f64 {
    points
        .windows(2)
        .map(|pair| (pair[1].0 - pair[0].0).abs())
        .fold(f64::INFINITY, f64::min)
        .min(if points.len() < 2 { 1.0 } else { f64::INFINITY })
}

/// The range of some values, with a margin, never empty.
fn span(values: impl Iterator<Item = f64>, beside: f64) -> (f64, f64) {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return (0.0, 1.0);
    }
    let margin = (0.05 * (high - low)).max(beside).max(1e-9 + 1e-6 * high.abs());
    (low - margin, high + margin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_draws_and_empty_charts_do_too() {
        let series = |mark, points: &[(f64, f64)]| Series {
            name: "s".into(),
            mark,
            points: points.to_vec(),
        };
        let points = [(10.0, 1.0), (100.0, f64::NAN), (1000.0, -2.0)];
        for mark in [Mark::Points, Mark::Line, Mark::Bars] {
            for log_x in [false, true] {
                let chart = Chart {
                    x: "x".into(),
                    y: "y".into(),
                    log_x,
                    series: vec![
                        series(mark, &points),
                        series(mark, &[]),
                        series(mark, &[(1.0, 1.0)]),
                    ],
                    ..Chart::default()
                };
                assert!(chart.svg().unwrap().starts_with("<svg"), "{mark:?}");
            }
        }
        let none = Chart { x: "x".into(), y: "y".into(), ..Chart::default() };
        assert!(none.svg().unwrap().contains("</svg>"));
    }
}
