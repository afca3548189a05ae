//! `bench path --count`: instructions that Envoy executes for a request. Times of a shared machine differ from round to round by more
//! than two configurations do; instructions are the same each time.

use std::fmt;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use super::Request;
use super::bed::Bed;
use super::connection::Connection;
use super::proxy::{Contestant, Proxy, Seat};
use super::table::GOAL;
use crate::callgrind::Callgrind;

/// Requests before any is counted: whatever Envoy makes only once is there then.
const WARM: u64 = 100;
/// Counted twice, few and many: what does not depend on their number is in both, and the difference is free of it.
const FEW: u64 = 150;
const MANY: u64 = 3 * FEW;
/// Valgrind runs a program fifty times slower.
const PATIENCE: Duration = Duration::from_secs(300);

/// Instructions a request, of each Envoy.
#[derive(Debug, Serialize)]
pub(super) struct Counts {
    requests: Vec<Request>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    /// In the order of the requests.
    instructions: Vec<u64>,
}

impl super::Suite {
    /// Counts, one Envoy after the other.
    pub(super) async fn counts(&self, bed: &mut Bed) -> anyhow::Result<Counts> {
        let mut rows = Vec::new();
        for contestant in Contestant::ALL.into_iter().filter(|contestant| contestant.kind.is_envoy()) {
            let name = contestant.name();
            eprintln!("==> {name}");
            let instructions = self.count(contestant, bed).await.with_context(|| name.clone())?;
            rows.push(Row { name, instructions });
        }
        Ok(Counts { requests: self.requests.clone(), rows })
    }

    async fn count(&self, contestant: Contestant, bed: &mut Bed) -> anyhow::Result<Vec<u64>> {
        let places = bed.places()?;
        let mut callgrind = Callgrind::new(&places.folder)?;
        let seat = Seat { core: self.core, under: callgrind.words(), patience: PATIENCE };
        let proxy = Proxy::start(contestant, &places, &seat, self.portolan.as_deref()).await?;
        let mut counts = Vec::new();
        for request in &self.requests {
            let mut connection = Connection::open(proxy.address, *request, PATIENCE).await?;
            let mut asked = async |number| -> anyhow::Result<u64> {
                for _ in 0..number {
                    anyhow::ensure!(connection.ask().await?, "an answer was wrong");
                }
                // The worker is the one that does most. The main thread does what is due from time to time.
                callgrind.busiest_thread(proxy.id())
            };
            asked(WARM).await?;
            let (few, many) = (asked(FEW).await?, asked(MANY).await?);
            let one = many.saturating_sub(few) / (MANY - FEW);
            eprintln!("    {}: {one} instructions", request.title());
            counts.push(one);
        }
        Ok(counts)
    }
}

impl Counts {
    /// What a row has of what all are compared with, the second: that of the same features.
    fn share(&self, row: &Row, request: usize) -> Option<f64> {
        let base = *self.rows.get(1)?.instructions.get(request)?;
        (base > 0).then(|| row.instructions[request] as f64 / base as f64)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles: Vec<&str> = self.requests.iter().map(|request| request.title()).collect();
        writeln!(f, "Instructions a request, without the kernel's:\n")?;
        writeln!(f, "| proxy | {} |\n|{}", titles.join(" | "), "---|".repeat(titles.len() + 1))?;
        for row in &self.rows {
            let cells = row.instructions.iter().enumerate().map(|(n, count)| {
                let share = self.share(row, n).map(|share| format!(", {:.1} %", share * 1e2));
                format!("{count}{}", share.unwrap_or_default())
            });
            writeln!(f, "| {} | {} |", row.name, cells.collect::<Vec<_>>().join(" | "))?;
        }
        let Some(ours) = self.rows.first() else { return Ok(()) };
        for (n, title) in titles.iter().enumerate() {
            let Some(share) = self.share(ours, n) else { continue };
            let met = if 1.0 / share >= GOAL { "met" } else { "NOT MET" };
            writeln!(
                f,
                "\n{title}: on the same core at least {:.1} % of the requests, the kernel's part being the same; goal {:.0} %: {met}.",
                1e2 / share,
                GOAL * 1e2
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_compared_with_the_second() {
        let row = |name: &str, count| Row { name: name.to_owned(), instructions: vec![count] };
        let rows = vec![row("ours", 194_500), row("static", 190_400), row("bare", 95_200)];
        let text = Counts { requests: vec![Request::Small], rows }.to_string();
        assert!(text.contains("| ours | 194500, 102.2 % |\n| static | 190400, 100.0 % |"), "{text}");
        assert!(text.contains("| bare | 95200, 50.0 % |"), "{text}");
        assert!(
            text.contains("at least 97.9 % of the requests") && text.contains("goal 97 %: met"),
            "{text}"
        );
    }

    #[test]
    fn a_goal_that_is_missed_is_told() {
        let row = |name: &str, count| Row { name: name.to_owned(), instructions: vec![count] };
        let rows = vec![row("ours", 104_000), row("static", 100_000)];
        let text = Counts { requests: vec![Request::Post], rows }.to_string();
        assert!(text.contains("NOT MET"), "{text}");
    }
}
