//! What nodes of one service agree on beside the log: who has which duty, and which engines live.
//!
//! Nothing here is history and nothing rests on it: a duty that two nodes hold for a moment is done twice, and everything
//! that is done under a duty bears that. [`while_on_duty`] is how a node does what one node at a time should do.
//!
//! Must not know: what the duties are.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use events::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::store::EventStore;

/// How long a duty stays with a node that is not heard of: a node that dies is replaced so soon.
const DUTY_TTL: Duration = Duration::from_secs(6);

/// How often a node says that it is there; three may be lost.
const KEEP_EVERY: Duration = Duration::from_millis(1_500);

/// How often a node asks for a duty that another one has.
const ASK_EVERY: Duration = Duration::from_millis(1_000);

/// What is known where all nodes are in this process: a store in memory or in a file of one service.
#[derive(Debug, Default)]
pub(crate) struct LocalNodes(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Who has a duty, and until when.
    duties: HashMap<String, (String, Timestamp)>,
    /// When an engine was heard of.
    engines: HashMap<String, Timestamp>,
}

impl LocalNodes {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take_duty(&self, duty: &str, node: &str, ttl_ms: u64, now: Timestamp) -> bool {
        let mut known = self.known();
        let free = known.duties.get(duty).is_none_or(|(holder, until)| holder == node || *until <= now);
        if free {
            let until = now.plus_ms(i64::try_from(ttl_ms).unwrap_or(i64::MAX));
            known.duties.insert(duty.to_owned(), (node.to_owned(), until));
        }
        free
    }

    pub(crate) fn leave_duty(&self, duty: &str, node: &str) {
        let mut known = self.known();
        if known.duties.get(duty).is_some_and(|(holder, _)| holder == node) {
            known.duties.remove(duty);
        }
    }

    pub(crate) fn hear_engine(&self, engine: &str, now: Timestamp) {
        self.known().engines.insert(engine.to_owned(), now);
    }

    pub(crate) fn engine_heard_at(&self, engine: &str) -> Option<Timestamp> {
        self.known().engines.get(engine).copied()
    }
}

/// Does `work` for as long as this node has the duty, again whenever it gets it back, until told to stop. `work` is told to
/// stop when the duty is lost, and is waited for; where it ends by itself the duty is given back.
///
/// `node` names this process, and is another one at every start.
pub async fn while_on_duty<F>(
    store: &Arc<dyn EventStore>,
    duty: &'static str,
    node: &str,
    stop: &CancellationToken,
    mut work: impl FnMut(CancellationToken) -> F,
) where
    F: Future<Output = ()>,
{
    while !stop.is_cancelled() {
        if !ask(store, duty, node).await {
            stop.run_until_cancelled(tokio::time::sleep(ASK_EVERY)).await;
            continue;
        }
        tracing::debug!(duty, "on duty");
        let lost = stop.child_token();
        let worked = async {
            work(lost.clone()).await;
            lost.cancel();
        };
        let kept = async {
            keep(store, duty, node, &lost).await;
            lost.cancel();
        };
        tokio::join!(worked, kept);
        if let Err(error) = store.leave_duty(duty, node).await {
            tracing::debug!(duty, %error, "a duty was not given back; another node has it soon");
        }
    }
}

async fn ask(store: &Arc<dyn EventStore>, duty: &'static str, node: &str) -> bool {
    store.take_duty(duty, node, millis(DUTY_TTL)).await.unwrap_or_else(|error| {
        tracing::warn!(duty, error = &error as &dyn std::error::Error, "could not ask for a duty");
        false
    })
}

/// Keeps the duty until it is lost or `stop` is cancelled. A store that does not answer takes it away when its time is over.
async fn keep(store: &Arc<dyn EventStore>, duty: &'static str, node: &str, stop: &CancellationToken) {
    let mut kept_at = tokio::time::Instant::now();
    while stop.run_until_cancelled(tokio::time::sleep(KEEP_EVERY)).await.is_some() {
        let asked_at = tokio::time::Instant::now();
        match store.take_duty(duty, node, millis(DUTY_TTL)).await {
            Ok(true) => kept_at = asked_at,
            Ok(false) => {
                tracing::warn!(duty, "another node has this duty now");
                return;
            }
            Err(error) if kept_at.elapsed() >= DUTY_TTL => {
                tracing::warn!(duty, error = &error as &dyn std::error::Error, "a duty could not be kept");
                return;
            }
            Err(_soon_again) => {}
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::memory::MemoryStore;

    #[tokio::test]
    async fn one_node_at_a_time_has_a_duty_and_the_next_one_follows() {
        let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
        let (at_it, most) = (AtomicU32::new(0), AtomicU32::new(0));
        let stops = [CancellationToken::new(), CancellationToken::new()];
        let turns = [AtomicU32::new(0), AtomicU32::new(0)];
        let node = async |number: usize| {
            let name = number.to_string();
            let work = async |lost: CancellationToken| {
                turns[number].fetch_add(1, Ordering::Relaxed);
                most.fetch_max(at_it.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                lost.cancelled().await;
                at_it.fetch_sub(1, Ordering::Relaxed);
            };
            while_on_duty(&store, "sweeping", &name, &stops[number], work).await;
        };
        let tale = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(turns[0].load(Ordering::Relaxed) + turns[1].load(Ordering::Relaxed), 1);
            let first = usize::from(turns[1].load(Ordering::Relaxed) == 1);
            stops[first].cancel();
            let follows = async {
                while turns[1 - first].load(Ordering::Relaxed) == 0 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(DUTY_TTL, follows)
                .await
                .expect("it was given back, so the other has it at once");
            stops[1 - first].cancel();
        };
        tokio::join!(node(0), node(1), tale);
        assert_eq!(most.load(Ordering::Relaxed), 1, "never both");
    }
}
