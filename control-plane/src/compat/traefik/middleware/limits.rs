//! ratelimit, inflightreq, buffering, retry, compress, and what needs nothing of ours.

use super::Work;
use crate::compat::note::{Note, Refusal};
use crate::compat::traefik::duration;
use crate::compat::traefik::labels::Fields;

/// The most tries a label of ours may say.
const MOST_RETRIES: i64 = 10;
/// The units of a limit of ours, in milliseconds.
const UNITS: [(&str, u128); 3] = [("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// `ratelimit`.
pub(super) fn rate(work: &mut Work<'_>, _: &str, fields: &mut Fields) -> Result<(), Note> {
    let average = fields.take("ratelimit.average");
    let period = fields.take("ratelimit.period");
    let burst = fields.take("ratelimit.burst");
    let mut by = "ip";
    for (field, said) in fields.take_all("ratelimit.sourcecriterion.") {
        match field.as_str() {
            "requesthost" if said.bool() == Ok(true) => by = "route",
            _ => work.notes.push(said.lost(Refusal::new(
                "our limits are of each client's address, or of the host",
                "choose with limit.by",
            ))),
        }
    }
    let Some(average) = average else { return Ok(()) };
    let count = average.number().map_err(|refusal| average.lost(refusal))?;
    let Some(count) = u128::try_from(count).ok().filter(|count| *count > 0) else { return Ok(()) };
    let millis = match &period {
        None => 1_000,
        Some(said) => {
            let parsed = duration::parse(&said.value).filter(|time| time.as_millis() > 0);
            let wrong = || said.lost(Refusal::new("it is not a duration", "write one such as 1m"));
            parsed.ok_or_else(wrong)?.as_millis()
        }
    };
    let exact = UNITS.iter().find_map(|(unit, size)| {
        let all = count * size;
        (all.is_multiple_of(millis) && (1..=1_000_000).contains(&(all / millis)))
            .then(|| format!("{}/{unit}", all / millis))
    });
    let limit = exact.unwrap_or_else(|| {
        let hourly = (count * 3_600_000 / millis).clamp(1, 1_000_000);
        work.notes.push(average.differs(format!(
            "our limits are of a second, a minute or an hour: this becomes {hourly} an hour"
        )));
        format!("{hourly}/h")
    });
    work.set("limit", &limit);
    // Traefik's default is one at a time.
    let burst = burst.map_or_else(|| "1".to_owned(), |burst| burst.value.trim().to_owned());
    work.set("limit.burst", &burst);
    if by == "ip" {
        work.set("limit.by", by);
    }
    Ok(())
}

/// `inflightreq`.
pub(super) fn in_flight(work: &mut Work<'_>, _: &str, fields: &mut Fields) -> Result<(), Note> {
    for (field, said) in fields.take_all("inflightreq.sourcecriterion.") {
        if field != "requesthost" {
            work.notes.push(said.lost(Refusal::new(
                "Envoy counts what is under way to a service, whoever asks",
                "limit.by: ip limits how many requests a client may send in a time",
            )));
        }
    }
    let Some(amount) = fields.take("inflightreq.amount") else { return Ok(()) };
    for key in ["max-connections", "max-requests"] {
        work.backend.insert(key.to_owned(), amount.value.trim().to_owned());
    }
    work.backend.insert("max-pending".to_owned(), "1".to_owned());
    work.notes.push(amount.differs("it is counted for the service, not for each host, one more may wait, and the answer beyond it is 503, not 429"));
    Ok(())
}

/// `buffering`.
pub(super) fn buffering(work: &mut Work<'_>, _: &str, fields: &mut Fields) -> Result<(), Note> {
    let Some(most) = fields.take("buffering.maxrequestbodybytes") else { return Ok(()) };
    if most.number().map_err(|refusal| most.lost(refusal))? > 0 {
        work.set("max-body", &format!("{}B", most.value.trim()));
    }
    Ok(())
}

/// `retry`.
pub(super) fn retry(work: &mut Work<'_>, _: &str, fields: &mut Fields) -> Result<(), Note> {
    if let Some(interval) = fields.take("retry.initialinterval") {
        work.notes.push(
            interval.differs("Envoy waits 25 ms before the first try, and longer before each other one"),
        );
    }
    let Some(attempts) = fields.take("retry.attempts") else { return Ok(()) };
    // Traefik counts the first one too.
    let more = attempts.number().map_err(|refusal| attempts.lost(refusal))?.saturating_sub(1).max(0);
    if more > MOST_RETRIES {
        work.notes.push(attempts.differs(format!("at most {MOST_RETRIES} more tries are made")));
    }
    work.set("retries", &more.min(MOST_RETRIES).to_string());
    Ok(())
}

/// `compress`.
pub(super) fn compress(work: &mut Work<'_>, _: &str, fields: &mut Fields) -> Result<(), Note> {
    if fields.take("compress").is_some_and(|said| said.bool() == Ok(false)) {
        return Ok(());
    }
    for (_, said) in fields.take_all("compress.") {
        work.notes.push(said.differs("texts from 30 bytes on are compressed, by gzip, brotli or zstd"));
    }
    work.set("compress", "true");
    Ok(())
}

/// `circuitbreaker`: every service has one.
pub(super) fn circuit_breaker(work: &mut Work<'_>, _: &str, fields: &mut Fields) -> Result<(), Note> {
    for (_, said) in fields.take_all("circuitbreaker.") {
        let fix = "outlier says after how many failures, max-requests and its kin how much at a time";
        work.notes.push(said.lost(Refusal::new(
            "Envoy leaves a container alone that fails, and has no expressions for it",
            fix,
        )));
    }
    Ok(())
}

/// `errors`.
pub(super) fn errors(work: &mut Work<'_>, _: &str, fields: &mut Fields) -> Result<(), Note> {
    for (_, said) in fields.take_all("errors.") {
        work.notes.push(said.lost(Refusal::new(
            "no service stands in where another one fails",
            "the application's own error pages pass",
        )));
    }
    Ok(())
}
