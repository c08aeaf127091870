//! Strict YAML: every fault at once, with its line.

use std::path::{Path, PathBuf};

use saphyr::{LoadableYamlNode, MarkedYaml, YamlData};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_yaml::Value;

use super::fault::{Fault, Faults, suggest};
use crate::fsio;

/// Files larger than this are refused: nobody writes such a file by hand.
const MAX_BYTES: usize = 1 << 20;

/// More brackets than these are not opened inside each other.
const MAX_DEPTH: usize = 256;

/// The text of a YAML file that a person wrote, able to say on which line a key stands.
pub struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// Reads a file. Unreadable, oversized or not UTF-8 is a fault.
    pub fn read(path: &Path) -> Result<Self, Faults> {
        let whole = |message: String| Fault {
            file: path.to_owned(),
            line: None,
            key: String::new(),
            message,
        };
        let bytes = fsio::read(path).map_err(|e| whole(format!("cannot read: {}", e.source)))?;
        if bytes.len() > MAX_BYTES {
            return Err(whole(format!(
                "{} bytes is more than the {MAX_BYTES} allowed",
                bytes.len()
            ))
            .into());
        }
        let text = String::from_utf8(bytes).map_err(|e| {
            whole(format!(
                "not UTF-8 at byte {}",
                e.utf8_error().valid_up_to()
            ))
        })?;
        Ok(Self::new(path, text))
    }

    /// Text that was read from `path` by other means, such as from a git object.
    pub fn new(path: &Path, text: String) -> Self {
        Self {
            path: path.to_owned(),
            text,
        }
    }

    /// Where the text came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text itself.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Parses into `T`, which derives `Deserialize` with `deny_unknown_fields` at every level.
    ///
    /// All unknown keys are reported together, each with a did-you-mean; a wrong type or a missing key is
    /// reported with them. Duplicate keys and more than one YAML document are faults.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Faults> {
        if nests_too_deep(&self.text) {
            let message = format!("more than {MAX_DEPTH} lists and maps lie inside each other");
            return Err(self.fault_without_line(message).into());
        }
        let mut value: Value = serde_yaml::from_str(&self.text).map_err(|e| Fault {
            file: self.path.clone(),
            line: e.location().map(|l| l.line()),
            key: String::new(),
            message: format!("not valid YAML: {}", without_location(&e.to_string())),
        })?;
        let mut faults = Vec::new();
        loop {
            let error = match serde_path_to_error::deserialize(value.clone()) {
                Ok(parsed) => return Faults::check(faults).map(|()| parsed),
                Err(error) => error,
            };
            let path = error.path().to_string();
            let message = error.inner().to_string();
            match UnknownKey::read(&message, &path) {
                Some(unknown) if unknown.remove(&mut value) => {
                    faults.push(self.fault(&unknown.path(), unknown.say()))
                }
                _ => {
                    faults
                        .push(self.fault(path.trim_start_matches('.'), without_location(&message)));
                    return Faults::check(faults)
                        .and_then(|()| Err(self.fault("", "cannot be read").into()));
                }
            }
        }
    }

    /// A fault at a key path such as `lora.rank` or `datasets[0].path`, with its line looked up.
    pub fn fault(&self, key: &str, message: impl Into<String>) -> Fault {
        let key = if key == "." { "" } else { key };
        Fault {
            file: self.path.clone(),
            line: self.line_of(key),
            key: key.to_owned(),
            message: message.into(),
        }
    }

    fn fault_without_line(&self, message: String) -> Fault {
        Fault {
            file: self.path.clone(),
            line: None,
            key: String::new(),
            message,
        }
    }

    /// The line, from 1, on which a key path stands; the nearest parent's where the key is absent.
    pub fn line_of(&self, key: &str) -> Option<usize> {
        let documents = MarkedYaml::load_from_str(&self.text).ok()?;
        let mut node = documents.first()?;
        let mut line = None;
        for part in key
            .split(['.', '['])
            .map(|part| part.trim_end_matches(']'))
            .filter(|part| !part.is_empty())
        {
            match &node.data {
                YamlData::Mapping(map) => {
                    let Some((name, child)) = map.iter().find(|(name, _)| is_text(name, part))
                    else {
                        break;
                    };
                    line = Some(name.span.start.line());
                    node = child;
                }
                YamlData::Sequence(items) => {
                    let Some(child) = part
                        .parse::<usize>()
                        .ok()
                        .and_then(|index| items.get(index))
                    else {
                        break;
                    };
                    line = Some(child.span.start.line());
                    node = child;
                }
                _ => break,
            }
        }
        line
    }
}

/// Whether brackets lie deeper inside each other than anybody writes them. The parser's time grows with the square of it.
fn nests_too_deep(text: &str) -> bool {
    let mut depth = 0_usize;
    text.bytes().any(|byte| {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > MAX_DEPTH
    })
}

fn is_text(node: &MarkedYaml<'_>, text: &str) -> bool {
    matches!(&node.data, YamlData::Value(saphyr::Scalar::String(name)) if name == text)
}

/// An "unknown field" error of serde, taken apart.
struct UnknownKey {
    parent: String,
    key: String,
    expected: Vec<String>,
}

impl UnknownKey {
    /// Reads ``unknown field `x`, expected one of `a`, `b` `` (or `unknown field`, or `there are no fields`).
    fn read(message: &str, path: &str) -> Option<Self> {
        let rest = message.split_once("unknown field `")?.1;
        let (key, rest) = rest.split_once('`')?;
        let expected = rest
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        let parent = path
            .trim_start_matches('.')
            .trim_end_matches('?')
            .trim_end_matches('.');
        let parent = parent
            .strip_suffix(key)
            .map_or(parent, |p| p.trim_end_matches('.'));
        Some(Self {
            parent: parent.to_owned(),
            key: key.to_owned(),
            expected,
        })
    }

    fn path(&self) -> String {
        if self.parent.is_empty() {
            self.key.clone()
        } else {
            format!("{}.{}", self.parent, self.key)
        }
    }

    fn say(&self) -> String {
        match suggest(&self.key, self.expected.iter().map(String::as_str)) {
            Some(meant) => format!("unknown key; did you mean `{meant}`?"),
            None => format!("unknown key; known here: {}", self.expected.join(", ")),
        }
    }

    /// Takes the key out of the value, so that the next fault shows. `false` when it is not there.
    fn remove(&self, value: &mut Value) -> bool {
        let mut node = value;
        for part in self
            .parent
            .split(['.', '['])
            .map(|part| part.trim_end_matches(']'))
            .filter(|part| !part.is_empty())
        {
            let next = match node {
                Value::Sequence(items) => part
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get_mut(index)),
                other => other.get_mut(part),
            };
            match next {
                Some(child) => node = child,
                None => return false,
            }
        }
        node.as_mapping_mut()
            .is_some_and(|map| map.remove(self.key.as_str()).is_some())
    }
}

fn without_location(message: &str) -> String {
    match message.rfind(" at line ") {
        Some(at) => message[..at].to_owned(),
        None => message.to_owned(),
    }
}

/// A text inside one of our files that is YAML or JSON itself, such as a schema.
pub fn yaml_value(text: &str) -> Result<serde_json::Value, String> {
    serde_yaml::from_str(text).map_err(|error| error.to_string())
}

/// Writes a value as YAML, for files that people go on to edit.
pub fn to_yaml<T: Serialize>(value: &T) -> Result<String, serde_yaml::Error> {
    serde_yaml::to_string(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Job {
        name: String,
        lora: Lora,
        #[serde(default)]
        datasets: Vec<Part>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Lora {
        rank: usize,
        #[serde(default)]
        alpha: Option<f64>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Part {
        path: String,
    }

    fn faults(text: &str) -> Vec<String> {
        let source = Source::new(Path::new("job.yaml"), text.to_owned());
        match source.parse::<Job>() {
            Ok(job) => vec![format!("parsed {job:?}")],
            Err(faults) => faults.as_slice().iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn reports_every_unknown_key_with_line_and_suggestion() {
        let text =
            "name: x\nnmae: y\nlora:\n  rank: 8\n  aplha: 16\ndatasets:\n  - path: a\n    pth: b\n";
        assert_eq!(
            faults(text),
            [
                "job.yaml:2: nmae: unknown key; did you mean `name`?",
                "job.yaml:5: lora.aplha: unknown key; did you mean `alpha`?",
                "job.yaml:8: datasets[0].pth: unknown key; did you mean `path`?",
            ]
        );
    }

    #[test]
    fn reports_wrong_types_and_missing_keys() {
        let text = "name: x\nlora:\n  rank: eight\n";
        assert_eq!(
            faults(text),
            ["job.yaml:3: lora.rank: invalid type: string \"eight\", expected usize"]
        );
        assert_eq!(faults("name: x\n"), ["job.yaml: missing field `lora`"]);
    }

    #[test]
    fn bombs_end_quickly() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..30 {
            let below = format!("*a{}, ", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        let deep = format!("name: {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
        let began = std::time::Instant::now();
        for text in [
            bomb,
            deep,
            "name: *nobody\n".to_owned(),
            "&a name: *a\n".to_owned(),
        ] {
            let found = faults(&text);
            assert!(found[0].starts_with("job.yaml"), "{found:?}");
        }
        assert!(began.elapsed().as_secs() < 5);
    }

    #[test]
    fn refuses_duplicate_keys_and_broken_yaml() {
        assert!(faults("name: x\nname: y\nlora: {rank: 1}\n")[0].contains("duplicate"));
        assert!(faults("name: [x\n")[0].starts_with("job.yaml:"));
    }
}
