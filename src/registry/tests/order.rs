use std::collections::BTreeMap;

use super::support::{NOON, World};
use crate::git::Draft;
use crate::registry::layout;
use crate::time::Timestamp;

/// Commits a file with a message of somebody's choice.
fn commit(world: &World, path: &str, message: &str) {
    let git = &world.registry.git;
    let files = BTreeMap::from([(path.to_owned(), path.as_bytes().to_vec())]);
    let tip = world.tip();
    let made = git.commit(&Draft {
        parent: Some(tip),
        files: &files,
        message,
        by: &world.by,
        at: Timestamp::from_unix(NOON),
    });
    git.advance(layout::REFERENCE, Some(tip), made.unwrap(), "test")
        .unwrap();
}

fn order(world: &World) -> Vec<String> {
    let view = world.registry.view().unwrap();
    let documents = view.documents("things").unwrap();
    let ordered = view.newest_first("things", documents).unwrap();
    let stems = ordered.into_iter().map(|document| document.stem);
    stems.collect()
}

const ONE: &str = "20260101-aaaaaaaaaaaa";
const TWO: &str = "20260101-bbbbbbbbbbbb";
const THREE: &str = "20260101-cccccccccccc";

fn path(stem: &str) -> String {
    format!("things/{stem}.json")
}

#[test]
fn what_came_in_last_is_first_whatever_messages_say() {
    // The messages tell the truth, nothing, or a lie: that something else came in with this commit.
    let tellings = [
        ["add aaaaaaaaaaaa", "add bbbbbbbbbbbb", "add cccccccccccc"],
        ["one", "two", "three"],
        ["add cccccccccccc", "add aaaaaaaaaaaa", "add bbbbbbbbbbbb"],
        ["add aaaaaaaaaaaa", "add cccccccccccc", "three"],
        [
            "one",
            "add bbbbbbbbbbbb",
            "add bbbbbbbbbbbb and cccccccccccc",
        ],
    ];
    for messages in tellings {
        let world = World::new();
        for (stem, message) in [TWO, THREE, ONE].into_iter().zip(messages) {
            commit(&world, &path(stem), message);
        }
        commit(&world, "elsewhere", "add bbbbbbbbbbbb");
        assert_eq!(order(&world), [ONE, THREE, TWO], "{messages:?}");
    }
}

#[test]
fn the_author_of_a_document_is_who_added_it_whatever_messages_say() {
    let world = World::new();
    commit(&world, &path(ONE), "nothing");
    commit(&world, &path(TWO), "add bbbbbbbbbbbb");
    commit(&world, "elsewhere", "add aaaaaaaaaaaa");
    let view = world.registry.view().unwrap();
    for (stem, digits) in [(ONE, "aaaaaaaaaaaa"), (TWO, "bbbbbbbbbbbb")] {
        let author = view.author_of(&path(stem), digits).unwrap();
        assert_eq!(author.as_deref(), Some(world.by.email()));
    }
    assert_eq!(view.author_of(&path(THREE), "cccccccccccc").unwrap(), None);
}
