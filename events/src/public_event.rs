//! What leaves the house: internal events in the contract's words, without workers, keys of storage, or what is secret
//! in addresses, and never larger than [`EVENT_BYTES_MAX`].
//!
//! `/events`, SSE and NATS all show these. An internal event that tells clients nothing maps to `None`.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::envelope::Recorded;
use crate::id::{EventId, RenderId};
use crate::redact::redact;
use crate::render::{RenderEvent, StoredPart, SubmissionWarning};
use crate::upcast::DecodeError;
use data::{
    AttemptFailed, Cancelled, Completed, Failed, PartStored, PhaseChanged, Planned, Progress, Queued, Said,
    SlotLost, SlotReleased, SlotStarted, Submitted,
};

pub use data::{Described, TYPES, described};

mod data;

/// The largest event, bytes of JSON.
pub const EVENT_BYTES_MAX: usize = 256 * 1024;

/// The part of it that warnings may take: all else is a few texts of [`crate::redact::TEXT_CHARS_MAX`] at most.
const WARNINGS_BYTES_MAX: usize = 128 * 1024;

/// An event as subscribers see it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Event")]
pub struct PublicEvent {
    /// The log's event id.
    pub id: EventId,
    /// The log's position: rises, with gaps where events are internal. What `after` and `Last-Event-ID` mean in the
    /// workspace's events.
    pub sequence: u64,
    /// Its place in the job's history, likewise: what they mean there.
    pub version: u64,
    /// `render.submitted`, …
    #[serde(rename = "type")]
    #[schemars(extend("enum" = TYPES))]
    pub event_type: &'static str,
    /// ISO 8601, UTC, milliseconds.
    #[schemars(extend("format" = "date-time"))]
    pub created_at: String,
    /// The job.
    pub render_id: RenderId,
    /// What the type says of it.
    #[schemars(extend("type" = "object"))]
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
            version: recorded.stream_version.0,
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

/// Type and data of an internal event's public face.
fn face(event: &RenderEvent) -> Option<(&'static str, Value)> {
    Some(match event {
        RenderEvent::RenderSubmitted(e) => {
            let (warnings, warnings_omitted) = shown(&e.warnings);
            said(Submitted {
                output_format: e.output_format.clone(),
                width: e.width,
                height: e.height,
                duration: e.duration,
                frame_rate: e.frame_rate.clone(),
                priority: e.priority,
                warnings,
                warnings_omitted,
            })
        }
        RenderEvent::RenderQueued(e) => {
            said(Queued { reason: e.reason, not_before: e.not_before.map(|at| at.to_string()) })
        }
        RenderEvent::LeaseGranted(e) => said(SlotStarted { slot: e.slot, attempt: e.attempt }),
        RenderEvent::LeaseExpired(e) => said(SlotLost { slot: e.slot }),
        RenderEvent::SlotReleased(e) => said(SlotReleased { slot: e.slot }),
        RenderEvent::RenderPlanned(e) => {
            let (warnings, warnings_omitted) = shown(&e.plan.warnings);
            said(Planned {
                frames: e.plan.frames,
                duration: e.plan.duration,
                parts: e.plan.parts.len(),
                audio: e.plan.audio,
                warnings,
                warnings_omitted,
            })
        }
        RenderEvent::PhaseChanged(e) => said(PhaseChanged { stage: e.stage }),
        RenderEvent::ProgressMarked(e) => {
            said(Progress { progress_percent: e.percent, progress_stage: e.stage })
        }
        RenderEvent::PartStored(e) => {
            let StoredPart { slot, object, frames, .. } = &e.part;
            said(PartStored { slot: *slot, frames: *frames, size_bytes: object.size_bytes })
        }
        RenderEvent::AttemptFailed(e) => {
            said(AttemptFailed { slot: e.slot, error: e.fault.without_secrets() })
        }
        RenderEvent::CancelRequested(_) => return None,
        RenderEvent::RenderCancelled(_) => said(Cancelled {}),
        RenderEvent::RenderCompleted(e) => said(Completed {
            width: e.artifact.width,
            height: e.artifact.height,
            duration: e.artifact.duration,
            frame_count: e.artifact.frame_count,
            size_bytes: e.artifact.object.size_bytes,
            content_type: e.artifact.content_type.clone(),
            sha256: e.artifact.object.sha256,
            timings: e.timings,
        }),
        RenderEvent::RenderFailed(e) => said(Failed { error: e.fault.without_secrets() }),
    })
}

fn said<S: Said>(data: S) -> (&'static str, Value) {
    (S::TYPE, json!(data))
}

/// Warnings without secrets, as many as fit, and how many do not.
fn shown(warnings: &[SubmissionWarning]) -> (Vec<SubmissionWarning>, usize) {
    let mut room = WARNINGS_BYTES_MAX;
    let mut fitting = Vec::new();
    for warning in warnings {
        let warning = SubmissionWarning {
            code: redact(&warning.code),
            message: redact(&warning.message),
            severity: redact(&warning.severity),
            path: redact(&warning.path),
        };
        let bytes = serde_json::to_vec(&warning).map_or(usize::MAX, |json| json.len() + 1);
        let Some(left) = room.checked_sub(bytes) else { break };
        room = left;
        fitting.push(warning);
    }
    let omitted = warnings.len() - fitting.len();
    (fitting, omitted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{AttemptFailed, RenderFailed, RenderPlanned, RenderSubmitted};
    use crate::{
        Actor, EncodedEvent, Fault, FaultCode, Position, Sha256, Slot, StreamId, StreamVersion, Timestamp,
        Token, WorkspaceId,
    };

    /// The worst text for JSON: every character becomes six bytes.
    fn worst() -> String {
        "\u{1}".repeat(20_000)
    }

    fn public(event: EncodedEvent) -> PublicEvent {
        let recorded = Recorded {
            event_id: EventId::new(1),
            stream_id: StreamId::from(RenderId::new(1)),
            stream_version: StreamVersion(3),
            position: Position(9),
            event,
            workspace_id: WorkspaceId::new(1),
            correlation_id: String::new(),
            causation_id: None,
            actor: Actor::system(),
            traceparent: None,
            recorded_at: Timestamp(1_800_000_000_000_000),
            hash: Sha256::of(&[]),
        };
        PublicEvent::of(&recorded).expect("decodes").expect("it is public")
    }

    fn warnings() -> Vec<SubmissionWarning> {
        let warning = SubmissionWarning {
            code: worst(),
            message: worst(),
            severity: "warning".to_owned(),
            path: worst(),
        };
        vec![warning; 50]
    }

    fn fault() -> Fault {
        let (element_id, path) = (Some(worst()), Some(worst()));
        Fault { code: FaultCode::Internal, message: worst(), element_id, path, retryable: false }
    }

    fn sample<T: serde::de::DeserializeOwned>(json: &str) -> T {
        serde_json::from_str(json).expect("a sample")
    }

    #[test]
    fn no_event_is_larger_than_256_kib_whatever_is_in_it() {
        let submitted: RenderSubmitted = sample(include_str!("../wire/RenderSubmitted.1.json"));
        let submitted = RenderSubmitted { warnings: warnings(), ..submitted };
        let mut planned: RenderPlanned = sample(include_str!("../wire/RenderPlanned.1.json"));
        planned.plan.warnings = warnings();
        let failed = AttemptFailed { slot: Slot::Plan, token: Token(StreamVersion(2)), fault: fault() };
        for event in [
            RenderEvent::RenderSubmitted(submitted),
            RenderEvent::RenderPlanned(planned),
            RenderEvent::AttemptFailed(failed),
            RenderEvent::RenderFailed(RenderFailed { fault: fault() }),
        ] {
            let event = public(event.encode());
            let bytes = serde_json::to_vec(&event).expect("JSON").len();
            assert!(bytes <= EVENT_BYTES_MAX, "{} has {bytes} bytes", event.event_type);
        }
    }

    #[test]
    fn warnings_that_do_not_fit_are_counted() {
        let submitted: RenderSubmitted = sample(include_str!("../wire/RenderSubmitted.1.json"));
        let submitted = RenderSubmitted { warnings: warnings(), ..submitted };
        let data = public(RenderEvent::RenderSubmitted(submitted).encode()).data;
        let shown = data["warnings"].as_array().expect("a list").len();
        assert!(shown > 0, "those that fit are there");
        assert_eq!(data["warnings_omitted"], 50 - shown, "the others are counted");
    }

    #[test]
    fn a_fault_leaves_without_query_and_password() {
        let message = "could not fetch http://me:pw@h.example/a?key=1: refused".to_owned();
        let fault = Fault { message, ..fault() };
        let data = public(RenderEvent::RenderFailed(RenderFailed { fault }).encode()).data;
        assert_eq!(data["error"]["message"], "could not fetch http://h.example/a… refused");
    }
}
