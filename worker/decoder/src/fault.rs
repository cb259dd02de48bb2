//! What goes wrong with a file, in the protocol's terms.

use ffmpeg_next as ffmpeg;

use crate::protocol::Fault;

/// A fault and, for people, what was found.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct Faulted {
    pub(crate) fault: Fault,
    pub(crate) detail: String,
}

impl Faulted {
    pub(crate) fn new(fault: Fault, detail: impl Into<String>) -> Faulted {
        Faulted { fault, detail: detail.into() }
    }

    pub(crate) fn corrupt(detail: impl Into<String>) -> Faulted {
        Faulted::new(Fault::Corrupt, detail)
    }

    pub(crate) fn unsupported(detail: impl Into<String>) -> Faulted {
        Faulted::new(Fault::Unsupported, detail)
    }

    pub(crate) fn internal(detail: impl Into<String>) -> Faulted {
        Faulted::new(Fault::Internal, detail)
    }

    /// What FFmpeg's error means once the format is known: the file's data is at fault unless the error says
    /// something else.
    pub(crate) fn ffmpeg(error: ffmpeg::Error, what: &str) -> Faulted {
        let fault = match error {
            ffmpeg::Error::Other { errno: libc::ENOMEM } => Fault::OutOfMemory,
            ffmpeg::Error::DecoderNotFound
            | ffmpeg::Error::PatchWelcome
            | ffmpeg::Error::Other { errno: libc::ENOSYS } => Fault::Unsupported,
            _ => Fault::Corrupt,
        };
        Faulted::new(fault, format!("{what}: {error}"))
    }
}
