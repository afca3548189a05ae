//! The frontend's pages: what a person can do there, and what they say when it cannot be done.

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use stack::wait::until;

use super::{LIMIT, Shared, audit};

const HOST: &str = "frontend.localhost";
const BACKEND: &str = "backend.localhost";

/// No messages but these.
fn store(shared: &Shared, messages: &[(String, String)]) -> Result<()> {
    let site = shared.system.site()?;
    let all: serde_json::Map<String, Value> = site.get(BACKEND, "/messages")?.json()?;
    for key in all.keys() {
        let path = format!(
            "/delete?{}",
            reqwest::Url::parse_with_params("http://h/", [("key", key)])?.query().unwrap_or_default()
        );
        let deleted = site.request(Method::POST, HOST, &path).form(&[("", ""); 0]).send()?;
        ensure!(deleted.status() == 303, "{path}: {deleted:?}");
    }
    for (key, value) in messages {
        let message = json!({ "key": key, "value": value });
        let saved = site.request(Method::POST, BACKEND, "/messages").json(&message).send()?;
        ensure!(saved.status() == 201, "{saved:?}");
    }
    Ok(())
}

fn open(shared: &mut Shared, path: &str) -> Result<()> {
    let url = shared.url("frontend", path);
    shared.tab.open(&url)
}

/// Goes with the Tab key to what `selector` names. On the way, whatever has the focus can be seen to have it.
fn tab_to(shared: &mut Shared, selector: &str) -> Result<()> {
    for _ in 0..40 {
        shared.tab.press("Tab")?;
        let outline = "parseFloat(getComputedStyle(document.activeElement).outlineWidth) >= 2 && getComputedStyle(document.activeElement).outlineStyle !== 'none'";
        let name = shared.tab.eval("document.activeElement.outerHTML.slice(0, 90)")?;
        ensure!(shared.tab.eval(outline)? == true, "the focus on {name} is not seen");
        if shared.tab.eval(&format!("document.activeElement.matches({})", json!(selector)))? == true {
            return Ok(());
        }
    }
    anyhow::bail!("the Tab key does not lead to {selector}")
}

fn type_keys(shared: &mut Shared, text: &str) -> Result<()> {
    shared.tab.call("Input.insertText", &json!({ "text": text }))?;
    Ok(())
}

/// A condition: the list shows this message.
fn listed(key: &str, value: &str) -> String {
    format!(
        "[...document.querySelectorAll('tbody tr')].some((row) => row.cells[0].innerText === {} && row.cells[1].innerText === {})",
        json!(key),
        json!(value)
    )
}

pub(super) fn by_keyboard(shared: &mut Shared) -> Result<()> {
    store(shared, &[])?;
    shared.tab.allow_scripts(false)?;
    let done = (|| {
        open(shared, "/")?;
        shared.tab.until(
            "nothing is there",
            "document.querySelector('.empty').innerText.includes('Nothing yet')",
        )?;
        let (key, value) = ("from a <browser> & more", "two\nlines, typed by hand");
        tab_to(shared, "#key")?;
        type_keys(shared, key)?;
        tab_to(shared, "#value")?;
        type_keys(shared, value)?;
        tab_to(shared, "form button")?;
        shared.tab.press("Enter")?;
        shared.tab.until("it is listed", &listed(key, value))?;
        let notice = |word: &str| {
            format!("document.querySelector('[role=status]')?.innerText.includes({})", json!(word))
        };
        shared.tab.until("it says so", &notice("is saved"))?;
        // A reload sends nothing again.
        shared.tab.call("Page.reload", &json!({}))?;
        shared.tab.until("it is there after a reload", &listed(key, value))?;

        tab_to(shared, "tbody a[href^='/?key=']")?;
        shared.tab.press("Enter")?;
        shared.tab.until(
            "its value is in the form",
            &format!("document.getElementById('value').value === {}", json!(value)),
        )?;
        tab_to(shared, "#value")?;
        shared.tab.eval("document.activeElement.select()")?;
        type_keys(shared, "another")?;
        tab_to(shared, "form button")?;
        shared.tab.press("Enter")?;
        shared.tab.until("it has its new value", &listed(key, "another"))?;
        shared.tab.until("it says so", &notice("has its new value"))?;

        tab_to(shared, "tbody a[href^='/delete']")?;
        shared.tab.press("Enter")?;
        shared.tab.until(
            "it asks",
            &format!("document.querySelector('h1').innerText === {}", json!(format!("Delete “{key}”?"))),
        )?;
        tab_to(shared, "form button")?;
        shared.tab.press("Enter")?;
        shared
            .tab
            .until("it is gone", "document.querySelector('.empty')?.innerText.includes('Nothing yet')")?;
        shared.tab.until("it says so", &notice("is deleted"))
    })();
    shared.tab.allow_scripts(true)?;
    done?;
    shared.no_complaints()
}

pub(super) fn refused(shared: &mut Shared) -> Result<()> {
    open(shared, "/")?;
    // The form counts letters, the backend bytes.
    let (key, value) = ("ü".repeat(200), "kept as it was typed\n\n".to_owned());
    shared.tab.type_into("#key", &key)?;
    shared.tab.type_into("#value", &value)?;
    shared.tab.eval("void setTimeout(() => document.querySelector('form button').click())")?;
    let alert = "document.querySelector('[role=alert]')?.innerText";
    shared.tab.until("it says what is wrong", &format!("!!{alert}?.includes('the key has 400 bytes')"))?;
    let kept = format!(
        "document.getElementById('key').value === {} && document.getElementById('value').value === {}",
        json!(key),
        json!(value)
    );
    ensure!(shared.tab.eval(&kept)? == true, "what was typed is gone: {}", shared.tab.text()?);
    // As long as it lets anybody type, of letters that are long.
    open(shared, "/")?;
    let long = "€".repeat(65_536);
    shared.tab.type_into("#key", "long")?;
    shared.tab.eval("document.getElementById('value').value = '€'.repeat(65536)")?;
    shared.tab.eval("void setTimeout(() => document.querySelector('form button').click())")?;
    shared
        .tab
        .until("it says what is wrong", &format!("!!{alert}?.includes('the value has 196608 bytes')"))?;
    ensure!(
        shared.tab.eval("document.getElementById('value').value")? == json!(long),
        "all of it is still there"
    );
    // The browser tells of every answer that is no success.
    shared.tab.complaints()?;
    Ok(())
}

pub(super) fn page_by_page(shared: &mut Shared) -> Result<()> {
    let message = |number: usize| (format!("message {number:03}"), "v".repeat(number * 20));
    let messages: Vec<(String, String)> = (0..120).map(message).collect();
    store(shared, &messages)?;
    let mut wrong = audit(shared, "frontend", "/")?;
    wrong.extend(audit(shared, "frontend", "/?key=message+060&after=message+049")?);
    wrong.extend(audit(shared, "frontend", "/delete?key=message+119")?);
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    open(shared, "/")?;
    ensure!(shared.tab.text()?.contains("120 messages"), "how many there are: {}", shared.tab.text()?);
    let has = |first: usize, last: usize| {
        format!(
            "(rows => rows[0]?.innerText === 'message {first:03}' && rows.at(-1).innerText === 'message {last:03}')([...document.querySelectorAll('tbody th')])"
        )
    };
    shared.tab.until("the first page", &has(0, 49))?;
    for (link, first, last) in
        [("next", 50, 99), ("next", 100, 119), ("prev", 50, 99), ("prev", 0, 49), ("next", 50, 99)]
    {
        shared.tab.eval(&format!("void setTimeout(() => document.querySelector('[rel={link}]').click())"))?;
        shared.tab.until(&format!("{link} leads to {first}"), &has(first, last))?;
    }
    store(shared, &[])?;
    shared.no_complaints()
}

pub(super) fn away(shared: &mut Shared) -> Result<()> {
    store(shared, &[])?;
    let mut wrong = audit(shared, "frontend", "/")?;
    shared.system.take("redis")?.kill()?;
    let seen = without(shared, "Redis", &mut wrong);
    shared.system.start_redis()?;
    seen?;
    shared.system.take("backend")?.kill()?;
    let seen = without(shared, "The backend", &mut wrong);
    shared.system.start_backend()?;
    seen?;
    let answers = || {
        let status = shared.system.site()?.get(BACKEND, "/messages")?.status();
        ensure!(status.is_success(), "{status}");
        Ok(())
    };
    until("the backend is there again", LIMIT, answers)?;
    wrong.extend(audit(shared, "frontend", "/nothing")?.into_iter().filter(|wrong| !is_status(wrong)));
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    // It goes on where it was.
    open(shared, "/")?;
    shared.tab.until("it is well", "document.querySelector('.empty')?.innerText.includes('Nothing yet')")
}

/// What the page says while something is away; what is typed then waits until it is back.
fn without(shared: &mut Shared, who: &str, wrong: &mut Vec<String>) -> Result<()> {
    let site = shared.system.site()?;
    until("it is noticed", LIMIT, || {
        let page = site.get(HOST, "/")?.text()?;
        ensure!(page.contains(who) && page.contains("does not answer"), "{page}");
        Ok(())
    })?;
    wrong.extend(audit(shared, "frontend", "/")?.into_iter().filter(|wrong| !is_status(wrong)));
    shared.tab.type_into("#key", "patience")?;
    shared.tab.type_into("#value", "typed while it was away")?;
    shared.tab.eval("void setTimeout(() => document.querySelector('form button').click())")?;
    shared.tab.until(
        "it could not be saved, and is still there",
        "document.querySelector('[role=alert]')?.innerText.includes('could not be saved') && document.getElementById('value').value === 'typed while it was away'",
    )
}

/// The browser tells of every answer that is no success.
fn is_status(complaint: &str) -> bool {
    complaint.contains("the server responded with a status of")
}
