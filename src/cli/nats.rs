//! Where NATS is, who we are there, and whether events are published there, as flags.

use std::path::PathBuf;
use std::sync::Arc;

use bus::{EventPublisher, Identity, NatsAccess, NatsBus, PublishError};
use bytesize::ByteSize;
use clap::{Args, ValueEnum};

/// The way to NATS.
#[derive(Debug, Clone, Args)]
pub(crate) struct NatsOptions {
    /// The NATS server (2.9 or newer) at which workers of other processes meet the service and subscribers hear of events:
    /// nats://user:password@host:4222, nats://token@host, or tls://…; servers of a cluster are separated by commas
    #[arg(long, env = "FRAMELANE_NATS_URL", hide_env_values = true, value_name = "URL")]
    nats_url: Option<String>,

    /// The credentials file (.creds) to log in to NATS with, instead of a login in --nats-url
    #[arg(long, env = "FRAMELANE_NATS_CREDS", requires = "nats_url", value_name = "FILE")]
    nats_creds: Option<PathBuf>,

    /// The authorities (PEM) that sign the certificates of NATS; those of the system unless given. The way is encrypted then
    #[arg(long, env = "FRAMELANE_NATS_CA", requires = "nats_url", value_name = "FILE")]
    nats_ca: Option<PathBuf>,

    /// Our own certificate (PEM), where NATS asks for one
    #[arg(
        long,
        env = "FRAMELANE_NATS_CERT",
        requires = "nats_url",
        requires = "nats_key",
        value_name = "FILE"
    )]
    nats_cert: Option<PathBuf>,

    /// Its private key (PEM)
    #[arg(long, env = "FRAMELANE_NATS_KEY", requires = "nats_cert", value_name = "FILE")]
    nats_key: Option<PathBuf>,

    /// Whether public events are published at NATS, on the JetStream stream EVENTS; workers need no JetStream
    #[arg(long, env = "FRAMELANE_NATS_EVENTS", value_enum, default_value = "on", value_name = "SWITCH")]
    nats_events: Switch,

    /// How much the stream EVENTS may hold; the oldest events go first, and all of them after 7 days
    #[arg(long, env = "FRAMELANE_NATS_EVENTS_MAX_BYTES", default_value = "1GiB", value_name = "SIZE", value_parser = stream_size)]
    nats_events_max_bytes: ByteSize,
}

/// Whether something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    /// It is
    On,
    /// It is not
    Off,
}

/// Some of the largest events; less would be no stream.
const STREAM_BYTES_MIN: u64 = 1024 * 1024;

fn stream_size(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse()?;
    match (STREAM_BYTES_MIN..=i64::MAX.unsigned_abs()).contains(&size.as_u64()) {
        true => Ok(size),
        false => Err("expected 1MiB or more, like 500MiB or 20GiB".to_owned()),
    }
}

impl NatsOptions {
    /// The way, where one is given.
    pub(crate) fn access(&self) -> Option<NatsAccess> {
        let identity = self.nats_cert.clone().zip(self.nats_key.clone());
        Some(NatsAccess {
            address: self.nats_url.clone()?,
            credentials: self.nats_creds.clone(),
            authorities: self.nats_ca.clone(),
            identity: identity.map(|(certificate, key)| Identity { certificate, key }),
        })
    }

    /// Where events are published, unless they are not to be. A server that can't take them as it is ends the start; one that
    /// is busy does not.
    pub(crate) async fn publisher(
        &self,
        bus: &NatsBus,
    ) -> Result<Option<Arc<dyn EventPublisher>>, PublishError> {
        if self.nats_events == Switch::Off {
            return Ok(None);
        }
        let publisher = bus.events(self.nats_events_max_bytes.as_u64());
        match publisher.ensure().await {
            Err(error @ PublishError::Refused(_)) => return Err(error),
            Err(error) => tracing::warn!(%error, "events are not published yet; trying again"),
            Ok(_) => {}
        }
        Ok(Some(Arc::new(publisher)))
    }
}
