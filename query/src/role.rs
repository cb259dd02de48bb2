//! The role as the executable runs it: opened once, served by a router, kept going by one task.

use std::sync::Arc;
use std::time::Duration;

use api::{Endpoints, ServiceLimits};
use bus::EventPublisher;
use composition::Limits;
use event_store::{EventStore, StoreError, Vault, while_on_duty};
use outbound::Outbound;
use storage::{LinkSigner, Storage};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::documents::Documents;
use crate::egress::Egress;
use crate::feed::Feed;
use crate::http::event_stream::Seats;
use crate::http::{self, QueryState};
use crate::line::Line;
use crate::measures::{self, MeasureError, Measures};
use crate::projections::Projection as _;
use crate::projections::render_jobs::RenderJobs;
use crate::projections::usage::Usage;
use crate::projections::webhook_deliveries::{self, WebhookDeliveries};
use crate::projector::{PAUSE_AFTER_FAILURE, Projector, chain};
use crate::read_db::{Dialect, OpenReadDbError, ReadDb, ReadPlace};
use crate::rebuild::{self, RebuildError};
use crate::relay::{self, Relay};
use crate::traces::{TraceTarget, Tracer};
use crate::watcher::Watcher;
use crate::webhooks::{Dispatcher, DispatcherConfig};

/// What the read side works with.
#[derive(Debug, Clone)]
pub struct QueryConfig {
    /// The log.
    pub store: Arc<dyn EventStore>,
    /// Opens documents and the webhook secret.
    pub vault: Arc<Vault>,
    /// Where artifacts lie.
    pub storage: Arc<dyn Storage>,
    /// Signs artifacts' links and checks them.
    pub links: Arc<LinkSigner>,
    /// Where the read models are.
    pub read_db: ReadPlace,
    /// Sends webhooks.
    pub outbound: Outbound,
}

/// What an installation may set, and tests hold still.
#[derive(Debug, Clone)]
pub struct QueryOptions {
    /// How webhooks are sent.
    pub webhooks: DispatcherConfig,
    /// Told by `/v1/capabilities`.
    pub limits: Limits,
    /// Told there, too.
    pub service_limits: ServiceLimits,
    /// The time.
    pub clock: Clock,
    /// How long an event stream is silent at most: a comment is sent then, so that nothing between closes it.
    pub heartbeat: Duration,
    /// Where traces go, if anywhere.
    pub traces: Option<TraceTarget>,
    /// What this process does of it.
    pub duties: QueryDuties,
    /// Where public events go beside `/v1/events`, if anywhere.
    pub publisher: Option<Arc<dyn EventPublisher>>,
}

/// What a process does of the read side; several processes share it, any number of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryDuties {
    /// It answers requests.
    pub answers: bool,
    /// It keeps the read models, if no other process does at the moment.
    pub projects: bool,
    /// It sends webhooks, together with others.
    pub delivers: bool,
}

impl QueryDuties {
    /// Everything, as a single process does.
    pub const ALL: QueryDuties = QueryDuties { answers: true, projects: true, delivers: true };
    /// Nothing, as a process does that only takes requests.
    pub const NONE: QueryDuties = QueryDuties { answers: false, projects: false, delivers: false };
}

impl Default for QueryOptions {
    fn default() -> QueryOptions {
        QueryOptions {
            webhooks: DispatcherConfig::default(),
            limits: Limits::default(),
            service_limits: ServiceLimits::default(),
            clock: Clock::system(),
            heartbeat: Duration::from_secs(15),
            traces: None,
            duties: QueryDuties::ALL,
            publisher: None,
        }
    }
}

/// The read side, open. Clones are the same role; [`QueryRole::run`] is called once.
#[derive(Debug, Clone)]
pub struct QueryRole {
    state: QueryState,
    store: Arc<dyn EventStore>,
    feed: Arc<Feed>,
    render_jobs: Arc<Projector<RenderJobs>>,
    webhook_deliveries: Arc<Projector<WebhookDeliveries>>,
    usage: Arc<Projector<Usage>>,
    egress: Arc<Egress>,
    dispatcher: Dispatcher,
    tracer: Option<Tracer>,
    duties: QueryDuties,
    relay: Option<Arc<Relay>>,
    /// Ends long polls and event streams.
    closing: CancellationToken,
}

/// The read side can't be opened.
#[derive(Debug, Error)]
pub enum OpenRoleError {
    /// The database can't be opened.
    #[error(transparent)]
    ReadDb(#[from] OpenReadDbError),
    /// The log can't be read.
    #[error("could not open the read side")]
    Store(#[from] StoreError),
    /// The database can't be written.
    #[error("could not open the read side")]
    Database(#[from] sqlx::Error),
    /// Traces can't be sent.
    #[error("could not open the read side")]
    Client(#[from] outbound::BuildError),
    /// A projection of an older build can't be made anew.
    #[error("could not open the read side")]
    Rebuild(#[from] RebuildError),
}

/// What the language can do, and what this service allows.
fn capabilities(options: &QueryOptions) -> serde_json::Value {
    let mut told = composition::capabilities(&options.limits);
    told["service_limits"] = serde_json::json!(options.service_limits);
    told
}

impl QueryRole {
    /// Opens the read models, making anew what another version of the code has made.
    ///
    /// # Errors
    /// [`OpenRoleError`].
    pub async fn open(config: QueryConfig) -> Result<QueryRole, OpenRoleError> {
        QueryRole::open_with(config, QueryOptions::default()).await
    }

    /// The same with other options than the standard ones.
    ///
    /// # Errors
    /// [`OpenRoleError`].
    pub async fn open_with(config: QueryConfig, options: QueryOptions) -> Result<QueryRole, OpenRoleError> {
        let QueryConfig { store, vault, storage, links, read_db, outbound } = config;
        let db = ReadDb::open(&read_db).await?;
        let documents = Documents::new(Arc::clone(&store), Arc::clone(&vault));

        let render_jobs = RenderJobs::new(documents.clone());
        if options.duties.projects && matches!(read_db, ReadPlace::File(_)) {
            // Nobody else has the file: the first answer is already right.
            rebuild::renew(&render_jobs, &store, &db).await?;
            rebuild::renew(&Usage, &store, &db).await?;
        }

        let head = store.head().await?.position;
        let history = webhook_deliveries::begin(&db, head).await?;
        let deliveries =
            WebhookDeliveries::new(Arc::clone(&store), documents.clone(), Arc::clone(&links), history);

        let render_jobs = Arc::new(Projector::new(render_jobs, Arc::clone(&store), db.clone()));
        let webhook_deliveries = Arc::new(Projector::new(deliveries, Arc::clone(&store), db.clone()));
        let usage = Arc::new(Projector::new(Usage, Arc::clone(&store), db.clone()));
        let egress = Arc::new(Egress::default());
        let feed = Arc::new(Feed::new(head));
        let closing = CancellationToken::new();
        let state = QueryState::new(http::Parts {
            store: Arc::clone(&store),
            storage,
            links,
            db: db.clone(),
            documents,
            feed: Arc::clone(&feed),
            seats: Arc::new(Seats::new(&options.service_limits)),
            heartbeat: options.heartbeat,
            line: Line::new(Arc::clone(&store)),
            reads: options.duties != QueryDuties::NONE,
            jobs: render_jobs.progress(),
            deliveries: webhook_deliveries.progress(),
            usage: usage.progress(),
            egress: Arc::clone(&egress),
            clock: options.clock.clone(),
            capabilities: capabilities(&options),
            closing: closing.clone(),
        });
        let (clock, traced) = (options.clock.clone(), (Arc::clone(&store), db.clone()));
        let tracer =
            options.traces.map(|target| Tracer::new(traced.0, traced.1, clock, target)).transpose()?;
        let relay = options.publisher.map(|publisher| Relay::new(Arc::clone(&store), db.clone(), publisher));
        let dispatcher =
            Dispatcher::new(Arc::clone(&store), vault, outbound, db, options.clock, options.webhooks);
        Ok(QueryRole {
            state,
            feed,
            store,
            render_jobs,
            webhook_deliveries,
            usage,
            egress,
            dispatcher,
            tracer,
            duties: options.duties,
            relay: relay.map(Arc::new),
            closing,
        })
    }

    /// The read side's endpoints, without the conventions that hold for all answers.
    pub fn endpoints(&self) -> Endpoints {
        http::endpoints(self.state.clone())
    }

    /// Whether the process lives, and is of use: answered by every process itself.
    pub fn health_endpoints(&self) -> Endpoints {
        http::health_endpoints(self.state.clone())
    }

    /// How the role is doing.
    ///
    /// # Errors
    /// Where log or read models can't be read.
    pub async fn measure(&self) -> Result<Measures, MeasureError> {
        let projected = [
            (RenderJobs::NAME, self.render_jobs.progress()),
            (WebhookDeliveries::NAME, self.webhook_deliveries.progress()),
        ];
        let mut readers: Vec<_> = projected
            .iter()
            .map(|(name, progress)| (*name, progress.position(), progress.is_failing()))
            .collect();
        if let Some(relay) = &self.relay {
            readers.push((relay::NAME, relay.position().await?, relay.is_failing()));
        }
        measures::measure(&self.state.store, &self.state.db, readers).await
    }

    /// Does its duties until it is cancelled; then ends open streams, lets what is in flight land, returns.
    pub async fn run(self, stop: CancellationToken) {
        // Another name at every start: what a dead process had is not taken for one's own.
        let node = format!("{:032x}", rand::random::<u128>());
        let projected = async {
            if self.duties.projects {
                let project = |lost| self.project(lost);
                while_on_duty(&self.store, "projections", &node, &stop, project).await;
            }
        };
        let watched = async {
            // A single process is told by its own projectors.
            if self.duties != QueryDuties::NONE && self.state.db.dialect() == Dialect::Postgres {
                self.watcher().run(stop.clone()).await;
            }
        };
        let delivered = async {
            if self.duties.delivers {
                let rows = self.webhook_deliveries.progress().pages();
                self.dispatcher.run(rows, stop.clone()).await;
            }
        };
        let answered = async {
            if self.duties.answers {
                let streams = self.feed.run(Arc::clone(&self.store), stop.clone());
                tokio::join!(streams, self.egress.run(&self.state.db, stop.clone()));
            }
        };
        let closed = async {
            stop.cancelled().await;
            self.closing.cancel();
        };
        tokio::join!(projected, watched, delivered, answered, closed);
    }

    /// Keeps the read models until it is cancelled, first making anew what another version of the code has made.
    async fn project(&self, stop: CancellationToken) {
        let renewed = async {
            rebuild::renew(self.render_jobs.projection(), &self.store, &self.state.db).await?;
            rebuild::renew(self.usage.projection(), &self.store, &self.state.db).await
        };
        match stop.run_until_cancelled(renewed).await {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::error!(error = %chain(&error), "the read models could not be made anew; trying again");
                stop.run_until_cancelled(tokio::time::sleep(PAUSE_AFTER_FAILURE)).await;
                return;
            }
            None => return,
        }
        let traced = async {
            if let Some(tracer) = &self.tracer {
                tracer.run(stop.clone()).await;
            }
        };
        let relayed = async {
            if let Some(relay) = &self.relay {
                relay.run(stop.clone()).await;
            }
        };
        tokio::join!(
            traced,
            relayed,
            self.render_jobs.run(stop.clone()),
            self.webhook_deliveries.run(stop.clone()),
            self.usage.run(stop.clone()),
        );
    }

    fn watcher(&self) -> Watcher {
        Watcher {
            store: Arc::clone(&self.store),
            db: self.state.db.clone(),
            watched: vec![
                (RenderJobs::NAME, self.render_jobs.progress()),
                (WebhookDeliveries::NAME, self.webhook_deliveries.progress()),
                (Usage::NAME, self.usage.progress()),
            ],
        }
    }
}
