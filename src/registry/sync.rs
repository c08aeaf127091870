//! Keeping two clones of a registry in step, over git, without a server of our own.
//!
//! What was decided here since the clones last met is decided once more on what the other clone has, decision
//! by decision: same author, same time, same message. Documents never change and their names are digests of
//! them, so decisions about different things never meet. Two moves of one alias from the same place do, and so do
//! two decisions of one number on a suite: then the other clone was faster.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Instant;

use super::act::Act;
use super::error::RegistryError;
use super::layout;
use super::protection::Protection;
use super::root::Registry;
use super::statement::Statement;
use super::transaction::{ATTEMPTS, pause, stand_back};
use super::view::decode;
use crate::fsio::PendingDir;
use crate::git::{Advance, Change, CommitId, Limits, ObjectId, Remote, Repository};
use crate::name::{AliasName, ModelName, TenantName};

/// What is taken from another clone. Documents of a registry are smaller than 8 MiB, and lie 8 folders deep.
const LIMITS: Limits = Limits {
    file: 8 << 20,
    objects: 20_000_000,
    depth: 16,
};

/// What came of keeping two clones in step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Synced {
    /// Decisions of the other clone that are here now.
    pub received: usize,
    /// Decisions of this one that are there now.
    pub sent: usize,
    /// Decisions of this clone that gave way.
    pub yielded: Vec<Collision>,
    /// The reference under which they are kept.
    pub kept: Option<String>,
    /// Aliases that people moved in two places and merged by other means: `tenant/model:alias`.
    pub forks: Vec<String>,
}

/// The same thing, decided here and in another clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collision {
    /// The thing, such as `acme/support:production`.
    pub what: String,
    /// What was decided here.
    pub here: String,
    /// What was decided there.
    pub there: String,
    /// Whether what was decided here never gives way: it is a protection with signers.
    pub holds: bool,
}

impl fmt::Display for Collision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: here {}; there {}", self.what, self.here, self.there)
    }
}

impl Registry {
    /// Takes over what another clone decided, and hands it what was decided here: all of it, or nothing on
    /// either side.
    ///
    /// Where both decided the same thing, the other clone was faster and it is an error, unless `gives_way`: then the
    /// decisions of this clone that collide, and those that rest on them, are left out and kept under a reference of
    /// their own. A signed protection gives way to nothing: a remote that forgot it would lift it otherwise. Whatever
    /// else writes to either clone meanwhile, nothing is lost: it is looked at again.
    pub fn sync(
        &self,
        remote: &Remote,
        gives_way: bool,
        act: &Act<'_>,
    ) -> Result<Synced, RegistryError> {
        let mut why = String::new();
        for attempt in 0..ATTEMPTS {
            let began = Instant::now();
            let ours = self.view()?.commit;
            let meeting = Meeting::new(self, remote, ours)?;
            let outcome = meeting.settle(gives_way)?;
            if act.dry_run {
                return Ok(outcome.synced);
            }
            if Some(outcome.tip) != meeting.theirs {
                let git = &meeting.scratch.git;
                let (theirs, tip) = (meeting.theirs, outcome.tip);
                match remote.push(git, layout::REFERENCE, theirs, tip, &LIMITS)? {
                    Advance::Done => {}
                    Advance::Lost | Advance::Held => {
                        why = "the other clone was moved each time".to_owned();
                        stand_back(attempt, began.elapsed(), outcome.tip);
                        continue;
                    }
                }
            }
            // From here on the other clone has everything: another attempt finds it there.
            match self.adopt(&meeting, &outcome)? {
                Advance::Done => return Ok(outcome.synced),
                Advance::Lost => {
                    why = "others moved this one each time".to_owned();
                    stand_back(attempt, began.elapsed(), outcome.tip);
                }
                Advance::Held => {
                    why = self.held(self.queue()?.as_ref(), act)?;
                    pause(attempt, outcome.tip);
                }
            }
        }
        Err(RegistryError::Contended {
            path: self.path().to_owned(),
            attempts: ATTEMPTS,
            why,
        })
    }

    /// Moves this registry's branch to what both agreed on.
    fn adopt(&self, meeting: &Meeting, outcome: &Outcome) -> Result<Advance, RegistryError> {
        let (ours, tip) = (meeting.ours, outcome.tip);
        if tip == ours {
            return Ok(Advance::Done);
        }
        if let Some(kept) = &outcome.synced.kept {
            // Held or there already: the same decisions are kept under it.
            self.git.advance(kept, None, ours, "sync: gave way")?;
        }
        self.git.take(&meeting.scratch.git, tip, &LIMITS)?;
        Ok(self
            .git
            .advance(layout::REFERENCE, Some(ours), tip, "sync")?)
    }
}

/// A repository for one look at another clone; it sees all that ours has, and vanishes.
struct Scratch {
    git: Repository,
    _dir: PendingDir,
}

/// Both clones, side by side.
struct Meeting {
    remote: String,
    scratch: Scratch,
    ours: CommitId,
    /// `None`: the other one is empty.
    theirs: Option<CommitId>,
    /// The last that both had.
    base: Option<CommitId>,
}

/// What both agree on.
struct Outcome {
    tip: CommitId,
    synced: Synced,
}

impl Meeting {
    fn new(registry: &Registry, remote: &Remote, ours: CommitId) -> Result<Self, RegistryError> {
        let dir = PendingDir::beside(&registry.path().join("sync"))?;
        let scratch = registry.git.scratch(&dir.path().join("scratch"))?;
        let theirs = remote.fetch(&scratch, &registry.git, layout::REFERENCE, &LIMITS)?;
        // What git fetched lies in files that were not there when the repository was opened.
        let git = Repository::open_bare(scratch.path())?;
        let base = match theirs {
            Some(theirs) => git.common(ours, theirs)?,
            None => None,
        };
        Ok(Self {
            remote: remote.to_string(),
            scratch: Scratch { git, _dir: dir },
            ours,
            theirs,
            base,
        })
    }

    fn settle(&self, gives_way: bool) -> Result<Outcome, RegistryError> {
        let theirs = match self.theirs {
            Some(theirs) if theirs == self.ours => return Ok(self.agreed(theirs, 0, 0)),
            Some(theirs) if self.base != Some(theirs) => theirs,
            // Everything there is here.
            known => {
                self.check_sent(known)?;
                let sent = self.scratch.git.since(known, self.ours)?.len();
                return Ok(self.agreed(self.ours, 0, sent));
            }
        };
        self.check_received(theirs)?;
        let received = self.scratch.git.since(self.base, theirs)?.len();
        let replay = self.replay(theirs)?;
        let holds = replay.collisions.iter().any(|one| one.holds);
        if holds || !replay.collisions.is_empty() && !gives_way {
            return Err(RegistryError::Collided {
                remote: self.remote.clone(),
                collisions: replay.collisions,
            });
        }
        let mut outcome = self.agreed(replay.tip, received, replay.done);
        outcome.synced.forks = self.check_whole(replay.tip)?;
        outcome.synced.kept =
            (!replay.collisions.is_empty()).then(|| format!("refs/retune/yielded/{}", self.ours));
        outcome.synced.yielded = replay.collisions;
        Ok(outcome)
    }

    fn agreed(&self, tip: CommitId, received: usize, sent: usize) -> Outcome {
        Outcome {
            tip,
            synced: Synced {
                received,
                sent,
                ..Synced::default()
            },
        }
    }

    /// Refuses to hand on a move without the signature that it takes.
    fn check_sent(&self, known: Option<CommitId>) -> Result<(), RegistryError> {
        for change in self.scratch.git.changes(known, self.ours)? {
            let Some(alias) = Pointer::of(&change.path) else {
                continue;
            };
            if let Some(error @ RegistryError::Unsigned { .. }) = self.unsound(self.ours, &alias)? {
                return Err(error);
            }
        }
        Ok(())
    }

    /// What is wrong with an alias that takes signatures, at a commit.
    fn unsound(
        &self,
        tip: CommitId,
        alias: &Pointer,
    ) -> Result<Option<RegistryError>, RegistryError> {
        let dir = layout::protections(&alias.tenant, &alias.model, &alias.alias);
        if self.scratch.git.list(tip, &dir)?.is_empty() {
            return Ok(None);
        }
        let registry = self.at(tip)?;
        let tenant = registry.tenant(&alias.tenant);
        match tenant.history(&alias.model, &alias.alias) {
            Ok(chain) if chain.unsigned.is_none() => Ok(None),
            Ok(chain) => Ok(chain.forked(&alias.model, &alias.alias)),
            Err(error) if error.is_integrity() => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }

    /// Refuses another registry, and one in which something was changed or removed that never is.
    fn check_received(&self, theirs: CommitId) -> Result<(), RegistryError> {
        let git = &self.scratch.git;
        if self.base.is_none() {
            let own = git.changes(None, self.ours)?;
            if !own.iter().all(|change| is_fresh(&change.path)) {
                return Err(RegistryError::Unrelated {
                    remote: self.remote.clone(),
                });
            }
        }
        for change in git.changes(self.base, theirs)? {
            let path = change.path.escape_debug().to_string();
            if change.after.is_none() {
                return Err(self.refuted(format!("{path} was removed")));
            }
            if change.before.is_some() && Pointer::at(&change.path).is_none() {
                return Err(self.refuted(format!("{path} was changed")));
            }
            if !belongs(&change.path) {
                return Err(self.refuted(format!("{path} does not belong into a registry")));
            }
        }
        Ok(())
    }

    /// Re-reads what both agree on, of every tenant; gives the aliases that are to be settled.
    fn check_whole(&self, tip: CommitId) -> Result<Vec<String>, RegistryError> {
        let registry = self.at(tip)?;
        let mut forks = Vec::new();
        for name in registry.tenants()? {
            let found = registry.tenant(&name).verify(None)?;
            // Each fork is a fault too.
            if found.faults.len() > found.forks.len() {
                let first = found.faults.first().map(|fault| {
                    let (what, why) = (&fault.what, &fault.why);
                    format!("{what} of tenant {name}: {why}")
                });
                return Err(self.refuted(first.unwrap_or_default()));
            }
            forks.extend(found.forks);
        }
        Ok(forks)
    }

    /// The registry as it is at a commit, in the scratch repository.
    fn at(&self, tip: CommitId) -> Result<Registry, RegistryError> {
        let git = &self.scratch.git;
        let before = git.tip(layout::REFERENCE)?;
        if before != Some(tip) {
            git.advance(layout::REFERENCE, before, tip, "look")?;
        }
        Registry::open(git.path())
    }

    /// Decides once more on theirs what was decided here alone.
    fn replay(&self, theirs: CommitId) -> Result<Replay, RegistryError> {
        let mut replay = Replay {
            tip: theirs,
            done: 0,
            collisions: Vec::new(),
            given_up: BTreeSet::new(),
        };
        // Where the histories never met, everything of ours is new to them.
        for commit in self.scratch.git.since(Some(theirs), self.ours)? {
            let original = self.scratch.git.show(commit)?;
            let parent = original.parents.first().copied();
            let changes = self.scratch.git.changes(parent, commit)?;
            match self.repeat(&replay, &changes, &original.message)? {
                Repeat::Known => {}
                Repeat::Files(files) => {
                    let tip = self.scratch.git.replay(replay.tip, commit, &files)?;
                    match self.against_signatures(replay.tip, tip, &files)? {
                        Some(what) => self.give_up(&mut replay, what, &original.message)?,
                        None => {
                            replay.tip = tip;
                            replay.done += 1;
                        }
                    }
                }
                Repeat::Collides(what) => self.give_up(&mut replay, what, &original.message)?,
            }
        }
        Ok(replay)
    }

    fn give_up(&self, replay: &mut Replay, what: What, message: &str) -> Result<(), RegistryError> {
        replay.given_up.extend(trailers(message));
        let collision = self.collision(replay, what, message)?;
        replay.collisions.push(collision);
        Ok(())
    }

    /// The alias that repeating some files would leave without a signature that it takes, where it was sound before: a
    /// move here and a protection there, or the other way round.
    fn against_signatures(
        &self,
        before: CommitId,
        after: CommitId,
        files: &BTreeMap<String, ObjectId>,
    ) -> Result<Option<What>, RegistryError> {
        for path in files.keys() {
            let Some(alias) = Pointer::of(path) else {
                continue;
            };
            if self.unsound(after, &alias)?.is_none() || self.unsound(before, &alias)?.is_some() {
                continue;
            }
            let holds = is_protection(path) && self.is_signed(after, path)?;
            return Ok(Some(What::Signature { alias, holds }));
        }
        Ok(None)
    }

    fn is_signed(&self, tip: CommitId, path: &str) -> Result<bool, RegistryError> {
        let bytes = self.scratch.git.read(tip, path)?.unwrap_or_default();
        let protection: Protection = decode(Protection::SCHEMA, path, &bytes)?;
        Ok(protection.signature.is_some())
    }

    fn repeat(
        &self,
        replay: &Replay,
        changes: &[Change],
        message: &str,
    ) -> Result<Repeat, RegistryError> {
        let git = &self.scratch.git;
        let mut files = BTreeMap::new();
        let mut news = 0;
        for change in changes {
            let (Some(after), path) = (change.after, &change.path) else {
                return Err(super::view::damaged(&change.path, "it was removed"));
            };
            let there = git.object_at(replay.tip, path)?;
            if there == Some(after) {
                continue;
            }
            news += usize::from(there.is_none());
            let pointer = Pointer::at(path);
            match (there, &pointer) {
                (None, _) if change.before.is_none() => {
                    if let Some(number) = decision_number(path)
                        && self.is_taken(replay.tip, path, number)?
                    {
                        return Ok(Repeat::Collides(What::Decision(path.clone())));
                    }
                    files.insert(path.clone(), after);
                }
                (there, Some(_)) if there == change.before => {
                    files.insert(path.clone(), after);
                }
                (_, Some(pointer)) => {
                    // The move is there already, and others moved the alias on.
                    let moved = changes.iter().filter(|change| is_event(&change.path));
                    if moved.clone().count() > 0 && self.all_there(replay.tip, moved)? {
                        continue;
                    }
                    return Ok(Repeat::Collides(What::Alias(pointer.clone())));
                }
                // A document about the same thing: the one that was there first stays.
                (Some(_), None) => {}
                (None, None) => return Err(super::view::damaged(path, "it was changed")),
            }
        }
        if news == 0 && files.is_empty() {
            return Ok(Repeat::Known);
        }
        let rests_on = trailers(message).find(|trailer| replay.given_up.contains(trailer));
        if let Some(digest) = rests_on {
            return Ok(Repeat::Collides(What::Rests(digest)));
        }
        match files.is_empty() {
            true => Ok(Repeat::Known),
            false => Ok(Repeat::Files(files)),
        }
    }

    fn all_there<'c>(
        &self,
        tip: CommitId,
        mut changes: impl Iterator<Item = &'c Change>,
    ) -> Result<bool, RegistryError> {
        changes.try_fold(true, |all, change| {
            let there = self.scratch.git.object_at(tip, &change.path)?;
            Ok(all && there == change.after)
        })
    }

    /// Whether another decision of this number was made on a suite.
    fn is_taken(&self, tip: CommitId, path: &str, number: &str) -> Result<bool, RegistryError> {
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        let entries = self.scratch.git.list(tip, dir)?;
        let same = |name: &str| name.split('-').next() == Some(number);
        Ok(entries.iter().any(|entry| same(&entry.name)))
    }

    fn collision(
        &self,
        replay: &Replay,
        what: What,
        message: &str,
    ) -> Result<Collision, RegistryError> {
        let subject = message.lines().next().unwrap_or_default().to_owned();
        Ok(match what {
            What::Alias(pointer) => {
                let there = self.last_move(replay.tip, &pointer)?;
                Collision {
                    what: pointer.to_string(),
                    here: subject,
                    there,
                    holds: false,
                }
            }
            What::Signature { alias, holds } => Collision {
                there: match holds {
                    true => self.last_move(replay.tip, &alias)?,
                    false => "it takes a signature that this lacks".to_owned(),
                },
                what: alias.to_string(),
                here: subject,
                holds,
            },
            What::Decision(path) => Collision {
                what: path.split('/').skip(1).collect::<Vec<_>>().join("/"),
                here: subject,
                there: "another decision has this number".to_owned(),
                holds: false,
            },
            What::Rests(digest) => Collision {
                what: digest,
                here: subject,
                there: "what it rests on gave way".to_owned(),
                holds: false,
            },
        })
    }

    /// The last move of an alias, in words.
    fn last_move(&self, tip: CommitId, pointer: &Pointer) -> Result<String, RegistryError> {
        let registry = self.at(tip)?;
        let tenant = registry.tenant(&pointer.tenant);
        let chain = tenant.history(&pointer.model, &pointer.alias)?;
        Ok(match chain.links.last() {
            Some((_, event)) => format!(
                "{} to {} by {} at {}",
                event.kind.word(),
                event.to.version,
                event.actor,
                event.at
            ),
            None => "nothing that both agree on".to_owned(),
        })
    }

    fn refuted(&self, why: String) -> RegistryError {
        RegistryError::Refuted {
            remote: self.remote.clone(),
            why,
        }
    }
}

/// How far our decisions are repeated.
struct Replay {
    tip: CommitId,
    done: usize,
    collisions: Vec<Collision>,
    /// The digests of evidence and events that gave way.
    given_up: BTreeSet<String>,
}

/// What repeating one commit comes to.
enum Repeat {
    /// It is there already.
    Known,
    /// These files.
    Files(BTreeMap<String, ObjectId>),
    /// Something else was decided there.
    Collides(What),
}

/// What was decided twice.
enum What {
    Alias(Pointer),
    Signature { alias: Pointer, holds: bool },
    Decision(String),
    Rests(String),
}

/// The alias that a path points for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pointer {
    tenant: TenantName,
    model: ModelName,
    alias: AliasName,
}

impl Pointer {
    fn at(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').collect();
        let ["tenants", tenant, "models", model, "aliases", file] = parts[..] else {
            return None;
        };
        Self::new(tenant, model, file.strip_suffix(".yaml")?)
    }

    /// The alias that a pointer or a protection is about. Every event comes with its pointer.
    fn of(path: &str) -> Option<Self> {
        match path.split('/').collect::<Vec<_>>()[..] {
            ["tenants", tenant, "models", model, "protections", alias, _] => {
                Self::new(tenant, model, alias)
            }
            _ => Self::at(path),
        }
    }

    fn new(tenant: &str, model: &str, alias: &str) -> Option<Self> {
        Some(Self {
            tenant: tenant.parse().ok()?,
            model: model.parse().ok()?,
            alias: alias.parse().ok()?,
        })
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.tenant, self.model, self.alias)
    }
}

/// The number in the name of a decision on a suite.
fn decision_number(path: &str) -> Option<&str> {
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        ["tenants", _, "ledger", _, file] => file.split('-').next(),
        _ => None,
    }
}

fn is_protection(path: &str) -> bool {
    matches!(
        path.split('/').collect::<Vec<_>>()[..],
        ["tenants", _, "models", _, "protections", ..]
    )
}

fn is_event(path: &str) -> bool {
    matches!(
        path.split('/').collect::<Vec<_>>()[..],
        ["tenants", _, "models", _, "events", ..]
    )
}

/// What a registry has before anything is recorded in it.
fn is_fresh(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    path == layout::REGISTRY_FILE
        || path == layout::ATTRIBUTES_FILE
        || matches!(parts[..], ["tenants", _, "tenant.yaml"])
}

/// Whether a path can be one of a registry's; what lies there is looked at by the verification.
fn belongs(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/TZ".contains(c);
    let mut parts = path.split('/');
    let head = parts.next();
    let tenant = parts
        .next()
        .and_then(|name| name.parse::<TenantName>().ok());
    is_fresh(path) || (head == Some("tenants") && tenant.is_some() && path.chars().all(plain))
}

/// The digests of evidence and events in the last lines of a commit's message.
fn trailers(message: &str) -> impl Iterator<Item = String> + '_ {
    let keys = ["Retune-Evidence: ", "Retune-Event: "];
    let digest = move |line: &str| {
        keys.iter()
            .find_map(|key| line.strip_prefix(key).map(str::to_owned))
    };
    message.lines().filter_map(digest)
}
