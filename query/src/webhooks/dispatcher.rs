//! The dispatcher: claims deliveries that are due, sends each, notes what came of it. Not replayable.
//!
//! Promises: the same id and bytes at every attempt, also after a crash; at most a few in flight to one endpoint, so that
//! a slow receiver holds back nobody else; an attempt is noted before its delivery is touched again. A delivery may arrive
//! twice (a crash between the answer and the note): its id tells.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use event_store::{EventStore, StoreError, Vault, VaultError, WebhookSecretError, webhook_secrets};
use events::workspace::DisableReason;
use events::{Position, Timestamp, WebhookId, WorkspaceId};
use outbound::{Outbound, PostError, PostReply};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::{self, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::documents::Documents;
use crate::projections::webhook_deliveries::{body_context, url_context};
use crate::projector::chain;
use crate::read_db::ReadDb;
use crate::webhooks::ledger::{self, Attempt, Claimed, InFlight, Limits, Standing, Verdict};
use crate::webhooks::schedule::Schedule;
use crate::webhooks::signature::{self, BadSecret};

/// Deliveries in flight in all; far more than slow receivers can fill.
const IN_FLIGHT_MAX: usize = 1024;

/// The longest sleep: another process may have written rows.
const POLL: Duration = Duration::from_secs(1);

/// The shortest sleep between two looks at the ledger.
const PAUSE: Duration = Duration::from_millis(5);

/// How often old deliveries are removed.
const TIDY_EVERY: Duration = Duration::from_mins(10);

/// An endpoint at which nothing has arrived for so long is disabled: five days.
const FAILING_MAX: Duration = Duration::from_hours(5 * 24);

/// Disables endpoints that are of no use: the command side's doing, asked for from here.
#[async_trait]
pub trait EndpointSwitch: Send + Sync + std::fmt::Debug {
    /// Tells the endpoint nothing more until somebody enables it.
    async fn disable(
        &self,
        workspace: WorkspaceId,
        webhook: WebhookId,
        reason: DisableReason,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

/// How deliveries are sent.
#[derive(Debug, Clone)]
pub struct DispatcherConfig {
    /// When to try again.
    pub schedule: Schedule,
    /// How long a receiver has to answer.
    pub timeout: Duration,
    /// How long a claim lasts: more than the timeout, so that only the dead lose it.
    pub claim_ttl: Duration,
    /// Deliveries in flight to one endpoint.
    pub per_endpoint: u32,
    /// Deliveries in flight to all endpoints of one host and port.
    pub per_host: u32,
    /// How long a delivery that is over is kept, with its attempts.
    pub keep: Duration,
    /// Disables endpoints; `None`: nobody does.
    pub switch: Option<Arc<dyn EndpointSwitch>>,
}

impl Default for DispatcherConfig {
    /// The contract's: 10 s for an answer, 8 in flight; kept as long as the films they tell of.
    fn default() -> DispatcherConfig {
        DispatcherConfig {
            schedule: Schedule::default(),
            timeout: Duration::from_secs(10),
            claim_ttl: Duration::from_secs(30),
            per_endpoint: 8,
            per_host: 64,
            keep: Duration::from_hours(30 * 24),
            switch: None,
        }
    }
}

/// Sends deliveries.
#[derive(Debug, Clone)]
pub struct Dispatcher {
    store: Arc<dyn EventStore>,
    vault: Arc<Vault>,
    documents: Documents,
    outbound: Outbound,
    db: ReadDb,
    clock: Clock,
    config: DispatcherConfig,
}

/// A delivery could not be made ready to be sent.
#[derive(Debug, Error)]
enum PrepareError {
    #[error("could not read the workspace's secrets")]
    Store(#[from] StoreError),
    #[error("could not open the delivery")]
    Sealed(#[from] VaultError),
    #[error("could not open the delivery: the workspace's key has been thrown away")]
    Erased,
    #[error(transparent)]
    Secret(#[from] WebhookSecretError),
    #[error("could not use the workspace's webhook secret")]
    Bad(#[from] BadSecret),
    #[error("could not read the delivery's address")]
    Address(#[from] std::string::FromUtf8Error),
}

/// A delivery as it is sent.
#[derive(Debug)]
struct Prepared {
    url: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

/// The deliveries under way.
#[derive(Debug, Default)]
struct Sending {
    tasks: JoinSet<()>,
    /// Endpoint and host of each, also of one whose task dies.
    whither: HashMap<task::Id, (String, String)>,
    in_flight: InFlight,
}

impl Dispatcher {
    /// A dispatcher of the deliveries in `db`.
    #[must_use]
    pub fn new(
        store: Arc<dyn EventStore>,
        vault: Arc<Vault>,
        outbound: Outbound,
        db: ReadDb,
        clock: Clock,
        config: DispatcherConfig,
    ) -> Dispatcher {
        let documents = Documents::new(Arc::clone(&store), Arc::clone(&vault));
        Dispatcher { store, vault, documents, outbound, db, clock, config }
    }

    /// Sends what is due until it is cancelled, then lets what is in flight end. `rows` wakes it when rows were added.
    pub async fn run(&self, rows: watch::Receiver<Position>, stop: CancellationToken) {
        tokio::join!(self.send(rows, &stop), self.tidy(&stop));
    }

    async fn send(&self, mut rows: watch::Receiver<Position>, stop: &CancellationToken) {
        let mut sending = Sending::default();
        while !stop.is_cancelled() {
            rows.borrow_and_update();
            let pause = match self.send_due(&mut sending).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(error = %chain(&error), "deliveries could not be claimed; trying again");
                    POLL
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                Ok(()) = rows.changed() => {}
                Some(()) = sending.landed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        while sending.landed().await.is_some() {}
    }

    /// Starts what is due and fits; how long until something else is.
    async fn send_due(&self, sending: &mut Sending) -> Result<Duration, sqlx::Error> {
        if sending.tasks.len() >= IN_FLIGHT_MAX {
            return Ok(POLL);
        }
        let now = self.clock.now();
        let ends = now.plus_ms(millis(self.config.claim_ttl));
        let limits = Limits { per_endpoint: self.config.per_endpoint, per_host: self.config.per_host };
        let claimed = ledger::claim_due(&self.db, now, ends, limits, &mut sending.in_flight).await?;
        let some = !claimed.is_empty();
        for delivery in claimed {
            let dispatcher = self.clone();
            let whither = (delivery.endpoint.clone(), delivery.host.clone());
            let task = sending.tasks.spawn(async move { dispatcher.deliver(delivery).await });
            sending.whither.insert(task.id(), whither);
        }
        // There may be more than was taken at once. What is due and was left has no room: it is woken by a landing.
        let next = if some { Some(now) } else { ledger::next_due(&self.db, now).await? };
        Ok(until(self.clock.now(), next))
    }

    /// Removes what is old, now and then.
    async fn tidy(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let now = self.clock.now();
            let tidied = async {
                ledger::free_lapsed(&self.db, now).await?;
                ledger::prune(&self.db, now, self.config.keep).await
            };
            match tidied.await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "old deliveries were removed"),
                Err(error) => {
                    tracing::error!(error = %chain(&error), "old deliveries could not be removed; trying again later")
                }
            }
            stop.run_until_cancelled(tokio::time::sleep(TIDY_EVERY)).await;
        }
    }

    /// One attempt, noted.
    async fn deliver(&self, delivery: Claimed) {
        let attempted_at = self.clock.now();
        let begun = Instant::now();
        let posted = match self.prepare(&delivery, attempted_at).await {
            Ok(prepared) => self
                .post(prepared)
                .await
                .map_err(|error| (self.verdict(&delivery, None), error.reason().to_owned())),
            Err(error) => {
                tracing::error!(delivery.id = %delivery.delivery_id, error = %chain(&error), "a delivery could not be sent");
                let verdict = match error {
                    PrepareError::Erased => Verdict::Dead,
                    _ => self.verdict(&delivery, None),
                };
                Err((verdict, error.to_string()))
            }
        };
        let attempt = match posted {
            Ok(reply) => Attempt {
                status_code: Some(reply.status),
                latency_ms: millis(reply.latency),
                verdict: self.verdict(&delivery, Some(reply.status)),
                response_body: reply.body,
                reason: None,
                attempted_at,
                noted_at: self.clock.now(),
            },
            Err((verdict, reason)) => Attempt {
                status_code: None,
                response_body: Vec::new(),
                reason: Some(reason),
                latency_ms: millis(begun.elapsed()),
                attempted_at,
                noted_at: self.clock.now(),
                verdict,
            },
        };
        match ledger::record(&self.db, &delivery, &attempt).await {
            Ok(Some(standing)) => {
                tracing::debug!(delivery.id = %delivery.delivery_id, attempt = delivery.attempt, verdict = ?attempt.verdict, "delivered or not");
                self.give_up(&delivery, &attempt, standing).await;
            }
            Ok(None) => {
                tracing::warn!(delivery.id = %delivery.delivery_id, "an attempt outlived its claim; another counts")
            }
            Err(error) => {
                tracing::error!(delivery.id = %delivery.delivery_id, %error, "an attempt could not be noted; its claim will lapse")
            }
        }
    }

    /// Has an endpoint disabled that is gone, or at which nothing has arrived for days. Where that fails, the next attempt
    /// asks again.
    async fn give_up(&self, delivery: &Claimed, attempt: &Attempt, standing: Standing) {
        let (Some(webhook), Some(switch)) = (delivery.webhook, &self.config.switch) else { return };
        let lasting = |since: &Timestamp| attempt.noted_at.ms_since(*since) >= millis(FAILING_MAX);
        let reason = match attempt.verdict {
            Verdict::Gone => Some(DisableReason::Gone),
            _ => standing.failing_since.filter(lasting).map(|_since| DisableReason::Failing),
        };
        let Some(reason) = reason else { return };
        match switch.disable(delivery.workspace_id, webhook, reason).await {
            Ok(()) => tracing::warn!(webhook.id = %webhook, ?reason, "an endpoint is disabled"),
            Err(error) => {
                tracing::error!(webhook.id = %webhook, error = %chain(error.as_ref()), "an endpoint could not be disabled")
            }
        }
    }

    /// Opens a delivery and signs it.
    async fn prepare(&self, delivery: &Claimed, at: Timestamp) -> Result<Prepared, PrepareError> {
        let key = self.documents.key(delivery.workspace_id).await?.ok_or(PrepareError::Erased)?;
        let url = String::from_utf8(key.open(&url_context(delivery.delivery_id), &delivery.url)?)?;
        let body = key.open(&body_context(delivery.delivery_id), &delivery.body)?;
        let secrets = webhook_secrets(self.store.as_ref(), &self.vault, delivery.workspace_id, at).await?;
        let signed = signature::headers(&secrets, delivery.event_id, at.unix_seconds(), &body)?;
        let mut headers = vec![("content-type", "application/json".to_owned())];
        headers.extend(signed);
        Ok(Prepared { url, headers, body: Bytes::from(body) })
    }

    async fn post(&self, prepared: Prepared) -> Result<PostReply, PostError> {
        let Prepared { url, headers, body } = prepared;
        self.outbound.post(&url, &headers, body, self.config.timeout).await
    }

    /// A 2xx is success, 410 says never again, all else is tried again as long as the schedule lasts.
    fn verdict(&self, delivery: &Claimed, status: Option<u16>) -> Verdict {
        match status {
            Some(200..=299) => Verdict::Succeeded,
            Some(410) => Verdict::Gone,
            _ => match self.config.schedule.after(delivery.attempt, rand::random()) {
                Some(delay) => Verdict::Retry(self.clock.now().plus_ms(millis(delay))),
                None => Verdict::Dead,
            },
        }
    }
}

impl Sending {
    /// Waits until one of them has ended; `None`: there is none.
    async fn landed(&mut self) -> Option<()> {
        let id = match self.tasks.join_next_with_id().await? {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "a delivery's task ended by itself; its claim will lapse");
                error.id()
            }
        };
        if let Some((endpoint, host)) = self.whither.remove(&id) {
            self.in_flight.remove(&endpoint, &host);
        }
        Some(())
    }
}

fn until(now: Timestamp, due: Option<Timestamp>) -> Duration {
    let ms = due.map_or(i64::MAX, |due| due.ms_since(now));
    Duration::from_millis(u64::try_from(ms).unwrap_or(0)).clamp(PAUSE, POLL)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
