//! One call of an OpenAI-compatible endpoint.

use std::time::Duration;

use serde_json::{Map, Value};
use ureq::Agent;
use ureq::http::StatusCode;

use super::answered::Said;
use super::ask::Circumstances;
use super::backoff;
use super::declared::{Api, Prices, Target};
use super::desk::{Caller, Reply, Turn};
use super::file::TargetFile;
use super::request;
use crate::eval::error::EvalError;
use crate::eval::generation::Settings;
use crate::time::Timestamp;

/// Nobody answers with more than this.
const MAX_BYTES: u64 = 16 << 20;

/// An endpoint, ready to be called.
pub(super) struct Endpoint<'a> {
    agent: Agent,
    url: String,
    api: Api,
    model: &'a str,
    extra: Map<String, Value>,
    prices: Option<Prices>,
    settings: &'a Settings,
    key: Option<String>,
    now: &'a (dyn Fn() -> Timestamp + Sync),
}

impl<'a> Endpoint<'a> {
    /// Of a target of kind endpoint; `None` for another one.
    pub(super) fn of(
        file: &'a TargetFile,
        settings: &'a Settings,
        about: &Circumstances<'a>,
    ) -> Result<Option<Self>, EvalError> {
        let Target::Endpoint {
            url,
            api,
            model,
            body,
            prices,
            ..
        } = &file.target
        else {
            return Ok(None);
        };
        let path = match api {
            Api::Chat => "chat/completions",
            Api::Completions => "completions",
        };
        let key = match &file.key {
            None => None,
            Some(name) => {
                let key = (about.variable)(name).map(|key| key.trim().to_owned());
                let usable =
                    |key: &String| !key.is_empty() && key.chars().all(|c| c.is_ascii_graphic());
                Some(
                    key.filter(usable)
                        .ok_or_else(|| EvalError::NoKey(name.clone()))?,
                )
            }
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(file.terms.timeout))
            // A redirect could carry the key elsewhere.
            .max_redirects(0)
            .max_idle_connections_per_host(file.terms.concurrency)
            .user_agent(concat!("retune/", env!("CARGO_PKG_VERSION")))
            .build();
        let extra = body.as_deref().map(serde_json::from_str);
        Ok(Some(Self {
            agent: config.into(),
            url: format!("{url}/{path}"),
            api: *api,
            model,
            extra: extra.and_then(Result::ok).unwrap_or_default(),
            prices: *prices,
            settings,
            key,
            now: about.now,
        }))
    }

    /// What the other side wrote, without the key where it repeats that.
    fn clean(&self, text: String) -> String {
        match &self.key {
            Some(key) => text.replace(key.as_str(), "[key]"),
            None => text,
        }
    }

    fn send(&self, turn: &Turn<'_>) -> Result<(StatusCode, Option<String>, String), ureq::Error> {
        let (case, repeat) = (turn.case, turn.repeat);
        let body = request::body(
            self.api,
            self.model,
            case,
            repeat,
            self.settings,
            &self.extra,
        );
        let mut call = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json");
        if let Some(key) = &self.key {
            call = call.header("authorization", format!("Bearer {key}"));
        }
        let mut reply = call.send(body.to_string())?;
        let wait = reply.headers().get("retry-after");
        let wait = wait
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let status = reply.status();
        let text = reply
            .body_mut()
            .with_config()
            .limit(MAX_BYTES)
            .read_to_string()?;
        Ok((status, wait, text))
    }
}

impl Caller for Endpoint<'_> {
    fn call(&self, turn: &Turn<'_>) -> Reply {
        let (status, wait, text) = match self.send(turn) {
            Ok(got) => got,
            Err(error) => {
                return Reply::Again {
                    why: self.clean(error.to_string()),
                    wait: None,
                    throttled: false,
                };
            }
        };
        let text = self.clean(text);
        if status.is_success() {
            return match request::reply(&text, self.settings) {
                Ok(said) => Reply::Said(self.priced(said)),
                Err(why) => Reply::Again {
                    why,
                    wait: None,
                    throttled: false,
                },
            };
        }
        let why = format!("HTTP {}: {}", status.as_u16(), request::told(&text));
        if !matches!(status.as_u16(), 408 | 429 | 500..=599) {
            return Reply::Said(Said::refused(why));
        }
        let wait = wait.and_then(|header| backoff::asked(&header, (self.now)().unix()));
        Reply::Again {
            why,
            wait,
            throttled: status == StatusCode::TOO_MANY_REQUESTS
                || wait.is_some_and(|wait| wait > Duration::ZERO),
        }
    }
}

impl Endpoint<'_> {
    /// What is not known to cost something has no cost: never 0.
    fn priced(&self, said: Said) -> Said {
        let tokens = said.prompt_tokens.zip(said.output_tokens);
        let cost_usd = self
            .prices
            .zip(tokens)
            .map(|(prices, (prompt, output))| prices.cost(prompt, output));
        Said { cost_usd, ..said }
    }
}
