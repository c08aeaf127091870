//! A suite file with all its cases read, and where each of them stands.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

use super::case_file::{at, read_cases, shorten, whole};
use super::error::EvalError;
use super::generation::Generation;
use super::grader::{Grader, Rule};
use super::parts;
use super::provenance::Split;
use super::suite::{Case, Suite, Task};
use super::suite_file::Opened;
use super::suite_rows::Texts;
use crate::document::{Faults, Source};

/// Where the cases of a suite file stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Located {
    /// The suite.
    pub suite: Suite,
    /// The file of the cases.
    pub file: PathBuf,
    /// The line, from 1, of each case by its id.
    pub lines: HashMap<String, usize>,
    /// The cases to look at, where the suite has such; they and a floor have no parts of their own.
    pub dev: Option<Box<Located>>,
    /// The suite's floor, where it has one.
    pub floor: Option<Box<Located>>,
}

impl Suite {
    /// Reads `suite.yaml` and the cases it names, relative to it. Everything wrong is reported with file and line.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        Self::locate(path).map(|located| located.suite)
    }

    /// Like [`Suite::read`], with the line of every case, and with the suite's other parts.
    pub fn locate(path: &Path) -> Result<Located, EvalError> {
        let opened = Opened::read(path).map_err(EvalError::Suite)?;
        opened.located().map_err(EvalError::Suite)
    }
}

impl Located {
    /// The parts that are not compared.
    fn others(&self) -> impl Iterator<Item = &Self> {
        [&self.dev, &self.floor]
            .into_iter()
            .flatten()
            .map(AsRef::as_ref)
    }

    /// All parts, what is compared first.
    fn parts(&self) -> impl Iterator<Item = &Self> {
        [self].into_iter().chain(self.others())
    }
}

impl Opened {
    fn located(&self) -> Result<Located, Faults> {
        let gate = self.part(Split::Gate, &self.splits.gate);
        let dev = self.other(Split::Dev, self.splits.dev.as_deref());
        let floor = self.other(Split::Floor, self.splits.floor.as_deref());
        let ((gate, dev), floor) = Faults::both(Faults::both(gate, dev), floor)?;
        let located = Located { dev, floor, ..gate };
        only_once(&located)?;
        self.judged(located)
    }

    fn other(&self, split: Split, file: Option<&Path>) -> Result<Option<Box<Located>>, Faults> {
        let part = file.map(|file| self.part(split, file).map(Box::new));
        part.transpose()
    }

    /// The same with the judge that the suite names. Other parts have one too, but nothing that they are compared with.
    fn judged(&self, mut located: Located) -> Result<Located, Faults> {
        check_unused(&self.source, self.texts.as_ref(), &located)?;
        let Some(judge) = &self.judge else {
            return Ok(located);
        };
        if let Some(part) = located.others().find(|part| part.suite.is_compared()) {
            let message = "only the split `gate` is compared: `pairwise` is for its cases";
            return Err(whole(&part.file, message.to_owned()).into());
        }
        let judge = judge.read(&self.source, &self.dir, &located.suite)?;
        for part in [&mut located.dev, &mut located.floor].into_iter().flatten() {
            part.suite = part.suite.clone().judged_by(judge.alone());
        }
        located.suite = located.suite.judged_by(judge);
        Ok(located)
    }

    fn part(&self, split: Split, file: &Path) -> Result<Located, Faults> {
        let (mut cases, lines) = read_cases(file, &self.reader(split))?;
        let name = parts::name_of(&self.name, split);
        let name = name.map_err(|error| whole(file, error.to_string()))?;
        let task = match split {
            Split::Gate | Split::Dev => self.task.clone(),
            Split::Floor => once(self.task.clone()),
        };
        let task = demand(task, self.texts.as_ref(), &mut cases);
        let suite = Suite::of(name, task, cases).map_err(|why| whole(file, why))?;
        Ok(Located {
            suite,
            file: file.to_owned(),
            lines,
            dev: None,
            floor: None,
        })
    }
}

/// No case stands in two parts.
fn only_once(located: &Located) -> Result<(), Faults> {
    let mut seen: HashMap<&str, (&Path, usize)> = HashMap::new();
    let mut faults = Vec::new();
    for part in located.parts() {
        let mut twice = Vec::new();
        for (id, line) in &part.lines {
            match seen.entry(id) {
                Entry::Vacant(place) => drop(place.insert((&part.file, *line))),
                Entry::Occupied(first) => {
                    let (file, first) = first.get();
                    let message =
                        format!("the case {id:?} is already at {}:{first}", file.display());
                    twice.push(at(&part.file, *line, message));
                }
            }
        }
        twice.sort_by_key(|fault| fault.line);
        faults.extend(shorten(&part.file, twice));
    }
    Faults::check(faults)
}

/// A floor asks once; what fails is asked again by itself.
fn once(task: Task) -> Task {
    match task {
        Task::Generation(generation) => Task::Generation(Generation {
            repeats: 1,
            ..generation
        }),
        other @ (Task::Classification | Task::Scored(_)) => other,
    }
}

/// Where nothing is demanded, the target is: of the whole suite, or of the cases that demand nothing themselves.
fn demand(task: Task, texts: Option<&Texts>, cases: &mut [Case]) -> Task {
    let (Task::Generation(mut generation), Some(texts)) = (task, texts) else {
        return Task::Classification;
    };
    generation.graders.clone_from(&texts.graders);
    if !generation.graders.is_empty() {
        return Task::Generation(generation);
    }
    if cases.iter().all(|case| case.graders.is_empty()) {
        generation.graders.push(Grader::exact_match());
    } else {
        let without = cases.iter_mut().filter(|case| case.graders.is_empty());
        without.for_each(|case| case.graders.push(Grader::exact_match()));
    }
    Task::Generation(generation)
}

/// A base that embeds nothing or a judge of nothing would only make another suite of the same questions.
fn check_unused(source: &Source, texts: Option<&Texts>, suite: &Located) -> Result<(), Faults> {
    let Some(texts) = texts else { return Ok(()) };
    let uses = |is: fn(&Rule) -> bool| {
        let uses = |part: &Located| part.suite.all_graders().any(|grader| is(&grader.rule));
        suite.parts().any(uses)
    };
    let unused = |key: &str, there: bool, kind: &str, is: fn(&Rule) -> bool| {
        let unused = there && !uses(is);
        unused.then(|| source.fault(key, format!("no grader is of `type: {kind}`")))
    };
    let embeds = |rule: &Rule| matches!(rule, Rule::Similar(_));
    let judges = |rule: &Rule| matches!(rule, Rule::LlmRubric { .. } | Rule::Pairwise { .. });
    let faults = [
        unused("embeddings", texts.embeds, "similar", embeds),
        unused("judge", texts.judges, "llm-rubric` or `pairwise", judges),
    ];
    Faults::check(faults.into_iter().flatten().collect())
}
