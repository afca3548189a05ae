//! Figures over many rounds.

use serde::{Deserialize, Serialize};

/// What a row of the report says about one figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// How often it was measured.
    pub(crate) count: usize,
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Summary {
    /// The summary of `values`, or nothing where there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        Some(Self { count: sorted.len(), min, median: rank(&sorted, 50)?, p99: rank(&sorted, 99)?, max })
    }
}

/// The nearest-rank percentile: the smallest value that `percent` of a hundred do not exceed.
fn rank(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_values_the_percentiles_are_the_values_themselves() {
        let summary = Summary::of((1..=100).rev().map(f64::from)).unwrap();
        let expected = Summary { count: 100, min: 1.0, median: 50.0, p99: 99.0, max: 100.0 };
        assert_eq!(summary, expected);
    }

    #[test]
    fn of_few_values_the_99th_percentile_is_the_largest() {
        let summary = Summary::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((summary.min, summary.median, summary.p99, summary.max), (1.0, 2.0, 3.0, 3.0));
    }

    #[test]
    fn one_value_is_every_percentile() {
        let summary = Summary::of([7.0]).unwrap();
        assert_eq!((summary.min, summary.median, summary.p99, summary.max), (7.0, 7.0, 7.0, 7.0));
    }

    #[test]
    fn of_nothing_there_is_no_summary() {
        assert_eq!(Summary::of([]), None);
    }
}
