//! The `retune` command: parse, run, exit code.

mod cli;
mod commands;
mod exit;
mod failure;
mod memory;
mod session;
mod ui;
mod view;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::session::Session;
use crate::ui::Ui;

// Training allocates and frees the same large buffers every step; mimalloc keeps them mapped.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    memory::keep_freed_pages();
    let cli = Cli::parse();
    let ui = Ui::new(&cli.global);
    let outcome = Session::new(&cli.global, &ui).and_then(|session| {
        let outcome = cli.command.run(&session);
        outcome.map_err(|failure| session.advise(failure))
    });
    let exit = outcome.unwrap_or_else(|failure| {
        ui.failure(&failure);
        failure.exit()
    });
    match exit {
        Exit::Done if ui.lost_an_answer() => Exit::Failed,
        exit => exit,
    }
    .into()
}
