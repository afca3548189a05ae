//! What was measured, as a table for people and as JSON.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use crate::stats::Summary;

/// Writes what was measured as JSON to the file that was asked for, if one was.
pub(crate) fn write_json(to: Option<&Path>, measured: &impl Serialize) -> anyhow::Result<()> {
    let Some(path) = to else { return Ok(()) };
    let json = serde_json::to_vec_pretty(measured)?;
    std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))
}

/// One figure.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) figure: String,
    pub(crate) clients: Option<usize>,
    pub(crate) unit: &'static str,
    pub(crate) value: Summary,
    /// What there is to beat, where the project has set itself a goal.
    pub(crate) goals: Vec<Goal>,
    /// The same over HTTP/2 alone: the median of it.
    pub(crate) floor: Option<f64>,
}

/// A figure that is to stay below a limit.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Goal {
    pub(crate) of: Of,
    pub(crate) limit: f64,
    pub(crate) met: bool,
}

/// Which of the values of a summary is meant.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Of {
    Median,
    P99,
}

impl Row {
    pub(crate) fn new(figure: &str, clients: Option<usize>, unit: &'static str, value: Summary) -> Self {
        Self { figure: figure.to_owned(), clients, unit, value, goals: Vec::new(), floor: None }
    }

    /// A figure in milliseconds.
    pub(crate) fn millis(figure: &str, clients: Option<usize>, times: &[Duration]) -> Option<Self> {
        let value = Summary::of(times.iter().map(|time| time.as_secs_f64() * 1e3))?;
        Some(Self::new(figure, clients, "ms", value))
    }

    /// A figure in microseconds.
    pub(crate) fn micros(figure: &str, clients: Option<usize>, times: &[Duration]) -> Option<Self> {
        let value = Summary::of(times.iter().map(|time| time.as_secs_f64() * 1e6))?;
        Some(Self::new(figure, clients, "us", value))
    }

    /// A figure that was measured once, or is an average already.
    pub(crate) fn single(figure: &str, clients: Option<usize>, unit: &'static str, value: f64) -> Self {
        let value = Summary { count: 1, min: value, median: value, p99: value, max: value };
        Self::new(figure, clients, unit, value)
    }

    pub(crate) fn goal(mut self, of: Of, limit: f64) -> Self {
        let value = match of {
            Of::Median => self.value.median,
            Of::P99 => self.value.p99,
        };
        self.goals.push(Goal { of, limit, met: value < limit });
        self
    }

    pub(crate) const fn floor(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self
    }
}

/// All figures.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["figure", "clients", "min", "median", "p99", "max", "unit", "floor", "x floor", "goal"];
        let mut lines = vec![head.map(str::to_owned)];
        lines.extend(self.rows.iter().map(cells));
        let widths: Vec<usize> = (0..head.len())
            .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
            .collect();
        for line in &lines {
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                // Words to the left, numbers to the right.
                if matches!(column, 0 | 6 | 9) {
                    write!(f, "{cell:<width$}  ")?
                } else {
                    write!(f, "{cell:>width$}  ")?
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn cells(row: &Row) -> [String; 10] {
    let Summary { count, min, median, p99, max } = row.value;
    let spread = |value: f64| if count > 1 { number(value) } else { String::new() };
    [
        row.figure.clone(),
        row.clients.map(|clients| clients.to_string()).unwrap_or_default(),
        spread(min),
        number(median),
        spread(p99),
        spread(max),
        row.unit.to_owned(),
        row.floor.map(number).unwrap_or_default(),
        row.floor
            .filter(|floor| *floor > 0.0)
            .map(|floor| format!("{:.1}", median / floor))
            .unwrap_or_default(),
        row.goals.iter().map(goal).collect::<Vec<_>>().join(", "),
    ]
}

fn goal(goal: &Goal) -> String {
    let of = match goal.of {
        Of::Median => "median",
        Of::P99 => "p99",
    };
    format!("{of} < {}: {}", goal.limit, if goal.met { "met" } else { "NOT MET" })
}

/// Three digits that mean something.
pub(crate) fn number(value: f64) -> String {
    let digits = if value.abs() < 1.0 {
        3
    } else if value.abs() < 10.0 {
        2
    } else if value.abs() < 100.0 {
        1
    } else {
        0
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_below_its_limit_only() {
        let times = [1, 2, 3].map(Duration::from_millis);
        let row = Row::millis("x", None, &times).unwrap();
        let row = row.goal(Of::Median, 2.5).goal(Of::Median, 2.0).goal(Of::P99, 2.5);
        assert_eq!(row.goals.iter().map(|goal| goal.met).collect::<Vec<_>>(), [true, false, false]);
    }

    #[test]
    fn the_table_has_a_line_a_figure_and_says_what_is_not_met() {
        let rows = vec![
            Row::single("memory", Some(100), "KiB", 12.34).goal(Of::Median, 60.0).floor(6.17),
            Row::millis("latency", Some(100), &[Duration::from_millis(7)]).unwrap().goal(Of::Median, 5.0),
        ];
        let table = Report { rows }.to_string();
        let lines: Vec<&str> = table.lines().map(str::trim_end).collect();
        assert_eq!(lines.len(), 3, "{table}");
        assert!(
            lines[1].contains("12.3") && lines[1].contains("2.0") && lines[1].ends_with(": met"),
            "{table}"
        );
        assert!(lines[2].ends_with("median < 5: NOT MET"), "{table}");
    }
}
