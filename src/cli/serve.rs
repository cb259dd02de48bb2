//! `framelane serve`: every role in one process.

use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::{PatientListener, Peer, ServiceLimits};
use axum::middleware::from_fn;
use bus::{HintBus, InProcessBus, WorkBus};
use clap::Args;
use command::{CommandConfig, CommandRole, DiskSpace, FirstKey};
use compositor::GpuOptions;
use event_store::{EventStore, SqliteStore, Vault};
use events::WorkerId;
use media::decoder::DecoderConfig;
use outbound::{AllowedNetworks, Outbound, ParseNetworkError};
use query::webhooks::DispatcherConfig;
use query::{QueryConfig, QueryOptions, QueryRole};
use storage::{LinkSigner, LocalStorage, Storage};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use worker::engine::EngineWorker;
use worker::{Assets, AssetsConfig, Engine, EngineConfig, Worker};

use super::DataDir;
use super::limits::LimitOptions;
use super::sources::SourceOptions;
use super::traces::TraceOptions;
use crate::docs;
use crate::lifecycle::Shutdown;
use crate::metrics;

/// See [`super::Command::Serve`].
#[derive(Debug, Args)]
pub(crate) struct ServeOptions {
    #[command(flatten)]
    data: DataDir,

    /// The address to listen on; port 0 takes a free one
    #[arg(long, env = "FRAMELANE_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,

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

/// Runs the service until it is told to stop.
pub(crate) async fn run(options: ServeOptions) -> Result<(), Box<dyn Error>> {
    let data = &options.data;
    std::fs::create_dir_all(&data.data_dir)
        .map_err(|error| format!("could not make {}: {error}", data.data_dir.display()))?;
    let shutdown = Shutdown::on_signals()?;
    let listener = bind(options.listen).await?;
    let address = listener.local_addr()?;
    let metrics_listener = match options.metrics_listen {
        Some(listen) => Some(bind(listen).await?),
        None => None,
    };
    let public_url = options.public_url.clone().unwrap_or_else(|| format!("http://{address}"));

    let vault = Arc::new(Vault::open(&data.master_key())?);
    let store: Arc<dyn EventStore> = Arc::new(SqliteStore::open(&data.log_db()).await?);
    let storage: Arc<dyn Storage> = Arc::new(LocalStorage::open(data.objects()).await?);
    let limits = options.limits.service_limits();
    let keep_ms = i64::try_from(limits.retention_s.saturating_mul(1000))?;
    let links = Arc::new(LinkSigner::new(&public_url, *vault.derive("artifact links")).keeping(keep_ms));
    let outbound = Outbound::new(options.network.allowed()?)?;
    let bus = InProcessBus::default();

    let command = CommandRole::new(CommandConfig {
        store: Arc::clone(&store),
        vault: Arc::clone(&vault),
        storage: Arc::clone(&storage),
        bus: Arc::new(bus.clone()),
        links: Arc::clone(&links),
        lease_ttl_ms: options.lease_ttl_ms,
        limits: limits.clone(),
        space: Arc::new(DiskSpace(data.data_dir.clone())),
    });
    announce(command.ensure_first_workspace(options.api_key.clone(), options.webhook_secret.clone()).await?);
    command.recover().await?;
    bus.serve(command.work_service());

    let reading = QueryConfig {
        store: Arc::clone(&store),
        vault,
        storage: Arc::clone(&storage),
        links,
        read_db: data.read_db(),
        outbound: outbound.clone(),
    };
    let webhooks =
        DispatcherConfig { keep: Duration::from_secs(limits.retention_s), ..DispatcherConfig::default() };
    let traces = options.traces.target()?;
    let query_options =
        QueryOptions { webhooks, service_limits: limits.clone(), traces, ..QueryOptions::default() };
    let query = QueryRole::open_with(reading, query_options).await?;

    let engine = open_engine(&options, outbound).await?;
    let performer = Arc::new(EngineWorker::new(Arc::clone(&engine), storage, Handle::current()));
    let worker = Worker::new(
        WorkerId::new(rand::random()),
        performer,
        Arc::new(bus) as Arc<dyn WorkBus>,
        options.engine.slots(),
    );

    let tasks = TaskTracker::new();
    let working = tasks.spawn(worker.run(shutdown.drain.clone(), shutdown.cut.clone()));
    tasks.spawn(command.clone().run(shutdown.cut.clone()));
    tasks.spawn(query.clone().run(shutdown.cut.clone()));
    let sources = metrics::Sources {
        store,
        query: query.clone(),
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
    let endpoints = command.endpoints().and(query.endpoints()).and(metrics::endpoints(sources));
    let endpoints = docs::with_documents(endpoints, &public_url);
    let router = api::with_conventions(endpoints.into_router(), request_id, &limits)
        .layer(from_fn(move |request, next| metrics::count(requests.clone(), request, next)));
    tracing::info!(%address, public_url, slots = options.engine.slots(), "listening");
    let listener = PatientListener::new(listener, Duration::from_secs(limits.write_deadline_s));
    serve(listener, router, working, &shutdown).await?;
    tasks.wait().await;
    tracing::info!("stopped");
    Ok(())
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
