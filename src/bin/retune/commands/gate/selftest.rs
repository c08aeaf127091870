//! `retune gate selftest`.

use retune::gate;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::gate::Tested;

const EXAMPLES: &str = "\
Examples:
  retune gate selftest
  retune gate selftest --repetitions 100000 --format json | jq '.promises[] | {goal, found}'

Sums every outcome where that is possible and simulates elsewhere; a simulated value may miss
its bound by three standard errors.

Exit codes: 0 every promise is kept, 1 one is not.";

/// Measure the error rates that the gate promises.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How often each simulated judgement is repeated
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    repetitions: u64,
    /// The seed of the simulations
    #[arg(long, value_name = "SEED", default_value_t = 7)]
    seed: u64,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let promises = gate::selftest(args.repetitions, args.seed)
        .map_err(|error| Failure::from_error(Exit::Failed, &error))?;
    let tested = Tested::from(promises);
    session.ui.emit(&tested);
    Ok(match tested.kept() {
        true => Exit::Done,
        false => Exit::Failed,
    })
}
