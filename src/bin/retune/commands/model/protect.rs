//! `retune model protect`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use retune::reference::ModelRef;
use retune::registry::Protected as Answer;
use retune::signature::read_signers;

use super::{alias, refused};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::model::Protected;

const EXAMPLES: &str = "\
Examples:
  retune model protect support:production --allow ana@example.org --allow ben@example.org
  retune model protect support:production --allow ana@example.org --two-people --dry-run
  retune model protect support:production --signers allowed_signers
  retune model protect support:production --no-signers

Promotion and rollback by anybody else are refused; with --two-people, who registered a version
cannot promote it. Only who may move the alias can change that. Who acts is what git says about
them, which is no proof.

With --signers, every move is signed with ssh-keygen by one of the keys in the file, and a move
that is not counts nowhere: it is not served, `model verify` names it and `sync` takes none. Lines
are those of OpenSSH's allowed_signers: MAIL KEY-TYPE KEY. A protection with signers is signed by
one of them, and only they can change it. Sync before and after: it gives way to nothing.

Keys: RETUNE_SIGNING_KEY, else git's user.signingKey where gpg.format is ssh: the file of a key,
or a public key that an agent has.

Exit codes: 0 it counts, 1 others may move the alias, or there is no signature that counts, 2 the
file has faults, 14 the alias was moved without a signature that counts.";

/// Say who may move an alias, whether it takes two people, and whose signature.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// [TENANT/]MODEL:ALIAS
    #[arg(value_name = "REF")]
    reference: ModelRef,
    /// The mail address of somebody who may move it [default: everybody]
    #[arg(long, value_name = "MAIL")]
    allow: Vec<String>,
    /// Who promotes a version must be somebody else than who registered it
    #[arg(long)]
    two_people: bool,
    /// The keys of whom one signs every move [default: as they are]
    #[arg(long, value_name = "FILE")]
    signers: Option<PathBuf>,
    /// No move has to be signed any more
    #[arg(long, conflicts_with = "signers")]
    no_signers: bool,
    /// Check everything, record nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(args.dry_run)?;
    let tenant = workspace.tenant_of(&args.reference)?;
    let (model, alias) = (&args.reference.model, alias(&args.reference)?);
    let allow = args.allow.iter().cloned().collect();
    let signers = match (&args.signers, args.no_signers) {
        (Some(file), _) => Some(read_signers(file)?),
        (None, true) => Some(BTreeSet::new()),
        (None, false) => None,
    };
    let act = &workspace.act;
    match tenant.protect(model, alias, allow, args.two_people, signers, act)? {
        Answer::Done(added) => {
            session.ui.emit(&Protected::new(&added, args.dry_run));
            Ok(Exit::Done)
        }
        Answer::Refused(refusal) => Err(refused(&refusal, &args.reference, alias)),
    }
}
