//! The `framelane` executable: parses its arguments and runs one subcommand.

mod cli;
mod docs;
mod forward;
mod lifecycle;
mod metrics;
mod telemetry;
mod worker_health;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    leave_the_desktop_alone();
    let arguments = cli::Arguments::parse();
    telemetry::start(&arguments.log, arguments.command.usual_log());
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("framelane.async").build()
        {
            Ok(runtime) => runtime,
            Err(error) => return fail(&error),
        };
    let outcome = runtime.block_on(cli::run(arguments.command));
    // Whatever still runs has been told to stop; it gets a moment, not a veto.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error.as_ref()),
    }
}

/// Mesa's device-selection layer asks Wayland and X11 for the desktop's GPU and complains on standard error where there
/// is no desktop. We choose the adapter ourselves and have none.
#[expect(unsafe_code, reason = "the environment is the only switch that layer has")]
fn leave_the_desktop_alone() {
    // SAFETY: `main` has started no other thread yet, so nobody reads the environment meanwhile.
    unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
}

/// Prints an error and its causes, once.
fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("framelane: {}", telemetry::chain(error));
    ExitCode::FAILURE
}
