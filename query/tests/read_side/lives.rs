//! Renders' lives, written by hand: what the command side would have appended.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use event_store::{Append, EventStore, NewQueueRow, SideRow, StreamAppend, WorkspaceKey, documents};
use events::job::{JobKind, ProgressStage};
use events::render::{
    Artifact, LeaseGranted, PartRange, PartStored, Plan, ProgressMarked, QueueReason, RenderCancelled,
    RenderCompleted, RenderFailed, RenderPlanned, RenderQueued, RenderSubmitted, StoredObject, StoredPart,
    Timings,
};
use events::work::Fingerprint;
use events::{
    Actor, EventId, Fault, FaultCode, NewEvent, RenderEvent, RenderId, Sha256, Slot, StreamId, StreamVersion,
    Token, WorkerId, WorkspaceId,
};
use serde_json::json;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A number that no other caller has.
pub(crate) fn fresh() -> u128 {
    u128::from(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A render being told.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) id: RenderId,
    pub(crate) workspace: WorkspaceId,
    version: StreamVersion,
}

/// What the caller wrote.
#[derive(Debug, Clone, Default)]
pub(crate) struct Document {
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) webhook_url: Option<String>,
}

impl Document {
    pub(crate) fn with_webhook(url: &str) -> Document {
        Document { webhook_url: Some(url.to_owned()), ..Document::default() }
    }

    pub(crate) fn with_metadata(pairs: &[(&str, &str)]) -> Document {
        let metadata = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Document { metadata, ..Document::default() }
    }
}

impl Life {
    /// A submitted render, queued at once.
    pub(crate) async fn begin(
        store: &dyn EventStore,
        workspace: WorkspaceId,
        key: &WorkspaceKey,
        document: &Document,
    ) -> Life {
        let id = RenderId::new(fresh());
        let plain = json!({ "canvas": {}, "metadata": document.metadata, "webhook_url": document.webhook_url,
                            "unique": id.to_string() });
        let (sha256, row) = documents::seal_document(key, workspace, plain.to_string().as_bytes());
        let mut life = Life { id, workspace, version: StreamVersion(0) };
        let queue = NewQueueRow {
            render: id,
            slot: Slot::Plan,
            workspace,
            priority: 0,
            fingerprint: None,
            not_before: None,
            begun: false,
        };
        let events = [submitted(sha256, document), queued()];
        life.append_with(store, &events, vec![row, SideRow::Enqueue(queue)]).await;
        life
    }

    pub(crate) async fn append(&mut self, store: &dyn EventStore, events: &[RenderEvent]) {
        self.append_with(store, events, Vec::new()).await;
    }

    async fn append_with(&mut self, store: &dyn EventStore, events: &[RenderEvent], rows: Vec<SideRow>) {
        let new = events.iter().map(|event| NewEvent {
            event_id: EventId::new(fresh()),
            event: event.encode(),
            workspace_id: self.workspace,
            correlation_id: "test".to_owned(),
            causation_id: None,
            actor: Actor::system(),
            traceparent: None,
        });
        let stream =
            StreamAppend { stream: StreamId::from(self.id), expected: self.version, events: new.collect() };
        let append = Append { streams: vec![stream], rows, guards: Vec::new() };
        let recorded = store.append(append).await.expect("to append");
        self.version = recorded.last().map_or(self.version, |last| last.stream_version);
    }
}

fn submitted(document: Sha256, words: &Document) -> RenderEvent {
    RenderEvent::RenderSubmitted(RenderSubmitted {
        kind: JobKind::Render,
        document,
        contract_version: 1,
        output_format: "mp4".to_owned(),
        width: 1280,
        height: 720,
        duration: Some(2.0),
        frame_rate: "30".to_owned(),
        metadata_keys: words.metadata.keys().cloned().collect(),
        priority: 0,
        deadline: None,
        idempotency_key_hash: None,
        warnings: Vec::new(),
    })
}

fn queued() -> RenderEvent {
    RenderEvent::RenderQueued(RenderQueued { reason: QueueReason::Submitted, slot: None, not_before: None })
}

pub(crate) fn leased() -> RenderEvent {
    RenderEvent::LeaseGranted(LeaseGranted {
        slot: Slot::Plan,
        attempt: 1,
        worker: WorkerId::new(5),
        fingerprint: Fingerprint("engine".to_owned()),
        ttl_ms: 300,
    })
}

pub(crate) fn planned(duration: f64, frames: u64) -> RenderEvent {
    let detail =
        StoredObject { key: "renders/x/plan/3".to_owned(), sha256: Sha256::of(b"plan"), size_bytes: 4 };
    let plan = Plan {
        generation: 1,
        fingerprint: Fingerprint("engine".to_owned()),
        frames,
        duration,
        parts: vec![PartRange { first: 0, count: frames }],
        audio: false,
        detail,
        warnings: Vec::new(),
        work_ms: 1,
    };
    RenderEvent::RenderPlanned(RenderPlanned { token: Token(StreamVersion(3)), plan })
}

pub(crate) fn progress(percent: u8) -> RenderEvent {
    RenderEvent::ProgressMarked(ProgressMarked { percent, stage: ProgressStage::Compositing })
}

pub(crate) fn part_stored() -> RenderEvent {
    let object =
        StoredObject { key: "renders/x/part-0/3".to_owned(), sha256: Sha256::of(b"part"), size_bytes: 4 };
    let part = StoredPart { slot: Slot::Part(0), object, frames: 60, work_ms: 900 };
    RenderEvent::PartStored(PartStored { token: Token(StreamVersion(3)), part })
}

pub(crate) fn completed(key: &str, bytes: &[u8], filename: &str) -> RenderEvent {
    let object =
        StoredObject { key: key.to_owned(), sha256: Sha256::of(bytes), size_bytes: bytes.len() as u64 };
    RenderEvent::RenderCompleted(RenderCompleted {
        token: Token(StreamVersion(3)),
        artifact: Artifact {
            object,
            content_type: "video/mp4".to_owned(),
            filename: filename.to_owned(),
            width: 1280,
            height: 720,
            duration: 2.0,
            frame_count: 60,
            video_codec: "h264".to_owned(),
            audio_codec: None,
        },
        timings: Timings::default(),
    })
}

pub(crate) fn failed() -> RenderEvent {
    let fault = Fault {
        code: FaultCode::SourceNotFound,
        message: "could not fetch http://h.example/a.mp4: the server answered 404 Not Found".to_owned(),
        element_id: None,
        path: Some("/elements/0/source_url".to_owned()),
        retryable: false,
    };
    RenderEvent::RenderFailed(RenderFailed { fault })
}

pub(crate) fn cancelled() -> RenderEvent {
    RenderEvent::RenderCancelled(RenderCancelled {})
}
