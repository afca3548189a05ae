//! The pages as a person sees them, in a real browser. Where there is no Chromium the tests are reported as ignored, with the
//! reason; `REQUIRE_BROWSER=1` makes that a failure. They share one system and one tab, one after another.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod messages;
mod themes;
mod urls;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use libtest_mimic::{Arguments, Trial};
use serde_json::{Value, json};
use stack::binaries::Binaries;
use stack::browser::{self, Browser, Tab};
use stack::ports;
use stack::system::{Options, System};
use stack::wait::until;
use tokio::sync::Mutex;

/// Generous: only a hang takes longer.
const LIMIT: Duration = Duration::from_secs(60);
const AUDIT: &str = include_str!("audit.js");
const PAGES: [(&str, &str); 8] = [
    ("dashboard", "/"),
    ("dashboard", "/routes?url=shop.localhost/cart/7"),
    ("dashboard", "/services"),
    ("dashboard", "/problems"),
    ("dashboard", "/envoys"),
    ("dashboard", "/timeline"),
    ("dashboard", "/?q=nothing-has-this-name"),
    ("frontend", "/"),
];

/// What the tests share.
struct Shared {
    system: System,
    portolan: PathBuf,
    tab: Tab,
    _browser: Browser,
}

impl Shared {
    fn start(folder: PathBuf, program: &std::path::Path) -> Result<Self> {
        let browser = Browser::start(program, &folder.join("browser"))?;
        let options = Options {
            edge_port: ports::free()?,
            grpc_port: ports::free()?,
            frontends: 3,
            folder,
            otlp_endpoint: None,
        };
        let binaries = Binaries::build()?;
        let portolan = binaries.portolan.clone();
        let system = System::start(options, binaries)?;
        let tab = browser.tab()?;
        Ok(Self { system, portolan, tab, _browser: browser })
    }

    fn url(&self, host: &str, path: &str) -> String {
        format!("http://{host}.localhost:{}{path}", self.system.options().edge_port)
    }

    /// Opens a page of the dashboard, and waits until it follows.
    fn dashboard(&mut self, path: &str) -> Result<()> {
        let url = self.url("dashboard", path);
        self.tab.open(&url)?;
        self.tab.until("the page is live", "document.getElementById('live').dataset.state === 'on'")
    }

    /// Nothing went wrong in the pages that were looked at since the last time.
    fn no_complaints(&mut self) -> Result<()> {
        let complaints = self.tab.complaints()?;
        ensure!(complaints.is_empty(), "the browser complains: {}", complaints.join(", "));
        Ok(())
    }

    /// So many frontends, and what else is to be there.
    fn services(&self, frontends: usize, more: &str) -> Result<()> {
        Ok(fs::write(self.system.services_file(), self.system.services(frontends) + more)?)
    }
}

type Test = fn(&mut Shared) -> Result<()>;

const TESTS: &[(&str, Test)] = &[
    ("every_page_is_shown_without_a_complaint_in_any_window_and_theme", every_page_is_shown),
    ("a_frontend_that_comes_is_on_the_page_and_one_that_goes_leaves_it", the_page_follows),
    ("a_problem_shows_what_to_do_and_goes_when_it_is_done", a_problem_shows_what_to_do),
    ("a_drained_frontend_is_shown_as_drained", a_drained_frontend_is_shown),
    ("the_url_tester_agrees_with_envoy", urls::the_tester_agrees_with_envoy),
    ("the_filter_works_with_the_keyboard_alone", the_filter_works_with_the_keyboard),
    ("without_scripts_the_pages_say_the_same", without_scripts_the_pages_say_the_same),
    ("a_theme_is_chosen_with_the_keyboard_and_stays_without_a_flash_of_another", themes::a_theme_is_chosen),
    ("without_scripts_the_theme_is_the_systems", themes::without_scripts),
    ("a_page_outlives_a_restart_of_the_control_plane", a_page_outlives_a_restart),
    ("messages_are_saved_changed_and_deleted_with_the_keyboard_and_without_a_script", messages::by_keyboard),
    ("a_message_that_is_refused_stays_in_the_form", messages::refused),
    ("a_long_list_of_messages_is_read_page_by_page", messages::page_by_page),
    ("the_frontend_says_what_is_away_and_that_nothing_is_stored", messages::away),
    ("a_page_that_is_closed_is_no_error", a_page_that_is_closed_is_no_error),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let nothing = |ignored: bool| {
        let trial = |(name, _): &(&str, Test)| Trial::test(*name, || Ok(())).with_ignored_flag(ignored);
        libtest_mimic::run(&arguments, TESTS.iter().map(trial).collect()).exit_code()
    };
    let program = match browser::find() {
        Ok(program) => program,
        Err(reason) if std::env::var("REQUIRE_BROWSER").is_ok_and(|value| value == "1") => {
            eprintln!("REQUIRE_BROWSER=1, and {reason:#}");
            return ExitCode::FAILURE;
        }
        Err(reason) => {
            eprintln!("the tests with a browser are ignored: {reason:#}");
            return nothing(true);
        }
    };
    let is_wanted =
        |name: &str| arguments.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str()));
    if arguments.list || !TESTS.iter().any(|(name, _)| is_wanted(name)) {
        return nothing(false);
    }
    // This thread starts all children, and outlives the tests.
    let folder = tempfile::tempdir().expect("a folder for the system");
    let shared = Shared::start(folder.path().to_owned(), &program).expect("the system starts");
    let shared = Arc::new(Mutex::new(shared));
    let trials = TESTS.iter().map(|(name, test)| {
        let shared = Arc::clone(&shared);
        Trial::test(*name, move || {
            let mut shared = shared.blocking_lock();
            // Each begins with the same.
            shared.services(3, "")?;
            shared.tab.look(1440, false)?;
            shared.tab.call("Page.navigate", &json!({ "url": "about:blank" }))?;
            shared.tab.complaints()?;
            test(&mut shared).map_err(|error| format!("{error:#}").into())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Something of every kind.
const MUCH: &str = r#"  shop/cart:
    labels: { portolan.host: shop.localhost, portolan.path: /cart }
    endpoints: ["127.0.0.1:9", { address: "127.0.0.1:10", name: cart-2, health: unhealthy }]
  shop/search:
    labels: { portolan.host: "shop.localhost, *.a-rather-long-name-of-a-host.shop.localhost", portolan.path: "~/s(earch)?" }
    endpoints: []
  mail:
    labels: { portolan.host: mail.localhost, portolan.paht: /inbox }
    endpoints: ["127.0.0.1:13"]
"#;

fn every_page_is_shown(shared: &mut Shared) -> Result<()> {
    shared.services(3, MUCH)?;
    shared.dashboard("/")?;
    shared.tab.until("what is wrong is there", "document.body.innerText.includes('shop/search')")?;
    shared.tab.complaints()?;
    let mut wrong = Vec::new();
    for (host, path) in PAGES {
        wrong.extend(audit(shared, host, path)?);
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// What is wrong with a page, in any window and theme.
fn audit(shared: &mut Shared, host: &str, path: &str) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for width in [390, 768, 1440] {
        for dark in [false, true] {
            shared.tab.look(width, dark)?;
            let url = shared.url(host, path);
            shared.tab.open(&url)?;
            let found = shared.tab.eval(AUDIT)?;
            let found = found.as_array().into_iter().flatten().map(Value::to_string);
            let found = found.chain(shared.tab.complaints()?);
            wrong.extend(found.map(|found| format!("{host}{path}, {width}, dark {dark}: {found}")));
        }
    }
    Ok(wrong)
}

fn the_page_follows(shared: &mut Shared) -> Result<()> {
    let says = |word: &str| format!("document.querySelector('.map').innerText.includes('{word}')");
    shared.services(2, "")?;
    shared.dashboard("/")?;
    shared.tab.until("there are two", &format!("{} && !{}", says("frontend-2"), says("frontend-3")))?;
    shared.tab.eval("window.sameDocument = true")?;
    shared.services(3, "")?;
    shared.tab.until("the third has come", &says("frontend-3"))?;
    shared.tab.until("it is ready", &says("3 of 3 ready"))?;
    shared.services(2, "")?;
    shared.tab.until("it has gone again", &format!("!{}", says("frontend-3")))?;
    ensure!(shared.tab.eval("window.sameDocument")? == true, "the page was loaded anew");
    shared.dashboard("/timeline?q=frontend-3")?;
    let told = "['appeared', 'is gone', 'left the rotation'].every((word) => document.body.innerText.includes(word))";
    shared.tab.until("the timeline has it", told)?;
    shared.no_complaints()?;
    Ok(())
}

fn a_problem_shows_what_to_do(shared: &mut Shared) -> Result<()> {
    shared.dashboard("/problems")?;
    shared.services(3, MUCH)?;
    shared.tab.until(
        "the problem is there, and what to do",
        "[...document.querySelectorAll('.problem')].some((card) => card.innerText.includes('mail-1') \
         && card.innerText.includes('portolan.paht') \
         && card.querySelector('.fix').innerText.includes('did you mean portolan.path'))",
    )?;
    shared.tab.until("the menu counts it", "document.querySelector('nav .count').innerText === '1'")?;
    shared.services(3, &MUCH.replace("paht", "path"))?;
    shared
        .tab
        .until("it is gone", "!document.querySelector('.problem') && !document.querySelector('nav .count')")
}

fn a_drained_frontend_is_shown(shared: &mut Shared) -> Result<()> {
    let address = format!("127.0.0.1:{}", shared.system.options().grpc_port);
    let portolan = |command: &str| {
        let output =
            Command::new(&shared.portolan).args([command, "frontend-2", "--address", &address]).output()?;
        ensure!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    until("frontend-2 is there", LIMIT, || portolan("drain"))?;
    let url = shared.url("dashboard", "/services?q=frontend");
    let shown = shared.tab.open(&url).and_then(|()| {
        let row = "[...document.querySelectorAll('tr')].some((row) => row.innerText.includes('frontend-2') \
                   && row.innerText.includes('drained by hand'))";
        shared.tab.until("it is drained", row)
    });
    portolan("undrain")?;
    shown?;
    shared.tab.until("it is back", "!document.body.innerText.includes('drained')")
}

fn the_filter_works_with_the_keyboard(shared: &mut Shared) -> Result<()> {
    shared.dashboard("/services")?;
    shared.tab.until("both are there", "document.querySelectorAll('.service').length === 2")?;
    shared.tab.eval("window.sameDocument = true")?;
    shared.tab.press("/")?;
    let focused = "document.activeElement.id === 'filter'";
    shared.tab.until("the filter has the focus", focused)?;
    shared.tab.type_into(":focus", "backend")?;
    shared.tab.until("one is left", "document.querySelectorAll('.service').length === 1")?;
    shared.tab.until("the address says so", "new URL(location).searchParams.get('q') === 'backend'")?;
    ensure!(
        shared.tab.eval(&format!(
            "window.sameDocument && {focused} && document.activeElement.value === 'backend'"
        ))? == true,
        "what was typed stays"
    );
    // What comes meanwhile does not take the words away.
    shared.services(2, "")?;
    shared.dashboard("/services?q=frontend")?;
    shared.tab.until("it follows with the filter on", "document.querySelectorAll('.service').length === 1 && !document.body.innerText.includes('frontend-3')")?;
    // The first stop leads past the menu.
    shared.tab.press("Tab")?;
    shared.tab.until("the link past the menu", "document.activeElement.className === 'skip'")?;
    shared.no_complaints()?;
    Ok(())
}

fn without_scripts_the_pages_say_the_same(shared: &mut Shared) -> Result<()> {
    shared.tab.allow_scripts(false)?;
    let said = (|| {
        for (path, word) in [
            ("/", "frontend-3"),
            ("/services", "frontend-3"),
            ("/routes?url=frontend.localhost", "The route frontend takes it"),
            ("/envoys", "up to date"),
            ("/timeline", "published"),
            ("/services?q=backend", "backend-1"),
        ] {
            let url = shared.url("dashboard", path);
            until("the page says it", LIMIT, || {
                shared.tab.open(&url)?;
                let text = shared.tab.text()?;
                ensure!(
                    text.contains(word) && !text.contains("live"),
                    "{path} does not say {word:?}: {text}"
                );
                Ok(())
            })?;
        }
        // A form is a form.
        let url = shared.url("dashboard", "/services");
        shared.tab.open(&url)?;
        shared.tab.type_into("#filter", "frontend")?;
        shared.tab.press("Enter")?;
        shared.tab.until(
            "the filter was sent",
            "location.search === '?q=frontend' && document.querySelectorAll('.service').length === 1",
        )
    })();
    shared.tab.allow_scripts(true)?;
    said
}

/// The last change.
const NEWEST: &str =
    "fetch('/api/timeline').then((answer) => answer.json()).then(({ entries }) => entries[0])";

fn a_page_outlives_a_restart(shared: &mut Shared) -> Result<()> {
    shared.dashboard("/")?;
    shared
        .tab
        .until("it is up to date", "document.querySelector('.map').innerText.includes('3 of 3 ready')")?;
    let kept = shared.system.folder().join("view.timeline");
    let newest = shared.tab.eval(NEWEST)?;
    let last = newest["number"].as_u64().unwrap_or_default();
    until("the timeline is saved", LIMIT, || {
        let saved = fs::read_to_string(&kept)?;
        ensure!(saved.contains(&format!("\"number\":{last},")), "{last} is not in {saved}");
        Ok(())
    })?;
    shared.tab.eval("window.sameDocument = true")?;
    shared.system.take("control-plane")?.kill()?;
    shared
        .tab
        .until("the page says that it is alone", "document.getElementById('live').dataset.state === 'off'")?;
    ensure!(shared.tab.text()?.contains("frontend-3"), "what it showed stands");
    shared.system.start_control_plane()?;
    shared.tab.until("it follows again", "document.getElementById('live').dataset.state === 'on'")?;
    shared.services(2, "")?;
    shared.tab.until("it follows", "!document.querySelector('.map').innerText.includes('frontend-3')")?;
    ensure!(shared.tab.eval("window.sameDocument")? == true, "the page was loaded anew");
    // What happened before it is still told, and what happens now goes on from there.
    let all = "fetch('/api/timeline').then((answer) => answer.json()).then(({ entries }) => entries)";
    let all = shared.tab.eval(all)?;
    ensure!(all.as_array().is_some_and(|all| all.contains(&newest)), "{newest} is not in {all}");
    ensure!(all[0]["number"].as_u64() > Some(last), "it goes on: {all}");
    // The browser tells of every request without an answer.
    shared.tab.complaints()?;
    Ok(())
}

fn a_page_that_is_closed_is_no_error(shared: &mut Shared) -> Result<()> {
    for path in ["/", "/services", "/problems"] {
        shared.dashboard(path)?;
    }
    let log = shared.system.process("control-plane")?.log();
    ensure!(!log.contains(" ERROR "), "{log}");
    Ok(())
}
