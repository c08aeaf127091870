//! The `git` program, for what libgit2 cannot read: other hashes, reftables, split and sparse indexes,
//! partial clones.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::GitError;
use super::index::{BlobId, TreeFile, is_regular};
use super::range::PushedRef;

/// Runs `git` in a directory, with the environment git itself set for a hook.
pub(super) struct Program {
    dir: PathBuf,
}

impl Program {
    pub(super) fn in_dir(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    /// Like [`Repository::staged`](super::Repository).
    pub(super) fn staged(&self) -> Result<Vec<TreeFile>, GitError> {
        let raw = self.run(&[
            "diff",
            "--cached",
            "--raw",
            "-z",
            "--no-abbrev",
            "--no-renames",
            "--no-ext-diff",
            "--diff-filter=AMT",
        ])?;
        Ok(raw_files(&raw))
    }

    pub(super) fn work_files(&self) -> Result<Vec<String>, GitError> {
        let raw = self.run(&[
            "ls-files",
            "-z",
            "--full-name",
            "--cached",
            "--others",
            "--exclude-standard",
            ":/",
        ])?;
        let files: BTreeSet<String> = fields(&raw).collect();
        Ok(files.into_iter().collect())
    }

    pub(super) fn is_staged(&self, path: &str) -> Result<bool, GitError> {
        let found = self.run(&["ls-files", "-z", "--", &format!(":(top,literal){path}")])?;
        Ok(!found.is_empty())
    }

    pub(super) fn tip_has(&self, tip: &str, path: &str) -> Result<bool, GitError> {
        Ok(self
            .run(&["cat-file", "-e", &format!("{tip}:{path}")])
            .is_ok())
    }

    pub(super) fn staged_file(&self, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        match self.is_staged(path)? {
            true => self
                .run(&["cat-file", "blob", &format!(":0:{path}")])
                .map(Some),
            false => Ok(None),
        }
    }

    pub(super) fn tip_file(&self, tip: &str, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        match self.tip_has(tip, path)? {
            true => self
                .run(&["cat-file", "blob", &format!("{tip}:{path}")])
                .map(Some),
            false => Ok(None),
        }
    }

    pub(super) fn pushed(&self, push: &PushedRef, remote: &str) -> Result<Vec<TreeFile>, GitError> {
        let tip = format!("{}^{{commit}}", push.tip);
        if self
            .run(&["rev-parse", "--verify", "--quiet", &tip])
            .is_err()
        {
            return self.whole(&push.tip);
        }
        let boundary = match self.boundary(push, remote)? {
            None => return Ok(Vec::new()),
            Some(commits) if commits.is_empty() => return self.whole(&push.tip),
            Some(commits) => commits,
        };
        let mut counts: BTreeMap<TreeFile, usize> = BTreeMap::new();
        for commit in &boundary {
            let raw = self.run(&[
                "diff-tree",
                "-r",
                "-z",
                "--raw",
                "--no-abbrev",
                "--no-renames",
                "--diff-filter=AMT",
                commit,
                &push.tip,
            ])?;
            for file in raw_files(&raw) {
                *counts.entry(file).or_default() += 1;
            }
        }
        let new = counts
            .into_iter()
            .filter(|(_, count)| *count == boundary.len());
        Ok(new.map(|(file, _)| file).collect())
    }

    /// The known commits that the new ones were built on; `None` when no commit is new.
    fn boundary(&self, push: &PushedRef, remote: &str) -> Result<Option<Vec<String>>, GitError> {
        let mut args = vec![
            "rev-list".to_owned(),
            "--boundary".to_owned(),
            push.tip.clone(),
            "--not".to_owned(),
        ];
        let tracking = self.run(&[
            "for-each-ref",
            "--format=%(objectname)",
            &format!("refs/remotes/{remote}/"),
        ])?;
        args.extend(
            String::from_utf8_lossy(&tracking)
                .lines()
                .map(str::to_owned),
        );
        if let Some(tip) = &push.remote_tip
            && self
                .run(&["cat-file", "-e", &format!("{tip}^{{commit}}")])
                .is_ok()
        {
            args.push(tip.clone());
        }
        if args.len() == 4 {
            return Ok(Some(Vec::new()));
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let listed = String::from_utf8_lossy(&self.run(&args)?).into_owned();
        if listed.is_empty() {
            return Ok(None);
        }
        Ok(Some(
            listed
                .lines()
                .filter_map(|line| line.strip_prefix('-'))
                .map(str::to_owned)
                .collect(),
        ))
    }

    fn whole(&self, tip: &str) -> Result<Vec<TreeFile>, GitError> {
        let Ok(raw) = self.run(&["ls-tree", "-r", "-z", "--full-tree", tip]) else {
            // A tag of a blob: no path, no kind, nothing to check.
            return self
                .run(&["cat-file", "-e", &format!("{tip}^{{blob}}")])
                .map(|_| Vec::new());
        };
        let entry = |line: String| {
            let (meta, path) = line.split_once('\t')?;
            let mut words = meta.split(' ');
            let mode = u32::from_str_radix(words.next()?, 8).ok()?;
            let blob = words.nth(1)?;
            is_regular(mode).then(|| TreeFile {
                path: path.to_owned(),
                blob: BlobId(blob.to_owned()),
            })
        };
        Ok(fields(&raw).filter_map(entry).collect())
    }

    pub(super) fn blobs(
        &self,
        ids: &[&BlobId],
        max: usize,
    ) -> Result<Vec<Option<Vec<u8>>>, GitError> {
        let sizes = self.feed(&["cat-file", "--batch-check=%(objectsize)"], &lines(ids))?;
        let sizes: Vec<usize> = String::from_utf8_lossy(&sizes)
            .lines()
            .filter_map(|size| size.parse().ok())
            .collect();
        if sizes.len() != ids.len() {
            return Err(self.refused("read blobs", "one is missing"));
        }
        let small: Vec<&BlobId> = ids
            .iter()
            .zip(&sizes)
            .filter(|(_, size)| **size <= max)
            .map(|(id, _)| *id)
            .collect();
        let stream = self.feed(&["cat-file", "--batch=%(objectsize)"], &lines(&small))?;
        let mut rest = stream.as_slice();
        let take = |size: usize| {
            if size > max {
                return Ok(None);
            }
            let header = rest
                .iter()
                .position(|&byte| byte == b'\n')
                .map(|end| end + 1);
            let bytes = header.and_then(|start| rest.get(start..start + size));
            let (Some(start), Some(bytes)) = (header, bytes) else {
                return Err(self.refused("read blobs", "git's answer ends early"));
            };
            rest = rest.get(start + size + 1..).unwrap_or_default();
            Ok(Some(bytes.to_vec()))
        };
        sizes.into_iter().map(take).collect()
    }

    /// The folder hooks are run from, honouring `core.hooksPath` and shared by all work trees.
    pub(super) fn hooks_dir(&self) -> Result<PathBuf, GitError> {
        let raw = self.run(&["rev-parse", "--path-format=absolute", "--git-path", "hooks"])?;
        Ok(PathBuf::from(
            String::from_utf8_lossy(&raw).trim_end_matches('\n'),
        ))
    }

    pub(super) fn work_tree(&self) -> Result<PathBuf, GitError> {
        let raw = self.run(&["rev-parse", "--path-format=absolute", "--show-toplevel"])?;
        Ok(PathBuf::from(
            String::from_utf8_lossy(&raw).trim_end_matches('\n'),
        ))
    }

    fn run(&self, args: &[&str]) -> Result<Vec<u8>, GitError> {
        self.feed(args, b"")
    }

    fn feed(&self, args: &[&str], input: &[u8]) -> Result<Vec<u8>, GitError> {
        let action = format!("run `git {}`", args.first().copied().unwrap_or_default());
        let failed = |why: String| self.refused(&action, &why);
        let mut child = Command::new("git")
            .args(args)
            .current_dir(&self.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| failed(e.to_string()))?;
        let stdin = child.stdin.take();
        let output = std::thread::scope(|scope| {
            // Written beside reading: a full pipe on both sides would wait for ever.
            scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(input)));
            child.wait_with_output()
        });
        let output = output.map_err(|e| failed(e.to_string()))?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(failed(
                String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            ))
        }
    }

    fn refused(&self, action: &str, message: &str) -> GitError {
        GitError::Refused {
            action: action.to_owned(),
            repository: self.dir.clone(),
            message: message.to_owned(),
        }
    }
}

fn lines(ids: &[&BlobId]) -> Vec<u8> {
    ids.iter()
        .flat_map(|id| [id.0.as_bytes(), b"\n"].concat())
        .collect()
}

/// The parts of a `-z` answer.
fn fields(raw: &[u8]) -> impl Iterator<Item = String> + '_ {
    raw.split(|&byte| byte == 0)
        .filter(|part| !part.is_empty())
        .map(|part| String::from_utf8_lossy(part).into_owned())
}

/// The regular files of `--raw -z`: `:<mode> <mode> <object> <object> <status>`, then the path.
fn raw_files(raw: &[u8]) -> Vec<TreeFile> {
    let mut parts = fields(raw);
    let mut files = Vec::new();
    while let (Some(meta), Some(path)) = (parts.next(), parts.next()) {
        let words: Vec<&str> = meta.split(' ').collect();
        if let [_, mode, _, blob, _] = words[..]
            && u32::from_str_radix(mode, 8).is_ok_and(is_regular)
        {
            files.push(TreeFile {
                path,
                blob: BlobId(blob.to_owned()),
            });
        }
    }
    files
}
