//! What each type of a public event says in `data`: the structs that the events are written from, and the schemas with them.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use crate::digest::Sha256;
use crate::fault::Fault;
use crate::job::ProgressStage;
use crate::render::{QueueReason, SubmissionWarning, Timings};
use crate::work::Slot;

/// What one type of event says.
pub(super) trait Said: Serialize {
    /// The type.
    const TYPE: &'static str;
}

/// A type of public event, for documents.
#[derive(Debug, Clone)]
pub struct Described {
    /// `render.submitted`, …
    pub event_type: &'static str,
    /// What it tells, in a few words.
    pub summary: &'static str,
    /// The form of its `data`.
    pub data: Schema,
}

macro_rules! types {
    ($($name:ident = $event_type:literal, $summary:literal;)*) => {
        /// Every type of a public event, in the order in which they usually happen.
        pub const TYPES: &[&str] = &[$($event_type,)*];

        $(impl Said for $name {
            const TYPE: &'static str = $event_type;
        })*

        /// Every type of a public event with the form of its data.
        pub fn described(generator: &mut SchemaGenerator) -> Vec<Described> {
            vec![$(Described {
                event_type: $event_type,
                summary: $summary,
                data: generator.subschema_for::<$name>(),
            },)*]
        }
    };
}

types! {
    Submitted = "render.submitted", "A request was accepted";
    Queued = "render.queued", "Something of it waits for a worker";
    SlotStarted = "render.slot_started", "A worker has begun a piece of it";
    SlotLost = "render.slot_lost", "A worker was not heard of any more; its piece is begun anew";
    SlotReleased = "render.slot_released", "A worker that stops has handed its piece back";
    Planned = "render.planned", "Sources are known, and the film is cut into parts";
    PhaseChanged = "render.phase_changed", "The work as a whole has entered another phase";
    Progress = "render.progress", "It goes on; at most once a second";
    PartStored = "render.part_stored", "A part of the picture, or the sound, is stored";
    AttemptFailed = "render.attempt_failed", "A piece has failed; it is tried again, or the job fails";
    Cancelled = "render.cancelled", "It was cancelled; nothing comes after";
    Completed = "render.completed", "The film is ready; nothing comes after";
    Failed = "render.failed", "There will be no film; nothing comes after";
}

/// Data of `render.submitted`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RenderSubmitted")]
pub(super) struct Submitted {
    /// `mp4`, `png`, …
    pub(super) output_format: String,
    /// Canvas pixels.
    pub(super) width: u32,
    /// Canvas pixels.
    pub(super) height: u32,
    /// Seconds; `null` where only the sources tell.
    pub(super) duration: Option<f64>,
    /// Frames a second, `30` or `30000/1001`.
    pub(super) frame_rate: String,
    /// −100…100.
    pub(super) priority: i32,
    /// Suspicions about the request, as many as fit into an event.
    pub(super) warnings: Vec<SubmissionWarning>,
    /// How many did not fit.
    pub(super) warnings_omitted: usize,
}

/// Data of `render.queued`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RenderQueued")]
pub(super) struct Queued {
    /// Why.
    pub(super) reason: QueueReason,
    /// Not before this instant; `null`: at once.
    #[schemars(extend("format" = "date-time"))]
    pub(super) not_before: Option<String>,
}

/// Data of `render.slot_started`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RenderSlotStarted")]
pub(super) struct SlotStarted {
    /// Which piece.
    pub(super) slot: Slot,
    /// 1 for its first attempt.
    pub(super) attempt: u32,
}

/// Data of `render.slot_lost`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RenderSlotLost")]
pub(super) struct SlotLost {
    /// Which piece.
    pub(super) slot: Slot,
}

/// Data of `render.slot_released`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RenderSlotReleased")]
pub(super) struct SlotReleased {
    /// Which piece.
    pub(super) slot: Slot,
}

/// Data of `render.planned`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RenderPlanned")]
pub(super) struct Planned {
    /// Frames of the whole film.
    pub(super) frames: u64,
    /// Seconds.
    pub(super) duration: f64,
    /// Parts of the picture.
    pub(super) parts: usize,
    /// Whether there is a sound track.
    pub(super) audio: bool,
    /// Suspicions that planning found, as many as fit into an event.
    pub(super) warnings: Vec<SubmissionWarning>,
    /// How many did not fit.
    pub(super) warnings_omitted: usize,
}

/// Data of `render.phase_changed`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RenderPhaseChanged")]
pub(super) struct PhaseChanged {
    /// The new phase.
    pub(super) stage: ProgressStage,
}

/// Data of `render.progress`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RenderProgress")]
pub(super) struct Progress {
    /// 0–99.
    #[schemars(range(max = 99))]
    pub(super) progress_percent: u8,
    /// The phase it is in.
    pub(super) progress_stage: ProgressStage,
}

/// Data of `render.part_stored`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RenderPartStored")]
pub(super) struct PartStored {
    /// Which.
    pub(super) slot: Slot,
    /// Frames of picture in it; 0 for the sound.
    pub(super) frames: u64,
    /// Bytes.
    pub(super) size_bytes: u64,
}

/// Data of `render.attempt_failed`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RenderAttemptFailed")]
pub(super) struct AttemptFailed {
    /// Which piece.
    pub(super) slot: Slot,
    /// Why.
    pub(super) error: Fault,
}

/// Data of `render.cancelled`: nothing.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RenderCancelled")]
pub(super) struct Cancelled {}

/// Data of `render.completed`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RenderCompleted")]
pub(super) struct Completed {
    /// Pixels.
    pub(super) width: u32,
    /// Pixels.
    pub(super) height: u32,
    /// Seconds.
    pub(super) duration: f64,
    /// Frames.
    pub(super) frame_count: u64,
    /// Bytes.
    pub(super) size_bytes: u64,
    /// The media type.
    pub(super) content_type: String,
    /// The file's digest.
    pub(super) sha256: Sha256,
    /// Where the time went.
    pub(super) timings: Timings,
}

/// Data of `render.failed`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RenderFailed")]
pub(super) struct Failed {
    /// Why.
    pub(super) error: Fault,
}
