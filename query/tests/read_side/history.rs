//! A job's history: pages and streams, from any place in it.

use axum::http::{Request, StatusCode, header};
use serde_json::Value;

use crate::lives::{Document, Life, completed, leased, part_stored, progress};
use crate::service::{Answer, Service};

const TYPES: [&str; 6] = [
    "render.submitted",
    "render.queued",
    "render.slot_started",
    "render.progress",
    "render.part_stored",
    "render.completed",
];

async fn finished(service: &Service) -> Life {
    let mut life = service.submit(&Document::default()).await;
    let events = [leased(), progress(10), part_stored(), completed("renders/a/1", b"film", "film.mp4")];
    life.append(service.store.as_ref(), &events).await;
    life
}

fn types(data: &Value) -> Vec<&str> {
    data.as_array().expect("a list").iter().map(|event| event["type"].as_str().expect("a type")).collect()
}

/// `(id, event, data)` of each event of a stream that has ended.
fn streamed(answer: &Answer) -> Vec<(u64, String, Value)> {
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name)).expect("the field");
        line.trim_start().to_owned()
    };
    let text = answer.text();
    let blocks = text.split("\n\n").filter(|block| block.contains("data:"));
    blocks
        .map(|block| {
            let data = serde_json::from_str(&field(block, "data:")).expect("JSON");
            (field(block, "id:").parse().expect("a number"), field(block, "event:"), data)
        })
        .collect()
}

fn stream_request(life: &Life) -> axum::http::request::Builder {
    Request::get(format!("/v1/renders/{}/events", life.id))
        .header(header::AUTHORIZATION, "Bearer fl_live_owner")
        .header(header::ACCEPT, "text/event-stream")
}

#[tokio::test]
async fn a_history_is_read_whole_or_page_by_page() {
    let service = Service::start().await;
    let life = finished(&service).await;
    let path = format!("/v1/renders/{}/events", life.id);
    let whole = service.get(&path).await.json();
    assert_eq!(types(&whole["data"]), TYPES);
    assert_eq!((&whole["next_cursor"], &whole["has_more"]), (&Value::Null, &Value::Bool(false)));
    let mut pages = Vec::new();
    let mut after = "0".to_owned();
    loop {
        let page = service.get(&format!("{path}?limit=4&after={after}")).await.json();
        pages.extend(page["data"].as_array().expect("a list").clone());
        match page["next_cursor"].as_str() {
            Some(cursor) => after = cursor.to_owned(),
            None => break,
        }
    }
    assert_eq!(Value::Array(pages), whole["data"], "the pages together are the whole");
    let rest = service.get(&format!("{path}?after=5")).await.json();
    assert_eq!(types(&rest["data"]), TYPES[5..]);
    let versions: Vec<&Value> =
        whole["data"].as_array().expect("a list").iter().map(|event| &event["version"]).collect();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6], "each event names its place");
}

#[tokio::test]
async fn a_history_that_has_not_changed_is_not_sent_again() {
    let service = Service::start().await;
    let mut life = service.submit(&Document::default()).await;
    let path = format!("/v1/renders/{}/events", life.id);
    let etag = service.get(&path).await.header(header::ETAG).to_owned();
    let again = || service.ask(service.request(&path).header(header::IF_NONE_MATCH, &etag));
    assert_eq!(again().await.status, StatusCode::NOT_MODIFIED);
    life.append(service.store.as_ref(), &[leased()]).await;
    assert_eq!(again().await.status, StatusCode::OK, "it has changed");
}

#[tokio::test]
async fn a_history_shows_neither_workers_nor_storage() {
    let service = Service::start().await;
    let life = finished(&service).await;
    let text = service.get(&format!("/v1/renders/{}/events", life.id)).await.text();
    for inside in ["worker_", "renders/a/1", "renders/x", "engine", "token"] {
        assert!(!text.contains(inside), "{inside} stays in the house: {text}");
    }
}

#[tokio::test]
async fn bad_places_and_limits_are_refused() {
    let service = Service::start().await;
    let life = finished(&service).await;
    for query in ["limit=0", "limit=1001", "after=-1", "after=x", "after=1&cursor=1", "before=3"] {
        for path in [format!("/v1/renders/{}/events", life.id), "/v1/events".to_owned()] {
            let answer = service.get(&format!("{path}?{query}")).await;
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {query}");
        }
    }
    let answer = service.ask(stream_request(&life).header("last-event-id", "x")).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let living = service.submit(&Document::default()).await;
    let answer = service.ask(stream_request(&living).header("last-event-id", "99")).await;
    assert_eq!(
        answer.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "a place of another log is no place of this one"
    );
}

#[tokio::test]
async fn a_stream_tells_the_whole_life_and_ends_with_it() {
    let service = Service::start().await;
    let mut life = service.submit(&Document::default()).await;
    let request = stream_request(&life);
    let living = async {
        for event in [leased(), progress(10), part_stored(), completed("renders/a/1", b"film", "film.mp4")] {
            tokio::task::yield_now().await;
            life.append(service.store.as_ref(), &[event]).await;
        }
    };
    let (answer, ()) = tokio::join!(service.ask(request), living);
    assert_eq!(answer.header(header::CONTENT_TYPE), "text/event-stream");
    let events = streamed(&answer);
    assert_eq!(events.iter().map(|event| event.1.as_str()).collect::<Vec<_>>(), TYPES);
    assert_eq!(events.iter().map(|event| event.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6], "ids are places");
    let page = service.get(&format!("/v1/renders/{}/events", life.id)).await.json();
    let data = events.into_iter().map(|event| event.2).collect::<Vec<_>>();
    assert_eq!(Value::Array(data), page["data"], "the same events as in pages");
}

#[tokio::test]
async fn a_stream_resumes_behind_any_event_and_never_after_the_last() {
    let service = Service::start().await;
    let life = finished(&service).await;
    for seen in 0..6_usize {
        let answer = service.ask(stream_request(&life).header("last-event-id", seen.to_string())).await;
        let events = streamed(&answer);
        assert_eq!(
            events.iter().map(|event| event.1.as_str()).collect::<Vec<_>>(),
            TYPES[seen..],
            "after {seen}"
        );
    }
    let from_query = format!("/v1/renders/{}/events?lastEventId=4", life.id);
    let answer = service.ask(service.request(&from_query).header(header::ACCEPT, "text/event-stream")).await;
    assert_eq!(streamed(&answer).len(), 2, "for clients that can't set the header");
    for seen in ["6", "7"] {
        let answer = service.ask(stream_request(&life).header("last-event-id", seen)).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "after {seen} there is nothing, ever");
    }
}

#[tokio::test]
async fn a_stream_ends_when_the_service_stops() {
    let service = Service::start().await;
    let life = service.submit(&Document::default()).await;
    let stop = service.stop_token();
    let stopping = async {
        tokio::task::yield_now().await;
        stop.cancel();
    };
    let (answer, ()) = tokio::join!(service.ask(stream_request(&life)), stopping);
    assert_eq!(streamed(&answer).len(), 2, "what had happened, then the end");
}
