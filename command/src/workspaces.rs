//! Workspaces: the first one is made at the first start, with its key; later starts may bring another key or secret, and
//! further workspaces are made from the command line. What callers ask of their own is in [`requests`].
//!
//! API keys are kept as digests only. The webhook secret is needed to sign, so it is kept sealed.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::Workspace;
use domain::workspace::{Command, Rejection};
use event_store::documents::{DOCUMENT_KEY, WEBHOOK_SECRET, webhook_secret_context};
use event_store::{EventStore, SideRow, StoreError, Vault};
use events::workspace::ApiKeyCreated;
use events::{KeyId, Sha256, StreamId, WorkspaceId};
use thiserror::Error;

use crate::handler::{Along, ExecuteError, Handler, Origin};
use crate::world::{RealWorld, World};

pub(crate) mod replay;
pub(crate) mod requests;
pub(crate) mod webhooks;

/// What every API key begins with.
const KEY_PREFIX: &str = "fl_live_";
/// What every webhook secret begins with; base64 of 32 bytes follows.
const SECRET_PREFIX: &str = "whsec_";
/// How much of a key is kept for people to recognise it by: the prefix and four characters.
const SHOWN_CHARS: usize = KEY_PREFIX.len() + 4;
/// The duty of the node that makes sure of the first workspace, and how long that takes at most.
const FIRST_WORKSPACE: &str = "first workspace";
const FIRST_TTL_MS: u64 = 10_000;

/// Shorter keys could be guessed.
const KEY_CHARS_MIN: usize = 16;

/// How the first workspace can be opened.
#[derive(Clone, PartialEq, Eq)]
pub enum FirstKey {
    /// With the key that was given.
    Given,
    /// With a key made now: show it once, it is kept nowhere.
    Made(String),
    /// With a key made or given at an earlier start.
    Existing,
}

impl std::fmt::Debug for FirstKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            FirstKey::Given => "Given",
            FirstKey::Made(_) => "Made(redacted)",
            FirstKey::Existing => "Existing",
        })
    }
}

/// The first workspace could not be made sure of.
#[derive(Debug, Error)]
pub enum FirstWorkspaceError {
    /// The key is not one that could be used.
    #[error(
        "could not use the given API key: expected at least {KEY_CHARS_MIN} visible ASCII characters, best fl_live_…"
    )]
    BadKey,
    /// The secret is not one that could be used.
    #[error("could not use the given webhook secret: expected whsec_ and 32 bytes of base64")]
    BadSecret,
    /// The key opens another workspace.
    #[error("could not use the given API key: it opens another workspace")]
    KeyTaken,
    /// The log could not be written.
    #[error("could not set up the first workspace")]
    Log(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<StoreError> for FirstWorkspaceError {
    fn from(error: StoreError) -> FirstWorkspaceError {
        FirstWorkspaceError::Log(Box::new(error))
    }
}

impl From<ExecuteError<Rejection>> for FirstWorkspaceError {
    fn from(error: ExecuteError<Rejection>) -> FirstWorkspaceError {
        FirstWorkspaceError::Log(Box::new(error))
    }
}

/// Makes another workspace, beside a running service or without one; its name in the API, and its key: show it once, it
/// is kept nowhere.
///
/// # Errors
/// Where the log can't be written.
pub async fn create_workspace(
    store: Arc<dyn EventStore>,
    vault: Arc<Vault>,
    name: &str,
) -> Result<(WorkspaceId, String), FirstWorkspaceError> {
    let world: Arc<dyn World> = Arc::new(RealWorld::default());
    let handler = Handler::new(Arc::clone(&store), Arc::clone(&world));
    let workspaces = Workspaces { store, vault, world, handler };
    let workspace = workspaces.open(name, None).await?;
    Ok((workspace, workspaces.add_new_key(workspace).await?))
}

/// All workspaces.
#[derive(Debug)]
pub(crate) struct Workspaces {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) world: Arc<dyn World>,
    pub(crate) handler: Handler<Workspace>,
}

impl Workspaces {
    /// See [`crate::CommandRole::ensure_first_workspace`].
    pub(crate) async fn ensure_first(
        &self,
        key: Option<String>,
        webhook_secret: Option<String>,
    ) -> Result<FirstKey, FirstWorkspaceError> {
        if key
            .as_ref()
            .is_some_and(|key| key.len() < KEY_CHARS_MIN || !key.bytes().all(|b| b.is_ascii_graphic()))
        {
            return Err(FirstWorkspaceError::BadKey);
        }
        if webhook_secret.as_ref().is_some_and(|secret| !is_secret(secret)) {
            return Err(FirstWorkspaceError::BadSecret);
        }
        // Nodes that start at once take turns: there is one first workspace.
        let node = format!("{:032x}", self.world.id());
        while !self.store.take_duty(FIRST_WORKSPACE, &node, FIRST_TTL_MS).await? {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let ensured = match self.store.workspaces().await?.first() {
            None => self.create(key, webhook_secret).await,
            Some(first) => self.adopt(*first, key, webhook_secret).await,
        };
        self.store.leave_duty(FIRST_WORKSPACE, &node).await?;
        ensured
    }

    /// The first start.
    async fn create(
        &self,
        key: Option<String>,
        secret: Option<String>,
    ) -> Result<FirstKey, FirstWorkspaceError> {
        let workspace = self.open("default", secret).await?;
        match key {
            Some(key) => self.add_key(workspace, &key).await.map(|()| FirstKey::Given),
            None => self.add_new_key(workspace).await.map(FirstKey::Made),
        }
    }

    /// A new workspace, without a key.
    async fn open(&self, name: &str, secret: Option<String>) -> Result<WorkspaceId, FirstWorkspaceError> {
        let workspace = WorkspaceId::new(self.world.id());
        let (_, document_key) = self.vault.new_workspace_key();
        let secret = secret.unwrap_or_else(|| format!("{SECRET_PREFIX}{}", STANDARD.encode(self.random())));
        let rows = vec![
            SideRow::PutSecret { workspace, name: DOCUMENT_KEY.to_owned(), bytes: document_key },
            self.put_webhook_secret(workspace, &secret),
        ];
        let create = |_: &Workspace| Command::Create { name: name.to_owned() };
        self.execute(workspace, Along::rows(rows), create).await?;
        Ok(workspace)
    }

    async fn add_new_key(&self, workspace: WorkspaceId) -> Result<String, FirstWorkspaceError> {
        let key = format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(self.random()));
        self.add_key(workspace, &key).await?;
        Ok(key)
    }

    /// A later start.
    async fn adopt(
        &self,
        workspace: WorkspaceId,
        key: Option<String>,
        secret: Option<String>,
    ) -> Result<FirstKey, FirstWorkspaceError> {
        if let Some(secret) = secret {
            let rows = vec![self.put_webhook_secret(workspace, &secret)];
            let append = event_store::Append { rows, ..event_store::Append::default() };
            self.store.append(append).await.map_err(|error| FirstWorkspaceError::Log(Box::new(error)))?;
        }
        let Some(key) = key else {
            return if self.has_keys(workspace).await? {
                Ok(FirstKey::Existing)
            } else {
                // The first start was cut off between workspace and key.
                self.add_new_key(workspace).await.map(FirstKey::Made)
            };
        };
        match self.store.api_key(Sha256::of(key.as_bytes())).await? {
            Some(known) if known.workspace == workspace => Ok(FirstKey::Given),
            Some(_) => Err(FirstWorkspaceError::KeyTaken),
            None => self.add_key(workspace, &key).await.map(|()| FirstKey::Given),
        }
    }

    async fn has_keys(&self, workspace: WorkspaceId) -> Result<bool, FirstWorkspaceError> {
        let folded =
            self.handler.load(&StreamId::from(workspace)).await.map_err(ExecuteError::<Rejection>::from)?;
        Ok(matches!(&folded.state, Workspace::Open { keys, .. } if !keys.is_empty()))
    }

    async fn add_key(&self, workspace: WorkspaceId, key: &str) -> Result<(), FirstWorkspaceError> {
        let created = ApiKeyCreated {
            key_id: KeyId::new(self.world.id()),
            name: "first".to_owned(),
            key_sha256: Sha256::of(key.as_bytes()),
            key_prefix: key.chars().take(SHOWN_CHARS).collect(),
            idempotency_key_hash: None,
        };
        self.execute(workspace, Along::default(), |_| Command::AddKey(created.clone())).await
    }

    async fn execute(
        &self,
        workspace: WorkspaceId,
        along: Along,
        ask: impl Fn(&Workspace) -> Command + Send + Sync,
    ) -> Result<(), FirstWorkspaceError> {
        let origin = Origin { workspace: Some(workspace), ..Origin::system() };
        self.handler.execute(&StreamId::from(workspace), &origin, along, ask).await?;
        Ok(())
    }

    fn put_webhook_secret(&self, workspace: WorkspaceId, secret: &str) -> SideRow {
        let bytes = self.vault.seal(&webhook_secret_context(workspace), secret.as_bytes());
        SideRow::PutSecret { workspace, name: WEBHOOK_SECRET.to_owned(), bytes }
    }

    fn random(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.world.secret(&mut bytes);
        bytes
    }
}

fn is_secret(text: &str) -> bool {
    let encoded = text.strip_prefix(SECRET_PREFIX);
    encoded.and_then(|encoded| STANDARD.decode(encoded).ok()).is_some_and(|bytes| bytes.len() == 32)
}
