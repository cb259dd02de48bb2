//! Public events on a JetStream stream.
//!
//! ```text
//! publisher ── window: e₁ "after 41", e₂ "after 42", … ──▶ EVENTS     all at once
//!           ◀── 42, 43, … ── one acknowledgement each ────             all awaited
//! ```
//! Each message says which one it comes after, and the server refuses it elsewhere. So the stream is the log's order,
//! whoever else writes: a second writer of the same events meets its doubles (known by their ids for two minutes), and one
//! that has slept for longer is refused. Must not know: the log, checkpoints.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::{Client, Message, StatusCode, Subject, Subscriber};
use async_trait::async_trait;
use events::public_event::EVENT_BYTES_MAX;
use futures_util::StreamExt as _;
use serde::Deserialize;

use super::jetstream::{self, ApiFault, JetStream, WRONG_SEQUENCE};
use super::settings::{self, STREAM};
use super::{Link, cloud_event};
use crate::publisher::{EventPublisher, OutgoingEvent, PublishError, Tail};

/// How long the next acknowledgement of a window is waited for.
const ACK_PATIENCE: Duration = Duration::from_secs(10);
/// How often a waiting publisher looks whether there still is a connection.
const LOOK_UP: Duration = Duration::from_millis(200);

/// The publisher over a bus's connection. Keeps the connection as the bus does.
#[derive(Clone)]
pub struct NatsEvents {
    link: std::sync::Arc<Link>,
    max_bytes: u64,
}

impl std::fmt::Debug for NatsEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsEvents").field("max_bytes", &self.max_bytes).finish_non_exhaustive()
    }
}

/// The acknowledgement of a message, or why there is none.
#[derive(Debug, Deserialize)]
struct Acknowledgement {
    #[serde(default)]
    stream: String,
    #[serde(default)]
    seq: u64,
    error: Option<ApiFault>,
}

/// What a window came to.
#[derive(Debug, PartialEq, Eq)]
struct Sent {
    /// How many of its first events are on the stream.
    count: usize,
    /// Where it ends now.
    sequence: u64,
}

impl NatsEvents {
    /// A publisher of a stream that keeps `max_bytes` at most.
    pub(super) fn new(link: std::sync::Arc<Link>, max_bytes: u64) -> NatsEvents {
        NatsEvents { link, max_bytes }
    }

    fn client(&self) -> Result<&Client, PublishError> {
        match self.link.is_connected() {
            true => Ok(&self.link.client),
            false => Err(PublishError::Unavailable("there is no connection to NATS".to_owned())),
        }
    }

    /// The stream with our settings, however it was before.
    async fn with_our_settings(&self, jetstream: &JetStream<'_>) -> Result<jetstream::Stream, PublishError> {
        let wanted = settings::wanted(self.max_bytes);
        let refused = |what: String| {
            PublishError::Refused(format!("the stream {STREAM} of NATS can't be used: {what}"))
        };
        let (stream, asked) = match jetstream.stream().await? {
            None => {
                let made = jetstream.set("STREAM.CREATE", wanted.clone()).await?;
                let made = made.map_err(|ApiFault { number, description }| {
                    refused(format!("the server won't make it: {description} ({number}); is --nats-events-max-bytes ({}) more than it allows?", self.max_bytes))
                })?;
                (made, "made")
            }
            Some(found) if !settings::is_ours(&found.config) => {
                let subjects = found.config.get("subjects").cloned().unwrap_or_default();
                return Err(refused(format!(
                    "one of that name holds other subjects ({subjects}) and is somebody else's; delete it, or give \
                     Framelane an account of its own"
                )));
            }
            Some(found) => {
                let differences = settings::differences(&wanted, &found.config);
                if differences.is_empty() {
                    return Ok(found);
                }
                let differences = settings::listed(&differences);
                let changed =
                    jetstream.set("STREAM.UPDATE", settings::merged(&found.config, &wanted)).await?;
                let changed = changed.map_err(|ApiFault { number, description }| {
                    refused(format!(
                        "{differences}, and the server won't change it: {description} ({number}); delete the stream, \
                         and it is made anew"
                    ))
                })?;
                tracing::info!(
                    stream = STREAM,
                    before = differences,
                    "changed the settings of the stream of events"
                );
                (changed, "changed")
            }
        };
        match settings::differences(&wanted, &stream.config) {
            ignored if ignored.is_empty() => Ok(stream),
            ignored => Err(refused(format!(
                "it was {asked}, and yet {}; the server (version {}) ignores what it does not know: use 2.9 or newer",
                settings::listed(&ignored),
                self.link.client.server_info().version,
            ))),
        }
    }

    /// Sends a window at once and hears what becomes of each event.
    async fn send(
        &self,
        client: &Client,
        after: u64,
        window: &[OutgoingEvent],
    ) -> Result<Sent, PublishError> {
        let unsent =
            |error: &dyn std::fmt::Display| PublishError::Unavailable(format!("could not send: {error}"));
        let inbox = client.new_inbox();
        let mut answers = client.subscribe(format!("{inbox}.*")).await.map_err(|error| unsent(&error))?;
        for (number, event) in window.iter().enumerate() {
            let mut headers = cloud_event::headers(event);
            headers.insert("Nats-Expected-Stream", STREAM);
            headers.insert("Nats-Expected-Last-Sequence", (after + number as u64).to_string());
            let (to, reply) = (cloud_event::subject(event), format!("{inbox}.{number}"));
            let sent = client.publish_with_reply_and_headers(to, reply, headers, event.json.clone()).await;
            sent.map_err(|error| unsent(&error))?;
        }
        let mut acknowledged: BTreeMap<usize, Acknowledgement> = BTreeMap::new();
        while acknowledged.len() < window.len() {
            let answer = self.next_answer(&mut answers).await?;
            let number = number_of(&answer.subject).filter(|number| *number < window.len());
            if let (Some(number), Some(acknowledgement)) = (number, acknowledgement(&answer)?) {
                acknowledged.entry(number).or_insert(acknowledgement);
            }
        }
        outcome(after, acknowledged.into_values())
    }

    /// Waits for it in patience, unless the connection is lost meanwhile: then none comes.
    async fn next_answer(&self, answers: &mut Subscriber) -> Result<Message, PublishError> {
        let deadline = tokio::time::Instant::now() + ACK_PATIENCE;
        while tokio::time::Instant::now() < deadline {
            if let Ok(answer) = tokio::time::timeout(LOOK_UP, answers.next()).await {
                return answer
                    .ok_or_else(|| PublishError::Unavailable("the connection is closed".to_owned()));
            }
            self.client()?;
        }
        Err(PublishError::Unavailable("no acknowledgement came in time".to_owned()))
    }
}

/// Which event of a window an answer is about.
fn number_of(subject: &Subject) -> Option<usize> {
    subject.rsplit_once('.')?.1.parse().ok()
}

/// `None`: it is a stranger's, who hears events as they pass and answers them.
fn acknowledgement(answer: &Message) -> Result<Option<Acknowledgement>, PublishError> {
    if answer.status == Some(StatusCode::NO_RESPONDERS) {
        // No stream takes the subject.
        return Err(PublishError::Moved);
    }
    let read = serde_json::from_slice::<Acknowledgement>(&answer.payload);
    Ok(read.ok().filter(|read| read.stream == STREAM || read.error.is_some()))
}

/// What the acknowledgements of a window, in its order, come to.
fn outcome(
    after: u64,
    acknowledged: impl IntoIterator<Item = Acknowledgement>,
) -> Result<Sent, PublishError> {
    let mut sent = Sent { count: 0, sequence: after };
    // An event that was on the stream long before its turn shifts those behind it: they are sent again.
    let mut shifted = false;
    for acknowledgement in acknowledged {
        match acknowledgement.error {
            None => {
                sent.count += 1;
                let next = acknowledgement.seq == sent.sequence + 1;
                if next { sent.sequence += 1 } else { shifted = true }
            }
            Some(fault) if fault.number == WRONG_SEQUENCE => {
                return if shifted { Ok(sent) } else { Err(PublishError::Moved) };
            }
            Some(fault) => return Err(fault.told()),
        }
    }
    Ok(sent)
}

#[async_trait]
impl EventPublisher for NatsEvents {
    async fn ensure(&self) -> Result<Tail, PublishError> {
        let client = self.client()?;
        let (carried, needed) = (client.max_payload(), EVENT_BYTES_MAX + cloud_event::ENVELOPE_BYTES);
        if carried < needed {
            return Err(PublishError::Refused(format!(
                "NATS carries {carried} bytes per message, and an event may have {needed}; raise max_payload in the \
                 server's configuration (its default is 1 MiB), or publish no events with --nats-events off"
            )));
        }
        let jetstream = JetStream(client);
        let state = self.with_our_settings(&jetstream).await?.state;
        if state.messages == 0 {
            return Ok(Tail { sequence: state.last_seq, last: None });
        }
        let last = jetstream.last(cloud_event::SUBJECTS).await?;
        let sequence = last.as_ref().map_or(0, |last| last.seq).max(state.last_seq);
        Ok(Tail { sequence, last: last.and_then(|last| cloud_event::mark(&last.hdrs)) })
    }

    async fn publish(&self, after: u64, window: &[OutgoingEvent]) -> Result<u64, PublishError> {
        let client = self.client()?;
        let (mut sequence, mut left) = (after, window);
        while !left.is_empty() {
            // Each round gets at least one event through, or fails.
            let sent = self.send(client, sequence, left).await?;
            (sequence, left) = (sent.sequence, left.get(sent.count..).unwrap_or_default());
        }
        Ok(sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(seq: u64) -> Acknowledgement {
        Acknowledgement { stream: STREAM.to_owned(), seq, error: None }
    }

    fn refused(number: u32) -> Acknowledgement {
        Acknowledgement { error: Some(ApiFault { number, description: String::new() }), ..stored(0) }
    }

    #[test]
    fn a_window_is_through_where_all_of_it_lies_in_its_order() {
        let sent = outcome(41, vec![stored(42), stored(43)]).expect("through");
        assert_eq!(sent, Sent { count: 2, sequence: 43 });
    }

    #[test]
    fn events_that_were_there_long_ago_shift_those_behind_them() {
        let sent = outcome(41, vec![stored(7), stored(8), refused(WRONG_SEQUENCE)]).expect("two are there");
        assert_eq!(sent, Sent { count: 2, sequence: 41 }, "the third is sent again, after 41");
    }

    #[test]
    fn a_refusal_out_of_the_blue_means_that_somebody_else_was_there() {
        let moved = outcome(41, vec![stored(42), refused(WRONG_SEQUENCE), stored(44)]);
        assert!(matches!(moved, Err(PublishError::Moved)), "got {moved:?}");
        let full = outcome(41, vec![refused(10077)]);
        assert!(matches!(full, Err(PublishError::Unavailable(_))), "got {full:?}");
    }
}
