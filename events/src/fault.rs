//! Why a job fails: the codes clients see.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::redact::redact;

/// The job error codes of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "JobErrorCode")]
pub enum FaultCode {
    /// The source's server refused the connection, spoke bad TLS, or answered 4xx, 5xx or 429 to the end.
    InvalidSource,
    /// 404, 410 or an unknown host.
    SourceNotFound,
    /// A forbidden address, scheme or userinfo, or the server's 401 or 403.
    SourceForbidden,
    /// More bytes or pixels than the installation takes.
    SourceTooLarge,
    /// A time limit ran out while fetching.
    SourceTimeout,
    /// The URL answers with other bytes than when the job was planned.
    SourceChanged,
    /// Bytes of no known format.
    UnsupportedMedia,
    /// A known format whose index or promised samples are missing.
    CorruptMedia,
    /// No such font.
    FontNotFound,
    /// The encoder or muxer refused.
    EncodeFailed,
    /// Leases expired too often.
    WorkerLost,
    /// A worker made no progress for a minute.
    Stalled,
    /// The job's deadline has passed.
    DeadlineExceeded,
    /// A fault of ours.
    Internal,
}

impl FaultCode {
    /// The wire's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FaultCode::InvalidSource => "invalid_source",
            FaultCode::SourceNotFound => "source_not_found",
            FaultCode::SourceForbidden => "source_forbidden",
            FaultCode::SourceTooLarge => "source_too_large",
            FaultCode::SourceTimeout => "source_timeout",
            FaultCode::SourceChanged => "source_changed",
            FaultCode::UnsupportedMedia => "unsupported_media",
            FaultCode::CorruptMedia => "corrupt_media",
            FaultCode::FontNotFound => "font_not_found",
            FaultCode::EncodeFailed => "encode_failed",
            FaultCode::WorkerLost => "worker_lost",
            FaultCode::Stalled => "stalled",
            FaultCode::DeadlineExceeded => "deadline_exceeded",
            FaultCode::Internal => "internal",
        }
    }
}

/// A failure as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "JobError")]
pub struct Fault {
    /// Which kind.
    pub code: FaultCode,
    /// For people: what, where, what to do. Never a secret.
    pub message: String,
    /// The element at fault, as the client named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub element_id: Option<String>,
    /// JSON pointer of the place at fault in the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether the same request may succeed later.
    pub retryable: bool,
}

impl Fault {
    /// The fault as it may leave the house.
    #[must_use]
    pub fn without_secrets(&self) -> Fault {
        Fault {
            code: self.code,
            message: redact(&self.message),
            element_id: self.element_id.as_deref().map(redact),
            path: self.path.as_deref().map(redact),
            retryable: self.retryable,
        }
    }
}
