//! What workers are given and what becomes of their reports.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use events::job::{JobStatus, ProgressStage};
use events::job_view::JobView;
use events::work::{HeartbeatReply, Outcome, ReportReply, Slot, WorkOrder};
use events::{FaultCode, RenderEvent};
use serde_json::json;

use super::service::{ENGINE, START, Service, assembled, failure, film, part, plan};

#[tokio::test]
async fn a_film_is_planned_made_in_parts_and_joined() {
    let service = Service::start().await;
    let render = service.submit().await;
    let order = service.claim().await;
    assert_eq!((order.render, order.slot, order.attempt, &order.plan), (render, Slot::Plan, 1, &None));
    assert!(order.document.contains("Hello"), "the order carries the document");
    assert_eq!(service.claim_with(ENGINE).await, None, "nothing else is due before the plan");
    service.report(&order, Outcome::Planned(plan(&order, true))).await;
    let mut slots = BTreeSet::new();
    for _ in 0..3 {
        let order = service.claim().await;
        assert!(order.plan.is_some() && order.stored.is_empty(), "{order:?}");
        assert_eq!(service.report(&order, Outcome::Stored(part(&order))).await, ReportReply::Accepted);
        slots.insert(order.slot);
    }
    assert_eq!(slots, BTreeSet::from([Slot::Part(0), Slot::Part(1), Slot::Audio]));
    let order = service.claim().await;
    let stored: Vec<Slot> = order.stored.iter().map(|part| part.slot).collect();
    assert_eq!((order.slot, stored), (Slot::Assemble, vec![Slot::Part(0), Slot::Part(1), Slot::Audio]));
    assert_eq!(service.report(&order, assembled(&order)).await, ReportReply::Accepted);
    let view = JobView::fold(&service.recorded(render).await).expect("it decodes").expect("a job");
    assert_eq!((view.status, view.progress_percent), (JobStatus::Completed, 100));
    assert_eq!(service.claim_with(ENGINE).await, None, "nothing is left to do");
}

#[tokio::test]
async fn the_token_is_the_version_of_the_leases_event() {
    let service = Service::start().await;
    let render = service.planned(false).await;
    let order = service.claim().await;
    let recorded = service.recorded(render).await;
    let last = recorded.last().expect("a history");
    assert_eq!((last.event.event_type.as_str(), last.stream_version), ("LeaseGranted", order.token.0));
}

#[tokio::test]
async fn a_report_is_taken_once_and_repeated_freely() {
    let service = Service::start().await;
    let render = service.planned(false).await;
    let order = service.claim().await;
    assert_eq!(service.report(&order, Outcome::Stored(part(&order))).await, ReportReply::Accepted);
    let length = service.history(render).await.len();
    assert_eq!(service.report(&order, Outcome::Stored(part(&order))).await, ReportReply::Accepted);
    assert_eq!(service.history(render).await.len(), length, "the repetition adds nothing");
}

#[tokio::test]
async fn a_zombies_report_is_refused() {
    let service = Service::start().await;
    let render = service.planned(false).await;
    let zombie = service.claim().await;
    service.wait_ms(15_000);
    service.role.policies().reap().await.expect("memory");
    let successor = service.claim().await;
    assert_eq!((successor.slot, successor.attempt), (zombie.slot, 2));
    let reply = service.report(&zombie, Outcome::Stored(part(&zombie))).await;
    assert!(matches!(reply, ReportReply::Refused { .. }), "{reply:?}");
    assert_eq!(service.beat(&zombie, 9, 9).await, HeartbeatReply::Stop);
    assert_eq!(service.report(&successor, Outcome::Stored(part(&successor))).await, ReportReply::Accepted);
    let stored = service.events(render).await.into_iter().filter_map(|event| match event {
        RenderEvent::PartStored(stored) => Some(stored.token),
        _ => None,
    });
    assert_eq!(stored.collect::<Vec<_>>(), [successor.token]);
}

#[tokio::test]
async fn a_report_must_tell_of_the_slot_it_is_sent_for() {
    let service = Service::start().await;
    service.planned(false).await;
    let (first, second) = (service.claim().await, service.claim().await);
    for outcome in [Outcome::Stored(part(&second)), Outcome::Planned(plan(&first, false)), assembled(&first)]
    {
        let reply = service.report(&first, outcome).await;
        assert!(matches!(reply, ReportReply::Refused { .. }), "{reply:?}");
    }
    let crossed = WorkOrder { token: first.token, ..second };
    let reply = service.report(&crossed, Outcome::Stored(part(&first))).await;
    assert!(matches!(reply, ReportReply::Refused { .. }), "the right token, the wrong slot: {reply:?}");
}

#[tokio::test]
async fn a_failure_waits_before_it_is_tried_again_and_the_third_ends_the_job() {
    let service = Service::start().await;
    let render = service.submit().await;
    for (attempt, wait_ms) in [(1, 5_000), (2, 15_000)] {
        let order = service.claim().await;
        assert_eq!(order.attempt, attempt);
        assert_eq!(service.report(&order, failure(true)).await, ReportReply::Accepted);
        service.wait_ms(wait_ms - 1);
        assert_eq!(service.claim_with(ENGINE).await, None, "{wait_ms} ms have not passed");
        service.wait_ms(1);
    }
    let order = service.claim().await;
    service.report(&order, failure(true)).await;
    let RenderEvent::RenderFailed(failed) = service.last_event(render).await else {
        panic!("the third ends it")
    };
    assert_eq!(failed.fault.code, FaultCode::EncodeFailed);
    assert_eq!(service.claim_with(ENGINE).await, None);
    assert_eq!(service.bus.cancelled(), [render], "whoever is at another slot of it stops");
}

#[tokio::test]
async fn a_fault_of_the_request_ends_the_job_at_once() {
    let service = Service::start().await;
    let render = service.submit().await;
    let order = service.claim().await;
    service.report(&order, failure(false)).await;
    assert!(matches!(service.last_event(render).await, RenderEvent::RenderFailed(_)));
}

#[tokio::test]
async fn a_slot_handed_back_is_free_at_once_and_counts_nothing() {
    let service = Service::start().await;
    service.submit().await;
    for _ in 0..10 {
        let order = service.claim().await;
        assert_eq!(order.attempt, 1);
        assert_eq!(service.report(&order, Outcome::Released).await, ReportReply::Accepted);
    }
}

#[tokio::test]
async fn a_heartbeat_keeps_the_lease() {
    let service = Service::start().await;
    let render = service.planned(false).await;
    let order = service.claim().await;
    for second in 1..=4 {
        service.wait_ms(10_000);
        assert_eq!(service.beat(&order, second, second).await, HeartbeatReply::Continue);
        service.role.policies().reap().await.expect("memory");
    }
    assert!(!service.history(render).await.contains(&"LeaseExpired".to_owned()), "40 s with a lease of 15 s");
}

#[tokio::test]
async fn a_worker_that_lives_but_does_not_move_has_stalled() {
    let service = Service::start().await;
    let render = service.planned(false).await;
    let order = service.claim().await;
    for _ in 0..5 {
        service.wait_ms(10_000);
        assert_eq!(service.beat(&order, 7, 0).await, HeartbeatReply::Continue);
    }
    service.wait_ms(10_000);
    service.beat(&order, 7, 0).await;
    service.wait_ms(10_000);
    assert_eq!(service.beat(&order, 7, 0).await, HeartbeatReply::Stop);
    let stalled = service.events(render).await.into_iter().find_map(|event| match event {
        RenderEvent::AttemptFailed(failed) => Some(failed.fault.code),
        _ => None,
    });
    assert_eq!(stalled, Some(FaultCode::Stalled));
}

#[tokio::test]
async fn progress_is_marked_once_a_second_and_only_where_it_rises() {
    let service = Service::start().await;
    let render = service.planned(false).await;
    let (first, second) = (service.claim().await, service.claim().await);
    let percents = async || -> Vec<u8> {
        let events = service.events(render).await.into_iter();
        events
            .filter_map(
                |event| if let RenderEvent::ProgressMarked(e) = event { Some(e.percent) } else { None },
            )
            .collect()
    };
    service.wait_ms(1_000);
    service.beat(&first, 10, 10).await;
    service.beat(&second, 10, 10).await;
    assert_eq!(
        percents().await,
        [5, 20],
        "5 when planned; within one second only the first heartbeat counts"
    );
    service.wait_ms(1_000);
    service.beat(&second, 11, 10).await;
    assert_eq!(percents().await, [5, 20, 35], "20 of 60 frames");
    service.wait_ms(1_000);
    service.beat(&second, 12, 10).await;
    assert_eq!(percents().await, [5, 20, 35], "no frame, no event");
    service.report(&first, failure(true)).await;
    service.wait_ms(1_000);
    service.beat(&second, 13, 12).await;
    assert_eq!(percents().await, [5, 20, 35], "what a lost part takes away is not taken from the job");
    let view = JobView::fold(&service.recorded(render).await).expect("it decodes").expect("a job");
    assert_eq!(view.progress_stage, Some(ProgressStage::Compositing));
}

#[tokio::test]
async fn parts_wait_for_their_engine() {
    let service = Service::start().await;
    service.planned(false).await;
    assert_eq!(service.claim_with("another").await, None);
    assert!(service.claim_with(ENGINE).await.is_some());
}

#[tokio::test]
async fn an_engines_part_is_found_behind_many_of_anothers() {
    let service = Service::start().await;
    let mut plans = Vec::new();
    for engine in ["another"; 12].into_iter().chain([ENGINE]) {
        service.submit().await;
        plans.push((engine, service.claim_with(engine).await.expect("a plan is due")));
    }
    for (engine, order) in &plans {
        let mut plan = plan(order, false);
        plan.fingerprint.0 = (*engine).to_owned();
        assert_eq!(service.report(order, Outcome::Planned(plan)).await, ReportReply::Accepted);
    }
    let (_, last) = plans.last().expect("one");
    assert_eq!(service.claim().await.render, last.render, "behind twenty-four parts that it can't do");
}

#[tokio::test]
async fn what_was_begun_first_is_finished_before_the_next_is_begun() {
    let service = Service::start().await;
    let (first, second) = (service.submit().await, service.submit().await);
    let order = service.claim().await;
    assert_eq!(order.render, first);
    service.report(&order, Outcome::Planned(plan(&order, false))).await;
    for _ in 0..2 {
        assert_eq!(service.claim().await.render, first, "its parts come before the next plan");
    }
    assert_eq!(service.claim().await.render, second);
}

#[tokio::test]
async fn higher_priority_goes_first() {
    let service = Service::start().await;
    service.submit().await;
    let mut urgent = film();
    urgent["priority"] = json!(10);
    let urgent = service.post(&urgent).await;
    assert_eq!(urgent.status, StatusCode::ACCEPTED, "{urgent:?}");
    assert_eq!(service.claim().await.render, urgent.render());
}

#[tokio::test]
async fn a_document_that_can_not_be_read_fails_its_job_and_not_the_queue() {
    let service = Service::start().await;
    let lost = service.submit().await;
    let workspace = service.recorded(lost).await[0].workspace_id;
    let (_, other_key) = service.role.workspaces().vault.new_workspace_key();
    let name = event_store::documents::DOCUMENT_KEY.to_owned();
    let rows = vec![event_store::SideRow::PutSecret { workspace, name, bytes: other_key }];
    let append = event_store::Append { rows, ..event_store::Append::default() };
    event_store::EventStore::append(service.store.as_ref(), append).await.expect("memory");
    let mut another = film();
    another["width"] = json!(640);
    let sound = service.post(&another).await.render();
    assert_eq!(service.claim().await.render, sound);
    let RenderEvent::RenderFailed(failed) = service.last_event(lost).await else { panic!("it can't go on") };
    assert_eq!(failed.fault.code, FaultCode::Internal);
}

#[tokio::test]
async fn a_finished_job_links_to_its_film() {
    let service = Service::start().await;
    let keyed = [("idempotency-key", "a")];
    service.post_with(&keyed, &film()).await;
    let order = service.claim().await;
    service.report(&order, Outcome::Planned(plan(&order, false))).await;
    for _ in 0..2 {
        let order = service.claim().await;
        service.report(&order, Outcome::Stored(part(&order))).await;
    }
    let order = service.claim().await;
    service.report(&order, assembled(&order)).await;
    let job = service.post_with(&keyed, &film()).await.body;
    assert_eq!((&job["status"], &job["progress_percent"]), (&json!("completed"), &json!(100)));
    assert_eq!(job["completed_at"], START.to_string());
    let url = job["output"]["url"].as_str().expect("a link");
    assert!(url.starts_with("https://films.example/v1/artifacts/renders/render_"), "{url}");
}
