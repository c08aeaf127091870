//! Somebody's checkout, read only: what is staged, what is pushed, what lies in the work tree.

use std::path::{Path, PathBuf};

use super::error::GitError;
use super::index::{BlobId, TreeFile};
use super::program::Program;
use super::range::PushedRef;
use super::repository::Repository;

/// What git tells a hook in its environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookEnvironment {
    /// `GIT_DIR`.
    pub git_dir: Option<PathBuf>,
    /// `GIT_INDEX_FILE`: for `git commit -a` and `git commit PATH` not the index of the repository.
    pub index: Option<PathBuf>,
}

/// A checkout of a user's repository.
///
/// Everything is read through libgit2; where it refuses (another hash, a reftable, a split or sparse index, a
/// partial clone), the `git` program is asked.
pub struct Checkout {
    library: Result<Repository, GitError>,
    program: Program,
    index: Option<PathBuf>,
    root: PathBuf,
}

impl Checkout {
    /// Opens the checkout that `start` lies in.
    pub fn open(start: &Path, hook: &HookEnvironment) -> Result<Self, GitError> {
        let library =
            Repository::discover(start).and_then(|repository| as_told(repository, start, hook));
        let program = Program::in_dir(start);
        let root = match library.as_ref().ok().and_then(Repository::work_tree) {
            Some(root) => root.to_owned(),
            None => program.work_tree().map_err(|asked| match &library {
                Err(GitError::NotARepository(path)) => GitError::NotARepository(path.clone()),
                _ => asked,
            })?,
        };
        Ok(Self {
            program: Program::in_dir(&root),
            index: hook.index.as_ref().map(|index| start.join(index)),
            library,
            root,
        })
    }

    /// The root of the work tree.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The files whose staged bytes differ from `HEAD`.
    pub fn staged(&self) -> Result<Vec<TreeFile>, GitError> {
        self.ask(
            |library| library.staged(self.index.as_deref()),
            Program::staged,
        )
    }

    /// The files at a pushed tip whose bytes `remote` is not known to have.
    pub fn pushed(&self, push: &PushedRef, remote: &str) -> Result<Vec<TreeFile>, GitError> {
        self.ask(
            |library| library.pushed(push, remote),
            |program| program.pushed(push, remote),
        )
    }

    /// The files of the work tree that are tracked, or neither tracked nor ignored.
    pub fn work_files(&self) -> Result<Vec<String>, GitError> {
        self.ask(
            |library| library.work_files(self.index.as_deref()),
            Program::work_files,
        )
    }

    /// The bytes of files, in the same order; `None` for one of more than `max` bytes.
    pub fn read(&self, files: &[TreeFile], max: usize) -> Result<Vec<Option<Vec<u8>>>, GitError> {
        let ids: Vec<&BlobId> = files.iter().map(|file| &file.blob).collect();
        self.ask(
            |library| library.blobs(&ids, max),
            |program| program.blobs(&ids, max),
        )
    }

    /// Whether the index holds `path`, as a file or a folder.
    pub fn is_staged(&self, path: &str) -> Result<bool, GitError> {
        self.ask(
            |library| library.is_staged(self.index.as_deref(), path),
            |program| program.is_staged(path),
        )
    }

    /// Whether the tree at `tip` holds `path`, as a file or a folder.
    pub fn tip_has(&self, tip: &str, path: &str) -> Result<bool, GitError> {
        self.ask(
            |library| library.tip_has(tip, path),
            |program| program.tip_has(tip, path),
        )
    }

    /// The staged bytes of the file at `path`; `None` when it is not in the index.
    pub fn staged_file(&self, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        self.ask(
            |library| library.staged_file(self.index.as_deref(), path),
            |program| program.staged_file(path),
        )
    }

    /// The bytes of the file at `path` in the tree at `tip`; `None` when it is not there.
    pub fn tip_file(&self, tip: &str, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        self.ask(
            |library| library.tip_file(tip, path),
            |program| program.tip_file(tip, path),
        )
    }

    /// The folder that git runs hooks from. Asked of the program: hooks are of no use without it.
    pub fn hooks_dir(&self) -> Result<PathBuf, GitError> {
        self.program.hooks_dir()
    }

    fn ask<T>(
        &self,
        library: impl Fn(&Repository) -> Result<T, GitError>,
        program: impl Fn(&Program) -> Result<T, GitError>,
    ) -> Result<T, GitError> {
        match &self.library {
            Ok(repository) => {
                library(repository).or_else(|first| program(&self.program).map_err(|_| first))
            }
            Err(_) => program(&self.program),
        }
    }
}

/// Refuses a repository that is not the one git told the hook about.
fn as_told(
    repository: Repository,
    start: &Path,
    hook: &HookEnvironment,
) -> Result<Repository, GitError> {
    let same = |told: &PathBuf| {
        let told = start.join(told).canonicalize();
        let found = repository.git_dir().canonicalize();
        matches!((told, found), (Ok(told), Ok(found)) if told == found)
    };
    match &hook.git_dir {
        Some(told) if !same(told) => Err(GitError::NotARepository(told.clone())),
        _ => Ok(repository),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::fs;

    use super::*;

    /// A repository in a temporary folder, with a bare remote beside it.
    struct Place {
        dir: tempfile::TempDir,
    }

    impl Place {
        fn new(options: &[&str]) -> Self {
            let place = Self {
                dir: tempfile::tempdir().unwrap(),
            };
            fs::create_dir(place.root()).unwrap();
            let remote = place.dir.path().join("remote");
            let remote = remote.to_str().unwrap();
            place.git(&[&["init", "-q", "--bare"], options, &[remote]].concat());
            place.git(&[&["init", "-q", "-b", "main"], options].concat());
            place.git(&["remote", "add", "origin", remote]);
            place
        }

        fn root(&self) -> PathBuf {
            self.dir.path().join("work")
        }

        fn git(&self, args: &[&str]) -> String {
            let out = std::process::Command::new("git")
                .args(["-c", "user.name=a", "-c", "user.email=a@b.c"])
                .args(args)
                .current_dir(self.root())
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .env("GIT_CONFIG_SYSTEM", "/dev/null")
                .output()
                .unwrap();
            assert!(out.status.success(), "git {args:?}: {out:?}");
            String::from_utf8(out.stdout).unwrap().trim().to_owned()
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.root().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn commit(&self, files: &[(&str, &str)]) -> String {
            for (path, text) in files {
                self.write(path, text);
            }
            self.git(&["add", "-A"]);
            self.git(&["commit", "-q", "--allow-empty", "-m", "x"]);
            self.git(&["rev-parse", "HEAD"])
        }

        fn open(&self) -> Checkout {
            Checkout::open(&self.root(), &HookEnvironment::default()).unwrap()
        }

        fn push(&self, branch: &str, remote_tip: Option<&str>) -> PushedRef {
            PushedRef {
                local_ref: format!("refs/heads/{branch}"),
                tip: self.git(&["rev-parse", branch]),
                remote_ref: format!("refs/heads/{branch}"),
                remote_tip: remote_tip.map(str::to_owned),
            }
        }

        /// What both ways of reading say, which must be the same.
        fn pushed(&self, push: &PushedRef, remote: &str) -> Vec<String> {
            let checkout = self.open();
            let names =
                |files: Vec<TreeFile>| files.into_iter().map(|file| file.path).collect::<Vec<_>>();
            let library = names(
                checkout
                    .library
                    .as_ref()
                    .unwrap()
                    .pushed(push, remote)
                    .unwrap(),
            );
            assert_eq!(
                names(checkout.program.pushed(push, remote).unwrap()),
                library
            );
            library
        }
    }

    #[test]
    fn staged_bytes_are_read_not_the_work_tree() {
        for options in [
            &[][..],
            &["--object-format=sha256"],
            &["--ref-format=reftable"],
        ] {
            let place = Place::new(options);
            place.commit(&[("same", "1"), ("gone", "1"), ("changed", "1")]);
            place.write("changed", "bad");
            place.write("dir/new", "new");
            place.git(&["rm", "-q", "gone"]);
            place.git(&["add", "-A"]);
            place.write("changed", "repaired in the work tree only");
            place.write("untracked", "x");
            let checkout = place.open();
            let staged = checkout.staged().unwrap();
            let bytes = checkout.read(&staged, 3).unwrap();
            let paths: Vec<&str> = staged.iter().map(|file| file.path.as_str()).collect();
            assert_eq!(paths, ["changed", "dir/new"], "{options:?}");
            assert_eq!(bytes, [Some(b"bad".to_vec()), Some(b"new".to_vec())]);
            assert_eq!(checkout.read(&staged, 2).unwrap(), [None, None]);
            assert!(checkout.is_staged("dir").unwrap() && checkout.is_staged("dir/new").unwrap());
            assert!(!checkout.is_staged("di").unwrap() && !checkout.is_staged("gone").unwrap());
            assert_eq!(
                checkout.work_files().unwrap(),
                ["changed", "dir/new", "same", "untracked"]
            );
        }
    }

    #[test]
    fn a_first_commit_is_staged_against_nothing() {
        let place = Place::new(&[]);
        place.write("a", "1");
        place.git(&["add", "a"]);
        assert_eq!(place.open().staged().unwrap().len(), 1);
        assert_eq!(place.open().program.staged().unwrap().len(), 1);
    }

    #[test]
    fn the_index_that_git_names_is_read() {
        let place = Place::new(&[]);
        place.commit(&[("a", "1")]);
        place.git(&["read-tree", "--index-output=.git/other", "HEAD"]);
        place.write("a", "2");
        place.git(&["add", "a"]);
        let hook = HookEnvironment {
            git_dir: Some(".git".into()),
            index: Some(".git/other".into()),
        };
        let checkout = Checkout::open(&place.root(), &hook).unwrap();
        assert_eq!(checkout.staged().unwrap(), []);
        assert_eq!(place.open().staged().unwrap().len(), 1);
    }

    #[test]
    fn a_push_adds_what_the_remote_does_not_have() {
        let place = Place::new(&[]);
        let one = place.commit(&[("a", "1"), ("dir/b", "1")]);
        assert_eq!(
            place.pushed(&place.push("main", None), "origin"),
            ["a", "dir/b"],
            "nothing is known"
        );
        place.git(&["push", "-q", "origin", "main"]);
        assert_eq!(
            place.pushed(&place.push("main", Some(&one)), "origin"),
            [""; 0]
        );
        place.commit(&[("a", "2")]);
        assert_eq!(
            place.pushed(&place.push("main", Some(&one)), "origin"),
            ["a"]
        );
        place.git(&["checkout", "-q", "-b", "topic", &one]);
        place.commit(&[("c", "1")]);
        assert_eq!(
            place.pushed(&place.push("topic", None), "origin"),
            ["c"],
            "a new branch"
        );
        assert_eq!(
            place.pushed(&place.push("topic", None), "elsewhere"),
            ["a", "c", "dir/b"]
        );
        place.git(&["push", "-q", "origin", "main"]);
        place.git(&["merge", "-q", "-m", "m", "main"]);
        assert_eq!(
            place.pushed(&place.push("topic", None), "origin"),
            ["c"],
            "a merge brings nothing new"
        );
        let unknown = "1".repeat(40);
        assert_eq!(
            place.pushed(&place.push("topic", Some(&unknown)), "origin"),
            ["c"]
        );
    }

    #[test]
    fn tags_are_peeled() {
        let place = Place::new(&[]);
        place.commit(&[("a", "1")]);
        place.git(&["tag", "-a", "v1", "-m", "v1"]);
        place.git(&["tag", "tree", "HEAD^{tree}"]);
        place.git(&["tag", "blob", "HEAD:a"]);
        assert_eq!(place.pushed(&place.push("v1", None), "origin"), ["a"]);
        assert_eq!(place.pushed(&place.push("tree", None), "origin"), ["a"]);
        assert_eq!(place.pushed(&place.push("blob", None), "origin"), [""; 0]);
        let checkout = place.open();
        let tip = place.git(&["rev-parse", "v1"]);
        for (path, there) in [("a", true), ("b", false)] {
            assert_eq!(checkout.tip_has(&tip, path).unwrap(), there);
            assert_eq!(checkout.program.tip_has(&tip, path).unwrap(), there);
            let bytes = there.then(|| b"1".to_vec());
            assert_eq!(checkout.tip_file(&tip, path).unwrap(), bytes);
            assert_eq!(checkout.program.tip_file(&tip, path).unwrap(), bytes);
            assert_eq!(checkout.staged_file(path).unwrap(), bytes);
            assert_eq!(checkout.program.staged_file(path).unwrap(), bytes);
        }
    }

    #[test]
    fn outside_of_a_repository_it_says_so() {
        let dir = tempfile::tempdir().unwrap();
        match Checkout::open(dir.path(), &HookEnvironment::default()) {
            Err(GitError::NotARepository(_)) => {}
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("opened"),
        }
    }
}
