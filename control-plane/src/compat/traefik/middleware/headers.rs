//! headers: what is set, removed, and answered to pages of other origins.

use super::Work;
use crate::compat::note::{Note, Refusal};
use crate::compat::traefik::duration;
use crate::compat::traefik::labels::{Fields, Said};

/// Security headers that are switched on, each with what it says.
const SWITCHES: [(&str, &str, &str); 3] = [
    ("framedeny", "x-frame-options", "DENY"),
    ("contenttypenosniff", "x-content-type-options", "nosniff"),
    ("browserxssfilter", "x-xss-protection", "1; mode=block"),
];
/// Security headers with a value of their own: they come after the switches, and win.
const VALUES: [(&str, &str); 6] = [
    ("customframeoptionsvalue", "x-frame-options"),
    ("custombrowserxssvalue", "x-xss-protection"),
    ("contentsecuritypolicy", "content-security-policy"),
    ("contentsecuritypolicyreportonly", "content-security-policy-report-only"),
    ("referrerpolicy", "referrer-policy"),
    ("permissionspolicy", "permissions-policy"),
];

/// `headers`.
pub(super) fn edit(work: &mut Work<'_>, _: &str, fields: &mut Fields) -> Result<(), Note> {
    for (family, key) in
        [("customrequestheaders", "request-header"), ("customresponseheaders", "response-header")]
    {
        for (name, said) in fields.take_all(&format!("headers.{family}.")) {
            if name == "host" {
                work.notes.push(
                    said.lost(Refusal::new("the application sees the host that the client asked for", "")),
                );
            } else {
                work.set(&format!("{key}.{name}"), &literal(&said.value));
            }
        }
    }
    for (field, header, value) in SWITCHES {
        if fields.take(&format!("headers.{field}")).is_some_and(|said| said.bool() == Ok(true)) {
            work.set(&format!("response-header.{header}"), value);
        }
    }
    for (field, header) in VALUES {
        if let Some(said) = fields.take(&format!("headers.{field}")).filter(|said| !said.value.is_empty()) {
            work.set(&format!("response-header.{header}"), &literal(&said.value));
        }
    }
    strict_transport(work, fields);
    cors(work, fields);
    Ok(())
}

/// A value that begins with one of our signs is written after an `=`.
fn literal(value: &str) -> String {
    if value.starts_with(['+', '=']) { format!("={value}") } else { value.to_owned() }
}

fn strict_transport(work: &mut Work<'_>, fields: &mut Fields) {
    let is_on = |said: Option<Said>| said.is_some_and(|said| said.bool() == Ok(true));
    let subdomains = is_on(fields.take("headers.stsincludesubdomains"));
    let preload = is_on(fields.take("headers.stspreload"));
    let is_forced = is_on(fields.take("headers.forcestsheader"));
    let Some(seconds) = fields.take("headers.stsseconds").filter(|said| said.value != "0") else { return };
    let mut value = format!("max-age={}", seconds.value.trim());
    value += if subdomains { "; includeSubDomains" } else { "" };
    value += if preload { "; preload" } else { "" };
    work.set("response-header.strict-transport-security", &value);
    if !is_forced {
        work.notes.push(seconds.differs(
            "the header is sent on every answer, not over TLS alone; browsers heed it over TLS alone",
        ));
    }
}

fn cors(work: &mut Work<'_>, fields: &mut Fields) {
    let mut all = fields.take_all("headers.accesscontrol");
    if let Some(vary) = fields.take("headers.addvaryheader") {
        work.notes.push(vary.differs("whether answers vary by origin is for the application to say"));
    }
    let origins = all.iter().position(|(field, _)| field == "alloworiginlist").map(|at| all.remove(at).1);
    for (field, said) in all {
        match (&origins, field.as_str()) {
            (Some(_), "allowmethods") => work.set("cors.methods", &said.list().join(", ")),
            (Some(_), "allowheaders") => work.set("cors.headers", &said.list().join(", ")),
            (Some(_), "allowcredentials") if said.bool() == Ok(true) => work.set("cors.credentials", "true"),
            (Some(_), "allowcredentials") => {}
            (Some(_), "maxage") => match duration::parse(&said.value) {
                Some(time) => work.set("cors.max-age", &duration::label(time)),
                None => {
                    work.notes.push(said.lost(Refusal::new("it is not a number of seconds", "correct it")))
                }
            },
            (_, "exposeheaders") => work.set("response-header.access-control-expose-headers", &said.value),
            _ => work.notes.push(said.lost(Refusal::new(
                "our routes let pages of origins in that are named one by one, *, or all below a name",
                "name them in cors",
            ))),
        }
    }
    if let Some(origins) = origins {
        let list: Vec<&str> = origins.list().into_iter().map(|origin| origin.trim_end_matches('/')).collect();
        work.set("cors", &list.join(", "));
    }
}
