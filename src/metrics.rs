//! `/metrics`: how the service is doing, in Prometheus' text format.
//!
//! Everything is read where it is kept at the moment it is asked for: in the log, the read models, the engine's clocks.
//! Only answered requests are counted here. What each number means stands in the answer itself, as `# HELP`.
//!
//! Who may ask: whoever sits at the machine itself, or comes to the address of `--metrics-listen`. A request that a proxy
//! passed on is from elsewhere, whatever its connection says.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use api::{Answer, ApiError, Code, Endpoints, Operation, Peer};
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use event_store::{Census, EventStore};
use events::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::prometheus_text::{self, CONTENT_TYPE as TEXT};
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use query::QueryRole;
use query::measures::Measures;
use serde_json::json;
use thiserror::Error;
use worker::{BOUNDS_S, Engine, Stage};

/// Headers by which a proxy says that it asks for somebody else.
const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// Requests answered: by method, route and status.
pub(crate) type Requests = Family<[(&'static str, String); 3], Counter>;

/// Where the numbers come from.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    /// The log and who reads it, in a process that has them.
    pub(crate) log: Option<(Arc<dyn EventStore>, QueryRole)>,
    /// In a process that renders.
    pub(crate) engine: Option<Arc<Engine>>,
    /// The folder of fetched sources.
    pub(crate) sources: PathBuf,
    /// Parts rendered at once.
    pub(crate) slots: usize,
    pub(crate) requests: Requests,
}

/// The endpoint on the service's own address: for the machine itself only.
pub(crate) fn endpoints(sources: Sources) -> Endpoints {
    Endpoints::new().serve(operation(), tell_neighbours).with_state(sources)
}

/// The endpoint on an address of its own: for whoever comes there.
pub(crate) fn open_endpoints(sources: Sources) -> Endpoints {
    Endpoints::new().serve(operation(), tell).with_state(sources)
}

fn operation() -> Operation {
    Operation::get("/metrics", "get_metrics", "How the service is doing, for Prometheus")
        .tag("Service")
        .text(
            "Prometheus' text format. Answers on the machine itself only, unless the installation gave it an address of its \
             own (`--metrics-listen`).",
        )
        .keyless()
        .answers(Answer::empty(200, "All numbers.").or_as("text/plain", json!({ "type": "string" })))
        .refuses(&[Code::Forbidden])
}

/// Counts what was answered. For the whole router, so that also what no endpoint answers is counted.
pub(crate) async fn count(requests: Requests, request: Request, next: Next) -> Response {
    // Routes, not paths: a path holds ids, and strangers choose it.
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = method(request.method()).to_owned();
    let response = next.run(request).await;
    let status = response.status().as_str().to_owned();
    requests.get_or_create(&[("method", method), ("route", route), ("status", status)]).inc();
    response
}

/// Methods of strangers' invention are all one.
fn method(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::PATCH
        | Method::DELETE
        | Method::OPTIONS => method.as_str(),
        _ => "other",
    }
}

async fn tell_neighbours(
    state: State<Sources>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let is_forwarded = FORWARDED.iter().any(|name| headers.contains_key(*name));
    if !peer.ip().to_canonical().is_loopback() || is_forwarded {
        return Err(ApiError::forbidden(
            "metrics are told on the machine itself only; --metrics-listen gives them an address of their own",
        ));
    }
    tell(state).await
}

async fn tell(State(sources): State<Sources>) -> Result<Response, ApiError> {
    let snapshot = sources.gather().await.map_err(|error| ApiError::internal(&error))?;
    let mut registry = Registry::with_prefix("framelane");
    registry.register("http_requests", "Requests answered", sources.requests.clone());
    registry.register_collector(Box::new(snapshot));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry).map_err(|error| ApiError::internal(&error))?;
    Ok(([(CONTENT_TYPE, TEXT)], text).into_response())
}

/// The numbers could not be had.
#[derive(Debug, Error)]
enum GatherError {
    #[error("could not gather the metrics")]
    Store(#[from] event_store::StoreError),
    #[error("could not gather the metrics")]
    Query(#[from] query::measures::MeasureError),
}

impl Sources {
    async fn gather(&self) -> Result<Snapshot, GatherError> {
        let log = match &self.log {
            Some((store, query)) => Some((store.census().await?, store.now().await?, query.measure().await?)),
            None => None,
        };
        let folder = self.sources.clone();
        // A folder that is not there yet, or changes meanwhile, is as good as empty.
        let cache = tokio::task::spawn_blocking(move || size_of(&folder)).await.unwrap_or_default();
        Ok(Snapshot { log, cache, engine: self.engine.clone(), slots: self.slots })
    }
}

/// Files below a folder and their bytes.
fn size_of(folder: &std::path::Path) -> (u64, u64) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.fold((0, 0), |(files, bytes), entry| match entry.metadata() {
        Ok(facts) if facts.is_dir() => {
            let (more, larger) = size_of(&entry.path());
            (files + more, bytes + larger)
        }
        Ok(facts) => (files + 1, bytes + facts.len()),
        Err(_gone) => (files, bytes),
    })
}

/// Everything that is told, at one moment.
#[derive(Debug)]
struct Snapshot {
    log: Option<(Census, Timestamp, Measures)>,
    /// Files and bytes.
    cache: (u64, u64),
    engine: Option<Arc<Engine>>,
    slots: usize,
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut page = Page(&mut encoder);
        if let Some((census, now, measures)) = &self.log {
            tell_work(census, *now, &mut page)?;
            tell_reading(measures, &mut page)?;
        }
        match &self.engine {
            Some(engine) => self.tell_engine(engine, &mut page),
            None => Ok(()),
        }
    }
}

impl Snapshot {
    fn tell_engine(&self, engine: &Engine, page: &mut Page<'_, '_>) -> fmt::Result {
        page.gauge(
            "worker_slots",
            "Pieces of renders that this process works on at once",
            self.slots as f64,
        )?;
        page.gauge("source_cache_files", "Fetched sources that are kept", self.cache.0 as f64)?;
        page.gauge("source_cache_bytes", "Bytes of fetched sources that are kept", self.cache.1 as f64)?;
        let clock = engine.clock();
        let frames = clock.times(Stage::Encode).counts.iter().sum();
        page.counter("frames", "Frames drawn and encoded by this process", frames)?;
        let help = "Time by stage of rendering: decode, composite and encode for each frame, the others for each render";
        let mut metric = page.0.encode_descriptor("stage_seconds", help, None, MetricType::Histogram)?;
        for stage in Stage::ALL {
            let times = clock.times(stage);
            let bounds = BOUNDS_S.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(times.counts).collect();
            let count = times.counts.iter().sum();
            let labels = [("stage", stage.name())];
            metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                times.sum_s,
                count,
                &buckets,
                None,
            )?;
        }
        Ok(())
    }
}

fn tell_work(census: &Census, now: Timestamp, page: &mut Page<'_, '_>) -> fmt::Result {
    let Census { renders_waiting, renders_begun, slots_waiting, oldest_waiting, leases } = *census;
    let age = oldest_waiting.map_or(0.0, |since| now.ms_since(since).max(0) as f64 / 1000.0);
    page.gauges(
        "renders",
        "Renders that are not over, by whether a worker has begun them",
        "state",
        &[("waiting", renders_waiting as f64), ("begun", renders_begun as f64)],
    )?;
    page.gauge(
        "queue_slots",
        "Pieces of renders (plans, parts, sounds, assemblies) that wait for a worker",
        slots_waiting as f64,
    )?;
    page.gauge("queue_oldest_seconds", "How long the piece has waited that waits longest", age)?;
    page.gauge("leases", "Pieces of renders that workers hold", leases as f64)
}

fn tell_reading(measures: &Measures, page: &mut Page<'_, '_>) -> fmt::Result {
    let Measures { log_position, projections, deliveries } = measures;
    page.counter("log_events", "Events appended to the log", log_position.0)?;
    let each = |value: fn(&query::measures::Lag) -> f64| -> Vec<_> {
        projections.iter().map(|(name, lag)| (*name, value(lag))).collect()
    };
    let label = "projection";
    page.gauges("projection_lag_events", "Events not yet applied", label, &each(|lag| lag.events as f64))?;
    page.gauges(
        "projection_lag_seconds",
        "How long the oldest event waits to be applied",
        label,
        &each(|lag| lag.seconds),
    )?;
    page.gauges(
        "projection_failing",
        "1: the next event can't be applied",
        label,
        &each(|lag| f64::from(lag.failing)),
    )?;
    page.gauges(
        "webhook_deliveries",
        "Webhooks to be sent: later, now, and more than a minute ago",
        "state",
        &[
            ("waiting", deliveries.waiting as f64),
            ("due", deliveries.due as f64),
            ("overdue", deliveries.overdue as f64),
        ],
    )
}

/// Writes one metric after another.
struct Page<'p, 'e>(&'p mut DescriptorEncoder<'e>);

impl Page<'_, '_> {
    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn gauges(&mut self, name: &str, help: &str, label: &str, values: &[(&str, f64)]) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        values
            .iter()
            .try_for_each(|(word, value)| metric.encode_family(&[(label, *word)])?.encode_gauge(value))
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }
}
