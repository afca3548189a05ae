//! Regular expressions, as Envoy's engine (RE2) takes them.
//!
//! Envoy refuses a whole route configuration for one expression it cannot compile, and with it every route of every
//! container. So what is let through is the part of the syntax that RE2 and Rust's `regex_syntax` read alike, and no
//! larger than Envoy allows.

use regex_syntax::ast::{
    Assertion, AssertionKind, Ast, ClassSet, ClassSetItem, Flag, Flags, FlagsItemKind, GroupKind,
    HexLiteralKind, Literal, LiteralKind, RepetitionKind, RepetitionRange, Span,
};

use super::Mistake;

/// The most repetitions, nested ones multiplied (RE2, `kMaxRepeat`).
const MAX_REPEAT: u32 = 1_000;
/// The most instructions Envoy lets an expression compile to (its runtime key `re2.max_program_size.error_level`).
const MAX_SIZE: u64 = 100;
/// What every program has: a start, an end, a failure.
const FRAME: u64 = 5;
/// A class that takes in everything beyond ASCII: the forms of its UTF-8.
const BEYOND_ASCII: u64 = 12;

pub(super) fn check(pattern: &str) -> Result<(), Mistake> {
    if pattern.is_empty() {
        return Err(Mistake::new("the regular expression is empty", "write one, such as /api/v[0-9]+"));
    }
    let ast = regex_syntax::ast::parse::Parser::new()
        .parse(pattern)
        .map_err(|error| unreadable(&error.kind().to_string(), error.span()))?;
    // What the tree alone does not show, such as the names of character classes.
    regex_syntax::Parser::new().parse(pattern).map_err(|error| match error {
        regex_syntax::Error::Translate(error) => unreadable(&error.kind().to_string(), error.span()),
        other => Mistake::new(format!("the regular expression does not parse: {other:?}"), "correct it"),
    })?;
    if let Some(place) = pattern.find("{,") {
        return Err(unsupported("a repetition without a lower bound", "write {0,n}", place));
    }
    // Any flag may be the one by which letters of both cases match.
    let folds = pattern.contains("(?");
    let size = FRAME.saturating_add(tree(&ast, 1, folds)?);
    if size > MAX_SIZE {
        return Err(Mistake::new(
            format!(
                "the regular expression is too large: about {size} instructions, and Envoy allows {MAX_SIZE}"
            ),
            "repeat less, or make several routes of it",
        ));
    }
    Ok(())
}

fn unreadable(why: &str, span: &Span) -> Mistake {
    Mistake::new(format!("the regular expression does not parse: {why}"), "correct it (syntax: RE2)")
        .at(span.start.offset)
}

fn unsupported(what: &str, fix: &str, place: usize) -> Mistake {
    Mistake::new(format!("Envoy's regular expressions (RE2) do not have {what}"), fix).at(place)
}

/// Checks `ast` inside of `repeated` repetitions, and says how many instructions it compiles to, at most.
fn tree(ast: &Ast, repeated: u32, folds: bool) -> Result<u64, Mistake> {
    match ast {
        Ast::Empty(_) => Ok(1),
        Ast::Flags(set) => flags(&set.flags).map(|()| 1),
        Ast::Literal(literal) => character(literal).map(|()| letter(literal.c, folds)),
        Ast::Dot(_) => Ok(BEYOND_ASCII),
        Ast::Assertion(assertion) => self::assertion(assertion).map(|()| 1),
        Ast::ClassPerl(class) => Ok(perl(class.negated)),
        Ast::ClassUnicode(class) => Err(unicode(class.span.start.offset)),
        Ast::ClassBracketed(class) => {
            let size = set(&class.kind, folds)?;
            Ok(if class.negated { size + 1 + BEYOND_ASCII } else { size.max(1) })
        }
        Ast::Group(group) => {
            match &group.kind {
                GroupKind::CaptureName { .. } => {
                    return Err(unsupported(
                        "a use for the name of a group here",
                        "write (...)",
                        group.span.start.offset,
                    ));
                }
                GroupKind::NonCapturing(items) => flags(items)?,
                GroupKind::CaptureIndex(_) => {}
            }
            tree(&group.ast, repeated, folds).map(|size| size + 2)
        }
        Ast::Alternation(list) => {
            list.asts.iter().map(|ast| tree(ast, repeated, folds).map(|size| size + 1)).sum()
        }
        Ast::Concat(list) => list.asts.iter().map(|ast| tree(ast, repeated, folds)).sum(),
        Ast::Repetition(repetition) => {
            let place = repetition.op.span.start.offset;
            if matches!(*repetition.ast, Ast::Repetition(_)) {
                return Err(unsupported(
                    "a repetition of a repetition",
                    "put the inner one in (?:...)",
                    place,
                ));
            }
            // How often it is written out, and how many forks that takes.
            let (times, forks) = match &repetition.op.kind {
                RepetitionKind::Range(RepetitionRange::Exactly(n)) => (*n, 0),
                RepetitionKind::Range(RepetitionRange::AtLeast(n)) => (*n, 2),
                RepetitionKind::Range(RepetitionRange::Bounded(from, to)) => (*to, to.saturating_sub(*from)),
                RepetitionKind::ZeroOrOne | RepetitionKind::ZeroOrMore | RepetitionKind::OneOrMore => (1, 2),
            };
            let times = times.max(1);
            let product = repeated.saturating_mul(times);
            if product > MAX_REPEAT {
                return Err(unsupported("more than 1000 repetitions", "repeat less, or use + or *", place));
            }
            let size = tree(&repetition.ast, product, folds)?;
            Ok(size.saturating_mul(u64::from(times)).saturating_add(u64::from(forks)))
        }
    }
}

fn flags(flags: &Flags) -> Result<(), Mistake> {
    for item in &flags.items {
        let known = matches!(
            item.kind,
            FlagsItemKind::Negation
                | FlagsItemKind::Flag(
                    Flag::CaseInsensitive | Flag::MultiLine | Flag::DotMatchesNewLine | Flag::SwapGreed
                )
        );
        if !known {
            return Err(unsupported("this flag", "use i, m, s and U only", item.span.start.offset));
        }
    }
    Ok(())
}

fn character(literal: &Literal) -> Result<(), Mistake> {
    let known = match literal.kind {
        LiteralKind::HexFixed(HexLiteralKind::X) | LiteralKind::HexBrace(HexLiteralKind::X) => true,
        LiteralKind::HexFixed(_) | LiteralKind::HexBrace(_) => false,
        LiteralKind::Superfluous => literal.c != '_',
        LiteralKind::Verbatim | LiteralKind::Meta | LiteralKind::Octal | LiteralKind::Special(_) => true,
    };
    if known {
        Ok(())
    } else {
        Err(unsupported("this escape", "write the character itself, or \\x{...}", literal.span.start.offset))
    }
}

fn assertion(assertion: &Assertion) -> Result<(), Mistake> {
    match assertion.kind {
        AssertionKind::StartLine
        | AssertionKind::EndLine
        | AssertionKind::StartText
        | AssertionKind::EndText
        | AssertionKind::WordBoundary
        | AssertionKind::NotWordBoundary => Ok(()),
        _ => Err(unsupported("this boundary", "use \\b", assertion.span.start.offset)),
    }
}

fn unicode(place: usize) -> Mistake {
    Mistake::new(
        "what Envoy compares arrives in ASCII, where a Unicode class says nothing",
        "write a class such as [a-z]",
    )
    .at(place)
}

/// Instructions of one character: one a byte. The Kelvin sign is a k, and the long s an s.
fn letter(c: char, folds: bool) -> u64 {
    match c {
        'k' | 'K' | 's' | 'S' if folds => 5,
        c if c.is_ascii() => 1,
        c if folds => 4 * c.len_utf8() as u64,
        c => c.len_utf8() as u64,
    }
}

/// `\w` has four ranges, the others fewer.
fn perl(negated: bool) -> u64 {
    if negated { 5 + BEYOND_ASCII } else { 4 }
}

fn set(class: &ClassSet, folds: bool) -> Result<u64, Mistake> {
    match class {
        ClassSet::Item(item) => set_item(item, folds),
        ClassSet::BinaryOp(op) => {
            Err(unsupported("set operations in a class", "write the characters", op.span.start.offset))
        }
    }
}

fn set_item(item: &ClassSetItem, folds: bool) -> Result<u64, Mistake> {
    match item {
        ClassSetItem::Empty(_) => Ok(0),
        ClassSetItem::Literal(literal) => character(literal).map(|()| letter(literal.c, folds)),
        ClassSetItem::Range(range) => {
            character(&range.start)?;
            character(&range.end)?;
            // Folded, it has a second range, the Kelvin sign and the long s.
            Ok(match (range.end.c.is_ascii(), folds) {
                (true, false) => 1,
                (true, true) => 9,
                (false, _) => 4 * BEYOND_ASCII,
            })
        }
        ClassSetItem::Ascii(class) => Ok(perl(class.negated) + if folds { 8 } else { 0 }),
        ClassSetItem::Perl(class) => Ok(perl(class.negated)),
        ClassSetItem::Unicode(class) => Err(unicode(class.span.start.offset)),
        ClassSetItem::Bracketed(inner) => {
            Err(unsupported("a class inside a class", "write \\[ for the character", inner.span.start.offset))
        }
        ClassSetItem::Union(union) => union.items.iter().map(|item| set_item(item, folds)).sum(),
    }
}
