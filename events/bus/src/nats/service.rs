//! The command side's end: takes questions off the bus, asks the service, sends the answers.

use std::sync::Arc;

use async_nats::{Message, Subject};
use events::work::{Claim, Outcome, WorkOrder, WorkReport};
use futures_util::StreamExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::parcel::{self, CollectError, NotTaken, Proof};
use super::wire::{self, Answer, Claimed};
use super::{BusError, Link, WorkService};

/// Questions of one kind that are dealt with at once; further ones wait on their subscription.
const AT_ONCE: usize = 256;

/// What a question is about.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Claim,
    Heartbeat,
    Report,
}

impl Kind {
    fn subject(self) -> &'static str {
        match self {
            Kind::Claim => wire::CLAIM,
            Kind::Heartbeat => wire::HEARTBEAT,
            Kind::Report => wire::REPORT,
        }
    }
}

/// Answers every question from now on, each kind by itself: claims may take long, heartbeats may not wait for them.
pub(super) fn serve(link: &Arc<Link>, service: &Arc<dyn WorkService>) {
    for kind in [Kind::Claim, Kind::Heartbeat, Kind::Report] {
        let answerer = Answerer { link: Arc::clone(link), service: Arc::clone(service), kind };
        link.answering.spawn(answerer.run());
    }
}

/// Answers questions of one kind.
#[derive(Clone)]
struct Answerer {
    link: Arc<Link>,
    service: Arc<dyn WorkService>,
    kind: Kind,
}

impl Answerer {
    /// Takes questions until the bus closes, then those that are here already.
    async fn run(self) {
        let subject = self.kind.subject();
        let subscribed = self.link.client.queue_subscribe(subject, wire::COMMAND_NODES.to_owned()).await;
        let mut questions = match subscribed {
            Ok(questions) => questions,
            Err(error) => {
                tracing::error!(subject, %error, "workers are not answered: could not listen to them");
                return;
            }
        };
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let mut draining = false;
        loop {
            let question = tokio::select! {
                question = questions.next() => question,
                () = self.link.closing.cancelled(), if !draining => {
                    draining = true;
                    if questions.drain().await.is_err() { return }
                    continue;
                }
            };
            let Some(question) = question else { return };
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
            let this = self.clone();
            self.link.answering.spawn(async move {
                this.answer(question).await;
                drop(place);
            });
        }
    }

    async fn answer(&self, question: Message) {
        let Some(reply) = question.reply.clone() else {
            self.link.note_malformed(self.kind.subject(), "nobody waits for its answer");
            return;
        };
        match self.kind {
            Kind::Claim => self.claim(question, reply).await,
            Kind::Heartbeat => {
                let answer = match self.read(question).await {
                    Ok(heartbeat) => answer(self.service.heartbeat(heartbeat).await),
                    Err(what) => Answer::Failed(what),
                };
                self.reply(reply, &answer).await;
            }
            Kind::Report => {
                let answer = match self.read(question).await {
                    Ok(report) => answer(self.service.report(report).await),
                    Err(what) => Answer::Failed(what),
                };
                self.reply(reply, &answer).await;
            }
        }
    }

    async fn claim(&self, question: Message, reply: Subject) {
        let granted: Claimed = match self.read::<Claim>(question).await {
            Ok(claim) => answer(self.service.claim(claim).await),
            Err(what) => Answer::Failed(what),
        };
        let Answer::Ok(Some(order)) = &granted else { return self.reply(reply, &granted).await };
        if self.send(reply, &granted, Proof::Wanted).await.is_err() {
            self.take_back(order).await;
        }
    }

    /// Nobody holds what was granted: it is due again, and no attempt is counted.
    async fn take_back(&self, order: &WorkOrder) {
        let (render, slot, token) = (order.render, order.slot, order.token);
        tracing::warn!(render.id = %render, %slot, "an order did not reach its worker; taking it back");
        let report = WorkReport { render, slot, token, outcome: Outcome::Released };
        if let Err(error) = self.service.report(report).await {
            tracing::warn!(render.id = %render, %slot, %error, "it could not be taken back; its lease will expire");
        }
    }

    /// What was asked; the error is an answer.
    async fn read<Q: DeserializeOwned>(&self, question: Message) -> Result<Q, String> {
        let subject = self.kind.subject();
        let read = match parcel::collect(&self.link.client, question).await {
            Ok((bytes, _inbox)) => wire::decode(&bytes),
            Err(CollectError::Malformed(what)) => Err(what.to_owned()),
            Err(error @ CollectError::Missing { .. }) => {
                tracing::debug!(subject, %error, "a question did not arrive whole");
                return Err(error.to_string());
            }
        };
        read.map_err(|what| {
            self.link.note_malformed(subject, &what);
            format!("the question is {what}")
        })
    }

    async fn reply(&self, to: Subject, answer: &impl Serialize) {
        if self.send(to, answer, Proof::None).await.is_err() {
            tracing::debug!(subject = self.kind.subject(), "an answer was not taken; its worker asks again");
        }
    }

    async fn send(&self, to: Subject, answer: &impl Serialize, proof: Proof) -> Result<(), NotTaken> {
        let client = &self.link.client;
        let parcel = parcel::pack(client, wire::encode(answer), proof).await.map_err(|error| {
            tracing::error!(subject = self.kind.subject(), %error, "an answer could not be sent");
            NotTaken
        })?;
        let sent = match (parcel.headers, &parcel.offer) {
            (Some(headers), Some(offer)) => {
                // Where nobody listens at `to` any more, the server says so at the inbox.
                client.publish_with_reply_and_headers(to, offer.inbox(), headers, parcel.payload).await
            }
            _ => client.publish(to, parcel.payload).await,
        };
        if sent.is_err() {
            return Err(NotTaken);
        }
        match parcel.offer {
            Some(offer) => offer.hand_out(client).await,
            None => Ok(()),
        }
    }
}

/// What the service says, as it travels.
fn answer<T>(outcome: Result<T, BusError>) -> Answer<T> {
    match outcome {
        Ok(answer) => Answer::Ok(answer),
        Err(BusError::Failed(what)) => Answer::Failed(what),
        Err(error @ (BusError::Stopped | BusError::Unreachable(_))) => Answer::Failed(error.to_string()),
    }
}
