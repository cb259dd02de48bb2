//! `framelane serve`: every role in one process, or any of them here and the others elsewhere.
//!
//! ```text
//!  face (command, query, projector, webhooks) ◀── claims, heartbeats, reports ──▶ workers, any number
//!   log, read models, keys                          in process, or over NATS        no log, no keys
//!              └───────────────────── objects: a folder or bucket that all of them share ──┘
//! ```

use std::error::Error;
use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::{Endpoints, PatientListener, Peer, ServiceLimits};
use async_trait::async_trait;
use axum::middleware::from_fn;
use bus::{EventPublisher, HintBus, InProcessBus, NatsBus, PublishError, WorkBus};
use clap::Args;
use command::{CommandConfig, CommandRole, DiskSpace, FirstKey};
use compositor::GpuOptions;
use event_store::{EventStore, Vault};
use events::workspace::DisableReason;
use events::{WebhookId, WorkerId, WorkspaceId};
use media::decoder::DecoderConfig;
use outbound::{AllowedNetworks, Outbound, ParseNetworkError};
use query::webhooks::{DispatcherConfig, EndpointSwitch};
use query::{QueryConfig, QueryOptions, QueryRole};
use storage::{LinkSigner, Storage};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use worker::engine::EngineWorker;
use worker::{Assets, AssetsConfig, Engine, EngineConfig, Worker};

use super::DataDir;
use super::limits::LimitOptions;
use super::nats::NatsOptions;
use super::objects::ObjectOptions;
use super::roles::{Duties, Meeting, Role};
use super::sources::SourceOptions;
use super::traces::TraceOptions;
use crate::docs;
use crate::forward::Forward;
use crate::lifecycle::Shutdown;
use crate::metrics;
use crate::worker_health;

/// See [`super::Command::Serve`].
#[derive(Debug, Args)]
pub(crate) struct ServeOptions {
    #[command(flatten)]
    data: DataDir,

    /// The address to listen on; port 0 takes a free one
    #[arg(long, env = "FRAMELANE_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,

    /// What this process does, any of it in any number of processes: all but workers share --database-url and --master-key,
    /// command and workers meet at --nats-url, all of them share --objects
    #[arg(long, env = "FRAMELANE_ROLES", value_enum, value_delimiter = ',', default_values_t = Role::ALL, hide_default_value = true, value_name = "ROLE,…")]
    roles: Vec<Role>,

    #[command(flatten)]
    nats: NatsOptions,

    /// Other processes of the service (http://host:port), to which requests are passed on that this one does not answer
    #[arg(long, env = "FRAMELANE_FORWARD_TO", value_delimiter = ',', value_name = "URL,…")]
    forward_to: Vec<String>,

    #[command(flatten)]
    objects: ObjectOptions,

    /// What links in answers and webhooks begin with; http:// and the address listened on unless given
    #[arg(long, env = "FRAMELANE_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,

    /// The API key of the first workspace; without one, one is made and printed once at the first start
    #[arg(long, env = "FRAMELANE_API_KEY", hide_env_values = true, value_name = "KEY")]
    api_key: Option<String>,

    /// The secret webhooks are signed with: whsec_ and 32 bytes of base64; without one, one is made
    #[arg(long, env = "FRAMELANE_WEBHOOK_SECRET", hide_env_values = true, value_name = "SECRET")]
    webhook_secret: Option<String>,

    /// Where /metrics is told to anybody who comes, beside the machine itself; port 0 takes a free one
    #[arg(long, env = "FRAMELANE_METRICS_LISTEN", value_name = "ADDRESS:PORT")]
    metrics_listen: Option<SocketAddr>,

    /// How long a worker's lease lasts without a heartbeat, in milliseconds
    #[arg(long, env = "FRAMELANE_LEASE_TTL_MS", default_value_t = 15_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(100..=600_000))]
    lease_ttl_ms: u64,

    #[command(flatten)]
    engine: EngineOptions,

    #[command(flatten)]
    network: NetworkOptions,

    #[command(flatten)]
    sources: SourceOptions,

    #[command(flatten)]
    limits: LimitOptions,

    #[command(flatten)]
    traces: TraceOptions,
}

/// The way between the face and its workers.
#[derive(Debug, Clone)]
enum Bus {
    Inside(InProcessBus),
    Nats(NatsBus),
}

impl Bus {
    async fn open(options: &ServeOptions) -> Result<Bus, Box<dyn Error>> {
        Ok(match options.nats.access() {
            Some(access) => Bus::Nats(NatsBus::connect(&access).await?),
            None => Bus::Inside(InProcessBus::default()),
        })
    }

    /// Where public events go beside `/v1/events`, if anywhere.
    async fn publisher(
        &self,
        options: &NatsOptions,
    ) -> Result<Option<Arc<dyn EventPublisher>>, PublishError> {
        match self {
            Bus::Inside(_) => Ok(None),
            Bus::Nats(bus) => options.publisher(bus).await,
        }
    }

    fn hints(&self) -> Arc<dyn HintBus> {
        match self {
            Bus::Inside(bus) => Arc::new(bus.clone()),
            Bus::Nats(bus) => Arc::new(bus.clone()),
        }
    }

    fn work(&self) -> Arc<dyn WorkBus> {
        match self {
            Bus::Inside(bus) => Arc::new(bus.clone()),
            Bus::Nats(bus) => Arc::new(bus.clone()),
        }
    }
}

/// What rendering runs on.
#[derive(Debug, Clone, Args)]
pub(crate) struct EngineOptions {
    /// Parts rendered at once; the number of cores unless given
    #[arg(long, env = "FRAMELANE_SLOTS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    slots: Option<u16>,

    /// Part of the name of the GPU to use; the best one unless given
    #[arg(long, env = "FRAMELANE_ADAPTER", value_name = "NAME")]
    adapter: Option<String>,

    /// The decoder's executable; the one beside this executable unless given
    #[arg(long, env = "FRAMELANE_DECODER", value_name = "FILE")]
    decoder: Option<PathBuf>,

    /// Where the Debian packages of the fonts put them
    #[arg(long, env = "FRAMELANE_FONTS", default_value = "/usr/share/fonts", value_name = "FOLDER")]
    fonts: PathBuf,
}

/// What outgoing requests may reach.
#[derive(Debug, Clone, Args)]
pub(crate) struct NetworkOptions {
    /// Networks that sources and webhooks may reach although they are not public, separated by commas
    #[arg(long, env = "FRAMELANE_ALLOW_NETWORKS", default_value = "", value_name = "CIDR,…")]
    allow_networks: String,
}

impl NetworkOptions {
    pub(crate) fn allowed(&self) -> Result<AllowedNetworks, ParseNetworkError> {
        AllowedNetworks::parse(&self.allow_networks)
    }
}

impl EngineOptions {
    pub(crate) fn slots(&self) -> usize {
        self.slots.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
    }

    /// Where the fonts lie.
    pub(crate) fn fonts(&self) -> &Path {
        &self.fonts
    }

    pub(crate) fn config(&self, scratch: PathBuf, build: String) -> std::io::Result<EngineConfig> {
        let mut decoder = DecoderConfig::beside_this_executable()?;
        if let Some(executable) = &self.decoder {
            decoder.executable.clone_from(executable);
        }
        let gpu = GpuOptions { adapter: self.adapter.clone(), ..GpuOptions::default() };
        Ok(EngineConfig { decoder, gpu, fonts: self.fonts.clone(), scratch, build })
    }
}

/// What all parts of a process work with.
struct Shared {
    storage: Arc<dyn Storage>,
    outbound: Outbound,
    bus: Bus,
    limits: ServiceLimits,
    public_url: String,
}

/// The service's face, open.
#[derive(Debug, Clone)]
struct Face {
    store: Arc<dyn EventStore>,
    command: CommandRole,
    query: QueryRole,
    /// Held for as long as the process lives.
    _folder: Arc<File>,
}

/// Makes the data folder this process's own: two faces over one folder would each send every webhook. The lock ends with the
/// process, however that ends.
fn take_folder(data: &DataDir) -> Result<File, String> {
    let path = data.data_dir.join("serve.lock");
    let lock = File::create(&path).map_err(|error| format!("could not make {}: {error}", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(format!(
            "could not use {}: another framelane serve works with it; stop that one, or choose another --data-dir",
            data.data_dir.display()
        )),
        Err(TryLockError::Error(error)) => Err(format!("could not lock {}: {error}", path.display())),
    }
}

/// Runs the service until it is told to stop.
pub(crate) async fn run(options: ServeOptions) -> Result<(), Box<dyn Error>> {
    let data = &options.data;
    let meeting = Meeting { database: !data.has_own_log(), nats: options.nats.access().is_some() };
    let duties = Duties::of(&options.roles, meeting)?;
    std::fs::create_dir_all(&data.data_dir)
        .map_err(|error| format!("could not make {}: {error}", data.data_dir.display()))?;
    let shutdown = Shutdown::on_signals()?;
    let listener = bind(options.listen).await?;
    let address = listener.local_addr()?;
    let metrics_listener = match options.metrics_listen {
        Some(listen) => Some(bind(listen).await?),
        None => None,
    };
    let shared = Shared {
        storage: options.objects.open(data).await?,
        outbound: Outbound::new(options.network.allowed()?)?,
        bus: Bus::open(&options).await?,
        limits: options.limits.service_limits(),
        public_url: options.public_url.clone().unwrap_or_else(|| format!("http://{address}")),
    };
    let face = if duties.face() { Some(Face::open(&options, duties, &shared).await?) } else { None };
    let engine =
        if duties.worker { Some(open_engine(&options, shared.outbound.clone()).await?) } else { None };

    let tasks = TaskTracker::new();
    let working = tasks.spawn(work(engine.clone(), &shared, &options, &shutdown));
    if let Some(face) = &face {
        if duties.command {
            tasks.spawn(face.command.clone().run(shutdown.cut.clone()));
        }
        tasks.spawn(face.query.clone().run(shutdown.cut.clone()));
    }
    let sources = metrics::Sources {
        log: face.as_ref().map(|face| (Arc::clone(&face.store), face.query.clone())),
        engine,
        sources: data.cache().join("sources"),
        slots: options.engine.slots(),
        requests: metrics::Requests::default(),
    };
    if let Some(listener) = metrics_listener {
        tasks.spawn(tell_metrics(listener, sources.clone(), shutdown.cut.clone()));
    }
    tasks.close();
    let requests = sources.requests.clone();
    let endpoints = match &face {
        Some(face) => face.endpoints(duties, Forward::new(&options.forward_to)?),
        None => worker_health::endpoints(match &shared.bus {
            Bus::Nats(bus) => Some(bus.clone()),
            Bus::Inside(_) => None,
        }),
    };
    let endpoints = docs::with_documents(endpoints.and(metrics::endpoints(sources)), &shared.public_url);
    let router = api::with_conventions(endpoints.into_router(), request_id, &shared.limits)
        .layer(from_fn(move |request, next| metrics::count(requests.clone(), request, next)));
    let (public_url, slots) = (&shared.public_url, options.engine.slots());
    tracing::info!(%address, public_url, roles = ?options.roles, slots, "listening");
    let listener = PatientListener::new(listener, Duration::from_secs(shared.limits.write_deadline_s));
    serve(listener, router, working, &shutdown).await?;
    tasks.wait().await;
    if let Bus::Nats(bus) = &shared.bus {
        bus.close().await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Renders until it has drained; without an engine there is nothing to do until then.
fn work(
    engine: Option<Arc<Engine>>,
    shared: &Shared,
    options: &ServeOptions,
    shutdown: &Shutdown,
) -> impl Future<Output = ()> + Send + 'static {
    let worker = engine.map(|engine| {
        let performer = EngineWorker::new(engine, Arc::clone(&shared.storage), Handle::current());
        let id = WorkerId::new(rand::random());
        Worker::new(id, Arc::new(performer), shared.bus.work(), options.engine.slots())
    });
    let Shutdown { drain, cut } = shutdown.clone();
    async move {
        match worker {
            Some(worker) => worker.run(drain, cut).await,
            None => drain.cancelled().await,
        }
    }
}

/// The read side's way to have an endpoint disabled.
#[derive(Debug)]
struct Switch(CommandRole);

#[async_trait]
impl EndpointSwitch for Switch {
    async fn disable(
        &self,
        workspace: WorkspaceId,
        webhook: WebhookId,
        reason: DisableReason,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.0.disable_webhook(workspace, webhook, reason).await
    }
}

impl Face {
    /// All endpoints of the service: those of this process's roles answered here, the others elsewhere.
    fn endpoints(&self, duties: Duties, forward: Forward) -> Endpoints {
        let (command, query) = (self.command.endpoints(), self.query.endpoints());
        let health = self.query.health_endpoints();
        let command = if duties.command { command } else { forward.clone().endpoints(command) };
        let query = if duties.query.answers { query } else { forward.endpoints(query) };
        command.and(query).and(health)
    }

    /// Opens the log and both sides of it, and answers workers from then on.
    async fn open(options: &ServeOptions, duties: Duties, shared: &Shared) -> Result<Face, Box<dyn Error>> {
        let data = &options.data;
        let folder = Arc::new(take_folder(data)?);
        let vault = Arc::new(Vault::open(&data.master_key())?);
        let store = data.open_log().await?;
        let keep_ms = i64::try_from(shared.limits.retention_s.saturating_mul(1000))?;
        let signer = LinkSigner::new(&shared.public_url, *vault.derive("artifact links"));
        let links = Arc::new(signer.keeping(keep_ms));
        let command = CommandRole::new(CommandConfig {
            store: Arc::clone(&store),
            vault: Arc::clone(&vault),
            storage: Arc::clone(&shared.storage),
            bus: shared.bus.hints(),
            links: Arc::clone(&links),
            lease_ttl_ms: options.lease_ttl_ms,
            limits: shared.limits.clone(),
            space: Arc::new(DiskSpace(data.data_dir.clone())),
        });
        let reading = QueryConfig {
            store: Arc::clone(&store),
            vault,
            storage: Arc::clone(&shared.storage),
            links,
            read_db: data.read_db()?,
            outbound: shared.outbound.clone(),
        };
        let keep = Duration::from_secs(shared.limits.retention_s);
        let switch = Arc::new(Switch(command.clone()));
        let query_options = QueryOptions {
            webhooks: DispatcherConfig { keep, switch: Some(switch), ..DispatcherConfig::default() },
            service_limits: shared.limits.clone(),
            traces: options.traces.target()?,
            duties: duties.query,
            publisher: if duties.query.projects { shared.bus.publisher(&options.nats).await? } else { None },
            ..QueryOptions::default()
        };
        // Before anything can be accepted: what is from then on is told to webhooks.
        let query = QueryRole::open_with(reading, query_options).await?;
        if duties.command {
            // An empty variable of the environment is none.
            let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
            let (key, secret) = (given(&options.api_key), given(&options.webhook_secret));
            announce(command.ensure_first_workspace(key, secret).await?);
        }
        if data.has_own_log() && matches!(shared.bus, Bus::Inside(_)) {
            // All workers lived in this process's last life. Those at the bus, or of other processes, live on.
            command.recover().await?;
        }
        if duties.command {
            shared.bus.hints().serve(command.work_service());
        }
        Ok(Face { store, command, query, _folder: folder })
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| format!("could not listen on {address}: {error}"))
}

/// Answers whoever asks for the metrics at their own address.
async fn tell_metrics(listener: TcpListener, sources: metrics::Sources, stop: CancellationToken) {
    match listener.local_addr() {
        Ok(address) => tracing::info!(%address, "telling metrics"),
        Err(error) => tracing::warn!(%error, "telling metrics at an unknown address"),
    }
    let limits = ServiceLimits::default();
    let router = api::with_conventions(metrics::open_endpoints(sources).into_router(), request_id, &limits);
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(%error, "metrics are told no more");
    }
}

/// Answers requests until the worker has drained, then ends what is left of them.
async fn serve(
    listener: PatientListener,
    router: axum::Router,
    working: tokio::task::JoinHandle<()>,
    shutdown: &Shutdown,
) -> Result<(), Box<dyn Error>> {
    let drained = {
        let shutdown = shutdown.clone();
        async move {
            let ended = working.await;
            if !shutdown.drain.is_cancelled() {
                tracing::error!(?ended, "the worker ended by itself: it likely crashed; stopping");
            }
            shutdown.cut.cancel();
        }
    };
    let cut = shutdown.cut.clone();
    let service = router.into_make_service_with_connect_info::<Peer>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(drained).into_future();
    tokio::select! {
        served = serving => served?,
        // Long polls and event streams may last for minutes; nobody waits for them.
        () = async { cut.cancelled().await; tokio::time::sleep(Duration::from_millis(500)).await } => {}
    }
    Ok(())
}

/// Opens and warms the engine beside the async runtime: drivers and shader compilers block.
async fn open_engine(options: &ServeOptions, outbound: Outbound) -> Result<Arc<Engine>, Box<dyn Error>> {
    let cache = options.data.cache();
    let mut config = options.engine.config(cache.join("work"), String::new())?;
    config.build = build(&config.decoder.executable)?;
    let sources = options.sources.config(cache);
    let handle = Handle::current();
    let (opened, opening) = tokio::sync::oneshot::channel();
    // A thread of its own, because what it starts (the driver's threads, the decoder's zygote) gives way as it does.
    std::thread::Builder::new().name("engine.open".to_owned()).spawn(move || {
        worker::priority::give_way();
        // The receiver is gone only where the service is.
        drop(opened.send(warm_engine(config, sources, outbound, handle)));
    })?;
    let engine = opening.await?.map_err(|error| error as Box<dyn Error>)?;
    tracing::info!(adapter = engine.adapter_name(), sandbox = ?engine.sandbox(), "the engine is ready");
    Ok(Arc::new(engine))
}

fn warm_engine(
    config: EngineConfig,
    sources: AssetsConfig,
    outbound: Outbound,
    runtime: Handle,
) -> Result<Engine, Box<dyn Error + Send + Sync>> {
    let assets = Assets::open(sources, outbound, runtime)?;
    let engine = Engine::open(config, assets)?;
    engine.warm_up()?;
    Ok(engine)
}

/// An id for a request that came without one: only ever compared by people.
fn request_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// What names this build of the engine: the digest of the executables, which decide every bit.
fn build(decoder: &Path) -> Result<String, String> {
    let digest = |path: &Path| {
        let bytes =
            std::fs::read(path).map_err(|error| format!("could not read {}: {error}", path.display()));
        bytes.map(|bytes| events::Sha256::of(&bytes))
    };
    let executable =
        std::env::current_exe().map_err(|error| format!("could not find this executable: {error}"))?;
    let decoder = digest(decoder).map_err(|fault| {
        format!("{fault}; the decoder belongs beside this executable, or name it with --decoder")
    })?;
    Ok(format!("{} {decoder}", digest(&executable)?))
}

/// Shows a key that was made: once, on standard output, never in the log.
#[expect(clippy::print_stdout, reason = "a key is shown to the operator, not logged")]
fn announce(first: FirstKey) {
    match first {
        FirstKey::Made(key) => println!("API key of the new workspace (shown once): {key}"),
        FirstKey::Given | FirstKey::Existing => {}
    }
}
