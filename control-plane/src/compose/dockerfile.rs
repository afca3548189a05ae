//! Which ports an image exposes, as far as its Dockerfile says. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// What is known of an image's ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    /// TCP ports that it exposes.
    pub ports: BTreeSet<u16>,
    /// Whether it may expose others: those of an image it is made from, or of a variable.
    pub more: bool,
}

/// What the stage `target` of a Dockerfile exposes, or the last one; nothing where there is no such stage.
#[must_use]
pub fn exposed(text: &str, target: Option<&str>) -> Option<Exposed> {
    let mut stages: Vec<(Option<String>, Exposed)> = Vec::new();
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for line in lines(text) {
        let mut words = line.split_whitespace();
        let instruction = words.next().unwrap_or_default();
        if instruction.eq_ignore_ascii_case("FROM") {
            let words: Vec<&str> = words.filter(|word| !word.starts_with("--")).collect();
            let base = words.first().copied().unwrap_or_default();
            let inherited = names.get(&base.to_ascii_lowercase()).and_then(|at| stages.get(*at));
            let of_base = Exposed { ports: BTreeSet::new(), more: base != "scratch" };
            let exposed = inherited.map_or(of_base, |(_, exposed)| exposed.clone());
            let name = words.get(2).map(|name| name.to_ascii_lowercase());
            names.extend(name.clone().map(|name| (name, stages.len())));
            stages.push((name, exposed));
        } else if instruction.eq_ignore_ascii_case("EXPOSE")
            && let Some((_, exposed)) = stages.last_mut()
        {
            for word in words {
                let (port, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
                let (first, last) = port.split_once('-').unwrap_or((port, port));
                match (first.parse::<u16>(), last.parse::<u16>()) {
                    (Ok(first), Ok(last)) if protocol.eq_ignore_ascii_case("tcp") => {
                        exposed.ports.extend(first..=last)
                    }
                    (Ok(_), Ok(_)) => {}
                    // `EXPOSE $PORT`
                    _ => exposed.more = true,
                }
            }
        }
    }
    match target {
        None => stages.pop().map(|(_, exposed)| exposed),
        Some(target) => {
            let target = Some(target.to_ascii_lowercase());
            stages.into_iter().rev().find(|(name, _)| *name == target).map(|(_, exposed)| exposed)
        }
    }
}

/// Lines without comments; those that end in a backslash go on.
fn lines(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut open = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        match line.strip_suffix('\\') {
            Some(begun) => open += &format!("{begun} "),
            None => all.push(std::mem::take(&mut open) + line),
        }
    }
    all.push(open);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# syntax\nFROM debian AS build\nEXPOSE 1\nfrom scratch as base\nexpose 80/tcp \\\n  53/udp\nFROM --platform=x base\nEXPOSE 90-91\nFROM build AS Other\nEXPOSE $PORT\n";

    #[test]
    fn a_stage_exposes_what_it_says_and_what_the_stage_before_it_says() {
        let ports =
            |target| exposed(TEXT, target).map(|it| (it.ports.into_iter().collect::<Vec<_>>(), it.more));
        assert_eq!(ports(Some("build")), Some((vec![1], true)));
        assert_eq!(ports(Some("base")), Some((vec![80], false)));
        assert_eq!(ports(Some("other")), Some((vec![1], true)));
        assert_eq!(ports(None), ports(Some("other")));
        assert_eq!(ports(Some("no")), None);
        let last = TEXT.split("FROM build AS").next().unwrap();
        assert_eq!(exposed(last, None).unwrap().ports.into_iter().collect::<Vec<_>>(), [80, 90, 91]);
    }
}
