//! Figures of several systems beside each other.

use std::fmt;

use serde::Serialize;

use crate::report::{Of, number};
use crate::stats::Summary;

/// One column a system, the first of which has goals and is what the others are compared with.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    services: usize,
    systems: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    figure: &'static str,
    unit: &'static str,
    values: Vec<Option<Summary>>,
    goals: Vec<(Of, f64)>,
}

impl Table {
    pub(super) const fn new(services: usize, systems: Vec<String>) -> Self {
        Self { services, systems, rows: Vec::new() }
    }

    /// Writes one figure of the system in `column`.
    pub(super) fn put(
        &mut self,
        column: usize,
        figure: &'static str,
        unit: &'static str,
        value: Option<Summary>,
        goals: &[(Of, f64)],
    ) {
        let known = self.rows.iter().position(|row| row.figure == figure);
        let at = known.unwrap_or_else(|| {
            let values = vec![None; self.systems.len()];
            self.rows.push(Row { figure, unit, values, goals: goals.to_vec() });
            self.rows.len() - 1
        });
        self.rows[at].values[column] = value;
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{} services there already; median, p99, largest (x: how many times that of the first):",
            self.services
        )?;
        let mut lines = vec![vec!["figure".to_owned(), "unit".to_owned()]];
        lines[0].extend(self.systems.iter().cloned());
        lines[0].push("goal".to_owned());
        lines.extend(self.rows.iter().map(Row::cells));
        let columns = lines[0].len();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for line in &lines {
            let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let first = self.values.first().copied().flatten();
        let mut cells = vec![self.figure.to_owned(), self.unit.to_owned()];
        cells.extend(self.values.iter().enumerate().map(|(column, value)| match value {
            Some(value) => cell(value, first.filter(|_| column > 0)),
            None => String::new(),
        }));
        let goals = self.goals.iter().filter_map(|(of, limit)| goal(*of, *limit, &first?));
        cells.push(goals.collect::<Vec<_>>().join(", "));
        cells
    }
}

fn cell(value: &Summary, first: Option<Summary>) -> String {
    let mut text = number(value.median);
    if value.count > 1 {
        text += &format!(", {}, {}", number(value.p99), number(value.max));
    }
    if let Some(first) = first.filter(|first| first.median > 0.0) {
        text += &format!(" (x {})", number(value.median / first.median));
    }
    text
}

fn goal(of: Of, limit: f64, value: &Summary) -> Option<String> {
    let (name, found) = match of {
        Of::Median => ("median", value.median),
        Of::P99 => ("p99", value.p99),
    };
    Some(format!("{name} < {limit}: {}", if found < limit { "met" } else { "NOT MET" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_stand_beside_each_other_and_goals_are_for_the_first() {
        let mut table = Table::new(7, vec!["ours".to_owned(), "theirs".to_owned()]);
        table.put(0, "time", "ms", Summary::of([2.0, 4.0, 6.0]), &[(Of::Median, 5.0), (Of::P99, 5.0)]);
        table.put(1, "time", "ms", Summary::of([40.0]), &[]);
        table.put(1, "only theirs", "", Summary::of([1.0]), &[]);
        let text = table.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("7 services") && lines.len() == 5, "{text}");
        assert!(lines[3].contains("4.00, 6.00, 6.00") && lines[3].contains("40.0 (x 10.0)"), "{text}");
        assert!(lines[3].ends_with("median < 5: met, p99 < 5: NOT MET"), "{text}");
        assert!(lines[4].contains("1.00"), "{text}");
    }
}
