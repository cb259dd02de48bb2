//! The process that workers are forked from, as the service sees it.
//!
//! It has FFmpeg loaded, one thread and no untrusted data, so a confined worker costs a millisecond instead of the
//! thirty that dynamic linking takes. It ends when the service does (its socket closes), and its workers with it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::channel::{Channel, ChannelError};
use super::protocol::{Exit, FromZygote, ToZygote, WorkerLimits};

/// The zygote only forks and waits; this long means that something is wrong with it. Starting it includes loading
/// over a hundred libraries, perhaps from a cold disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts the zygote when there is none, and again when it died.
#[derive(Debug)]
pub(super) struct Zygote {
    executable: PathBuf,
    process: Mutex<Option<Process>>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    channel: Channel,
}

/// A worker as the zygote hands it over.
#[derive(Debug)]
pub(super) struct Spawned {
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
}

/// Why there is no worker.
#[derive(Debug, thiserror::Error)]
pub(super) enum ZygoteError {
    #[error("start {}", executable.display())]
    Start { executable: PathBuf, source: io::Error },
    #[error("talk to the decoder process")]
    Talk(#[from] ChannelError),
    #[error("fork a decoder: {0}")]
    Fork(String),
}

impl Zygote {
    pub(super) fn new(executable: PathBuf) -> Zygote {
        Zygote { executable, process: Mutex::new(None) }
    }

    /// A confined worker with these descriptors. A dead zygote is replaced once.
    pub(super) fn spawn(
        &self,
        limits: WorkerLimits,
        control: &OwnedFd,
        ring: BorrowedFd<'_>,
        input: BorrowedFd<'_>,
    ) -> Result<Spawned, ZygoteError> {
        let descriptors = [control.as_fd(), ring, input];
        let mut slot = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(process) = slot.as_mut() {
            match process.spawn(limits, &descriptors) {
                Err(ZygoteError::Talk(_)) => *slot = None,
                answer => return answer,
            }
        }
        let mut process = Process::start(&self.executable)?;
        let answer = process.spawn(limits, &descriptors);
        *slot = Some(process);
        answer
    }

    /// How this worker ended; it must have ended or been killed. `None` when the zygote that knew is gone.
    pub(super) fn reap(&self, pid: i32) -> Option<Exit> {
        let mut slot = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let process = slot.as_mut()?;
        match process.ask(&ToZygote::Reap { pid }, &[]) {
            Ok((FromZygote::Reaped(exit), _)) => Some(exit),
            Ok(_) => None,
            Err(_) => {
                *slot = None;
                None
            }
        }
    }
}

impl Process {
    fn start(executable: &PathBuf) -> Result<Process, ZygoteError> {
        let start = || {
            let (ours, theirs) =
                socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
            // Its own process group: an interrupt typed at the terminal is for the service, which drains first.
            let child = Command::new(executable)
                .arg("zygote")
                .env_clear()
                .process_group(0)
                .stdin(Stdio::from(theirs))
                .stdout(Stdio::null())
                .spawn()?;
            Ok(Process { child, channel: Channel::new(ours) })
        };
        start().map_err(|source| ZygoteError::Start { executable: executable.clone(), source })
    }

    fn spawn(
        &mut self,
        limits: WorkerLimits,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Spawned, ZygoteError> {
        match self.ask(&ToZygote::Spawn(limits), descriptors)? {
            (FromZygote::Spawned { pid }, mut descriptors) if descriptors.len() == 1 => {
                Ok(Spawned { pid, pidfd: descriptors.remove(0) })
            }
            (FromZygote::Failed { reason }, _) => Err(ZygoteError::Fork(reason)),
            (answer, _) => Err(ZygoteError::Fork(format!("an answer that is none: {answer:?}"))),
        }
    }

    fn ask(
        &mut self,
        request: &ToZygote,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(FromZygote, Vec<OwnedFd>), ChannelError> {
        self.channel.send_with(request, descriptors)?;
        self.channel.receive_with(Some(PATIENCE))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be hung, or dead already; either way it is to be gone, and there is nobody left to tell.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}
