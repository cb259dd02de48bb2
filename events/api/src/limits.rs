//! The service's own limits, in one table. `GET /v1/capabilities` tells them as `service_limits`, beside the `limits` of a
//! composition; the flags of `framelane serve` set those that an installation may choose.

use events::public_event::EVENT_BYTES_MAX;
use serde::Serialize;

use crate::rate::RateLimit;

/// What one installation allows. The field names are the wire's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceLimits {
    /// Requests of one API key; `null`: as many as it likes (`--rate-limit`). Beyond: 429.
    pub rate_limit: Option<RateLimit>,
    /// Renders of one workspace in work at once, where the workspace has no setting of its own; `null`: as many as there
    /// are slots (`--concurrency`). Beyond: they wait.
    pub concurrency: Option<u32>,
    /// Seconds that a film and its links live after the job's completion (`--retention`). Beyond: 410.
    pub retention_s: u64,
    /// Bytes that must be free on the disk; with fewer nothing new is accepted (503) or begun (`--min-free-disk`).
    pub min_free_disk_bytes: u64,
    /// Seconds that an Idempotency-Key is kept (`--idempotency-retention`).
    pub idempotency_retention_s: u64,
    /// Characters of an Idempotency-Key. Beyond: 422.
    pub idempotency_key_chars_max: usize,
    /// Bytes of a body that is too large and yet read to its end, so that its sender sees the 413.
    pub body_discarded_bytes_max: u64,
    /// Seconds in which a body must come. Beyond: 408.
    pub body_within_s: u64,
    /// Bytes of all headers of a request. Beyond: 431.
    pub header_bytes_max: usize,
    /// Event streams open at once. Beyond: 429.
    pub event_streams_max: usize,
    /// Those of one workspace. Beyond: 429.
    pub event_streams_per_workspace_max: usize,
    /// Bytes of one event's JSON. Beyond: its warnings are counted instead of listed.
    pub event_bytes_max: usize,
    /// Seconds that a client may take no byte of what is ready for it. Beyond: the connection is dropped.
    pub write_deadline_s: u64,
    /// API keys of one workspace. Beyond: 409.
    pub api_keys_max: usize,
    /// Characters of the name of a key or a workspace. Beyond: 422.
    pub name_chars_max: usize,
}

impl ServiceLimits {
    /// Thirty days, what the API promises.
    pub const RETENTION_S: u64 = 30 * 24 * 60 * 60;
    /// A day, what the API promises.
    pub const IDEMPOTENCY_RETENTION_S: u64 = 24 * 60 * 60;
    /// 1 GiB: room for the log, and for what is being rendered to be finished.
    pub const MIN_FREE_DISK_BYTES: u64 = 1 << 30;
}

impl Default for ServiceLimits {
    fn default() -> ServiceLimits {
        ServiceLimits {
            rate_limit: None,
            concurrency: None,
            retention_s: ServiceLimits::RETENTION_S,
            min_free_disk_bytes: ServiceLimits::MIN_FREE_DISK_BYTES,
            idempotency_retention_s: ServiceLimits::IDEMPOTENCY_RETENTION_S,
            idempotency_key_chars_max: 255,
            body_discarded_bytes_max: 32 << 20,
            body_within_s: 60,
            header_bytes_max: 64 << 10,
            event_streams_max: 2048,
            event_streams_per_workspace_max: 512,
            event_bytes_max: EVENT_BYTES_MAX,
            write_deadline_s: 30,
            api_keys_max: 100,
            name_chars_max: 100,
        }
    }
}
