//! Accepting a render request: once for each idempotency key, whoever asks how often and how concurrently.

use std::sync::Arc;

use composition::{CONTRACT_VERSION, ParseOptions, Parsed, Problem, ProblemCode};
use domain::render::Command;
use event_store::documents::DOCUMENT_KEY;
use event_store::{EventStore, StoreError, Vault, VaultError, WorkspaceKey, seal_document};
use events::job::{Job, JobKind};
use events::job_view::JobView;
use events::render::RenderSubmitted;
use events::{RenderId, StreamId, Timestamp, WorkspaceId};
use serde_json::Value;
use thiserror::Error;

use crate::handler::{Along, Origin};
use crate::idempotency::{Idempotency, IdempotencyError};
use crate::present::{PresentError, Presenter};
use crate::renders::{RenderError, Renders};
use crate::space::{Floor, TooLittleSpace};
use crate::world::World;

/// What a submission needs.
#[derive(Debug)]
pub(crate) struct Submissions {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) world: Arc<dyn World>,
    pub(crate) renders: Arc<Renders>,
    pub(crate) presenter: Presenter,
    pub(crate) floor: Arc<Floor>,
    pub(crate) options: ParseOptions,
    /// How long an idempotency key is kept.
    pub(crate) keep_ms: u64,
}

/// A request, authenticated and read.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) workspace: WorkspaceId,
    pub(crate) origin: Origin,
    /// The endpoint: keys of different endpoints are different keys.
    pub(crate) path: &'static str,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) body: Value,
}

/// An accepted request.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) job: Job,
    /// It was accepted before; this is the job as it is now.
    pub(crate) replayed: bool,
}

/// A request that was not accepted.
#[derive(Debug, Error)]
pub(crate) enum SubmitError {
    #[error("could not accept the request: it has faults")]
    Invalid(Vec<Problem>),
    #[error("could not accept the request")]
    Idempotency(#[from] IdempotencyError),
    #[error("could not accept the request")]
    NoSpace(#[from] TooLittleSpace),
    #[error("could not accept the request: it has no canonical form")]
    Canonical(#[source] serde_json::Error),
    #[error("could not accept the request: the workspace has no document key")]
    NoKey,
    #[error("could not accept the request")]
    Vault(#[from] VaultError),
    #[error("could not accept the request")]
    Store(#[from] StoreError),
    #[error("could not accept the request")]
    Execute(#[from] RenderError),
    #[error("could not accept the request")]
    Present(#[from] PresentError),
    #[error("could not accept the request: the appended events make no job")]
    NoJob,
}

impl Submissions {
    /// Accepts a request, or finds the job it was accepted as before.
    pub(crate) async fn submit(&self, request: &Request) -> Result<Submitted, SubmitError> {
        let Some(key) = &request.idempotency_key else { return self.accept(request, None).await };
        let idempotency = Idempotency::new(request.workspace, request.path, key, &request.body)
            .map_err(SubmitError::Canonical)?;
        loop {
            if let Some(stream) = idempotency.made(self.store.as_ref()).await? {
                let job = self.presenter.job(&stream).await?.ok_or(SubmitError::NoJob)?;
                return Ok(Submitted { job, replayed: true });
            }
            match self.accept(request, Some(&idempotency)).await {
                // Someone was faster with the same key: theirs is the job.
                Err(SubmitError::Execute(RenderError::KeyTaken)) => {}
                outcome => return outcome,
            }
        }
    }

    async fn accept(
        &self,
        request: &Request,
        idempotency: Option<&Idempotency>,
    ) -> Result<Submitted, SubmitError> {
        let Parsed { composition, warnings } = self.read(&request.body).await?;
        self.floor.check()?;
        // A composition holds strings, numbers, lists and maps with string keys: it always has a JSON form.
        let document = serde_json::to_vec(&composition).map_err(SubmitError::Canonical)?;
        let key = self.workspace_key(request.workspace).await?;
        let (sha256, put_document) = seal_document(&key, request.workspace, &document);
        let render = RenderId::new(self.world.id());
        let submitted = RenderSubmitted {
            kind: JobKind::Render,
            document: sha256,
            contract_version: CONTRACT_VERSION,
            output_format: composition.output.format.extension().to_owned(),
            width: composition.canvas.width,
            height: composition.canvas.height,
            duration: composition.duration.map(composition::Ticks::seconds),
            frame_rate: composition.frame_rate.to_string(),
            metadata_keys: composition.metadata.keys().cloned().collect(),
            priority: composition.priority,
            deadline: composition.deadline_us.map(Timestamp),
            idempotency_key_hash: idempotency.map(Idempotency::key_sha256),
            warnings: warnings.into_iter().map(Into::into).collect(),
        };
        let mut rows = vec![put_document];
        rows.extend(idempotency.map(|it| it.row(StreamId::from(render), self.keep_ms)));
        let ask = |_: &domain::Render| Command::Submit(Box::new(submitted.clone()));
        let executed = self.renders.execute(render, &request.origin, Along::rows(rows), ask).await?;
        let view =
            JobView::fold(&executed.recorded).map_err(PresentError::from)?.ok_or(SubmitError::NoJob)?;
        tracing::info!(render.id = %render, "accepted");
        Ok(Submitted { job: self.presenter.present(&view, composition.metadata), replayed: false })
    }

    /// The composition, or all that is wrong with it: in itself, and at this moment.
    async fn read(&self, body: &Value) -> Result<Parsed, SubmitError> {
        let late = self.late(body).await?;
        match (composition::parse(body, &self.options), late) {
            (Ok(parsed), None) => Ok(parsed),
            (Ok(_), Some(late)) => Err(SubmitError::Invalid(vec![late])),
            (Err(problems), late) => Err(SubmitError::Invalid(problems.into_iter().chain(late).collect())),
        }
    }

    /// A deadline that has passed before the work could begin.
    async fn late(&self, body: &Value) -> Result<Option<Problem>, StoreError> {
        let Some(deadline) = body.get("deadline").and_then(Value::as_str).and_then(Timestamp::parse) else {
            return Ok(None);
        };
        let now = self.store.now().await?;
        let message = format!("it is {deadline}, which has passed: it is {now} now");
        let problem = Problem { path: "/deadline".to_owned(), code: ProblemCode::OutOfRange, message };
        Ok((deadline <= now).then_some(problem))
    }

    async fn workspace_key(&self, workspace: WorkspaceId) -> Result<WorkspaceKey, SubmitError> {
        let sealed = self.store.secret(workspace, DOCUMENT_KEY).await?.ok_or(SubmitError::NoKey)?;
        Ok(self.vault.workspace_key(&sealed)?)
    }
}
