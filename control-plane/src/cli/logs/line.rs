//! One line of the access log, and how a person reads it. The keys are those of `translate/access_log.rs`.

use std::fmt::Write as _;

use anstyle::AnsiColor;
use serde::Deserialize;

use super::super::terminal::{DIM, clock, shown};

/// What is shown of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Line {
    pub(super) time: Option<String>,
    pub(super) method: Option<String>,
    pub(super) authority: Option<String>,
    pub(super) path: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) status: u16,
    pub(super) response_flags: Option<String>,
    pub(super) duration_ms: Option<u64>,
    pub(super) upstream_host: Option<String>,
    pub(super) cluster: Option<String>,
    pub(super) service: Option<String>,
    pub(super) container: Option<String>,
}

/// Envoy's flags in words (Envoy documentation, "Access logging", `%RESPONSE_FLAGS%`).
const FLAGS: [(&str, &str); 21] = [
    ("UH", "no endpoint is ready"),
    ("UF", "no connection to the container"),
    ("UO", "too many requests at once (max-...)"),
    ("NR", "no route"),
    ("NC", "no such service"),
    ("URX", "given up after the last retry"),
    ("UT", "the container took too long (timeout)"),
    ("UC", "the container closed the connection"),
    ("UR", "the container reset the request"),
    ("LR", "reset by Envoy"),
    ("UPE", "the container's answer is no HTTP"),
    ("DC", "the client left"),
    ("DPE", "the client's request is no HTTP"),
    ("DT", "the connection had lasted too long"),
    ("DI", "delayed on purpose"),
    ("FI", "failed on purpose"),
    ("RL", "limited (limit)"),
    ("UAEX", "refused by the authorization"),
    ("SI", "nothing was sent for too long (idle-timeout)"),
    ("IH", "a header has a value it must not have"),
    ("OM", "Envoy is overloaded"),
];

impl Line {
    /// Nothing where `text` is no line of the access log.
    pub(super) fn read(text: &str) -> Option<Self> {
        let line: Self = serde_json::from_str(text).ok()?;
        line.time.is_some().then_some(line)
    }

    /// The host that was asked for, without a port.
    pub(super) fn host(&self) -> &str {
        let authority = self.authority.as_deref().unwrap_or_default();
        match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        }
    }

    /// Time, status, duration, method, who answered, host and path, and why Envoy answered itself; in colours, which whoever
    /// prints it takes out where they are not wanted.
    pub(super) fn in_columns(&self) -> String {
        let clock = clock(self.time.as_deref().unwrap_or_default());
        let is_connection = self.protocol.as_deref() == Some("TCP");
        let colour = match self.status {
            // A connection has no status; what went wrong with it, its flags say.
            _ if is_connection && self.flags().is_empty() => AnsiColor::Green,
            0 | 500.. => AnsiColor::Red,
            400.. => AnsiColor::Yellow,
            300.. => AnsiColor::Cyan,
            _ => AnsiColor::Green,
        };
        let status = colour.on_default().bold();
        let code = if is_connection { "TCP".to_owned() } else { self.status.to_string() };
        let duration = self.duration_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
        let method = shown(self.method.as_deref().unwrap_or("-"));
        let who = self.container.as_deref().or(self.upstream_host.as_deref()).unwrap_or("-");
        let host = shown(self.authority.as_deref().unwrap_or("-"));
        let path = shown(self.path.as_deref().unwrap_or_default());
        let mut text = format!(
            "{DIM}{clock:<12}{DIM:#} {status}{code:>3}{status:#} {duration:>9} {method:<7} {:<24} {host}{path}",
            shown(who)
        );
        let flags = self.flags();
        if !flags.is_empty() {
            let _ = write!(text, "  {status}{flags}{status:#}");
        }
        text
    }

    fn flags(&self) -> String {
        let flags = self.response_flags.as_deref().unwrap_or_default().split(',');
        let words = flags.filter(|flag| !matches!(*flag, "" | "-")).map(|flag| {
            match FLAGS.iter().find(|(known, _)| *known == flag) {
                Some((_, words)) => format!("{flag}: {words}"),
                None => shown(flag).into_owned(),
            }
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without colours.
    fn plain(line: &Line) -> String {
        anstream::adapter::strip_str(&line.in_columns()).to_string()
    }

    fn line() -> Line {
        Line::read(
            r#"{"time":"2026-11-30T06:43:07.123Z","method":"GET","authority":"shop.localhost:8080","path":"/cart?a=b","status":200,
                "response_flags":"-","duration_ms":12,"upstream_host":"10.0.0.2:80","cluster":"shop/web","service":"web",
                "container":"shop-web-1","project":"shop","bytes_sent":3}"#,
        )
        .unwrap()
    }

    #[test]
    fn a_request_is_one_line_of_columns() {
        let expected =
            "06:43:07.123 200     12 ms GET     shop-web-1               shop.localhost:8080/cart?a=b";
        assert_eq!(plain(&line()), expected);
        assert!(line().in_columns().contains("\u{1b}[1m\u{1b}[32m200"), "{:?}", line().in_columns());
    }

    #[test]
    fn where_envoy_answered_itself_it_says_why() {
        let refused = Line {
            status: 503,
            response_flags: Some("UF,URX,XX".to_owned()),
            container: None,
            upstream_host: None,
            duration_ms: None,
            ..line()
        };
        let text = plain(&refused);
        assert!(text.contains("503         - GET     -      "), "{text}");
        assert!(
            text.ends_with("  UF: no connection to the container, URX: given up after the last retry, XX"),
            "{text}"
        );
        assert!(refused.in_columns().contains("\u{1b}[31m503"), "red");
    }

    #[test]
    fn what_a_client_sent_is_shown_and_not_obeyed() {
        let evil = Line { path: Some("/\u{1b}[2J\r\n\u{9b}31m".to_owned()), ..line() };
        let text = evil.in_columns();
        assert!(text.contains(r"/\u{1b}[2J\r\n\u{9b}31m"), "{text:?}");
    }

    #[test]
    fn what_is_no_request_is_no_line() {
        for text in
            ["", "[warning] something", "{}", "{\"status\": 200}", "7", "{\"time\": 1, \"status\": 200}"]
        {
            assert_eq!(Line::read(text), None, "{text}");
        }
        assert_eq!(line().host(), "shop.localhost");
        let six = Line { authority: Some("[::1]".to_owned()), ..line() };
        assert_eq!(six.host(), "[::1]");
    }
}
