//! The command role as the executable starts it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use api::{Endpoints, ServiceLimits};
use bus::{HintBus, WorkService};
use composition::ParseOptions;
use event_store::{EventStore, StoreError, Vault, while_on_duty};
use events::workspace::DisableReason;
use events::{WebhookId, WorkspaceId};
use storage::{LinkSigner, Storage};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::fleet::Fleet;
use crate::handler::Handler;
use crate::http;
use crate::policy::Policies;
use crate::present::Presenter;
use crate::renders::Renders;
use crate::reports::Reports;
use crate::retention::Retention;
use crate::space::{Floor, Space};
use crate::submit::Submissions;
use crate::sweeper::Sweeper;
use crate::turns::Turns;
use crate::workspaces::{FirstKey, FirstWorkspaceError, Workspaces};
use crate::world::{RealWorld, World};

/// What the command role is made of.
#[derive(Debug)]
pub struct CommandConfig {
    /// The log.
    pub store: Arc<dyn EventStore>,
    /// Seals what callers write.
    pub vault: Arc<Vault>,
    /// Where parts and artifacts lie.
    pub storage: Arc<dyn Storage>,
    /// The way to workers.
    pub bus: Arc<dyn HintBus>,
    /// Signs artifacts' addresses.
    pub links: Arc<LinkSigner>,
    /// How long a worker's lease lasts without a heartbeat.
    pub lease_ttl_ms: u64,
    /// What the installation allows.
    pub limits: ServiceLimits,
    /// The room on the disk that log and objects lie on.
    pub space: Arc<dyn Space>,
}

/// The write side of the service. Clones are the same role.
#[derive(Debug, Clone)]
pub struct CommandRole {
    store: Arc<dyn EventStore>,
    workspaces: Arc<Workspaces>,
    reports: Arc<Reports>,
    policies: Arc<Policies>,
    http: http::State,
}

/// Leases of an earlier life could not be ended.
#[derive(Debug, Error)]
#[error("could not end the leases of the service's last run")]
pub struct RecoverError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl From<StoreError> for RecoverError {
    fn from(error: StoreError) -> RecoverError {
        RecoverError(Box::new(error))
    }
}

impl CommandRole {
    /// The role over these ports.
    #[must_use]
    pub fn new(config: CommandConfig) -> CommandRole {
        CommandRole::in_world(config, Arc::new(RealWorld::default()))
    }

    /// The role in a world of its own: tests tell stories in it.
    #[must_use]
    pub fn in_world(config: CommandConfig, world: Arc<dyn World>) -> CommandRole {
        let CommandConfig { store, vault, storage, bus, links, lease_ttl_ms, limits, space } = config;
        let floor = Arc::new(Floor::new(space, limits.min_free_disk_bytes));
        let renders = Arc::new(Renders::new(Arc::clone(&store), Arc::clone(&world), Arc::clone(&bus)));
        let fleet = Arc::new(Fleet::default());
        let presenter = Presenter { store: Arc::clone(&store), vault: Arc::clone(&vault), links };
        let workspaces = Arc::new(Workspaces {
            store: Arc::clone(&store),
            vault: Arc::clone(&vault),
            world: Arc::clone(&world),
            handler: Handler::new(Arc::clone(&store), Arc::clone(&world)),
        });
        let reports = Reports {
            store: Arc::clone(&store),
            vault: Arc::clone(&vault),
            world: Arc::clone(&world),
            renders: Arc::clone(&renders),
            fleet: Arc::clone(&fleet),
            turns: Turns::default(),
            floor: Arc::clone(&floor),
            lease_ttl_ms,
            concurrency: limits.concurrency,
        };
        let sweeper = Arc::new(Sweeper {
            storage,
            renders: Arc::clone(&renders),
            world: Arc::clone(&world),
            waiting: Mutex::new(VecDeque::new()),
        });
        let retention = Retention {
            store: Arc::clone(&store),
            sweeper: Arc::clone(&sweeper),
            keep_ms: i64::try_from(limits.retention_s.saturating_mul(1000)).unwrap_or(i64::MAX),
        };
        let policies = Policies {
            store: Arc::clone(&store),
            world: Arc::clone(&world),
            bus,
            renders: Arc::clone(&renders),
            fleet,
            sweeper,
            retention,
            lease_ttl_ms,
        };
        let submissions = Submissions {
            store: Arc::clone(&store),
            vault,
            world,
            renders: Arc::clone(&renders),
            presenter: presenter.clone(),
            floor,
            options: ParseOptions::default(),
            keep_ms: limits.idempotency_retention_s.saturating_mul(1000),
        };
        let shared = Arc::clone(&workspaces);
        CommandRole {
            http: http::State::new(Arc::clone(&store), submissions, renders, presenter, shared, limits),
            store,
            workspaces,
            reports: Arc::new(reports),
            policies: Arc::new(policies),
        }
    }

    /// The role's endpoints: join them with the other roles' and call [`api::with_conventions`].
    pub fn endpoints(&self) -> Endpoints {
        http::endpoints(self.http.clone())
    }

    /// What answers workers.
    #[must_use]
    pub fn work_service(&self) -> Arc<dyn WorkService> {
        Arc::clone(&self.reports) as Arc<dyn WorkService>
    }

    /// Reaper, deadlines, replanner, hints, sweeper and retention, until told to stop; of several nodes one has them at a
    /// time.
    pub async fn run(self, stop: CancellationToken) {
        // Another name at every start: what a dead node had is not taken for one's own.
        let node = format!("{:032x}", rand::random::<u128>());
        let policies = while_on_duty(&self.store, "policies", &node, &stop, |lost| self.policies.run(lost));
        tokio::join!(policies, self.policies.forget_on_and_on(&stop));
    }

    /// Ends every lease. For an embedded service that starts: it knows that none of its workers lives.
    ///
    /// # Errors
    /// Where the log can't be written.
    pub async fn recover(&self) -> Result<(), RecoverError> {
        self.store.expire_all_leases().await?;
        self.policies.reap().await.map_err(|error| RecoverError(Box::new(error)))
    }

    /// Makes sure that there is a workspace, that `key` opens it, and that its webhooks are signed with
    /// `webhook_secret`; makes what is not given and not there yet.
    ///
    /// # Errors
    /// See [`FirstWorkspaceError`].
    pub async fn ensure_first_workspace(
        &self,
        key: Option<String>,
        webhook_secret: Option<String>,
    ) -> Result<FirstKey, FirstWorkspaceError> {
        self.workspaces.ensure_first(key, webhook_secret).await
    }

    /// Tells a webhook endpoint nothing more until somebody enables it: whoever sends has found that it is of no use.
    ///
    /// # Errors
    /// Where the log can't be written.
    pub async fn disable_webhook(
        &self,
        workspace: WorkspaceId,
        webhook: WebhookId,
        reason: DisableReason,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.workspaces.disable_webhook(workspace, webhook, reason).await?)
    }

    #[cfg(test)]
    pub(crate) fn workspaces(&self) -> &Workspaces {
        &self.workspaces
    }

    #[cfg(test)]
    pub(crate) fn reports(&self) -> &Reports {
        &self.reports
    }

    #[cfg(test)]
    pub(crate) fn policies(&self) -> &Policies {
        &self.policies
    }
}
