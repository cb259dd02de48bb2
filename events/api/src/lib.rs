//! The wire's conventions that every HTTP role shares: the error envelope, bearer keys, rates, limits, paging, request ids,
//! and the document that tells clients of all of it.
//!
//! A role gives its [`Endpoints`]: each handler with the [`Operation`] that describes it. Whoever serves them joins the
//! roles', makes the documents of them ([`openapi::document`], [`asyncapi::document`]) and calls [`with_conventions`] once,
//! so that no answer leaves without the envelope and a request id. Must not know: what any endpoint does.
//!
//! **To add an endpoint**, write a handler and beside it a function that returns its `Operation`, and add
//! `.serve(operation(), handler)` to the role's list. The document, the page at `/docs` and the tests that check
//! answers against the document follow by themselves.

pub mod asyncapi;
pub mod caller;
pub mod conventions;
pub mod endpoints;
pub mod error;
pub mod fresh;
pub mod hook;
pub mod limits;
pub mod listener;
pub mod openapi;
pub mod operation;
pub mod page;
pub mod rate;

pub use caller::Caller;
pub use conventions::{REQUEST_ID, RequestId, with_conventions};
pub use endpoints::Endpoints;
pub use error::{ApiError, Code, Detail};
pub use fresh::fresh;
pub use hook::Hook;
pub use limits::ServiceLimits;
pub use listener::{PatientListener, Peer};
pub use operation::{Answer, Example, Operation, Shape};
pub use page::{Page, decode_cursor, encode_cursor, parse_limit};
pub use rate::RateLimit;
