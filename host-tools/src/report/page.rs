//! The page: sections in order, escaped, with the style inside.

use std::path::{Path, PathBuf};

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Chart, ChartError};
use crate::whole_file;

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum ReportError {
    /// A chart failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Chart(#[from] ChartError),
    /// The file cannot be written.
    #[error("{path}: cannot write the report: {source}", path = path.display())]
    #[diagnostic(help(
        "give a path that ends in .html, in a folder that exists and can be written"
    ))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A report in the making.
///
/// ```
/// use picovae::report::Page;
///
/// let mut page = Page::new("fan-vae");
/// page.section("Size");
/// page.table(["what", "bytes"], [["blob", "36320"]]);
/// page.command("picovae quantize fan.safetensors --calibrate normal.npy -o fan.pvae");
/// assert!(page.html().contains("<td>36320</td>"));
/// ```
#[derive(Debug, Clone)]
pub struct Page {
    title: String,
    body: Vec<String>,
}

const STYLE: &str = "
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 980px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; border-bottom: 2px solid #1f5aa0; padding-bottom: .3rem; }
h2 { font-size: 1.2rem; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .45rem; border-bottom: 1px solid #d6dde5; text-align: right; }
th:first-child, td:first-child { text-align: left; }
th { background: #eef3f8; }
pre { background: #f4f6f8; padding: .7rem; overflow-x: auto; white-space: pre-wrap; }
figure { margin: 1rem 0; }
figcaption { color: #526170; font-size: .9rem; }
img, svg { max-width: 100%; height: auto; }
img.pixels { image-rendering: pixelated; }
.legend { font-size: .85rem; } .legend > span { margin-right: 1.1rem; white-space: nowrap; }
.row { display: flex; flex-wrap: wrap; gap: .4rem 1.2rem; } .row figure { margin: .4rem 0; }
";

impl Page {
    /// An empty page.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), body: Vec::new() }
    }

    fn push(&mut self, markup: Markup) -> &mut Self {
        self.body.push(markup.into_string());
        self
    }

    /// Starts a section.
    pub fn section(&mut self, heading: &str) -> &mut Self {
        self.push(html! { h2 { (heading) } })
    }

    /// A paragraph of text.
    pub fn paragraph(&mut self, text: &str) -> &mut Self {
        self.push(html! { p { (text) } })
    }

    /// A list of points.
    pub fn list<S: AsRef<str>>(&mut self, points: impl IntoIterator<Item = S>) -> &mut Self {
        self.push(html! { ul { @for point in points { li { (point.as_ref()) } } } })
    }

    /// A table; the first column is the rows' names.
    pub fn table<H: AsRef<str>, R: IntoIterator<Item = C>, C: AsRef<str>>(
        &mut self,
        heads: impl IntoIterator<Item = H>,
        rows: impl IntoIterator<Item = R>,
    ) -> &mut Self {
        self.push(html! {
            table {
                thead { tr { @for head in heads { th { (head.as_ref()) } } } }
                tbody {
                    @for row in rows { tr { @for cell in row { td { (cell.as_ref()) } } } }
                }
            }
        })
    }

    /// A command line, as it can be pasted.
    pub fn command(&mut self, line: &str) -> &mut Self {
        self.push(html! { pre { code { (line) } } })
    }

    /// A chart with a caption.
    ///
    /// # Errors
    /// [`ReportError::Chart`].
    pub fn chart(&mut self, chart: &Chart, caption: &str) -> Result<&mut Self, ReportError> {
        let figure = figure(chart, caption)?;
        Ok(self.push(figure))
    }

    /// Charts with their captions side by side, as many in a row as there is room for.
    ///
    /// # Errors
    /// [`ReportError::Chart`].
    pub fn charts(&mut self, charts: &[(Chart, String)]) -> Result<&mut Self, ReportError> {
        let figures = charts.iter().map(|(chart, caption)| figure(chart, caption));
        let figures = figures.collect::<Result<Vec<_>, _>>()?;
        Ok(self.push(html! { div.row { @for figure in figures { (figure) } } }))
    }

    /// A picture, as [`super::images`] and [`super::traces`] give it.
    pub fn picture(&mut self, data_uri: &str, caption: &str) -> &mut Self {
        self.push(html! {
            figure { img.pixels src=(data_uri) alt=(caption); figcaption { (caption) } }
        })
    }

    /// The whole document.
    pub fn html(&self) -> String {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="generator" content=(crate::graph::TOOL);
                    title { (self.title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    h1 { (self.title) }
                    @for part in &self.body { (PreEscaped(part)) }
                }
            }
        }
        .into_string()
    }

    /// Writes the document.
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub fn save(&self, path: &Path) -> Result<(), ReportError> {
        whole_file::replace(path, &[self.html().as_bytes()])
            .map_err(|source| ReportError::Write { path: path.to_path_buf(), source })
    }
}

/// A chart with its legend above and its caption below.
fn figure(chart: &Chart, caption: &str) -> Result<Markup, ReportError> {
    let svg = chart.svg()?;
    let legend: Vec<(&str, String)> = chart.legend().collect();
    Ok(html! {
        figure {
            @if !legend.is_empty() {
                div.legend {
                    @for (name, color) in legend {
                        span { span style={ "color:" (color) } { "■" } " " (name) }
                    }
                }
            }
            (PreEscaped(svg))
            figcaption { (caption) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Mark, Series};

    #[test]
    fn what_comes_from_files_is_escaped() {
        let mut page = Page::new("<script>alert(1)</script>");
        page.section("a & b").paragraph("<b>").table(["<i>"], [["\"<u>"]]).command("x < y");
        page.list(["<li>"]);
        let html = page.html();
        assert!(!html.contains("<script>") && !html.contains("<b>") && !html.contains("<u>"));
        assert!(html.contains("a &amp; b") && html.contains("x &lt; y"));
    }

    #[test]
    fn nothing_is_fetched() {
        let mut page = Page::new("t");
        let points = vec![(0.0, 1.0), (1.0, 2.0), (2.0, 1.5)];
        let chart = Chart {
            x: "size <bytes>".into(),
            y: "loss".into(),
            series: vec![Series { name: "front".into(), mark: Mark::Points, points }],
            ..Chart::default()
        };
        page.chart(&chart, "c").unwrap();
        page.picture(&super::super::images(&[vec![0.0; 4]], 2), "p");
        let html = page.html();
        assert!(html.contains("<svg") && html.contains("data:image/png;base64,"));
        assert!(!html.contains("<link") && !html.contains("src=\"http") && !html.contains("url("));
    }
}
