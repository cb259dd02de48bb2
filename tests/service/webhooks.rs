//! A workspace's own endpoints: what they are told of, until when, and under which signature.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::{Delivery, KEY, Outside, System, client, small};

/// A text film of one second.
fn title() -> Value {
    small(1.0, json!([{ "type": "text", "text": "told", "duration": 1 }]))
}

async fn create(system: &System, body: &Value) -> Value {
    let (status, webhook) = system.service.call(Method::POST, "/v1/webhooks", Some(body)).await;
    assert_eq!(status.as_u16(), 201, "{webhook}");
    webhook
}

fn types(outside: &Outside) -> Vec<String> {
    outside.ends().iter().map(kind).collect()
}

fn kind(delivery: &Delivery) -> String {
    let body: Value = serde_json::from_slice(&delivery.body).unwrap();
    body["type"].as_str().unwrap().to_owned()
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn outside(system: &System) -> Outside {
    Outside::start(system.folder.path().to_owned()).await
}

#[tokio::test]
async fn endpoints_hear_what_they_ask_for_and_a_jobs_own_address_takes_their_place() {
    let system = System::start(&[], &[]).await;
    let (all, some) = (outside(&system).await, outside(&system).await);
    let hook = |outside: &Outside| format!("{}/hook?key=S3CRET", outside.address);
    let everything = create(&system, &json!({ "url": hook(&all), "events": [] })).await;
    let usual = create(&system, &json!({ "url": hook(&some), "evnts": 1 })).await;
    assert_eq!(everything["events"], json!([]));
    assert_eq!(usual["events"].as_array().unwrap().len(), 5, "the API's own five: {usual}");
    assert_eq!(usual["warnings"][0]["code"], "unknown_field", "{usual}");

    let (job, _) = system.render(&title()).await;
    until("all are told", async || types(&all).len() == 3 && types(&some).len() == 1).await;
    let mut told = types(&all);
    told.sort();
    assert_eq!(told, ["render.completed", "render.processing", "render.queued"]);
    assert_eq!(types(&some), ["render.completed"]);
    for delivery in all.ends() {
        let body: Value = serde_json::from_slice(&delivery.body).unwrap();
        assert_eq!(body["data"]["id"], job["id"], "{body}");
        let status = kind(&delivery).replace("render.", "");
        assert_eq!(body["data"]["status"], json!(status), "the job as of that event: {body}");
        assert!(delivery.headers["framelane-signature"].to_str().unwrap().contains("v1="), "signed");
    }

    let mut own = title();
    own["webhook_url"] = json!(format!("{}/hook", system.outside.address));
    system.render(&own).await;
    until("the job's own address is told", async || types(&system.outside) == ["render.completed"]).await;
    assert_eq!((types(&all).len(), types(&some).len()), (3, 1), "in their place");

    // What became of it.
    let id = everything["id"].as_str().unwrap();
    let (_, page) =
        system.service.call(Method::GET, &format!("/v1/webhooks/{id}/deliveries?limit=100"), None).await;
    let attempts = page["data"].as_array().unwrap();
    let ended = attempts.iter().filter(|attempt| attempt["event_type"] != "render.progress").count();
    assert_eq!(ended, 3, "{page}");
    assert!(attempts.iter().all(|attempt| attempt["webhook_id"] == json!(id)), "{page}");
    // Once more: the same id and bytes.
    let completed = attempts.iter().find(|attempt| attempt["event_type"] == "render.completed").unwrap();
    let path =
        format!("/v1/webhooks/{id}/deliveries/{}/redeliver", completed["delivery_id"].as_str().unwrap());
    let (status, attempt) = system.service.call(Method::POST, &path, None).await;
    assert_eq!((status.as_u16(), &attempt["attempt_number"]), (202, &json!(2)), "{attempt}");
    until("it comes again", async || types(&all).len() == 4).await;
    let ends: Vec<Delivery> = all.ends().into_iter().filter(|it| kind(it) == "render.completed").collect();
    assert_eq!((ends[0].body == ends[1].body, ends.len()), (true, 2));
    assert_eq!(ends[0].headers["webhook-id"], ends[1].headers["webhook-id"]);
    let (_, webhook) = system.service.call(Method::GET, &format!("/v1/webhooks/{id}"), None).await;
    assert!(webhook["last_delivery_at"].is_string(), "{webhook}");
    let (_, list) = system.service.call(Method::GET, "/v1/webhooks?limit=1", None).await;
    assert_eq!(
        (&list["data"][0]["id"], &list["has_more"]),
        (&usual["id"], &json!(true)),
        "newest first: {list}"
    );
}

#[tokio::test]
async fn whoever_is_silenced_deleted_or_gone_hears_no_more() {
    let system = System::start(&[], &[]).await;
    let (silent, deleted) = (outside(&system).await, outside(&system).await);
    let quiet = create(&system, &json!({ "url": format!("{}/hook", silent.address) })).await;
    let short = create(&system, &json!({ "url": format!("{}/hook", deleted.address) })).await;
    let gone =
        create(&system, &json!({ "url": format!("{}/gone", system.outside.address), "events": [] })).await;
    let path = |webhook: &Value| format!("/v1/webhooks/{}", webhook["id"].as_str().unwrap());
    let (status, changed) =
        system.service.call(Method::PATCH, &path(&quiet), Some(&json!({ "enabled": false }))).await;
    assert_eq!((status.as_u16(), &changed["enabled"]), (200, &json!(false)), "{changed}");
    let (status, _) = system.service.call(Method::DELETE, &path(&short), None).await;
    assert_eq!(status.as_u16(), 204);
    let (status, _) = system.service.call(Method::GET, &path(&short), None).await;
    assert_eq!(status.as_u16(), 404, "it is not there");

    system.render(&title()).await;
    let read = async || system.service.call(Method::GET, &path(&gone), None).await.1;
    until("the one that is gone is disabled", async || read().await["enabled"] == json!(false)).await;
    assert_eq!(read().await["disabled_reason"], "gone");
    assert_eq!((types(&silent).len(), types(&deleted).len()), (0, 0));

    let (status, changed) =
        system.service.call(Method::PATCH, &path(&quiet), Some(&json!({ "enabled": true }))).await;
    assert_eq!(status.as_u16(), 200, "{changed}");
    system.render(&title()).await;
    until("it is told again", async || types(&silent) == ["render.completed"]).await;
}

#[tokio::test]
async fn endpoints_are_made_once_and_their_faults_are_named() {
    let system = System::start(&[], &[]).await;
    let post = async |body: Value| {
        let request = client().post(format!("{}/v1/webhooks", system.service.address)).bearer_auth(KEY);
        let request = request.header("idempotency-key", "once").header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await.unwrap();
        let replayed = answer.headers().contains_key("idempotent-replayed");
        let status = answer.status().as_u16();
        (status, replayed, serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap())
    };
    let body = json!({ "url": format!("{}/hook", system.outside.address) });
    let (first, second) = (post(body.clone()).await, post(body).await);
    assert_eq!(
        ((first.0, first.1), (second.0, second.1)),
        ((201, false), (200, true)),
        "{first:?} {second:?}"
    );
    assert_eq!(first.2["id"], second.2["id"]);
    assert_eq!(post(json!({ "url": "https://other.example/" })).await.0, 409, "another body");

    let bad = json!({ "url": "ftp://a.example", "events": ["render.complete", 7], "enabled": "yes" });
    let (status, refused) = system.service.call(Method::POST, "/v1/webhooks", Some(&bad)).await;
    assert_eq!(status.as_u16(), 422);
    let details = refused["error"]["details"].as_array().unwrap();
    let mut paths: Vec<&str> = details.iter().map(|detail| detail["path"].as_str().unwrap()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/enabled", "/events/0", "/events/1", "/url"], "{refused}");
    assert!(refused.to_string().contains("did you mean \\\"render.completed\\\"?"), "{refused}");
    let (status, refused) = system.service.call(Method::POST, "/v1/webhooks", Some(&json!({}))).await;
    assert_eq!(
        (status.as_u16(), &refused["error"]["details"][0]["path"]),
        (422, &json!("/url")),
        "{refused}"
    );

    // A new secret signs beside the old one for a while.
    let rotate = format!("/v1/webhooks/{}/rotate-secret", first.2["id"].as_str().unwrap());
    let (status, rotated) = system.service.call(Method::POST, &rotate, None).await;
    assert_eq!(status.as_u16(), 200, "{rotated}");
    assert!(rotated["secret"].as_str().unwrap().starts_with("whsec_"), "{rotated}");
    system.render(&title()).await;
    until("it is told", async || types(&system.outside) == ["render.completed"]).await;
    let signature = system.outside.ends()[0].headers["framelane-signature"].to_str().unwrap().to_owned();
    assert_eq!(signature.matches("v1=").count(), 2, "both sign: {signature}");
}

#[tokio::test]
async fn an_endpoint_made_later_can_be_tried_and_is_told_what_has_happened() {
    let system = System::start(&[], &[]).await;
    let (job, _) = system.render(&title()).await;
    let late = outside(&system).await;
    let webhook =
        create(&system, &json!({ "url": format!("{}/hook", late.address), "events": [], "enabled": false }))
            .await;
    let path = format!("/v1/webhooks/{}", webhook["id"].as_str().unwrap());

    let (status, tested) = system.service.call(Method::POST, &format!("{path}/test"), None).await;
    assert_eq!((status.as_u16(), &tested["type"]), (202, &json!("webhook.test")), "{tested}");
    until("the trial arrives", async || types(&late) == ["webhook.test"]).await;
    let trial: Value = serde_json::from_slice(&late.ends()[0].body).unwrap();
    assert_eq!(
        (&trial["id"], &trial["data"]["webhook_id"]),
        (&tested["event_id"], &webhook["id"]),
        "{trial}"
    );

    let replay = format!("{path}/replay");
    let (status, counted) =
        system.service.call(Method::POST, &replay, Some(&json!({ "from": 1, "dry_run": true }))).await;
    assert_eq!(
        (status.as_u16(), &counted["events"]),
        (200, &json!(3)),
        "queued, processing, completed: {counted}"
    );
    let since = json!({ "from": job["created_at"], "types": ["render.completed"] });
    let mut answers = Vec::new();
    for _again in 0..2 {
        let asked = client().post(format!("{}{replay}", system.service.address)).bearer_auth(KEY);
        let asked = asked.header("content-type", "application/json").header("idempotency-key", "once");
        let answer = asked.body(since.to_string()).send().await.unwrap();
        answers.push((answer.status().as_u16(), answer.text().await.unwrap()));
    }
    assert_eq!((answers[0].0, answers[1].0), (202, 200), "{answers:?}");
    assert_eq!(answers[0].1, answers[1].1, "the same replay");
    until("it is told", async || types(&late).len() == 2).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(types(&late), ["webhook.test", "render.completed"], "once");
    let told: Value = serde_json::from_slice(&late.ends()[1].body).unwrap();
    let events = system.service.events(job["id"].as_str().unwrap()).await;
    assert_eq!(told["id"], events.last().unwrap()["id"], "by the event's own id");
    assert_eq!(told["data"]["status"], "completed", "{told}");

    // Without a key it is told again, by the same bytes.
    let (status, _) = system.service.call(Method::POST, &replay, Some(&since)).await;
    assert_eq!(status.as_u16(), 202);
    until("it is told again", async || types(&late).len() == 3).await;
    assert_eq!(late.ends()[1].body, late.ends()[2].body);

    let (status, refused) = system
        .service
        .call(Method::POST, &replay, Some(&json!({ "to": "soon", "types": ["render.done"] })))
        .await;
    let faults =
        refused["error"]["details"].as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap());
    assert_eq!(status.as_u16(), 422);
    assert_eq!(faults.collect::<Vec<_>>(), ["/to", "/types/0", "/from"], "{refused}");
}
