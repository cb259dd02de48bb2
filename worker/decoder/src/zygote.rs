//! The process that workers are forked from: FFmpeg loaded, one thread, no untrusted data.
//!
//! It lives as long as the service's end of its control socket (standard input), whatever way the service ends; the
//! kernel then ends the workers with it, see `sandbox`.
#![expect(unsafe_code, reason = "fork and descriptor numbers")]

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::process::ExitCode;

use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid};

use crate::channel::{Channel, ChannelError};
use crate::protocol::{Exit, FromZygote, ToZygote, WorkerLimits};
use crate::worker;

/// Serves the service until it is gone.
pub(crate) fn run() -> ExitCode {
    // The service's libraries may have left descriptors open that they should not have.
    close_from(3);
    // Rust's handlers tell a stack overflow apart, for people; here the signal itself is what is reported.
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: restores a default.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    warm_up();
    // SAFETY: descriptor 0 is the control socket that the service passed; nothing else in this process owns it.
    let mut channel = Channel::new(unsafe { OwnedFd::from_raw_fd(0) });
    loop {
        let (request, descriptors) = match channel.receive_with::<ToZygote>(None) {
            Ok(received) => received,
            Err(ChannelError::Closed) => return ExitCode::SUCCESS,
            Err(_) => return ExitCode::FAILURE,
        };
        let (answer, pidfd) = match request {
            ToZygote::Spawn(limits) => spawn(limits, descriptors),
            ToZygote::Reap { pid } => (reap(pid), None),
        };
        let descriptors: Vec<_> = pidfd.iter().map(AsFd::as_fd).collect();
        if channel.send_with(&answer, &descriptors).is_err() {
            return ExitCode::SUCCESS;
        }
    }
}

/// Does once what every worker would have to do: FFmpeg's and the C library's lazily built tables are then shared.
fn warm_up() {
    // SAFETY: sets a global level, before anything else of FFmpeg runs.
    unsafe { ffmpeg_next::ffi::av_log_set_level(ffmpeg_next::ffi::AV_LOG_QUIET) };
    worker::warm_up();
}

fn spawn(limits: WorkerLimits, descriptors: Vec<OwnedFd>) -> (FromZygote, Option<OwnedFd>) {
    let failed = |reason: String| (FromZygote::Failed { reason }, None);
    let Ok([control, ring, input]) = <[OwnedFd; 3]>::try_from(descriptors) else {
        return failed("a worker takes three descriptors".into());
    };
    // SAFETY: this process has one thread, so the child may run any code after the fork.
    match unsafe { libc::fork() } {
        -1 => failed(std::io::Error::last_os_error().to_string()),
        0 => {
            arrange([&control, &ring, &input]);
            worker::run(limits);
        }
        child => {
            let pidfd = Pid::from_raw(child)
                .ok_or(rustix::io::Errno::SRCH)
                .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
            match pidfd {
                Ok(pidfd) => (FromZygote::Spawned { pid: child }, Some(pidfd)),
                // The worker's control socket closes with this process's copy, so it ends by itself.
                Err(errno) => failed(format!("no pidfd: {errno}")),
            }
        }
    }
}

/// In the new worker: its three descriptors become 3, 4 and 5, the first three the null device, all others close.
fn arrange(descriptors: [&OwnedFd; 3]) {
    let null = std::fs::File::options().read(true).write(true).open("/dev/null");
    // SAFETY: only descriptor numbers are moved. Going through high numbers first means that none is overwritten
    // before it is copied; the owning values of the old numbers are forgotten because `worker::run` never returns.
    unsafe {
        for (at, descriptor) in (20..).zip(descriptors) {
            libc::dup2(descriptor.as_raw_fd(), at);
        }
        if let Ok(null) = &null {
            libc::dup2(null.as_raw_fd(), 23);
            for standard in 0..3 {
                libc::dup2(23, standard);
            }
        }
        for (to, at) in [worker::CONTROL, worker::RING, worker::INPUT].into_iter().zip(20..) {
            libc::dup2(at, to);
        }
    }
    std::mem::forget(null);
    close_from(6);
}

fn close_from(first: u32) {
    // SAFETY: closes descriptors that nothing in this process uses.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

fn reap(pid: i32) -> FromZygote {
    let Some(pid) = Pid::from_raw(pid).filter(|pid| pid.as_raw_nonzero().get() > 0) else {
        return FromZygote::Failed { reason: "no process id".into() };
    };
    loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => {
                return FromZygote::Reaped(match (status.exit_status(), status.terminating_signal()) {
                    (_, Some(signal)) => Exit::Signal(signal),
                    (code, None) => Exit::Code(code.unwrap_or(-1)),
                });
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return FromZygote::Failed { reason: errno.to_string() },
        }
    }
}
