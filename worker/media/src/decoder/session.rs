//! One worker and the conversation with it: requests, answers in order, time limits, and the post-mortem.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Signal, pidfd_send_signal};

use super::DecodeError;
use super::channel::{Channel, ChannelError};
use super::protocol::{Exit, Fault, Reply, Request, SandboxStatus, WorkerLimits};
use super::ring::Ring;
use super::stopper::{Listed, Stopper};
use super::zygote::Zygote;

/// A worker that serves one file. Dropping it ends the worker.
#[derive(Debug)]
pub(super) struct Session {
    zygote: Arc<Zygote>,
    channel: Channel,
    pid: i32,
    pidfd: Arc<OwnedFd>,
    ring: Ring,
    sandbox: SandboxStatus,
    libraries: String,
    has_ended: bool,
    stopper: Stopper,
    /// While it runs.
    listed: Option<Listed>,
}

/// Ends one worker from any thread.
#[derive(Debug, Clone)]
pub(super) struct Killer {
    pidfd: Arc<OwnedFd>,
}

/// A worker is confined and ready within a millisecond; more than this is a hang.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How long a worker that closed its socket may take to be gone.
const GONE_WITHIN: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

impl Session {
    pub(super) fn start(
        zygote: &Arc<Zygote>,
        input: &File,
        ring: Ring,
        limits: WorkerLimits,
        stopper: &Stopper,
    ) -> Result<Session, DecodeError> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(|errno| DecodeError::HostFailure(Box::new(errno)))?;
        let spawned = zygote
            .spawn(limits, &theirs, ring.memory(), input.as_fd())
            .map_err(|error| DecodeError::HostFailure(Box::new(error)))?;
        drop(theirs);
        let mut session = Session {
            zygote: Arc::clone(zygote),
            channel: Channel::new(ours),
            pid: spawned.pid,
            pidfd: Arc::new(spawned.pidfd),
            ring,
            sandbox: SandboxStatus {
                landlock: super::protocol::Landlock::None,
                seccomp: false,
                reason: None,
            },
            libraries: String::new(),
            has_ended: false,
            stopper: stopper.clone(),
            listed: None,
        };
        session.listed = Some(stopper.list(session.killer()).ok_or(DecodeError::Stopped)?);
        match session.receive(READY_WITHIN)? {
            Reply::Ready { sandbox, libraries } => {
                (session.sandbox, session.libraries) = (sandbox, libraries);
            }
            other => return Err(session.unexpected(&other)),
        }
        Ok(session)
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    pub(super) fn sandbox(&self) -> &SandboxStatus {
        &self.sandbox
    }

    /// What it decodes with.
    pub(super) fn libraries(&self) -> &str {
        &self.libraries
    }

    pub(super) fn killer(&self) -> Killer {
        Killer { pidfd: Arc::clone(&self.pidfd) }
    }

    pub(super) fn ring(&self) -> &Ring {
        &self.ring
    }

    pub(super) fn send(&mut self, request: &Request) -> Result<(), DecodeError> {
        let sent = self.channel.send(request);
        sent.map_err(|error| self.post_mortem(error))
    }

    /// The next answer; a `Failed` one becomes the error that it means.
    pub(super) fn receive(&mut self, timeout: Duration) -> Result<Reply, DecodeError> {
        match self.channel.receive(Some(timeout)) {
            Ok(Reply::Failed { fault, detail }) => Err(match fault {
                Fault::Unsupported => DecodeError::UnsupportedMedia(detail),
                Fault::Corrupt => DecodeError::CorruptMedia(detail),
                Fault::TooLarge => DecodeError::TooLarge(detail),
                Fault::OutOfMemory => DecodeError::OutOfMemory,
                Fault::Internal => DecodeError::HostFailure(detail.into()),
            }),
            Ok(reply) => Ok(reply),
            Err(error) => Err(self.post_mortem(error)),
        }
    }

    /// For an answer that does not fit the request: whoever sends it is not to be trusted any further.
    pub(super) fn unexpected(&mut self, reply: &Reply) -> DecodeError {
        self.end();
        DecodeError::HostFailure(format!("an answer out of turn: {reply:?}").into())
    }

    /// Ends the worker and finds out what became of it.
    fn post_mortem(&mut self, error: ChannelError) -> DecodeError {
        if self.stopper.is_stopped() {
            self.end();
            return DecodeError::Stopped;
        }
        match error {
            ChannelError::Closed => {
                // The socket closes a little before the process is gone, and its own end is what we want to know.
                let mut waiting = [PollFd::from_borrowed_fd(self.pidfd.as_fd(), PollFlags::IN)];
                let _gone_or_late = poll(&mut waiting, Some(&GONE_WITHIN));
                match self.end() {
                    Some(Exit::Signal(signal)) if signal == Signal::XCPU.as_raw() => DecodeError::TimedOut,
                    Some(Exit::Signal(signal)) => DecodeError::Crashed { signal: Some(signal) },
                    Some(Exit::Code(_)) | None => DecodeError::Crashed { signal: None },
                }
            }
            ChannelError::TimedOut => {
                self.end();
                DecodeError::TimedOut
            }
            error => {
                self.end();
                DecodeError::HostFailure(Box::new(error))
            }
        }
    }

    fn end(&mut self) -> Option<Exit> {
        if std::mem::replace(&mut self.has_ended, true) {
            return None;
        }
        self.listed = None;
        self.killer().kill();
        self.zygote.reap(self.pid)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

impl Killer {
    /// Kills the worker; nothing happens if it has ended already.
    pub(super) fn kill(&self) {
        // The pidfd names this very process for ever, so the only failure is that it is gone: as wanted.
        let _sent_or_gone = pidfd_send_signal(&*self.pidfd, Signal::KILL);
    }
}
