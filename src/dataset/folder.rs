//! A folder of text files as a split: each file is a row, and the folder below that it lies in is its label.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use super::error::{DatasetError, RowFaults};
use super::input::{BOM, InputError, MAX_ROW};
use crate::fsio::{self, Context};

/// So many bytes of files are read at a time, or one file.
const BATCH: u64 = 4 << 20;

/// The texts below a folder, in the order of their paths.
pub(super) struct Folder {
    texts: Vec<Text>,
}

struct Text {
    path: PathBuf,
    /// Below the folder, with `/`: the row's own id.
    name: String,
    size: u64,
}

/// A row as it stands in the split's bytes.
#[derive(Serialize)]
struct Row<'t> {
    id: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'t str>,
    text: &'t str,
}

impl Folder {
    /// Finds the texts. Whatever is no text is a fault, but for hidden files.
    pub(super) fn list(root: &Path, faults: &mut RowFaults) -> Result<Self, DatasetError> {
        let mut texts = Vec::new();
        collect(root, "", &mut texts, faults)?;
        texts.sort_by(|a, b| a.name.cmp(&b.name));
        let folder = Self { texts };
        let labelled = folder.texts.iter().any(|text| text.label().is_some());
        for text in folder.texts.iter().filter(|text| text.label().is_none()) {
            if labelled {
                let message = "lies beside folders, which are labels; move it into one of them";
                faults.push(&text.path, None, message.to_owned());
            }
        }
        Ok(folder)
    }

    /// How many texts there are.
    pub(super) fn len(&self) -> u64 {
        self.texts.len() as u64
    }

    /// The file of a row, which is a line of the split.
    pub(super) fn file(&self, line: u64) -> Option<&Path> {
        let index = usize::try_from(line.checked_sub(1)?).ok()?;
        self.texts.get(index).map(|text| text.path.as_path())
    }

    /// The split's bytes: a line of JSON for each text.
    pub(super) fn lines(&self) -> impl Read + '_ {
        Lines {
            folder: self,
            next: 0,
            ready: io::Cursor::default(),
        }
    }

    /// The lines of the texts from the `next` one on, as many as are read at a time.
    fn batch(&self, next: usize) -> io::Result<Vec<Vec<u8>>> {
        let mut size = 0;
        let rest = self.texts[next..].iter().enumerate();
        let batch: Vec<_> = rest
            .take_while(|(place, text)| {
                size += text.size;
                *place == 0 || size <= BATCH
            })
            .collect();
        let line = |(place, text): (usize, &Text)| text.line((next + place) as u64 + 1);
        batch.into_par_iter().map(line).collect()
    }
}

struct Lines<'f> {
    folder: &'f Folder,
    next: usize,
    ready: io::Cursor<Vec<u8>>,
}

impl Read for Lines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.ready.read(buffer)?;
            if count > 0 || buffer.is_empty() || self.next == self.folder.texts.len() {
                return Ok(count);
            }
            let batch = self.folder.batch(self.next)?;
            self.next += batch.len();
            self.ready = io::Cursor::new(batch.concat());
        }
    }
}

impl Text {
    fn label(&self) -> Option<&str> {
        self.name.split_once('/').map(|(label, _)| label)
    }

    /// The row that stands on `line`. A mark of the byte order and the end of the last line are no part of the text.
    fn line(&self, line: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.size.min(MAX_ROW)).unwrap_or(0));
        let file = File::open(&self.path).doing("open", &self.path);
        let mut file = file.map_err(io::Error::other)?.take(MAX_ROW + 1);
        let read = file.read_to_end(&mut bytes).doing("read", &self.path);
        read.map_err(io::Error::other)?;
        let invalid = |fault| io::Error::new(io::ErrorKind::InvalidData, fault);
        if bytes.len() as u64 > MAX_ROW {
            return Err(invalid(InputError::LongText { line }));
        }
        let marked = bytes.strip_prefix(&BOM).unwrap_or(&bytes);
        let text = std::str::from_utf8(marked).map_err(|error| {
            let at = error.valid_up_to();
            invalid(InputError::NotUtf8 {
                line,
                offset: (bytes.len() - marked.len() + at) as u64,
                byte: marked.get(at).copied().unwrap_or_default(),
            })
        })?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        let (id, label) = (self.name.as_str(), self.label());
        let mut row = serde_json::to_vec(&Row { id, label, text })?;
        row.push(b'\n');
        Ok(row)
    }
}

fn collect(
    folder: &Path,
    below: &str,
    texts: &mut Vec<Text>,
    faults: &mut RowFaults,
) -> Result<(), DatasetError> {
    for path in fsio::list(folder)? {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            faults.push(&path, None, "its name is not UTF-8".to_owned());
            continue;
        };
        if name.starts_with('.') {
            continue;
        }
        let name = format!("{below}{name}");
        let found = fs::symlink_metadata(&path).doing("look at", &path)?;
        if found.is_dir() {
            collect(&path, &format!("{name}/"), texts, faults)?;
        } else if !found.is_file() {
            let message = "neither a file nor a folder; links are not followed";
            faults.push(&path, None, message.to_owned());
        } else if !name.ends_with(".txt") {
            let message = "not a .txt file; a folder is read as one text per file";
            faults.push(&path, None, message.to_owned());
        } else {
            let size = found.len();
            texts.push(Text { path, name, size });
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::super::{Options, SplitName, import};
    use super::*;
    use crate::progress::Silent;
    use crate::store::Store;

    struct Desk(tempfile::TempDir);

    impl Desk {
        fn new(files: &[(&str, &[u8])]) -> Self {
            let desk = Self(tempfile::tempdir().unwrap());
            for (name, bytes) in files {
                desk.write(name, bytes);
            }
            desk
        }

        fn write(&self, name: &str, bytes: &[u8]) {
            let path = self.0.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }

        fn import(&self, train: &str) -> Result<(String, Vec<u8>), DatasetError> {
            let store = Store::create(&self.0.path().join(".store")).unwrap();
            let files = [(SplitName::Train, self.0.path().join(train))];
            let (id, manifest) = import(&store, &files, &Options::default(), &Silent)?;
            let blob = manifest.split(SplitName::Train).unwrap().blob;
            Ok((id.to_string(), store.read(&blob).unwrap().into_inner()))
        }

        fn faults(&self, train: &str) -> String {
            let found = self.import(train);
            let Err(DatasetError::Rows(faults)) = found else {
                panic!("{found:?}");
            };
            let root = format!("{}/", self.0.path().display());
            faults.to_string().replace(&root, "")
        }
    }

    #[test]
    fn a_folder_of_labelled_folders_is_the_same_as_its_rows() {
        let desk = Desk::new(&[
            ("mail/refund/b.txt", b"\xef\xbb\xbfMoney\nback\r\n"),
            ("mail/refund/2026/a.txt", "\"Geld\" zurück".as_bytes()),
            ("mail/card/z.txt", b"lost\n\n"),
            ("mail/card/.hidden", b"\xff"),
        ]);
        let rows = "\
{\"id\":\"card/z.txt\",\"label\":\"card\",\"text\":\"lost\\n\"}
{\"id\":\"refund/2026/a.txt\",\"label\":\"refund\",\"text\":\"\\\"Geld\\\" zurück\"}
{\"id\":\"refund/b.txt\",\"label\":\"refund\",\"text\":\"Money\\nback\"}
";
        let (id, bytes) = desk.import("mail").unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), rows);
        desk.write("mail.jsonl", rows.as_bytes());
        assert_eq!(desk.import("mail.jsonl").unwrap().0, id);
    }

    #[test]
    fn files_in_no_folder_are_texts_without_labels() {
        let desk = Desk::new(&[("notes/1.txt", b"one"), ("notes/10.txt", b"ten")]);
        let (_, bytes) = desk.import("notes").unwrap();
        let rows = "{\"id\":\"1.txt\",\"text\":\"one\"}\n{\"id\":\"10.txt\",\"text\":\"ten\"}\n";
        assert_eq!(String::from_utf8(bytes).unwrap(), rows);
    }

    #[test]
    fn more_texts_than_are_read_at_a_time_come_in_order() {
        let desk = Desk::new(&[]);
        let text = "x".repeat(usize::try_from(BATCH).unwrap() / 10);
        for number in 100..150 {
            desk.write(&format!("many/{number}.txt"), text.as_bytes());
        }
        let (_, bytes) = desk.import("many").unwrap();
        let lines = String::from_utf8(bytes).unwrap();
        let ids = lines
            .lines()
            .map(|line| line[7..10].parse::<u32>().unwrap());
        assert!(ids.eq(100..150));
    }

    #[test]
    fn a_text_longer_than_a_row_is_told_wherever_it_is_cut() {
        let long = "ü".repeat(usize::try_from(MAX_ROW).unwrap() / 2 + 1);
        let desk = Desk::new(&[("notes/1.txt", b"one"), ("notes/2.txt", long.as_bytes())]);
        assert_eq!(
            desk.faults("notes"),
            "notes/2.txt: the text is longer than 16 MiB, which is the most that a row may have: split it"
        );
    }

    #[test]
    #[cfg(unix)]
    fn what_is_no_text_is_told_with_its_path() {
        let desk = Desk::new(&[
            ("mail/card/latin.txt", b"caf\xe9"),
            ("mail/card/page.html", b"<p>"),
            ("mail/loose.txt", b"loose"),
        ]);
        let link = desk.0.path().join("mail/card/link.txt");
        std::os::unix::fs::symlink("page.html", link).unwrap();
        assert_eq!(
            desk.faults("mail"),
            "\
mail/card/link.txt: neither a file nor a folder; links are not followed
mail/card/page.html: not a .txt file; a folder is read as one text per file
mail/loose.txt: lies beside folders, which are labels; move it into one of them
mail/card/latin.txt: not UTF-8: byte 0xe9 at byte offset 3; save the file as UTF-8 (for a Latin-1 file: iconv -f latin1 -t utf-8)"
        );
        let empty = Desk::new(&[("mail/card/a.txt", b"\n"), ("bare/.keep", b"")]);
        assert_eq!(
            empty.faults("mail"),
            "mail/card/a.txt: `text` is empty; fill it in or take the row out"
        );
        assert_eq!(empty.faults("bare"), "bare: the folder holds no .txt files");
    }
}
