//! The read side, running: router, projectors and dispatcher over a log in memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::PatientListener;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::Response;
use event_store::documents::{self, WEBHOOK_SECRET, webhook_secret_context};
use event_store::{ApiKeyRow, Append, EventStore, MemoryStore, SideRow, Vault, WorkspaceKey};
use events::{KeyId, Sha256, WorkspaceId};
use outbound::{AllowedNetworks, Outbound};
use query::read_db::ReadPlace;
use query::webhooks::{DispatcherConfig, Schedule};
use query::{QueryConfig, QueryOptions, QueryRole};
use serde_json::Value;
use storage::{LinkSigner, LocalStorage, Storage};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use zeroize::Zeroizing;

use crate::elsewhere::Elsewhere;
use crate::lives::{Document, Life};
use crate::place::Place;

/// The secret that test workspaces sign with: `whsec_` and base64 of the bytes 0 to 31.
pub(crate) const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A service under test. Its workspaces are `OWNER` and `STRANGER`, their keys `fl_live_owner` and `fl_live_stranger`.
pub(crate) struct Service {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) storage: LocalStorage,
    /// Clients are sent to the store for the bytes.
    pub(crate) is_elsewhere: bool,
    pub(crate) directory: tempfile::TempDir,
    place: Place,
    pub(crate) key: WorkspaceKey,
    running: Option<Running>,
}

struct Running {
    router: Router,
    task: JoinHandle<()>,
    stop: CancellationToken,
}

pub(crate) const OWNER: WorkspaceId = WorkspaceId::new(1);
pub(crate) const STRANGER: WorkspaceId = WorkspaceId::new(2);

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    pub(crate) fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).map(|value| value.to_str().expect("text")).unwrap_or_default()
    }
}

impl Service {
    /// Workspaces, keys and secrets, but nothing running yet.
    pub(crate) async fn prepared() -> Service {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let store = Arc::new(MemoryStore::new());
        let vault = Arc::new(Vault::with_master_key(Zeroizing::new([9; 32])));
        let storage = LocalStorage::open(directory.path().join("objects")).await.expect("opens");
        let (key, wrapped) = vault.new_workspace_key();
        let mut rows = Vec::new();
        for (workspace, name) in [(OWNER, "fl_live_owner"), (STRANGER, "fl_live_stranger")] {
            let secret = |name: &str, bytes| SideRow::PutSecret { workspace, name: name.to_owned(), bytes };
            let sealed = vault.seal(&webhook_secret_context(workspace), SECRET.as_bytes());
            rows.push(secret(documents::DOCUMENT_KEY, wrapped.clone()));
            rows.push(secret(WEBHOOK_SECRET, sealed));
            let key_sha256 = Sha256::of(name.as_bytes());
            rows.push(SideRow::PutApiKey(ApiKeyRow {
                key_sha256,
                key_id: KeyId::new(workspace.bits()),
                workspace,
            }));
        }
        store.append(Append { rows, ..Append::default() }).await.expect("to put them");
        let place = Place::new().await;
        Service { store, vault, storage, is_elsewhere: false, directory, place, key, running: None }
    }

    /// The same, running.
    pub(crate) async fn start() -> Service {
        let mut service = Service::prepared().await;
        service.run(fast_webhooks()).await;
        service
    }

    /// Opens the role and runs it.
    pub(crate) async fn run(&mut self, webhooks: DispatcherConfig) {
        self.run_with(QueryOptions { webhooks, ..QueryOptions::default() }).await;
    }

    /// The same with all options.
    pub(crate) async fn run_with(&mut self, options: QueryOptions) {
        let outbound =
            Outbound::new(AllowedNetworks::parse("127.0.0.0/8").expect("networks")).expect("builds");
        let config = QueryConfig {
            store: Arc::clone(&self.store) as Arc<dyn EventStore>,
            vault: Arc::clone(&self.vault),
            storage: self.shown_storage(),
            links: Arc::new(LinkSigner::new("http://films.example", [3; 32])),
            read_db: self.read_db(),
            outbound,
        };
        let role = QueryRole::open_with(config, options).await.expect("opens");
        let router = api::with_conventions(
            role.endpoints().and(role.health_endpoints()).into_router(),
            || "request".to_owned(),
            &api::ServiceLimits::default(),
        );
        let stop = CancellationToken::new();
        let task = tokio::spawn(role.run(stop.clone()));
        self.running = Some(Running { router, task, stop });
    }

    fn shown_storage(&self) -> Arc<dyn Storage> {
        let storage = self.storage.clone();
        if self.is_elsewhere { Arc::new(Elsewhere(storage)) } else { Arc::new(storage) }
    }

    /// Serves it on a port of loopback; a client that takes nothing for `write_deadline` is dropped.
    pub(crate) async fn listen(&self, write_deadline: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("an address");
        let serving = axum::serve(PatientListener::new(listener, write_deadline), self.router());
        tokio::spawn(serving.into_future());
        address
    }

    /// Ends it as a power cut would: whatever was in flight is gone.
    pub(crate) async fn crash(&mut self) {
        let running = self.running.take().expect("it runs");
        running.task.abort();
        assert!(running.task.await.expect_err("it was cut").is_cancelled(), "cut, not crashed by itself");
    }

    /// Ends it as a shutdown does.
    pub(crate) async fn stop(&mut self) {
        let running = self.running.take().expect("it runs");
        running.stop.cancel();
        running.task.await.expect("it ends by itself");
    }

    pub(crate) fn read_db(&self) -> ReadPlace {
        self.place.read_db()
    }

    pub(crate) fn router(&self) -> Router {
        self.running.as_ref().expect("it runs").router.clone()
    }

    pub(crate) fn stop_token(&self) -> CancellationToken {
        self.running.as_ref().expect("it runs").stop.clone()
    }

    /// The log's last position.
    pub(crate) async fn store_head(&self) -> u64 {
        self.store.head().await.expect("a head").position.0
    }

    /// The owner's new render.
    pub(crate) async fn submit(&self, document: &Document) -> Life {
        Life::begin(self.store.as_ref(), OWNER, &self.key, document).await
    }

    /// The owner's request.
    pub(crate) fn request(&self, path: &str) -> axum::http::request::Builder {
        Request::get(path).header(header::AUTHORIZATION, "Bearer fl_live_owner")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(self.request(path)).await
    }

    pub(crate) async fn get_as(&self, key: &str, path: &str) -> Answer {
        self.ask(Request::get(path).header(header::AUTHORIZATION, format!("Bearer {key}"))).await
    }

    /// An answer whose body has yet to be read.
    pub(crate) async fn open(&self, request: axum::http::request::Builder) -> Response {
        let request = request.body(Body::empty()).expect("a request");
        let asked = self.router().oneshot(request);
        tokio::time::timeout(Duration::from_secs(30), asked).await.expect("an answer").expect("infallible")
    }

    pub(crate) async fn ask(&self, request: axum::http::request::Builder) -> Answer {
        let (parts, body) = self.open(request).await.into_parts();
        let body = axum::body::to_bytes(body, 10 << 20).await.expect("a whole body");
        Answer { status: parts.status, headers: parts.headers, body: body.to_vec() }
    }
}

/// The contract's dispatcher with delays that a test can wait for.
pub(crate) fn fast_webhooks() -> DispatcherConfig {
    DispatcherConfig {
        schedule: Schedule::new(vec![Duration::from_millis(20); 3]),
        ..DispatcherConfig::default()
    }
}
