//! What callers ask of their own workspace: other settings, another key, one key less.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Workspace;
use domain::workspace::{Command, Rejection};
use event_store::StoreError;
use events::upcast::DecodeError;
use events::workspace::ApiKeyCreated;
use events::workspace_view::{KeyView, WorkspaceView};
use events::{KeyId, Recorded, Sha256, StreamId, WorkspaceId};
use thiserror::Error;

use super::{KEY_PREFIX, SHOWN_CHARS, Workspaces};
use crate::handler::{Along, ExecuteError, Origin};
use crate::idempotency::{Idempotency, IdempotencyError};

/// Why a workspace's command took no effect.
pub(crate) type WorkspaceError = ExecuteError<Rejection>;

/// A key that was asked for.
#[derive(Debug)]
pub(crate) struct MadeKey {
    pub(crate) key: KeyView,
    /// The key itself; `None`: it was made before, told then, and kept nowhere.
    pub(crate) secret: Option<String>,
}

/// A request that a workspace did not carry out.
#[derive(Debug, Error)]
pub(crate) enum RequestError {
    #[error("could not carry out a workspace's request")]
    Execute(#[from] WorkspaceError),
    #[error("could not carry out a workspace's request")]
    Idempotency(#[from] IdempotencyError),
    #[error("could not carry out a workspace's request")]
    Store(#[from] StoreError),
    #[error("could not carry out a workspace's request")]
    Decode(#[from] DecodeError),
    #[error("could not make it again: what this request made has been taken away")]
    Revoked,
}

impl Workspaces {
    /// Changes the settings; the workspace as it is then.
    pub(crate) async fn change(
        &self,
        workspace: WorkspaceId,
        origin: &Origin,
        change: Command,
    ) -> Result<Option<WorkspaceView>, RequestError> {
        let stream = StreamId::from(workspace);
        self.handler.execute(&stream, origin, Along::default(), |_: &Workspace| change.clone()).await?;
        self.view(workspace).await
    }

    /// Makes a key, once for each idempotency key.
    pub(crate) async fn create_key(
        &self,
        workspace: WorkspaceId,
        origin: &Origin,
        name: &str,
        idempotency: Option<&Idempotency>,
        keep_ms: u64,
    ) -> Result<MadeKey, RequestError> {
        let stream = StreamId::from(workspace);
        loop {
            if let Some(idempotency) = idempotency
                && idempotency.made(self.store.as_ref()).await?.is_some()
            {
                return self.made_before(workspace, idempotency).await;
            }
            let secret = format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(self.random()));
            let created = ApiKeyCreated {
                key_id: KeyId::new(self.world.id()),
                name: name.to_owned(),
                key_sha256: Sha256::of(secret.as_bytes()),
                key_prefix: secret.chars().take(SHOWN_CHARS).collect(),
                idempotency_key_hash: idempotency.map(Idempotency::key_sha256),
            };
            let along =
                Along::rows(idempotency.map(|it| it.row(stream.clone(), keep_ms)).into_iter().collect());
            let ask = |_: &Workspace| Command::AddKey(created.clone());
            match self.handler.execute(&stream, origin, along, ask).await {
                Ok(executed) => {
                    let key = view_of(&created, executed.recorded.first());
                    return Ok(MadeKey { key, secret: Some(secret) });
                }
                // Someone was faster with the same idempotency key: theirs is the key.
                Err(ExecuteError::KeyTaken) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn made_before(
        &self,
        workspace: WorkspaceId,
        idempotency: &Idempotency,
    ) -> Result<MadeKey, RequestError> {
        let view = self.view(workspace).await?;
        let keys = view.map(|view| view.keys).unwrap_or_default();
        let made = keys.into_iter().rfind(|key| key.idempotency_key_hash == Some(idempotency.key_sha256()));
        made.map(|key| MadeKey { key, secret: None }).ok_or(RequestError::Revoked)
    }

    /// Lets a key open the workspace no more.
    pub(crate) async fn revoke_key(
        &self,
        workspace: WorkspaceId,
        origin: &Origin,
        key_id: KeyId,
    ) -> Result<(), WorkspaceError> {
        let ask = |_: &Workspace| Command::RevokeKey { key_id };
        self.handler.execute(&StreamId::from(workspace), origin, Along::default(), ask).await.map(drop)
    }

    pub(super) async fn view(&self, workspace: WorkspaceId) -> Result<Option<WorkspaceView>, RequestError> {
        Ok(WorkspaceView::fold(&self.store.load(&StreamId::from(workspace)).await?)?)
    }
}

/// A key as its event tells of it.
fn view_of(created: &ApiKeyCreated, recorded: Option<&Recorded>) -> KeyView {
    KeyView {
        id: created.key_id,
        name: created.name.clone(),
        key_prefix: created.key_prefix.clone(),
        created_at: recorded.map(|recorded| recorded.recorded_at).unwrap_or_default(),
        idempotency_key_hash: created.idempotency_key_hash,
    }
}
