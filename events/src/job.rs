//! The public job: what clients read, poll, stream and receive by webhook.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::fault::Fault;
use crate::id::{RenderId, WorkspaceId};
use crate::render::{SubmissionWarning, Timings};

/// Render or media task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// A composition to be rendered.
    Render,
    /// A media task.
    Task,
}

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Foreign media are being copied.
    Ingesting,
    /// Waiting for a worker.
    Queued,
    /// Being made.
    Processing,
    /// The output exists.
    Completed,
    /// It will not be; `error` says why.
    Failed,
    /// Stopped on request.
    Cancelled,
}

impl JobStatus {
    /// The wire's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            JobStatus::Ingesting => "ingesting",
            JobStatus::Queued => "queued",
            JobStatus::Processing => "processing",
            JobStatus::Completed => "completed",
            JobStatus::Failed => "failed",
            JobStatus::Cancelled => "cancelled",
        }
    }

    /// Whether nothing will change any more.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, JobStatus::Completed | JobStatus::Failed | JobStatus::Cancelled)
    }
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProgressStage {
    /// Sources are fetched and probed.
    Downloading,
    /// Frames are drawn.
    Compositing,
    /// The film is put together.
    Encoding,
    /// The file is stored.
    Uploading,
}

/// A job as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Job {
    /// Its name.
    pub id: RenderId,
    /// Render or task.
    pub kind: JobKind,
    /// Whose it is.
    pub workspace_id: WorkspaceId,
    /// Where it is in its life.
    pub status: JobStatus,
    /// ISO 8601, UTC, milliseconds.
    #[schemars(extend("format" = "date-time"))]
    pub created_at: String,
    /// ISO 8601, UTC, milliseconds.
    #[schemars(extend("format" = "date-time"))]
    pub updated_at: String,
    /// Which task; `null` for renders.
    pub task_type: Option<String>,
    /// 0–100; never goes down, 100 only when completed.
    #[schemars(range(max = 100))]
    pub progress_percent: u8,
    /// What is being done; `null` unless processing.
    pub progress_stage: Option<ProgressStage>,
    /// The film, once there is one.
    pub output: Option<JobOutput>,
    /// Why it failed.
    pub error: Option<Fault>,
    /// Echoed.
    pub metadata: BTreeMap<String, String>,
    /// ISO 8601; when it became terminal.
    #[schemars(extend("format" = "date-time"))]
    pub completed_at: Option<String>,
    /// Suspicions about the request.
    pub warnings: Vec<SubmissionWarning>,
    /// How often the slot tried most often has been leased.
    pub attempt: u32,
    /// Where the time went.
    pub timings: Option<Timings>,
    /// What the request comes down to once every default is filled in.
    pub resolved: Resolved,
    /// Jobs that start before this one; only while it waits, and only where a single job is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<u64>,
}

/// A request's frame with every default filled in; what the plan finds out is `null` until there is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Resolved {
    /// `mp4`, `png`, …
    pub output_format: String,
    /// Canvas pixels.
    pub width: u32,
    /// Canvas pixels.
    pub height: u32,
    /// Frames a second, `30` or `30000/1001`.
    pub frame_rate: String,
    /// Seconds; `null` where only the sources tell and no plan has looked at them yet.
    pub duration: Option<f64>,
    /// Frames of the whole film; `null` until planned.
    pub frame_count: Option<u64>,
}

/// A finished film as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobOutput {
    /// A signed link; made by whoever presents the job.
    pub url: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Seconds.
    pub duration: f64,
    /// Bytes.
    pub size_bytes: u64,
    /// The media type.
    pub content_type: String,
    /// `h264`, `png`, …
    pub video_codec: String,
    /// `aac`; `null`: silent.
    pub audio_codec: Option<String>,
    /// Frames.
    pub frame_count: u64,
    /// The file's digest.
    pub sha256: Sha256,
}
