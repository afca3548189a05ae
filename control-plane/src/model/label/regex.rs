//! Regular expressions, as Envoy's engine (RE2) takes them.
//!
//! Envoy refuses a whole route configuration for one expression it cannot compile, and with it every route of every
//! container. So what is let through is the part of the syntax that RE2 and Rust's `regex_syntax` read alike, and of a
//! size that RE2 compiles within its memory.

use regex_syntax::ast::{
    Assertion, AssertionKind, Ast, ClassSet, ClassSetItem, Flag, Flags, FlagsItemKind, GroupKind,
    HexLiteralKind, Literal, LiteralKind, RepetitionKind, RepetitionRange, Span,
};

use super::Mistake;

/// The most repetitions, nested ones multiplied (RE2, `kMaxRepeat`).
const MAX_REPEAT: u32 = 1_000;
/// RE2 stops at about 87,000 instructions; this counts them generously.
const MAX_SIZE: u64 = 20_000;

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
    if tree(&ast, 1)? > MAX_SIZE {
        return Err(Mistake::new(
            "the regular expression is too large for Envoy",
            "repeat less, or use several routes",
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

/// Checks `ast` inside of `repeated` repetitions, and says about how many instructions one pass of it takes.
fn tree(ast: &Ast, repeated: u32) -> Result<u64, Mistake> {
    match ast {
        Ast::Empty(_) => Ok(1),
        Ast::Flags(set) => flags(&set.flags).map(|()| 1),
        Ast::Literal(literal) => character(literal).map(|()| 8),
        Ast::Dot(_) => Ok(16),
        Ast::Assertion(assertion) => self::assertion(assertion).map(|()| 1),
        Ast::ClassPerl(_) => Ok(32),
        Ast::ClassUnicode(class) => Err(unicode(class.span.start.offset)),
        Ast::ClassBracketed(class) => set(&class.kind).map(|size| 32 + size),
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
            tree(&group.ast, repeated).map(|size| size + 2)
        }
        Ast::Alternation(list) => list.asts.iter().map(|ast| tree(ast, repeated)).sum::<Result<u64, _>>(),
        Ast::Concat(list) => list.asts.iter().map(|ast| tree(ast, repeated)).sum::<Result<u64, _>>(),
        Ast::Repetition(repetition) => {
            let place = repetition.op.span.start.offset;
            if matches!(*repetition.ast, Ast::Repetition(_)) {
                return Err(unsupported(
                    "a repetition of a repetition",
                    "put the inner one in (?:...)",
                    place,
                ));
            }
            let times = match &repetition.op.kind {
                RepetitionKind::Range(
                    RepetitionRange::Exactly(n)
                    | RepetitionRange::AtLeast(n)
                    | RepetitionRange::Bounded(_, n),
                ) => *n,
                _ => 1,
            };
            let product = repeated.saturating_mul(times.max(1));
            if product > MAX_REPEAT {
                return Err(unsupported("more than 1000 repetitions", "repeat less, or use + or *", place));
            }
            let size = tree(&repetition.ast, product)?;
            Ok(size.saturating_add(1).saturating_mul(u64::from(times.max(1))))
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

fn set(class: &ClassSet) -> Result<u64, Mistake> {
    match class {
        ClassSet::Item(item) => set_item(item),
        ClassSet::BinaryOp(op) => {
            Err(unsupported("set operations in a class", "write the characters", op.span.start.offset))
        }
    }
}

fn set_item(item: &ClassSetItem) -> Result<u64, Mistake> {
    match item {
        ClassSetItem::Empty(_) => Ok(0),
        ClassSetItem::Literal(literal) => character(literal).map(|()| 4),
        ClassSetItem::Range(range) => {
            character(&range.start).and_then(|()| character(&range.end)).map(|()| 16)
        }
        ClassSetItem::Ascii(_) | ClassSetItem::Perl(_) => Ok(16),
        ClassSetItem::Unicode(class) => Err(unicode(class.span.start.offset)),
        ClassSetItem::Bracketed(inner) => {
            Err(unsupported("a class inside a class", "write \\[ for the character", inner.span.start.offset))
        }
        ClassSetItem::Union(union) => union.items.iter().map(set_item).sum(),
    }
}
