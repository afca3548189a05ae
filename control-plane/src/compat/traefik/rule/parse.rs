//! The grammar: matchers with `&&`, `||`, `!` and parentheses, as Traefik reads them, which is as Go reads an expression.

use crate::compat::note::Refusal;

/// The deepest nesting that is read.
const DEPTH: usize = 64;

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::compat) enum Expr {
    Matcher(Matcher),
    Not(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
}

/// One thing that is asked of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::compat) struct Matcher {
    pub(in crate::compat) kind: MatcherKind,
    pub(in crate::compat) arguments: Vec<String>,
    /// The byte at which it begins.
    pub(in crate::compat) place: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::compat) enum MatcherKind {
    Host,
    HostRegexp,
    Path,
    PathPrefix,
    PathRegexp,
    Method,
    Header,
    HeaderRegexp,
    Query,
    QueryRegexp,
    ClientIp,
    Alpn,
}

type Known = (&'static str, MatcherKind, usize, usize);

/// Each by its name, with the least and the greatest number of its arguments.
const MATCHERS: [Known; 11] = [
    ("Host", MatcherKind::Host, 1, 1),
    ("HostRegexp", MatcherKind::HostRegexp, 1, 1),
    ("Path", MatcherKind::Path, 1, 1),
    ("PathPrefix", MatcherKind::PathPrefix, 1, 1),
    ("PathRegexp", MatcherKind::PathRegexp, 1, 1),
    ("Method", MatcherKind::Method, 1, 1),
    ("Header", MatcherKind::Header, 2, 2),
    ("HeaderRegexp", MatcherKind::HeaderRegexp, 2, 2),
    ("Query", MatcherKind::Query, 1, 2),
    ("QueryRegexp", MatcherKind::QueryRegexp, 1, 2),
    ("ClientIP", MatcherKind::ClientIp, 1, 1),
];

/// Those of rules of TCP. The host is the name that the client asks for when it begins TLS.
const OF_TCP: [Known; 4] = [
    ("HostSNI", MatcherKind::Host, 1, 1),
    ("HostSNIRegexp", MatcherKind::HostRegexp, 1, 1),
    ("ClientIP", MatcherKind::ClientIp, 1, 1),
    ("ALPN", MatcherKind::Alpn, 1, usize::MAX),
];

/// Names of Traefik v2, and what v3 says instead.
const OLD: [(&str, &str); 4] = [
    ("HostHeader", "Host(`name`)"),
    ("Headers", "Header(`name`, `value`)"),
    ("HeadersRegexp", "HeaderRegexp(`name`, `expression`)"),
    ("HostSNI", "Host(`name`), where it is about HTTP"),
];

/// Reads a rule.
pub(in crate::compat) fn parse(rule: &str) -> Result<Expr, Refusal> {
    parse_with(rule, &MATCHERS)
}

/// Reads a rule of TCP.
pub(in crate::compat) fn parse_tcp(rule: &str) -> Result<Expr, Refusal> {
    parse_with(rule, &OF_TCP)
}

fn parse_with(rule: &str, matchers: &[Known]) -> Result<Expr, Refusal> {
    let mut parser = Parser { rule, matchers, at: 0, depth: 0 };
    let expr = parser.or()?;
    match parser.peek() {
        None => Ok(expr),
        Some(')') => Err(parser.wrong("a parenthesis is closed that was never opened", "remove it")),
        Some(_) => {
            Err(parser.wrong("something follows where the rule has ended", "join the two with && or ||"))
        }
    }
}

struct Parser<'a> {
    rule: &'a str,
    matchers: &'a [Known],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn or(&mut self) -> Result<Expr, Refusal> {
        self.list("||", Self::and, Expr::Or)
    }

    fn and(&mut self) -> Result<Expr, Refusal> {
        self.list("&&", Self::unary, Expr::And)
    }

    fn list(
        &mut self,
        operator: &str,
        item: fn(&mut Self) -> Result<Expr, Refusal>,
        of: fn(Vec<Expr>) -> Expr,
    ) -> Result<Expr, Refusal> {
        let first = item(self)?;
        let mut all = vec![first];
        while self.takes(operator) {
            all.push(item(self)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { of(all) })
    }

    fn unary(&mut self) -> Result<Expr, Refusal> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.wrong("it is nested too deeply", "write it with fewer parentheses"));
        }
        let expr = if self.takes("!") {
            Expr::Not(Box::new(self.unary()?))
        } else if self.takes("(") {
            let inner = self.or()?;
            if !self.takes(")") {
                return Err(self.wrong("a parenthesis is not closed", "write ) here"));
            }
            inner
        } else {
            Expr::Matcher(self.matcher()?)
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn matcher(&mut self) -> Result<Matcher, Refusal> {
        let next = self.peek();
        let place = self.at;
        let rest = &self.rule[self.at..];
        let name = &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len())];
        if name.is_empty() {
            let fix = "write one such as Host(`shop.example.com`)";
            return Err(match next {
                None => self.wrong("the rule ends where a matcher should be", fix),
                Some(c) => self.wrong(format!("{c:?} stands where a matcher should be"), fix),
            });
        }
        let (kind, least, most) = known(name, self.matchers).map_err(|refusal| refusal.at(place))?;
        self.at += name.len();
        if !self.takes("(") {
            return Err(self.wrong(format!("{name} has no argument"), format!("write {name}(`...`)")));
        }
        let mut arguments = Vec::new();
        while !self.takes(")") {
            if !arguments.is_empty() && !self.takes(",") {
                return Err(
                    self.wrong("the arguments are not closed", "write ) here, or a comma between two")
                );
            }
            // Go lets a comma stand before the parenthesis.
            if arguments.is_empty() || self.peek() != Some(')') {
                arguments.push(self.text()?);
            }
        }
        old_form(name, kind, &arguments).map_or(Ok(()), |refusal| Err(refusal.at(place)))?;
        if !(least..=most).contains(&arguments.len()) {
            let wanted = if least == most { least.to_string() } else { format!("{least} or {most}") };
            let reason = format!("{name} takes {wanted} of them, and these are {}", arguments.len());
            return Err(Refusal::new(reason, "correct the rule").at(place));
        }
        Ok(Matcher { kind, arguments, place })
    }

    /// Text in backticks as it stands, or in quotes with escapes.
    fn text(&mut self) -> Result<String, Refusal> {
        let quote = self.peek();
        let start = self.at;
        let rest = &self.rule[self.at..];
        let unclosed = || Refusal::new("the text is not closed", "write ` at its end").at(start);
        match quote {
            Some('`') => {
                let text = rest[1..].split_once('`').ok_or_else(unclosed)?.0;
                self.at += text.len() + 2;
                Ok(text.to_owned())
            }
            Some('"') => {
                let mut text = String::new();
                let mut chars = rest[1..].char_indices();
                while let Some((at, c)) = chars.next() {
                    match c {
                        '"' => {
                            self.at += at + 2;
                            return Ok(text);
                        }
                        '\\' => match chars.next() {
                            Some((_, c @ ('\\' | '"'))) => text.push(c),
                            Some((_, 't')) => text.push('\t'),
                            _ => {
                                let fix = "write the text in backticks, where a backslash is a backslash";
                                return Err(Refusal::new("this escape is not known", fix).at(start + 1 + at));
                            }
                        },
                        '\n' => return Err(unclosed()),
                        c => text.push(c),
                    }
                }
                Err(unclosed())
            }
            _ => Err(self.wrong("an argument is text in backticks", "write `...`")),
        }
    }

    /// The next character that is no space.
    fn peek(&mut self) -> Option<char> {
        let rest = &self.rule[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.rule[self.at..].chars().next()
    }

    fn takes(&mut self, word: &str) -> bool {
        self.peek();
        let is_there = self.rule[self.at..].starts_with(word);
        self.at += if is_there { word.len() } else { 0 };
        is_there
    }

    fn wrong(&self, reason: impl Into<String>, fix: impl Into<String>) -> Refusal {
        Refusal::new(reason, fix).at(self.at)
    }
}

/// Traefik takes a name as it is written, in capitals, in small letters, and with the first one large.
fn known(name: &str, matchers: &[Known]) -> Result<(MatcherKind, usize, usize), Refusal> {
    let same = |known: &str| {
        let title = known.get(..1).unwrap_or_default().to_owned() + &known[1..].to_ascii_lowercase();
        [known.to_owned(), known.to_ascii_lowercase(), known.to_ascii_uppercase(), title]
            .iter()
            .any(|it| it == name)
    };
    if let Some((_, kind, least, most)) = matchers.iter().find(|(known, ..)| same(known)) {
        return Ok((*kind, *least, *most));
    }
    if let Some((_, new)) = OLD.iter().find(|(old, _)| old.eq_ignore_ascii_case(name)) {
        return Err(Refusal::new(format!("{name} is no matcher of Traefik v3"), format!("write {new}")));
    }
    let distance = |(known, ..): &&Known| {
        strsim::damerau_levenshtein(&known.to_ascii_lowercase(), &name.to_ascii_lowercase())
    };
    let near = matchers.iter().min_by_key(distance).filter(|near| distance(near) <= 2);
    let fix = match near {
        Some((near, ..)) => format!("did you mean {near}?"),
        None => {
            let names: Vec<&str> = matchers.iter().map(|(name, ..)| *name).collect();
            format!("the matchers are {}", names.join(", "))
        }
    };
    Err(Refusal::new(format!("there is no matcher {name:?}"), fix))
}

/// What Traefik v2 took, and v3 takes as something else, or not.
fn old_form(name: &str, kind: MatcherKind, arguments: &[String]) -> Option<Refusal> {
    let first = arguments.first()?;
    let has_placeholder = || first.split('{').skip(1).any(|part| part.contains('}'));
    let named_placeholder = || {
        let word = |part: &str| {
            part.split_once(':').is_some_and(|(word, _)| {
                !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            })
        };
        first.split('{').skip(1).any(word)
    };
    let fix = match kind {
        MatcherKind::Path | MatcherKind::PathPrefix if has_placeholder() => {
            "write PathRegexp(`^/...`) with a regular expression instead of the braces".to_owned()
        }
        MatcherKind::HostRegexp if named_placeholder() => {
            "write the regular expression alone, such as HostRegexp(`^.+\\.example\\.com$`)".to_owned()
        }
        MatcherKind::Query if arguments.len() == 1 && first.contains('=') => {
            let (key, value) = first.split_once('=')?;
            format!("write Query(`{key}`, `{value}`)")
        }
        MatcherKind::Host
        | MatcherKind::HostRegexp
        | MatcherKind::Path
        | MatcherKind::PathPrefix
        | MatcherKind::Method
        | MatcherKind::ClientIp
            if arguments.len() > 1 =>
        {
            let each: Vec<String> =
                arguments.iter().map(|argument| format!("{name}(`{argument}`)")).collect();
            format!("write {}", each.join(" || "))
        }
        _ => return None,
    };
    Some(Refusal::new("this is the syntax of Traefik v2", fix))
}
