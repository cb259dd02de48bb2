//! The three requests to JetStream that we need, as JSON, and its acknowledgements.
//!
//! The library's typed requests would drop settings that they don't know; here an answer is what the server said.

use std::time::Duration;

use async_nats::{Client, Request, RequestErrorKind};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::settings::STREAM;
use crate::publisher::PublishError;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What JetStream says instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct ApiFault {
    /// Which fault.
    #[serde(default, rename = "err_code")]
    pub(super) number: u32,
    /// In the server's words.
    #[serde(default)]
    pub(super) description: String,
}

/// Not enabled for the login's account.
const OFF_FOR_ACCOUNT: u32 = 10039;
/// Not enabled on the server.
const OFF: u32 = 10076;
/// No such stream.
const NO_STREAM: u32 = 10059;
/// No such message.
const NO_MESSAGE: u32 = 10037;
/// A cluster that has no leader, or is at it.
const TRANSIENT: [u32; 4] = [10004, 10005, 10008, 10009];
/// The stream ends elsewhere than the message says.
pub(super) const WRONG_SEQUENCE: u32 = 10071;

/// A stream as the server describes it.
#[derive(Debug, Deserialize)]
pub(super) struct Stream {
    pub(super) config: Map<String, Value>,
    pub(super) state: State,
}

/// What is in it.
#[derive(Debug, Deserialize)]
pub(super) struct State {
    pub(super) messages: u64,
    pub(super) last_seq: u64,
}

/// A stored message.
#[derive(Debug, Deserialize)]
pub(super) struct Stored {
    pub(super) seq: u64,
    /// Its headers, base64.
    #[serde(default)]
    pub(super) hdrs: String,
}

#[derive(Debug, Deserialize)]
struct MessageAnswer {
    message: Stored,
}

/// Asks JetStream.
#[derive(Debug)]
pub(super) struct JetStream<'c>(pub(super) &'c Client);

impl JetStream<'_> {
    /// The stream, if there is one.
    pub(super) async fn stream(&self) -> Result<Option<Stream>, PublishError> {
        match self.ask("STREAM.INFO", &Value::Null).await? {
            Ok(answer) => read(answer).map(Some),
            Err(fault) if fault.number == NO_STREAM => Ok(None),
            Err(fault) => Err(fault.told()),
        }
    }

    /// Makes the stream, or changes it: `STREAM.CREATE`, `STREAM.UPDATE`. The inner error: the server won't.
    pub(super) async fn set(
        &self,
        request: &str,
        settings: Map<String, Value>,
    ) -> Result<Result<Stream, ApiFault>, PublishError> {
        match self.ask(request, &Value::Object(settings)).await? {
            Ok(answer) => read(answer).map(Ok),
            Err(fault) if fault.is_about_the_request() => Ok(Err(fault)),
            Err(fault) => Err(fault.told()),
        }
    }

    /// The last message of these subjects.
    pub(super) async fn last(&self, subjects: &str) -> Result<Option<Stored>, PublishError> {
        match self.ask("STREAM.MSG.GET", &json!({ "last_by_subj": subjects })).await? {
            Ok(answer) => read::<MessageAnswer>(answer).map(|answer| Some(answer.message)),
            Err(fault) if fault.number == NO_MESSAGE => Ok(None),
            Err(fault) => Err(fault.told()),
        }
    }

    async fn ask(&self, request: &str, question: &Value) -> Result<Result<Value, ApiFault>, PublishError> {
        let payload = if question.is_null() { String::new() } else { question.to_string() };
        let asked = Request::new().payload(payload.into()).timeout(Some(PATIENCE));
        let reply = self.0.send_request(format!("$JS.API.{request}.{STREAM}"), asked).await;
        let reply = reply.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => off("the server has it switched off"),
            RequestErrorKind::TimedOut => PublishError::Unavailable(
                "JetStream does not answer; if it stays so, see whether the login may publish to $JS.API.>"
                    .to_owned(),
            ),
            kind @ (RequestErrorKind::InvalidSubject
            | RequestErrorKind::MaxPayloadExceeded
            | RequestErrorKind::Other) => {
                PublishError::Unavailable(format!("JetStream was not asked: {kind}"))
            }
        })?;
        let mut answer: Value = serde_json::from_slice(&reply.payload).map_err(|_other| unreadable())?;
        match answer.get_mut("error").map(Value::take) {
            Some(fault) => read(fault).map(Err),
            None => Ok(Ok(answer)),
        }
    }
}

impl ApiFault {
    /// Whether other settings, or room for these, are what it takes.
    fn is_about_the_request(&self) -> bool {
        !TRANSIENT.contains(&self.number) && !matches!(self.number, OFF | OFF_FOR_ACCOUNT | NO_STREAM)
    }

    /// The fault where it is none of those that the caller deals with.
    pub(super) fn told(self) -> PublishError {
        match self.number {
            OFF => off("the server has it switched off"),
            OFF_FOR_ACCOUNT => off("it is not enabled for the login's account"),
            NO_STREAM => PublishError::Moved,
            _ => PublishError::Unavailable(format!("JetStream says: {} ({})", self.description, self.number)),
        }
    }
}

fn off(why: &str) -> PublishError {
    PublishError::Refused(format!(
        "NATS has no JetStream for us: {why}; start nats-server with -js (or a jetstream block, and jetstream: enabled in \
         the account), or publish no events with --nats-events off"
    ))
}

fn read<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T, PublishError> {
    serde_json::from_value(answer).map_err(|_other| unreadable())
}

fn unreadable() -> PublishError {
    PublishError::Unavailable("JetStream's answer has another form than 2.9's".to_owned())
}
