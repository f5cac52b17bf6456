//! Line charts, as the text of an SVG file that is readable in light and in dark mode.

#![expect(clippy::cast_precision_loss, reason = "pixels need no more")]

use std::fmt::Write;

/// Size of the plot of a panel, without its labels.
const PLOT: (f64, f64) = (300.0, 170.0);

/// Room around a plot: left, top, right, bottom.
const ROOM: (f64, f64, f64, f64) = (68.0, 34.0, 22.0, 46.0);

/// Room above the panels for the title, and below them for the legend.
const TITLE: f64 = 34.0;
const LEGEND: f64 = 30.0;

const STYLE: &str = "
text { font: 12px sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: bold } .small { font-size: 10px }
.end { text-anchor: end } .middle { text-anchor: middle }
.paper { fill: #ffffff } .grid { stroke: #d8dee4 } .frame { stroke: #8c959f; fill: none }
.guide { stroke: #57606a; stroke-dasharray: 2 4 } .mark { stroke: #8c959f; stroke-dasharray: 1 3 }
.line { fill: none; stroke-width: 2 } .broken { stroke-dasharray: 7 3 }
.c0 { color: #0072b2 } .c1 { color: #d55e00 } .c2 { color: #00855f }
.line, .dot { stroke: currentColor } .dot { fill: currentColor }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .paper { fill: #0d1117 } .grid { stroke: #30363d } .frame { stroke: #6e7681 }
.guide { stroke: #9da7b1 } .mark { stroke: #9da7b1 }
.c0 { color: #56b4e9 } .c1 { color: #ff9248 } .c2 { color: #3fd6a6 }
}
";

/// Panels side by side, `columns` in a row.
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) columns: usize,
    pub(crate) panels: Vec<Panel>,
    /// Vertical lines in all panels, with a word above each.
    pub(crate) marks: Vec<(f64, &'static str)>,
}

/// One plot. Lines with the same index have the same name and style in all panels.
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
    /// Whether a line shows what grows in proportion to `x`. Both axes must be logarithmic.
    pub(crate) has_guide: bool,
}

/// An axis, with its unit in the label.
#[derive(Clone, Copy)]
pub(crate) struct Axis {
    pub(crate) label: &'static str,
    pub(crate) is_log: bool,
}

/// Points that are connected.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// The range of an axis, and where it is on the picture.
struct Scale {
    is_log: bool,
    range: (f64, f64),
    pixels: (f64, f64),
    ticks: Vec<f64>,
}

impl Chart {
    /// Returns the text of the SVG file.
    pub(crate) fn to_svg(&self) -> String {
        let cell = (ROOM.0 + PLOT.0 + ROOM.2, ROOM.1 + PLOT.1 + ROOM.3);
        let rows = self.panels.len().div_ceil(self.columns);
        let names: Vec<_> =
            self.panels.first().map_or(&[][..], |it| &it.lines).iter().map(|it| it.name).collect();
        let legend = if names.len() > 1 { LEGEND } else { 0.0 };
        let (width, height) = (self.columns as f64 * cell.0, TITLE + rows as f64 * cell.1 + legend);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" role=\"img\">\n\
             <title>{}</title>\n<style>{STYLE}</style>\n\
             <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n",
            escaped(&self.title)
        );
        text(&mut svg, "title", (16.0, 24.0), &self.title);
        for (index, panel) in self.panels.iter().enumerate() {
            let (column, row) = (index % self.columns, index / self.columns);
            let left = column as f64 * cell.0 + ROOM.0;
            let top = TITLE + row as f64 * cell.1 + ROOM.1;
            panel.draw(&mut svg, (left, top), &self.marks);
        }
        if legend > 0.0 {
            draw_legend(&mut svg, &names, (16.0, height - 12.0));
        }
        svg + "</svg>\n"
    }
}

impl Panel {
    fn draw(&self, svg: &mut String, (left, top): (f64, f64), marks: &[(f64, &str)]) {
        let (right, bottom) = (left + PLOT.0, top + PLOT.1);
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = Scale::of(self.x, points().map(|it| it.0), (left, right));
        let y = Scale::of(self.y, points().map(|it| it.1), (bottom, top));
        text(svg, "", (left, top - 18.0), self.title);
        text(svg, "small middle", (f64::midpoint(left, right), bottom + 32.0), self.x.label);
        text(svg, "small", (left, top - 5.0), self.y.label);
        for &tick in &x.ticks {
            line(svg, "grid", (x.at(tick), top), (x.at(tick), bottom));
            text(svg, "small middle", (x.at(tick), bottom + 15.0), &number(tick));
        }
        for &tick in &y.ticks {
            line(svg, "grid", (left, y.at(tick)), (right, y.at(tick)));
            text(svg, "small end", (left - 5.0, y.at(tick) + 3.5), &number(tick));
        }
        let _ = writeln!(
            svg,
            "<rect class=\"frame\" x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\"/>",
            PLOT.0, PLOT.1
        );
        for &(at, word) in marks {
            line(svg, "mark", (x.at(at), top), (x.at(at), bottom));
            text(svg, "small middle", (x.at(at), top + 10.0), word);
        }
        if self.has_guide {
            draw_guide(svg, &x, &y);
        }
        for (index, line) in self.lines.iter().enumerate() {
            line.draw(svg, &style(index), &x, &y);
        }
    }
}

impl Line {
    fn draw(&self, svg: &mut String, style: &str, x: &Scale, y: &Scale) {
        let is_shown = |&&(_, value): &&(f64, f64)| !y.is_log || value > 0.0;
        let places: Vec<_> =
            self.points.iter().filter(is_shown).map(|it| (x.at(it.0), y.at(it.1))).collect();
        let path: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(svg, "<polyline class=\"line {style}\" points=\"{}\"/>", path.join(" "));
        // Many points are a curve.
        for (x, y) in places.iter().filter(|_| places.len() <= 20) {
            let _ = writeln!(
                svg,
                "<circle class=\"dot {style}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>"
            );
        }
    }
}

impl Scale {
    /// Returns a scale that has room for these values: whole decades, or from zero.
    fn of(axis: Axis, values: impl Iterator<Item = f64>, pixels: (f64, f64)) -> Self {
        let values: Vec<_> = values.filter(|it| !axis.is_log || *it > 0.0).collect();
        let max = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        if !axis.is_log {
            let step = step(max);
            let end = (max / step).ceil().max(1.0) * step;
            let steps = std::iter::successors(Some(0.0), |tick| Some(tick + step));
            let ticks = steps.take_while(|tick| *tick < end + step / 2.0).collect();
            return Scale { is_log: false, range: (0.0, end), pixels, ticks };
        }
        let min = values.iter().copied().fold(max, f64::min);
        let first = min.log10().floor() as i32;
        let last = (max.log10().ceil() as i32).max(first + 1);
        let ticks = (first..=last).map(|it| 10_f64.powi(it)).collect();
        let range = (10_f64.powi(first), 10_f64.powi(last));
        Scale { is_log: true, range, pixels, ticks }
    }

    fn at(&self, value: f64) -> f64 {
        let place = |it: f64| if self.is_log { it.log10() } else { it };
        let (from, to) = (place(self.range.0), place(self.range.1));
        let part = (place(value) - from) / (to - from);
        self.pixels.0 + part * (self.pixels.1 - self.pixels.0)
    }
}

/// Returns a step of 1, 2 or 5 times a power of ten that leads to `max` in up to six steps.
fn step(max: f64) -> f64 {
    let decade = 10_f64.powf((max / 6.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|it| it * decade)
        .into_iter()
        .find(|it| max / it <= 6.0)
        .unwrap_or(max)
}

/// Returns a number with commas between thousands, and without rounding errors.
fn number(value: f64) -> String {
    if value < 1000.0 {
        let text = format!("{value:.6}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns the classes of the line with this index: three colors, then again as broken lines.
fn style(index: usize) -> String {
    format!("c{}{}", index % 3, if index >= 3 { " broken" } else { "" })
}

fn draw_legend(svg: &mut String, names: &[&str], (mut left, bottom): (f64, f64)) {
    for (index, name) in names.iter().enumerate() {
        let class = format!("line {}", style(index));
        line(svg, &class, (left, bottom - 4.0), (left + 28.0, bottom - 4.0));
        text(svg, "", (left + 34.0, bottom), name);
        left += 60.0 + 6.5 * name.chars().count() as f64;
    }
}

/// Draws the straight line of slope 1 from the corner.
fn draw_guide(svg: &mut String, x: &Scale, y: &Scale) {
    let factor = (x.range.1 / x.range.0).min(y.range.1 / y.range.0);
    let end = (x.at(x.range.0 * factor), y.at(y.range.0 * factor));
    line(svg, "guide", (x.pixels.0, y.pixels.0), end);
}

fn line(svg: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, class: &str, (x, y): (f64, f64), content: &str) {
    let content = escaped(content);
    let _ = writeln!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{content}</text>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
