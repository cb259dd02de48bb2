//! The dispatcher: claims deliveries that are due, sends each, notes what came of it. Not replayable.
//!
//! Promises: the same id and bytes at every attempt, also after a crash; at most a few in flight to one host, so that a
//! slow receiver holds back nobody else; an attempt is noted before its delivery is touched again. A delivery may arrive
//! twice (a crash between the answer and the note): its id tells.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use event_store::documents::{WEBHOOK_SECRET, webhook_secret_context};
use event_store::{EventStore, StoreError, Vault, VaultError};
use events::{Position, Timestamp, WorkspaceId};
use outbound::{Outbound, PostError, PostReply};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::projector::chain;
use crate::read_db::ReadDb;
use crate::webhooks::ledger::{self, Attempt, Claimed, Verdict};
use crate::webhooks::schedule::Schedule;
use crate::webhooks::signature::{self, BadSecret};

/// Deliveries in flight in all; far more than slow receivers can fill.
const IN_FLIGHT_MAX: usize = 1024;

/// The longest sleep: another process may have written rows.
const POLL: Duration = Duration::from_secs(1);

/// The shortest sleep between two looks at the ledger.
const PAUSE: Duration = Duration::from_millis(5);

/// How deliveries are sent.
#[derive(Debug, Clone)]
pub struct DispatcherConfig {
    /// When to try again.
    pub schedule: Schedule,
    /// How long a receiver has to answer.
    pub timeout: Duration,
    /// How long a claim lasts: more than the timeout, so that only the dead lose it.
    pub claim_ttl: Duration,
    /// Deliveries in flight to one host.
    pub per_host: u32,
}

impl Default for DispatcherConfig {
    /// The contract's: 10 s for an answer, 8 in flight.
    fn default() -> DispatcherConfig {
        DispatcherConfig {
            schedule: Schedule::default(),
            timeout: Duration::from_secs(10),
            claim_ttl: Duration::from_secs(30),
            per_host: 8,
        }
    }
}

/// Sends deliveries.
#[derive(Debug, Clone)]
pub struct Dispatcher {
    store: Arc<dyn EventStore>,
    vault: Arc<Vault>,
    outbound: Outbound,
    db: ReadDb,
    clock: Clock,
    config: DispatcherConfig,
}

/// A delivery could not be signed.
#[derive(Debug, Error)]
enum SecretError {
    #[error("could not read the workspace's webhook secret")]
    Store(#[from] StoreError),
    #[error("could not open the workspace's webhook secret")]
    Sealed(#[from] VaultError),
    #[error("could not find the workspace's webhook secret")]
    Missing,
    #[error("could not use the workspace's webhook secret")]
    Bad(#[from] BadSecret),
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
        Dispatcher { store, vault, outbound, db, clock, config }
    }

    /// Sends what is due until it is cancelled, then lets what is in flight end. `rows` wakes it when rows were added.
    pub async fn run(&self, mut rows: watch::Receiver<Position>, stop: CancellationToken) {
        let mut sending = JoinSet::new();
        let mut in_flight: HashMap<String, u32> = HashMap::new();
        while !stop.is_cancelled() {
            rows.borrow_and_update();
            let pause = match self.send_due(&mut sending, &mut in_flight).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(error = %chain(&error), "deliveries could not be claimed; trying again");
                    POLL
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                Ok(()) = rows.changed() => {}
                Some(ended) = sending.join_next() => landed(&mut in_flight, ended),
                () = tokio::time::sleep(pause) => {}
            }
        }
        while let Some(ended) = sending.join_next().await {
            landed(&mut in_flight, ended);
        }
    }

    /// Starts what is due and fits; how long until something else is.
    async fn send_due(
        &self,
        sending: &mut JoinSet<String>,
        in_flight: &mut HashMap<String, u32>,
    ) -> Result<Duration, sqlx::Error> {
        if sending.len() >= IN_FLIGHT_MAX {
            return Ok(POLL);
        }
        let now = self.clock.now();
        let due = ledger::next_due(&self.db, Timestamp(i64::MIN)).await?;
        if due.is_none_or(|due| due > now) {
            return Ok(until(now, due));
        }
        let per_host = self.config.per_host;
        let room =
            in_flight.iter().map(|(host, flying)| (host.clone(), per_host.saturating_sub(*flying))).collect();
        let ends = now.plus_ms(millis(self.config.claim_ttl));
        let token = format!("{:032x}", rand::random::<u128>());
        for delivery in ledger::claim_due(&self.db, now, ends, per_host, &room, &token).await? {
            *in_flight.entry(delivery.host.clone()).or_default() += 1;
            let dispatcher = self.clone();
            sending.spawn(async move {
                let host = delivery.host.clone();
                dispatcher.deliver(delivery).await;
                host
            });
        }
        // What is due now and was left is for hosts without room: they wake us when one of theirs lands.
        Ok(until(self.clock.now(), ledger::next_due(&self.db, now).await?))
    }

    /// One attempt, noted.
    async fn deliver(&self, delivery: Claimed) {
        let attempted_at = self.clock.now();
        let begun = Instant::now();
        let attempt = match self.send(&delivery, attempted_at).await {
            Ok(Ok(reply)) => Attempt {
                status_code: Some(reply.status),
                latency_ms: millis(reply.latency),
                verdict: self.verdict(&delivery, Some(reply.status)),
                response_body: reply.body,
                reason: None,
                attempted_at,
            },
            Ok(Err(error)) => self.unanswered(&delivery, error.to_string(), attempted_at, begun),
            Err(error) => {
                tracing::error!(delivery.id = %delivery.delivery_id, error = %chain(&error), "a delivery could not be signed");
                self.unanswered(&delivery, error.to_string(), attempted_at, begun)
            }
        };
        match ledger::record(&self.db, &delivery, &attempt).await {
            Ok(true) => {
                tracing::debug!(delivery.id = %delivery.delivery_id, attempt = delivery.attempt, verdict = ?attempt.verdict, "delivered or not")
            }
            Ok(false) => {
                tracing::warn!(delivery.id = %delivery.delivery_id, "an attempt outlived its claim; another counts")
            }
            Err(error) => {
                tracing::error!(delivery.id = %delivery.delivery_id, %error, "an attempt could not be noted; its claim will lapse")
            }
        }
    }

    async fn send(
        &self,
        delivery: &Claimed,
        at: Timestamp,
    ) -> Result<Result<PostReply, PostError>, SecretError> {
        let secret = self.secret(delivery.workspace_id).await?;
        let signed = signature::headers(&secret, delivery.event_id, at.unix_seconds(), &delivery.body)?;
        let mut headers = vec![("content-type", "application/json".to_owned())];
        headers.extend(signed);
        let body = Bytes::copy_from_slice(&delivery.body);
        Ok(self.outbound.post(&delivery.url, &headers, body, self.config.timeout).await)
    }

    async fn secret(&self, workspace: WorkspaceId) -> Result<String, SecretError> {
        let sealed = self.store.secret(workspace, WEBHOOK_SECRET).await?.ok_or(SecretError::Missing)?;
        let plain = self.vault.unseal(&webhook_secret_context(workspace), &sealed)?;
        String::from_utf8(plain).map_err(|_not_text| SecretError::Bad(BadSecret))
    }

    fn unanswered(
        &self,
        delivery: &Claimed,
        reason: String,
        attempted_at: Timestamp,
        begun: Instant,
    ) -> Attempt {
        Attempt {
            status_code: None,
            response_body: Vec::new(),
            reason: Some(reason),
            latency_ms: millis(begun.elapsed()),
            attempted_at,
            verdict: self.verdict(delivery, None),
        }
    }

    /// A 2xx is success, 410 says never again, all else is tried again as long as the schedule lasts.
    fn verdict(&self, delivery: &Claimed, status: Option<u16>) -> Verdict {
        match status {
            Some(200..=299) => Verdict::Succeeded,
            Some(410) => Verdict::Dead,
            _ => match self.config.schedule.after(delivery.attempt, rand::random()) {
                Some(delay) => Verdict::Retry(self.clock.now().plus_ms(millis(delay))),
                None => Verdict::Dead,
            },
        }
    }
}

fn landed(in_flight: &mut HashMap<String, u32>, ended: Result<String, tokio::task::JoinError>) {
    match ended {
        Ok(host) => {
            if let Some(flying) = in_flight.get_mut(&host) {
                *flying -= 1;
            }
            in_flight.retain(|_, flying| *flying > 0);
        }
        Err(error) => tracing::error!(%error, "a delivery's task ended by itself; its claim will lapse"),
    }
}

fn until(now: Timestamp, due: Option<Timestamp>) -> Duration {
    let ms = due.map_or(i64::MAX, |due| due.ms_since(now));
    Duration::from_millis(u64::try_from(ms).unwrap_or(0)).clamp(PAUSE, POLL)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
