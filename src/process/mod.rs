//! Other programs: an argument list, bytes in, bytes out, an end in time. No shell.

use std::io::{self, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

mod identity;

pub use identity::Identity;

/// How often a running program is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// What a program left behind.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

/// Why a program gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// There is no program in the list.
    #[error("no program is named")]
    Nothing,
    /// It could not be started.
    #[error("cannot start {program}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It ran for too long and was killed.
    #[error("{program} ran for more than {} s and was killed", limit.as_secs_f64())]
    Late {
        /// The program.
        program: String,
        /// How long it had.
        limit: Duration,
    },
    /// Its pipes broke.
    #[error("cannot talk to {program}")]
    Pipe {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
}

/// Runs a program, gives it `input` and waits for its end, at most for `limit`.
///
/// A program that does not read its input is none the worse for it.
pub fn run(argv: &[String], input: &[u8], limit: Duration) -> Result<Ended, ProcessError> {
    let (program, args) = argv.split_first().ok_or(ProcessError::Nothing)?;
    let pipe = |source| ProcessError::Pipe {
        program: program.clone(),
        source,
    };
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| ProcessError::Start {
            program: program.clone(),
            source,
        })?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let input = input.to_vec();
    let writer = thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
    let stdout = thread::spawn(move || drain(stdout));
    let stderr = thread::spawn(move || drain(stderr));
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(pipe)? {
            break status;
        }
        if began.elapsed() >= limit {
            // It may have ended in between; then there is nothing to kill.
            child.kill().ok();
            child.wait().map_err(pipe)?;
            return Err(ProcessError::Late {
                program: program.clone(),
                limit,
            });
        }
        thread::sleep(LOOK);
    };
    drop(writer);
    let joined = |reader: thread::JoinHandle<io::Result<Vec<u8>>>| {
        let ended = reader.join();
        ended.unwrap_or_else(|_| Err(io::Error::other("a reader ended early")))
    };
    Ok(Ended {
        status,
        stdout: joined(stdout).map_err(pipe)?,
        stderr: joined(stderr).map_err(pipe)?,
    })
}

fn drain(from: Option<impl Read>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        from.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn what_goes_in_comes_out() {
        let input = vec![b'x'; 1 << 20];
        let ended = run(&argv(&["cat"]), &input, Duration::from_secs(20)).unwrap();
        assert!(ended.status.success());
        assert_eq!(ended.stdout, input);
        // No shell: the words are the program's own.
        let ended = run(&argv(&["echo", "$HOME; ls"]), &[], Duration::from_secs(20)).unwrap();
        assert_eq!(ended.stdout, b"$HOME; ls\n");
        let ended = run(&argv(&["false"]), &input, Duration::from_secs(20)).unwrap();
        assert_eq!(ended.status.code(), Some(1));
    }

    #[test]
    fn what_takes_too_long_is_killed() {
        let began = Instant::now();
        let late = run(&argv(&["sleep", "60"]), &[], Duration::from_millis(50));
        assert!(matches!(late, Err(ProcessError::Late { .. })));
        assert!(began.elapsed() < Duration::from_secs(20));
        let absent = run(&argv(&["/nowhere/program"]), &[], Duration::from_secs(1));
        assert!(matches!(absent, Err(ProcessError::Start { .. })));
        assert!(matches!(
            run(&[], &[], Duration::from_secs(1)),
            Err(ProcessError::Nothing)
        ));
    }
}
