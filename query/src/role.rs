//! The role as the executable runs it: opened once, served by a router, kept going by one task.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::{Endpoints, ServiceLimits};
use composition::Limits;
use event_store::{EventStore, OpenError, StoreError, Vault};
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
use crate::projector::Projector;
use crate::read_db::ReadDb;
use crate::rebuild::{self, RebuildError};
use crate::traces::{TraceTarget, Tracer};
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
    /// The read models' file; its folder must exist.
    pub read_db: PathBuf,
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
    /// Ends long polls and event streams.
    closing: CancellationToken,
}

/// The read side can't be opened.
#[derive(Debug, Error)]
pub enum OpenRoleError {
    /// The database can't be opened.
    #[error(transparent)]
    ReadDb(#[from] OpenError),
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
        rebuild::renew(&render_jobs, &store, &db).await?;
        rebuild::renew(&Usage, &store, &db).await?;

        let head = store.head().await?.position;
        let mut transaction = db.write().await?;
        let history = webhook_deliveries::begin(&mut transaction, head).await?;
        transaction.commit().await?;
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
            closing,
        })
    }

    /// The read side's endpoints, without the conventions that hold for all answers.
    pub fn endpoints(&self) -> Endpoints {
        http::endpoints(self.state.clone())
    }

    /// How the role is doing.
    ///
    /// # Errors
    /// Where log or read models can't be read.
    pub async fn measure(&self) -> Result<Measures, MeasureError> {
        let projections = [
            (RenderJobs::NAME, self.render_jobs.progress()),
            (WebhookDeliveries::NAME, self.webhook_deliveries.progress()),
        ];
        measures::measure(&self.state.store, &self.state.db, projections).await
    }

    /// Projects and sends webhooks until it is cancelled; then ends open streams, lets what is in flight land, returns.
    pub async fn run(self, stop: CancellationToken) {
        let rows = self.webhook_deliveries.progress().pages();
        let closed = async {
            stop.cancelled().await;
            self.closing.cancel();
        };
        let traced = async {
            if let Some(tracer) = &self.tracer {
                tracer.run(stop.clone()).await;
            }
        };
        tokio::join!(
            traced,
            self.render_jobs.run(stop.clone()),
            self.webhook_deliveries.run(stop.clone()),
            self.usage.run(stop.clone()),
            self.egress.run(&self.state.db, stop.clone()),
            self.dispatcher.run(rows, stop.clone()),
            self.feed.run(self.store, stop.clone()),
            closed,
        );
    }
}
