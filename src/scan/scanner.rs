//! Files in, report out.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::allow::{self, Allow};
use super::candidate::Candidate;
use super::file::{File, Kind};
use super::finding::{Allowed, Finding, NotChecked, Report};
use super::{env, json, notebook, python, rule, settings, toml, yaml};

/// Checks files, in parallel. `is_local` says whether a path, from the root of what is scanned, exists there
/// beside the file: what names an existing folder is no repository of the Hub.
pub fn scan(files: &[File], is_local: &dyn Fn(&File, &str) -> bool) -> Report {
    let read: Vec<Option<Reading>> = files.par_iter().map(read).collect();
    let mut report = Report::default();
    for (file, reading) in files.iter().zip(read) {
        match reading {
            Some(reading) => report.add(file, &reading, &|path| is_local(file, path)),
            None => report.skipped += 1,
        }
    }
    report.findings.sort();
    report
        .not_checked
        .sort_by(|a, b| (&a.path, &a.tip).cmp(&(&b.path, &b.tip)));
    report
}

/// What was read from a file.
#[derive(Default)]
struct Reading {
    candidates: Vec<Candidate>,
    allows: Vec<Allow>,
    faults: Vec<String>,
}

/// `None` for what nobody writes by hand: binary, huge, or of no kind that is checked.
fn read(file: &File) -> Option<Reading> {
    let kind = Kind::of(&file.path)?;
    let bytes = file.bytes.as_deref()?;
    if bytes.contains(&0) {
        return None;
    }
    let mut reading = Reading::default();
    if !may_name_a_model(bytes) {
        return Some(reading);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => reading.extract(kind, text),
        Err(e) => reading
            .faults
            .push(format!("not UTF-8 at byte {}", e.valid_up_to())),
    }
    Some(reading)
}

/// Whether any word stands in the file that every candidate needs. Most files have none and are not parsed.
fn may_name_a_model(bytes: &[u8]) -> bool {
    const WORDS: [&[u8]; 10] = [
        b"model",
        b"provider",
        b"retune:",
        b"retune.",
        b"from_pretrained",
        b"_download",
        b"transformer",
        b"encoder",
        b"llm(",
        b"pipeline",
    ];
    bytes.iter().enumerate().any(|(at, byte)| {
        let first = byte.to_ascii_lowercase();
        WORDS.iter().any(|word| {
            first == word[0]
                && bytes
                    .get(at..at + word.len())
                    .is_some_and(|here| here.eq_ignore_ascii_case(word))
        })
    })
}

impl Reading {
    fn extract(&mut self, kind: Kind, text: &str) {
        (self.allows, self.faults) = match kind {
            // JSON has no comments: what looks like one is a string.
            Kind::Json | Kind::Notebook => Default::default(),
            _ => allow::comments(text),
        };
        let trees = match kind {
            Kind::Python => return self.python(text),
            Kind::Notebook => return self.notebook(text),
            Kind::Yaml => yaml::parse(text),
            Kind::Json => json::parse(text).map(|node| vec![node]),
            Kind::Toml => toml::parse(text).map(|node| vec![node]),
            Kind::Env => Ok(vec![env::parse(text)]),
        };
        match trees {
            Ok(trees) => trees
                .iter()
                .for_each(|tree| settings::candidates(tree, &mut self.candidates)),
            Err(fault) => self.faults.push(fault),
        }
    }

    fn python(&mut self, text: &str) {
        match python::candidates(text) {
            Ok((candidates, broken)) => {
                self.candidates = candidates;
                self.faults.extend(broken.map(|line| {
                    format!("line {line}: not valid Python; what the parser could read was checked")
                }));
            }
            Err(fault) => self.faults.push(fault),
        }
    }

    fn notebook(&mut self, text: &str) {
        match notebook::candidates(text) {
            Ok((candidates, allows, faults)) => {
                self.candidates = candidates;
                self.allows = allows;
                self.faults = faults;
            }
            Err(fault) => self.faults.push(fault),
        }
    }

    fn allowed(&self, finding: &Finding) -> Option<&Allow> {
        self.allows.iter().find(|allow| {
            allow.applies_to == finding.at.line && allow.rules.contains(&finding.rule)
        })
    }
}

impl Report {
    fn add(&mut self, file: &File, reading: &Reading, is_local: &dyn Fn(&str) -> bool) {
        self.checked += 1;
        let mut seen = BTreeSet::new();
        for candidate in &reading.candidates {
            let Some(broken) = rule::judge(candidate, is_local) else {
                continue;
            };
            if !seen.insert((candidate.at, broken.rule, candidate.text.clone())) {
                continue;
            }
            let finding = Finding {
                path: file.path.clone(),
                tip: file.tip.clone(),
                at: candidate.at,
                rule: broken.rule,
                found: candidate.text.clone(),
                why: broken.why,
                fix: broken.fix,
            };
            match reading.allowed(&finding) {
                Some(allow) => self.allowed.push(Allowed {
                    reason: allow.reason.clone(),
                    finding,
                }),
                None => self.findings.push(finding),
            }
        }
        self.not_checked
            .extend(reading.faults.iter().map(|why| NotChecked {
                path: file.path.clone(),
                tip: file.tip.clone(),
                why: why.clone(),
            }));
    }
}
