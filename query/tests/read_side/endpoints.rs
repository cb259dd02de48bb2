//! A workspace's endpoints that fail: tried with one message at a time, and in the end told nothing more.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use event_store::{Append, EventStore as _, StreamAppend, documents};
use events::workspace::{DisableReason, WebhookCreated, WebhookSettings, WorkspaceCreated};
use events::{Actor, EventId, NewEvent, StreamId, StreamVersion, WebhookId, WorkspaceEvent, WorkspaceId};
use query::QueryOptions;
use query::webhooks::{DispatcherConfig, EndpointSwitch};

use crate::deliveries::Hand;
use crate::lives::{Document, failed, fresh};
use crate::receiver::{Receiver, Reply};
use crate::service::{OWNER, Service, fast_webhooks};
use crate::webhooks::deliveries;

const WEBHOOK: WebhookId = WebhookId::new(7);

/// Remembers what is disabled.
#[derive(Debug, Default)]
struct Switch(Mutex<Vec<(WebhookId, DisableReason)>>);

#[async_trait]
impl EndpointSwitch for Switch {
    async fn disable(
        &self,
        _workspace: WorkspaceId,
        webhook: WebhookId,
        reason: DisableReason,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.0.lock().expect("nobody has panicked").push((webhook, reason));
        Ok(())
    }
}

/// The owner's workspace gets an endpoint that hears of ends.
async fn endpoint(service: &Service, url: &str) {
    let (address, row) = documents::seal_document(&service.key, OWNER, url.as_bytes());
    let settings = WebhookSettings { address, events: vec!["render.failed".to_owned()], enabled: true };
    let created = WebhookCreated { webhook_id: WEBHOOK, settings, idempotency_key_hash: None };
    let events = [
        WorkspaceEvent::WorkspaceCreated(WorkspaceCreated { name: "owner".to_owned() }),
        WorkspaceEvent::WebhookCreated(created),
    ];
    let new = events.iter().map(|event| NewEvent {
        event_id: EventId::new(fresh()),
        event: event.encode(),
        workspace_id: OWNER,
        correlation_id: "test".to_owned(),
        causation_id: None,
        actor: Actor::system(),
        traceparent: None,
    });
    let stream =
        StreamAppend { stream: StreamId::from(OWNER), expected: StreamVersion(0), events: new.collect() };
    let append = Append { streams: vec![stream], rows: vec![row], guards: Vec::new() };
    service.store.append(append).await.expect("to append");
}

async fn fail_a_job(service: &Service) {
    let mut life = service.submit(&Document::default()).await;
    life.append(service.store.as_ref(), &[failed()]).await;
}

async fn started(hand: &Hand, switch: &Arc<Switch>) -> Service {
    let mut service = Service::prepared().await;
    let switch: Arc<dyn EndpointSwitch> = switch.clone();
    let webhooks = DispatcherConfig { switch: Some(switch), ..fast_webhooks() };
    service.run_with(QueryOptions { clock: hand.clock(), webhooks, ..QueryOptions::default() }).await;
    // The log's clock goes on by itself: the test's is a little ahead.
    hand.move_by(Duration::from_secs(30));
    service
}

/// Lets the time go on until so many deliveries have had all their attempts.
async fn until_dead(service: &Service, hand: &Hand, count: usize) {
    let tried = async {
        while deliveries(service).await.iter().filter(|(status, _)| status == "dead").count() < count {
            hand.move_by(Duration::from_millis(30));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), tried).await.expect("every attempt is made");
}

#[tokio::test]
async fn five_days_of_nothing_but_failures_disable_an_endpoint() {
    let (hand, switch) = (Hand::now(), Arc::<Switch>::default());
    let service = started(&hand, &switch).await;
    let receiver = Receiver::start(&[Reply::Status(500)]).await;
    endpoint(&service, &receiver.url()).await;
    let disabled = || switch.0.lock().expect("nobody has panicked").clone();
    let day = Duration::from_hours(24);
    for (wait, dead) in [(Duration::ZERO, 1), (5 * day - Duration::from_mins(1), 2)] {
        hand.move_by(wait);
        fail_a_job(&service).await;
        until_dead(&service, &hand, dead).await;
    }
    assert_eq!(disabled(), [], "not yet five days");
    hand.move_by(Duration::from_mins(2));
    fail_a_job(&service).await;
    let told = async {
        while disabled().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), told).await.expect("it is disabled");
    assert_eq!(disabled()[0], (WEBHOOK, DisableReason::Failing));
}

#[tokio::test]
async fn an_endpoint_at_which_nothing_arrives_is_tried_with_one_message_at_a_time() {
    let (hand, switch) = (Hand::now(), Arc::<Switch>::default());
    let service = started(&hand, &switch).await;
    let replies = [[Reply::Status(500); 4].as_slice(), &[Reply::Never]].concat();
    let mut receiver = Receiver::start(&replies).await;
    endpoint(&service, &receiver.url()).await;
    fail_a_job(&service).await;
    until_dead(&service, &hand, 1).await;
    assert_eq!(receiver.unseen(), 4, "every attempt was made");
    hand.move_by(Duration::from_secs(61));
    for _ in 0..5 {
        fail_a_job(&service).await;
    }
    receiver.next().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(receiver.unseen(), 0, "the others wait for what becomes of the first");
}
