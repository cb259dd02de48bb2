//! The bus over NATS: core publish and request/reply, nothing that lasts.
//!
//! ```text
//! worker ── claim ──▶ one of the command nodes ── order ──▶ worker ── taken ──▶ command node
//!        ── heartbeat, report ──▶ one of them            command node ── hint, cancellation ──▶ every worker
//! ```
//!
//! An order that nobody takes is handed back at once: a claim whose answer got lost costs neither an attempt nor the
//! lease's time. Everything else that gets lost is asked again. While there is no connection nothing is asked, so that
//! no old claim takes effect when it is back. Must not know: what an order is about, who may do what.
//!
//! Hints are core messages and not a work-queue stream, which would keep them: a hint grants nothing, so one that is kept
//! is worth no more than one that is said again. The backlog lies in the log's database; while any of it is due the command
//! side says so every second, and workers look by themselves as often. So nothing has to be republished, counted or
//! terminated, no hint can be older than the work it tells of, and there is no stream whose loss could hold work up.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Event, Message, Request, RequestErrorKind, Subscriber};
use async_trait::async_trait;
use events::RenderId;
use events::work::{Claim, Heartbeat, HeartbeatReply, ReportReply, WorkOrder, WorkReport};
use futures_util::StreamExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::port::{BusError, HintBus, WorkBus, WorkService};
use parcel::{Parcel, Proof};
use wire::Answer;

pub use open::{Identity, NatsAccess, OpenBusError};
pub use stream::NatsEvents;

mod address;
mod cloud_event;
mod jetstream;
mod open;
mod parcel;
mod service;
mod settings;
mod stream;
mod wire;

/// How long an answer is waited for. Appending under load takes a tenth of a second; past this nobody is at it.
const CLAIM_PATIENCE: Duration = Duration::from_secs(5);
/// A late heartbeat is worth less than the next one.
const HEARTBEAT_PATIENCE: Duration = Duration::from_secs(3);
/// A report is repeated by its worker until it is answered.
const REPORT_PATIENCE: Duration = Duration::from_secs(10);

/// How long a server that has just taken us may need for our first message.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// How often the connection proves that it lives: a server that vanished is noticed after three of these.
const PING: Duration = Duration::from_secs(5);

/// Messages that wait on one subscription; further ones are lost, and asked again.
const WAITING: usize = 4096;
/// Cancellations that wait to be sent; further ones reach workers by their next heartbeats.
const OUTBOX: usize = 1024;
/// How many cancellations a worker may lag behind. One that missed some learns of them by its next heartbeats.
const CANCELLATION_BACKLOG: usize = 1024;

/// How long stopping waits for the answers in hand.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// One end of the bus, or both. Clones share everything; the connection ends with the last one.
#[derive(Clone)]
pub struct NatsBus {
    link: Arc<Link>,
    _end: Arc<tokio_util::sync::DropGuard>,
}

/// What the bus's tasks share with its handles.
struct Link {
    client: Client,
    hint: Notify,
    cancellations: broadcast::Sender<RenderId>,
    hint_due: Notify,
    outbox: mpsc::Sender<RenderId>,
    malformed: AtomicU64,
    answering: TaskTracker,
    /// No further questions are taken; also once the last handle is gone.
    closing: CancellationToken,
}

impl std::fmt::Debug for NatsBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsBus")
            .field("connected", &self.is_connected())
            .field("malformed", &self.malformed())
            .finish_non_exhaustive()
    }
}

impl NatsBus {
    /// Connects to a server or cluster. From then on a lost connection comes back by itself. Needs a tokio runtime.
    ///
    /// # Errors
    /// See [`OpenBusError`].
    pub async fn connect(access: &NatsAccess) -> Result<NatsBus, OpenBusError> {
        open::connect(access).await
    }

    fn over(client: Client, hints: Subscriber, cancellations: Subscriber) -> NatsBus {
        let (outbox, outgoing) = mpsc::channel(OUTBOX);
        let end = CancellationToken::new();
        let link = Arc::new(Link {
            client,
            hint: Notify::new(),
            cancellations: broadcast::channel(CANCELLATION_BACKLOG).0,
            hint_due: Notify::new(),
            outbox,
            malformed: AtomicU64::new(0),
            answering: TaskTracker::new(),
            closing: end.child_token(),
        });
        tokio::spawn(end.clone().run_until_cancelled_owned(Arc::clone(&link).listen(hints, cancellations)));
        tokio::spawn(end.clone().run_until_cancelled_owned(Arc::clone(&link).tell_workers(outgoing)));
        NatsBus { link, _end: Arc::new(end.drop_guard()) }
    }

    /// The publisher of public events over the same connection; its stream keeps `max_bytes` at most.
    #[must_use]
    pub fn events(&self, max_bytes: u64) -> NatsEvents {
        NatsEvents::new(Arc::clone(&self.link), max_bytes)
    }

    /// Whether there is a connection right now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.link.is_connected()
    }

    /// Messages so far that could not be read: someone else publishes on our subjects, or releases differ too much.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.link.malformed.load(Ordering::Relaxed)
    }

    /// Takes no further questions, answers those in hand and sees them off. For a command node that stops: what it
    /// leaves to the others was not begun.
    pub async fn close(&self) {
        self.link.closing.cancel();
        self.link.answering.close();
        let answered = async {
            self.link.answering.wait().await;
            if let Err(error) = self.link.client.flush().await {
                tracing::debug!(%error, "the last answers may be lost");
            }
        };
        if tokio::time::timeout(CLOSE_PATIENCE, answered).await.is_err() {
            tracing::warn!("some workers were not answered before the stop; they ask again");
        }
    }
}

impl Link {
    fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Takes note of a message that could not be read; the log gets the first and then ever fewer.
    fn note_malformed(&self, subject: &str, what: &str) {
        let count = self.malformed.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::warn!(subject, count, "a message on the bus could not be read: {what}");
        }
    }

    /// Hears hints and cancellations.
    async fn listen(self: Arc<Self>, mut hints: Subscriber, mut cancellations: Subscriber) {
        loop {
            tokio::select! {
                Some(_hint) = hints.next() => self.hint.notify_one(),
                Some(message) = cancellations.next() => self.cancelled(&message),
                else => return,
            }
        }
    }

    fn cancelled(&self, message: &Message) {
        let render = std::str::from_utf8(&message.payload).ok().and_then(|text| text.parse().ok());
        match render {
            // No receiver means that this process holds no slot: there is nothing to stop.
            Some(render) => drop(self.cancellations.send(render)),
            None => self.note_malformed(wire::CANCEL, "it is no render's identifier"),
        }
    }

    /// Sends hints and cancellations. A hint that waits stands for all that come meanwhile.
    async fn tell_workers(self: Arc<Self>, mut outgoing: mpsc::Receiver<RenderId>) {
        loop {
            let told = tokio::select! {
                () = self.hint_due.notified() => self.client.publish(wire::HINT, "".into()).await,
                Some(render) = outgoing.recv() => {
                    self.client.publish(wire::CANCEL, render.to_string().into()).await
                }
                else => return,
            };
            if let Err(error) = told {
                tracing::debug!(%error, "workers were not told; they look by themselves");
            }
        }
    }

    /// One question and its answer.
    async fn ask<A: DeserializeOwned>(
        &self,
        subject: &'static str,
        question: &impl Serialize,
        patience: Duration,
    ) -> Result<A, BusError> {
        if !self.is_connected() {
            return Err(BusError::Unreachable("there is no connection to NATS".to_owned()));
        }
        let failed = |error: parcel::CollectError| BusError::Unreachable(error.to_string());
        let Parcel { payload, headers, offer } =
            parcel::pack(&self.client, wire::encode(question), Proof::None)
                .await
                .map_err(BusError::Failed)?;
        let request = Request { headers, ..Request::new().payload(payload).timeout(Some(patience)) };
        // The answer is the proof that all pieces arrived, so handing them out never ends by itself.
        let handing_out = async {
            if let Some(offer) = offer {
                drop(offer.hand_out(&self.client).await);
            }
            std::future::pending::<Infallible>().await
        };
        let reply = tokio::select! {
            reply = self.client.send_request(subject, request) => reply,
            never = handing_out => match never {},
        };
        let reply = reply.map_err(|error| BusError::Unreachable(why(error.kind(), subject)))?;
        let (bytes, inbox) = parcel::collect(&self.client, reply).await.map_err(failed)?;
        let answer = wire::decode(&bytes).map_err(|what| {
            self.note_malformed(subject, &what);
            BusError::Failed(format!("the answer is {what}"))
        })?;
        if let Some(inbox) = inbox {
            parcel::confirm(&self.client, inbox).await;
        }
        match answer {
            Answer::Ok(answer) => Ok(answer),
            Answer::Failed(what) => Err(BusError::Failed(what)),
        }
    }
}

/// Why a question was not answered.
fn why(kind: RequestErrorKind, subject: &str) -> String {
    match kind {
        RequestErrorKind::TimedOut => format!("no answer on {subject} in time"),
        RequestErrorKind::NoResponders => format!("nobody listens on {subject}"),
        RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded | RequestErrorKind::Other => {
            format!("could not ask on {subject}: {kind}")
        }
    }
}

/// Says what happens to the connection: what stops, and that it comes back.
fn tell(event: &Event) {
    match event {
        Event::Disconnected => tracing::warn!("the connection to NATS is lost; trying to get it back"),
        Event::Connected => tracing::info!("connected to NATS"),
        Event::SlowConsumer(_) => {
            tracing::warn!("messages come faster than they are dealt with; some are lost")
        }
        Event::ServerError(error) => tracing::warn!(%error, "NATS reports an error"),
        Event::ClientError(error) => tracing::debug!(%error, "no connection to NATS yet"),
        Event::LameDuckMode | Event::Draining | Event::Closed => tracing::info!(%event, "NATS"),
    }
}

#[async_trait]
impl WorkBus for NatsBus {
    async fn claim(&self, claim: Claim) -> Result<Option<WorkOrder>, BusError> {
        self.link.ask(wire::CLAIM, &claim, CLAIM_PATIENCE).await
    }

    async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<HeartbeatReply, BusError> {
        self.link.ask(wire::HEARTBEAT, &heartbeat, HEARTBEAT_PATIENCE).await
    }

    async fn report(&self, report: WorkReport) -> Result<ReportReply, BusError> {
        self.link.ask(wire::REPORT, &report, REPORT_PATIENCE).await
    }

    async fn work_hint(&self) {
        self.link.hint.notified().await;
    }

    fn cancellations(&self) -> broadcast::Receiver<RenderId> {
        self.link.cancellations.subscribe()
    }
}

#[async_trait]
impl HintBus for NatsBus {
    fn hint_work(&self) {
        self.link.hint_due.notify_one();
    }

    fn push_cancellation(&self, render: RenderId) {
        if self.link.outbox.try_send(render).is_err() {
            tracing::debug!(render.id = %render, "a cancellation was not sent; heartbeats tell of it");
        }
    }

    fn serve(&self, service: Arc<dyn WorkService>) {
        service::serve(&self.link, &service);
    }
}
