//! The sequencer: one task per process that gives events their place in the log, many appends to one commit.
//!
//! Positions are gapless and in commit order. A plain database sequence gives no such thing, because numbers
//! are taken when a transaction writes and become visible when it commits:
//!
//! ```text
//!              time ───────────────────────────────────────────────────▶
//! writer A     BEGIN   takes 7 ······························ COMMIT
//! writer B               BEGIN   takes 8   COMMIT
//! reader                                     │ reads "> 6": sees 8      │ reads "> 8"
//!                                            │ checkpoint := 8          │ event 7 is never read
//! ```
//!
//! Here a single task takes the lock that excludes every other writer *before* it hands out numbers, so a
//! smaller number is always visible no later than a larger one. The lock costs nothing in throughput, because
//! the task takes whatever waits (up to [`BATCH`] requests, without lingering) into one transaction: the more
//! writers, the more events share one fsync.
//!
//! ```text
//! append ──┐
//! append ──┼─▶ channel ─▶ lock, clock, head ─▶ judge each append ─▶ write ─▶ commit ─▶ answers, signal
//! extend ──┘                                   └ a refused append leaves the batch, the others go on
//! ```
//!
//! Must not know: SQL (that is a [`Ledger`]'s), what events mean.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use events::{Position, Recorded, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;

use crate::store::{Append, AppendError, Head, LeaseKey, SideRow, StoreError};
use batch::{Known, Needs};
use heads::StreamHeads;

pub(crate) mod batch;
mod heads;

/// Requests that share one transaction at most: at 256 the fsync is already a small part of the batch's time.
const BATCH: usize = 256;

/// Requests that wait at most; further ones wait outside, for [`PATIENCE`].
const WAITING: usize = 1024;

/// How long a request waits for room in the queue before its caller hears that the writer does not keep up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Streams whose versions are remembered (per generation): about 20 MB when full.
const REMEMBERED_STREAMS: usize = 50_000;

/// A database as the sequencer sees it: transactions that exclude every other writer.
#[async_trait]
pub(crate) trait Ledger: Send + 'static {
    /// Begins the transaction, takes the lock that excludes other writers, and reads the clock and the log's
    /// end.
    async fn begin(&mut self) -> Result<Opening, StoreError>;

    /// Fills in what a batch needs, inside the transaction.
    async fn learn(&mut self, needs: &Needs, known: &mut Known) -> Result<(), StoreError>;

    /// Writes events and side rows, in order.
    async fn write(
        &mut self,
        now: Timestamp,
        events: &[&[Recorded]],
        rows: &[&SideRow],
    ) -> Result<(), WriteError>;

    /// Moves the ends of those leases that are live; returns them, in any order.
    async fn extend(&mut self, now: Timestamp, leases: &[LeaseKey]) -> Result<Vec<LeaseKey>, StoreError>;

    /// Ends every lease.
    async fn expire_all(&mut self, now: Timestamp) -> Result<(), StoreError>;

    /// Makes it last.
    async fn commit(&mut self) -> Result<(), StoreError>;

    /// Undoes everything since `begin`; harmless where there is nothing to undo.
    async fn rollback(&mut self);
}

/// What a transaction finds when it begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening {
    /// The database's clock.
    pub(crate) now: Timestamp,
    /// The log's end.
    pub(crate) head: Head,
    /// When the last event was recorded.
    pub(crate) last_recorded_at: Timestamp,
}

/// A batch that was not written.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// One of its appends breaks a constraint of the tables: the others deserve a try without it.
    Constraint(StoreError),
    /// The database failed.
    Failed(StoreError),
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> WriteError {
        WriteError::Failed(error)
    }
}

/// The way to the writing task. The task ends, and closes its ledger, when the last handle is dropped.
#[derive(Debug)]
pub(crate) struct Sequencer {
    requests: mpsc::Sender<Request>,
    committed: watch::Receiver<Position>,
}

/// Where a request's outcome goes.
type Answer<T, E> = oneshot::Sender<Result<T, E>>;

/// Requests of one kind.
type Asked<Q, T, E> = Vec<(Q, Answer<T, E>)>;

#[derive(Debug)]
enum Request {
    Append(Append, Answer<Vec<Recorded>, AppendError>),
    Extend(Vec<LeaseKey>, Answer<Vec<LeaseKey>, StoreError>),
    ExpireAll(Answer<(), StoreError>),
}

impl Sequencer {
    /// Starts the writing task over a log that ends where `signal` says; each commit moves it on. Needs a tokio
    /// runtime.
    pub(crate) fn start(ledger: impl Ledger, signal: watch::Sender<Position>) -> Sequencer {
        let (requests, inbox) = mpsc::channel(WAITING);
        let (head, committed) = (*signal.borrow(), signal.subscribe());
        let writer = Writer { ledger, head, heads: StreamHeads::new(REMEMBERED_STREAMS), signal };
        tokio::spawn(writer.run(inbox));
        Sequencer { requests, committed }
    }

    /// See [`crate::EventStore::append`]. Dropping the future does not take the append back.
    pub(crate) async fn append(&self, append: Append) -> Result<Vec<Recorded>, AppendError> {
        let (answer, answered) = oneshot::channel();
        self.send(Request::Append(append, answer)).await?;
        answered.await.unwrap_or(Err(AppendError::Store(StoreError::Stopped)))
    }

    /// See [`crate::EventStore::extend_leases`].
    pub(crate) async fn extend(&self, leases: &[LeaseKey]) -> Result<Vec<LeaseKey>, StoreError> {
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        let (answer, answered) = oneshot::channel();
        self.send(Request::Extend(leases.to_vec(), answer)).await?;
        answered.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// See [`crate::EventStore::expire_all_leases`].
    pub(crate) async fn expire_all(&self) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        self.send(Request::ExpireAll(answer)).await?;
        answered.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// The log's end after each commit that this process has heard of.
    pub(crate) fn committed(&self) -> watch::Receiver<Position> {
        self.committed.clone()
    }

    async fn send(&self, request: Request) -> Result<(), StoreError> {
        self.requests.send_timeout(request, PATIENCE).await.map_err(|_undelivered| StoreError::Stopped)
    }
}

/// What one transaction is asked to do. Appends come first, then the leases: all of it is concurrent, so any
/// one order is a right one.
#[derive(Debug, Default)]
struct Batch {
    appends: Asked<Append, Vec<Recorded>, AppendError>,
    extensions: Asked<Vec<LeaseKey>, Vec<LeaseKey>, StoreError>,
    expire_all: Vec<Answer<(), StoreError>>,
}

impl Batch {
    fn of(requests: impl Iterator<Item = Request>) -> Batch {
        let mut batch = Batch::default();
        for request in requests {
            match request {
                Request::Append(append, answer) => batch.appends.push((append, answer)),
                Request::Extend(leases, answer) => batch.extensions.push((leases, answer)),
                Request::ExpireAll(answer) => batch.expire_all.push(answer),
            }
        }
        batch
    }

    /// The same requests, each alone.
    fn apart(self) -> impl Iterator<Item = Batch> {
        let appends = self.appends.into_iter().map(|it| Batch { appends: vec![it], ..Batch::default() });
        let extensions =
            self.extensions.into_iter().map(|it| Batch { extensions: vec![it], ..Batch::default() });
        let expire_all =
            self.expire_all.into_iter().map(|it| Batch { expire_all: vec![it], ..Batch::default() });
        appends.chain(extensions).chain(expire_all)
    }

    fn len(&self) -> usize {
        self.appends.len() + self.extensions.len() + self.expire_all.len()
    }

    /// Answers everyone. Whoever has stopped waiting misses nothing: what was written is in the log.
    fn answer(self, outcome: Outcome) {
        for ((_, answer), result) in self.appends.into_iter().zip(outcome.appends) {
            answer.send(result).ok();
        }
        for ((_, answer), extended) in self.extensions.into_iter().zip(outcome.extended) {
            answer.send(Ok(extended)).ok();
        }
        for answer in self.expire_all {
            answer.send(Ok(())).ok();
        }
    }

    /// Tells everyone of one failure.
    fn fail(self, error: StoreError) {
        let error = Arc::new(error);
        for (_, answer) in self.appends {
            answer.send(Err(AppendError::Store(shared(&error)))).ok();
        }
        for (_, answer) in self.extensions {
            answer.send(Err(shared(&error))).ok();
        }
        for answer in self.expire_all {
            answer.send(Err(shared(&error))).ok();
        }
    }
}

/// One failure, told to several.
fn shared(error: &Arc<StoreError>) -> StoreError {
    let source = Box::new(Arc::clone(error));
    match **error {
        StoreError::Full { .. } => StoreError::Full { source },
        StoreError::Database { .. } | StoreError::Corrupt { .. } | StoreError::Stopped => {
            StoreError::Database { doing: "writing a batch", source }
        }
    }
}

/// What became of a batch's requests, in their order.
#[derive(Debug)]
struct Outcome {
    appends: Vec<Result<Vec<Recorded>, AppendError>>,
    extended: Vec<Vec<LeaseKey>>,
}

/// The task that owns the ledger.
struct Writer<L> {
    ledger: L,
    /// Where the log ended after our last commit; another end means that another process has written.
    head: Position,
    heads: StreamHeads,
    signal: watch::Sender<Position>,
}

impl<L: Ledger> Writer<L> {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        let mut waiting = Vec::with_capacity(BATCH);
        while inbox.recv_many(&mut waiting, BATCH).await > 0 {
            let batch = Batch::of(waiting.drain(..));
            if let Some(apart) = self.serve(batch).await {
                for alone in apart.apart() {
                    self.serve(alone).await;
                }
            }
        }
    }

    /// Answers the batch; returns it where it should be tried again request by request.
    async fn serve(&mut self, batch: Batch) -> Option<Batch> {
        match self.transact(&batch).await {
            Ok(outcome) => batch.answer(outcome),
            Err(error) => {
                self.ledger.rollback().await;
                // Whether a failed commit took place is not known: everything is read afresh.
                self.heads.clear();
                match error {
                    WriteError::Constraint(_) if batch.len() > 1 => return Some(batch),
                    WriteError::Constraint(error) => batch.fail(error),
                    WriteError::Failed(error) => {
                        warn!(
                            requests = batch.len(),
                            error = &error as &dyn std::error::Error,
                            "a batch of the log was not written"
                        );
                        batch.fail(error);
                    }
                }
            }
        }
        None
    }

    async fn transact(&mut self, batch: &Batch) -> Result<Outcome, WriteError> {
        let opening = self.ledger.begin().await?;
        if opening.head.position != self.head {
            self.heads.clear();
            self.head = opening.head.position;
        }
        let mut known = self.learn(batch, opening).await?;
        let judged: Vec<_> = batch.appends.iter().map(|(append, _)| known.admit(append)).collect();
        let accepted = batch.appends.iter().zip(&judged).filter(|(_, judged)| judged.is_ok());
        let rows: Vec<&SideRow> = accepted.flat_map(|((append, _), _)| &append.rows).collect();
        let events: Vec<&[Recorded]> = judged.iter().flatten().map(Vec::as_slice).collect();
        self.ledger.write(opening.now, &events, &rows).await?;
        let extended = self.extend(batch, opening.now).await?;
        if !batch.expire_all.is_empty() {
            self.ledger.expire_all(opening.now).await?;
        }
        let leases_changed = extended.iter().any(|leases| !leases.is_empty()) || !batch.expire_all.is_empty();
        if events.is_empty() && !leases_changed {
            // Everything was refused: nothing to make last, no fsync.
            self.ledger.rollback().await;
        } else {
            self.ledger.commit().await?;
            self.remember(known);
        }
        Ok(Outcome { appends: judged, extended })
    }

    /// Extends the leases of all requests at once; each request hears of its own.
    async fn extend(&mut self, batch: &Batch, now: Timestamp) -> Result<Vec<Vec<LeaseKey>>, StoreError> {
        let wanted: HashSet<LeaseKey> =
            batch.extensions.iter().flat_map(|(leases, _)| leases).copied().collect();
        if wanted.is_empty() {
            return Ok(vec![Vec::new(); batch.extensions.len()]);
        }
        let wanted: Vec<LeaseKey> = wanted.into_iter().collect();
        let live: HashSet<LeaseKey> = self.ledger.extend(now, &wanted).await?.into_iter().collect();
        let own = |leases: &[LeaseKey]| leases.iter().filter(|lease| live.contains(lease)).copied().collect();
        Ok(batch.extensions.iter().map(|(leases, _)| own(leases)).collect())
    }

    /// What the batch needs: from memory where it is there, else from the ledger.
    async fn learn(&mut self, batch: &Batch, opening: Opening) -> Result<Known, StoreError> {
        let mut known = Known::at(opening.now, opening.head, opening.last_recorded_at);
        let mut needs = Needs::default();
        for (append, _) in &batch.appends {
            needs.add(append);
        }
        for stream in &needs.streams {
            if let Some(version) = self.heads.get(stream) {
                known.versions.insert(stream.clone(), version);
            }
        }
        needs.streams.retain(|stream| !known.versions.contains_key(stream));
        self.ledger.learn(&needs, &mut known).await?;
        Ok(known)
    }

    fn remember(&mut self, known: Known) {
        known.versions.into_iter().for_each(|(stream, version)| self.heads.put(stream, version));
        if self.head != known.head.position {
            self.head = known.head.position;
            advance(&self.signal, self.head);
        }
    }
}

/// Tells of the log's end. News may come in the wrong order; the signal never goes back.
pub(crate) fn advance(signal: &watch::Sender<Position>, head: Position) {
    signal.send_if_modified(|told| {
        let forward = *told < head;
        *told = head.max(*told);
        forward
    });
}
