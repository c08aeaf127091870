//! Python → candidates, by its grammar. Broken places are stepped over; the rest is still read.

use std::collections::{BTreeMap, BTreeSet};

use tree_sitter::{Node, Parser};

use super::candidate::{Candidate, Position, Revision, Role};
use super::{key, settings};

/// Candidates of a module, and the line of the first syntax error if there is one.
pub(super) fn candidates(text: &str) -> Result<(Vec<Candidate>, Option<usize>), String> {
    let mut parser = Parser::new();
    parser
        .set_language(&tree_sitter_python::LANGUAGE.into())
        .map_err(|e| format!("no Python grammar: {e}"))?;
    let tree = parser
        .parse(text, None)
        .ok_or("the Python parser gave up")?;
    let mut module = Module::new(text);
    module.read(tree.root_node());
    let mut found = Vec::new();
    for &(node, scope) in &module.places {
        module.place(node, scope, &mut found);
    }
    found.sort_by_key(|candidate| candidate.at);
    Ok((found, module.broken))
}

/// A module: its scopes and the places where a model may be named.
struct Module<'t> {
    text: &'t str,
    scopes: Vec<Scope<'t>>,
    places: Vec<(Node<'t>, usize)>,
    broken: Option<usize>,
}

/// Names bound in a function, a class or the module, with the expressions bound to them. A name without
/// expressions (a parameter, a loop variable) hides the outer one.
struct Scope<'t> {
    parent: Option<usize>,
    is_class: bool,
    names: BTreeMap<&'t str, Vec<Node<'t>>>,
}

impl<'t> Module<'t> {
    fn new(text: &'t str) -> Self {
        let module = Scope {
            parent: None,
            is_class: false,
            names: BTreeMap::new(),
        };
        Self {
            text,
            scopes: vec![module],
            places: Vec::new(),
            broken: None,
        }
    }

    /// Walks the whole tree once. A stack of its own: generated code nests deeper than a thread's stack.
    fn read(&mut self, root: Node<'t>) {
        let mut stack = vec![(root, 0)];
        let mut children = Vec::new();
        while let Some((node, scope)) = stack.pop() {
            if node.is_error() || node.is_missing() {
                let line = node.start_position().row + 1;
                self.broken = Some(self.broken.map_or(line, |first| first.min(line)));
            }
            let scope = self.enter(node, scope);
            self.bind(node, scope);
            if matches!(
                node.kind(),
                "call"
                    | "dictionary"
                    | "string"
                    | "assignment"
                    | "default_parameter"
                    | "typed_default_parameter"
            ) {
                self.places.push((node, scope));
            }
            children.clear();
            children.extend(node.named_children(&mut node.walk()));
            stack.extend(children.drain(..).map(|child| (child, scope)));
        }
    }

    /// The scope of a node's children.
    fn enter(&mut self, node: Node<'t>, scope: usize) -> usize {
        let is_class = match node.kind() {
            "function_definition" | "lambda" => false,
            "class_definition" => true,
            _ => return scope,
        };
        let parent = match self.scopes[scope].is_class && !is_class {
            true => self.scopes[scope].parent,
            false => Some(scope),
        };
        self.scopes.push(Scope {
            parent,
            is_class,
            names: BTreeMap::new(),
        });
        self.scopes.len() - 1
    }

    fn bind(&mut self, node: Node<'t>, scope: usize) {
        let field = |name| node.child_by_field_name(name);
        match node.kind() {
            "assignment" => {
                if let (Some(left), Some(right)) = (field("left"), field("right")) {
                    self.bind_pattern(left, right, scope);
                }
            }
            "named_expression" | "default_parameter" | "typed_default_parameter" => {
                if let (Some(name), Some(value)) = (field("name"), field("value")) {
                    self.bind_name(name, Some(value), scope);
                }
            }
            "parameters"
            | "lambda_parameters"
            | "typed_parameter"
            | "list_splat_pattern"
            | "dictionary_splat_pattern" => {
                for child in node.named_children(&mut node.walk()) {
                    self.bind_name(child, None, scope);
                }
            }
            "for_statement" | "for_in_clause" => {
                if let Some(left) = field("left") {
                    self.bind_name(left, None, scope);
                }
            }
            _ => {}
        }
    }

    fn bind_pattern(&mut self, left: Node<'t>, right: Node<'t>, scope: usize) {
        let several = matches!(left.kind(), "pattern_list" | "tuple_pattern")
            && matches!(right.kind(), "expression_list" | "tuple")
            && left.named_child_count() == right.named_child_count();
        if several {
            let values: Vec<_> = right.named_children(&mut right.walk()).collect();
            for (name, value) in left.named_children(&mut left.walk()).zip(values) {
                self.bind_name(name, Some(value), scope);
            }
        } else {
            self.bind_name(left, Some(right), scope);
        }
    }

    fn bind_name(&mut self, name: Node<'t>, value: Option<Node<'t>>, scope: usize) {
        if name.kind() == "identifier" {
            let text = self.source(name);
            self.scopes[scope]
                .names
                .entry(text)
                .or_default()
                .extend(value);
        }
    }

    /// The expressions a name stands for, in the nearest scope that binds it.
    fn lookup(&self, name: &str, scope: usize) -> &[Node<'t>] {
        let mut here = Some(scope);
        while let Some(index) = here {
            let scope = &self.scopes[index];
            if let Some(values) = scope.names.get(name) {
                return values;
            }
            here = scope.parent;
        }
        &[]
    }

    fn source(&self, node: Node<'_>) -> &'t str {
        self.text.get(node.byte_range()).unwrap_or_default()
    }
}

/// Candidates at one place.
impl<'t> Module<'t> {
    fn place(&self, node: Node<'t>, scope: usize, out: &mut Vec<Candidate>) {
        match node.kind() {
            "call" => self.call(node, scope, out),
            "dictionary" => self.dictionary(node, scope, out),
            "string" => self.address(node, out),
            _ => self.named_value(node, scope, out),
        }
    }

    /// A `retune://` address counts wherever it stands.
    fn address(&self, node: Node<'t>, out: &mut Vec<Candidate>) {
        if self.source(node).contains("retune://")
            && let Some(text) = self
                .string(node)
                .filter(|text| text.starts_with("retune://"))
        {
            out.push(self.candidate(node, text, Role::Address, Revision::Absent));
        }
    }

    /// `model = "…"`, `MODEL_NAME: str = "…"`, `self.model = "…"`, `def f(model="…")`.
    fn named_value(&self, node: Node<'t>, scope: usize, out: &mut Vec<Candidate>) {
        let name = node
            .child_by_field_name("name")
            .or(node.child_by_field_name("left"));
        let value = node
            .child_by_field_name("value")
            .or(node.child_by_field_name("right"));
        if let (Some(name), Some(value)) = (name, value)
            && let Some(role) = key::role(last_part(self.source(name)))
        {
            self.offer(value, scope, weak(role), &Revision::Absent, out);
        }
    }

    fn dictionary(&self, node: Node<'t>, scope: usize, out: &mut Vec<Candidate>) {
        let pairs = self.pairs(node);
        for (name, value) in &pairs {
            let Some(role) = key::role(name) else {
                continue;
            };
            let revision = self.pair_revision(name, &pairs, scope);
            match value.kind() {
                "list" | "tuple" => {
                    for item in value.named_children(&mut value.walk()) {
                        self.offer(item, scope, role, &revision, out);
                    }
                }
                _ => self.offer(*value, scope, role, &revision, out),
            }
        }
    }

    fn pair_revision(&self, name: &str, pairs: &[(String, Node<'t>)], scope: usize) -> Revision {
        for wanted in key::revision_keys(name) {
            if let Some((_, value)) = pairs.iter().find(|(name, _)| key::normal(name) == wanted) {
                return self.revision_value(*value, scope);
            }
        }
        Revision::Absent
    }

    fn call(&self, node: Node<'t>, scope: usize, out: &mut Vec<Candidate>) {
        let Some(call) = self.arguments(node) else {
            return;
        };
        if let Some((position, names, role)) = self.loader(&call, scope) {
            let value = call
                .keyword(names)
                .or(call.positional.get(position).copied());
            if let Some(value) = value {
                let revision = self.call_revision(&call, scope);
                self.offer_here(value, scope, role, &revision, out);
            }
        }
        for (name, value) in &call.keywords {
            if let Some(role) = key::role(name) {
                self.offer(*value, scope, weak(role), &Revision::Absent, out);
            }
        }
        if let Some((name, default)) = self.with_default(&call)
            && let Some(role) = key::role(&name)
        {
            self.offer(default, scope, weak(role), &Revision::Absent, out);
        }
    }

    /// For a call that loads a model: which argument names it, under which keywords, and how it is used.
    fn loader(
        &self,
        call: &Call<'t>,
        scope: usize,
    ) -> Option<(usize, &'static [&'static str], Role)> {
        const PRETRAINED: [&str; 6] = [
            "pretrained_model_name_or_path",
            "model_name_or_path",
            "model_name",
            "model_id",
            "repo_id",
            "model",
        ];
        match call.name {
            "from_pretrained" => {
                let class = last_part(call.receiver);
                let second = class.starts_with("Peft") && class != "PeftConfig";
                Some((usize::from(second), &PRETRAINED, Role::Hub))
            }
            "snapshot_download" | "hf_hub_download" => {
                let kinds = call
                    .keyword(&["repo_type"])
                    .map(|kind| self.literals(kind, scope));
                let is_model = kinds.is_none_or(|kinds| {
                    !kinds
                        .iter()
                        .any(|(_, kind)| matches!(kind.as_str(), "dataset" | "space"))
                });
                is_model.then_some((0, &["repo_id", "model_id"], Role::Hub))
            }
            "SentenceTransformer" | "CrossEncoder" | "SparseEncoder" => {
                Some((0, &["model_name_or_path", "model_name"], Role::Hub))
            }
            // Other libraries have a `pipeline` too.
            "pipeline" if self.text.contains("transformers") => Some((1, &["model"], Role::Hub)),
            "LLM" => Some((0, &["model"], Role::Key)),
            "from_model_id" => Some((0, &["model_id"], Role::Key)),
            name if name.starts_with("HuggingFace") && name.ends_with("Embeddings") => {
                Some((0, &["model_name"], Role::Key))
            }
            "load" if call.receiver == "retune" => Some((0, &["model"], Role::Retune)),
            _ => None,
        }
    }

    /// `add_argument("--model", default=…)`, `getenv("MODEL", …)`, `config.get("model", …)`.
    fn with_default(&self, call: &Call<'t>) -> Option<(String, Node<'t>)> {
        let name = self.string(*call.positional.first()?)?;
        let default = match call.name {
            "add_argument" => call.keyword(&["default"])?,
            "getenv" | "get" | "setdefault" | "pop" => *call.positional.get(1)?,
            _ => return None,
        };
        Some((name.trim_start_matches('-').to_owned(), default))
    }

    fn call_revision(&self, call: &Call<'t>, scope: usize) -> Revision {
        if let Some(value) = call.keyword(&["revision"]) {
            return self.revision_value(value, scope);
        }
        let inner = call.keyword(&["model_kwargs"]);
        let pairs = inner
            .filter(|value| value.kind() == "dictionary")
            .map(|value| self.pairs(value));
        if let Some((_, value)) = pairs.iter().flatten().find(|(name, _)| name == "revision") {
            return self.revision_value(*value, scope);
        }
        match call.splat {
            Some(mapping) => self.splat_revision(mapping, scope),
            None => Revision::Absent,
        }
    }

    /// `**kwargs`: what a dictionary in this file says, else out of sight.
    fn splat_revision(&self, mapping: Node<'t>, scope: usize) -> Revision {
        let bound = match mapping.kind() {
            "identifier" => self.lookup(self.source(mapping), scope),
            _ => &[],
        };
        let mut dictionaries = bound
            .iter()
            .copied()
            .chain([mapping])
            .filter(|node| node.kind() == "dictionary");
        let found = dictionaries.find_map(|node| {
            let pairs = self.pairs(node);
            pairs
                .iter()
                .find(|(name, _)| name == "revision")
                .map(|(_, value)| self.revision_value(*value, scope))
        });
        found.unwrap_or(Revision::Hidden)
    }

    fn revision_value(&self, value: Node<'t>, scope: usize) -> Revision {
        if value.kind() == "none" {
            return Revision::Absent;
        }
        let texts = self.literals(value, scope);
        // Of several possible revisions, the one that can move counts.
        let movable = texts.iter().find(|(_, text)| !Revision::is_commit(text));
        match movable.or(texts.first()) {
            Some((_, text)) => settings::of_text(text),
            None => Revision::Unknown,
        }
    }

    /// Candidates for every literal an expression can be, each where the literal stands.
    fn offer(
        &self,
        value: Node<'t>,
        scope: usize,
        role: Role,
        revision: &Revision,
        out: &mut Vec<Candidate>,
    ) {
        for (node, text) in self.literals(value, scope) {
            out.push(self.candidate(node, text, role, revision.clone()));
        }
    }

    /// Like [`offer`](Self::offer), but where the expression stands: the place that needs the revision.
    fn offer_here(
        &self,
        value: Node<'t>,
        scope: usize,
        role: Role,
        revision: &Revision,
        out: &mut Vec<Candidate>,
    ) {
        for (_, text) in self.literals(value, scope) {
            out.push(self.candidate(value, text, role, revision.clone()));
        }
    }

    fn candidate(&self, node: Node<'_>, text: String, role: Role, revision: Revision) -> Candidate {
        Candidate {
            at: Position::of(self.text, node.start_byte()),
            text,
            role,
            revision,
        }
    }
}

/// Expressions.
impl<'t> Module<'t> {
    /// The string literals that an expression can evaluate to, as far as this file tells.
    fn literals(&self, node: Node<'t>, scope: usize) -> Vec<(Node<'t>, String)> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        let mut stack = vec![node];
        while let Some(node) = stack.pop() {
            if !seen.insert(node.id()) {
                continue;
            }
            match node.kind() {
                "string" | "concatenated_string" => {
                    found.extend(self.string(node).map(|text| (node, text)));
                }
                "identifier" => stack.extend(self.lookup(self.source(node), scope)),
                "parenthesized_expression" => stack.extend(node.named_children(&mut node.walk())),
                // `a if condition else b`
                "conditional_expression" => {
                    stack.extend(node.named_children(&mut node.walk()).step_by(2));
                }
                "boolean_operator" => {
                    stack.extend(
                        ["left", "right"]
                            .iter()
                            .filter_map(|side| node.child_by_field_name(side)),
                    );
                }
                "call" => stack.extend(self.default_of(node)),
                _ => {}
            }
        }
        found.sort_by_key(|(node, _)| node.start_byte());
        found
    }

    /// What `getenv("X", default)`, `config.get("x", default)` and `Field(default)` fall back to.
    fn default_of(&self, node: Node<'t>) -> Option<Node<'t>> {
        let call = self.arguments(node)?;
        match call.name {
            "Field" | "field" => call
                .keyword(&["default"])
                .or(call.positional.first().copied()),
            _ => self.with_default(&call).map(|(_, default)| default),
        }
    }

    /// The value of a string literal without interpolation.
    fn string(&self, node: Node<'t>) -> Option<String> {
        let mut out = String::new();
        let parts: Vec<_> = match node.kind() {
            "string" => vec![node],
            "concatenated_string" => node
                .named_children(&mut node.walk())
                .filter(|part| part.kind() != "comment")
                .collect(),
            _ => return None,
        };
        for part in parts {
            for piece in part.named_children(&mut part.walk()) {
                match piece.kind() {
                    "string_content" => out.push_str(self.source(piece)),
                    "interpolation" => return None,
                    _ => {}
                }
            }
        }
        Some(out)
    }

    fn pairs(&self, dictionary: Node<'t>) -> Vec<(String, Node<'t>)> {
        dictionary
            .named_children(&mut dictionary.walk())
            .filter(|child| child.kind() == "pair")
            .filter_map(|pair| {
                let name = self.string(pair.child_by_field_name("key")?)?;
                Some((name, pair.child_by_field_name("value")?))
            })
            .collect()
    }

    fn arguments(&self, node: Node<'t>) -> Option<Call<'t>> {
        let function = node.child_by_field_name("function")?;
        let (receiver, name) = match function.kind() {
            "identifier" => ("", self.source(function)),
            "attribute" => (
                self.source(function.child_by_field_name("object")?),
                self.source(function.child_by_field_name("attribute")?),
            ),
            _ => return None,
        };
        let mut call = Call {
            receiver,
            name,
            positional: Vec::new(),
            keywords: Vec::new(),
            splat: None,
        };
        let list = node
            .child_by_field_name("arguments")
            .filter(|list| list.kind() == "argument_list")?;
        for argument in list.named_children(&mut list.walk()) {
            match argument.kind() {
                "comment" => {}
                "keyword_argument" => {
                    let name = argument
                        .child_by_field_name("name")
                        .map(|name| self.source(name));
                    call.keywords
                        .extend(name.zip(argument.child_by_field_name("value")));
                }
                "dictionary_splat" => call.splat = argument.named_child(0),
                _ => call.positional.push(argument),
            }
        }
        Some(call)
    }
}

/// A call taken apart.
struct Call<'t> {
    /// What stands before the last dot.
    receiver: &'t str,
    name: &'t str,
    positional: Vec<Node<'t>>,
    keywords: Vec<(&'t str, Node<'t>)>,
    /// The `x` of `**x`.
    splat: Option<Node<'t>>,
}

impl<'t> Call<'t> {
    /// The first of these keywords that is given.
    fn keyword(&self, names: &[&str]) -> Option<Node<'t>> {
        names.iter().find_map(|wanted| {
            let found = self.keywords.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| *value)
        })
    }
}

/// In code, an arbitrary `model=` need not be a repository; only a provider's moving name is certain.
fn weak(role: Role) -> Role {
    match role {
        Role::Key | Role::Model => Role::Model,
        other => other,
    }
}

fn last_part(dotted: &str) -> &str {
    dotted.rsplit('.').next().unwrap_or(dotted)
}
