//! Events and commands in few words, with one worker's and one engine's names.

use events::job::{JobKind, ProgressStage};
use events::render::{
    Artifact, AttemptFailed, CancelRequested, LeaseExpired, LeaseGranted, PartRange, PartStored,
    PhaseChanged, Plan, QueueReason, RenderCancelled, RenderCompleted, RenderFailed, RenderPlanned,
    RenderQueued, RenderSubmitted, SlotReleased, StoredObject, StoredPart, Timings,
};
use events::work::{Fingerprint, Slot, Token};
use events::{Fault, FaultCode, RenderEvent, Sha256, StreamVersion, Timestamp, WorkerId};

use crate::render::{Claim, Command, Failure, Jitter};

pub(super) const NOW: Timestamp = Timestamp(1_800_000_000_000_000);
pub(super) const DEADLINE: Timestamp = Timestamp(1_800_000_060_000_000);
pub(super) const TTL_MS: u64 = 15_000;

pub(super) fn engine(name: &str) -> Fingerprint {
    Fingerprint(name.to_owned())
}

pub(super) fn token(version: u64) -> Token {
    Token(StreamVersion(version))
}

pub(super) fn request() -> RenderSubmitted {
    RenderSubmitted {
        kind: JobKind::Render,
        document: Sha256::of(b"a document"),
        contract_version: 1,
        output_format: "mp4".to_owned(),
        width: 1280,
        height: 720,
        duration: Some(10.0),
        frame_rate: "30".to_owned(),
        metadata_keys: Vec::new(),
        priority: 0,
        deadline: Some(DEADLINE),
        idempotency_key_hash: None,
        warnings: Vec::new(),
    }
}

/// Versions 1 and 2 of every stream.
pub(super) fn submitted() -> [RenderEvent; 2] {
    let queued = RenderQueued { reason: QueueReason::Submitted, slot: None, not_before: None };
    [RenderEvent::RenderSubmitted(request()), RenderEvent::RenderQueued(queued)]
}

pub(super) fn leased(slot: Slot, attempt: u32) -> RenderEvent {
    let (worker, fingerprint) = (WorkerId::new(1), engine("lavapipe"));
    RenderEvent::LeaseGranted(LeaseGranted { slot, attempt, worker, fingerprint, ttl_ms: TTL_MS })
}

pub(super) fn expired(slot: Slot, by: u64) -> RenderEvent {
    RenderEvent::LeaseExpired(LeaseExpired { slot, token: token(by) })
}

pub(super) fn released(slot: Slot, by: u64) -> RenderEvent {
    RenderEvent::SlotReleased(SlotReleased { slot, token: token(by) })
}

pub(super) fn rescued(slot: Slot) -> RenderEvent {
    RenderEvent::RenderQueued(RenderQueued {
        reason: QueueReason::Rescue,
        slot: Some(slot),
        not_before: None,
    })
}

pub(super) fn retried(slot: Slot, after_ms: i64) -> RenderEvent {
    let not_before = Some(NOW.plus_ms(after_ms));
    RenderEvent::RenderQueued(RenderQueued { reason: QueueReason::Retry, slot: Some(slot), not_before })
}

pub(super) fn object(key: &str) -> StoredObject {
    StoredObject { key: key.to_owned(), sha256: Sha256::of(key.as_bytes()), size_bytes: 7 }
}

/// 270 frames in three parts, the last one shorter.
pub(super) fn plan(audio: bool) -> Plan {
    Plan {
        generation: 1,
        fingerprint: engine("lavapipe"),
        frames: 270,
        duration: 9.0,
        parts: vec![
            PartRange { first: 0, count: 120 },
            PartRange { first: 120, count: 120 },
            PartRange { first: 240, count: 30 },
        ],
        audio,
        detail: object("plan"),
        warnings: Vec::new(),
        work_ms: 1,
    }
}

pub(super) fn planned(by: u64, plan: Plan) -> RenderEvent {
    RenderEvent::RenderPlanned(RenderPlanned { token: token(by), plan })
}

pub(super) fn part(index: u32) -> StoredPart {
    let frames = if index == 2 { 30 } else { 120 };
    StoredPart { slot: Slot::Part(index), object: object(&format!("part-{index}")), frames, work_ms: 1 }
}

pub(super) fn sound() -> StoredPart {
    StoredPart { slot: Slot::Audio, object: object("sound"), frames: 0, work_ms: 1 }
}

pub(super) fn stored(by: u64, part: StoredPart) -> RenderEvent {
    RenderEvent::PartStored(PartStored { token: token(by), part })
}

pub(super) fn phase(stage: ProgressStage) -> RenderEvent {
    RenderEvent::PhaseChanged(PhaseChanged { stage })
}

pub(super) fn fault(retryable: bool) -> Fault {
    Fault { code: FaultCode::EncodeFailed, message: "no".to_owned(), element_id: None, path: None, retryable }
}

pub(super) fn attempt_failed(slot: Slot, by: u64, fault: Fault) -> RenderEvent {
    RenderEvent::AttemptFailed(AttemptFailed { slot, token: token(by), fault })
}

pub(super) fn failed(fault: Fault) -> RenderEvent {
    RenderEvent::RenderFailed(RenderFailed { fault })
}

pub(super) fn cancelled() -> [RenderEvent; 2] {
    [RenderEvent::CancelRequested(CancelRequested {}), RenderEvent::RenderCancelled(RenderCancelled {})]
}

pub(super) fn completion(by: u64) -> RenderCompleted {
    let artifact = Artifact {
        object: object("film"),
        content_type: "video/mp4".to_owned(),
        filename: "film.mp4".to_owned(),
        width: 1280,
        height: 720,
        duration: 9.0,
        frame_count: 270,
        video_codec: "h264".to_owned(),
        audio_codec: None,
    };
    RenderCompleted { token: token(by), artifact, timings: Timings::default() }
}

pub(super) fn completed(by: u64) -> RenderEvent {
    RenderEvent::RenderCompleted(completion(by))
}

pub(super) fn claim(slot: Slot, engine_name: &str) -> Command {
    let (worker, fingerprint) = (WorkerId::new(1), engine(engine_name));
    Command::ClaimSlot(Claim { slot, worker, fingerprint, ttl_ms: TTL_MS })
}

pub(super) fn report_planned(by: u64, plan: Plan) -> Command {
    Command::ReportPlanned { token: token(by), plan: Box::new(plan) }
}

pub(super) fn store(by: u64, part: StoredPart) -> Command {
    Command::StorePart { token: token(by), part }
}

pub(super) fn fail(slot: Slot, by: u64, fault: Fault) -> Command {
    Command::Fail(Failure { slot, token: token(by), fault, now: NOW, jitter: Jitter::default() })
}

pub(super) fn expire(slot: Slot, by: u64) -> Command {
    Command::ExpireLease { slot, token: token(by) }
}

pub(super) fn release(slot: Slot, by: u64) -> Command {
    Command::Release { slot, token: token(by) }
}

pub(super) fn assembled(by: u64) -> Command {
    Command::Assembled(Box::new(completion(by)))
}
