//! The door that every test goes through: a command role over memory, with a clock that only the test moves.

use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use api::ServiceLimits;
use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use bus::{HintBus, WorkService};
use domain::render::Jitter;
use event_store::{EventStore, MemoryStore, Vault};
use events::job::ProgressStage;
use events::render::{Artifact, PartRange, Plan, StoredObject, StoredPart, Timings};
use events::work::{
    Claim, Fingerprint, Heartbeat, HeartbeatReply, Outcome, ReportReply, Slot, WorkOrder, WorkReport,
    object_key,
};
use events::{Fault, FaultCode, Recorded, RenderEvent, RenderId, Sha256, StreamId, Timestamp, WorkerId};
use serde_json::{Value, json};
use storage::{LinkSigner, LocalStorage, Storage};
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::world::World;
use crate::{CommandConfig, CommandRole, Space};

pub(super) const KEY: &str = "fl_live_the_tests_own_key";
pub(super) const ENGINE: &str = "lavapipe";
pub(super) const TTL_MS: u64 = 15_000;
pub(super) const START: Timestamp = Timestamp(1_800_000_000_000_000);

/// A role and everything around it.
pub(super) struct Service {
    pub(super) role: CommandRole,
    pub(super) store: Arc<MemoryStore>,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) world: Arc<StillWorld>,
    pub(super) bus: Arc<RecordingBus>,
    pub(super) disk: Arc<StillDisk>,
    router: Router,
    _folder: TempDir,
}

/// An HTTP answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn render(&self) -> RenderId {
        self.body["id"].as_str().and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("a job: {self:?}"))
    }

    /// `code` and the details' `(path, code)`.
    #[track_caller]
    pub(super) fn error(&self) -> (&str, Vec<(&str, &str)>) {
        let error = &self.body["error"];
        let details = error["details"].as_array().unwrap_or_else(|| panic!("an envelope: {self:?}"));
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "a message: {self:?}");
        let faults =
            details.iter().map(|it| (it["path"].as_str().unwrap_or(""), it["code"].as_str().unwrap_or("")));
        (error["code"].as_str().unwrap_or(""), faults.collect())
    }
}

impl Service {
    /// A service at its first start, with [`KEY`].
    pub(super) async fn start() -> Service {
        let service = Service::bare().await;
        service.role.ensure_first_workspace(Some(KEY.to_owned()), None).await.expect("an empty store");
        service
    }

    /// The same within other limits than the usual ones.
    pub(super) async fn within(limits: ServiceLimits) -> Service {
        let service = Service::bare_within(limits).await;
        service.role.ensure_first_workspace(Some(KEY.to_owned()), None).await.expect("an empty store");
        service
    }

    /// A service before its first start.
    pub(super) async fn bare() -> Service {
        Service::bare_within(ServiceLimits::default()).await
    }

    async fn bare_within(limits: ServiceLimits) -> Service {
        let folder = tempfile::tempdir().expect("a folder");
        let world = Arc::new(StillWorld::default());
        let clock = Arc::clone(&world);
        let store =
            Arc::new(MemoryStore::with_clock(move || START.plus_ms(clock.now_ms.load(Ordering::SeqCst))));
        let storage: Arc<dyn Storage> = Arc::new(LocalStorage::open(folder.path()).await.expect("storage"));
        let bus = Arc::new(RecordingBus::default());
        let disk = Arc::new(StillDisk::default());
        let role = role_over(&store, &storage, &bus, &world, &disk, limits.clone());
        let router =
            api::with_conventions(role.endpoints().into_router(), || "made-here".to_owned(), &limits);
        Service { role, store, storage, world, bus, disk, router, _folder: folder }
    }

    /// Another process's role over the same log, that has heard of no worker.
    pub(super) fn another_role(&self) -> CommandRole {
        self.another_role_within(ServiceLimits::default())
    }

    pub(super) fn another_role_within(&self, limits: ServiceLimits) -> CommandRole {
        role_over(&self.store, &self.storage, &self.bus, &self.world, &self.disk, limits)
    }

    /// Time goes by.
    pub(super) fn wait_ms(&self, ms: i64) {
        self.world.now_ms.fetch_add(ms, Ordering::SeqCst);
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("the router always answers");
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.expect("a body");
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(super) async fn post(&self, body: &Value) -> Answer {
        self.post_with(&[], body).await
    }

    pub(super) async fn post_with(&self, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.send(request(Method::POST, "/v1/renders", headers, body.to_string())).await
    }

    pub(super) async fn delete(&self, render: RenderId) -> Answer {
        self.send(request(Method::DELETE, &format!("/v1/renders/{render}"), &[], "")).await
    }

    /// Posts [`film`] and gives its name.
    pub(super) async fn submit(&self) -> RenderId {
        let answer = self.post(&film()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        answer.render()
    }

    fn work(&self) -> Arc<dyn WorkService> {
        self.role.work_service()
    }

    pub(super) async fn claim_with(&self, engine: &str) -> Option<WorkOrder> {
        let claim = Claim { worker: WorkerId::new(1), fingerprint: Fingerprint(engine.to_owned()) };
        self.work().claim(claim).await.expect("the store is up")
    }

    pub(super) async fn claim(&self) -> WorkOrder {
        self.claim_with(ENGINE).await.expect("something is due")
    }

    pub(super) async fn report(&self, order: &WorkOrder, outcome: Outcome) -> ReportReply {
        let WorkOrder { render, slot, token, .. } = *order;
        self.work().report(WorkReport { render, slot, token, outcome }).await.expect("the store is up")
    }

    pub(super) async fn beat(&self, order: &WorkOrder, units: u64, frames: u64) -> HeartbeatReply {
        let WorkOrder { render, slot, token, .. } = *order;
        let stage = if slot == Slot::Plan { ProgressStage::Downloading } else { ProgressStage::Compositing };
        let engine = Fingerprint(ENGINE.to_owned());
        let beat = Heartbeat { render, slot, token, engine, units, frames, stage };
        self.work().heartbeat(beat).await.expect("the store is up")
    }

    /// Claims the plan slot and reports a plan of two parts.
    pub(super) async fn planned(&self, audio: bool) -> RenderId {
        let render = self.submit().await;
        let order = self.claim().await;
        assert_eq!(order.slot, Slot::Plan);
        assert_eq!(self.report(&order, Outcome::Planned(plan(&order, audio))).await, ReportReply::Accepted);
        render
    }

    /// Claims what is due and stores it, until the film is complete.
    pub(super) async fn complete(&self) -> RenderId {
        let render = self.planned(false).await;
        for _ in 0..2 {
            let order = self.claim().await;
            assert_eq!(self.report(&order, Outcome::Stored(part(&order))).await, ReportReply::Accepted);
        }
        let order = self.claim().await;
        assert_eq!(self.report(&order, assembled(&order)).await, ReportReply::Accepted);
        render
    }

    pub(super) async fn recorded(&self, render: RenderId) -> Vec<Recorded> {
        self.store.load(&StreamId::from(render)).await.expect("memory")
    }

    pub(super) async fn events(&self, render: RenderId) -> Vec<RenderEvent> {
        let decode = |it: &Recorded| RenderEvent::decode(&it.event).expect("it decodes").expect("a render's");
        self.recorded(render).await.iter().map(decode).collect()
    }

    /// The types of a render's events, in order.
    pub(super) async fn history(&self, render: RenderId) -> Vec<String> {
        self.recorded(render).await.into_iter().map(|it| it.event.event_type).collect()
    }

    pub(super) async fn last_event(&self, render: RenderId) -> RenderEvent {
        self.events(render).await.pop().expect("a history")
    }
}

fn role_over(
    store: &Arc<MemoryStore>,
    storage: &Arc<dyn Storage>,
    bus: &Arc<RecordingBus>,
    world: &Arc<StillWorld>,
    disk: &Arc<StillDisk>,
    limits: ServiceLimits,
) -> CommandRole {
    let config = CommandConfig {
        store: Arc::clone(store) as Arc<dyn EventStore>,
        vault: Arc::new(Vault::with_master_key([7; 32].into())),
        storage: Arc::clone(storage),
        bus: Arc::clone(bus) as Arc<dyn HintBus>,
        links: Arc::new(LinkSigner::new("https://films.example", [9; 32])),
        lease_ttl_ms: TTL_MS,
        limits,
        space: Arc::clone(disk) as Arc<dyn Space>,
    };
    CommandRole::in_world(config, Arc::clone(world) as Arc<dyn World>)
}

/// An authenticated request; a header given twice replaces the first.
pub(super) fn request(
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Request<Body> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {KEY}"))
        .header("content-type", "application/json")
        .body(body.into())
        .expect("a request");
    for (name, value) in headers {
        let name: axum::http::HeaderName = name.parse().expect("a name");
        if value.is_empty() {
            request.headers_mut().remove(name);
        } else {
            request.headers_mut().insert(name, value.parse().expect("a value"));
        }
    }
    request
}

/// A small film.
pub(super) fn film() -> Value {
    json!({
        "width": 320, "height": 180,
        "elements": [{ "type": "text", "text": "Hello", "duration": 2 }],
        "metadata": { "customer": "7" },
    })
}

fn object(order: &WorkOrder, bytes: &str) -> StoredObject {
    let sha256 = Sha256::of(bytes.as_bytes());
    let key = object_key(order.render, order.slot, order.token, Some(sha256));
    StoredObject { key, sha256, size_bytes: bytes.len() as u64 }
}

/// Two parts of thirty frames.
pub(super) fn plan(order: &WorkOrder, audio: bool) -> Plan {
    Plan {
        generation: 1,
        fingerprint: Fingerprint(ENGINE.to_owned()),
        frames: 60,
        duration: 2.0,
        parts: vec![PartRange { first: 0, count: 30 }, PartRange { first: 30, count: 30 }],
        audio,
        detail: object(order, "detail"),
        warnings: Vec::new(),
        work_ms: 1,
    }
}

/// What the order's slot should have stored.
pub(super) fn part(order: &WorkOrder) -> StoredPart {
    let frames = if order.slot == Slot::Audio { 0 } else { 30 };
    StoredPart { slot: order.slot, object: object(order, "bytes"), frames, work_ms: 1 }
}

pub(super) fn assembled(order: &WorkOrder) -> Outcome {
    let artifact = Artifact {
        object: object(order, "film"),
        content_type: "video/mp4".to_owned(),
        filename: "film.mp4".to_owned(),
        width: 320,
        height: 180,
        duration: 2.0,
        frame_count: 60,
        video_codec: "h264".to_owned(),
        audio_codec: None,
    };
    Outcome::Assembled { artifact, timings: Timings { plan_ms: 1, ..Timings::default() } }
}

pub(super) fn failure(retryable: bool) -> Outcome {
    let message = "the encoder gave up".to_owned();
    Outcome::Failed(Fault { code: FaultCode::EncodeFailed, message, element_id: None, path: None, retryable })
}

/// A world whose time the test moves, and whose identifiers count up.
#[derive(Debug, Default)]
pub(super) struct StillWorld {
    now_ms: AtomicI64,
    ids: AtomicU64,
}

impl World for StillWorld {
    fn id(&self) -> u128 {
        u128::from(self.ids.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn jitter(&self) -> Jitter {
        Jitter::default()
    }

    fn secret(&self, bytes: &mut [u8]) {
        bytes.fill(u8::try_from(self.ids.fetch_add(1, Ordering::SeqCst) % 250).expect("below 250"));
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.now_ms.load(Ordering::SeqCst)).expect("time only goes on")
    }
}

/// A disk with as much room as the test says.
#[derive(Debug)]
pub(super) struct StillDisk {
    pub(super) free_bytes: AtomicU64,
}

impl Default for StillDisk {
    fn default() -> StillDisk {
        StillDisk { free_bytes: AtomicU64::new(u64::MAX) }
    }
}

impl Space for StillDisk {
    fn free_bytes(&self) -> std::io::Result<u64> {
        Ok(self.free_bytes.load(Ordering::SeqCst))
    }
}

/// A bus that remembers what workers would have been told.
#[derive(Debug, Default)]
pub(super) struct RecordingBus {
    pub(super) hints: AtomicUsize,
    pub(super) cancellations: Mutex<Vec<RenderId>>,
}

impl RecordingBus {
    pub(super) fn cancelled(&self) -> Vec<RenderId> {
        self.cancellations.lock().expect("nobody panicked").clone()
    }
}

#[async_trait]
impl HintBus for RecordingBus {
    fn hint_work(&self) {
        self.hints.fetch_add(1, Ordering::SeqCst);
    }

    fn push_cancellation(&self, render: RenderId) {
        self.cancellations.lock().expect("nobody panicked").push(render);
    }

    fn serve(&self, _service: Arc<dyn WorkService>) {}
}
