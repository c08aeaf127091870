//! Programs that answer.

use std::error::Error;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::answered::Said;
use super::desk::{Caller, Reply, Turn};
use super::request::told;
use crate::eval::generation::Settings;
use crate::process;

/// A program, called once for each answer.
pub(super) struct Program<'a> {
    pub(super) argv: &'a [String],
    pub(super) timeout: Duration,
    /// How texts are to be generated; absent for labels.
    pub(super) settings: Option<&'a Settings>,
}

/// What it says on its standard output.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Output {
    output: Option<String>,
    error: Option<String>,
    model: Option<String>,
    prompt_tokens: Option<u64>,
    output_tokens: Option<u64>,
    complete: Option<bool>,
    cost_usd: Option<f64>,
}

impl Caller for Program<'_> {
    fn call(&self, turn: &Turn<'_>) -> Reply {
        match self.ask(turn) {
            Ok(said) => Reply::Said(said),
            Err(why) => Reply::Again {
                why,
                wait: None,
                throttled: false,
            },
        }
    }
}

impl Program<'_> {
    /// The right answer is not among what it is given.
    fn ask(&self, turn: &Turn<'_>) -> Result<Said, String> {
        let generate = self.settings.map(|settings| {
            json!({
                "max_tokens": settings.max_tokens,
                "temperature": settings.temperature.get(),
                "top_p": settings.top_p.map(|p| p.get()),
                "top_k": settings.top_k,
                "seed": settings.seed,
                "stop": settings.stop,
            })
        });
        let asked = json!({
            "id": turn.case.id,
            "repeat": turn.repeat,
            "prompt": turn.case.text,
            "messages": turn.case.messages,
            "generate": generate,
        });
        let ended = process::run(self.argv, asked.to_string().as_bytes(), self.timeout);
        let ended = ended.map_err(|error| match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        })?;
        if !ended.status.success() {
            let complaint = told(&String::from_utf8_lossy(&ended.stderr));
            return Err(format!(
                "the program ended with {}: {complaint}",
                ended.status
            ));
        }
        let output: Output = serde_json::from_slice(&ended.stdout)
            .map_err(|error| format!("what the program says is not {{output, …}}: {error}"))?;
        if output.output.is_some() == output.error.is_some() {
            return Err("the program has to say either `output` or `error`".to_owned());
        }
        Ok(Said {
            text: output.output,
            error: output.error,
            model: output.model,
            prompt_tokens: output.prompt_tokens,
            output_tokens: output.output_tokens,
            complete: output.complete,
            cost_usd: output
                .cost_usd
                .filter(|cost| cost.is_finite() && *cost >= 0.0),
            ..Said::default()
        })
    }
}
