//! What the log says happened: read past the service, by the store's own port.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use event_store::{Census, EventStore, PostgresOptions, PostgresStore, Route, SqliteStore, Verdict, verify};
use events::render::{LeaseGranted, RenderCompleted};
use events::work::Slot;
use events::{Position, Recorded, RenderEvent, RenderId, StreamId, Token};
use tokio::time::{Instant, sleep};

/// Events read in one go.
const PAGE: u32 = 1000;

/// An open log.
#[derive(Debug)]
pub(crate) struct Log(pub(crate) Arc<dyn EventStore>);

impl Log {
    /// The file in a service's data folder.
    pub(crate) async fn in_file(path: &Path) -> Log {
        Log(Arc::new(SqliteStore::open(path).await.unwrap()))
    }

    /// A PostgreSQL database.
    pub(crate) async fn in_database(address: &str) -> Log {
        let options = PostgresOptions::parse(address, Route::Direct).unwrap();
        Log(Arc::new(PostgresStore::open(options).await.unwrap()))
    }

    /// One render's life.
    pub(crate) async fn of(&self, id: &str) -> Life {
        let render: RenderId = id.parse().unwrap();
        Life::new(id, self.0.load(&StreamId::from(render)).await.unwrap())
    }

    /// Every render's life from a position on.
    pub(crate) async fn lives_after(&self, checkpoint: Position) -> HashMap<String, Life> {
        let (mut streams, mut at): (HashMap<String, Vec<Recorded>>, _) = (HashMap::new(), checkpoint);
        loop {
            let page = self.0.read_after(at, PAGE).await.unwrap();
            let Some(last) = page.last() else { break };
            at = last.position;
            for recorded in page.into_iter().filter(|recorded| recorded.stream_id.render().is_some()) {
                streams.entry(recorded.stream_id.as_str().to_owned()).or_default().push(recorded);
            }
        }
        streams.into_iter().map(|(id, recorded)| (id.clone(), Life::new(&id, recorded))).collect()
    }

    /// Waits until nothing waits and nobody works.
    pub(crate) async fn is_idle_within(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        loop {
            let census = self.0.census().await.unwrap();
            if census == Census::default() {
                return;
            }
            assert!(Instant::now() < deadline, "work is left: {census:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// The chain holds from the first event to the last.
    pub(crate) async fn is_intact(&self) {
        let verdict = verify(&self.0, None, |_| {}).await.unwrap();
        assert!(matches!(verdict, Verdict::Intact(_)), "{verdict:?}");
    }
}

/// A render's events, oldest first.
#[derive(Debug)]
pub(crate) struct Life {
    id: String,
    pub(crate) recorded: Vec<Recorded>,
    pub(crate) events: Vec<RenderEvent>,
}

impl Life {
    fn new(id: &str, recorded: Vec<Recorded>) -> Life {
        let decode = |it: &Recorded| RenderEvent::decode(&it.event).unwrap().unwrap();
        Life { id: id.to_owned(), events: recorded.iter().map(decode).collect(), recorded }
    }

    /// Every lease, with its token.
    pub(crate) fn leases(&self) -> impl Iterator<Item = (Token, &LeaseGranted, &Recorded)> {
        self.events.iter().zip(&self.recorded).filter_map(|(event, recorded)| match event {
            RenderEvent::LeaseGranted(lease) => Some((Token(recorded.stream_version), lease, recorded)),
            _ => None,
        })
    }

    pub(crate) fn expiries(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, RenderEvent::LeaseExpired(_))).count()
    }

    /// How it ended well.
    pub(crate) fn completed(&self) -> &RenderCompleted {
        match self.events.last() {
            Some(RenderEvent::RenderCompleted(completed)) => completed,
            other => panic!("{} is not complete: {other:?}", self.id),
        }
    }

    pub(crate) fn is_completed(&self) {
        self.completed();
    }

    /// The laws of every life: it begins whole and ends once; whatever counts was reported under the lease that held its
    /// slot at that moment; what was stored lies under that lease's own key; no part counts twice.
    pub(crate) fn keeps_the_laws(&self) {
        let broken = |law: &str| panic!("{}: {law}: {:#?}", self.id, self.events);
        let begins =
            matches!(self.events[..], [RenderEvent::RenderSubmitted(_), RenderEvent::RenderQueued(_), ..]);
        if !begins {
            broken("it does not begin with what one request appends");
        }
        let ends = self.events.iter().position(is_terminal);
        if ends != Some(self.events.len() - 1) {
            broken("it does not end once, with its last event");
        }
        let (mut current, mut stored) = (BTreeMap::new(), BTreeMap::new());
        for (event, recorded) in self.events.iter().zip(&self.recorded) {
            let (slot, token, object) = match event {
                RenderEvent::LeaseGranted(lease) => {
                    if current.insert(lease.slot, Token(recorded.stream_version)).is_some() {
                        broken("a slot is leased twice at once");
                    }
                    continue;
                }
                RenderEvent::LeaseExpired(end) => (end.slot, end.token, None),
                RenderEvent::SlotReleased(end) => (end.slot, end.token, None),
                RenderEvent::AttemptFailed(end) => (end.slot, end.token, None),
                RenderEvent::RenderPlanned(end) => (Slot::Plan, end.token, Some(&end.plan.detail)),
                RenderEvent::PartStored(end) => {
                    if stored.insert(end.part.slot, end.token).is_some() {
                        broken("a part counts twice");
                    }
                    (end.part.slot, end.token, Some(&end.part.object))
                }
                RenderEvent::RenderCompleted(end) => (Slot::Assemble, end.token, Some(&end.artifact.object)),
                _ => continue,
            };
            if current.remove(&slot) != Some(token) {
                broken("a report counts that is not of the slot's current lease");
            }
            let own = events::work::object_key(self.id.parse().unwrap(), slot, token, None);
            if object.is_some_and(|object| !object.key.starts_with(&format!("{own}-"))) {
                broken("an object counts that another lease has stored");
            }
        }
    }
}

fn is_terminal(event: &RenderEvent) -> bool {
    matches!(
        event,
        RenderEvent::RenderCompleted(_) | RenderEvent::RenderFailed(_) | RenderEvent::RenderCancelled(_)
    )
}
