//! The dashboard's theme: the system's, or the one that was chosen.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{AUDIT, PAGES, Shared};

/// Notes what the page has been painted in when it begins to have something to paint.
const WATCH: &str = r"
window.first = null;
new MutationObserver((_, observer) => {
  if (!document.body) return;
  window.first = getComputedStyle(document.documentElement).colorScheme;
  observer.disconnect();
}).observe(document, { childList: true, subtree: true });
";

/// A condition: the page is in this theme.
fn is(theme: &str) -> String {
    let paper = match theme {
        "dark" => "rgb(15, 21, 36)",
        _ => "rgb(246, 247, 251)",
    };
    format!("getComputedStyle(document.body).backgroundColor === '{paper}'")
}

/// Goes to the switch with the keyboard, and on to `theme`.
fn choose(shared: &mut Shared, theme: &str) -> Result<()> {
    let focus = "document.activeElement.closest('.theme')";
    shared.tab.eval("document.activeElement.blur()")?;
    for _ in 0..20 {
        shared.tab.press("Tab")?;
        if shared.tab.eval(&format!("!!{focus}"))? == true {
            break;
        }
    }
    let outline = format!(
        "getComputedStyle({focus} ? document.activeElement.parentElement : document.body).outlineStyle"
    );
    ensure!(shared.tab.eval(&outline)? == "solid", "the focus is on the switch, and is seen");
    for _ in 0..3 {
        if shared.tab.eval("document.activeElement.value")? == theme {
            return Ok(());
        }
        shared.tab.press("ArrowRight")?;
    }
    anyhow::bail!("the switch has no {theme}")
}

pub(super) fn a_theme_is_chosen(shared: &mut Shared) -> Result<()> {
    let watch = shared.tab.call("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": WATCH }))?;
    let done = choose_and_look(shared);
    shared.tab.call("Page.removeScriptToEvaluateOnNewDocument", &watch)?;
    shared.tab.eval("localStorage.clear()")?;
    done
}

fn choose_and_look(shared: &mut Shared) -> Result<()> {
    // Nobody has chosen: the system's word holds, also when it changes.
    shared.dashboard("/")?;
    ensure!(shared.tab.eval(&is("light"))? == true, "the system says light");
    let legend = "document.querySelector('.theme legend').innerText";
    ensure!(shared.tab.eval(legend)? == "Theme", "the switch has a name");
    ensure!(shared.tab.eval("document.querySelector('.theme :checked').value")? == "auto", "auto at first");
    shared.tab.look(1440, true)?;
    shared.tab.until("it follows the system", &is("dark"))?;

    for (theme, system_is_dark) in [("light", true), ("dark", false)] {
        shared.tab.look(1440, system_is_dark)?;
        choose(shared, theme)?;
        shared.tab.until(&format!("it is {theme}"), &is(theme))?;
        // Whatever comes, and wherever one goes.
        shared.tab.eval("window.sameDocument = true")?;
        shared.services(2, "")?;
        shared.tab.until(
            "a frontend has gone",
            "!document.querySelector('.map').innerText.includes('frontend-3')",
        )?;
        ensure!(
            shared.tab.eval(&format!("window.sameDocument && {}", is(theme)))? == true,
            "it stays {theme}"
        );
        shared.services(3, "")?;
        shared.dashboard("/problems")?;
        ensure!(
            shared.tab.eval("window.first")? == theme,
            "{theme} from the first: {}",
            shared.tab.eval("window.first")?
        );
        let checked = "document.querySelector('.theme :checked').value";
        shared.tab.until("the switch says so", &format!("{} && {checked} === '{theme}'", is(theme)))?;
        let wrong = audit(shared)?;
        ensure!(wrong.is_empty(), "{theme}: {}", wrong.join("\n"));
        shared.dashboard("/")?;
    }
    choose(shared, "auto")?;
    shared.tab.until("the system's word holds again", &is("light"))?;
    shared.no_complaints()
}

/// What is wrong with the pages in a theme that is not the system's.
fn audit(shared: &mut Shared) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (host, path) in PAGES.iter().filter(|(host, _)| *host == "dashboard") {
        let url = shared.url(host, path);
        shared.tab.open(&url)?;
        let found = shared.tab.eval(AUDIT)?;
        wrong.extend(found.as_array().into_iter().flatten().map(Value::to_string));
    }
    Ok(wrong)
}

pub(super) fn without_scripts(shared: &mut Shared) -> Result<()> {
    shared.tab.allow_scripts(false)?;
    let done = (|| {
        let url = shared.url("dashboard", "/");
        for (theme, is_dark) in [("light", false), ("dark", true)] {
            shared.tab.look(1440, is_dark)?;
            shared.tab.open(&url)?;
            ensure!(shared.tab.eval(&is(theme))? == true, "the system says {theme}");
            let shown = "document.querySelector('.theme').checkVisibility()";
            ensure!(shared.tab.eval(shown)? == false, "what does nothing is not shown");
        }
        Ok(())
    })();
    shared.tab.allow_scripts(true)?;
    done
}
