//! Makes the pictures of docs/: a whole system with a few things wrong in it, and a browser that looks at its pages in both
//! themes and three widths. `scripts/screenshots` runs it.
//!
//! The folder for the pictures is its one argument.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use stack::binaries::Binaries;
use stack::browser::{self, Browser, Tab};
use stack::load::{Ask, Load};
use stack::ports;
use stack::system::{Options, System};

/// Generous: only a hang takes longer.
const LIMIT: Duration = Duration::from_secs(60);
const WIDTHS: [u32; 3] = [390, 768, 1440];
/// Name of the picture, host, path, and what to wait for.
type Page = (&'static str, &'static str, &'static str, &'static str);
const PAGES: [Page; 9] = [
    (
        "overview",
        "dashboard",
        "/",
        "document.querySelector('[data-traffic=frontend]')?.textContent.includes('p95')",
    ),
    ("routes", "dashboard", "/routes?url=shop.localhost/cart/7", "!!document.getElementById('answer')"),
    ("services", "dashboard", "/services", "true"),
    ("problems", "dashboard", "/problems", "true"),
    ("envoys", "dashboard", "/envoys", "true"),
    ("timeline", "dashboard", "/timeline", "true"),
    ("messages", "frontend", "/?saved=Flagship", "true"),
    ("messages-change", "frontend", "/?key=Log+of+the+voyage", "true"),
    ("messages-delete", "frontend", "/delete?key=Log+of+the+voyage", "true"),
];
const EMPTY: [Page; 5] = [
    ("messages-empty", "frontend", "/", "true"),
    ("overview-filtered", "dashboard", "/?q=nothing-like-this", "true"),
    ("problems-empty", "dashboard", "/problems", "true"),
    ("overview-empty", "dashboard", "/", NOTHING),
    ("routes-empty", "dashboard", "/routes", NOTHING),
];
const NOTHING: &str = "document.body.innerText.includes('No container asks for a route yet')";
const LONG: Page = ("messages-long", "frontend", "/?after=ship+049", "true");
const AWAY: Page = ("messages-away", "frontend", "/", "!!document.querySelector('[role=alert]')");
const LOG: &str = "Friday, 3 August 1492. Set sail from the bar of Saltes at eight o'clock, and proceeded with a strong breeze till sunset, \
sixty miles or fifteen leagues south, afterwards southwest and south by west, which is the direction of the Canaries.\n\n\
Saturday, 4 August. Steered southwest by south.\n\nSunday, 5 August. Sailed day and night more than forty leagues.";
const MESSAGES: [(&str, &str); 5] = [
    ("Flagship", "Santa Maria"),
    ("Log of the voyage", LOG),
    ("Ships", "Niña\nPinta\nSanta Maria"),
    (
        "a-key-that-a-program-has-made/2026-11-25T02:22:27.123456789Z/0123456789abcdef0123456789abcdef",
        "{\"state\":\"ready\"}",
    ),
    ("note", ""),
];

/// Something to count.
const ASKS: [Ask; 2] = [
    Ask { method: "GET", host: "frontend.localhost", path: "/", expected: 200 },
    Ask { method: "GET", host: "backend.localhost", path: "/messages", expected: 200 },
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("screenshots: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let into = PathBuf::from(std::env::args().nth(1).context("say into which folder")?);
    std::fs::create_dir_all(&into)?;
    let program = browser::find()?;
    let folder = stack::workspace().join("target/screenshots");
    let _ = std::fs::remove_dir_all(&folder);
    let options = Options {
        edge_port: ports::free()?,
        grpc_port: ports::free()?,
        frontends: 3,
        folder: folder.clone(),
        otlp_endpoint: None,
    };
    let binaries = Binaries::build()?;
    let portolan = binaries.portolan.clone();
    let mut system = System::start(options, binaries)?;
    let browser = Browser::start(&program, &folder.join("browser"))?;
    let site = system.site()?;
    let save = |key: &str, value: &str| -> Result<()> {
        let form = [("key", key), ("value", value)];
        let saved =
            site.request(reqwest::Method::POST, "frontend.localhost", "/messages").form(&form).send()?;
        ensure!(saved.status() == 303, "{key}: {saved:?}");
        Ok(())
    };
    let mut tab = browser.tab()?;
    take(&mut tab, &system, &into, &EMPTY[..3])?;
    std::fs::write(system.services_file(), "services: {}\n")?;
    take(&mut tab, &system, &into, &EMPTY[3..])?;
    disturb(&system, &portolan)?;
    stack::wait::until("the frontend answers", LIMIT, || {
        let status = site.get("frontend.localhost", "/")?.status();
        ensure!(status.is_success(), "{status}");
        Ok(())
    })?;
    for (key, value) in MESSAGES {
        save(key, value)?;
    }
    let load = Load::start(system.options().edge_port, 20, &ASKS)?;
    let taken = take(&mut tab, &system, &into, &PAGES);
    load.stop()?;
    taken?;
    for number in 0..120 {
        save(&format!("ship {number:03}"), "Santa Maria")?;
    }
    take(&mut tab, &system, &into, &[LONG])?;
    system.take("redis")?.kill()?;
    take(&mut tab, &system, &into, &[AWAY])?;
    system.stop();
    Ok(())
}

/// Gives the pages something to say: routes of several kinds, a service that is down, one that is partly ready, one that is
/// drained, and two mistakes in labels.
fn disturb(system: &System, portolan: &PathBuf) -> Result<()> {
    let more = r#"
  shop/cart:
    labels: { portolan.host: shop.localhost, portolan.path: /cart }
    endpoints: ["127.0.0.1:9", { address: "127.0.0.1:10", name: cart-2, health: unhealthy }]
  shop/pages:
    labels: { portolan.host: "shop.localhost, *.shop.localhost" }
    endpoints: ["127.0.0.1:11", "127.0.0.1:12"]
  shop/search:
    labels: { portolan.host: shop.localhost, portolan.path: "~/s(earch)?", portolan.priority: "5" }
    endpoints: []
  mail:
    labels: { portolan.host: mail.localhost, portolan.paht: /inbox }
    endpoints: ["127.0.0.1:13"]
  old:
    labels: { portolan.host: shop.localhost, portolan.path: "cart" }
    endpoints: ["127.0.0.1:14"]
"#;
    std::fs::write(
        system.services_file(),
        format!("{}{}", system.services(3), more.trim_start_matches('\n')),
    )?;
    let address = format!("127.0.0.1:{}", system.options().grpc_port);
    stack::wait::until("frontend-2 is drained", LIMIT, || {
        let mut drain = Command::new(portolan);
        let output = drain.args(["drain", "frontend-2", "--address", &address]).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    })
}

fn take(tab: &mut Tab, system: &System, into: &std::path::Path, pages: &[Page]) -> Result<()> {
    for (name, host, path, ready) in pages {
        for width in WIDTHS {
            for dark in [false, true] {
                tab.look(width, dark)?;
                tab.open(&format!("http://{host}.localhost:{}{path}", system.options().edge_port))?;
                tab.until(&format!("the page {name} is ready"), ready)?;
                let theme = if dark { "dark" } else { "light" };
                tab.screenshot(&into.join(format!("{name}-{width}-{theme}.png")))?;
            }
        }
        println!("{name}");
    }
    Ok(())
}
