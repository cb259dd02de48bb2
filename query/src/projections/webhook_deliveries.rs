//! The table `webhook_deliveries`: one row per event and endpoint, with the bytes that will be sent.
//!
//! A row is keyed by its event and endpoint: meeting the event again adds nothing and changes nothing. The one
//! projection that is never rebuilt by swapping. Where it starts on a log that already has a history (an import, a lost
//! file), rows born from that history are `skipped`: nobody is told last year's news.
//!
//! A job with a `webhook_url` of its own is told of there; any other at its workspace's endpoints, as they were when the
//! event happened. An endpoint that is disabled or deleted is sent nothing more.
//!
//! Progress is fleeting: a newer delivery for the same job, its end above all, drops an older progress that has not
//! arrived. Address and body are sealed with the workspace's key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::{Hook, Shape};
use async_trait::async_trait;
use event_store::{EventStore, WorkspaceKey};
use events::job::Job;
use events::job_view::JobView;
use events::news::{News, PROCESSING, TEST};
use events::workspace::WebhookReplayed;
use events::workspace_view::{WebhookView, WorkspaceView};
use events::{
    DeliveryId, EventId, Position, Recorded, RenderEvent, RenderId, Sha256, StreamId, StreamVersion,
    Timestamp, WebhookId, WorkspaceEvent, WorkspaceId,
};
use schemars::JsonSchema;
use serde::Serialize;
use storage::LinkSigner;

use crate::documents::{DocumentFacts, Documents};
use crate::projections::{ProjectError, Projection};
use crate::read_db::Writing;
use crate::webhooks::ledger;

/// Jobs whose state is remembered from one event to the next; further ones are folded from their beginning.
const FOLLOWED_MAX: usize = 1024;

/// Events of a workspace looked at in one go for a replay.
const PAGE: u32 = 256;

mod rows;

pub(crate) use rows::begin;

/// The projection.
#[derive(Debug)]
pub struct WebhookDeliveries {
    store: Arc<dyn EventStore>,
    documents: Documents,
    links: Arc<LinkSigner>,
    /// The end of the history that was there before this table.
    history: Position,
    followed: Mutex<HashMap<RenderId, Followed>>,
    /// The endpoints of workspaces, as of the last event that was looked at.
    endpoints: Mutex<HashMap<WorkspaceId, Arc<Vec<WebhookView>>>>,
}

/// What an event means for endpoints.
#[derive(Debug, Default)]
pub enum Facts {
    /// Nothing.
    #[default]
    Nothing,
    /// They are told of it.
    Tell(Box<Telling>),
    /// One is told of nothing more.
    Silence(WebhookId),
    /// One is tried.
    Test(Box<Trial>),
    /// One is told once more of what has happened.
    Replay(Vec<(Recorded, Telling)>),
}

/// An endpoint that is tried, and the key of its workspace.
#[derive(Debug)]
pub struct Trial {
    target: Target,
    key: WorkspaceKey,
}

/// What is told, and to whom.
#[derive(Debug)]
pub struct Telling {
    as_of: JobAsOf,
    news: News,
    targets: Vec<Target>,
}

/// Whom an event is told to.
#[derive(Debug)]
struct Target {
    /// The workspace's endpoint; `None`: the job's own.
    webhook: Option<WebhookId>,
    url: String,
}

/// What is written for an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A delivery is to be made.
    Deliver(Box<Delivery>),
    /// What waits for an endpoint is not to be.
    Silence(Sha256),
}

/// A job that is being told of.
#[derive(Debug, Clone)]
struct Followed {
    document: Arc<DocumentFacts>,
    /// Its state at the last event that was told.
    view: Option<JobView>,
}

/// What must be known to tell of an event: the job as of it, the caller's words, and the key they are sealed with.
#[derive(Debug)]
pub struct JobAsOf {
    view: JobView,
    document: Arc<DocumentFacts>,
    key: WorkspaceKey,
}

/// A delivery to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Made from event and endpoint: the same whenever it is worked out.
    pub id: DeliveryId,
    /// The event it tells of.
    pub event_id: EventId,
    /// Whose.
    pub workspace_id: WorkspaceId,
    /// The job; `None`: it tells of none.
    pub job_id: Option<RenderId>,
    /// The workspace's endpoint; `None`: the job's own.
    pub webhook: Option<WebhookId>,
    /// `render.completed`, …
    pub event_type: &'static str,
    /// Whether newer news takes its place.
    pub fleeting: bool,
    /// The event's position.
    pub sequence: Position,
    /// The digest of the job's own address, or of the endpoint's name.
    pub endpoint: Sha256,
    /// The digest of its host and port.
    pub host: Sha256,
    /// Where to, sealed.
    pub url: Vec<u8>,
    /// The exact bytes, sealed.
    pub body: Vec<u8>,
    /// The event's time, microseconds since 1970.
    pub created_at: i64,
    /// Whether it is older than this table, and so not sent.
    pub skipped: bool,
    /// It is to be sent once more, whatever came of it before: since when.
    pub again: Option<Timestamp>,
}

/// The body of a webhook.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookBody_{D}")]
struct Body<'b, D> {
    /// The event's id: the same at every attempt and replay, so that doubles can be dropped.
    id: EventId,
    /// What happened.
    #[serde(rename = "type")]
    event_type: &'static str,
    /// When it happened.
    #[schemars(extend("format" = "date-time"))]
    created_at: String,
    /// Whose it is.
    workspace_id: WorkspaceId,
    /// The event's place in the log: webhooks may arrive out of order, this sorts them.
    sequence: u64,
    /// The job as of that event.
    data: &'b D,
}

/// What a message tells that tries an endpoint.
#[derive(Debug, Serialize, JsonSchema)]
struct Tried {
    /// The endpoint.
    webhook_id: WebhookId,
}

/// The webhooks that this projection makes.
pub(crate) fn hooks() -> Vec<Hook> {
    let text = "Posted to the job's `webhook_url`, or where there is none to the workspace's endpoints. Answer with 2xx within 10 s; check the signature before believing it.";
    let hook = |name, summary| Hook::new(name, summary, text, Shape::of::<Body<'static, Job>>());
    let trial = "Posted to one endpoint where somebody asks for it.";
    vec![
        hook("render.queued", "A job waits for a worker; told at a workspace's endpoints only"),
        hook("render.processing", "A worker has begun; told at a workspace's endpoints only"),
        hook("render.progress", "A job goes on; a newer one takes the place of one that has not arrived"),
        hook("render.completed", "A film is ready"),
        hook("render.failed", "A job has failed"),
        hook("render.cancelled", "A job was cancelled"),
        Hook::new(TEST, "An endpoint is tried", trial, Shape::of::<Body<'static, Tried>>()),
    ]
}

impl WebhookDeliveries {
    /// The projection over this log. `history`: the log's end when this table was first made.
    #[must_use]
    pub fn new(
        store: Arc<dyn EventStore>,
        documents: Documents,
        links: Arc<LinkSigner>,
        history: Position,
    ) -> WebhookDeliveries {
        let (followed, endpoints) = (Mutex::default(), Mutex::default());
        WebhookDeliveries { store, documents, links, history, followed, endpoints }
    }

    /// The job as of the event: a fold of its stream up to there and no further; `None` where nobody is told of it.
    async fn job_as_of(
        &self,
        event: &Recorded,
        goes_on: bool,
        heard: bool,
    ) -> Result<Option<JobAsOf>, ProjectError> {
        let Some(render) = event.stream_id.render() else { return Ok(None) };
        let known = self.followed().remove(&render);
        let (document, known) = match known {
            Some(known) => (known.document, known.view),
            None => (self.document(event).await?, None),
        };
        let told = heard || document.webhook_url.is_some();
        // Of a job that is told to nobody only that is remembered.
        let view = if told { self.view(event, known).await? } else { None };
        if goes_on {
            let mut followed = self.followed();
            if followed.len() >= FOLLOWED_MAX {
                followed.clear();
            }
            followed.insert(render, Followed { document: Arc::clone(&document), view: view.clone() });
        }
        let Some(view) = view else { return Ok(None) };
        let key = self.documents.key(view.workspace_id).await?;
        Ok(key.map(|key| JobAsOf { view, document, key }))
    }

    async fn document(&self, event: &Recorded) -> Result<Arc<DocumentFacts>, ProjectError> {
        let first = self.store.load_after(&event.stream_id, StreamVersion(0), 1).await?;
        let Some(view) = JobView::fold(&first)? else { return Ok(Arc::default()) };
        Ok(Arc::new(self.documents.facts(view.workspace_id, view.document).await?))
    }

    /// The fold up to the event, from what is known of it.
    async fn view(&self, event: &Recorded, known: Option<JobView>) -> Result<Option<JobView>, ProjectError> {
        let mut view = known.filter(|view| view.version < event.stream_version);
        let from = view.as_ref().map_or(StreamVersion(0), |view| view.version);
        let missing = u32::try_from(event.stream_version.0 - from.0).unwrap_or(u32::MAX);
        for recorded in self.store.load_after(&event.stream_id, from, missing).await? {
            if let Some(decoded) = RenderEvent::decode(&recorded.event)? {
                view = JobView::apply(view, &decoded, &recorded);
            }
        }
        Ok(view)
    }

    /// The workspace's endpoints that are told of such an event, as they were when it happened.
    async fn hearing(&self, event: &Recorded, event_type: &str) -> Result<Vec<WebhookView>, ProjectError> {
        let workspace = event.workspace_id;
        let known = self.endpoints().get(&workspace).cloned();
        let known = match known {
            Some(known) => known,
            None => {
                let events = self.store.load(&StreamId::from(workspace)).await?;
                let before = events.iter().filter(|other| other.position < event.position);
                let webhooks = WorkspaceView::fold(before)?.map(|view| view.webhooks).unwrap_or_default();
                let webhooks = Arc::new(webhooks);
                let mut endpoints = self.endpoints();
                if endpoints.len() >= FOLLOWED_MAX {
                    endpoints.clear();
                }
                endpoints.insert(workspace, Arc::clone(&webhooks));
                webhooks
            }
        };
        Ok(known.iter().filter(|webhook| webhook.settings.hears(event_type)).cloned().collect())
    }

    /// Whether no worker had a part of the render before this lease.
    async fn is_first_lease(&self, event: &Recorded) -> Result<bool, ProjectError> {
        let before = u32::try_from(event.stream_version.0.saturating_sub(1)).unwrap_or(u32::MAX);
        // The first one comes soon; a long history need not be read for each of the others.
        if before > FIRST_LEASE_BY {
            return Ok(false);
        }
        let earlier = self.store.load_after(&event.stream_id, StreamVersion(0), before).await?;
        Ok(earlier.iter().all(|other| other.event.event_type != "LeaseGranted"))
    }

    /// Where the news goes: to the job's own address, or else to the endpoints that hear of it.
    async fn targets(
        &self,
        news: News,
        as_of: &JobAsOf,
        hearing: Vec<WebhookView>,
    ) -> Result<Vec<Target>, ProjectError> {
        if let Some(url) = &as_of.document.webhook_url {
            let own = Target { webhook: None, url: url.clone() };
            return Ok(news.for_the_job.then_some(own).into_iter().collect());
        }
        let mut targets = Vec::with_capacity(hearing.len());
        for webhook in hearing {
            let url = self.documents.text(as_of.view.workspace_id, webhook.settings.address).await?;
            targets.extend(url.map(|url| Target { webhook: Some(webhook.id), url }));
        }
        Ok(targets)
    }

    /// What an event of the workspace itself means.
    async fn workspace_facts(
        &self,
        event: &Recorded,
        decoded: WorkspaceEvent,
    ) -> Result<Facts, ProjectError> {
        Ok(match decoded {
            WorkspaceEvent::WebhookTested(tested) => {
                let target = self.target(event, tested.webhook_id).await?;
                let key = self.documents.key(event.workspace_id).await?;
                let trial = target.zip(key).map(|((target, _), key)| Trial { target, key });
                trial.map_or(Facts::Nothing, |trial| Facts::Test(Box::new(trial)))
            }
            WorkspaceEvent::WebhookReplayed(replay) => Facts::Replay(self.replayed(event, &replay).await?),
            other => silenced(&other).map_or(Facts::Nothing, Facts::Silence),
        })
    }

    /// An endpoint as it was when the event happened, whether it is told of anything or not.
    async fn target(
        &self,
        event: &Recorded,
        webhook_id: WebhookId,
    ) -> Result<Option<(Target, WebhookView)>, ProjectError> {
        let events = self.store.load(&StreamId::from(event.workspace_id)).await?;
        let before = events.iter().filter(|other| other.position < event.position);
        let webhooks = WorkspaceView::fold(before)?.map(|view| view.webhooks).unwrap_or_default();
        let Some(webhook) = webhooks.into_iter().find(|webhook| webhook.id == webhook_id) else {
            return Ok(None);
        };
        let url = self.documents.text(event.workspace_id, webhook.settings.address).await?;
        Ok(url.map(|url| (Target { webhook: Some(webhook.id), url }, webhook)))
    }

    /// What a replay tells of. Jobs with an address of their own were told of there.
    async fn replayed(
        &self,
        event: &Recorded,
        replay: &WebhookReplayed,
    ) -> Result<Vec<(Recorded, Telling)>, ProjectError> {
        let Some((target, webhook)) = self.target(event, replay.webhook_id).await? else {
            return Ok(Vec::new());
        };
        let mut told = Vec::new();
        let mut after = Position(replay.from.0.saturating_sub(1));
        while after < replay.to {
            let page = self.store.read_workspace_after(event.workspace_id, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.position;
            for event in page.into_iter().filter(|event| event.position <= replay.to) {
                let news = News::of(&event)?.filter(News::lasts);
                let Some(news) = news.filter(|news| replay.tells(&webhook.settings, news.event_type)) else {
                    continue;
                };
                if news.event_type == PROCESSING && !self.is_first_lease(&event).await? {
                    continue;
                }
                let Some(as_of) = self.job_as_of(&event, false, true).await? else { continue };
                if as_of.document.webhook_url.is_none() {
                    let target = Target { url: target.url.clone(), ..target };
                    told.push((event, Telling { as_of, news, targets: vec![target] }));
                }
            }
        }
        Ok(told)
    }

    /// The deliveries of an event, with the bytes that will be sent.
    fn deliveries(
        &self,
        event: &Recorded,
        telling: Telling,
        again: Option<Timestamp>,
    ) -> Result<Vec<Change>, ProjectError> {
        let Telling { as_of: JobAsOf { view, document, key }, news, targets } = telling;
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        let at = view.completed_at.unwrap_or(event.recorded_at);
        let job = view.present(document.metadata.clone(), |artifact| self.links.artifact(artifact, at));
        let body = body(event, news.event_type, &job)?;
        let deliver = |target: Target| {
            let delivery = sealed(event, news, Some(view.id), &target, &key, &body);
            let skipped = again.is_none() && event.position <= self.history;
            Change::Deliver(Box::new(Delivery { skipped, again, ..delivery }))
        };
        Ok(targets.into_iter().map(deliver).collect())
    }

    /// The delivery that tries an endpoint.
    fn trial(&self, event: &Recorded, trial: &Trial) -> Result<Change, ProjectError> {
        let news = News { event_type: TEST, fleeting: false, for_the_job: false };
        let Some(webhook_id) = trial.target.webhook else {
            let what = "a trial without an endpoint".to_owned();
            return Err(ProjectError::Row { table: Self::NAME, what });
        };
        let body = body(event, TEST, &Tried { webhook_id })?;
        let delivery = sealed(event, news, None, &trial.target, &trial.key, &body);
        Ok(Change::Deliver(Box::new(Delivery { skipped: event.position <= self.history, ..delivery })))
    }

    fn endpoints(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Arc<Vec<WebhookView>>>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn followed(&self) -> MutexGuard<'_, HashMap<RenderId, Followed>> {
        // A panic while the lock was held can only have come from a bug that has been reported already.
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A render's first lease is among its first events.
const FIRST_LEASE_BY: u32 = 16;

/// The endpoint that a workspace's event silences.
fn silenced(event: &WorkspaceEvent) -> Option<WebhookId> {
    match event {
        WorkspaceEvent::WebhookDeleted(deleted) => Some(deleted.webhook_id),
        WorkspaceEvent::WebhookDisabled(disabled) => Some(disabled.webhook_id),
        WorkspaceEvent::WebhookChanged(changed) if !changed.settings.enabled => Some(changed.webhook_id),
        _ => None,
    }
}

/// The endpoint's name in keys: the digest of its address.
#[must_use]
pub fn endpoint(url: &str) -> Sha256 {
    Sha256::of(url.as_bytes())
}

/// The name of a workspace's endpoint in keys: two with one address are two.
pub(crate) fn own_endpoint(webhook: WebhookId) -> Sha256 {
    Sha256::of(webhook.to_string().as_bytes())
}

/// A delivery's id: made from event and endpoint.
fn delivery_id(event: EventId, endpoint: Sha256) -> DeliveryId {
    DeliveryId::new(Sha256::of(format!("{event} {endpoint}").as_bytes()).first_128_bits())
}

/// What a delivery's address is sealed in.
pub(crate) fn url_context(delivery: DeliveryId) -> Vec<u8> {
    format!("webhook address {delivery}").into_bytes()
}

/// What a delivery's body is sealed in.
pub(crate) fn body_context(delivery: DeliveryId) -> Vec<u8> {
    format!("webhook body {delivery}").into_bytes()
}

#[async_trait]
impl Projection for WebhookDeliveries {
    const NAME: &'static str = "webhook_deliveries";
    const VERSION: u32 = 1;
    type Facts = Facts;
    type Change = Change;

    async fn gather(&self, event: &Recorded) -> Result<Facts, ProjectError> {
        if event.stream_id.render().is_none() {
            let Some(decoded) = WorkspaceEvent::decode(&event.event)? else { return Ok(Facts::Nothing) };
            self.endpoints().remove(&event.workspace_id);
            return self.workspace_facts(event, decoded).await;
        }
        let Some(news) = News::of(event)? else { return Ok(Facts::Nothing) };
        // Stored bytes that can't be decoded stop the projection here rather than send a wrong body.
        RenderEvent::decode(&event.event)?;
        let hearing = self.hearing(event, news.event_type).await?;
        if !news.for_the_job && hearing.is_empty() {
            return Ok(Facts::Nothing);
        }
        if news.event_type == PROCESSING && !self.is_first_lease(event).await? {
            return Ok(Facts::Nothing);
        }
        let goes_on = news.fleeting || !news.for_the_job;
        let Some(as_of) = self.job_as_of(event, goes_on, !hearing.is_empty()).await? else {
            return Ok(Facts::Nothing);
        };
        let targets = self.targets(news, &as_of, hearing).await?;
        Ok(Facts::Tell(Box::new(Telling { as_of, news, targets })))
    }

    fn changes(&self, event: &Recorded, facts: Facts) -> Result<Vec<Change>, ProjectError> {
        match facts {
            Facts::Nothing => Ok(Vec::new()),
            Facts::Silence(webhook) => Ok(vec![Change::Silence(own_endpoint(webhook))]),
            Facts::Tell(telling) => self.deliveries(event, *telling, None),
            Facts::Test(trial) => self.trial(event, &trial).map(|delivery| vec![delivery]),
            Facts::Replay(told) => {
                let again = Some(event.recorded_at);
                let told = told.into_iter().map(|(event, telling)| self.deliveries(&event, telling, again));
                Ok(told.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
            }
        }
    }

    async fn write(
        &self,
        transaction: &mut Writing,
        _generation: i64,
        changes: Vec<Change>,
    ) -> Result<(), ProjectError> {
        for change in changes {
            match change {
                Change::Deliver(delivery) => rows::deliver(transaction, &delivery).await?,
                Change::Silence(endpoint) => {
                    ledger::silence(transaction, &endpoint.to_string(), None).await?
                }
            }
        }
        Ok(())
    }
}

/// The bytes that are sent.
fn body<D: Serialize>(event: &Recorded, event_type: &'static str, data: &D) -> Result<Vec<u8>, ProjectError> {
    let body = Body {
        id: event.event_id,
        event_type,
        created_at: event.recorded_at.to_string(),
        workspace_id: event.workspace_id,
        sequence: event.position.0,
        data,
    };
    let bad = |error: serde_json::Error| ProjectError::Row {
        table: WebhookDeliveries::NAME,
        what: error.to_string(),
    };
    serde_json::to_vec(&body).map_err(bad)
}

/// A delivery to be made, sealed.
fn sealed(
    event: &Recorded,
    news: News,
    job_id: Option<RenderId>,
    target: &Target,
    key: &WorkspaceKey,
    body: &[u8],
) -> Delivery {
    let endpoint = target.webhook.map_or_else(|| endpoint(&target.url), own_endpoint);
    let id = delivery_id(event.event_id, endpoint);
    Delivery {
        id,
        event_id: event.event_id,
        workspace_id: event.workspace_id,
        job_id,
        webhook: target.webhook,
        event_type: news.event_type,
        fleeting: news.fleeting,
        sequence: event.position,
        endpoint,
        host: Sha256::of(host(&target.url).as_bytes()),
        url: key.seal(&url_context(id), target.url.as_bytes()),
        body: key.seal(&body_context(id), body),
        created_at: event.recorded_at.0,
        skipped: false,
        again: None,
    }
}

/// Host and port of an address: whose requests in flight are counted together.
fn host(url: &str) -> String {
    let parsed = url::Url::parse(url).ok();
    let host =
        parsed.as_ref().and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
    host.unwrap_or_default()
}
