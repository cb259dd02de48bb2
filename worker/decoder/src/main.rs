//! `framelane-decoder`: reads users' media for the service, in processes that can do nothing else.
//!
//! The service starts it as `framelane-decoder zygote` with a control socket as standard input, and asks that
//! process to fork workers; see `zygote`. `framelane-decoder self-check` tells how well workers are confined here, and
//! `framelane-decoder inventory` what the FFmpeg that is linked can read.
//! Nothing in this executable is part of the service's own: FFmpeg is linked here and nowhere else.

mod audio;
mod codec;
mod extent;
mod fault;
mod input;
mod inventory;
mod picture;
mod probe;
mod resampler;
mod ring;
mod sandbox;
mod self_check;
mod still;
mod timestamp;
mod video;
mod worker;
mod zygote;

#[path = "../../media/src/decoder/channel.rs"]
#[expect(unreachable_pub, reason = "compiled into two crates")]
mod channel;
#[path = "../../media/src/decoder/protocol.rs"]
#[expect(unreachable_pub, reason = "compiled into two crates")]
mod protocol;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mode = std::env::args().nth(1);
    match mode.as_deref() {
        Some("zygote") => zygote::run(),
        Some("self-check") => self_check::run(),
        Some("inventory") => inventory::run(),
        _ => {
            eprintln!(
                "framelane-decoder is started by framelane; by hand there are only: framelane-decoder self-check | inventory"
            );
            ExitCode::from(2)
        }
    }
}
