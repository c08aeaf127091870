//! Processes told apart for good: numbers come again, a number and a time of start do not.

use std::fmt;
use std::fs;
use std::str::FromStr;

/// A process of this machine, as `BOOT/NAMESPACE/NUMBER/START`. Only Linux tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The machine since it was started, and the processes that see each other's numbers there.
    surroundings: String,
    number: u32,
    /// Clock ticks after the machine was started.
    start: String,
}

/// Not the text of an [`Identity`].
#[derive(Debug, thiserror::Error)]
#[error("not a process: {0}")]
pub struct NotAProcess(String);

impl Identity {
    /// This process, where the system tells.
    pub fn own() -> Option<Self> {
        let number = std::process::id();
        Some(Self {
            surroundings: surroundings()?,
            number,
            start: start_of_running(number)?,
        })
    }

    /// Whether it has ended. Of a process elsewhere this is not known: no.
    pub fn has_ended(&self) -> bool {
        surroundings().is_some_and(|here| here == self.surroundings)
            && start_of_running(self.number).is_none_or(|start| start != self.start)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.surroundings, self.number, self.start)
    }
}

impl FromStr for Identity {
    type Err = NotAProcess;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = || {
            let (rest, start) = text.rsplit_once('/')?;
            let (surroundings, number) = rest.rsplit_once('/')?;
            Some(Self {
                surroundings: surroundings.to_owned(),
                number: number.parse().ok()?,
                start: start.to_owned(),
            })
        };
        parsed().ok_or_else(|| NotAProcess(text.to_owned()))
    }
}

fn surroundings() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}/{}", boot.trim(), namespace.to_str()?))
}

/// The time of start of a process that is there and not yet dead (proc(5): fields 3 and 22 of `stat`).
fn start_of_running(number: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The name before the last parenthesis may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?;
    (!matches!(state, "Z" | "X")).then(|| start.to_owned())
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_has_ended_when_it_is_killed_and_not_before() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let identity = Identity {
            number: child.id(),
            start: start_of_running(child.id()).unwrap(),
            ..Identity::own().unwrap()
        };
        assert!(!identity.has_ended());
        assert_eq!(identity.to_string().parse::<Identity>().unwrap(), identity);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(identity.has_ended());
        assert!(!Identity::own().unwrap().has_ended());
    }

    #[test]
    fn the_number_of_another_process_or_machine_says_nothing() {
        let own = Identity::own().unwrap();
        let earlier = Identity {
            start: "1".to_owned(),
            ..own.clone()
        };
        assert!(earlier.has_ended(), "the number was given away again");
        let elsewhere = Identity {
            surroundings: "another".to_owned(),
            number: u32::MAX,
            ..own
        };
        assert!(!elsewhere.has_ended());
        assert!("cat".parse::<Identity>().is_err());
    }
}
