//! One fault, seen from both sides: what the caller is told, and the line in the log that it leads to.

use std::io::Write;
use std::sync::{Arc, Mutex};

use events::work::Outcome;
use events::{Fault, FaultCode};
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use super::service::{Service, film};

/// What is logged on this thread while it lives.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(self.clone()).finish();
        tracing::subscriber::set_default(subscriber)
    }

    /// The only line with these words.
    #[track_caller]
    fn line(&self, words: &str) -> String {
        let text = String::from_utf8(self.0.lock().expect("nobody panicked").clone()).expect("lines of text");
        let lines: Vec<&str> = text.lines().filter(|line| line.contains(words)).collect();
        assert_eq!(lines.len(), 1, "one line with {words:?} in: {text}");
        lines[0].to_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panicked").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'l> MakeWriter<'l> for Log {
    type Writer = Log;

    fn make_writer(&'l self) -> Log {
        self.clone()
    }
}

fn fault(retryable: bool) -> Outcome {
    Outcome::Failed(Fault {
        code: FaultCode::SourceNotFound,
        message: "https://media.example/a.mp4 answered 404".to_owned(),
        element_id: Some("intro".to_owned()),
        path: Some("/elements/0/source_url".to_owned()),
        retryable,
    })
}

#[tokio::test]
async fn a_failed_job_and_its_log_lines_name_the_same_request() {
    let service = Service::start().await;
    let log = Log::default();
    let _listening = log.listen();
    let headers = [("x-request-id", "client-42"), ("idempotency-key", "once")];
    let accepted = service.post_with(&headers, &film()).await;
    assert_eq!(accepted.header("x-request-id"), Some("client-42"), "the answer names the request");
    let render = accepted.render().to_string();
    let line = log.line("accepted");
    assert!(line.contains("client-42") && line.contains(&render), "{line}");
    let order = service.claim().await;
    service.report(&order, fault(false)).await;
    for (words, level) in [("the render failed", "ERROR"), ("an attempt failed", "WARN")] {
        let line = log.line(words);
        for part in
            [level, &render, "client-42", "source_not_found", "/elements/0/source_url", "answered 404"]
        {
            assert!(line.contains(part), "{part:?} is missing in {line}");
        }
    }
    let job = service.post_with(&headers, &film()).await.body;
    let expected = json!({
        "code": "source_not_found", "message": "https://media.example/a.mp4 answered 404", "element_id": "intro",
        "path": "/elements/0/source_url", "retryable": false,
    });
    assert_eq!((&job["status"], &job["error"]), (&json!("failed"), &expected), "what the caller sees");
}

#[tokio::test]
async fn a_refused_request_is_logged_with_its_id_and_without_its_contents() {
    let service = Service::start().await;
    let log = Log::default();
    let _listening = log.listen();
    let body = json!({ "width": 1, "height": 180, "elements": [{ "type": "text", "text": "secret", "duration": 0 }] });
    let refused = service.post_with(&[("x-request-id", "client-43")], &body).await;
    assert_eq!(refused.header("x-request-id"), Some("client-43"));
    let line = log.line("refused");
    for part in ["client-43", "faults=2", "/width out_of_range"] {
        assert!(line.contains(part), "{part:?} is missing in {line}");
    }
    assert!(!line.contains("secret"), "{line}");
}
