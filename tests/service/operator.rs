//! What operators use: the doctor, the metrics, the webhook secret and the receiver that shows what arrives.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::contract::python;
use crate::support::{System, get_url, small};

fn framelane(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_framelane"));
    command.args(arguments).env_remove("FRAMELANE_WEBHOOK_SECRET").output().unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

#[test]
fn the_doctor_finds_this_machine_fit_and_names_what_would_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let doctor = |options: &[&str]| {
        let usual = ["doctor", "--json", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()];
        framelane(&[&usual, options].concat())
    };
    let report = |output: &Output| -> Value { serde_json::from_slice(&output.stdout).unwrap() };
    let of = |report: &Value, check: &str| -> Value {
        let all = report["checks"].as_array().unwrap();
        all.iter().find(|finding| finding["check"] == check).unwrap_or(&Value::Null).clone()
    };

    let fit = doctor(&[]);
    assert!(fit.status.success(), "{}", String::from_utf8_lossy(&fit.stdout));
    let told = report(&fit);
    assert_eq!(told["healthy"], true, "{told}");
    for check in ["data folder", "SQLite", "port", "adapter", "fonts", "decoder", "codecs", "trial"] {
        assert_eq!(of(&told, check)["state"], "good", "{check}: {told}");
    }
    assert!(!data.exists(), "looking makes nothing");

    let unfit = doctor(&["--fonts", "/nowhere", "--adapter", "no such adapter", "--min-free-disk", "900TB"]);
    assert_eq!(unfit.status.code(), Some(1), "scripts notice");
    let told = report(&unfit);
    assert_eq!(told["healthy"], false);
    for (check, remedy) in
        [("fonts", "apt-get install fonts-inter"), ("adapter", "mesa-vulkan"), ("disk space", "--data-dir")]
    {
        let finding = of(&told, check);
        assert_eq!(finding["state"], "fault", "{finding}");
        assert!(finding["remedy"].as_str().unwrap().contains(remedy), "{finding}");
    }
    let decoder = report(&doctor(&["--decoder", "/bin/true"]));
    assert_eq!(of(&decoder, "decoder")["state"], "fault", "{decoder}");
}

/// `framelane listen` on a free port; killed when dropped.
struct Listener {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    /// Kept open: whoever can't say what is the matter ends.
    _said: BufReader<ChildStderr>,
    address: String,
}

impl Listener {
    fn start(options: &[&str]) -> Listener {
        let mut child = Command::new(env!("CARGO_BIN_EXE_framelane"))
            .args(["listen", "--port", "0", "--json"])
            .args(options)
            .env_remove("FRAMELANE_WEBHOOK_SECRET")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        errors.read_line(&mut said).unwrap();
        let address = said.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Listener { child, lines, _said: errors, address }
    }

    /// The next message of this type.
    fn next(&mut self, event_type: &str) -> Value {
        loop {
            let line = self.lines.next().expect("it goes on").unwrap();
            let arrival: Value = serde_json::from_str(&line).unwrap();
            if arrival["message"]["type"] == event_type {
                return arrival;
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_verifies_what_arrives_also_while_the_secret_is_replaced() {
    let system = System::start(&[], &[]).await;
    let data = system.folder.path().join("service/data");
    let data = data.to_str().unwrap();
    let secret = printed(&framelane(&["webhooks", "secret", "--data-dir", data]));
    assert_eq!(secret, crate::support::WEBHOOK_SECRET, "standard output holds the secret alone");

    let mut listener = Listener::start(&["--data-dir", data]);
    let mut film = small(0.2, json!([]));
    film["webhook_url"] = json!(listener.address);
    let id = system.service.submit(&film).await;
    let arrival = listener.next("render.completed");
    assert_eq!((&arrival["signature"], &arrival["times"]), (&json!("ok"), &json!(1)), "{arrival}");
    assert_eq!(arrival["message"]["data"]["id"], json!(id));

    // The running service signs with the new secret at once, and with the old one beside it.
    let replaced = printed(&framelane(&["webhooks", "secret", "--rotate", "--data-dir", data]));
    assert_ne!(replaced, secret);
    system.service.submit(&film).await;
    assert_eq!(listener.next("render.completed")["signature"], "ok", "the old secret still holds");
    let mut modern = Listener::start(&["--secret", &replaced]);
    film["webhook_url"] = json!(modern.address);
    system.service.submit(&film).await;
    assert_eq!(modern.next("render.completed")["signature"], "ok", "and the new one does already");

    // A receiver that answers badly hears the same message again, and can tell.
    let mut failing = Listener::start(&["--secret", &replaced, "--fail-rate", "1"]);
    film["webhook_url"] = json!(failing.address);
    system.service.submit(&film).await;
    let first = failing.next("render.completed");
    let again = failing.next("render.completed");
    assert_eq!((&first["answered"], &again["times"]), (&json!(500), &json!(2)), "{again}");
    assert_eq!(first["message"], again["message"], "a double is the same in every byte");

    let stranger = crate::support::client().post(&modern.address).body("{}").send().await.unwrap();
    assert_eq!(stranger.status().as_u16(), 400, "what is not signed is not believed");
}

/// Samples by name and labels, as Prometheus' own Python library reads them.
fn samples(text: &str) -> Value {
    let script = "import json, sys; from prometheus_client.parser import text_string_to_metric_families as read\n\
                  print(json.dumps({sample.name + ''.join(f' {k}={v}' for k, v in sorted(sample.labels.items())): sample.value \
                  for family in read(sys.stdin.read()) for sample in family.samples if family.documentation}))";
    let mut parser =
        python("python").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut parser.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = parser.wait_with_output().unwrap();
    assert!(output.status.success(), "Prometheus reads it:\n{text}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn prometheus_reads_how_the_service_is_doing() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let open = format!("127.0.0.1:{port}");
    let system = System::start(&[], &["--metrics-listen", &open]).await;
    let title = json!([{ "type": "text", "text": "counted", "duration": 1 }]);
    system.render(&small(1.0, title)).await;
    let (refused, _) = system.service.call(Method::GET, "/v1/renders/nobody", None).await;
    assert_eq!(refused, StatusCode::NOT_FOUND);

    let address = format!("{}/metrics", system.service.address);
    let text = get_url(&address).await.unwrap().text().await.unwrap();
    let told = samples(&text);
    let number = |name: &str| told[name].as_f64().unwrap_or_else(|| panic!("there is no {name} in {told:#}"));
    assert_eq!(number("framelane_frames_total"), 30.0, "one second of frames");
    for stage in ["plan", "decode", "composite", "encode", "assemble"] {
        assert!(number(&format!("framelane_stage_seconds_sum stage={stage}")) > 0.0, "{stage} took time");
        let longest = format!("framelane_stage_seconds_bucket le=+Inf stage={stage}");
        assert_eq!(number(&longest), number(&format!("framelane_stage_seconds_count stage={stage}")));
    }
    for (name, expected) in [
        ("framelane_http_requests_total method=POST route=/v1/renders status=202", 1.0),
        ("framelane_http_requests_total method=GET route=/v1/renders/{id} status=404", 1.0),
        ("framelane_renders state=waiting", 0.0),
        ("framelane_renders state=begun", 0.0),
        ("framelane_queue_slots", 0.0),
        ("framelane_queue_oldest_seconds", 0.0),
        ("framelane_leases", 0.0),
        ("framelane_projection_lag_events projection=render_jobs", 0.0),
        ("framelane_projection_lag_seconds projection=webhook_deliveries", 0.0),
        ("framelane_projection_failing projection=render_jobs", 0.0),
        ("framelane_webhook_deliveries state=due", 0.0),
        ("framelane_source_cache_bytes", 0.0),
    ] {
        assert_eq!(number(name), expected, "{name}");
    }
    assert!(number("framelane_log_events_total") >= 8.0, "the render's life is in the log");

    let forwarded =
        |address: String| crate::support::client().get(address).header("x-forwarded-for", "192.0.2.1");
    let elsewhere = forwarded(address).send().await.unwrap();
    assert_eq!(elsewhere.status().as_u16(), 403, "whoever comes through a proxy is not on this machine");
    let invited = forwarded(format!("http://{open}/metrics")).send().await.unwrap();
    assert!(invited.status().is_success(), "its own address is for anybody");
    let other = forwarded(format!("http://{open}/v1/renders")).send().await.unwrap();
    assert_eq!(other.status().as_u16(), 404, "and for nothing else");
}

/// What a collector of traces was sent, and with which key.
type Taken = Arc<Mutex<Vec<(String, Value)>>>;

async fn collector() -> (String, Taken) {
    let taken = Taken::default();
    let take = |State(taken): State<Taken>, headers: HeaderMap, body: Bytes| async move {
        let mut taken = taken.lock().unwrap();
        taken.push((headers["api-key"].to_str().unwrap().to_owned(), serde_json::from_slice(&body).unwrap()));
        // It is away at first.
        if taken.len() == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
    };
    let app = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&taken));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (address, taken)
}

#[tokio::test]
async fn a_collector_is_told_what_became_of_a_request_and_of_its_webhook() {
    let (address, taken) = collector().await;
    let options = ["--otlp-endpoint", &address, "--otlp-headers", "api-key=of%20the%20operator"];
    let system = System::start(&[], &options).await;
    let mut film = small(1.0, json!([{ "type": "text", "text": "traced", "duration": 1 }]));
    film["webhook_url"] = json!(format!("{}/hook", system.outside.address));
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let request = crate::support::client()
        .post(format!("{}/v1/renders", system.service.address))
        .bearer_auth(crate::support::KEY)
        .header("traceparent", format!("00-{trace}-{span}-01"))
        .header("content-type", "application/json");
    let job: Value =
        serde_json::from_str(&request.body(film.to_string()).send().await.unwrap().text().await.unwrap())
            .unwrap();
    system.service.film(job["id"].as_str().unwrap()).await;

    let spans = || -> Vec<Value> {
        let taken = taken.lock().unwrap();
        let accepted = taken.iter().skip(1).flat_map(|(key, body)| {
            assert_eq!(key, "of the operator");
            body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()
        });
        accepted.collect()
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !spans().iter().any(|span| span["name"] == "webhook render.completed") {
        assert!(std::time::Instant::now() < deadline, "the webhook is not told of: {:?}", spans());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let spans = spans();
    let named = |name: &str| {
        spans.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("no {name}: {spans:?}"))
    };
    let root = named("render");
    assert_eq!(
        (&root["traceId"], &root["parentSpanId"]),
        (&json!(trace), &json!(span)),
        "in the caller's trace"
    );
    for name in ["queue", "plan", "part/0", "assemble", "webhook render.completed"] {
        let span = named(name);
        assert_eq!((&span["traceId"], &span["parentSpanId"]), (&json!(trace), &root["spanId"]), "{name}");
        let time = |field: &str| span[field].as_str().unwrap().parse::<u64>().unwrap();
        assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"), "{span}");
        assert_eq!(span["status"]["code"], 1, "{span}");
    }
    let value = |span: &Value, key: &str| {
        let all = span["attributes"].as_array().unwrap().iter();
        all.filter(|attribute| attribute["key"] == key)
            .map(|it| it["value"].clone())
            .next()
            .unwrap_or_default()
    };
    assert_eq!(value(root, "framelane.render.id"), json!({ "stringValue": job["id"] }));
    assert_eq!(
        value(named("webhook render.completed"), "http.response.status_code"),
        json!({ "intValue": "200" })
    );
}
