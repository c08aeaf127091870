//! The fold of an alias's events: where it points, and whether everybody agrees.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Event, EventId, EventKind, Target};
use crate::time::Timestamp;

/// The events of one alias in order, as far as everybody agrees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain {
    /// From the first to the last agreed event.
    pub links: Vec<(EventId, Event)>,
    /// The last events of each branch, when two people moved the alias at once and nobody settled it yet.
    pub fork: Option<Vec<(EventId, Event)>>,
    /// A move, or a change of the protection, that lacks a signature that counts, and that nobody settled yet.
    pub unsigned: Option<String>,
}

/// Why events do not form a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// An event follows one that is not there.
    #[error("event {0} follows an event that is missing")]
    Detached(EventId),
    /// A protection names an event that is not there.
    #[error("event {0}, which a protection has behind it, is missing")]
    Missing(EventId),
    /// An event does not continue the one before.
    #[error("event {event} does not continue the one before: {why}")]
    Broken {
        /// The event.
        event: EventId,
        /// What does not fit.
        why: &'static str,
    },
}

impl Chain {
    /// Puts the events of one alias in order.
    ///
    /// A refused one is treated like one side of a fork: nothing follows it but what settles it.
    pub(super) fn fold(
        events: impl IntoIterator<Item = (EventId, Event)>,
        refused: &BTreeMap<EventId, String>,
    ) -> Result<Self, ChainError> {
        let graph = Graph::new(events);
        let mut chain = Self::default();
        let mut seen = BTreeSet::new();
        let mut last = None;
        loop {
            match graph.following(last) {
                [] => break,
                [id] if !refused.contains_key(id) => {
                    chain.append(&graph, *id)?;
                    last = Some(*id);
                }
                sides => {
                    let branches = graph.descendants(sides);
                    seen.extend(branches.iter().copied());
                    let Some(settled) = graph.settlement(&branches, refused) else {
                        let why = branches.iter().find_map(|id| refused.get(id));
                        chain.unsigned = why.cloned();
                        let ends = graph.ends(&branches).into_iter();
                        chain.fork = Some(ends.map(|id| (id, graph.events[&id].clone())).collect());
                        break;
                    };
                    chain.settle(&graph, settled)?;
                    last = Some(settled);
                }
            }
            seen.extend(last);
        }
        match graph.events.keys().find(|id| !seen.contains(*id)) {
            Some(stray) => Err(ChainError::Detached(*stray)),
            None => Ok(chain),
        }
    }

    /// Where the alias points, as far as everybody agrees.
    pub fn current(&self) -> Option<&Target> {
        self.links.last().map(|(_, event)| &event.to)
    }

    /// The last agreed event.
    pub fn head(&self) -> Option<EventId> {
        self.links.last().map(|(id, _)| *id)
    }

    /// Where the alias pointed at a time: after the last agreed event that is not later.
    pub fn at(&self, time: Timestamp) -> Option<&(EventId, Event)> {
        self.links.iter().rev().find(|(_, event)| event.at <= time)
    }

    /// The versions to go back to, the nearest last; the current version is not among them.
    ///
    /// A promotion adds one, a rollback takes off what it undid: going back twice goes two versions back.
    pub fn earlier(&self) -> Vec<Target> {
        let mut stack: Vec<Target> = Vec::new();
        for (_, event) in &self.links {
            match stack.iter().rposition(|target| *target == event.to) {
                Some(position) if event.kind != EventKind::Promote => stack.truncate(position + 1),
                _ if stack.last() == Some(&event.to) => {}
                _ => stack.push(event.to.clone()),
            }
        }
        stack.pop();
        if let Some(current) = self.current() {
            stack.retain(|target| target != current);
        }
        stack
    }

    /// Whether the alias ever pointed there.
    pub fn held(&self, target: &Target) -> bool {
        self.links.iter().any(|(_, event)| event.to == *target)
    }

    /// Continues with an event that only moves the alias.
    fn append(&mut self, graph: &Graph, id: EventId) -> Result<(), ChainError> {
        let event = &graph.events[&id];
        let before = self.links.last().map_or(0, |(_, before)| before.seq);
        let fault = if event.from.as_ref() != self.current() {
            Some("it starts from another version")
        } else if event.seq != before + 1 {
            Some("its number is not the next one")
        } else if event.kind == EventKind::Settle || !event.settles.is_empty() {
            Some("it settles a fork that is not there")
        } else if event.kind == EventKind::Promote && event.evidence.is_none() {
            Some("it promotes without evidence")
        } else if event.kind == EventKind::Rollback && !self.held(&event.to) {
            Some("it goes back to a version that was never there")
        } else {
            None
        };
        self.push(id, event, fault)
    }

    /// Continues after a fork with the event that settled it: back where everybody agreed, or to where
    /// one of the branches went.
    fn settle(&mut self, graph: &Graph, id: EventId) -> Result<(), ChainError> {
        let event = &graph.events[&id];
        let prev = event.prev.and_then(|prev| graph.events.get(&prev));
        let mut ends = event.settles.iter().chain(&event.prev);
        let chosen = ends.any(|end| graph.events.get(end).is_some_and(|e| e.to == event.to));
        let fault = if prev.is_none_or(|prev| event.seq != prev.seq + 1) {
            Some("its number is not the next one")
        } else if event.from.as_ref() != self.current() {
            Some("it starts from another version")
        } else if Some(&event.to) != self.current() && !chosen {
            Some("it chooses a version that no side had")
        } else {
            None
        };
        self.push(id, event, fault)
    }

    fn push(
        &mut self,
        id: EventId,
        event: &Event,
        fault: Option<&'static str>,
    ) -> Result<(), ChainError> {
        if let Some(why) = fault {
            return Err(ChainError::Broken { event: id, why });
        }
        self.links.push((id, event.clone()));
        Ok(())
    }
}

/// Events, and which follow which.
struct Graph {
    events: BTreeMap<EventId, Event>,
    following: BTreeMap<Option<EventId>, Vec<EventId>>,
}

impl Graph {
    fn new(events: impl IntoIterator<Item = (EventId, Event)>) -> Self {
        let events: BTreeMap<EventId, Event> = events.into_iter().collect();
        let mut following: BTreeMap<_, Vec<EventId>> = BTreeMap::new();
        for (id, event) in &events {
            following.entry(event.prev).or_default().push(*id);
        }
        Self { events, following }
    }

    fn following(&self, event: Option<EventId>) -> &[EventId] {
        self.following.get(&event).map_or(&[], Vec::as_slice)
    }

    /// The given events and everything that follows them.
    fn descendants(&self, of: &[EventId]) -> BTreeSet<EventId> {
        let mut found = BTreeSet::new();
        let mut open = of.to_vec();
        while let Some(id) = open.pop() {
            if found.insert(id) {
                open.extend(self.following(Some(id)));
            }
        }
        found
    }

    /// The events of some branches that no other one of them follows.
    fn ends(&self, branches: &BTreeSet<EventId>) -> BTreeSet<EventId> {
        let followed = branches.iter().filter_map(|id| self.events[id].prev);
        let followed: BTreeSet<EventId> = followed.collect();
        branches.difference(&followed).copied().collect()
    }

    /// The event that names exactly the ends of all branches, leaving out itself and what follows it.
    fn settlement(
        &self,
        branches: &BTreeSet<EventId>,
        refused: &BTreeMap<EventId, String>,
    ) -> Option<EventId> {
        branches.iter().copied().find(|id| {
            let event = &self.events[id];
            if event.kind != EventKind::Settle || refused.contains_key(id) {
                return false;
            }
            let after = self.descendants(&[*id]);
            let before: BTreeSet<EventId> = branches.difference(&after).copied().collect();
            let named: BTreeSet<EventId> =
                event.settles.iter().copied().chain(event.prev).collect();
            named == self.ends(&before)
        })
    }
}
