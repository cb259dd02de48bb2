//! What happens without anybody asking.

use std::sync::Arc;

use event_store::{LeaseKey, LeaseRow};
use events::work::{Outcome, Slot};
use events::{FaultCode, RenderEvent, RenderId};
use storage::Storage;

use super::service::{ENGINE, START, Service, TTL_MS, part, plan};

async fn keys(storage: &Arc<dyn Storage>, render: RenderId) -> Vec<String> {
    storage.list(&format!("renders/{render}")).await.expect("storage")
}

/// What the log's last event asks of the policies, as the loop would tell them.
async fn react(service: &Service, render: RenderId) {
    let last = service.recorded(render).await.pop().expect("a history");
    service.role.policies().react(&last).await.expect("memory");
}

#[tokio::test]
async fn a_lost_workers_slot_is_free_after_its_lease() {
    let service = Service::start().await;
    let render = service.submit().await;
    service.claim().await;
    service.wait_ms(14_999);
    service.role.policies().reap().await.expect("memory");
    assert_eq!(service.claim_with(ENGINE).await, None, "the lease has a moment left");
    service.wait_ms(1);
    service.role.policies().reap().await.expect("memory");
    let history = service.history(render).await;
    assert_eq!(history[2..], ["LeaseGranted", "LeaseExpired", "RenderQueued"]);
    assert_eq!(service.claim().await.attempt, 2);
}

#[tokio::test]
async fn the_fifth_lost_worker_ends_the_job() {
    let service = Service::start().await;
    let render = service.submit().await;
    for _ in 0..5 {
        service.claim().await;
        service.wait_ms(15_000);
        service.role.policies().reap().await.expect("memory");
    }
    let RenderEvent::RenderFailed(failed) = service.last_event(render).await else {
        panic!("five are enough")
    };
    assert_eq!(failed.fault.code, FaultCode::WorkerLost);
}

#[tokio::test]
async fn a_service_that_starts_gives_out_again_what_its_last_run_held() {
    let service = Service::start().await;
    service.planned(false).await;
    let held = service.claim().await;
    service.role.recover().await.expect("memory");
    let again = service.claim().await;
    assert_eq!((again.slot, again.attempt), (held.slot, 2));
    assert!(again.token > held.token, "tokens rise");
}

#[tokio::test]
async fn a_plan_whose_engine_is_gone_is_made_anew() {
    let service = Service::start().await;
    let render = service.planned(false).await;
    let order = service.claim().await;
    service.report(&order, Outcome::Stored(part(&order))).await;
    service.wait_ms(59_999);
    service.role.policies().replan().await.expect("memory");
    assert_eq!(service.claim_with("another").await, None, "its engine may come back");
    service.wait_ms(1);
    service.role.policies().replan().await.expect("memory");
    let order = service.claim_with("another").await.expect("a plan is due");
    assert_eq!((order.render, order.slot), (render, Slot::Plan));
    let mut anew = plan(&order, false);
    anew.fingerprint = events::work::Fingerprint("another".to_owned());
    service.report(&order, Outcome::Planned(anew)).await;
    let order = service.claim_with("another").await.expect("its parts are due, all of them");
    assert_eq!((order.slot, order.plan.map(|plan| plan.generation)), (Slot::Part(0), Some(2)));
}

#[tokio::test]
async fn a_plan_whose_engine_is_busy_elsewhere_stands() {
    let service = Service::start().await;
    service.planned(false).await;
    let order = service.claim().await;
    for units in 1..=7 {
        service.wait_ms(10_000);
        service.beat(&order, units, units).await;
    }
    service.role.policies().replan().await.expect("memory");
    assert_eq!(service.claim_with("another").await, None, "its worker lives");
}

#[tokio::test]
async fn a_process_that_has_not_heard_of_an_engine_gives_its_workers_time() {
    let service = Service::start().await;
    let other = service.another_role();
    service.wait_ms(60_000);
    let render = service.planned(false).await;
    other.policies().replan().await.expect("memory");
    assert!(
        !service.history(render).await.ends_with(&["RenderQueued".to_owned()]),
        "its parts have just become due"
    );
}

#[tokio::test]
async fn a_lease_that_is_alive_by_the_stores_clock_is_not_ended() {
    let service = Service::start().await;
    let render = service.submit().await;
    let order = service.claim().await;
    let key = LeaseKey { render, slot: order.slot, token: order.token };
    let row = LeaseRow { key, ttl_ms: TTL_MS, expires_at: START };
    let ended = service.role.policies().expire(&row).await.expect("memory");
    assert!(!ended, "whatever somebody believes to have read");
    assert_eq!(service.history(render).await.last().map(String::as_str), Some("LeaseGranted"));
}

#[tokio::test]
async fn a_finished_film_keeps_its_artifact_alone() {
    let service = Service::start().await;
    let render = service.complete().await;
    let RenderEvent::RenderCompleted(completed) = service.last_event(render).await else {
        panic!("it is complete")
    };
    let artifact = completed.artifact.object.key;
    let litter = format!("renders/{render}/part-1/7-abc");
    for key in [&artifact, &litter, &format!("renders/{render}/plan/3")] {
        service.storage.put_bytes(key, b"bytes").await.expect("storage");
    }
    react(&service, render).await;
    assert_eq!(keys(&service.storage, render).await, std::slice::from_ref(&artifact));
    service.storage.put_bytes(&litter, b"a zombie's").await.expect("storage");
    service.role.policies().sweeper.look_again().await;
    assert_eq!(keys(&service.storage, render).await.len(), 2, "not yet");
    service.wait_ms(60_000);
    service.role.policies().sweeper.look_again().await;
    assert_eq!(keys(&service.storage, render).await, [artifact], "the second look finds what came late");
}

#[tokio::test]
async fn a_sweep_of_everything_leaves_living_and_completed_films_alone() {
    let service = Service::start().await;
    let (completed, cancelled) = (service.complete().await, service.submit().await);
    service.delete(cancelled).await;
    let living = service.submit().await;
    let RenderEvent::RenderCompleted(end) = service.last_event(completed).await else {
        panic!("it is complete")
    };
    let artifact = end.artifact.object.key;
    let part = |render| format!("renders/{render}/part-0/5-abc");
    for key in [&artifact, &part(completed), &part(cancelled), &part(living), &"sources/abc".to_owned()] {
        service.storage.put_bytes(key, b"bytes").await.expect("storage");
    }
    service.role.policies().sweeper.sweep_all().await.expect("storage");
    assert_eq!(keys(&service.storage, completed).await, [artifact]);
    assert_eq!(keys(&service.storage, cancelled).await, [""; 0]);
    assert_eq!(keys(&service.storage, living).await, [part(living)]);
    assert_eq!(service.storage.list("sources").await.expect("storage"), ["sources/abc"], "not ours to sweep");
}

#[tokio::test]
async fn the_loops_do_all_this_by_themselves_and_stop_when_told() {
    let service = Service::start().await;
    let render = service.submit().await;
    service.storage.put_bytes(&format!("renders/{render}/plan/3"), b"bytes").await.expect("storage");
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(service.role.clone().run(stop.clone()));
    service.claim().await;
    service.wait_ms(15_000);
    while !service.history(render).await.contains(&"LeaseExpired".to_owned()) {
        tokio::task::yield_now().await;
    }
    service.delete(render).await;
    while !keys(&service.storage, render).await.is_empty() {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    running.await.expect("it stops without a panic");
}
