//! The ledger of a job's deliveries, the schedule it is kept by, and how long it is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::http::{StatusCode, header};
use events::Timestamp;
use query::QueryOptions;
use query::clock::Clock;
use serde_json::{Value, json};

use crate::lives::{Document, Life, failed, leased, progress};
use crate::receiver::{Receiver, Reply};
use crate::service::{Service, fast_webhooks};
use crate::webhooks::{deliveries, until_deliveries};

/// A clock that a test moves.
#[derive(Debug, Clone)]
pub(crate) struct Hand(Arc<AtomicI64>);

impl Hand {
    pub(crate) fn now() -> Hand {
        Hand(Arc::new(AtomicI64::new(Clock::system().now().0)))
    }

    pub(crate) fn clock(&self) -> Clock {
        let at = Arc::clone(&self.0);
        Clock::of(move || Timestamp(at.load(Ordering::SeqCst)))
    }

    fn move_to(&self, at: Timestamp) {
        self.0.store(at.0, Ordering::SeqCst);
    }

    pub(crate) fn move_by(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_micros()).expect("some days"), Ordering::SeqCst);
    }
}

async fn attempts(service: &Service, life: &Life) -> Vec<Value> {
    let page = service.get(&format!("/v1/renders/{}/deliveries?limit=100", life.id)).await.json();
    page["data"].as_array().expect("a list").clone()
}

async fn ended(service: &Service, url: &str) -> Life {
    let mut life = service.submit(&Document::with_webhook(url)).await;
    life.append(service.store.as_ref(), &[failed()]).await;
    life
}

/// Waits until so many attempts of a job have been made.
async fn until_made(service: &Service, life: &Life, count: usize) -> Vec<Value> {
    let waiting = async {
        loop {
            let attempts = attempts(service, life).await;
            let planned = attempts.iter().filter(|attempt| attempt["attempted_at"].is_null()).count();
            if attempts.len() - planned >= count {
                return attempts;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("the attempts are made")
}

#[tokio::test]
async fn every_attempt_is_told_with_what_came_of_it_and_what_follows() {
    let service = Service::start().await;
    let receiver = Receiver::start(&[Reply::Status(500), Reply::Text(200, "thank you")]).await;
    let life = ended(&service, &receiver.url()).await;
    until_deliveries(&service, &[("succeeded", 2)]).await;
    let attempts = attempts(&service, &life).await;
    let [second, first] = attempts.as_slice() else { panic!("two attempts: {attempts:?}") };
    assert_eq!((&first["attempt_number"], &second["attempt_number"]), (&json!(1), &json!(2)), "newest first");
    assert_eq!((&first["status"], &first["status_code"]), (&json!("failed"), &json!(500)));
    assert_eq!((&second["status"], &second["status_code"]), (&json!("succeeded"), &json!(200)));
    assert_eq!(second["response_body"], "thank you");
    assert_eq!((&first["next_retry_at"].is_string(), &second["next_retry_at"]), (&true, &Value::Null));
    for attempt in [first, second] {
        for (field, prefix) in [("id", "att_"), ("delivery_id", "dlv_"), ("webhook_id", "wh_")] {
            assert!(attempt[field].as_str().is_some_and(|id| id.starts_with(prefix)), "{field}: {attempt}");
        }
        assert_eq!(
            (&attempt["event_type"], &attempt["job_id"]),
            (&json!("render.failed"), &json!(life.id.to_string()))
        );
        assert!(attempt["latency_ms"].is_u64() && attempt["attempted_at"].is_string(), "{attempt}");
        assert!(attempt["created_at"].is_string() && attempt["reason"].is_null(), "{attempt}");
    }
    assert_eq!(first["delivery_id"], second["delivery_id"], "one delivery");
    assert_ne!(first["id"], second["id"], "two attempts");
}

#[tokio::test]
async fn a_planned_attempt_and_one_without_an_answer_are_told_too() {
    let mut service = Service::prepared().await;
    service.run_with(QueryOptions::default()).await;
    let life = ended(&service, "http://127.0.0.1:1/T0/s3cret").await;
    let attempts = until_made(&service, &life, 1).await;
    let [planned, made] = attempts.as_slice() else { panic!("two attempts: {attempts:?}") };
    assert_eq!((&planned["status"], &planned["attempt_number"]), (&json!("pending"), &json!(2)));
    assert_eq!((&planned["attempted_at"], &planned["latency_ms"]), (&Value::Null, &Value::Null));
    assert_eq!(planned["next_retry_at"], made["next_retry_at"], "when it is due");
    assert_eq!((&made["status"], &made["status_code"]), (&json!("failed"), &Value::Null));
    let reason = made["reason"].as_str().expect("a reason");
    assert!(
        reason.starts_with("the connection failed") && !reason.contains("T0/s3cret"),
        "no address: {reason}"
    );
}

#[tokio::test]
async fn the_ledger_is_read_in_pages_and_by_its_workspace_only() {
    let service = Service::start().await;
    let receiver = Receiver::start(&[Reply::Status(500)]).await;
    let life = ended(&service, &receiver.url()).await;
    until_deliveries(&service, &[("dead", 4)]).await;
    let path = format!("/v1/renders/{}/deliveries", life.id);
    let whole = service.get(&path).await;
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = service.get(&format!("{path}?limit=3{cursor}")).await.json();
        pages.extend(page["data"].as_array().expect("a list").clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(Value::Array(pages), whole.json()["data"], "the pages together are the whole");
    let statuses: Vec<Value> =
        whole.json()["data"].as_array().expect("a list").iter().map(|a| a["status"].clone()).collect();
    assert_eq!(statuses, ["dead", "failed", "failed", "failed"]);
    let known =
        service.ask(service.request(&path).header(header::IF_NONE_MATCH, whole.header(header::ETAG))).await;
    assert_eq!(known.status, StatusCode::NOT_MODIFIED);
    assert_eq!(service.get_as("fl_live_stranger", &path).await.status, StatusCode::NOT_FOUND);
    for query in ["limit=0", "cursor=x", "status=dead"] {
        let answer = service.get(&format!("{path}?{query}")).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
    }
}

#[tokio::test]
async fn nine_attempts_are_made_at_the_contracts_times_and_then_it_is_dead() {
    let mut service = Service::prepared().await;
    let hand = Hand::now();
    service.run_with(QueryOptions { clock: hand.clock(), ..QueryOptions::default() }).await;
    let receiver = Receiver::start(&[Reply::Status(500)]).await;
    let life = ended(&service, &receiver.url()).await;
    // The log's clock is not ours: the delivery is due as soon as our hand is past it.
    hand.move_by(Duration::from_secs(60));
    for (number, seconds) in (1_usize..).zip([5, 30, 120, 600, 1800, 7200, 21600, 43200]) {
        service.submit(&Document::default()).await;
        let made = &until_made(&service, &life, number).await[1];
        let at = |field: &str| Timestamp::parse(made[field].as_str().expect("an instant")).expect("ISO 8601");
        let delay = at("next_retry_at").ms_since(at("attempted_at"));
        assert!(
            (delay - seconds * 1000).abs() <= seconds * 200 + 1,
            "attempt {number}: {delay} ms, not {seconds} s"
        );
        hand.move_to(at("next_retry_at").plus_ms(1));
    }
    service.submit(&Document::default()).await;
    until_deliveries(&service, &[("dead", 9)]).await;
    assert_eq!(attempts(&service, &life).await.len(), 9, "no tenth is planned");
}

#[tokio::test]
async fn what_is_over_is_kept_for_thirty_days_and_what_is_not_stays() {
    let mut service = Service::prepared().await;
    let hand = Hand::now();
    let options =
        || QueryOptions { clock: hand.clock(), webhooks: fast_webhooks(), ..QueryOptions::default() };
    service.run_with(options()).await;
    hand.move_by(Duration::from_secs(1));
    let receiver = Receiver::start(&[Reply::Status(200), Reply::Never]).await;
    let over = ended(&service, &receiver.url()).await;
    until_deliveries(&service, &[("succeeded", 1)]).await;
    let mut waiting = service.submit(&Document::with_webhook(&receiver.url())).await;
    waiting.append(service.store.as_ref(), &[leased(), progress(1)]).await;
    while attempts(&service, &waiting).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for (days, expected) in [(29, 2), (2, 1)] {
        service.crash().await;
        hand.move_by(Duration::from_hours(24 * days));
        service.run_with(options()).await;
        let tidied = async {
            while deliveries(&service).await.len() != expected {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), tidied).await.expect("old ones go, others stay");
    }
    assert!(attempts(&service, &over).await.is_empty(), "with its attempts");
    assert_eq!(attempts(&service, &waiting).await.len(), 1, "what waits is never removed");
}
