//! The table `webhook_deliveries`: one row per event and endpoint, with the bytes that will be sent.
//!
//! A row is keyed by its event and endpoint: meeting the event again adds nothing and changes nothing. The one
//! projection that is never rebuilt by swapping. Where it starts on a log that already has a history (an import, a lost
//! file), rows born from that history are `skipped`: nobody is told last year's news.

use std::sync::Arc;

use async_trait::async_trait;
use event_store::EventStore;
use events::job::Job;
use events::job_view::JobView;
use events::{DeliveryId, EventId, Position, Recorded, RenderEvent, RenderId, Sha256, WorkspaceId};
use serde::Serialize;
use sqlx::SqliteConnection;
use storage::LinkSigner;

use crate::documents::{DocumentFacts, Documents};
use crate::projections::{ProjectError, Projection};

/// The projection.
#[derive(Debug, Clone)]
pub struct WebhookDeliveries {
    store: Arc<dyn EventStore>,
    documents: Documents,
    links: Arc<LinkSigner>,
    /// The end of the history that was there before this table.
    history: Position,
}

/// What must be known of a job that has reached its end: the fold up to the event, and the caller's words.
#[derive(Debug, Clone, PartialEq)]
pub struct JobAsOf {
    view: JobView,
    document: DocumentFacts,
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
    /// The job.
    pub job_id: RenderId,
    /// `render.completed`, …
    pub event_type: &'static str,
    /// The event's position.
    pub sequence: Position,
    /// Where to.
    pub url: String,
    /// The exact bytes.
    pub body: Vec<u8>,
    /// The event's time, microseconds since 1970.
    pub created_at: i64,
    /// Whether it is older than this table, and so not sent.
    pub skipped: bool,
}

/// The body of a webhook.
#[derive(Debug, Serialize)]
struct Body<'b> {
    id: EventId,
    #[serde(rename = "type")]
    event_type: &'static str,
    created_at: String,
    workspace_id: WorkspaceId,
    sequence: u64,
    data: &'b Job,
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
        WebhookDeliveries { store, documents, links, history }
    }

    /// The job as of the event: a fold of its stream up to there and no further.
    async fn job_as_of(&self, event: &Recorded) -> Result<Option<JobAsOf>, ProjectError> {
        let mut stream = self.store.load(&event.stream_id).await?;
        stream.retain(|earlier| earlier.stream_version <= event.stream_version);
        debug_assert_eq!(
            stream.last().map(|last| last.stream_version),
            Some(event.stream_version),
            "an event of the log is in its stream"
        );
        let Some(view) = JobView::fold(&stream)? else { return Ok(None) };
        let document = self.documents.facts(view.workspace_id, view.document).await?;
        Ok(Some(JobAsOf { view, document }))
    }
}

/// The public name of an event that a job's own webhook is told of: its end.
fn announced(event: &Recorded) -> Option<&'static str> {
    match event.event.event_type.as_str() {
        "RenderCompleted" => Some("render.completed"),
        "RenderFailed" => Some("render.failed"),
        "RenderCancelled" => Some("render.cancelled"),
        _ => None,
    }
}

/// The endpoint's name in keys: the digest of its address.
#[must_use]
pub fn endpoint(url: &str) -> Sha256 {
    Sha256::of(url.as_bytes())
}

/// A delivery's id: the first 128 bits of the digest of event and endpoint.
fn delivery_id(event: EventId, endpoint: Sha256) -> DeliveryId {
    let digest = Sha256::of(format!("{event} {endpoint}").as_bytes());
    let (bits, _) = digest.0.split_first_chunk().expect("a digest has more than 16 bytes");
    DeliveryId::new(u128::from_be_bytes(*bits))
}

#[async_trait]
impl Projection for WebhookDeliveries {
    const NAME: &'static str = "webhook_deliveries";
    const VERSION: u32 = 1;
    type Facts = Option<JobAsOf>;
    type Change = Delivery;

    async fn gather(&self, event: &Recorded) -> Result<Option<JobAsOf>, ProjectError> {
        if announced(event).is_none() {
            return Ok(None);
        }
        // Stored bytes that can't be decoded stop the projection here rather than send a wrong body.
        RenderEvent::decode(&event.event)?;
        self.job_as_of(event).await
    }

    fn changes(&self, event: &Recorded, facts: Option<JobAsOf>) -> Result<Vec<Delivery>, ProjectError> {
        let (Some(event_type), Some(JobAsOf { view, document })) = (announced(event), facts) else {
            return Ok(Vec::new());
        };
        let Some(url) = document.webhook_url else { return Ok(Vec::new()) };
        let at = view.completed_at.unwrap_or(event.recorded_at);
        let job = view.present(document.metadata, |artifact| self.links.artifact(artifact, at));
        let body = Body {
            id: event.event_id,
            event_type,
            created_at: event.recorded_at.to_string(),
            workspace_id: event.workspace_id,
            sequence: event.position.0,
            data: &job,
        };
        let bad = |error: serde_json::Error| ProjectError::Row { table: Self::NAME, what: error.to_string() };
        Ok(vec![Delivery {
            id: delivery_id(event.event_id, endpoint(&url)),
            event_id: event.event_id,
            workspace_id: event.workspace_id,
            job_id: view.id,
            event_type,
            sequence: event.position,
            body: serde_json::to_vec(&body).map_err(bad)?,
            url,
            created_at: event.recorded_at.0,
            skipped: event.position <= self.history,
        }])
    }

    async fn write(
        &self,
        transaction: &mut SqliteConnection,
        _generation: i64,
        delivery: &Delivery,
    ) -> Result<(), ProjectError> {
        sqlx::query(
            "INSERT INTO webhook_deliveries (delivery_id, event_id, endpoint, workspace_id, job_id, event_type,
                                             sequence, url, host, body, created_at, status, due_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (event_id, endpoint) DO NOTHING",
        )
        .bind(delivery.id.to_string())
        .bind(delivery.event_id.to_string())
        .bind(endpoint(&delivery.url).to_string())
        .bind(delivery.workspace_id.to_string())
        .bind(delivery.job_id.to_string())
        .bind(delivery.event_type)
        .bind(delivery.sequence.0.cast_signed())
        .bind(&delivery.url)
        .bind(host(&delivery.url))
        .bind(&delivery.body)
        .bind(delivery.created_at)
        .bind(if delivery.skipped { "skipped" } else { "pending" })
        .bind(delivery.created_at)
        .execute(transaction)
        .await?;
        Ok(())
    }
}

/// Host and port of an address: whose requests in flight are counted together.
fn host(url: &str) -> String {
    let parsed = url::Url::parse(url).ok();
    let host =
        parsed.as_ref().and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
    host.unwrap_or_default()
}

/// Where the history ends that was there before this table: everything up to `head` when its first generation begins,
/// and what was noted then ever after.
///
/// # Errors
/// Where the database fails.
pub(crate) async fn begin(
    transaction: &mut SqliteConnection,
    head: Position,
) -> Result<Position, sqlx::Error> {
    let noted: Option<i64> =
        sqlx::query_scalar("SELECT position FROM projection WHERE name = 'webhook_history'")
            .fetch_optional(&mut *transaction)
            .await?;
    if let Some(noted) = noted {
        return Ok(crate::read_db::position(noted));
    }
    sqlx::query("INSERT INTO projection (name, generation, version, position, live) VALUES ('webhook_history', 1, 1, ?, 1)")
        .bind(head.0.cast_signed())
        .execute(transaction)
        .await?;
    Ok(head)
}
