//! The gate's page in a real browser: Chromium, driven through chromedriver.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::cli::floor::Scene;

/// What a person would see: how far the page is wider than the window, the worst contrast of a text, and what it shows.
const LOOK: &str = r#"
const number = text => text.match(/[\d.]+/g).map(Number);
const light = ([r, g, b]) => {
  const part = of => { of /= 255; return of <= 0.04045 ? of / 12.92 : ((of + 0.055) / 1.055) ** 2.4; };
  return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
};
const behind = element => {
  for (let at = element; at; at = at.parentElement) {
    const colour = number(getComputedStyle(at).backgroundColor);
    if (colour.length < 4 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
let worst = {contrast: 99, text: ''};
for (const element of document.querySelectorAll('body *:not(svg):not(svg *)')) {
  const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
  if (!own || !element.getClientRects().length) continue;
  const [a, b] = [light(number(getComputedStyle(element).color)), light(behind(element))];
  const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (contrast < worst.contrast) worst = {contrast, text: element.textContent.trim().slice(0, 60)};
}
const cut = [...document.querySelectorAll('svg text')].filter(text => {
  const box = text.getBoundingClientRect();
  return box.left < 0 || box.right > document.documentElement.clientWidth;
});
return {
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  worst,
  cut: cut.map(text => text.textContent),
  paper: light(behind(document.body)),
  shown: document.body.innerText,
  requests: performance.getEntriesByType('resource').length,
};
"#;

#[test]
fn the_page_of_a_verdict_can_be_read_on_every_screen() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let scene = Scene::new();
    let page = scene.page();
    let mut papers = Vec::new();
    for (width, scheme) in [
        (1280, "light"),
        (1280, "dark"),
        (390, "light"),
        (390, "dark"),
    ] {
        let name = format!("the page at {width} pixels, {scheme},");
        let seen = browser.look(&page, width, scheme);
        assert_eq!(seen["overflow"], 0, "{name} is wider than the window");
        assert_eq!(seen["requests"], 0, "{name} asks for something");
        assert_eq!(seen["cut"], json!([]), "{name} cuts labels off");
        let contrast = seen["worst"]["contrast"].as_f64().unwrap();
        // WCAG 2.2, level AA, for text of this size.
        assert!(contrast >= 4.5, "{name}: {}", seen["worst"]);
        let shown = seen["shown"].as_str().unwrap();
        for part in [
            "FAIL",
            "Floor",
            "always wrong",
            "passed when asked again",
            "topic 1",
            "harmed",
            "Regressed",
        ] {
            assert!(shown.contains(part), "{name} does not show {part}: {shown}");
        }
        papers.push(seen["paper"].as_f64().unwrap());
    }
    assert!(papers[0] > 0.8 && papers[1] < 0.1, "{papers:?}");
    assert_eq!(papers[..2], papers[2..]);
}

/// A session of chromedriver with a browser of its own.
struct Browser {
    driver: Child,
    /// Kept open: a driver that nobody hears ends.
    _said: BufReader<ChildStdout>,
    port: u16,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Nothing is tested without the browser, which is an error where `CI` is set.
    #[allow(clippy::print_stderr)]
    fn start() -> Option<Self> {
        let started = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut driver) = started else {
            assert!(
                std::env::var_os("CI").is_none(),
                "chromedriver is missing: apt-get install chromium chromium-driver"
            );
            eprintln!("skipped: chromedriver is missing");
            return None;
        };
        let mut said = BufReader::new(driver.stdout.take().unwrap());
        let port = loop {
            let mut line = String::new();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "chromedriver ended");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end().trim_end_matches('.').parse().unwrap();
            }
        };
        let profile = tempfile::tempdir().unwrap();
        let args = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let mut browser = Self {
            driver,
            _said: said,
            port,
            session: String::new(),
            _profile: profile,
        };
        let options =
            json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": args}}}});
        let begun = browser.call("POST", "/session", &options);
        browser.session = begun["sessionId"].as_str().unwrap().to_owned();
        Some(browser)
    }

    /// Opens a page and says what is seen.
    fn look(&self, page: &Path, width: u32, scheme: &str) -> Value {
        let size =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", &media);
        let url = json!({"url": format!("file://{}", page.display())});
        self.act("url", &url);
        self.act("execute/sync", &json!({"script": LOOK, "args": []}))
    }

    fn devtools(&self, command: &str, params: &Value) -> Value {
        let what = json!({"cmd": command, "params": params});
        self.act("goog/cdp/execute", &what)
    }

    fn act(&self, what: &str, body: &Value) -> Value {
        self.call("POST", &format!("/session/{}/{what}", self.session), body)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut reply = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reply.read_line(&mut line).unwrap();
            let line = line.to_ascii_lowercase();
            if let Some(said) = line.strip_prefix("content-length:") {
                length = said.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut said = vec![0; length];
        reply.read_exact(&mut said).unwrap();
        let said: Value = serde_json::from_slice(&said).unwrap();
        assert!(said["value"].get("error").is_none(), "{path}: {said}");
        said["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            self.call("DELETE", &format!("/session/{}", self.session), &json!({}));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
