//! How a public event looks outside HTTP: a CloudEvent 1.0 in binary mode, its attributes as headers and its JSON as the
//! body. The names stand here once, for those who publish and for the document that tells of it.

/// Where an event goes. The dot of a type stays one, so that a type is two tokens of the subject.
pub const ADDRESS: &str = "framelane.events.{workspace}.{render}.{type}";

/// Header: what doubles are known by.
pub const MESSAGE_ID: &str = "Nats-Msg-Id";
/// Header: the event's place in the log. Not called a sequence: messages at NATS have one of their own.
pub const POSITION: &str = "Framelane-Position";
/// Header: its place in the job's history.
pub const VERSION: &str = "Framelane-Version";

/// Every header, with what it says.
pub const HEADERS: &[(&str, &str)] = &[
    (MESSAGE_ID, "The event's id: the stream knows doubles by it for two minutes, a subscriber for ever."),
    ("ce-specversion", "`1.0`."),
    ("ce-id", "The event's id, as `id` in the body."),
    ("ce-source", "`urn:framelane:` and the workspace."),
    ("ce-type", "The event's type, as in the body."),
    ("ce-subject", "The job, as `render_id` in the body."),
    ("ce-time", "When it happened: ISO 8601, UTC, as `created_at` in the body."),
    ("content-type", "`application/json`."),
    (
        POSITION,
        "The event's place in the log, as `sequence` in the body: whoever has missed something reads \
         `/v1/events?after=` it.",
    ),
    (VERSION, "Its place in the job's history, as `version` in the body."),
];
