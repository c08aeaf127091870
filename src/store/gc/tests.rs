#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::*;
use crate::store::{Member, Tree};

const DAY: u64 = 24 * 3600;

struct Shop {
    _dir: tempfile::TempDir,
    store: Store,
}

impl Shop {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(&dir.path().join("store")).unwrap();
        Self { _dir: dir, store }
    }

    /// An object that was stored so many days ago.
    fn put(&self, bytes: &[u8], days: u64) -> Digest {
        let digest = self.store.put_bytes(bytes).unwrap().digest;
        age(&self.store.path_of(&digest), days);
        digest
    }

    fn sweep(&self, roots: &Roots) -> Swept {
        let at = Timestamp::from_unix(1_795_426_200);
        self.store
            .sweep::<StoreError>(at, || Ok(roots.clone()))
            .unwrap()
    }

    /// Looks like `contains`, but rescues nothing.
    fn has(&self, digest: &Digest) -> bool {
        self.store.path_of(digest).exists()
    }
}

fn age(path: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * DAY + 60);
    File::open(path).unwrap().set_modified(then).unwrap();
}

fn naming(digests: &[Digest]) -> Roots {
    let mut roots = Roots::default();
    for digest in digests {
        roots.take(format!("pin: {digest}").as_bytes());
    }
    roots
}

#[test]
fn what_is_named_stays_with_everything_that_it_names() {
    let shop = Shop::new();
    let file = shop.put(b"weights", 9);
    let tree = Tree::new(vec![crate::store::TreeEntry {
        path: "weights.bin".into(),
        size: 7,
        sha256: file,
    }])
    .unwrap();
    let tree = shop.put(tree.text().as_bytes(), 9);
    let document = format!("{{\n  \"schema\": \"retune.future/9\",\n  \"x\": \"{tree}\"\n}}\n");
    let document = shop.put(document.as_bytes(), 9);
    let garbage = shop.put(b"garbage", 9);
    let swept = shop.sweep(&naming(&[document]));
    assert_eq!(swept.plan.garbage.len(), 1);
    assert_eq!((swept.plan.live, swept.put_back), (3, 0));
    assert!([file, tree, document].iter().all(|digest| shop.has(digest)));
    assert!(!shop.has(&garbage));
}

#[test]
fn a_document_that_somebody_keeps_a_copy_of_stays() {
    let shop = Shop::new();
    let document = shop.put(b"{\n  \"schema\": \"retune.dataset/1\"\n}\n", 9);
    let mut roots = Roots::default();
    roots.take(b"{\n  \"schema\": \"retune.dataset/1\"\n}\n");
    shop.sweep(&roots);
    assert!(shop.has(&document));
}

#[test]
fn young_objects_stay_with_what_they_name() {
    let shop = Shop::new();
    let old = shop.put(b"old", 9);
    let young = shop.put(format!("{{\n  \"x\": \"{old}\"\n}}\n").as_bytes(), 0);
    let swept = shop.sweep(&Roots::default());
    assert_eq!((swept.plan.young, swept.plan.garbage.len()), (2, 0));
    assert!(shop.has(&old) && shop.has(&young));
}

#[test]
fn storing_again_makes_young_again() {
    let shop = Shop::new();
    let digest = shop.put(b"again", 9);
    shop.store.put_bytes(b"again").unwrap();
    assert_eq!(shop.sweep(&Roots::default()).plan.garbage, []);
    assert!(shop.has(&digest));
}

#[test]
fn a_lease_keeps_what_was_stored_since_it_was_taken_and_a_dead_one_ends() {
    let shop = Shop::new();
    let before = shop.put(b"before", 5);
    let since = shop.put(b"since", 2);
    let lease = shop.store.lease("dataset add").unwrap();
    let sign = fsio::list(&shop.store.root().join("leases"))
        .unwrap()
        .remove(0);
    age(&sign, 3);
    let swept = shop.sweep(&Roots::default());
    assert!(!shop.has(&before) && shop.has(&since), "{swept:?}");
    age(&sign, 8);
    shop.sweep(&Roots::default());
    assert!(!shop.has(&since), "nobody stores for more than a week");
    drop(lease);
    assert_eq!(
        fsio::list(&shop.store.root().join("leases")).unwrap().len(),
        0
    );
}

#[test]
fn whoever_asks_for_something_in_the_trash_gets_it_back() {
    let shop = Shop::new();
    let asks: [fn(&Store, &Digest) -> bool; 3] = [
        |store, digest| store.read(digest).is_ok(),
        |store, digest| store.contains(digest),
        |store, digest| store.open_verified(digest).is_ok(),
    ];
    for ask in asks {
        let digest = shop.put(b"asked for", 9);
        shop.sweep(&Roots::default());
        assert!(!shop.has(&digest));
        assert!(ask(&shop.store, &digest));
        assert!(shop.has(&digest));
    }
}

#[test]
fn what_is_recorded_or_stored_during_a_sweep_is_put_back() {
    let shop = Shop::new();
    let recorded = shop.put(b"recorded", 9);
    let stored = shop.put(b"stored", 9);
    let garbage = shop.put(b"garbage", 9);
    let asked = Cell::new(0);
    let roots = || -> Result<Roots, StoreError> {
        asked.set(asked.get() + 1);
        if asked.get() == 1 {
            return Ok(Roots::default());
        }
        // Between the two looks, somebody records one object and stores another one anew.
        shop.store.put_bytes(b"stored")?;
        Ok(naming(&[recorded]))
    };
    let swept = shop.store.sweep(Timestamp::from_unix(0), roots).unwrap();
    assert_eq!((swept.plan.garbage.len(), swept.put_back), (3, 2));
    assert!(shop.has(&recorded) && shop.has(&stored) && !shop.has(&garbage));
}

#[test]
fn an_object_touched_while_it_was_moved_is_put_back() {
    let shop = Shop::new();
    let touched = shop.put(b"touched", 9);
    let at = Timestamp::from_unix(0);
    let plan = shop.store.plan_gc(Roots::default()).unwrap();
    let moved = shop.store.move_out(&plan, at).unwrap();
    fsio::touch(&moved.folder.join(touched.hex()));
    let put_back = shop.store.put_back_needed(&moved, &Roots::default());
    assert_eq!(put_back.unwrap(), 1);
    assert!(shop.has(&touched));
}

#[test]
fn purging_waits_two_weeks_and_looks_again() {
    let shop = Shop::new();
    let needed = shop.put(b"needed after all", 9);
    let garbage = shop.put(b"garbage", 9);
    let trash = shop.sweep(&Roots::default()).trash.unwrap();
    let early = shop.store.purge(&Roots::default(), false).unwrap();
    assert_eq!((early.gone.len(), early.waiting), (0, 2));
    age(&trash, 15);
    let dry = shop.store.purge(&naming(&[needed]), true).unwrap();
    assert_eq!((dry.gone.len(), dry.put_back.len()), (1, 1));
    assert!(trash.join(garbage.hex()).exists() && !shop.has(&needed));
    let done = shop.store.purge(&naming(&[needed]), false).unwrap();
    assert_eq!(done.gone, dry.gone);
    assert!(shop.has(&needed) && !trash.exists());
}

#[test]
fn a_damaged_document_stops_it_before_anything_moves() {
    let shop = Shop::new();
    let document = shop.put(b"{\n  \"x\": 1\n}\n", 9);
    let garbage = shop.put(b"garbage", 9);
    let path = shop.store.path_of(&document);
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"{\n  \"x\": 2\n}\n").unwrap();
    let error = shop.store.plan_gc(naming(&[document])).unwrap_err();
    assert!(error.is_integrity(), "{error}");
    assert!(shop.has(&garbage));
}

#[test]
fn a_member_that_cannot_be_read_stops_it() {
    let shop = Shop::new();
    let member = Member {
        root: "/srv/a".into(),
        registry: "/srv/a/registry".into(),
    };
    shop.store.join(&member).unwrap();
    shop.store.join(&member).unwrap();
    let members = shop.store.members().unwrap();
    assert_eq!(members.len(), 1);
    assert_eq!(members[0].member, member);
    fs::write(shop.store.root().join("projects/x.json"), b"{}").unwrap();
    assert!(matches!(
        shop.store.members(),
        Err(StoreError::Member { .. })
    ));
}

#[test]
fn temporary_files_of_killed_writers_go_and_those_at_work_stay() {
    let shop = Shop::new();
    let tmp = shop.store.root().join("tmp");
    fs::write(tmp.join(".tmp-dead"), b"half").unwrap();
    age(&tmp.join(".tmp-dead"), 3);
    fs::write(tmp.join(".tmp-alive"), b"half").unwrap();
    shop.sweep(&Roots::default());
    assert!(!tmp.join(".tmp-dead").exists() && tmp.join(".tmp-alive").exists());
}

#[test]
fn only_one_collects_at_a_time() {
    let shop = Shop::new();
    let held = shop.store.alone().unwrap();
    let error = shop.store.purge(&Roots::default(), true).unwrap_err();
    assert!(error.is_race(), "{error}");
    drop(held);
    assert!(shop.store.purge(&Roots::default(), true).is_ok());
}
