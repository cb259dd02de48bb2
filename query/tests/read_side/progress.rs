//! Webhooks of a job's progress: the latest wins, and the end is never kept waiting.

use std::time::Duration;

use query::webhooks::{DispatcherConfig, Schedule};
use serde_json::json;

use crate::lives::{Document, completed, failed, leased, progress};
use crate::receiver::{Receiver, Reply};
use crate::service::{Service, fast_webhooks};
use crate::webhooks::{body, deliveries, until_deliveries};

#[tokio::test]
async fn progress_is_told_with_the_job_as_of_it() {
    let service = Service::start().await;
    let mut receiver = Receiver::start(&[Reply::Status(200)]).await;
    let mut life = service.submit(&Document::with_webhook(&receiver.url())).await;
    life.append(service.store.as_ref(), &[leased()]).await;
    for percent in [10, 55] {
        life.append(service.store.as_ref(), &[progress(percent)]).await;
        let body = body(&receiver.next().await);
        assert_eq!(
            (&body["type"], &body["data"]["progress_percent"]),
            (&json!("render.progress"), &json!(percent))
        );
        assert_eq!(
            (&body["data"]["status"], &body["data"]["attempt"]),
            (&json!("processing"), &json!(1)),
            "{body}"
        );
    }
    life.append(service.store.as_ref(), &[completed("renders/a/1", b"film", "film.mp4")]).await;
    let body = body(&receiver.next().await);
    assert_eq!((&body["type"], &body["data"]["progress_percent"]), (&json!("render.completed"), &json!(100)));
    until_deliveries(&service, &[("succeeded", 1); 3]).await;
}

#[tokio::test]
async fn of_progress_that_waits_only_the_latest_is_sent() {
    let mut service = Service::prepared().await;
    service.run(DispatcherConfig { timeout: Duration::from_millis(500), ..fast_webhooks() }).await;
    let mut receiver = Receiver::start(&[Reply::Never, Reply::Status(200)]).await;
    let mut life = service.submit(&Document::with_webhook(&receiver.url())).await;
    life.append(service.store.as_ref(), &[leased(), progress(1)]).await;
    assert_eq!(body(&receiver.next().await)["data"]["progress_percent"], 1);
    for percent in [2, 3, 4] {
        life.append(service.store.as_ref(), &[progress(percent)]).await;
    }
    let next = body(&receiver.next().await);
    assert_eq!(next["data"]["progress_percent"], 4, "two and three are old news, and one is not tried again");
    until_deliveries(&service, &[("dropped", 1), ("succeeded", 1)]).await;
    assert_eq!(receiver.unseen(), 0, "nothing else");
}

#[tokio::test]
async fn the_end_is_told_at_once_while_progress_hangs_and_progress_is_dropped() {
    let service = Service::start().await;
    let mut receiver = Receiver::start(&[Reply::Never, Reply::Status(200)]).await;
    let mut life = service.submit(&Document::with_webhook(&receiver.url())).await;
    life.append(service.store.as_ref(), &[leased(), progress(1)]).await;
    receiver.next().await;
    life.append(service.store.as_ref(), &[progress(2)]).await;
    life.append(service.store.as_ref(), &[failed()]).await;
    let told = tokio::time::timeout(Duration::from_secs(5), receiver.next()).await.expect("at once");
    assert_eq!(body(&told)["type"], "render.failed");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(receiver.unseen(), 0, "no progress after the end");
    assert_eq!(deliveries(&service).await, [("dropped".to_owned(), 0), ("succeeded".to_owned(), 1)]);
}

#[tokio::test]
async fn progress_of_many_jobs_leaves_room_for_their_ends() {
    let service = Service::start().await;
    let mut receiver = Receiver::start(&[Reply::Never]).await;
    let mut lives = Vec::new();
    for _ in 0..12 {
        let mut life = service.submit(&Document::with_webhook(&receiver.url())).await;
        life.append(service.store.as_ref(), &[leased(), progress(1)]).await;
        lives.push(life);
    }
    for _ in 0..4 {
        assert_eq!(body(&receiver.next().await)["type"], "render.progress");
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(receiver.unseen(), 0, "progress takes half of the eight places");
    for life in &mut lives[..4] {
        life.append(service.store.as_ref(), &[failed()]).await;
    }
    for _ in 0..4 {
        assert_eq!(body(&receiver.next().await)["type"], "render.failed");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_gone_hears_no_more_of_the_job() {
    let mut service = Service::prepared().await;
    service.run(DispatcherConfig { schedule: Schedule::default(), ..fast_webhooks() }).await;
    let mut receiver = Receiver::start(&[Reply::Status(410)]).await;
    let mut life = service.submit(&Document::with_webhook(&receiver.url())).await;
    life.append(service.store.as_ref(), &[leased(), progress(1)]).await;
    receiver.next().await;
    until_deliveries(&service, &[("dead", 1)]).await;
    life.append(service.store.as_ref(), &[progress(2)]).await;
    life.append(service.store.as_ref(), &[failed()]).await;
    until_deliveries(&service, &[("dead", 1), ("dead", 0), ("dead", 0)]).await;
    assert_eq!(receiver.unseen(), 0, "nothing was sent");
}
