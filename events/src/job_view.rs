//! The one fold from a render's events to what clients see. POST's answer, GET and webhooks all use it.

use std::collections::BTreeMap;

use crate::envelope::{Recorded, StreamVersion};
use crate::fault::Fault;
use crate::id::{RenderId, WorkspaceId};
use crate::job::{Job, JobKind, JobOutput, JobStatus, ProgressStage, Resolved};
use crate::render::{Artifact, RenderEvent, SubmissionWarning, Timings};
use crate::time::Timestamp;
use crate::upcast::DecodeError;
use crate::{Sha256, StreamId};

/// Everything about a job that its events tell. What the caller wrote (metadata) lies in the document and is added by
/// [`JobView::present`].
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct JobView {
    /// Its name.
    pub id: RenderId,
    /// Whose it is.
    pub workspace_id: WorkspaceId,
    /// Render or task.
    pub kind: JobKind,
    /// The normalised composition's digest.
    pub document: Sha256,
    /// Where it is in its life.
    pub status: JobStatus,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// The last event's time.
    pub updated_at: Timestamp,
    /// When it became terminal.
    pub completed_at: Option<Timestamp>,
    /// 0–100.
    pub progress_percent: u8,
    /// While processing.
    pub progress_stage: Option<ProgressStage>,
    /// The finished file.
    pub artifact: Option<Artifact>,
    /// Why it failed.
    pub error: Option<Fault>,
    /// Suspicions about the request, then those of the plan.
    pub warnings: Vec<SubmissionWarning>,
    /// The highest attempt of any slot.
    pub attempt: u32,
    /// Once completed.
    pub timings: Option<Timings>,
    /// The request with its defaults, then what the plan has found out.
    pub resolved: Resolved,
    /// The last event folded.
    pub version: StreamVersion,
}

impl JobView {
    /// Folds the whole life of a render; `None` for an empty stream or one that is not a render's.
    ///
    /// # Errors
    /// Where a stored event can't be decoded.
    pub fn fold<'e>(events: impl IntoIterator<Item = &'e Recorded>) -> Result<Option<JobView>, DecodeError> {
        let mut view = None;
        for recorded in events {
            if let Some(event) = RenderEvent::decode(&recorded.event)? {
                view = JobView::apply(view, &event, recorded);
            }
        }
        Ok(view)
    }

    /// The view after one more event. Total: an event that makes no sense here changes nothing but the version.
    #[must_use]
    pub fn apply(view: Option<JobView>, event: &RenderEvent, recorded: &Recorded) -> Option<JobView> {
        let Some(mut view) = view else { return JobView::first(event, recorded) };
        if view.status.is_terminal() {
            return Some(view);
        }
        view.version = recorded.stream_version;
        view.updated_at = recorded.recorded_at;
        match event {
            RenderEvent::LeaseGranted(lease) => {
                view.status = JobStatus::Processing;
                view.attempt = view.attempt.max(lease.attempt);
                view.progress_stage.get_or_insert(ProgressStage::Downloading);
            }
            RenderEvent::RenderPlanned(planned) => {
                // A film planned anew finds the same things suspicious again.
                let news = planned.plan.warnings.iter().filter(|warning| !view.warnings.contains(warning));
                let news: Vec<_> = news.cloned().collect();
                view.warnings.extend(news);
                view.resolved.duration = Some(planned.plan.duration);
                view.resolved.frame_count = Some(planned.plan.frames);
            }
            RenderEvent::PhaseChanged(phase) => view.progress_stage = Some(phase.stage),
            RenderEvent::ProgressMarked(progress) => {
                view.progress_stage = Some(progress.stage);
                view.progress_percent = view.progress_percent.max(progress.percent.min(99));
            }
            RenderEvent::RenderCompleted(completed) => {
                view.progress_percent = 100;
                view.artifact = Some(completed.artifact.clone());
                view.timings = Some(completed.timings);
                view.finish(JobStatus::Completed, recorded);
            }
            RenderEvent::RenderFailed(failed) => {
                view.error = Some(failed.fault.clone());
                view.finish(JobStatus::Failed, recorded);
            }
            RenderEvent::RenderCancelled(_) => view.finish(JobStatus::Cancelled, recorded),
            RenderEvent::RenderSubmitted(_)
            | RenderEvent::RenderQueued(_)
            | RenderEvent::LeaseExpired(_)
            | RenderEvent::SlotReleased(_)
            | RenderEvent::PartStored(_)
            | RenderEvent::AttemptFailed(_)
            | RenderEvent::CancelRequested(_) => {}
        }
        Some(view)
    }

    fn first(event: &RenderEvent, recorded: &Recorded) -> Option<JobView> {
        let RenderEvent::RenderSubmitted(submitted) = event else { return None };
        Some(JobView {
            id: recorded.stream_id.render()?,
            workspace_id: recorded.workspace_id,
            kind: submitted.kind,
            document: submitted.document,
            status: JobStatus::Queued,
            created_at: recorded.recorded_at,
            updated_at: recorded.recorded_at,
            completed_at: None,
            progress_percent: 0,
            progress_stage: None,
            artifact: None,
            error: None,
            warnings: submitted.warnings.clone(),
            attempt: 0,
            timings: None,
            resolved: Resolved {
                output_format: submitted.output_format.clone(),
                width: submitted.width,
                height: submitted.height,
                frame_rate: submitted.frame_rate.clone(),
                duration: submitted.duration,
                frame_count: None,
            },
            version: recorded.stream_version,
        })
    }

    fn finish(&mut self, status: JobStatus, recorded: &Recorded) {
        self.status = status;
        self.progress_stage = None;
        self.completed_at = Some(recorded.recorded_at);
    }

    /// The stream this is the view of.
    #[must_use]
    pub fn stream(&self) -> StreamId {
        StreamId::from(self.id)
    }

    /// The public job, without its place in the queue. `link` makes the signed address of an artifact.
    #[must_use]
    pub fn present(&self, metadata: BTreeMap<String, String>, link: impl FnOnce(&Artifact) -> String) -> Job {
        Job {
            id: self.id,
            kind: self.kind,
            workspace_id: self.workspace_id,
            status: self.status,
            created_at: self.created_at.to_string(),
            updated_at: self.updated_at.to_string(),
            task_type: None,
            progress_percent: self.progress_percent,
            progress_stage: self.progress_stage,
            output: self.artifact.as_ref().map(|artifact| present_output(artifact, link(artifact))),
            error: self.error.as_ref().map(Fault::without_secrets),
            metadata,
            completed_at: self.completed_at.map(|at| at.to_string()),
            warnings: self.warnings.clone(),
            attempt: self.attempt,
            timings: self.timings,
            resolved: self.resolved.clone(),
            queue_position: None,
        }
    }
}

fn present_output(artifact: &Artifact, url: String) -> JobOutput {
    JobOutput {
        url,
        width: artifact.width,
        height: artifact.height,
        duration: artifact.duration,
        size_bytes: artifact.object.size_bytes,
        content_type: artifact.content_type.clone(),
        video_codec: artifact.video_codec.clone(),
        audio_codec: artifact.audio_codec.clone(),
        frame_count: artifact.frame_count,
        sha256: artifact.object.sha256,
    }
}
