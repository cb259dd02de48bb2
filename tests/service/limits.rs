//! What an installation allows, as its callers meet it.

use std::time::Duration;

use axum::http::StatusCode;
use reqwest::Method;
use serde_json::json;
use tokio::time::sleep;

use crate::support::{KEY, System, client, get_url, small};

#[tokio::test]
async fn a_film_is_kept_for_its_time_and_then_gone_also_after_a_restart() {
    let mut system = System::start(&[], &["--retention", "8s"]).await;
    let title = small(1.0, json!([{ "type": "text", "text": "Not for long", "duration": 1 }]));
    let (job, film) = system.render(&title).await;
    let (id, url) = (job["id"].as_str().unwrap(), job["output"]["url"].as_str().unwrap());
    assert!(std::fs::metadata(&film).unwrap().len() > 0, "while it is kept");
    system.service.kill();
    sleep(Duration::from_secs(8)).await;
    system.service.restart().await;

    let address = url.split_once("/v1/").unwrap().1;
    let answer = get_url(format!("{}/v1/{address}", system.service.address)).await.unwrap();
    assert_eq!(answer.status().as_u16(), 410, "its link");
    let (status, gone) = system.service.call(Method::GET, &format!("/v1/renders/{id}/download"), None).await;
    assert_eq!((status, &gone["error"]["code"]), (StatusCode::GONE, &json!("gone")), "{gone}");
    let folder = system.service.data("objects/objects/renders").join(id);
    for _ in 0..100 {
        if !folder.exists() {
            assert_eq!(system.service.job(id).await["status"], "completed", "the job is remembered");
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("the film is still there");
}

#[tokio::test]
async fn a_key_over_its_rate_is_told_when_to_come_back() {
    let system = System::start(&[], &["--rate-limit", "3/min"]).await;
    let ask = async || {
        let address = format!("{}/v1/renders", system.service.address);
        let answer = client().get(address).bearer_auth(KEY).send().await.unwrap();
        let header = |name: &str| answer.headers().get(name).map(|it| it.to_str().unwrap().to_owned());
        (answer.status().as_u16(), header("ratelimit"), header("ratelimit-policy"), header("retry-after"))
    };
    for remaining in (0..3).rev() {
        let (status, left, policy, retry_after) = ask().await;
        assert_eq!((status, retry_after), (200, None));
        assert_eq!(policy.as_deref(), Some("\"default\";q=3;w=60"));
        assert!(
            left.as_deref().is_some_and(|left| left.starts_with(&format!("\"default\";r={remaining};t="))),
            "{left:?}"
        );
    }
    let (status, left, policy, retry_after) = ask().await;
    assert_eq!(status, 429);
    assert!(left.is_some() && policy.is_some(), "told there, too");
    let seconds: u32 = retry_after.unwrap().parse().unwrap();
    assert!((1..=20).contains(&seconds), "one in twenty seconds: {seconds}");
    let unknown = client().get(format!("{}/v1/renders", system.service.address)).bearer_auth("fl_live_guess");
    assert_eq!(unknown.send().await.unwrap().status().as_u16(), 401, "a guess is no key, and has no rate");
    let open = get_url(format!("{}/v1/capabilities", system.service.address)).await.unwrap();
    let told: serde_json::Value = serde_json::from_str(&open.text().await.unwrap()).unwrap();
    assert_eq!(told["service_limits"]["rate_limit"], json!({ "requests": 3, "window_s": 60 }));
}

#[tokio::test]
async fn a_short_disk_is_told_and_a_large_body_is_read_to_its_end() {
    let system = System::start(&[], &["--min-free-disk", "1EiB"]).await;
    let film = small(1.0, json!([]));
    let address = format!("{}/v1/renders", system.service.address);
    let post = async |body: String| {
        let request = client().post(&address).bearer_auth(KEY).header("content-type", "application/json");
        request.body(body).send().await.unwrap()
    };
    let refused = post(film.to_string()).await;
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"30".parse().unwrap()));
    let large = post(format!("{}{film}", " ".repeat(6 << 20))).await;
    assert_eq!(large.status().as_u16(), 413, "and the sender sees it");
    let header = "x".repeat(70_000);
    let huge = client().get(&address).bearer_auth(KEY).header("x-huge", header).send().await.unwrap();
    assert_eq!(huge.status().as_u16(), 431);
    assert!(huge.text().await.unwrap().contains("headers_too_large"), "in the envelope");
}
