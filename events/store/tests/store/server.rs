//! A PostgreSQL for tests: a database of each test's own, on the server that answers at `PGHOST` (127.0.0.1 unless
//! given) or on one that the test starts itself from Debian's package, and a pooler before it.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection};

/// An empty database, gone with the test.
#[derive(Debug)]
pub(crate) struct Database {
    name: String,
    place: Place,
    server: Option<Server>,
}

/// Where a server answers, and as whom.
#[derive(Debug, Clone)]
struct Place {
    host: String,
    port: u16,
    user: String,
    password: String,
}

impl Place {
    fn address(&self, database: &str) -> String {
        let Place { host, port, user, password } = self;
        format!("postgres://{user}:{password}@{host}:{port}/{database}")
    }

    async fn connect(&self, database: &str) -> Result<PgConnection, sqlx::Error> {
        let options: PgConnectOptions = self.address(database).parse().unwrap();
        let options = options.disable_statement_logging();
        let connecting = options.connect();
        tokio::time::timeout(Duration::from_secs(5), connecting)
            .await
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    async fn create(&self, database: &str) -> Result<(), sqlx::Error> {
        execute(
            &mut self.connect("postgres").await?,
            &format!("CREATE DATABASE {database} ENCODING 'UTF8' TEMPLATE template0"),
        )
        .await
    }
}

impl Database {
    /// On the server that is there, else on one of its own.
    pub(crate) async fn create() -> Database {
        let variable =
            |name: &str, otherwise: &str| std::env::var(name).unwrap_or_else(|_unset| otherwise.to_owned());
        let place = Place {
            host: variable("PGHOST", "127.0.0.1"),
            port: variable("PGPORT", "5432").parse().expect("PGPORT is a port"),
            user: variable("PGUSER", "postgres"),
            password: variable("PGPASSWORD", ""),
        };
        let name = format!("framelane_test_{}_{}", std::process::id(), unique());
        match place.create(&name).await {
            Ok(()) => Database { name, place, server: None },
            Err(_nobody_or_no_rights) => Database::create_on_own_server().await,
        }
    }

    /// On a server of its own, which the test may stop and start.
    pub(crate) async fn create_on_own_server() -> Database {
        let server = Server::start().await;
        Database { name: "postgres".to_owned(), place: server.place.clone(), server: Some(server) }
    }

    /// What a client is given.
    pub(crate) fn address(&self) -> String {
        self.place.address(&self.name)
    }

    /// The server of [`Database::create_on_own_server`].
    pub(crate) fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("it has a server of its own")
    }

    /// A connection past all of the store's own care.
    pub(crate) async fn raw(&self) -> PgConnection {
        self.place.connect(&self.name).await.unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.server.is_some() {
            return;
        }
        let (place, name) = (self.place.clone(), self.name.clone());
        let remove = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                if let Ok(mut connection) = place.connect("postgres").await {
                    execute(&mut connection, &format!("DROP DATABASE {name} WITH (FORCE)")).await.ok();
                }
            });
        };
        drop(std::thread::Builder::new().name("drop database".to_owned()).spawn(remove).unwrap().join());
    }
}

/// Runs plain SQL.
pub(crate) async fn execute(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(connection).await.map(|_done| ())
}

fn unique() -> u128 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos()
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A command that runs as a user who may not do everything: PostgreSQL and its pooler refuse to run as root. It ends
/// with the thread that started it.
fn unprivileged(executable: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if is_root() {
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
    }
    command.arg("--").arg(executable).stdin(Stdio::null());
    command
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Gives a folder to the user of [`unprivileged`].
fn give_away(folder: &Path) {
    if is_root() {
        run(Command::new("chown").args(["-R", "postgres:"]).arg(folder));
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A server of the test's own.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    place: Place,
    folder: tempfile::TempDir,
}

impl Server {
    async fn start() -> Server {
        let folder = tempfile::tempdir().unwrap();
        run(Command::new("cp").arg("-r").arg(template()).arg(folder.path().join("data")));
        give_away(folder.path());
        let place = Place {
            host: "127.0.0.1".to_owned(),
            port: free_port(),
            user: "postgres".to_owned(),
            password: String::new(),
        };
        let child = Server::spawn(folder.path(), place.port);
        let server = Server { child, place, folder };
        server.answers().await;
        server
    }

    fn spawn(folder: &Path, port: u16) -> Child {
        unprivileged(&program("postgres"))
            .arg("-D")
            .arg(folder.join("data"))
            .args([
                "-p",
                &port.to_string(),
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
            ])
            // What a power cut does is the server's own business; here only processes die.
            .args(["-c", "fsync=off", "-c", "shared_buffers=32MB", "-c", "max_connections=60"])
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("log")).unwrap())
            .spawn()
            .unwrap()
    }

    async fn answers(&self) {
        let started = Instant::now();
        while let Err(error) = self.place.connect("postgres").await {
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "PostgreSQL does not start: {error}: {}",
                log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// As an operator's immediate stop: every connection is cut.
    pub(crate) fn stop(&mut self) {
        run(Command::new("kill").args(["-s", "QUIT", &self.child.id().to_string()]));
        drop(self.child.wait());
    }

    /// Starts it again where it was.
    pub(crate) async fn restart(&mut self) {
        self.child = Server::spawn(self.folder.path(), self.place.port);
        self.answers().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The quick way: its children notice.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A program of the newest PostgreSQL that is installed.
fn program(name: &str) -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|folders| folders.map(|folder| folder.unwrap().path().join("bin").join(name)).collect())
        .unwrap_or_default();
    found.retain(|path| path.is_file());
    found.sort();
    found.pop().expect("PostgreSQL is installed (make setup-test)")
}

/// A data folder to copy, made by the first test that needs one.
fn template() -> PathBuf {
    let made =
        std::env::temp_dir().join(format!("framelane-postgres-{}", if is_root() { "root" } else { "user" }));
    let lock = File::create(made.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !made.join("PG_VERSION").is_file() {
        let folder = tempfile::tempdir().unwrap();
        give_away(folder.path());
        let data = folder.path().join("data");
        run(unprivileged(&program("initdb")).arg("-D").arg(&data).args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "--no-sync",
            "--wal-segsize=1",
        ]));
        drop(std::fs::remove_dir_all(&made));
        run(Command::new("cp").arg("-r").arg(&data).arg(&made));
    }
    made
}

/// A transaction-pooling proxy before a database.
#[derive(Debug)]
pub(crate) struct Pooler {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Pooler {
    /// Starts a pooler that has few connections, so that nobody keeps one.
    pub(crate) async fn start(database: &Database) -> Pooler {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let Place { host, port: server_port, user, password } = &database.place;
        let name = &database.name;
        let login = if password.is_empty() { String::new() } else { format!("password={password}") };
        let configuration = format!(
            "[databases]\n{name} = host={host} port={server_port} dbname={name} user={user} {login}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 4\n"
        );
        std::fs::write(folder.path().join("pgbouncer.ini"), configuration).unwrap();
        give_away(folder.path());
        let child = unprivileged(Path::new("/usr/sbin/pgbouncer"))
            .arg(folder.path().join("pgbouncer.ini"))
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("log")).unwrap())
            .spawn()
            .expect("pgbouncer is installed (make setup-test)");
        let address = format!("postgres://{user}@127.0.0.1:{port}/{name}");
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            assert!(started.elapsed() < Duration::from_secs(20), "pgbouncer does not start: {}", log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Pooler { child, address, _folder: folder }
    }

    /// What a client is given.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
