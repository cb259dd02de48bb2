//! Reading jobs: one, many, waiting, downloading.

use std::time::{Duration, Instant};

use axum::http::{Request, StatusCode, header};
use event_store::EventStore as _;
use serde_json::{Value, json};

use crate::lives::{Document, completed, failed, leased, planned, progress};
use crate::service::{Answer, Service};

fn ids(answer: &Answer) -> Vec<Value> {
    answer.json()["data"].as_array().expect("a list").iter().map(|job| job["id"].clone()).collect()
}

#[tokio::test]
async fn a_job_is_read_as_it_is_at_every_moment_of_its_life() {
    let service = Service::start().await;
    let mut life = service.submit(&Document::with_metadata(&[("order", "7")])).await;
    let path = format!("/v1/renders/{}", life.id);
    let job = service.get(&path).await.json();
    assert_eq!((&job["status"], &job["queue_position"]), (&json!("queued"), &json!(0)), "{job}");
    assert_eq!(job["metadata"], json!({ "order": "7" }), "the caller's words are echoed");
    assert_eq!(job["output"], Value::Null, "{job}");

    life.append(service.store.as_ref(), &[leased(), progress(40)]).await;
    let job = service.get(&path).await.json();
    assert_eq!((&job["status"], &job["progress_percent"]), (&json!("processing"), &json!(40)), "{job}");
    assert!(job.get("queue_position").is_none(), "it no longer waits: {job}");

    life.append(service.store.as_ref(), &[completed("renders/a/1", b"film", "my film.mp4")]).await;
    let job = service.get(&path).await.json();
    assert_eq!((&job["status"], &job["progress_percent"]), (&json!("completed"), &json!(100)), "{job}");
    let url = job["output"]["url"].as_str().expect("a link");
    assert!(url.starts_with("http://films.example/v1/artifacts/renders/a/1?exp="), "{url}");
    assert_eq!(service.get(&path).await.json()["output"]["url"], url, "the same link every time");
}

#[tokio::test]
async fn a_job_is_shown_as_it_was_at_any_position() {
    let service = Service::start().await;
    let mut life = service.submit(&Document::default()).await;
    let other = service.submit(&Document::default()).await;
    let queued = service.store.head().await.expect("memory").position.0;
    life.append(service.store.as_ref(), &[leased(), progress(40)]).await;
    let begun = service.store.head().await.expect("memory").position.0;
    life.append(service.store.as_ref(), &[completed("renders/a/1", b"film", "my film.mp4")]).await;
    let at = async |id: &str, position: u64| {
        let answer = service.get(&format!("/v1/renders/{id}?at_position={position}")).await;
        (answer.status.as_u16(), answer.json())
    };
    let id = life.id.to_string();
    let (_, was) = at(&id, queued).await;
    assert_eq!((&was["status"], &was["progress_percent"]), (&json!("queued"), &json!(0)), "{was}");
    let (_, was) = at(&id, begun).await;
    assert_eq!((&was["status"], &was["progress_percent"]), (&json!("processing"), &json!(40)), "{was}");
    let (_, was) = at(&id, u64::MAX).await;
    assert_eq!(was["status"], "completed", "as it is: {was}");
    assert_eq!(at(&other.id.to_string(), 1).await.0, 404, "it was not there yet");
    let both = service.get(&format!("/v1/renders/{id}?at_position=1&wait=3")).await;
    assert_eq!(both.status, StatusCode::UNPROCESSABLE_ENTITY, "what was does not change");
}

#[tokio::test]
async fn a_job_says_what_its_request_comes_down_to() {
    let service = Service::start().await;
    let mut life = service.submit(&Document::default()).await;
    let path = format!("/v1/renders/{}", life.id);
    let frame = json!({ "output_format": "mp4", "width": 1280, "height": 720, "frame_rate": "30" });
    let mut expected = frame.as_object().expect("an object").clone();
    expected.extend([("duration".to_owned(), json!(2.0)), ("frame_count".to_owned(), Value::Null)]);
    assert_eq!(service.get(&path).await.json()["resolved"], json!(expected));
    life.append(service.store.as_ref(), &[leased(), planned(2.5, 75)]).await;
    expected.extend([("duration".to_owned(), json!(2.5)), ("frame_count".to_owned(), json!(75))]);
    assert_eq!(service.get(&path).await.json()["resolved"], json!(expected), "the plan knows better");
}

#[tokio::test]
async fn a_job_that_has_not_changed_is_not_sent_again() {
    let service = Service::start().await;
    let mut life = service.submit(&Document::with_metadata(&[("a", "b")])).await;
    for path in [format!("/v1/renders/{}", life.id), "/v1/renders?metadata[a]=b".to_owned()] {
        let first = service.get(&path).await;
        assert_eq!(first.header(header::CACHE_CONTROL), "private, no-cache");
        let etag = first.header(header::ETAG).to_owned();
        let again = || service.ask(service.request(&path).header(header::IF_NONE_MATCH, format!("W/{etag}")));
        let known = again().await;
        assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0), "{path}");
        assert_eq!(known.header(header::ETAG), etag, "{path}");
        life.append(service.store.as_ref(), &[leased()]).await;
        let news = again().await;
        assert_eq!(news.status, StatusCode::OK, "{path}");
        assert_ne!(news.header(header::ETAG), etag, "{path}");
    }
}

#[tokio::test]
async fn what_was_written_is_read_at_once() {
    let service = Service::start().await;
    for _ in 0..50 {
        let life = service.submit(&Document::default()).await;
        let answer = service.get(&format!("/v1/renders/{}", life.id)).await;
        assert_eq!(answer.status, StatusCode::OK, "a job is there as soon as it is in the log");
    }
}

#[tokio::test]
async fn nobody_sees_another_workspaces_jobs_and_nobody_unknown_sees_any() {
    let service = Service::start().await;
    let life = service.submit(&Document::default()).await;
    for suffix in ["", "/download", "/events"] {
        let path = format!("/v1/renders/{}{suffix}", life.id);
        assert_eq!(service.get_as("fl_live_stranger", &path).await.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(service.get_as("fl_live_nobody", &path).await.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(service.ask(Request::get(&path)).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    assert!(ids(&service.get_as("fl_live_stranger", "/v1/renders").await).is_empty(), "an empty list");
    for unknown in ["render_00000000000000000000000000", "render_x", "ws_00000000000000000000000001"] {
        let answer = service.get(&format!("/v1/renders/{unknown}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{unknown}");
        assert_eq!(answer.json()["error"]["code"], "not_found", "{unknown}");
    }
}

#[tokio::test]
async fn pages_are_newest_first_and_stable_while_jobs_arrive() {
    let service = Service::start().await;
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(json!(service.submit(&Document::default()).await.id.to_string()));
    }
    all.reverse();
    let first = service.get("/v1/renders?limit=2").await;
    assert_eq!(ids(&first), all[..2], "the newest two");
    service.submit(&Document::default()).await;
    let cursor = first.json()["next_cursor"].as_str().expect("a cursor").to_owned();
    let second = service.get(&format!("/v1/renders?limit=2&cursor={cursor}")).await;
    assert_eq!(ids(&second), all[2..4], "as if nothing had arrived");
    let cursor = second.json()["next_cursor"].as_str().expect("a cursor").to_owned();
    let third = service.get(&format!("/v1/renders?limit=2&cursor={cursor}")).await;
    assert_eq!(ids(&third), all[4..], "the rest");
    assert_eq!((&third.json()["next_cursor"], &third.json()["has_more"]), (&Value::Null, &json!(false)));
}

#[tokio::test]
async fn lists_are_filtered_by_status_time_and_metadata() {
    let service = Service::start().await;
    let mut done = service.submit(&Document::with_metadata(&[("team", "a b"), ("x", "1")])).await;
    done.append(service.store.as_ref(), &[leased(), failed()]).await;
    let waiting = service.submit(&Document::with_metadata(&[("team", "a b")])).await;
    let (done, waiting) = (json!(done.id.to_string()), json!(waiting.id.to_string()));
    for (query, expected) in [
        ("status=failed", vec![&done]),
        ("status=queued", vec![&waiting]),
        ("status=completed", vec![]),
        ("metadata[team]=a%20b", vec![&waiting, &done]),
        ("metadata%5Bteam%5D=a+b&metadata%5Bx%5D=1", vec![&done]),
        ("metadata[team]=a", vec![]),
        ("metadata[x]=1&status=queued", vec![]),
        ("metadata[team]=a%20b&status=queued&limit=1&created_before=2120-01-01T00:00:00Z", vec![&waiting]),
        ("created_after=2020-01-01T00:00:00Z", vec![&waiting, &done]),
        ("created_after=2120-01-01T00:00:00Z", vec![]),
        ("created_before=2020-01-01T00:00:00%2B01:00", vec![]),
    ] {
        let found = ids(&service.get(&format!("/v1/renders?{query}")).await);
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query}");
    }
}

#[tokio::test]
async fn instants_are_compared_as_they_are_shown() {
    let service = Service::start().await;
    let life = service.submit(&Document::default()).await;
    let job = service.get(&format!("/v1/renders/{}", life.id)).await.json();
    let shown = job["created_at"].as_str().expect("an instant");
    for query in [format!("created_after={shown}"), format!("created_before={shown}")] {
        assert!(
            ids(&service.get(&format!("/v1/renders?{query}")).await).is_empty(),
            "neither before nor after itself"
        );
    }
}

#[tokio::test]
async fn filtered_pages_follow_each_other_too() {
    let service = Service::start().await;
    let mut all = Vec::new();
    for n in 0..7 {
        let words = [("even", if n % 2 == 0 { "yes" } else { "no" }), ("all", "yes")];
        let life = service.submit(&Document::with_metadata(&words)).await;
        if n % 2 == 0 {
            all.insert(0, json!(life.id.to_string()));
        }
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page =
            service.get(&format!("/v1/renders?limit=3&metadata[all]=yes&metadata[even]=yes{cursor}")).await;
        found.extend(ids(&page));
        match page.json()["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, all);
}

#[tokio::test]
async fn every_bad_parameter_is_named_at_once() {
    let service = Service::start().await;
    let answer = service.get("/v1/renders?limit=0&cursor=x&status=done&created_after=soon&stat=failed").await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let details = answer.json()["error"]["details"].clone();
    let paths: Vec<&str> =
        details.as_array().expect("a list").iter().map(|d| d["path"].as_str().expect("a path")).collect();
    assert_eq!(paths, ["stat", "limit", "status", "created_after", "cursor"]);
    let life = service.submit(&Document::default()).await;
    let answer = service.get(&format!("/v1/renders/{}?wait=61", life.id)).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "at most 60 s");
}

#[tokio::test]
async fn a_long_poll_answers_when_the_job_is_over() {
    let service = Service::start().await;
    let mut life = service.submit(&Document::default()).await;
    let path = format!("/v1/renders/{}?wait=60", life.id);
    let polling = service.get(&path);
    let living = async {
        for percent in [10, 50, 90] {
            life.append(service.store.as_ref(), &[leased(), progress(percent)]).await;
            tokio::task::yield_now().await;
        }
        life.append(service.store.as_ref(), &[failed()]).await;
    };
    let begun = Instant::now();
    let (answer, ()) = tokio::join!(polling, living);
    assert_eq!(answer.json()["status"], "failed", "the end, not something between");
    assert!(begun.elapsed() < Duration::from_secs(30), "at the end of the job, not of the wait");
    assert_eq!(answer.json()["error"]["code"], "source_not_found");
}

#[tokio::test]
async fn a_long_poll_ends_with_its_time_and_with_the_service() {
    let service = Service::start().await;
    let life = service.submit(&Document::default()).await;
    let answer = service.get(&format!("/v1/renders/{}?wait=1", life.id)).await;
    assert_eq!(answer.json()["status"], "queued", "as it is when the time is up");
    let path = format!("/v1/renders/{}?wait=60", life.id);
    let stop = service.stop_token();
    let stopping = async {
        tokio::task::yield_now().await;
        stop.cancel();
    };
    let (answer, ()) = tokio::join!(service.get(&path), stopping);
    assert_eq!(answer.json()["status"], "queued", "a stopping service keeps nobody waiting");
}

#[tokio::test]
async fn a_download_leads_to_the_film_and_exists_only_once_there_is_one() {
    let service = Service::start().await;
    let mut life = service.submit(&Document::default()).await;
    let path = format!("/v1/renders/{}/download", life.id);
    let early = service.get(&path).await;
    assert_eq!(
        (early.status, early.json()["error"]["code"].clone()),
        (StatusCode::CONFLICT, json!("conflict"))
    );
    life.append(service.store.as_ref(), &[leased(), completed("renders/a/1", b"film", "my film.mp4")]).await;
    let answer = service.get(&path).await;
    assert_eq!(answer.status, StatusCode::FOUND);
    let location = answer.header(header::LOCATION);
    assert!(location.starts_with("http://films.example/v1/artifacts/renders/a/1?exp="), "{location}");
}

#[tokio::test]
async fn the_open_endpoints_need_no_key() {
    let service = Service::start().await;
    for path in ["/v1/capabilities", "/healthz", "/readyz"] {
        let answer = service.ask(Request::get(path)).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        assert!(answer.json().is_object(), "{path} answers with an object");
    }
}
