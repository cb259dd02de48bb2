//! The language of the service: identifiers, events, work orders and the public job.
//!
//! Promises: stored bytes never change meaning (upcasters, `wire/`); [`job_view`] is the one fold from events to what
//! clients see. Must not know: databases, networks, clocks, randomness, the composition's meaning.

pub mod cloud_event;
pub mod digest;
pub mod envelope;
pub mod fault;
pub mod id;
pub mod job;
pub mod job_view;
pub mod news;
pub mod public_event;
pub mod redact;
pub mod render;
pub mod time;
pub mod upcast;
pub mod work;
pub mod workspace;
pub mod workspace_view;

pub use digest::Sha256;
pub use envelope::{Actor, EncodedEvent, NewEvent, Position, Recorded, StreamId, StreamVersion};
pub use fault::{Fault, FaultCode};
pub use id::{AttemptId, DeliveryId, EventId, KeyId, RenderId, WebhookId, WorkerId, WorkspaceId};
pub use render::RenderEvent;
pub use time::Timestamp;
pub use work::{Slot, Token};
pub use workspace::WorkspaceEvent;
