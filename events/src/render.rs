//! Events of a render's life, in the order they usually happen.
//!
//! What callers write (composition, metadata, URLs) is never in an event: it lies in the documents by digest.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::envelope::EncodedEvent;
use crate::fault::Fault;
use crate::id::WorkerId;
use crate::job::{JobKind, ProgressStage};
use crate::time::Timestamp;
use crate::upcast::{DecodeError, decode_data, encode_data};
use crate::work::{Fingerprint, Slot, Token};

macro_rules! render_events {
    ($($(#[$doc:meta])* $name:ident, $version:literal;)*) => {
        /// A past fact about a render.
        #[derive(Debug, Clone, PartialEq)]
        pub enum RenderEvent {$(
            $(#[$doc])*
            $name($name),
        )*}

        impl RenderEvent {
            /// Every type of this stream with its current version: `wire/` holds a sample of each.
            pub const TYPES: &'static [(&'static str, u16)] = &[$((stringify!($name), $version),)*];

            /// Type, current version and bytes, for the log.
            #[must_use]
            pub fn encode(&self) -> EncodedEvent {
                match self {$(
                    RenderEvent::$name(data) => encode_data(stringify!($name), $version, data),
                )*}
            }

            /// Reads a stored event of any version; `Ok(None)` where the type belongs to another kind of stream.
            ///
            /// # Errors
            /// Where the bytes are not what that type and version promise.
            pub fn decode(stored: &EncodedEvent) -> Result<Option<RenderEvent>, DecodeError> {
                Ok(Some(match stored.event_type.as_str() {
                    $(stringify!($name) => RenderEvent::$name(decode_data(stored)?),)*
                    _ => return Ok(None),
                }))
            }
        }
    };
}

render_events! {
    /// A request was accepted.
    RenderSubmitted, 1;
    /// It is ready for a worker.
    RenderQueued, 1;
    /// A worker holds a slot. The event's stream version is the slot's fencing token.
    LeaseGranted, 1;
    /// A slot's lease ended without a report.
    LeaseExpired, 1;
    /// A draining worker handed a slot back; no attempt is counted.
    SlotReleased, 1;
    /// The sources are pinned and the film is cut into parts.
    RenderPlanned, 1;
    /// The work as a whole entered another phase.
    PhaseChanged, 1;
    /// Progress; at most one a second.
    ProgressMarked, 1;
    /// A part of the picture, or the sound, is stored.
    PartStored, 1;
    /// A slot's attempt failed.
    AttemptFailed, 1;
    /// Someone asked to stop it.
    CancelRequested, 1;
    /// Terminal: stopped on request.
    RenderCancelled, 1;
    /// Terminal: the artifact exists.
    RenderCompleted, 1;
    /// Terminal: it will not be.
    RenderFailed, 1;
}

/// See [`RenderEvent::RenderSubmitted`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RenderSubmitted {
    /// Render or task.
    pub kind: JobKind,
    /// The normalised composition's digest; the bytes lie encrypted beside the log.
    pub document: Sha256,
    /// The contract's version that the document was normalised under.
    pub contract_version: u16,
    /// `mp4`, `png`, …
    pub output_format: String,
    /// Canvas pixels.
    pub width: u32,
    /// Canvas pixels.
    pub height: u32,
    /// Seconds, where the document gives it.
    pub duration: Option<f64>,
    /// Frames a second, `30` or `30000/1001`.
    pub frame_rate: String,
    /// The keys of the caller's metadata; the values stay in the document.
    pub metadata_keys: Vec<String>,
    /// −100…100.
    pub priority: i32,
    /// When the job is of no use any more.
    pub deadline: Option<Timestamp>,
    /// The digest of the Idempotency-Key, where one was given.
    pub idempotency_key_hash: Option<Sha256>,
    /// What the parser found suspicious.
    pub warnings: Vec<SubmissionWarning>,
}

/// A suspicion about an accepted request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Warning")]
pub struct SubmissionWarning {
    /// `unknown_field`, `EMPTY_TIMELINE`, …
    pub code: String,
    /// For people.
    pub message: String,
    /// `warning`.
    pub severity: String,
    /// JSON pointer into the request.
    pub path: String,
}

/// See [`RenderEvent::RenderQueued`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RenderQueued {
    /// Why.
    pub reason: QueueReason,
    /// The slot to be done; `None` in the first event: the plan.
    pub slot: Option<Slot>,
    /// Not before this instant (a retry's backoff).
    pub not_before: Option<Timestamp>,
}

/// Why a render became ready for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueueReason {
    /// Just accepted.
    Submitted,
    /// Its media are copied.
    Ingested,
    /// An attempt failed and may be repeated.
    Retry,
    /// A lease expired.
    Rescue,
}

/// See [`RenderEvent::LeaseGranted`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaseGranted {
    /// What is held.
    pub slot: Slot,
    /// 1 for the slot's first lease.
    pub attempt: u32,
    /// By whom.
    pub worker: WorkerId,
    /// With which engine.
    pub fingerprint: Fingerprint,
    /// How long it lasts without a heartbeat.
    pub ttl_ms: u64,
}

/// See [`RenderEvent::LeaseExpired`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaseExpired {
    /// What was held.
    pub slot: Slot,
    /// Under which token.
    pub token: Token,
}

/// See [`RenderEvent::SlotReleased`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlotReleased {
    /// What was held.
    pub slot: Slot,
    /// Under which token.
    pub token: Token,
}

/// See [`RenderEvent::RenderPlanned`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RenderPlanned {
    /// The lease that made it.
    pub token: Token,
    /// The plan.
    pub plan: Plan,
}

/// How a film is cut: a pure function of composition, probed sources, format and fingerprint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// 1 for the first plan; planning anew for another fingerprint raises it and voids older parts.
    pub generation: u32,
    /// Parts may only be made by this engine.
    pub fingerprint: Fingerprint,
    /// Frames of the whole film.
    pub frames: u64,
    /// Seconds.
    pub duration: f64,
    /// Frame ranges in order, without gaps.
    pub parts: Vec<PartRange>,
    /// Whether the film has a sound track.
    pub audio: bool,
    /// The sources' digests, and what probing them found: an object in storage.
    pub detail: StoredObject,
    /// What planning found suspicious (`source_shorter_than_out_point`, `missing_glyph`, …).
    #[serde(default)]
    pub warnings: Vec<SubmissionWarning>,
    /// How long planning took, milliseconds.
    #[serde(default)]
    pub work_ms: u64,
}

/// A run of frames that one worker renders as closed GOPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRange {
    /// Its first frame.
    pub first: u64,
    /// How many; never 1 unless the film has only one.
    pub count: u64,
}

/// Bytes in storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredObject {
    /// Where.
    pub key: String,
    /// Their digest.
    pub sha256: Sha256,
    /// How many.
    pub size_bytes: u64,
}

/// See [`RenderEvent::PhaseChanged`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhaseChanged {
    /// The new phase.
    pub stage: ProgressStage,
}

/// See [`RenderEvent::ProgressMarked`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgressMarked {
    /// 0–99.
    pub percent: u8,
    /// The phase it is in.
    pub stage: ProgressStage,
}

/// See [`RenderEvent::PartStored`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartStored {
    /// The lease that made it.
    pub token: Token,
    /// What is stored.
    pub part: StoredPart,
}

/// A stored part, or the stored sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPart {
    /// Which.
    pub slot: Slot,
    /// Its bytes.
    pub object: StoredObject,
    /// Frames of picture in it; 0 for the sound.
    pub frames: u64,
    /// How long it took to make, milliseconds.
    #[serde(default)]
    pub work_ms: u64,
}

/// See [`RenderEvent::AttemptFailed`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptFailed {
    /// Where.
    pub slot: Slot,
    /// Under which lease.
    pub token: Token,
    /// Why.
    pub fault: Fault,
}

/// See [`RenderEvent::CancelRequested`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CancelRequested {}

/// See [`RenderEvent::RenderCancelled`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RenderCancelled {}

/// See [`RenderEvent::RenderCompleted`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RenderCompleted {
    /// The lease that finished it.
    pub token: Token,
    /// The finished file.
    pub artifact: Artifact,
    /// Where the time went.
    pub timings: Timings,
}

/// A finished file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its bytes.
    pub object: StoredObject,
    /// The media type it is served with.
    pub content_type: String,
    /// What a download is called, with extension.
    pub filename: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Seconds.
    pub duration: f64,
    /// Frames.
    pub frame_count: u64,
    /// `h264`, `png`, …
    pub video_codec: String,
    /// `aac`; `None`: silent.
    pub audio_codec: Option<String>,
}

/// Where a worker's time went, in milliseconds of wall time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Timings {
    /// Fetching and probing sources.
    pub plan_ms: u64,
    /// Rendering parts, summed over parts.
    pub parts_ms: u64,
    /// Mixing and encoding the sound.
    pub audio_ms: u64,
    /// Joining and storing.
    pub assemble_ms: u64,
}

/// See [`RenderEvent::RenderFailed`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RenderFailed {
    /// Why.
    pub fault: Fault,
}
