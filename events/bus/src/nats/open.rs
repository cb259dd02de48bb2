//! Opening the bus: what it takes to be let in, and everything that can be wrong with it, said so that it can be mended.
//!
//! No error and no log line repeats a secret: addresses are told without what stands before the `@`, files by their paths.

use std::path::{Path, PathBuf};

use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions};
use thiserror::Error;
use tokio::io::AsyncReadExt as _;

use super::address::Address;
use super::{CONNECT_PATIENCE, NatsBus, PING, WAITING, tell, wire};
use futures_util::StreamExt as _;

/// A server that carries less per message would get every composition in hundreds of pieces.
const PAYLOAD_MIN: usize = 64 * 1024;

/// The oldest server that what we do is tried with.
const VERSION_MIN: (i64, i64, i64) = (2, 9, 0);

/// No certificate, key or credentials file is larger; a system's whole list of authorities is not.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Where NATS is, and who we are there.
#[derive(Clone, Default)]
pub struct NatsAccess {
    /// `nats://user:password@host:4222`, `nats://token@host`, `tls://…` where the way is to be encrypted; several servers of
    /// a cluster are separated by commas.
    pub address: String,
    /// A `.creds` file (a user's JWT and the seed of its key), instead of a login in the address. Read once.
    pub credentials: Option<PathBuf>,
    /// The authorities (PEM) that sign the servers' certificates, instead of the system's. With it every way is encrypted.
    pub authorities: Option<PathBuf>,
    /// Our own certificate, where servers ask for one. With it every way is encrypted.
    pub identity: Option<Identity>,
}

/// A client's certificate.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate, and those between it and an authority (PEM).
    pub certificate: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
}

impl From<&str> for NatsAccess {
    fn from(address: &str) -> NatsAccess {
        NatsAccess { address: address.to_owned(), ..NatsAccess::default() }
    }
}

impl std::fmt::Debug for NatsAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address may hold a password.
        f.debug_struct("NatsAccess")
            .field("credentials", &self.credentials)
            .field("authorities", &self.authorities)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// The bus could not be opened.
#[derive(Debug, Error)]
pub enum OpenBusError {
    /// The text is no address.
    #[error("could not read the bus's address: {0}")]
    Address(String),
    /// Two ways to log in are given.
    #[error("could not log in to NATS in two ways: the address has a login, and there is a credentials file")]
    TwoLogins,
    /// A file that was named can't be used.
    #[error("could not use the {what} for NATS, {}: {fault}", path.display())]
    File {
        /// What it is.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// The servers don't know us.
    #[error(
        "could not log in to NATS at {servers}: they refuse our login (user and password, token, certificate or \
         credentials file)"
    )]
    Login {
        /// Which were tried.
        servers: String,
        /// In the library's words.
        #[source]
        source: ConnectError,
    },
    /// No server takes us.
    #[error("could not connect to NATS at {servers}")]
    Connect {
        /// Which were tried.
        servers: String,
        /// Why not.
        #[source]
        source: ConnectError,
    },
    /// Nothing can be subscribed to.
    #[error("could not listen to NATS at {servers}")]
    Listen {
        /// Where.
        servers: String,
        /// Why not.
        #[source]
        source: async_nats::SubscribeError,
    },
    /// The server takes our messages and delivers none.
    #[error(
        "could not listen to NATS at {servers}: no message came back in time; the login must be allowed to publish and \
         subscribe to framelane.> and _INBOX.>"
    )]
    Silent {
        /// Where.
        servers: String,
    },
    /// The server carries too little per message.
    #[error(
        "could not use NATS at {servers}: it carries {found} bytes per message, and {PAYLOAD_MIN} are the least that is \
         sensible; raise max_payload in the server's configuration (its default is 1 MiB)"
    )]
    PayloadTooSmall {
        /// Where.
        servers: String,
        /// Its `max_payload`.
        found: usize,
    },
    /// The server is too old.
    #[error("could not use NATS at {servers}: it is version {version}, and 2.9 is the oldest that will do")]
    TooOld {
        /// Where.
        servers: String,
        /// Its version.
        version: String,
    },
    /// The server carries no headers.
    #[error(
        "could not use NATS at {servers}: it carries no headers; take no_header_support out of its configuration"
    )]
    NoHeaders {
        /// Where.
        servers: String,
    },
}

/// Connects, and hears itself speak.
pub(super) async fn connect(access: &NatsAccess) -> Result<NatsBus, OpenBusError> {
    let address = Address::parse(&access.address).map_err(OpenBusError::Address)?;
    let servers = address.names();
    let options = ConnectOptions::new()
        .name("framelane")
        .ping_interval(PING)
        .subscription_capacity(WAITING)
        .event_callback(|event| async move { tell(&event) });
    let options = encrypt(access, log_in(access, &address, options).await?).await?;
    let client = options.connect(address.servers).await.map_err(|source| {
        let servers = servers.clone();
        match source.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                OpenBusError::Login { servers, source }
            }
            _ => OpenBusError::Connect { servers, source },
        }
    })?;
    check(&client, &servers)?;
    let listen = |source| OpenBusError::Listen { servers: servers.clone(), source };
    let hints = client.subscribe(wire::HINT).await.map_err(listen)?;
    let cancellations = client.subscribe(wire::CANCEL).await.map_err(listen)?;
    let inbox = client.new_inbox();
    let mut echo = client.subscribe(inbox.clone()).await.map_err(listen)?;
    // Once our own message has come back, the server knows of all that was subscribed to before it.
    let heard = async { client.publish(inbox, "".into()).await.is_ok() && echo.next().await.is_some() };
    if !tokio::time::timeout(CONNECT_PATIENCE, heard).await.unwrap_or(false) {
        return Err(OpenBusError::Silent { servers });
    }
    Ok(NatsBus::over(client, hints, cancellations))
}

/// Whether the server is one that will do.
fn check(client: &Client, servers: &str) -> Result<(), OpenBusError> {
    let (info, servers) = (client.server_info(), servers.to_owned());
    let (major, minor, patch) = VERSION_MIN;
    if !client.is_server_compatible(major, minor, patch) {
        return Err(OpenBusError::TooOld { servers, version: info.version });
    }
    if info.max_payload < PAYLOAD_MIN {
        return Err(OpenBusError::PayloadTooSmall { servers, found: info.max_payload });
    }
    if !info.headers {
        return Err(OpenBusError::NoHeaders { servers });
    }
    Ok(())
}

async fn log_in(
    access: &NatsAccess,
    address: &Address,
    options: ConnectOptions,
) -> Result<ConnectOptions, OpenBusError> {
    let Some(path) = &access.credentials else { return Ok(address.log_in(options)) };
    if address.has_login() {
        return Err(OpenBusError::TwoLogins);
    }
    let what = "credentials file";
    let text = read(what, path).await?;
    // The library says which of its two parts it misses, never what is in it.
    options.credentials(&text).map_err(|error| OpenBusError::File {
        what,
        path: path.clone(),
        fault: format!("{error}; expected the user's JWT and the seed of its key, as nsc writes them"),
    })
}

async fn encrypt(access: &NatsAccess, mut options: ConnectOptions) -> Result<ConnectOptions, OpenBusError> {
    if let Some(path) = &access.authorities {
        pem("file of authorities", path, "CERTIFICATE-----").await?;
        options = options.add_root_certificates(path.clone()).require_tls(true);
    }
    if let Some(Identity { certificate, key }) = &access.identity {
        pem("certificate", certificate, "CERTIFICATE-----").await?;
        pem("private key", key, "PRIVATE KEY-----").await?;
        options = options.add_client_certificate(certificate.clone(), key.clone()).require_tls(true);
    }
    Ok(options)
}

/// The library takes a file without what it looks for as an empty one, and says nothing.
async fn pem(what: &'static str, path: &Path, label: &str) -> Result<(), OpenBusError> {
    let text = read(what, path).await?;
    let holds = text.lines().any(|line| line.starts_with("-----BEGIN ") && line.trim_end().ends_with(label));
    let fault = || format!("it holds no {what} as PEM (-----BEGIN …{label})");
    holds.then_some(()).ok_or_else(|| OpenBusError::File { what, path: path.to_owned(), fault: fault() })
}

async fn read(what: &'static str, path: &Path) -> Result<String, OpenBusError> {
    let fault = |fault: String| OpenBusError::File { what, path: path.to_owned(), fault };
    let file = tokio::fs::File::open(path).await.map_err(|error| fault(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).await.map_err(|error| fault(error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(fault(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|_binary| fault("it is no text".to_owned()))
}
