//! A rule as a list of alternatives, each of which is a list of conditions that all hold: our routes have no `||`.

use super::{Expr, Matcher};
use crate::compat::note::Refusal;

/// The most routes that are made of one rule.
const MOST: usize = 64;

/// A matcher, or its opposite.
#[derive(Debug, Clone, Copy)]
pub(super) struct Condition<'a> {
    pub(super) not: bool,
    pub(super) matcher: &'a Matcher,
}

/// The alternatives of `expr`, in its order.
pub(super) fn of(expr: &Expr) -> Result<Vec<Vec<Condition<'_>>>, Refusal> {
    let count = count(expr, false);
    if count > MOST {
        let reason = format!("it would take {count} routes, and at most {MOST} are made of one rule");
        return Err(Refusal::new(reason, "make several routers of it"));
    }
    Ok(expand(expr, false))
}

/// How many there are; by far too many are any number beyond the limit.
fn count(expr: &Expr, not: bool) -> usize {
    match (expr, not) {
        (Expr::Matcher(_), _) => 1,
        (Expr::Not(inner), not) => count(inner, !not),
        (Expr::Or(all), false) | (Expr::And(all), true) => {
            all.iter().fold(0, |sum, expr| sum.saturating_add(count(expr, not)))
        }
        (Expr::And(all), false) | (Expr::Or(all), true) => {
            all.iter().fold(1, |product, expr| product.saturating_mul(count(expr, not)))
        }
    }
}

fn expand(expr: &Expr, not: bool) -> Vec<Vec<Condition<'_>>> {
    match (expr, not) {
        (Expr::Matcher(matcher), not) => vec![vec![Condition { not, matcher }]],
        (Expr::Not(inner), not) => expand(inner, !not),
        (Expr::Or(all), false) | (Expr::And(all), true) => {
            all.iter().flat_map(|expr| expand(expr, not)).collect()
        }
        (Expr::And(all), false) | (Expr::Or(all), true) => {
            all.iter().fold(vec![Vec::new()], |so_far, expr| {
                let more = expand(expr, not);
                let both =
                    so_far.iter().flat_map(|left| more.iter().map(move |right| [&left[..], right].concat()));
                both.collect()
            })
        }
    }
}
