//! Messages of any size over a server that carries messages of one size only.
//!
//! ```text
//! sender                                   receiver
//!   │ first piece, "N pieces in all, ask at INBOX" ──▶ │
//!   │ ◀───────────────────── request at INBOX: "1" ─── │
//!   │ second piece ──────────────────────────────────▶ │
//!   │                         …                        │
//!   │ ◀───────────────────── at INBOX: "taken" ─────── │
//! ```
//!
//! The receiver fetches, so nothing is sent that nobody has room for, one member of a queue group gets all of it, and
//! the sender learns whether it arrived. A message that fits and needs no such proof travels alone, as plain JSON.

use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, Request, Subject, Subscriber};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

/// Header: how many pieces there are in all.
const PIECES: &str = "Framelane-Pieces";
/// Header: where the others are fetched, and where it is said that all is there.
const INBOX: &str = "Framelane-Inbox";
/// What is said there at the end.
const TAKEN: &[u8] = b"taken";

/// What headers and subjects may add to a piece: they count towards what the server carries.
const ENVELOPE_BYTES: usize = 1024;
/// Larger pieces would only hold up what shares the connection.
const PIECE_BYTES_MAX: usize = 1024 * 1024;
/// The largest message in all: a composition of 5 MiB, each of its bytes escaped, and the plan of a long film.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long either side waits for the other's next step.
pub(super) const STEP_PATIENCE: Duration = Duration::from_secs(3);

/// A message ready to be sent.
#[derive(Debug)]
pub(super) struct Parcel {
    /// What travels first.
    pub(super) payload: Bytes,
    /// What travels with it; nothing where the message travels alone.
    pub(super) headers: Option<HeaderMap>,
    /// What hands out the rest.
    pub(super) offer: Option<Offer>,
}

/// Whether the sender wants to hear that a message arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// It will see.
    None,
    /// Yes: [`Offer::hand_out`] tells.
    Wanted,
}

/// The pieces that wait to be fetched.
#[derive(Debug)]
pub(super) struct Offer {
    pieces: Vec<Bytes>,
    requests: Subscriber,
    inbox: Subject,
}

/// Nobody fetched it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotTaken;

/// A message that did not arrive whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum CollectError {
    /// It is not what a [`Parcel`] looks like.
    #[error("could not read a message: {0}")]
    Malformed(&'static str),
    /// A piece did not come.
    #[error("could not fetch piece {piece} of {pieces}: {what}")]
    Missing {
        /// Which.
        piece: usize,
        /// Of how many.
        pieces: usize,
        /// Why.
        what: String,
    },
}

/// Cuts a message to what the server carries now.
pub(super) async fn pack(client: &Client, message: Vec<u8>, proof: Proof) -> Result<Parcel, String> {
    let size = client.max_payload().saturating_sub(ENVELOPE_BYTES).clamp(1, PIECE_BYTES_MAX);
    let message = Bytes::from(message);
    if message.len() <= size && proof == Proof::None {
        return Ok(Parcel { payload: message, headers: None, offer: None });
    }
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(format!("the message has {} bytes, {MESSAGE_BYTES_MAX} are the limit", message.len()));
    }
    let ends = (0..message.len()).step_by(size).map(|start| start..message.len().min(start + size));
    let pieces: Vec<Bytes> = ends.map(|range| message.slice(range)).collect();
    let inbox = Subject::from(client.new_inbox());
    // Subscribed before anything is published on the same connection: no request can come too early.
    let requests = client.subscribe(inbox.clone()).await.map_err(|error| error.to_string())?;
    let mut headers = HeaderMap::new();
    headers.insert(PIECES, pieces.len().to_string());
    headers.insert(INBOX, inbox.as_str());
    let payload = pieces.first().cloned().unwrap_or_default();
    Ok(Parcel { payload, headers: Some(headers), offer: Some(Offer { pieces, requests, inbox }) })
}

impl Offer {
    /// Where pieces are fetched.
    pub(super) fn inbox(&self) -> Subject {
        self.inbox.clone()
    }

    /// Hands out pieces until the receiver says that it has all of them.
    pub(super) async fn hand_out(mut self, client: &Client) -> Result<(), NotTaken> {
        loop {
            let next = tokio::time::timeout(STEP_PATIENCE, self.requests.next()).await;
            let Ok(Some(request)) = next else { return Err(NotTaken) };
            if request.payload == TAKEN {
                return Ok(());
            }
            // Also how the server says that nobody listens where the parcel went.
            let Some(reply) = request.reply else { return Err(NotTaken) };
            let wanted =
                std::str::from_utf8(&request.payload).ok().and_then(|text| text.parse::<usize>().ok());
            let Some(piece) = wanted.and_then(|index| self.pieces.get(index)) else { continue };
            if client.publish(reply, piece.clone()).await.is_err() {
                return Err(NotTaken);
            }
        }
    }
}

/// The whole of a message whose first piece has come, and where to say that it is there.
pub(super) async fn collect(
    client: &Client,
    first: Message,
) -> Result<(Bytes, Option<Subject>), CollectError> {
    let header =
        |name| first.headers.as_ref().and_then(|headers| headers.get(name)).map(|value| value.as_str());
    let Some(pieces) = header(PIECES) else { return Ok((first.payload, None)) };
    let malformed = CollectError::Malformed;
    let pieces: usize =
        pieces.parse().map_err(|_invalid| malformed("the number of its pieces is no number"))?;
    let inbox = header(INBOX).filter(|inbox| inbox.starts_with("_INBOX.") && !inbox.contains(['*', '>']));
    let inbox = inbox.and_then(|inbox| Subject::validated(inbox).ok());
    let inbox = inbox.ok_or(malformed("it does not say where its pieces are"))?;
    if pieces == 1 {
        return Ok((first.payload, Some(inbox)));
    }
    let mut whole = BytesMut::from(first.payload);
    for piece in 1..pieces {
        let missing = |what: String| CollectError::Missing { piece, pieces, what };
        let request = Request::new().payload(piece.to_string().into()).timeout(Some(STEP_PATIENCE));
        let next =
            client.send_request(inbox.clone(), request).await.map_err(|error| missing(error.to_string()))?;
        if next.payload.is_empty() || whole.len() + next.payload.len() > MESSAGE_BYTES_MAX {
            return Err(malformed("its pieces are empty or too many"));
        }
        whole.extend_from_slice(&next.payload);
    }
    Ok((whole.freeze(), Some(inbox)))
}

/// Tells the sender that its message is here. Nobody waits for this to arrive: where it does not, the sender takes
/// back what it gave, and whoever holds it learns so by the next heartbeat.
pub(super) async fn confirm(client: &Client, inbox: Subject) {
    if let Err(error) = client.publish(inbox, Bytes::from_static(TAKEN)).await {
        tracing::debug!(%error, "could not confirm a message");
    }
}
