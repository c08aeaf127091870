//! From the rows of a dataset to tokens: read once, counted, and refused where the job says so.

use std::collections::{BTreeMap, BTreeSet};

use super::encode::{Encoder, Fit, RowFault, fit};
use super::error::TrainError;
use super::job::{Job, OnOverlong, Task};
use super::plan::{Sample, SamplePart};
use super::rows::{Goals, Rows};
use super::streams::held_out_seed;
use super::tokens::{LearnedAccount, TokenAccount};
use super::trainer::Inputs;
use crate::base::{Tokenizer, TokenizerError};
use crate::dataset::{self, Example, Met, Questions, Row, SplitName};
use crate::digest::Hasher;
use crate::document::Decimal;
use crate::progress::{Event, Reporter, Unit};

/// Lines that an error about rows names.
const NAMED_LINES: usize = 5;

/// The share of rows of another split that may ask what training rows ask, where the job says nothing.
const LEAKED: f64 = 0.05;

/// Rows that a plan shows.
const SAMPLES: usize = 2;

/// How the rows of a job are read.
pub(super) struct Reading<'a> {
    pub(super) job: &'a Job,
    pub(super) inputs: &'a Inputs<'a>,
    pub(super) reporter: &'a dyn Reporter,
    pub(super) tokenizer: &'a Tokenizer,
    /// For rows that are not classified texts.
    pub(super) encoder: Option<&'a Encoder<'a>>,
}

/// Everything that is learned from and looked at.
pub(super) struct Splits {
    /// The class names, in order.
    pub(super) labels: Vec<String>,
    pub(super) train: Rows,
    pub(super) validation: Option<Rows>,
    /// Rows of the test split that ask what training rows ask.
    pub(super) test_leaked: u64,
    /// The first training rows.
    pub(super) samples: Vec<Sample>,
}

/// Which of two parts of a split is read.
#[derive(Clone, Copy)]
enum Part<'s> {
    Whole,
    Without(&'s BTreeSet<u64>),
    Only(&'s BTreeSet<u64>),
}

impl Reading<'_> {
    /// The training rows and, where it is `evaluated`, the validation rows.
    pub(super) fn splits(&self, evaluated: bool) -> Result<Splits, TrainError> {
        let held_out = self.held_out()?;
        let part = held_out.as_ref().map_or(Part::Whole, Part::Without);
        let (labels, train, samples, learned) = self.train(part)?;
        let known = |split, part| self.known(split, part, &labels, &learned).map(Some);
        let validation = match (&held_out, evaluated) {
            (Some(lines), _) => known(SplitName::Train, Part::Only(lines))?,
            (None, true) => known(SplitName::Validation, Part::Whole)?,
            (None, false) => None,
        };
        let test_leaked = self.test_leaked(&learned)?;
        Ok(Splits {
            labels,
            train,
            validation,
            test_leaked,
            samples,
        })
    }

    /// How many rows of the test split ask what training rows ask.
    fn test_leaked(&self, learned: &Questions) -> Result<u64, TrainError> {
        let split = SplitName::Test;
        if self.inputs.dataset.split(split).is_none() {
            return Ok(0);
        }
        let (mut count, mut lines) = (0, Vec::new());
        for row in self.rows(split)? {
            let row = row?;
            count += 1;
            if learned.contain(&row.example) {
                lines.push(row.line);
            }
        }
        self.check_leak(split, lines.len() as u64, count, &lines)?;
        Ok(lines.len() as u64)
    }

    fn check_leak(
        &self,
        split: SplitName,
        rows: u64,
        of: u64,
        lines: &[u64],
    ) -> Result<(), TrainError> {
        let limit = self.job.max_leaked_fraction;
        if rows as f64 > limit.map_or(LEAKED, Decimal::get) * of as f64 {
            return Err(TrainError::Leaked {
                split,
                rows,
                of,
                lines: lines.iter().take(NAMED_LINES).copied().collect(),
            });
        }
        if rows > 0 {
            self.reporter.report(&Event::Warning(&format!(
                "{rows} of {of} rows of the {split} split ask what training rows ask"
            )));
        }
        Ok(())
    }

    /// The training split, its labels in order, its first rows, and what it asks.
    fn train(
        &self,
        part: Part<'_>,
    ) -> Result<(Vec<String>, Rows, Vec<Sample>, Questions), TrainError> {
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        let split = SplitName::Train;
        let (mut rows, mut samples, learned) = self.read(split, part, None, |_, label| {
            let next = seen.len() as u32;
            Ok(*seen.entry(label.to_owned()).or_insert(next))
        })?;
        if let Goals::Classes(labels) = &mut rows.goals {
            if seen.len() < 2 {
                return Err(TrainError::Labels(seen.len()));
            }
            let mut sorted = vec![0; seen.len()];
            for (position, number) in seen.values().enumerate() {
                sorted[*number as usize] = position as u32;
            }
            for label in labels.iter_mut() {
                *label = sorted[*label as usize];
            }
        }
        samples.truncate(SAMPLES);
        Ok((seen.into_keys().collect(), rows, samples, learned))
    }

    /// Other rows; a label that is not one of `labels` is an error.
    fn known(
        &self,
        split: SplitName,
        part: Part<'_>,
        labels: &[String],
        learned: &Questions,
    ) -> Result<Rows, TrainError> {
        let (rows, _, _) = self.read(split, part, Some(learned), |line, label| {
            let found = labels.binary_search_by(|known| known.as_str().cmp(label));
            found
                .map(|number| number as u32)
                .map_err(|_| TrainError::NewLabel {
                    split,
                    line,
                    label: label.to_owned(),
                })
        })?;
        Ok(rows)
    }

    fn read(
        &self,
        split: SplitName,
        part: Part<'_>,
        learned: Option<&Questions>,
        mut number: impl FnMut(u64, &str) -> Result<u32, TrainError>,
    ) -> Result<(Rows, Vec<Sample>, Questions), TrainError> {
        let total = self.inputs.dataset.split(split).map(|split| split.rows);
        self.reporter.report(&Event::Started {
            what: "tokenising",
            total,
            unit: Unit::Items,
        });
        let mut reader = Reader::new(self);
        let mut labels = Vec::new();
        for (index, row) in self.rows(split)?.enumerate() {
            let row = row?;
            self.advance(index)?;
            let wanted = match part {
                Part::Whole => true,
                Part::Without(lines) => !lines.contains(&row.line),
                Part::Only(lines) => lines.contains(&row.line),
            };
            if !wanted {
                continue;
            }
            reader.compare(&row, learned);
            let used = reader.add(&row)?;
            if let (true, Some(label)) = (used, row.example.label()) {
                labels.push(number(row.line, label)?);
            }
        }
        self.reporter.report(&Event::Finished);
        reader.check(split)?;
        let goals = match self.job.task {
            Task::SeqCls => Goals::Classes(labels),
            Task::CausalLm => Goals::Tokens(reader.learned),
        };
        let rows = Rows {
            ids: reader.ids,
            goals,
            account: reader.account,
        };
        Ok((rows, reader.samples, reader.asked))
    }

    fn rows(&self, split: SplitName) -> Result<dataset::Rows, TrainError> {
        Ok(dataset::rows(
            self.inputs.store,
            self.inputs.dataset,
            split,
        )?)
    }

    fn advance(&self, index: usize) -> Result<(), TrainError> {
        if index == 0 || !index.is_multiple_of(256) {
            return Ok(());
        }
        self.reporter.report(&Event::Advanced {
            done: index as u64,
            note: "",
        });
        match self.reporter.interrupted() {
            true => Err(TrainError::Interrupted),
            false => Ok(()),
        }
    }

    /// The lines of the training split that are looked at in place of a validation split.
    ///
    /// Which they are depends on what the rows ask, not on where they stand: rows that ask the same are on the same side.
    /// Every class gives its share.
    fn held_out(&self) -> Result<Option<BTreeSet<u64>>, TrainError> {
        let Some(share) = self.job.val_set_size else {
            return Ok(None);
        };
        let seed = held_out_seed(self.job.seed);
        let mut classes: BTreeMap<String, BTreeMap<[u8; 32], Vec<u64>>> = BTreeMap::new();
        for row in self.rows(SplitName::Train)? {
            let Row { line, example } = row?;
            let mut hasher = Hasher::new();
            hasher.update(b"retune.train-held-out/1\n");
            hasher.update(&seed.to_le_bytes());
            hasher.update(dataset::normalise(&example.input()).as_bytes());
            let class = example.label().unwrap_or_default().to_owned();
            let asked = classes.entry(class).or_default();
            asked
                .entry(*hasher.finish().as_bytes())
                .or_default()
                .push(line);
        }
        let mut lines = BTreeSet::new();
        for asked in classes.into_values() {
            let rows: usize = asked.values().map(Vec::len).sum();
            let wanted = (share.get() * rows as f64).round() as usize;
            let groups = asked.len();
            let mut taken = 0;
            for group in asked.into_values().take(groups.saturating_sub(1)) {
                if taken >= wanted {
                    break;
                }
                taken += group.len();
                lines.extend(group);
            }
        }
        match lines.is_empty() {
            true => Err(TrainError::NothingHeldOut(share)),
            false => Ok(Some(lines)),
        }
    }
}

/// What has been read of a split.
struct Reader<'a> {
    reading: &'a Reading<'a>,
    ids: Vec<Vec<u32>>,
    learned: Vec<Vec<bool>>,
    account: TokenAccount,
    samples: Vec<Sample>,
    too_long: Vec<u64>,
    /// What the rows so far ask.
    asked: Questions,
    /// Rows that ask and answer what an earlier one does, and rows that ask what training rows do.
    repeated: Vec<u64>,
    leaked: Vec<u64>,
    /// The first rows that cannot be used, and how many there are.
    faults: Vec<(u64, RowFault)>,
    faulty: u64,
}

impl<'a> Reader<'a> {
    fn new(reading: &'a Reading<'a>) -> Self {
        let learned = reading.encoder.map(|_| LearnedAccount::default());
        Self {
            reading,
            ids: Vec::new(),
            learned: Vec::new(),
            account: TokenAccount {
                learned,
                ..TokenAccount::default()
            },
            samples: Vec::new(),
            too_long: Vec::new(),
            asked: Questions::default(),
            repeated: Vec::new(),
            leaked: Vec::new(),
            faults: Vec::new(),
            faulty: 0,
        }
    }

    /// Compares a row with those before it, and with those that are learned from.
    fn compare(&mut self, row: &Row, learned: Option<&Questions>) {
        match self.asked.meet(&row.example) {
            Met::New => {}
            Met::Again => {
                self.account.repeated += 1;
                self.repeated.push(row.line);
            }
            Met::Otherwise => self.account.conflicting += 1,
        }
        if learned.is_some_and(|learned| learned.contain(&row.example)) {
            self.account.leaked += 1;
            self.leaked.push(row.line);
        }
    }

    /// Takes a row in; `false` when it is not used.
    fn add(&mut self, row: &Row) -> Result<bool, TrainError> {
        self.account.rows += 1;
        match (&row.example, self.reading.encoder) {
            (Example::Classification { text, label, .. }, None) => {
                self.classified(row.line, text, label)
            }
            (_, Some(encoder)) => {
                self.sequence(row, encoder);
                Ok(true)
            }
            _ => Err(TrainError::Kind {
                dataset: self.reading.job.dataset.to_string(),
            }),
        }
    }

    fn classified(&mut self, line: u64, text: &str, label: &str) -> Result<bool, TrainError> {
        let encoding = self.reading.tokenizer.encode(text)?;
        self.account.longest = self.account.longest.max(encoding.length as u64);
        if encoding.truncated() {
            self.too_long.push(line);
            if self.reading.job.on_overlong != OnOverlong::TruncateRight {
                self.account.dropped += 1;
                return Ok(false);
            }
            self.account.truncated += 1;
        }
        self.keep(line, encoding.ids, None)?;
        if let Some(sample) = self.samples.iter_mut().find(|sample| sample.line == line) {
            sample.label = Some(label.to_owned());
        }
        Ok(true)
    }

    fn sequence(&mut self, row: &Row, encoder: &Encoder<'_>) {
        let limit = self.reading.job.sequence_len;
        let sequence = match encoder.sequence(&row.example) {
            Ok(sequence) => sequence,
            Err(fault) => return self.fault(row.line, fault),
        };
        self.account.longest = self.account.longest.max(sequence.ids.len() as u64);
        let sequence = match fit(sequence, limit, self.reading.job.on_overlong) {
            Fit::Whole(sequence) => sequence,
            Fit::Cut(sequence) => {
                self.too_long.push(row.line);
                self.account.truncated += 1;
                sequence
            }
            Fit::Out => {
                self.too_long.push(row.line);
                self.account.dropped += 1;
                return;
            }
        };
        if let Some(account) = &mut self.account.learned {
            let learned = sequence.learned.iter().filter(|learned| **learned);
            account.tokens += learned.count() as u64;
            account.ended += u64::from(sequence.ended);
            account.begun += u64::from(sequence.begun);
            account.parted += u64::from(sequence.parted);
        }
        if let Err(error) = self.keep(row.line, sequence.ids, Some(sequence.learned)) {
            self.fault(row.line, error.into());
        }
    }

    fn fault(&mut self, line: u64, fault: RowFault) {
        self.faulty += 1;
        if self.faults.len() < NAMED_LINES {
            self.faults.push((line, fault));
        }
    }

    fn keep(
        &mut self,
        line: u64,
        ids: Vec<u32>,
        learned: Option<Vec<bool>>,
    ) -> Result<(), TokenizerError> {
        let tokenizer = self.reading.tokenizer;
        let account = &mut self.account;
        account.kept += 1;
        account.tokens += ids.len() as u64;
        let unknown = ids.iter().filter(|id| Some(**id) == tokenizer.unknown());
        account.unknown += unknown.count() as u64;
        if self.samples.len() < SAMPLES {
            let mask = learned.clone().unwrap_or_else(|| vec![false; ids.len()]);
            self.samples.push(Sample {
                line,
                parts: parts(tokenizer, &ids, &mask)?,
                label: None,
            });
        }
        self.ids.push(ids);
        self.learned.extend(learned);
        Ok(())
    }

    /// Whether all of it may be used as the job says.
    fn check(&mut self, split: SplitName) -> Result<(), TrainError> {
        if !self.faults.is_empty() {
            return Err(TrainError::Rows {
                split,
                rows: self.faulty,
                faults: std::mem::take(&mut self.faults),
            });
        }
        let (account, job) = (&self.account, self.reading.job);
        let reading = self.reading;
        reading.check_leak(split, account.leaked, account.rows, &self.leaked)?;
        if job
            .max_duplicate_fraction
            .is_some_and(|most| account.repeated_share() > most)
        {
            return Err(TrainError::Duplicates {
                split,
                rows: account.repeated,
                of: account.rows,
                lines: self.repeated.iter().take(NAMED_LINES).copied().collect(),
            });
        }
        if account.conflicting > 0 {
            reading.reporter.report(&Event::Warning(&format!(
                "{} of {} rows of the {split} split ask what an earlier row asks, and answer otherwise",
                account.conflicting, account.rows
            )));
        }
        let limit = job.sequence_len;
        if job.on_overlong == OnOverlong::Error && account.dropped > 0 {
            let lines = self.too_long.iter().take(NAMED_LINES);
            return Err(TrainError::Overlong {
                split,
                rows: account.dropped,
                lines: lines.copied().collect(),
                limit,
                longest: account.longest,
            });
        }
        if account.dropped_share() > job.max_dropped_fraction || account.kept == 0 {
            return Err(TrainError::Dropped {
                split,
                dropped: account.dropped,
                rows: account.rows,
                limit,
            });
        }
        Ok(())
    }
}

/// A row as text, cut where learned tokens begin and end.
fn parts(
    tokenizer: &Tokenizer,
    ids: &[u32],
    learned: &[bool],
) -> Result<Vec<SamplePart>, TokenizerError> {
    let mut parts = Vec::new();
    let mut shown = 0;
    let mut start = 0;
    while start < ids.len() {
        let same = learned[start..]
            .iter()
            .take_while(|l| **l == learned[start]);
        let end = start + same.count();
        // Decoded from the beginning: a token's text can depend on those before it.
        let text = tokenizer.decode(&ids[..end])?;
        parts.push(SamplePart {
            text: text.get(shown..).unwrap_or_default().to_owned(),
            tokens: end - start,
            learned: learned[start],
        });
        shown = text.len();
        start = end;
    }
    Ok(parts)
}
