//! What was measured, as a table in Markdown: one proxy a row, compared round by round with one of them.

use std::fmt;

use serde::Serialize;

use crate::report::number;
use crate::stats::Summary;

/// What the project has set itself for the first row: this share of the requests of what it is compared with.
pub(super) const GOAL: f64 = 0.97;

/// One turn of one proxy.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Measured {
    pub(super) per_second: f64,
    /// CPU time of the proxy a request, in microseconds.
    pub(super) micros: f64,
    /// The share of its core that it used: where it is far below 1, clients and app were the slower ones.
    pub(super) busy: f64,
    pub(super) failures: u64,
}

/// All turns of one proxy.
#[derive(Debug, Serialize)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) rounds: Vec<Measured>,
    /// Of single requests at a steady rate, in milliseconds.
    pub(super) latency: Option<Summary>,
    /// Resident, after all rounds.
    pub(super) mib: f64,
}

/// All proxies with one kind of request.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    pub(super) title: String,
    /// The row that all are compared with.
    pub(super) base: usize,
    /// Whether there is a goal for the first row.
    pub(super) goal: bool,
    /// Requests a second at which single ones were timed.
    pub(super) rate: u32,
    pub(super) series: Vec<Series>,
}

impl Series {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), rounds: Vec::new(), latency: None, mib: 0.0 }
    }

    fn median(&self, of: fn(&Measured) -> f64) -> f64 {
        Summary::of(self.rounds.iter().map(of)).map_or(0.0, |summary| summary.median)
    }

    /// This proxy's figure as a share of the other's of the same round: what the machine did meanwhile falls on both.
    fn share(&self, other: &Self, of: fn(&Measured) -> f64) -> Option<Summary> {
        let rounds = self.rounds.iter().zip(&other.rounds);
        Summary::of(rounds.filter(|(_, other)| of(other) > 0.0).map(|(own, other)| of(own) / of(other)))
    }

    fn cells(&self, base: &Self) -> [String; 8] {
        let share = |of| if std::ptr::eq(self, base) { None } else { self.share(base, of) };
        let latency = self.latency.map(|times| format!("{}, {}", number(times.median), number(times.p99)));
        [
            self.name.clone(),
            format!("{:.0}", self.median(|turn| turn.per_second)),
            share(|turn| turn.per_second).map(|share| percent(&share)).unwrap_or_default(),
            number(self.median(|turn| turn.micros)),
            share(|turn| turn.micros).map(|share| percent(&share)).unwrap_or_default(),
            format!("{:.0} %", self.median(|turn| turn.busy) * 1e2),
            latency.unwrap_or_default(),
            number(self.mib),
        ]
    }
}

/// The median, and what it was from and to.
fn percent(share: &Summary) -> String {
    format!("{:.1} % ({:.1} to {:.1})", share.median * 1e2, share.min * 1e2, share.max * 1e2)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(base) = self.series.get(self.base) else { return Ok(()) };
        writeln!(f, "{}. Shares are those of \"{}\", round by round:\n", self.title, base.name)?;
        let head = [
            "proxy".to_owned(),
            "requests/s".to_owned(),
            "share".to_owned(),
            "CPU a request, us".to_owned(),
            "share".to_owned(),
            "its core".to_owned(),
            format!("p50, p99 at {}/s, ms", self.rate),
            "MiB".to_owned(),
        ];
        let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
        writeln!(f, "{}\n|{}", line(&head), "---|".repeat(head.len()))?;
        for series in &self.series {
            writeln!(f, "{}", line(&series.cells(base)))?;
        }
        let ours = self.series.first().filter(|_| self.goal);
        if let Some(share) = ours.and_then(|ours| ours.share(base, |turn| turn.per_second)) {
            let met = if share.median >= GOAL { "met" } else { "NOT MET" };
            writeln!(
                f,
                "\nGoal, at least {:.0} % of the requests/s: {met}, {:.1} %.",
                GOAL * 1e2,
                share.median * 1e2
            )?;
        }
        for series in &self.series {
            let failures: u64 = series.rounds.iter().map(|turn| turn.failures).sum();
            if failures > 0 {
                writeln!(f, "\n{}: {failures} ANSWERS WERE WRONG.", series.name)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, per_second: &[f64]) -> Series {
        let turn = |per_second| Measured { per_second, micros: 1e6 / per_second, busy: 0.99, failures: 0 };
        Series { rounds: per_second.iter().copied().map(turn).collect(), ..Series::new(name) }
    }

    fn table(series: Vec<Series>) -> Table {
        Table { title: "GET".to_owned(), base: 1, goal: true, rate: 2_000, series }
    }

    #[test]
    fn shares_are_taken_round_by_round() {
        // The machine was half as fast in the second round; that is no difference between the two.
        let (ours, theirs) = (series("ours", &[98.0, 49.5, 96.0]), series("theirs", &[100.0, 50.0, 100.0]));
        let share = ours.share(&theirs, |turn| turn.per_second).unwrap();
        assert!((share.min, share.median, share.max) == (0.96, 0.98, 0.99), "{share:?}");
    }

    #[test]
    fn the_table_says_whether_the_goal_is_met_and_can_be_pasted() {
        let text = table(vec![series("ours", &[97.0]), series("theirs", &[100.0])]).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[2].starts_with("| proxy | requests/s |") && lines[3].starts_with("|---|---|"),
            "{text}"
        );
        assert!(lines[4].starts_with("| ours | 97 | 97.0 % (97.0 to 97.0) |"), "{text}");
        assert!(lines[5].starts_with("| theirs | 100 |  |"), "{text}");
        assert!(text.contains("requests/s: met, 97.0 %"), "{text}");
        let text = table(vec![series("ours", &[96.9]), series("theirs", &[100.0])]).to_string();
        assert!(text.contains("NOT MET"), "{text}");
    }

    #[test]
    fn wrong_answers_are_told() {
        let mut wrong = series("ours", &[97.0]);
        wrong.rounds[0].failures = 7;
        assert!(table(vec![wrong, series("theirs", &[100.0])]).to_string().contains("ours: 7 ANSWERS"));
    }
}
