//! The pages. handlebars escapes every value it puts in.

use std::time::SystemTime;

use anyhow::Context;
use handlebars::{
    Context as Data, Handlebars, Helper, HelperResult, Output, RenderContext, RenderErrorReason,
};
use serde::Serialize;
use serde_json::Value;

use super::picture::Summary;
use crate::moment;

/// What a helper writes: HTML, so it escapes what it did not make itself.
type Words = Result<String, RenderErrorReason>;

type Say = fn(&Helper<'_>) -> Words;

/// What templates can say besides values, by name.
const HELPERS: [(&str, Say); 8] = [
    ("state", state),
    ("tone", tone_of),
    ("age", age),
    ("rate", rate),
    ("lag", lag),
    ("clock", clock),
    ("short", short),
    ("plural", plural),
];

const TEMPLATES: [(&str, &str); 8] = [
    ("layout", include_str!("templates/layout.html")),
    ("overview", include_str!("templates/overview.html")),
    ("routes", include_str!("templates/routes.html")),
    ("services", include_str!("templates/services.html")),
    ("problems", include_str!("templates/problems.html")),
    ("envoys", include_str!("templates/envoys.html")),
    ("timeline", include_str!("templates/timeline.html")),
    ("message", include_str!("templates/message.html")),
];

/// A page, and what stands around it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Page<'a> {
    /// Its name, which is that of its template too.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Where its filter asks again; empty where there is nothing to filter.
    pub(crate) path: &'static str,
    pub(crate) menu: Vec<Link>,
    /// What it is filtered by.
    pub(crate) filter: String,
    /// The URL that was asked about.
    pub(crate) url: String,
    /// What to append to a host's name: the port by which the page was asked for.
    pub(crate) port: String,
    pub(crate) version: &'static str,
    pub(crate) summary: Option<&'a Summary>,
    pub(crate) body: Value,
}

/// An entry of the menu.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Link {
    pub(crate) href: &'static str,
    pub(crate) title: &'static str,
    /// Whether it is the page itself.
    pub(crate) here: bool,
    /// How many things need a look there.
    pub(crate) problems: usize,
}

/// All templates, ready to be filled in.
#[derive(Debug)]
pub(crate) struct Templates(Handlebars<'static>);

impl Templates {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut handlebars = Handlebars::new();
        handlebars.set_strict_mode(true);
        handlebars.set_prevent_indent(true);
        for (name, text) in TEMPLATES {
            handlebars
                .register_template_string(name, text)
                .with_context(|| format!("the template {name} does not parse"))?;
        }
        for (name, words) in HELPERS {
            let write = move |helper: &Helper<'_>,
                              _: &Handlebars<'_>,
                              _: &Data,
                              _: &mut RenderContext<'_, '_>,
                              out: &mut dyn Output|
                  -> HelperResult { Ok(out.write(&words(helper)?)?) };
            handlebars.register_helper(name, Box::new(write));
        }
        Ok(Self(handlebars))
    }

    pub(crate) fn render(&self, page: &Page<'_>) -> Result<String, handlebars::RenderError> {
        self.0.render(page.name, page)
    }
}

/// The colour of a state, and the mark that says the same without colour.
pub(crate) fn tone(state: &str) -> &'static str {
    match state {
        "ready" | "current" | "healthy" | "acknowledged" | "solved" | "wins" | "answers" => "good",
        "partly" | "draining" | "drained" | "starting" | "created" | "behind" | "connecting" => "wait",
        "down" | "unhealthy" | "unreachable" | "refused" | "problem" => "bad",
        _ => "off",
    }
}

/// What a person reads instead of the state's name.
fn word(state: &str) -> &str {
    match state {
        "partly" => "partly ready",
        "down" => "none ready",
        "drained" => "drained by hand",
        "current" => "up to date",
        "none" => "no check",
        "answers" => "Envoy answers",
        other => other,
    }
}

fn text<'a>(helper: &'a Helper<'_>, name: &'static str) -> Result<&'a str, RenderErrorReason> {
    let value = helper.param(0).and_then(|param| param.value().as_str());
    value.ok_or(RenderErrorReason::ParamNotFoundForName(name, "0".to_owned()))
}

/// `{{state s}}`: mark and word.
fn state(helper: &Helper<'_>) -> Words {
    let state = text(helper, "state")?;
    let (tone, word) = (tone(state), handlebars::html_escape(word(state)));
    Ok(format!(
        "<span class=\"state {tone}\"><svg class=\"mark\" aria-hidden=\"true\"><use href=\"#mark-{tone}\"/></svg>{word}</span>"
    ))
}

/// `{{tone s}}`: the class.
fn tone_of(helper: &Helper<'_>) -> Words {
    Ok(tone(text(helper, "tone")?).to_owned())
}

/// `{{age seconds}}`: `3 min`.
fn age(helper: &Helper<'_>) -> Words {
    let seconds = helper.param(0).and_then(|param| param.value().as_f64());
    Ok(seconds.map_or_else(|| "unknown".to_owned(), in_words))
}

/// A length of time in one unit, as live.js writes it too.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an age, in whole units")]
fn in_words(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `{{rate traffic}}`: what goes through a service.
fn rate(helper: &Helper<'_>) -> Words {
    let traffic = helper.param(0).map(|param| param.value()).filter(|value| !value.is_null());
    let Some(traffic) = traffic else { return Ok(String::new()) };
    let number = |name: &str| traffic.get(name).and_then(serde_json::Value::as_f64);
    Ok(rate_in_words(number("requests_per_second"), number("errors_per_second"), number("p95_ms")))
}

/// `12.5/s, p95 8 ms, 0.5/s failed`.
pub(crate) fn rate_in_words(requests: Option<f64>, errors: Option<f64>, p95: Option<f64>) -> String {
    let Some(requests) = requests else { return "counting".to_owned() };
    let mut text = if requests > 0.0 { format!("{requests:.1}/s") } else { "idle".to_owned() };
    if let Some(p95) = p95.filter(|_| requests > 0.0) {
        text += &if p95 < 10.0 { format!(", p95 {p95:.1} ms") } else { format!(", p95 {p95:.0} ms") };
    }
    if let Some(errors) = errors.filter(|errors| *errors > 0.0) {
        text += &format!(", {errors:.1}/s failed");
    }
    text
}

/// `{{lag lag_ms state}}`: how far a client is behind, or how long it took.
fn lag(helper: &Helper<'_>) -> Words {
    let Some(ms) = helper.param(0).and_then(|param| param.value().as_u64()) else { return Ok(String::new()) };
    let is_behind = helper.param(1).is_some_and(|state| state.value() == "behind");
    Ok(if is_behind {
        format!("behind for {ms} ms, ")
    } else {
        format!("acknowledged the last change {ms} ms after it was made, ")
    })
}

/// `{{clock time}}`: the time of day, for those who have no script to put it into their own zone; of another day than today
/// with its date.
fn clock(helper: &Helper<'_>) -> Words {
    let time = text(helper, "clock")?;
    Ok(handlebars::html_escape(&clock_on(time, &moment::time(SystemTime::now()))))
}

fn clock_on(time: &str, now: &str) -> String {
    let Some((day, clock)) = time.split_once('T') else { return time.to_owned() };
    let clock = clock.trim_end_matches('Z');
    if now.starts_with(day) {
        return format!("{clock} UTC");
    }
    // Of what is long ago nobody asks for the millisecond.
    format!("{day} {} UTC", clock.split('.').next().unwrap_or(clock))
}

/// `{{plural count "host"}}`: the noun, as it goes with the number.
fn plural(helper: &Helper<'_>) -> Words {
    let count = helper.param(0).and_then(|param| param.value().as_u64());
    let noun = helper.param(1).and_then(|param| param.value().as_str());
    let noun = noun.ok_or(RenderErrorReason::ParamNotFoundForName("plural", "1".to_owned()))?;
    Ok(if count == Some(1) { noun.to_owned() } else { format!("{noun}s") })
}

/// `{{short version}}`: enough of a hash to tell two apart.
fn short(helper: &Helper<'_>) -> Words {
    let version = text(helper, "short")?;
    Ok(handlebars::html_escape(version.get(..8).unwrap_or(version)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_on_another_day_has_its_date() {
        let now = "2026-11-30T00:00:01Z";
        assert_eq!(clock_on("2026-11-30T00:00:00.123Z", now), "00:00:00.123 UTC");
        assert_eq!(clock_on("2026-11-29T23:59:59.987Z", now), "2026-11-29 23:59:59 UTC");
        assert_eq!(clock_on("no time", now), "no time");
    }
}
