//! What the user's git configuration says about the user.

use std::path::Path;

use git2::{Config, Repository};

use super::identity::Identity;

/// `user.name` and `user.email` as git would use them in `dir`; `None` when either is not set.
///
/// Reads the user's configuration files; only the binary asks, once, and hands the answer down.
pub fn configured_identity(dir: &Path) -> Option<Identity> {
    let config = Repository::discover(dir)
        .and_then(|repository| repository.config())
        .or_else(|_| Config::open_default())
        .and_then(|mut config| config.snapshot())
        .ok()?;
    let name = config.get_str("user.name").ok()?;
    let email = config.get_str("user.email").ok()?;
    Identity::new(name, email).ok()
}
