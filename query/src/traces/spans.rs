//! Spans: what a render's events and its deliveries' attempts tell, as intervals of time. Pure.
//!
//! ```text
//!  render ──────────────────────────────────────────────────────┬─ webhook render.completed
//!   ├─ queue ──┐                                                 
//!   ├──────────├─ plan ─┐                                        
//!   ├───────────────────├─ part 0 ──┐ ├─ part 1 (attempt 2) ──┐  
//!   └───────────────────────────────────────────├─ assemble ──┐  
//! ```
//! The trace is the one that the request named (`traceparent`, W3C Trace Context 3.2), else the render's own id.

use std::collections::BTreeMap;

use events::fault::Fault;
use events::upcast::DecodeError;
use events::{Recorded, RenderEvent, RenderId, Sha256, Slot, Timestamp};

/// One interval.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span {
    pub(super) trace: [u8; 16],
    pub(super) id: [u8; 8],
    pub(super) parent: Option<[u8; 8]>,
    pub(super) name: String,
    pub(super) kind: SpanKind,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) attributes: Vec<(&'static str, Told)>,
    /// Instants inside it.
    pub(super) marks: Vec<(Timestamp, String)>,
    /// What went wrong.
    pub(super) error: Option<String>,
}

/// OTLP's `SpanKind`, as far as it is used (opentelemetry-proto 1.x, trace.proto).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpanKind {
    Internal = 1,
    Client = 3,
    Consumer = 5,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    Text(String),
    Number(i64),
}

impl From<String> for Told {
    fn from(text: String) -> Told {
        Told::Text(text)
    }
}

impl From<i64> for Told {
    fn from(number: i64) -> Told {
        Told::Number(number)
    }
}

/// An attempt to deliver a webhook, as the ledger has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Attempted {
    pub(super) delivery: String,
    pub(super) render: RenderId,
    pub(super) number: i64,
    pub(super) succeeded: bool,
    pub(super) status_code: Option<i64>,
    pub(super) reason: Option<String>,
    pub(super) latency_ms: i64,
    pub(super) attempted_at: Timestamp,
    pub(super) event_type: String,
}

/// The trace that a render belongs to, and the ids of its span and of that span's parent.
#[derive(Debug, Clone, Copy)]
struct Trace {
    id: [u8; 16],
    root: [u8; 8],
    parent: Option<[u8; 8]>,
}

impl Trace {
    /// By the render's first event.
    fn of(first: &Recorded, render: RenderId) -> Trace {
        let named = first.traceparent.as_deref().and_then(read_traceparent);
        let root = span_id(&render.to_string());
        match named {
            Some((id, parent)) => Trace { id, root, parent: Some(parent) },
            None => Trace { id: render.bits().to_be_bytes(), root, parent: None },
        }
    }
}

/// All that a render's events tell; nothing of a stream that is not a render's or has not ended.
pub(super) fn of_render(events: &[Recorded]) -> Result<Vec<Span>, DecodeError> {
    let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(Vec::new()) };
    let Some(render) = first.stream_id.render() else { return Ok(Vec::new()) };
    let trace = Trace::of(first, render);
    let mut told = Telling::new(trace, render, first, last);
    for recorded in events {
        if let Some(event) = RenderEvent::decode(&recorded.event)? {
            told.hear(&event, recorded);
        }
    }
    Ok(told.finish())
}

/// An attempt to deliver one of the render's webhooks; `first` is the render's first event.
pub(super) fn of_attempt(first: &Recorded, attempt: &Attempted) -> Span {
    let trace = Trace::of(first, attempt.render);
    let mut attributes: Vec<(&'static str, Told)> = vec![
        ("framelane.render.id", attempt.render.to_string().into()),
        ("framelane.delivery.id", attempt.delivery.clone().into()),
        ("framelane.event.type", attempt.event_type.clone().into()),
        ("http.request.resend_count", (attempt.number - 1).into()),
        ("http.request.method", "POST".to_owned().into()),
    ];
    attributes.extend(attempt.status_code.map(|code| ("http.response.status_code", Told::Number(code))));
    let answered = attempt.status_code.map(|code| format!("it answered {code}"));
    Span {
        trace: trace.id,
        id: span_id(&format!("{} {}", attempt.delivery, attempt.number)),
        parent: Some(trace.root),
        name: format!("webhook {}", attempt.event_type),
        kind: SpanKind::Client,
        start: attempt.attempted_at,
        end: Timestamp(attempt.attempted_at.0 + attempt.latency_ms * 1000),
        attributes,
        marks: Vec::new(),
        error: (!attempt.succeeded).then(|| attempt.reason.clone().or(answered).unwrap_or_default()),
    }
}

/// A render's spans, as its events are read one after another.
struct Telling {
    root: Span,
    spans: Vec<Span>,
    /// Slots that are leased, and since when a slot waits.
    leased: BTreeMap<Slot, Span>,
    waits: Option<Timestamp>,
    last: Timestamp,
}

impl Telling {
    fn new(trace: Trace, render: RenderId, first: &Recorded, last: &Recorded) -> Telling {
        let root = Span {
            trace: trace.id,
            id: trace.root,
            parent: trace.parent,
            name: "render".to_owned(),
            kind: SpanKind::Consumer,
            start: first.recorded_at,
            end: last.recorded_at,
            attributes: vec![
                ("framelane.render.id", render.to_string().into()),
                ("framelane.workspace.id", first.workspace_id.to_string().into()),
                ("framelane.correlation.id", first.correlation_id.clone().into()),
            ],
            marks: Vec::new(),
            error: None,
        };
        let waits = Some(first.recorded_at);
        Telling { root, spans: Vec::new(), leased: BTreeMap::new(), waits, last: last.recorded_at }
    }

    fn hear(&mut self, event: &RenderEvent, recorded: &Recorded) {
        let at = recorded.recorded_at;
        match event {
            RenderEvent::RenderSubmitted(submitted) => self.root.attributes.extend([
                ("framelane.output.format", submitted.output_format.clone().into()),
                ("framelane.output.width", i64::from(submitted.width).into()),
                ("framelane.output.height", i64::from(submitted.height).into()),
            ]),
            RenderEvent::RenderQueued(queued) => {
                self.mark(at, format!("queued: {}", word(&queued.reason)));
            }
            RenderEvent::LeaseGranted(lease) => {
                if let Some(since) = self.waits.take() {
                    let queue = self.child("queue".to_owned(), "queue", since);
                    self.spans.push(Span { end: at, ..queue });
                }
                let name = match lease.attempt {
                    1 => lease.slot.to_string(),
                    attempt => format!("{} (attempt {attempt})", lease.slot),
                };
                let mut span = self.child(name, &recorded.event_id.to_string(), at);
                span.attributes = vec![
                    ("framelane.slot", lease.slot.to_string().into()),
                    ("framelane.attempt", i64::from(lease.attempt).into()),
                    ("framelane.worker.id", lease.worker.to_string().into()),
                ];
                // A lease that was taken over without a word ends where the next one begins.
                self.end(lease.slot, at, Some("its lease went to another worker".to_owned()));
                self.leased.insert(lease.slot, span);
            }
            RenderEvent::LeaseExpired(expired) => {
                self.end(expired.slot, at, Some("its lease expired".to_owned()));
            }
            RenderEvent::SlotReleased(released) => self.end(released.slot, at, None),
            RenderEvent::RenderPlanned(planned) => {
                self.end(Slot::Plan, at, None);
                self.mark(at, format!("planned: {} parts", planned.plan.parts.len()));
            }
            RenderEvent::PartStored(stored) => self.end(stored.part.slot, at, None),
            RenderEvent::AttemptFailed(failed) => self.end(failed.slot, at, Some(in_words(&failed.fault))),
            RenderEvent::CancelRequested(_) => self.mark(at, "cancel requested".to_owned()),
            RenderEvent::RenderCompleted(_) => {
                self.end(Slot::Assemble, at, None);
                self.over("completed");
            }
            RenderEvent::RenderFailed(failed) => {
                self.root.error = Some(in_words(&failed.fault));
                self.root.attributes.push(("error.type", failed.fault.code.as_str().to_owned().into()));
                self.over("failed");
            }
            RenderEvent::RenderCancelled(_) => self.over("cancelled"),
            RenderEvent::PhaseChanged(_) | RenderEvent::ProgressMarked(_) => {}
        }
    }

    fn child(&self, name: String, seed: &str, start: Timestamp) -> Span {
        let id = span_id(&format!("{} {seed}", hex::encode(self.root.id)));
        Span {
            id,
            parent: Some(self.root.id),
            name,
            kind: SpanKind::Internal,
            start,
            end: start,
            attributes: Vec::new(),
            marks: Vec::new(),
            error: None,
            ..self.root.clone()
        }
    }

    fn end(&mut self, slot: Slot, at: Timestamp, error: Option<String>) {
        if let Some(span) = self.leased.remove(&slot) {
            self.spans.push(Span { end: at, error, ..span });
        }
    }

    fn mark(&mut self, at: Timestamp, text: String) {
        self.root.marks.push((at, text));
    }

    fn over(&mut self, status: &str) {
        self.root.attributes.push(("framelane.status", status.to_owned().into()));
    }

    /// What is leased still when the render is over ends with it.
    fn finish(mut self) -> Vec<Span> {
        let end = self.last;
        let open = std::mem::take(&mut self.leased).into_values().map(|span| Span { end, ..span });
        std::iter::once(self.root).chain(self.spans).chain(open).collect()
    }
}

fn in_words(fault: &Fault) -> String {
    let fault = fault.without_secrets();
    format!("{}: {}", fault.code.as_str(), fault.message)
}

/// The wire's word of something that is one.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// The same eight bytes for the same seed; never all zeros, which is no id.
fn span_id(seed: &str) -> [u8; 8] {
    let digest = Sha256::of(seed.as_bytes()).0;
    let mut id = [0; 8];
    id.copy_from_slice(&digest[..8]);
    if id == [0; 8] { [1; 8] } else { id }
}

/// Trace and span of a `traceparent`: `00-<trace>-<span>-<flags>`; `None` where it is none.
fn read_traceparent(text: &str) -> Option<([u8; 16], [u8; 8])> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lower = text.bytes().all(|byte| !byte.is_ascii_uppercase());
    let version = u8::from_str_radix(version, 16).ok().filter(|_| version.len() == 2)?;
    // Version 00 has four parts; later ones may have more, and 255 is forbidden.
    let known = version != 0xff && (version > 0 || parts.next().is_none()) && flags.len() == 2;
    let mut ids = ([0; 16], [0; 8]);
    hex::decode_to_slice(trace, &mut ids.0).ok()?;
    hex::decode_to_slice(span, &mut ids.1).ok()?;
    (lower && known && ids.0 != [0; 16] && ids.1 != [0; 8]).then_some(ids)
}

#[cfg(test)]
mod tests {
    use events::fault::FaultCode;
    use events::render::{AttemptFailed, LeaseGranted, PartStored, StoredObject, StoredPart};
    use events::render::{QueueReason, RenderFailed, RenderQueued};
    use events::work::Fingerprint;
    use events::{Actor, EventId, Position, StreamId, StreamVersion, Token, WorkerId, WorkspaceId};

    use super::*;

    const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// A render's life: each event with the second it was recorded in.
    fn life(events: &[(i64, RenderEvent)], traceparent: Option<&str>) -> Vec<Recorded> {
        let record = |(at, (second, event)): (usize, &(i64, RenderEvent))| Recorded {
            event_id: EventId::new(at as u128 + 1),
            stream_id: StreamId::from(RenderId::new(7)),
            stream_version: StreamVersion(at as u64 + 1),
            position: Position(at as u64 + 1),
            event: event.encode(),
            workspace_id: WorkspaceId::new(1),
            correlation_id: "request-1".to_owned(),
            causation_id: None,
            actor: Actor::system(),
            traceparent: traceparent.filter(|_| at == 0).map(str::to_owned),
            recorded_at: Timestamp(second * 1_000_000),
            hash: Sha256::of(b""),
        };
        events.iter().enumerate().map(record).collect()
    }

    fn queued() -> RenderEvent {
        RenderEvent::RenderQueued(RenderQueued {
            reason: QueueReason::Submitted,
            slot: None,
            not_before: None,
        })
    }

    fn leased(slot: Slot, attempt: u32) -> RenderEvent {
        let (worker, fingerprint) = (WorkerId::new(3), Fingerprint("engine".to_owned()));
        RenderEvent::LeaseGranted(LeaseGranted { slot, attempt, worker, fingerprint, ttl_ms: 1 })
    }

    fn token() -> Token {
        Token(StreamVersion(1))
    }

    fn fault() -> Fault {
        let message = "could not fetch http://u:S3CRET@h.example/a?S3CRET: refused".to_owned();
        let (code, element_id, path) = (FaultCode::InvalidSource, None, None);
        Fault { code, message, element_id, path, retryable: false }
    }

    fn stored(slot: Slot) -> RenderEvent {
        let object = StoredObject { key: "a".to_owned(), sha256: Sha256::of(b""), size_bytes: 1 };
        let part = StoredPart { slot, object, frames: 1, work_ms: 1 };
        RenderEvent::PartStored(PartStored { token: token(), part })
    }

    fn told(spans: &[Span]) -> Vec<(&str, i64, i64, bool)> {
        let seconds = |time: Timestamp| time.0 / 1_000_000;
        let told = spans
            .iter()
            .map(|span| (span.name.as_str(), seconds(span.start), seconds(span.end), span.error.is_some()));
        told.collect()
    }

    #[test]
    fn a_failed_render_tells_how_long_it_waited_and_what_each_attempt_did() {
        let part = Slot::Part(0);
        let failed = RenderEvent::AttemptFailed(AttemptFailed { slot: part, token: token(), fault: fault() });
        let events = life(
            &[
                (0, queued()),
                (5, leased(Slot::Audio, 1)),
                (6, leased(part, 1)),
                (8, failed),
                (9, leased(part, 2)),
                (11, stored(part)),
                (12, RenderEvent::RenderFailed(RenderFailed { fault: fault() })),
            ],
            Some(TRACEPARENT),
        );
        let spans = of_render(&events).expect("our own events");
        let expected = [
            ("render", 0, 12, true),
            ("queue", 0, 5, false),
            ("part/0", 6, 8, true),
            ("part/0 (attempt 2)", 9, 11, false),
            ("audio", 5, 12, false),
        ];
        assert_eq!(told(&spans), expected);
        assert!(spans.iter().all(|span| hex::encode(span.trace) == "4bf92f3577b34da6a3ce929d0e0e4736"));
        assert_eq!(
            spans[0].parent.map(hex::encode).as_deref(),
            Some("00f067aa0ba902b7"),
            "the caller's span"
        );
        assert!(spans[1..].iter().all(|span| span.parent == Some(spans[0].id)), "and all others are in ours");
        assert!(!format!("{spans:?}").contains("S3CRET"), "{spans:?}");
        assert_eq!(of_render(&events).expect("again"), spans, "told twice they are the same spans");
        let mut ids: Vec<_> = spans.iter().map(|span| span.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), spans.len(), "each has an id of its own");
    }

    #[test]
    fn without_a_context_the_render_is_the_trace_and_bad_contexts_are_none() {
        let render = RenderId::new(7);
        let own = |context: Option<&str>| {
            let trace = Trace::of(&life(&[(0, queued())], context)[0], render);
            trace.parent.is_none() && trace.id == render.bits().to_be_bytes()
        };
        assert!(own(None));
        for bad in [
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "nonsense",
        ] {
            assert!(own(Some(bad)), "{bad}");
        }
        assert!(!own(Some(TRACEPARENT)));
        assert!(
            !own(Some("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more")),
            "a later version"
        );
    }
}
