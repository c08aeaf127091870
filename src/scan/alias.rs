//! The alias database: names of hosted models that their providers move to newer snapshots.
//!
//! A name is listed when the provider documents it as a pointer. A provider's own fixed names (dated or
//! numbered snapshots) are not. Claude names without a date are fixed from generation 4.6 on, and Gemini's
//! 2.5 names have no numbered form; neither is listed.

/// A provider, its moving names and how to name a fixed one.
#[derive(Debug)]
pub(super) struct Provider {
    /// For people.
    pub(super) name: &'static str,
    /// How names of this provider's models begin.
    families: &'static [&'static str],
    /// Names that move, besides every `…-latest` of the families.
    aliases: &'static [&'static str],
    /// What to write instead.
    pub(super) fix: &'static str,
}

/// Every provider known.
static PROVIDERS: [Provider; 7] = [
    Provider {
        name: "OpenAI",
        families: &["gpt-3", "gpt-4", "gpt-5", "chatgpt-", "o1", "o3", "o4"],
        aliases: &[
            "gpt-3.5-turbo",
            "gpt-3.5-turbo-16k",
            "gpt-4",
            "gpt-4-32k",
            "gpt-4-turbo",
            "gpt-4-turbo-preview",
            "gpt-4-vision-preview",
            "gpt-4.1",
            "gpt-4.1-mini",
            "gpt-4.1-nano",
            "gpt-4.5-preview",
            "gpt-4o",
            "gpt-4o-mini",
            "gpt-4o-audio-preview",
            "gpt-4o-mini-audio-preview",
            "gpt-4o-realtime-preview",
            "gpt-4o-mini-realtime-preview",
            "gpt-4o-search-preview",
            "gpt-4o-mini-search-preview",
            "gpt-5",
            "gpt-5-mini",
            "gpt-5-nano",
            "gpt-5-pro",
            "gpt-5.1",
            "o1",
            "o1-mini",
            "o1-preview",
            "o1-pro",
            "o3",
            "o3-mini",
            "o3-pro",
            "o4-mini",
        ],
        fix: "name a dated snapshot, such as gpt-4o-2024-08-06",
    },
    Provider {
        name: "Anthropic",
        families: &["claude-"],
        aliases: &[
            "claude-3-haiku",
            "claude-3-sonnet",
            "claude-3-opus",
            "claude-3-5-haiku",
            "claude-3-5-sonnet",
            "claude-3-7-sonnet",
            "claude-3.5-haiku",
            "claude-3.5-sonnet",
            "claude-3.7-sonnet",
            "claude-sonnet-4",
            "claude-sonnet-4-0",
            "claude-sonnet-4-5",
            "claude-opus-4",
            "claude-opus-4-0",
            "claude-opus-4-1",
            "claude-opus-4-5",
            "claude-haiku-4-5",
        ],
        fix: "name a dated snapshot, such as claude-sonnet-4-5-20250929",
    },
    Provider {
        name: "Google",
        families: &["gemini-"],
        aliases: &[
            "gemini-pro",
            "gemini-pro-vision",
            "gemini-1.0-pro",
            "gemini-1.5-pro",
            "gemini-1.5-flash",
            "gemini-1.5-flash-8b",
            "gemini-2.0-flash",
            "gemini-2.0-flash-lite",
        ],
        fix: "name a numbered version, such as gemini-2.0-flash-001",
    },
    Provider {
        name: "Mistral",
        families: &[
            "mistral-",
            "ministral-",
            "codestral-",
            "magistral-",
            "devstral-",
            "pixtral-",
            "voxtral-",
        ],
        aliases: &[
            "mistral-tiny",
            "mistral-small",
            "mistral-medium",
            "mistral-large",
        ],
        fix: "name a numbered release, such as mistral-large-2411",
    },
    Provider {
        name: "Cohere",
        families: &["command-", "c4ai-aya-"],
        aliases: &[
            "command-light",
            "command-nightly",
            "command-light-nightly",
            "command-r",
            "command-r-plus",
        ],
        fix: "name a dated release, such as command-r-08-2024",
    },
    Provider {
        name: "xAI",
        families: &["grok-"],
        aliases: &[
            "grok-beta",
            "grok-2",
            "grok-2-vision",
            "grok-3",
            "grok-3-mini",
            "grok-4",
        ],
        fix: "name a dated release, such as grok-4-0709",
    },
    Provider {
        name: "DeepSeek",
        families: &["deepseek-chat", "deepseek-reasoner"],
        aliases: &["deepseek-chat", "deepseek-reasoner"],
        fix: "host the weights at a fixed revision, or allow it with the reason; the provider has no fixed names",
    },
];

/// Prefixes under which routers and client libraries list hosted models: `openai/gpt-4o`, `anthropic:messages:…`.
const ROUTES: [&str; 26] = [
    "anthropic",
    "azure",
    "azure_ai",
    "bedrock",
    "cohere",
    "databricks",
    "deepseek",
    "fireworks_ai",
    "gemini",
    "github",
    "google",
    "google_genai",
    "groq",
    "huggingface",
    "mistral",
    "mistralai",
    "models",
    "ollama",
    "openai",
    "openrouter",
    "perplexity",
    "replicate",
    "together_ai",
    "vertex",
    "vertex_ai",
    "x-ai",
];

/// Routes that are also the names of Hub organisations: `openai/whisper-large-v3` is a Hub repository.
const ALSO_ON_THE_HUB: [&str; 8] = [
    "cohere",
    "databricks",
    "google",
    "huggingface",
    "mistralai",
    "openai",
    "deepseek",
    "perplexity",
];

/// The provider that moves this name, or `None` when the name is not an alias.
pub(super) fn provider_of(text: &str) -> Option<&'static Provider> {
    let name = bare(text).to_ascii_lowercase();
    PROVIDERS.iter().find(|provider| {
        provider.aliases.contains(&name.as_str())
            || name.ends_with("-latest") && provider.is_family(&name)
    })
}

/// Whether the text names a model that a provider hosts, moving or not, so that it is no Hub repository.
pub(super) fn is_hosted(text: &str) -> bool {
    let name = bare(text).to_ascii_lowercase();
    if PROVIDERS.iter().any(|provider| provider.is_family(&name)) && !names_weights(text) {
        return true;
    }
    text.split_once(['/', ':'])
        .map(|(route, _)| route.to_ascii_lowercase())
        .is_some_and(|route| {
            ROUTES.contains(&route.as_str()) && !ALSO_ON_THE_HUB.contains(&route.as_str())
        })
}

/// Families whose names are also Hub repositories under their organisation, such as `mistralai/Mistral-7B-v0.1`.
fn names_weights(text: &str) -> bool {
    let organisation = text
        .split_once('/')
        .map(|(first, _)| first.to_ascii_lowercase());
    organisation.is_some_and(|name| {
        matches!(
            name.as_str(),
            "mistralai" | "cohereforai" | "coherelabs" | "xai-org"
        )
    }) || text
        .split_once('/')
        .is_some_and(|(first, _)| !ROUTES.contains(&first.to_ascii_lowercase().as_str()))
}

/// The name without its routes: `openrouter/openai/gpt-4o` and `openai:chat:gpt-4o` → `gpt-4o`.
fn bare(text: &str) -> &str {
    let mut rest = text;
    let mut routed = false;
    while let Some((first, tail)) = rest.split_once(['/', ':']) {
        let first = first.to_ascii_lowercase();
        let is_route = ROUTES.contains(&first.as_str()) || routed && is_endpoint(&first);
        if !is_route {
            break;
        }
        routed = true;
        rest = tail;
    }
    rest
}

/// The middle part of promptfoo's provider names.
fn is_endpoint(word: &str) -> bool {
    matches!(
        word,
        "chat" | "completion" | "messages" | "responses" | "realtime"
    )
}

impl Provider {
    fn is_family(&self, name: &str) -> bool {
        self.families.iter().any(|family| name.starts_with(family))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_names_and_fixed_names() {
        for moving in [
            "gpt-4o",
            "gpt-4o-mini",
            "gpt-4-turbo",
            "chatgpt-4o-latest",
            "openai/gpt-4o",
            "openrouter/openai/gpt-4o",
            "openai:chat:gpt-4o",
            "anthropic:messages:claude-3-5-sonnet-latest",
            "claude-3-5-sonnet",
            "claude-sonnet-4-5",
            "models/gemini-1.5-pro",
            "gemini-flash-latest",
            "mistral-large-latest",
            "command-r",
        ] {
            assert!(provider_of(moving).is_some(), "{moving}");
        }
        for fixed in [
            "gpt-4o-2024-08-06",
            "claude-3-5-sonnet-20241022",
            "anthropic.claude-3-5-sonnet-20241022-v2:0",
            "claude-sonnet-4-6",
            "gemini-2.0-flash-001",
            "mistral-large-2411",
            "text-embedding-3-small",
            "my-latest",
            "acme/gpt-4o",
            "",
        ] {
            assert!(provider_of(fixed).is_none(), "{fixed}");
        }
    }

    #[test]
    fn hosted_names_are_no_hub_repositories() {
        for hosted in [
            "openai/gpt-4o-2024-08-06",
            "anthropic/claude-x",
            "ollama/llama3",
            "azure/mine",
        ] {
            assert!(is_hosted(hosted), "{hosted}");
        }
        for repository in [
            "openai/whisper-large-v3",
            "google/gemma-2b",
            "mistralai/Mistral-7B-v0.1",
            "meta-llama/Llama-3.1-8B",
            "someone/gpt-4-distilled",
        ] {
            assert!(!is_hosted(repository), "{repository}");
        }
    }
}
