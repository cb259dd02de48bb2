//! A NATS server of the test's own, on a free port; gone with the test.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bus::{NatsAccess, NatsBus, OpenBusError};

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Server {
    /// Starts a server with these lines in its configuration, and waits until it listens.
    pub(crate) async fn start(configuration: &str) -> Server {
        Server::start_in(tempfile::tempdir().unwrap(), configuration).await
    }

    /// The same with JetStream, which keeps its streams in the server's folder.
    pub(crate) async fn with_streams(configuration: &str) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let streams = folder.path().join("streams");
        let jetstream =
            format!("jetstream {{ store_dir: {streams:?}, max_file_store: 4GB }}\n{configuration}");
        Server::start_in(folder, &jetstream).await
    }

    /// The same in a folder that holds what the configuration names.
    pub(crate) async fn start_in(folder: tempfile::TempDir, configuration: &str) -> Server {
        std::fs::write(folder.path().join("nats.conf"), configuration).unwrap();
        // The server chooses the port and writes it down.
        let child = spawn(folder.path(), "-1");
        let port = port_of(folder.path(), child.id()).await;
        Server { child, port, folder }
    }

    /// As a power cut would.
    pub(crate) fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Loses all that it kept. Only while it is down.
    pub(crate) fn forget(&self) {
        std::fs::remove_dir_all(self.folder.path().join("streams")).unwrap();
    }

    /// Starts it again where it was.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        self.child = spawn(self.folder.path(), &self.port.to_string());
        port_of(self.folder.path(), self.child.id()).await;
    }

    /// Sends it a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "the server is there");
    }

    pub(crate) fn address(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) async fn connect(&self) -> NatsBus {
        self.try_connect("").await.unwrap()
    }

    /// Connects with `user:password` or a token.
    pub(crate) async fn try_connect(&self, login: &str) -> Result<NatsBus, OpenBusError> {
        let at = if login.is_empty() { "" } else { "@" };
        NatsBus::connect(&NatsAccess::from(&*format!("nats://{login}{at}127.0.0.1:{}", self.port))).await
    }

    /// The port that it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(folder: &Path, port: &str) -> Child {
    // Debian puts it where only administrators' paths look.
    let installed = Path::new("/usr/sbin/nats-server");
    let executable = if installed.exists() { installed } else { Path::new("nats-server") };
    Command::new(executable)
        .args(["--addr", "127.0.0.1", "--port", port, "--config"])
        .arg(folder.join("nats.conf"))
        .arg("--ports_file_dir")
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(folder.join("log")).unwrap())
        .spawn()
        .expect("nats-server is installed (make setup-test)")
}

/// Waits for the file that says where the server listens.
async fn port_of(folder: &Path, pid: u32) -> u16 {
    let path = folder.join(format!("nats-server_{pid}.ports"));
    let started = Instant::now();
    loop {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let ports: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        if let Some(address) = ports["nats"][0].as_str() {
            return address.rsplit(':').next().unwrap().parse().unwrap();
        }
        let log = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert!(started.elapsed() < Duration::from_secs(20), "the server does not start: {}", log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
