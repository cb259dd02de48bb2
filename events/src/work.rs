//! The conversation between the command side and its workers: claims, orders, heartbeats, reports.
//!
//! A hint grants nothing; only a [`WorkOrder`] with its [`Token`] does. A report is judged by its slot's token alone.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::envelope::StreamVersion;
use crate::fault::Fault;
use crate::id::{RenderId, WorkerId, WorkspaceId};
use crate::job::ProgressStage;
use crate::render::{Artifact, Plan, StoredPart, Timings};

/// A piece of a render that one worker holds at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Slot {
    /// Fetching and probing the sources, and cutting the film into parts.
    Plan,
    /// Rendering one part of the picture.
    Part(u32),
    /// Mixing and encoding the whole film's sound.
    Audio,
    /// Joining parts and sound into the artifact.
    Assemble,
}

impl JsonSchema for Slot {
    fn schema_name() -> Cow<'static, str> {
        "Slot".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(plan|audio|assemble|part/[0-9]+)$",
            "description": "A piece of a render that one worker holds at a time.",
        })
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Slot::Plan => f.write_str("plan"),
            Slot::Part(index) => write!(f, "part/{index}"),
            Slot::Audio => f.write_str("audio"),
            Slot::Assemble => f.write_str("assemble"),
        }
    }
}

impl FromStr for Slot {
    type Err = String;
    fn from_str(text: &str) -> Result<Slot, String> {
        match text {
            "plan" => Ok(Slot::Plan),
            "audio" => Ok(Slot::Audio),
            "assemble" => Ok(Slot::Assemble),
            _ => text
                .strip_prefix("part/")
                .and_then(|index| index.parse().ok())
                .map(Slot::Part)
                .ok_or_else(|| format!("{text:?} is no slot: expected plan, part/N, audio or assemble")),
        }
    }
}

impl From<Slot> for String {
    fn from(slot: Slot) -> String {
        slot.to_string()
    }
}

impl TryFrom<String> for Slot {
    type Error = String;
    fn try_from(text: String) -> Result<Slot, String> {
        text.parse()
    }
}

/// A fencing token: the stream version of the slot's `LeaseGranted`. Tokens of one slot only rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub StreamVersion);

/// What decides a part's bits: engine build, adapter and driver, codecs, fonts. Equal fingerprints, equal bits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub String);

/// A worker with a free slot asks for work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Who asks.
    pub worker: WorkerId,
    /// What it would render with.
    pub fingerprint: Fingerprint,
}

/// A granted slot with everything needed to do it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkOrder {
    /// Whose data this is.
    pub workspace: WorkspaceId,
    /// The job.
    pub render: RenderId,
    /// The piece of it.
    pub slot: Slot,
    /// The fencing token; also part of every key this lease stores under.
    pub token: Token,
    /// 1 for the slot's first lease.
    pub attempt: u32,
    /// The lease ends this long after its last heartbeat.
    pub ttl_ms: u64,
    /// The normalised composition, JSON. Holds source URLs: never log it.
    pub document: String,
    /// The recorded plan; `None` for the plan slot itself.
    pub plan: Option<Plan>,
    /// What the other slots have stored, for assembly: parts in order, then the sound if there is any.
    pub stored: Vec<StoredPart>,
}

/// A worker's sign of life for one lease.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The job.
    pub render: RenderId,
    /// The piece of it.
    pub slot: Slot,
    /// The lease.
    pub token: Token,
    /// What it is done with.
    pub engine: Fingerprint,
    /// Units done so far by this lease (bytes, packets, frames): it must move, or the lease is not extended.
    pub units: u64,
    /// Frames of this slot finished so far.
    pub frames: u64,
    /// What it is doing.
    pub stage: ProgressStage,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeartbeatReply {
    /// The lease is extended.
    Continue,
    /// The lease is gone (expired, cancelled, finished): stop, drop everything, report nothing.
    Stop,
}

/// The end of one lease, as the worker tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkReport {
    /// The job.
    pub render: RenderId,
    /// The piece of it.
    pub slot: Slot,
    /// The lease.
    pub token: Token,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a lease ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The plan slot: sources are fetched and probed, the film is cut.
    Planned(Plan),
    /// A part or the sound is stored.
    Stored(StoredPart),
    /// The artifact is stored.
    Assembled {
        /// The finished file.
        artifact: Artifact,
        /// Where the time went.
        timings: Timings,
    },
    /// It failed.
    Failed(Fault),
    /// Handed back unfinished (the worker drains): counts as no attempt.
    Released,
}

/// The answer to a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportReply {
    /// It is in the log (or already was).
    Accepted,
    /// The token is stale or the render is over: nothing of this lease will be used.
    Refused {
        /// For the worker's log.
        reason: String,
    },
}

/// Where a lease's objects are kept: unique to the lease, so that a zombie can never overwrite its successor.
#[must_use]
pub fn object_key(render: RenderId, slot: Slot, token: Token, digest: Option<Sha256>) -> String {
    let slot = slot.to_string().replace('/', "-");
    match digest {
        Some(digest) => format!("renders/{render}/{slot}/{}-{digest}", token.0.0),
        None => format!("renders/{render}/{slot}/{}", token.0.0),
    }
}
