//! An S3 server of the test's own (moto), on a free port and in memory; gone with the test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The bucket that every server has.
pub(crate) const BUCKET: &str = "films";

/// Who may use it.
pub(crate) const KEY_ID: &str = "AKIDFORTESTS";
pub(crate) const SECRET: &str = "a-secret-that-is-shown-to-nobody";

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    /// Starts a server and waits until it has its bucket.
    pub(crate) async fn start() -> Server {
        // A port of the system's choice: taken, released, and used at once.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(python())
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Server { child, port };
        drop(rustls::crypto::ring::default_provider().install_default());
        let (client, deadline) = (reqwest::Client::new(), Instant::now() + Duration::from_secs(60));
        while client.put(format!("{}/{BUCKET}", server.address())).send().await.is_err() {
            assert_eq!(server.child.try_wait().unwrap(), None, "the S3 server has ended: make setup-test");
            assert!(Instant::now() < deadline, "the S3 server does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        server
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The Python of the tests' packages, in the workspace's root.
fn python() -> PathBuf {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(|folder| folder.join("Cargo.lock").exists());
    let python = root.unwrap().join(".venv/bin/python");
    assert!(python.exists(), "{} is not there: make setup-test", python.display());
    python
}
