//! The wire's conventions that every HTTP role shares: the error envelope, bearer keys, rates, limits, paging, request ids.
//!
//! A role makes a bare router of its endpoints; whoever serves it joins the routers and calls [`with_conventions`] once,
//! so that no answer leaves without the envelope and a request id. Must not know: what any endpoint does.

pub mod caller;
pub mod conventions;
pub mod error;
pub mod fresh;
pub mod limits;
pub mod listener;
pub mod page;
pub mod rate;

pub use caller::Caller;
pub use conventions::{RequestId, with_conventions};
pub use error::{ApiError, Detail};
pub use fresh::fresh;
pub use limits::ServiceLimits;
pub use listener::PatientListener;
pub use page::{Page, decode_cursor, encode_cursor, parse_limit};
pub use rate::RateLimit;
