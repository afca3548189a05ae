//! A real browser, headless, for the tests of pages: Chromium over the DevTools protocol
//! (<https://chromedevtools.github.io/devtools-protocol>), as much of it as they need.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use serde_json::{Value, json};
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

use crate::process::Process;
use crate::wait::until;

/// Longer than a loaded machine takes for a page.
const LIMIT: Duration = Duration::from_secs(30);
/// By the names that distributions give it.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// Quiet, without a window, and without a word to anybody but the pages.
const OPTIONS: [&str; 15] = [
    "--headless=new",
    // It is no sandbox that keeps a test's own pages apart, and in a container there is none to be had.
    "--no-sandbox",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-port=0",
    "--lang=en-GB",
];

/// The program, by `CHROMIUM_BIN` or in `PATH`.
///
/// # Errors
///
/// There is none; says where it was looked for.
pub fn find() -> anyhow::Result<PathBuf> {
    if let Some(given) = std::env::var_os("CHROMIUM_BIN") {
        return Ok(given.into());
    }
    let answers = |name: &&str| {
        let asked = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    };
    let found = NAMES.into_iter().find(answers).map(PathBuf::from);
    found.with_context(|| {
        format!(
            "there is no {}; scripts/setup-debian installs chromium, CHROMIUM_BIN names another",
            NAMES.join(", ")
        )
    })
}

/// A running browser. It is killed when this is dropped.
#[derive(Debug)]
pub struct Browser {
    process: Process,
    port: u16,
    http: reqwest::blocking::Client,
}

impl Browser {
    /// Starts `program` with its profile and its log in `folder`. As for [`Process::start`], call it from a thread that
    /// lives as long as the browser shall.
    ///
    /// # Errors
    ///
    /// It cannot be started, or does not say where it can be talked to.
    pub fn start(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let profile = folder.join("profile");
        fs::create_dir_all(&profile)?;
        let active = profile.join("DevToolsActivePort");
        let mut process = Process::start("browser", folder, program, |command| {
            command.args(OPTIONS).arg(format!("--user-data-dir={}", profile.display())).arg("about:blank");
        })?;
        let port = until("the browser answers", LIMIT, || {
            process.check()?;
            let text = fs::read_to_string(&active).context("it has not said its port yet")?;
            Ok(text.lines().next().unwrap_or_default().parse()?)
        })?;
        let http = reqwest::blocking::Client::builder().no_proxy().timeout(LIMIT).build()?;
        Ok(Self { process, port, http })
    }

    /// A new tab.
    ///
    /// # Errors
    ///
    /// The browser does not answer.
    pub fn tab(&self) -> anyhow::Result<Tab> {
        let url = format!("http://127.0.0.1:{}/json/new?about:blank", self.port);
        let answer = self.http.put(url).send().and_then(reqwest::blocking::Response::error_for_status);
        let target: Value = answer
            .with_context(|| format!("the browser opens no tab; its log: {}", self.process.log()))?
            .json()?;
        let url = target["webSocketDebuggerUrl"].as_str().context("the browser names no socket")?;
        let (socket, _) = tungstenite::connect(url).context("the tab cannot be talked to")?;
        if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
            stream.set_read_timeout(Some(LIMIT))?;
        }
        let mut tab = Tab { socket, next: 0, complaints: Vec::new() };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            tab.call(&format!("{domain}.enable"), &json!({}))?;
        }
        Ok(tab)
    }
}

/// A tab.
#[derive(Debug)]
pub struct Tab {
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    next: u64,
    complaints: Vec<String>,
}

impl Tab {
    /// A command of the protocol, and its result.
    ///
    /// # Errors
    ///
    /// The browser refuses it, or does not answer.
    pub fn call(&mut self, method: &str, parameters: &Value) -> anyhow::Result<Value> {
        self.next += 1;
        let id = self.next;
        let request = json!({ "id": id, "method": method, "params": parameters });
        self.socket.send(Message::text(request.to_string()))?;
        loop {
            let message = self.socket.read().with_context(|| format!("no answer to {method}"))?;
            let Message::Text(text) = message else { continue };
            let mut answer: Value = serde_json::from_str(&text)?;
            if answer["id"] == id {
                ensure!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return Ok(answer["result"].take());
            }
            self.complaints.extend(complaint(&answer));
        }
    }

    /// The value of an expression in the page, awaited if it is a promise.
    ///
    /// # Errors
    ///
    /// It throws.
    pub fn eval(&mut self, expression: &str) -> anyhow::Result<Value> {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut result = self.call("Runtime.evaluate", &parameters)?;
        if !result["exceptionDetails"].is_null() {
            bail!("{expression}: {}", result["exceptionDetails"]["exception"]["description"]);
        }
        Ok(result["result"]["value"].take())
    }

    /// Opens `url` and waits until all of the page is there.
    ///
    /// # Errors
    ///
    /// It cannot be loaded.
    pub fn open(&mut self, url: &str) -> anyhow::Result<()> {
        let result = self.call("Page.navigate", &json!({ "url": url }))?;
        ensure!(result["errorText"].is_null(), "{url}: {}", result["errorText"]);
        self.until(
            "the page is loaded",
            "document.readyState === 'complete' && location.href !== 'about:blank'",
        )
    }

    /// Waits until an expression is true.
    ///
    /// # Errors
    ///
    /// It is not, for long; says what the page shows instead.
    pub fn until(&mut self, what: &str, expression: &str) -> anyhow::Result<()> {
        until(what, LIMIT, || {
            let value = self.eval(expression)?;
            ensure!(value == true, "{expression} is {value}; the page says: {}", self.text()?);
            Ok(())
        })
    }

    /// What a person can read on the page.
    ///
    /// # Errors
    ///
    /// The browser does not answer.
    pub fn text(&mut self) -> anyhow::Result<String> {
        Ok(self.eval("document.body.innerText")?.as_str().unwrap_or_default().to_owned())
    }

    /// Puts the cursor into what `selector` names and types.
    ///
    /// # Errors
    ///
    /// There is no such element.
    pub fn type_into(&mut self, selector: &str, text: &str) -> anyhow::Result<()> {
        let focus = format!("document.querySelector({}).focus()", json!(selector));
        self.eval(&focus)?;
        self.call("Input.insertText", &json!({ "text": text }))?;
        Ok(())
    }

    /// Presses a key: `Tab`, `Enter`, `ArrowRight`, `/`.
    ///
    /// # Errors
    ///
    /// The browser does not answer.
    pub fn press(&mut self, key: &str) -> anyhow::Result<()> {
        let (text, code) = match key {
            "Enter" => ("\r", 13),
            "Tab" => ("", 9),
            "ArrowRight" => ("", 39),
            other => (other, 0),
        };
        let mut parameters = json!({ "type": "keyDown", "key": key, "windowsVirtualKeyCode": code });
        if !text.is_empty() {
            parameters["text"] = json!(text);
        }
        self.call("Input.dispatchKeyEvent", &parameters)?;
        parameters["type"] = json!("keyUp");
        self.call("Input.dispatchKeyEvent", &parameters)?;
        Ok(())
    }

    /// Shows pages in a window of this width, in CSS pixels, in the dark theme or the light one.
    ///
    /// # Errors
    ///
    /// The browser does not answer.
    pub fn look(&mut self, width: u32, dark: bool) -> anyhow::Result<()> {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.call("Emulation.setDeviceMetricsOverride", &size)?;
        let theme = if dark { "dark" } else { "light" };
        let features = json!([
            { "name": "prefers-color-scheme", "value": theme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.call("Emulation.setEmulatedMedia", &json!({ "features": features }))?;
        Ok(())
    }

    /// Whether pages may run scripts.
    ///
    /// # Errors
    ///
    /// The browser does not answer.
    pub fn allow_scripts(&mut self, allow: bool) -> anyhow::Result<()> {
        self.call("Emulation.setScriptExecutionDisabled", &json!({ "value": !allow }))?;
        Ok(())
    }

    /// A picture of the whole page, as PNG.
    ///
    /// # Errors
    ///
    /// The browser makes none, or it cannot be written.
    pub fn screenshot(&mut self, file: &Path) -> anyhow::Result<()> {
        let parameters = json!({ "format": "png", "captureBeyondViewport": true });
        let result = self.call("Page.captureScreenshot", &parameters)?;
        let data = result["data"].as_str().context("there is no picture")?;
        let png = base64::engine::general_purpose::STANDARD.decode(data)?;
        fs::write(file, png).with_context(|| format!("cannot write {}", file.display()))
    }

    /// What went wrong in the pages so far: uncaught errors, errors on the console, resources that could not be loaded or were
    /// refused by the page's own policy.
    ///
    /// # Errors
    ///
    /// The browser does not answer.
    pub fn complaints(&mut self) -> anyhow::Result<Vec<String>> {
        // Whatever was said before this answer is here then.
        self.eval("new Promise(requestAnimationFrame)")?;
        Ok(std::mem::take(&mut self.complaints))
    }
}

fn complaint(event: &Value) -> Option<String> {
    let parameters = &event["params"];
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(parameters["exceptionDetails"].to_string()),
        "Runtime.consoleAPICalled" if parameters["type"] == "error" => Some(parameters["args"].to_string()),
        "Log.entryAdded" if parameters["entry"]["level"] == "error" => Some(parameters["entry"].to_string()),
        _ => None,
    }
}
