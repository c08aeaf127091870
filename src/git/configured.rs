//! What the user's git configuration says about the user.

use std::path::Path;

use git2::{Config, Repository};

use super::identity::Identity;

/// `user.name` and `user.email` as git would use them in `dir`; `None` when either is not set.
///
/// Reads the user's configuration files; only the binary asks, once, and hands the answer down.
pub fn configured_identity(dir: &Path) -> Option<Identity> {
    let config = configuration(dir)?;
    let name = config.get_str("user.name").ok()?;
    let email = config.get_str("user.email").ok()?;
    Identity::new(name, email).ok()
}

/// What git would sign with in `dir`, where it signs with ssh: `user.signingKey`, and the program that
/// `gpg.ssh.program` puts in the place of `ssh-keygen`.
pub fn configured_signing_key(dir: &Path) -> Option<(String, Option<String>)> {
    let config = configuration(dir)?;
    if config.get_str("gpg.format").ok()? != "ssh" {
        return None;
    }
    let key = config.get_str("user.signingKey").ok()?.to_owned();
    // As a path, `~/` is the person's home.
    let key = match key.starts_with('~') {
        true => config
            .get_path("user.signingKey")
            .ok()?
            .to_str()?
            .to_owned(),
        false => key,
    };
    let program = config.get_str("gpg.ssh.program").ok().map(str::to_owned);
    Some((key, program))
}

fn configuration(dir: &Path) -> Option<Config> {
    Repository::discover(dir)
        .and_then(|repository| repository.config())
        .or_else(|_| Config::open_default())
        .and_then(|mut config| config.snapshot())
        .ok()
}
