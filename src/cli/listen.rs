//! `framelane listen`: a receiver of webhooks for whoever builds one. It prints what arrives, checks the signatures, and
//! tells doubles apart; it can also answer badly, to see how deliveries are tried again.

use std::collections::HashMap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use axum::body::Bytes;
use axum::extract::State;
use axum::handler::Handler as _;
use axum::http::{HeaderMap, StatusCode};
use clap::Args;
use events::Timestamp;
use query::webhooks::signature::{Unverified, verify};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{DataDir, webhooks};

/// See [`super::Command::Listen`].
#[derive(Debug, Args)]
pub(crate) struct ListenOptions {
    /// The port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 9000, value_name = "PORT")]
    port: u16,

    /// The address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "ADDRESS")]
    address: IpAddr,

    /// The secret that messages must be signed with; that of the data folder unless given
    #[arg(long, env = "FRAMELANE_WEBHOOK_SECRET", hide_env_values = true, value_name = "SECRET")]
    secret: Option<String>,

    #[command(flatten)]
    data: DataDir,

    /// The share of messages that are answered with 500, from 0 to 1
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    fail_rate: f64,

    /// Print each message whole
    #[arg(long)]
    bodies: bool,

    /// Print one JSON object a message instead of a line
    #[arg(long)]
    json: bool,
}

/// What every request finds.
struct Receiver {
    secret: String,
    fail_rate: f64,
    bodies: bool,
    json: bool,
    /// How often each id has arrived.
    seen: Mutex<HashMap<String, u32>>,
}

/// What arrived.
struct Arrival {
    at: Timestamp,
    verdict: Result<(), Unverified>,
    /// How often this id has arrived by now.
    times: u32,
    answered: StatusCode,
    /// The body, where it is JSON.
    message: Value,
    size: usize,
}

/// Listens until Ctrl-C.
pub(crate) async fn run(options: ListenOptions) -> Result<(), Box<dyn Error>> {
    let secret = match options.secret {
        Some(secret) => secret,
        None => webhooks::secret_of(&options.data).await.map_err(|error| {
            format!("{error}; name the secret with --secret, or the folder with --data-dir")
        })?,
    };
    let listener = TcpListener::bind(SocketAddr::new(options.address, options.port)).await?;
    let address = listener.local_addr()?;
    eprintln!("listening on http://{address}/ — use it as webhook_url; the service reaches it only with");
    eprintln!("FRAMELANE_ALLOW_NETWORKS={}/{}", address.ip(), if address.is_ipv4() { 32 } else { 128 });
    let ListenOptions { fail_rate, bodies, json, .. } = options;
    let receiver = Receiver { secret, fail_rate, bodies, json, seen: Mutex::default() };
    let service = receive.with_state(Arc::new(receiver));
    axum::serve(listener, service.into_make_service())
        .with_graceful_shutdown(async {
            drop(tokio::signal::ctrl_c().await);
        })
        .await?;
    Ok(())
}

async fn receive(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let at = Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let verdict = verify(&receiver.secret, header, &body, at.unix_seconds());
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let id = message["id"].as_str().or(header("webhook-id")).unwrap_or_default();
    let times = receiver.count(id);
    let answered = match verdict {
        Err(_) => StatusCode::BAD_REQUEST,
        Ok(()) if rand::random::<f64>() < receiver.fail_rate => StatusCode::INTERNAL_SERVER_ERROR,
        Ok(()) => StatusCode::OK,
    };
    receiver.tell(&Arrival { at, verdict, times, answered, message, size: body.len() });
    answered
}

impl Receiver {
    fn count(&self, id: &str) -> u32 {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let times = seen.entry(id.to_owned()).or_default();
        *times += 1;
        *times
    }

    fn tell(&self, arrival: &Arrival) {
        say(&if self.json { arrival.object().to_string() } else { arrival.line() });
        if self.bodies && !self.json {
            say(&format!("{:#}", arrival.message));
        }
    }
}

impl Arrival {
    fn line(&self) -> String {
        let signature = match &self.verdict {
            Ok(()) => "signature ok".to_owned(),
            Err(fault) => format!("SIGNATURE BAD ({fault})"),
        };
        let told = |pointer: &str| self.message.pointer(pointer).and_then(Value::as_str).unwrap_or("?");
        let mut line = format!(
            "{}  {signature}  {}  {}  {}  {}",
            self.at,
            told("/type"),
            told("/id"),
            told("/data/id"),
            told("/data/status")
        );
        if self.times > 1 {
            line.push_str(&format!("  again ({} times by now)", self.times));
        }
        if self.answered != StatusCode::OK {
            line.push_str(&format!("  answered {}", self.answered.as_u16()));
        }
        line
    }

    fn object(&self) -> Value {
        json!({
            "received_at": self.at.to_string(),
            "signature": self.verdict.map_or_else(|fault| fault.to_string(), |()| "ok".to_owned()),
            "times": self.times,
            "answered": self.answered.as_u16(),
            "size_bytes": self.size,
            "message": self.message,
        })
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| format!("{text:?} is no number from 0 to 1"))
}

#[expect(clippy::print_stdout, reason = "what arrives is the subcommand's result")]
fn say(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_signature_type_id_job_and_doubles() {
        let message = json!({ "id": "evt_1", "type": "render.completed", "data": { "id": "render_1", "status": "completed" } });
        let mut arrival = Arrival {
            at: Timestamp(0),
            verdict: Ok(()),
            times: 1,
            answered: StatusCode::OK,
            message,
            size: 9,
        };
        assert_eq!(
            arrival.line(),
            "1970-01-01T00:00:00.000Z  signature ok  render.completed  evt_1  render_1  completed"
        );
        arrival.verdict = Err(Unverified::Wrong);
        (arrival.times, arrival.answered) = (2, StatusCode::BAD_REQUEST);
        let line = arrival.line();
        assert!(
            line.contains("SIGNATURE BAD") && line.ends_with("again (2 times by now)  answered 400"),
            "{line}"
        );
    }
}
