//! Regular expressions: Traefik's match anywhere in the text, ours match the whole of it.

use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{AssertionKind, Ast};
use regex_syntax::hir::{Hir, HirKind, Look};

use crate::compat::note::Refusal;

/// The expression that matches a whole text where `pattern` matches some of it.
pub(in crate::compat) fn whole(pattern: &str) -> Result<String, Refusal> {
    let ast = Parser::new().parse(pattern).map_err(|error| {
        Refusal::new(
            format!("the regular expression does not parse: {}", error.kind()),
            "correct it (syntax: RE2)",
        )
    })?;
    let is_start = |ast: &Ast| matches!(ast, Ast::Assertion(it) if matches!(it.kind, AssertionKind::StartLine | AssertionKind::StartText));
    let is_end = |ast: &Ast| matches!(ast, Ast::Assertion(it) if matches!(it.kind, AssertionKind::EndLine | AssertionKind::EndText));
    let (start, end) = match &ast {
        Ast::Concat(list) => {
            let first = list.asts.first().filter(|ast| is_start(ast)).map(|ast| ast.span().end.offset);
            let last = list.asts.last().filter(|ast| is_end(ast)).map(|ast| ast.span().start.offset);
            (first, last)
        }
        one if is_start(one) => (Some(pattern.len()), None),
        one if is_end(one) => (None, Some(0)),
        Ast::Alternation(_) => return Ok(format!(".*(?:{pattern}).*")),
        _ => (None, None),
    };
    let middle = &pattern[start.unwrap_or(0)..end.unwrap_or(pattern.len())];
    let before = if start.is_some() || middle.starts_with(".*") { "" } else { ".*" };
    let after = if end.is_some()
        || (middle.ends_with(".*") && !middle.ends_with("\\.*"))
        || middle.is_empty() && !before.is_empty()
    {
        ""
    } else {
        ".*"
    };
    Ok(format!("{before}{middle}{after}"))
}

/// Whether some of `text` matches.
pub(super) fn finds(pattern: &str, text: &str) -> Result<bool, Refusal> {
    regex::Regex::new(pattern)
        .map(|regex| regex.is_match(text))
        .map_err(|_| Refusal::new("the regular expression does not parse", "correct it (syntax: RE2)"))
}

/// Whether every text that matches begins with `prefix`.
pub(super) fn implies(pattern: &str, prefix: &str) -> bool {
    let Ok(hir) = regex_syntax::parse(pattern) else { return false };
    let HirKind::Concat(parts) = hir.kind() else { return false };
    let mut parts = parts.iter().map(Hir::kind);
    match (parts.next(), parts.next()) {
        (Some(HirKind::Look(Look::Start)), Some(HirKind::Literal(literal))) => {
            literal.0.starts_with(prefix.as_bytes())
        }
        _ => false,
    }
}
