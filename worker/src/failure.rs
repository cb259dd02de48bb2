//! Why a slot's work ends without a result: told to stop, or a fault that clients see.

use std::io;

use composition::Element;
use events::fault::{Fault, FaultCode};
use media::decoder::DecodeError;
use storage::StorageError;

use crate::control::Stopped;

/// The end of a slot's work that has no result.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// Told to stop.
    #[error("{0}")]
    Stopped(#[from] Stopped),
    /// There is no space left to write in: the work may be repeated when there is, and nobody is to blame.
    #[error("no space is left on the disk")]
    Full,
    /// A fault, as clients see it.
    #[error("{}: {}", .0.code.as_str(), .0.message)]
    Fault(Box<Fault>),
}

impl Failure {
    /// A fault of this kind; the message is for the client. Faults of ours are worth another attempt.
    #[must_use]
    pub fn new(code: FaultCode, message: impl Into<String>) -> Failure {
        let retryable = matches!(code, FaultCode::Internal | FaultCode::WorkerLost | FaultCode::Stalled);
        Failure::Fault(Box::new(Fault {
            code,
            message: message.into(),
            element_id: None,
            path: None,
            retryable,
        }))
    }

    /// A fault of ours: the error's chain goes to the log, the client learns what was being done. A full disk is told
    /// apart.
    #[must_use]
    pub fn internal(doing: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
        if is_full(error) {
            return Failure::Full;
        }
        let mut cause = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            cause = format!("{cause}: {error}");
            source = error.source();
        }
        tracing::error!(cause, "could not {doing}");
        Failure::new(FaultCode::Internal, format!("could not {doing}; the service's log says more"))
    }

    /// The same fault, at a place of the request: a field of an element.
    #[must_use]
    pub fn at(mut self, element: &Element, field: &str) -> Failure {
        if let Failure::Fault(fault) = &mut self {
            fault.element_id.clone_from(&element.id);
            fault.path = Some(format!("{}/{field}", element.path));
        }
        self
    }

    /// The same fault, at a field of the request itself.
    #[must_use]
    pub fn at_field(mut self, path: &str) -> Failure {
        if let Failure::Fault(fault) = &mut self {
            fault.path = Some(path.to_owned());
        }
        self
    }

    /// What the decoder says of a source, in the API's codes.
    #[must_use]
    pub fn of_decoding(error: &DecodeError, source: &str) -> Failure {
        let code = match error {
            DecodeError::UnsupportedMedia(_) => FaultCode::UnsupportedMedia,
            DecodeError::CorruptMedia(_) => FaultCode::CorruptMedia,
            DecodeError::TooLarge(_) | DecodeError::OutOfMemory => FaultCode::SourceTooLarge,
            DecodeError::TimedOut => FaultCode::SourceTimeout,
            DecodeError::Crashed { signal: Some(signal) } if is_own_fault(*signal) => FaultCode::CorruptMedia,
            DecodeError::Stopped => return Failure::Stopped(Stopped),
            // A decoder that was killed from outside is nobody's fault: the attempt is repeated.
            _ => return Failure::internal(&format!("decode {source}"), error),
        };
        Failure::new(code, format!("could not {error} ({source})"))
    }
}

/// Whether a process dies by this signal only by what it does itself: by the file that it decodes.
fn is_own_fault(signal: i32) -> bool {
    matches!(
        signal,
        libc::SIGSEGV
            | libc::SIGBUS
            | libc::SIGILL
            | libc::SIGFPE
            | libc::SIGABRT
            | libc::SIGSYS
            | libc::SIGXCPU
    )
}

/// Whether the root of an error is a disk without space.
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| {
        let of_system = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let of_storage = cause.downcast_ref::<StorageError>();
        matches!(of_system, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
            || matches!(of_storage, Some(StorageError::Full { .. }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not write the film")]
    struct Wrapped(#[source] io::Error);

    #[test]
    fn a_decoder_that_dies_of_its_file_blames_the_file_and_one_that_is_killed_does_not() {
        let fault = |error: DecodeError| match Failure::of_decoding(&error, "a file") {
            Failure::Fault(fault) => (fault.code, fault.retryable),
            other => panic!("that is a fault: {other}"),
        };
        let crash = |signal| fault(DecodeError::Crashed { signal });
        assert_eq!(crash(Some(libc::SIGSEGV)), (FaultCode::CorruptMedia, false));
        assert_eq!(crash(Some(libc::SIGKILL)), (FaultCode::Internal, true));
        assert_eq!(crash(None), (FaultCode::Internal, true));
        assert_eq!(fault(DecodeError::OutOfMemory), (FaultCode::SourceTooLarge, false));
        assert_eq!(fault(DecodeError::TimedOut), (FaultCode::SourceTimeout, false));
    }

    #[test]
    fn a_full_disk_is_nobodys_fault() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(matches!(Failure::internal("write", &Wrapped(full)), Failure::Full));
        let stored = StorageError::Full { key: "a".to_owned() };
        assert!(matches!(Failure::internal("write", &stored), Failure::Full));
        let other = Wrapped(io::Error::from(io::ErrorKind::PermissionDenied));
        let Failure::Fault(fault) = Failure::internal("write", &other) else { panic!("that is a fault") };
        assert_eq!((fault.code, fault.retryable), (FaultCode::Internal, true));
    }
}
