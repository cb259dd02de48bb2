//! Telling an endpoint once more of what has happened: which events those are is decided here and written down, so that the
//! deliveries are made of the log alone, once, whatever dies meanwhile.

use std::collections::HashSet;

use domain::Workspace;
use domain::workspace::Command;
use events::news::{News, PROCESSING};
use events::workspace::{WebhookReplayed, WebhookSettings};
use events::{
    Position, Recorded, RenderId, StreamId, StreamVersion, Timestamp, WebhookId, WorkspaceEvent, WorkspaceId,
};

use super::Workspaces;
use super::requests::RequestError;
use super::webhooks::WebhookError;
use crate::handler::{Along, ExecuteError, Origin};
use crate::idempotency::Idempotency;

/// Events told of in one replay at most.
pub(crate) const REPLAYED_MAX: u32 = 10_000;

/// Events of a workspace looked at in one go.
const PAGE: u32 = 1_000;

/// A place in the log's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// An event's `sequence`.
    Sequence(u64),
    /// The first event at or after an instant.
    Instant(Timestamp),
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    /// From here on.
    pub(crate) from: Place,
    /// Up to here, this one included; `None`: up to now.
    pub(crate) to: Option<Place>,
    /// Of these types; empty: of all that the endpoint is told of.
    pub(crate) types: Vec<String>,
}

/// A replay that was asked for before, or now.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) replayed: WebhookReplayed,
    /// It was asked for before, by the same request.
    pub(crate) is_old: bool,
}

impl Workspaces {
    /// What a replay would tell of.
    pub(crate) async fn plan_replay(
        &self,
        workspace: WorkspaceId,
        webhook_id: WebhookId,
        range: &Range,
    ) -> Result<WebhookReplayed, WebhookError> {
        let settings = self.webhook(workspace, webhook_id).await?.webhook.settings;
        let head = self.store.head().await.map_err(RequestError::from)?.position;
        let from = self.first_at(range.from, head).await?;
        let to = match range.to {
            Some(Place::Sequence(sequence)) => Position(sequence).min(head),
            // The first one after the instant is not meant any more.
            Some(Place::Instant(instant)) => {
                let after =
                    self.first_at(Place::Instant(Timestamp(instant.0.saturating_add(1))), head).await?;
                Position(after.0.saturating_sub(1))
            }
            None => head,
        };
        let types = range.types.clone();
        let mut replay =
            WebhookReplayed { webhook_id, from, to, types, events: 0, idempotency_key_hash: None };
        replay.events = self.count(workspace, &replay, &settings).await?;
        Ok(replay)
    }

    /// Tells an endpoint once more, once for each idempotency key.
    pub(crate) async fn replay_webhook(
        &self,
        workspace: WorkspaceId,
        origin: &Origin,
        mut replay: WebhookReplayed,
        idempotency: Option<&Idempotency>,
        keep_ms: u64,
    ) -> Result<Replay, WebhookError> {
        let stream = StreamId::from(workspace);
        replay.idempotency_key_hash = idempotency.map(Idempotency::key_sha256);
        loop {
            if let Some(old) = self.replayed_before(workspace, replay.webhook_id, idempotency).await? {
                return Ok(old);
            }
            let rows = idempotency.map(|it| it.row(stream.clone(), keep_ms)).into_iter().collect();
            let ask = |_: &Workspace| Command::ReplayWebhook(replay.clone());
            match self.handler.execute(&stream, origin, Along::rows(rows), ask).await {
                Ok(_) => return Ok(Replay { replayed: replay, is_old: false }),
                // Someone was faster with the same idempotency key: theirs is the replay.
                Err(ExecuteError::KeyTaken) => {}
                Err(error) => return Err(RequestError::from(error).into()),
            }
        }
    }

    /// The replay that the same request has asked for before.
    pub(crate) async fn replayed_before(
        &self,
        workspace: WorkspaceId,
        webhook_id: WebhookId,
        idempotency: Option<&Idempotency>,
    ) -> Result<Option<Replay>, WebhookError> {
        let Some(idempotency) = idempotency else { return Ok(None) };
        if idempotency.made(self.store.as_ref()).await.map_err(RequestError::from)?.is_none() {
            return Ok(None);
        }
        let hash = Some(idempotency.key_sha256());
        let events = self.store.load(&StreamId::from(workspace)).await.map_err(RequestError::from)?;
        for recorded in events.iter().rev() {
            let decoded = WorkspaceEvent::decode(&recorded.event).map_err(RequestError::from)?;
            if let Some(WorkspaceEvent::WebhookReplayed(replayed)) = decoded
                && replayed.idempotency_key_hash == hash
                && replayed.webhook_id == webhook_id
            {
                return Ok(Some(Replay { replayed, is_old: true }));
            }
        }
        Err(RequestError::Revoked.into())
    }

    /// Sends an endpoint a message to try it.
    pub(crate) async fn test_webhook(
        &self,
        workspace: WorkspaceId,
        origin: &Origin,
        webhook_id: WebhookId,
    ) -> Result<Option<Recorded>, WebhookError> {
        let ask = |_: &Workspace| Command::TestWebhook { webhook_id };
        let done = self.handler.execute(&StreamId::from(workspace), origin, Along::default(), ask).await;
        Ok(done.map_err(RequestError::from)?.recorded.pop())
    }

    /// The position of the first event at a place or after it. The log's times never go back, so halving finds it.
    async fn first_at(&self, place: Place, head: Position) -> Result<Position, WebhookError> {
        let instant = match place {
            Place::Sequence(sequence) => return Ok(Position(sequence.max(1))),
            Place::Instant(instant) => instant,
        };
        let (mut low, mut high) = (1, head.0 + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let found = self.store.read_after(Position(middle - 1), 1).await.map_err(RequestError::from)?;
            if found.first().is_some_and(|event| event.recorded_at < instant) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(Position(low))
    }

    /// How many events of the range the endpoint is told of; it stops at one more than there may be.
    async fn count(
        &self,
        workspace: WorkspaceId,
        replay: &WebhookReplayed,
        settings: &WebhookSettings,
    ) -> Result<u32, WebhookError> {
        let (mut count, mut begun) = (0, HashSet::new());
        let mut after = Position(replay.from.0.saturating_sub(1));
        while after < replay.to && count <= REPLAYED_MAX {
            let page = self.store.read_workspace_after(workspace, after, PAGE).await;
            let page = page.map_err(RequestError::from)?;
            let Some(last) = page.last() else { break };
            after = last.position;
            for event in page.iter().filter(|event| event.position <= replay.to) {
                let news = News::of(event).map_err(RequestError::from)?.filter(News::lasts);
                let Some(news) = news.filter(|news| replay.tells(settings, news.event_type)) else {
                    continue;
                };
                if news.event_type != PROCESSING || self.is_beginning(event, &mut begun).await? {
                    count += 1;
                }
            }
        }
        Ok(count)
    }

    /// Whether a lease is its render's first one.
    async fn is_beginning(
        &self,
        event: &Recorded,
        begun: &mut HashSet<RenderId>,
    ) -> Result<bool, WebhookError> {
        let Some(render) = event.stream_id.render().filter(|render| begun.insert(*render)) else {
            return Ok(false);
        };
        let before = u32::try_from(event.stream_version.0.saturating_sub(1)).unwrap_or(u32::MAX);
        let earlier = self.store.load_after(&StreamId::from(render), StreamVersion(0), before).await;
        let earlier = earlier.map_err(RequestError::from)?;
        Ok(earlier.iter().all(|other| other.event.event_type != "LeaseGranted"))
    }
}
