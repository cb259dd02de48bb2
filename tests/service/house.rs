//! A service without an engine inside the test's own process: command and query role over a real log, answering at a real
//! socket, and a worker that does nothing. What it does is not slowed by rendering.

use std::sync::Arc;
use std::time::Duration;

use api::{PatientListener, Peer, ServiceLimits};
use bus::{HintBus, InProcessBus, NatsAccess, NatsBus, WorkBus};
use command::{CommandConfig, CommandRole, DiskSpace};
use event_store::{EventStore, PostgresOptions, PostgresStore, Route, SqliteStore, Vault};
use outbound::{AllowedNetworks, Outbound};
use query::read_db::ReadPlace;
use query::{QueryConfig, QueryRole};
use serde_json::Value;
use storage::{LinkSigner, LocalStorage, Storage};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::cluster::Nats;
use crate::no_op::Hands;
use crate::postgres::Database;
use crate::support::{KEY, WEBHOOK_SECRET, client};

/// What a house stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    /// SQLite, and the bus inside the process.
    Embedded,
    /// PostgreSQL and NATS.
    Servers,
}

/// A running service.
pub(crate) struct House {
    pub(crate) address: String,
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) folder: tempfile::TempDir,
    work: Arc<dyn WorkBus>,
    query: QueryRole,
    stop: CancellationToken,
    _end: DropGuard,
    _servers: Option<(Nats, Database)>,
}

impl House {
    /// A service whose read side stands still until [`House::read`], and that has no worker.
    pub(crate) async fn build(ground: Ground) -> House {
        // The TLS provider, that whoever comes first installs.
        drop(client());
        let folder = tempfile::tempdir().unwrap();
        let servers = match ground {
            Ground::Embedded => None,
            Ground::Servers => Some((Nats::start().await, Database::create().await)),
        };
        let (store, hints, work) = open(folder.path(), servers.as_ref()).await;
        let vault = Arc::new(Vault::open(&folder.path().join("master.key")).unwrap());
        let storage: Arc<dyn Storage> =
            Arc::new(LocalStorage::open(folder.path().join("objects")).await.unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let links = Arc::new(LinkSigner::new(&address, *vault.derive("artifact links")));
        let limits = ServiceLimits::default();
        let command = CommandRole::new(CommandConfig {
            store: Arc::clone(&store),
            vault: Arc::clone(&vault),
            storage: Arc::clone(&storage),
            bus: Arc::clone(&hints),
            links: Arc::clone(&links),
            lease_ttl_ms: 15_000,
            limits: limits.clone(),
            space: Arc::new(DiskSpace(folder.path().to_owned())),
        });
        let (key, secret) = (KEY.to_owned(), WEBHOOK_SECRET.to_owned());
        command.ensure_first_workspace(Some(key), Some(secret)).await.unwrap();
        let outbound = Outbound::new(AllowedNetworks::parse("127.0.0.0/8").unwrap()).unwrap();
        let read_db = ReadPlace::File(folder.path().join("read.db"));
        let reading = QueryConfig { store: Arc::clone(&store), vault, storage, links, read_db, outbound };
        let query = QueryRole::open(reading).await.unwrap();
        hints.serve(command.work_service());

        let endpoints = command.endpoints().and(query.endpoints()).and(query.health_endpoints());
        let router = api::with_conventions(endpoints.into_router(), || "asked".to_owned(), &limits);
        let listener = PatientListener::new(listener, Duration::from_secs(limits.write_deadline_s));
        let service = router.into_make_service_with_connect_info::<Peer>();
        let stop = CancellationToken::new();
        tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        tokio::spawn(command.run(stop.clone()));
        let end = stop.clone().drop_guard();
        House { address, store, folder, work, query, stop, _end: end, _servers: servers }
    }

    /// The read side begins: projections, waiting requests, webhooks.
    pub(crate) fn read(&self) {
        tokio::spawn(self.query.clone().run(self.stop.clone()));
    }

    /// A worker with so many slots.
    pub(crate) fn hire(&self, slots: usize) -> Hands {
        Hands::start(Arc::clone(&self.work), slots)
    }

    /// One request; status and JSON.
    pub(crate) async fn call(
        &self,
        client: &reqwest::Client,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let request = client.request(method, format!("{}{path}", self.address)).bearer_auth(KEY);
        let request = body.into_iter().fold(request, |request, body| {
            request.header("content-type", "application/json").body(body.to_string())
        });
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }

    /// Submits a composition; the job's id.
    pub(crate) async fn submit(&self, client: &reqwest::Client, composition: &Value) -> String {
        let (status, job) = self.call(client, reqwest::Method::POST, "/v1/renders", Some(composition)).await;
        assert_eq!(status, 202, "{job}");
        job["id"].as_str().unwrap().to_owned()
    }
}

/// The log, and both ends of the bus: over a network these are two connections.
async fn open(
    folder: &std::path::Path,
    servers: Option<&(Nats, Database)>,
) -> (Arc<dyn EventStore>, Arc<dyn HintBus>, Arc<dyn WorkBus>) {
    let Some((nats, database)) = servers else {
        let bus = InProcessBus::default();
        let store = SqliteStore::open(&folder.join("log.db")).await.unwrap();
        return (Arc::new(store), Arc::new(bus.clone()), Arc::new(bus));
    };
    let options = PostgresOptions::parse(&database.address(), Route::Direct).unwrap();
    let store = PostgresStore::open(options).await.unwrap();
    let (hints, work) = (
        NatsBus::connect(&NatsAccess::from(nats.address().as_str())).await,
        NatsBus::connect(&NatsAccess::from(nats.address().as_str())).await,
    );
    (Arc::new(store), Arc::new(hints.unwrap()), Arc::new(work.unwrap()))
}
