//! Load, decide, append: the one way in which anything happens.
//!
//! Promises: a version conflict is never an answer (load what is new, decide again); the side rows that follow from the
//! events are in the same transaction. Folded states are kept, so that a render of thousands of events is not read anew
//! for each of its parts; a kept state is only ever a head start: events decided on it are appended at its version or not
//! at all, and nothing else is answered from it.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use domain::{Aggregate, Render, Workspace};
use event_store::{Append, AppendError, EventStore, Guard, SideRow, StoreError, StreamAppend};
use events::upcast::DecodeError;
use events::{
    Actor, EncodedEvent, EventId, NewEvent, Recorded, RenderEvent, StreamId, StreamVersion, WorkspaceEvent,
    WorkspaceId,
};
use thiserror::Error;

use crate::rows;
use crate::world::World;

/// How many folded streams are kept: those that workers are at, and some more.
const KEPT_MAX: usize = 512;

/// An aggregate that lives in the log: its events' bytes, and the rows that follow from them.
pub(crate) trait Logged: Aggregate<Event: Clone + Send + Sync> + Clone + Send + Sync {
    fn encode(event: &Self::Event) -> EncodedEvent;
    fn decode(stored: &EncodedEvent) -> Result<Option<Self::Event>, DecodeError>;
    /// What the command side's tables learn of `events`, which follow on `self`.
    fn rows(&self, place: &Place, events: &[Self::Event]) -> Vec<SideRow>;
    /// Whether the state is worth keeping in memory.
    fn is_lively(&self) -> bool;
}

/// Where new events stand.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) stream: StreamId,
    pub(crate) workspace: WorkspaceId,
    /// The version before the first of them.
    pub(crate) after: StreamVersion,
}

/// On whose behalf a command is given.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) actor: Actor,
    /// Only this workspace's streams may be touched; `None`: the service's own doing.
    pub(crate) workspace: Option<WorkspaceId>,
    /// The request it goes back to; `None`: the one that began the stream.
    pub(crate) correlation_id: Option<String>,
    pub(crate) traceparent: Option<String>,
}

impl Origin {
    /// The service itself.
    pub(crate) fn system() -> Origin {
        Origin::of(Actor::system())
    }

    pub(crate) fn of(actor: Actor) -> Origin {
        Origin { actor, workspace: None, correlation_id: None, traceparent: None }
    }
}

/// What goes into the same transaction besides the events and their own rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Along {
    pub(crate) rows: Vec<SideRow>,
    pub(crate) guards: Vec<Guard>,
}

impl Along {
    pub(crate) fn guard(guard: Guard) -> Along {
        Along { rows: Vec::new(), guards: vec![guard] }
    }

    pub(crate) fn rows(rows: Vec<SideRow>) -> Along {
        Along { rows, guards: Vec::new() }
    }
}

/// A stream's state as far as it is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Folded<A> {
    pub(crate) state: A,
    pub(crate) version: StreamVersion,
    /// Whose stream it is, and the request it began with; `None`: the empty stream.
    pub(crate) began: Option<(WorkspaceId, String)>,
}

impl<A> Folded<A> {
    pub(crate) fn workspace(&self) -> Option<WorkspaceId> {
        self.began.as_ref().map(|(workspace, _)| *workspace)
    }
}

/// A command that took effect, now or before.
#[derive(Debug)]
pub(crate) struct Executed<A> {
    pub(crate) after: Arc<Folded<A>>,
    /// Empty where it took effect before.
    pub(crate) recorded: Vec<Recorded>,
    /// What the tables have learnt.
    pub(crate) rows: Vec<SideRow>,
}

/// A command that took no effect.
#[derive(Debug, Error)]
pub(crate) enum ExecuteError<R: Error + 'static> {
    #[error("could not carry the command out: {0}")]
    Rejected(R),
    #[error("could not carry the command out: the stream is another workspace's")]
    Foreign,
    #[error("could not carry the command out: a condition no longer holds")]
    GuardFailed,
    #[error("could not carry the command out: its idempotency key is taken")]
    KeyTaken,
    #[error("could not carry the command out")]
    Store(#[from] StoreError),
    #[error("could not carry the command out")]
    Decode(#[from] DecodeError),
}

/// Executes the commands of one kind of aggregate.
#[derive(Debug)]
pub(crate) struct Handler<A> {
    store: Arc<dyn EventStore>,
    world: Arc<dyn World>,
    kept: Mutex<Kept<A>>,
}

#[derive(Debug)]
struct Kept<A> {
    /// With the count of uses at the last one: the smallest was longest not asked for.
    streams: HashMap<StreamId, (u64, Arc<Folded<A>>)>,
    uses: u64,
}

impl<A: Logged> Handler<A>
where
    A::Rejection: 'static,
{
    pub(crate) fn new(store: Arc<dyn EventStore>, world: Arc<dyn World>) -> Handler<A> {
        Handler { store, world, kept: Mutex::new(Kept { streams: HashMap::new(), uses: 0 }) }
    }

    /// Gives a command to a stream. `ask` makes it from the state that it will be decided in, each time anew.
    pub(crate) async fn execute(
        &self,
        stream: &StreamId,
        origin: &Origin,
        along: Along,
        ask: impl Fn(&A) -> A::Command + Send + Sync,
    ) -> Result<Executed<A>, ExecuteError<A::Rejection>> {
        let mut head_start = Some(self.kept(stream).unwrap_or_default());
        loop {
            let (folded, may_be_old) = match head_start.take() {
                Some(kept) => (kept, true),
                None => (self.load(stream).await?, false),
            };
            let workspace = folded.workspace().or(origin.workspace);
            let decided = decide(&folded, origin, &ask);
            let will_append = workspace.is_some() && decided.as_ref().is_ok_and(|events| !events.is_empty());
            // Only an append proves that an old state is not too old.
            if may_be_old && !will_append {
                continue;
            }
            let events = decided?;
            if events.is_empty() {
                return Ok(Executed { after: folded, recorded: Vec::new(), rows: Vec::new() });
            }
            let workspace = workspace.ok_or(ExecuteError::Foreign)?;
            let place = Place { stream: stream.clone(), workspace, after: folded.version };
            let rows = folded.state.rows(&place, &events);
            let append = Append {
                streams: vec![StreamAppend {
                    stream: stream.clone(),
                    expected: folded.version,
                    events: self.envelop(&folded, workspace, origin, &events),
                }],
                rows: along.rows.iter().cloned().chain(rows.iter().cloned()).collect(),
                guards: along.guards.clone(),
            };
            match self.store.append(append).await {
                Ok(recorded) => {
                    let after = self.advance(stream, folded, &recorded)?;
                    return Ok(Executed { after, recorded, rows });
                }
                Err(AppendError::Conflict { .. }) => {
                    tracing::debug!(%stream, "someone was faster: deciding again")
                }
                Err(AppendError::GuardFailed(_)) => return Err(ExecuteError::GuardFailed),
                Err(AppendError::IdempotencyKeyTaken) => return Err(ExecuteError::KeyTaken),
                Err(AppendError::Store(error)) => return Err(error.into()),
            }
        }
    }

    /// The state of a stream as far as this process knows it, for what never changes.
    pub(crate) async fn known(&self, stream: &StreamId) -> Result<Arc<Folded<A>>, LoadError> {
        match self.kept(stream) {
            Some(kept) => Ok(kept),
            None => self.load(stream).await,
        }
    }

    /// The state of a stream now.
    pub(crate) async fn load(&self, stream: &StreamId) -> Result<Arc<Folded<A>>, LoadError> {
        let known = self.kept(stream);
        let news = match &known {
            Some(known) => self.store.load_after(stream, known.version, u32::MAX).await?,
            None => self.store.load(stream).await?,
        };
        let known = known.unwrap_or_else(|| {
            Arc::new(Folded { state: A::default(), version: StreamVersion(0), began: None })
        });
        Ok(if news.is_empty() { known } else { self.advance(stream, known, &news)? })
    }

    fn envelop(
        &self,
        folded: &Folded<A>,
        workspace: WorkspaceId,
        origin: &Origin,
        events: &[A::Event],
    ) -> Vec<NewEvent> {
        let began = folded.began.as_ref().map(|(_, correlation_id)| correlation_id);
        let correlation_id = origin.correlation_id.as_ref().or(began).cloned().unwrap_or_default();
        let mut first = None;
        let envelop = |event| {
            let event_id = EventId::new(self.world.id());
            // What one decision adds follows from its first event.
            let causation_id = first;
            first.get_or_insert(event_id);
            NewEvent {
                event_id,
                event: A::encode(event),
                workspace_id: workspace,
                correlation_id: correlation_id.clone(),
                causation_id,
                actor: origin.actor.clone(),
                traceparent: origin.traceparent.clone(),
            }
        };
        events.iter().map(envelop).collect()
    }

    /// Folds `news` in, and keeps the result.
    fn advance(
        &self,
        stream: &StreamId,
        known: Arc<Folded<A>>,
        news: &[Recorded],
    ) -> Result<Arc<Folded<A>>, DecodeError> {
        let mut folded = Arc::unwrap_or_clone(known);
        for recorded in news {
            if let Some(event) = A::decode(&recorded.event)? {
                folded.state = folded.state.evolve(&event, recorded.stream_version);
            }
            folded.version = recorded.stream_version;
            folded.began.get_or_insert_with(|| (recorded.workspace_id, recorded.correlation_id.clone()));
        }
        let folded = Arc::new(folded);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.keep(stream, &folded);
        Ok(folded)
    }

    fn kept(&self, stream: &StreamId) -> Option<Arc<Folded<A>>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.uses += 1;
        let now = kept.uses;
        let (used, folded) = kept.streams.get_mut(stream)?;
        *used = now;
        Some(Arc::clone(folded))
    }
}

/// What the command makes happen to a stream in this state.
fn decide<A: Logged>(
    folded: &Folded<A>,
    origin: &Origin,
    ask: impl Fn(&A) -> A::Command,
) -> Result<Vec<A::Event>, ExecuteError<A::Rejection>>
where
    A::Rejection: 'static,
{
    if let (Some(owner), Some(caller)) = (folded.workspace(), origin.workspace)
        && owner != caller
    {
        return Err(ExecuteError::Foreign);
    }
    folded.state.decide(ask(&folded.state)).map_err(ExecuteError::Rejected)
}

impl<A: Logged> Kept<A> {
    fn keep(&mut self, stream: &StreamId, folded: &Arc<Folded<A>>) {
        if !folded.state.is_lively() {
            self.streams.remove(stream);
            return;
        }
        // Of two that folded at once the slower one must not put back what the faster one knows.
        if self.streams.get(stream).is_some_and(|(_, known)| known.version >= folded.version) {
            return;
        }
        if self.streams.len() >= KEPT_MAX
            && let Some(oldest) =
                self.streams.iter().min_by_key(|(_, (used, _))| *used).map(|(stream, _)| stream.clone())
        {
            self.streams.remove(&oldest);
        }
        self.streams.insert(stream.clone(), (self.uses, Arc::clone(folded)));
    }
}

/// A stream could not be read.
#[derive(Debug, Error)]
pub(crate) enum LoadError {
    #[error("could not load a stream")]
    Store(#[from] StoreError),
    #[error("could not load a stream")]
    Decode(#[from] DecodeError),
}

impl<R: Error + 'static> From<LoadError> for ExecuteError<R> {
    fn from(error: LoadError) -> ExecuteError<R> {
        match error {
            LoadError::Store(error) => ExecuteError::Store(error),
            LoadError::Decode(error) => ExecuteError::Decode(error),
        }
    }
}

impl Logged for Render {
    fn encode(event: &RenderEvent) -> EncodedEvent {
        event.encode()
    }

    fn decode(stored: &EncodedEvent) -> Result<Option<RenderEvent>, DecodeError> {
        RenderEvent::decode(stored)
    }

    fn rows(&self, place: &Place, events: &[RenderEvent]) -> Vec<SideRow> {
        rows::of_render(self, place, events)
    }

    fn is_lively(&self) -> bool {
        self.facts().is_some()
    }
}

impl Logged for Workspace {
    fn encode(event: &WorkspaceEvent) -> EncodedEvent {
        event.encode()
    }

    fn decode(stored: &EncodedEvent) -> Result<Option<WorkspaceEvent>, DecodeError> {
        WorkspaceEvent::decode(stored)
    }

    fn rows(&self, place: &Place, events: &[WorkspaceEvent]) -> Vec<SideRow> {
        rows::of_workspace(self, place, events)
    }

    fn is_lively(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(version: u64) -> Arc<Folded<Render>> {
        let state = Render::Planning(domain::render::Planning {
            facts: domain::render::Facts {
                document: events::Sha256::of(b"a"),
                priority: 0,
                deadline: None,
                percent: 0,
                stage: None,
            },
            generation: 1,
            slot: domain::render::SlotState::default(),
        });
        Arc::new(Folded { state, version: StreamVersion(version), began: None })
    }

    fn stream(number: usize) -> StreamId {
        StreamId::from_stored(number.to_string())
    }

    #[test]
    fn an_older_fold_never_replaces_a_newer_one() {
        let mut kept = Kept { streams: HashMap::new(), uses: 0 };
        for version in [5, 3, 6] {
            kept.keep(&stream(1), &folded(version));
        }
        assert_eq!(kept.streams[&stream(1)].1.version, StreamVersion(6));
        kept.keep(&stream(1), &folded(4));
        assert_eq!(kept.streams[&stream(1)].1.version, StreamVersion(6));
    }

    #[test]
    fn what_was_longest_not_asked_for_is_let_go_and_what_is_over_at_once() {
        let mut kept = Kept { streams: HashMap::new(), uses: 0 };
        for number in 0..=KEPT_MAX {
            kept.uses += 1;
            kept.keep(&stream(number), &folded(1));
        }
        assert_eq!(kept.streams.len(), KEPT_MAX);
        assert!(!kept.streams.contains_key(&stream(0)), "the oldest has gone");
        let over =
            Folded { state: Render::Finished(domain::render::Outcome::Cancelled), ..Folded::default() };
        kept.keep(&stream(1), &Arc::new(over));
        assert!(!kept.streams.contains_key(&stream(1)), "what is over is not asked for again");
    }
}
