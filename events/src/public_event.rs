//! What leaves the house: internal events in the contract's words, without workers, keys of storage, or addresses.
//!
//! `/events`, SSE and NATS all show these. An internal event that tells clients nothing maps to `None`.

use serde::Serialize;
use serde_json::{Value, json};

use crate::envelope::Recorded;
use crate::id::{EventId, RenderId};
use crate::render::RenderEvent;
use crate::upcast::DecodeError;

/// An event as subscribers see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PublicEvent {
    /// The log's event id.
    pub id: EventId,
    /// The log's position: rises, with gaps where events are internal.
    pub sequence: u64,
    /// `render.submitted`, …
    #[serde(rename = "type")]
    pub event_type: &'static str,
    /// ISO 8601, UTC, milliseconds.
    pub created_at: String,
    /// The job.
    pub render_id: RenderId,
    /// In contract words.
    pub data: Value,
}

impl PublicEvent {
    /// The public face of a recorded event; `None` where it has none.
    ///
    /// # Errors
    /// Where the stored event can't be decoded.
    pub fn of(recorded: &Recorded) -> Result<Option<PublicEvent>, DecodeError> {
        let Some(render_id) = recorded.stream_id.render() else { return Ok(None) };
        let Some(event) = RenderEvent::decode(&recorded.event)? else { return Ok(None) };
        Ok(face(&event).map(|(event_type, data)| PublicEvent {
            id: recorded.event_id,
            sequence: recorded.position.0,
            event_type,
            created_at: recorded.recorded_at.to_string(),
            render_id,
            data,
        }))
    }

    /// Whether the job's history ends here.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self.event_type, "render.completed" | "render.failed" | "render.cancelled")
    }
}

/// Name and data of an internal event's public face.
fn face(event: &RenderEvent) -> Option<(&'static str, Value)> {
    Some(match event {
        RenderEvent::RenderSubmitted(e) => (
            "render.submitted",
            json!({
                "output_format": e.output_format, "width": e.width, "height": e.height, "duration": e.duration,
                "frame_rate": e.frame_rate, "priority": e.priority, "warnings": e.warnings,
            }),
        ),
        RenderEvent::RenderQueued(e) => (
            "render.queued",
            json!({ "reason": e.reason, "not_before": e.not_before.map(|at| at.to_string()) }),
        ),
        RenderEvent::LeaseGranted(e) => {
            ("render.slot_started", json!({ "slot": e.slot, "attempt": e.attempt }))
        }
        RenderEvent::LeaseExpired(e) => ("render.slot_lost", json!({ "slot": e.slot })),
        RenderEvent::SlotReleased(e) => ("render.slot_released", json!({ "slot": e.slot })),
        RenderEvent::RenderPlanned(e) => (
            "render.planned",
            json!({
                "frames": e.plan.frames, "duration": e.plan.duration, "parts": e.plan.parts.len(),
                "audio": e.plan.audio, "warnings": e.plan.warnings,
            }),
        ),
        RenderEvent::PhaseChanged(e) => ("render.phase_changed", json!({ "stage": e.stage })),
        RenderEvent::ProgressMarked(e) => {
            ("render.progress", json!({ "progress_percent": e.percent, "progress_stage": e.stage }))
        }
        RenderEvent::PartStored(e) => (
            "render.part_stored",
            json!({ "slot": e.part.slot, "frames": e.part.frames, "size_bytes": e.part.object.size_bytes }),
        ),
        RenderEvent::AttemptFailed(e) => {
            ("render.attempt_failed", json!({ "slot": e.slot, "error": e.fault }))
        }
        RenderEvent::CancelRequested(_) => return None,
        RenderEvent::RenderCancelled(_) => ("render.cancelled", json!({})),
        RenderEvent::RenderCompleted(e) => (
            "render.completed",
            json!({
                "width": e.artifact.width, "height": e.artifact.height, "duration": e.artifact.duration,
                "frame_count": e.artifact.frame_count, "size_bytes": e.artifact.object.size_bytes,
                "content_type": e.artifact.content_type, "sha256": e.artifact.object.sha256, "timings": e.timings,
            }),
        ),
        RenderEvent::RenderFailed(e) => ("render.failed", json!({ "error": e.fault })),
    })
}
