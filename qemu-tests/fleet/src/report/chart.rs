// SPDX-License-Identifier: MIT OR Apache-2.0

//! Line charts as SVG, whose colours a style sheet can replace.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::history::{Point, thinned};

/// Width and height in the chart's own units. Lines have whole coordinates, so a chart is drawn twice
/// as large as most screens show it.
pub(super) const SIZE: (u32, u32) = (960, 520);
/// The height of figures and names of axes.
const FONT_SIZE: u32 = 30;
/// Points in a line; more could not be told apart.
const POINTS: usize = 480;

/// The colour of the texts, on a light page.
pub(super) const TEXT: RGBColor = RGBColor(0x3d, 0x45, 0x4e);
/// The colour of the axes.
pub(super) const AXIS: RGBColor = RGBColor(0x8a, 0x94, 0x9e);
/// The colour of the lines of the grid.
pub(super) const GRID: RGBColor = RGBColor(0xdf, 0xe3, 0xe8);

/// The lines' colours on a light page. The style sheet gives each a dash pattern of its own, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Blue,
    Green,
    Amber,
    Red,
}

impl Ink {
    pub(super) const ALL: [Self; 4] = [Self::Blue, Self::Green, Self::Amber, Self::Red];

    pub(super) fn color(self) -> RGBColor {
        match self {
            Self::Blue => RGBColor(0x1f, 0x6f, 0xb8),
            Self::Green => RGBColor(0x2a, 0x7d, 0x3f),
            Self::Amber => RGBColor(0xb3, 0x5c, 0x00),
            Self::Red => RGBColor(0xc4, 0x2b, 0x2b),
        }
    }
}

/// A line of a chart.
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) ink: Ink,
    pub(super) points: Vec<Point>,
    /// Whether a value holds until the next point, as a count does.
    pub(super) steps: bool,
}

/// A chart.
pub(super) struct Chart {
    /// What is drawn, for the heading.
    pub(super) title: &'static str,
    /// What the axes are.
    pub(super) axes: [&'static str; 2],
    /// How figures are written at the axes and in the table.
    pub(super) units: [fn(f64) -> String; 2],
    pub(super) series: Vec<Series>,
}

impl Chart {
    /// Returns whether there is anything to draw.
    pub(super) fn is_empty(&self) -> bool {
        self.series.iter().all(|series| series.points.is_empty())
    }

    /// Returns the range of one axis, which is never empty and, if `from_zero`, begins at zero.
    fn range(&self, axis: fn(&Point) -> f64, from_zero: bool) -> std::ops::Range<f64> {
        let values = self.series.iter().flat_map(|series| &series.points);
        let values = values.map(axis).filter(|value| value.is_finite());
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            least = least.min(value);
            most = most.max(value);
        }
        if least > most {
            return 0.0..1.0;
        }
        if from_zero {
            least = least.min(0.0);
        }
        let span = most - least;
        if span <= most.abs() * 1e-9 {
            return least..least + 1.0;
        }
        least..most + if from_zero { span * 0.05 } else { 0.0 }
    }

    /// Draws the chart.
    ///
    /// # Errors
    /// When plotters cannot draw it.
    pub(super) fn svg(&self) -> Result<String, ChartError> {
        let mut text = String::new();
        {
            let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
            self.draw(&area)
                .map_err(|error| ChartError(self.title, error.to_string()))?;
        }
        Ok(text)
    }

    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> DrawResult<'_> {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .margin_right(36)
            .x_label_area_size(84)
            .y_label_area_size(136)
            .build_cartesian_2d(
                self.range(|point| point.0, false),
                self.range(|point| point.1, true),
            )?;
        let font = |color: &RGBColor| ("sans-serif", FONT_SIZE).into_font().color(color);
        let [x_unit, y_unit] = self.units;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(6)
            .y_labels(6)
            .x_label_formatter(&|value| x_unit(*value))
            .y_label_formatter(&|value| y_unit(*value))
            .x_desc(self.axes[0])
            .y_desc(self.axes[1])
            .label_style(font(&TEXT))
            .axis_desc_style(font(&TEXT))
            .axis_style(AXIS)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .draw()?;
        for series in &self.series {
            let points = series.points.iter().copied();
            let finite = points.filter(|(x, y)| x.is_finite() && y.is_finite());
            let points = thinned(&finite.collect::<Vec<_>>(), POINTS);
            let color = series.ink.color();
            if let [point] = points[..] {
                chart.draw_series([Circle::new(point, 8, color.filled())])?;
            } else if series.steps {
                chart.draw_series(LineSeries::new(stairs(&points), color.stroke_width(4)))?;
            } else {
                chart.draw_series(LineSeries::new(points, color.stroke_width(4)))?;
            }
        }
        area.present()?;
        Ok(())
    }
}

type DrawResult<'a> =
    Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// Why a chart cannot be drawn.
#[derive(Debug, thiserror::Error)]
#[error("drawing the chart {0:?}: {1}")]
pub struct ChartError(&'static str, String);

/// Returns the corners of stairs through `points`.
fn stairs(points: &[Point]) -> Vec<Point> {
    let corners = points
        .windows(2)
        .flat_map(|pair| [pair[0], (pair[1].0, pair[0].1)]);
    corners.chain(points.last().copied()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chart(points: Vec<Point>) -> Chart {
        Chart {
            title: "A chart",
            axes: ["x", "y"],
            units: [|value| value.to_string(); 2],
            series: vec![Series {
                name: "a",
                ink: Ink::Blue,
                points,
                steps: true,
            }],
        }
    }

    #[test]
    fn stairs_hold_each_value_until_the_next() {
        assert_eq!(
            stairs(&[(0.0, 1.0), (2.0, 3.0)]),
            [(0.0, 1.0), (2.0, 1.0), (2.0, 3.0)]
        );
        assert_eq!(stairs(&[]), []);
    }

    #[test]
    fn tiny_data_is_drawn() {
        for points in [
            vec![],
            vec![(0.0, 0.0)],
            vec![(5.0, 1e12)],
            vec![(1.0, 7.0), (1.0, 7.0)],
            vec![(f64::NAN, 1.0), (0.0, f64::INFINITY)],
            vec![(1e9, -3.0), (1e9 + 1e-7, -3.0)],
        ] {
            let svg = chart(points.clone()).svg().unwrap();
            assert!(svg.ends_with("</svg>\n"), "{points:?}");
            assert!(!svg.contains("NaN"), "{points:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_data_is_drawn(points in prop::collection::vec((-1e12..1e12, -1e12..1e12), 0..20)) {
            chart(points).svg().unwrap();
        }
    }
}
