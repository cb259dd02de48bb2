//! Workspaces side by side: nobody sees, changes or guesses anything of another's.

use std::process::Command;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{KEY, Service, System, client, small};

/// Makes another workspace beside the running service; its key.
fn another_workspace(service: &Service) -> String {
    let made = Command::new(env!("CARGO_BIN_EXE_framelane"))
        .args(["workspaces", "create", "another", "--data-dir"])
        .arg(service.data(""))
        .output()
        .unwrap();
    let told = String::from_utf8(made.stdout).unwrap();
    assert!(made.status.success(), "{told}{}", String::from_utf8_lossy(&made.stderr));
    told.lines().find_map(|line| line.split("shown once): ").nth(1)).unwrap().to_owned()
}

/// A caller with a key of its own.
struct Caller<'s> {
    service: &'s Service,
    key: String,
}

impl Caller<'_> {
    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value, String) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = client().request(method, format!("{}{path}", self.service.address));
        let request = request.bearer_auth(&self.key).header("idempotency-key", "the same everywhere");
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None => request,
        };
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null), text)
    }

    async fn read(&self, path: &str) -> Value {
        let (status, body, _) = self.ask("GET", path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }
}

/// Whoever adds an operation on something that belongs to a workspace adds it to the test, too.
async fn every_name_is_tried(owner: &Caller<'_>, tried: &[(&str, &str)]) {
    let document = owner.read("/openapi.json").await;
    for (path, operations) in document["paths"].as_object().unwrap() {
        // A signed link is its own key.
        let names_something = path.contains('{') && !path.starts_with("/v1/artifacts/");
        let path = path.replace("{delivery_id}", "dlv_00000000000000000000000000");
        let (before, after) = (path.split('{').next().unwrap(), path.rsplit('}').next().unwrap());
        for method in operations.as_object().unwrap().keys().filter(|_| names_something) {
            let generic = format!("{before}{{}}{after}");
            let known = tried.contains(&(method.to_uppercase().as_str(), generic.as_str()));
            assert!(known, "{method} {path} is not tried with another workspace's ids");
        }
    }
}

#[tokio::test]
async fn no_workspace_sees_anything_of_another() {
    let system = System::start(&[], &["--retention", "1h"]).await;
    let service = &system.service;
    let owner = Caller { service, key: KEY.to_owned() };
    let stranger = Caller { service, key: another_workspace(service) };

    let mut film = small(1.0, json!([{ "type": "text", "text": "Mine alone", "duration": 1 }]));
    film["metadata"] = json!({ "secret": "of the owner" });
    film["webhook_url"] = json!(format!("{}/hook", system.outside.address));
    let (status, job, _) = owner.ask("POST", "/v1/renders", Some(&film)).await;
    assert_eq!(status, 202, "{job}");
    let id = job["id"].as_str().unwrap();
    let (job, _) = service.film(id).await;
    let (status, key, _) = owner.ask("POST", "/v1/api-keys", Some(&json!({ "name": "of the owner" }))).await;
    assert_eq!(status, 201, "{key}");
    let workspace = job["workspace_id"].as_str().unwrap();

    let hook = json!({ "url": format!("{}/hook", system.outside.address) });
    let (status, webhook, _) = owner.ask("POST", "/v1/webhooks", Some(&hook)).await;
    assert_eq!(status, 201, "{webhook}");
    let webhook_id = webhook["id"].as_str().unwrap();

    // By name: as if it did not exist, in the same words as what does not.
    let key_id = key["id"].as_str().unwrap();
    let absent = [
        "render_00000000000000000000000000",
        "key_00000000000000000000000000",
        "wh_00000000000000000000000000",
    ];
    let by_name: [(&str, &str, &str, &str); 15] = [
        ("GET", "/v1/renders/{}", id, absent[0]),
        ("GET", "/v1/renders/{}?wait=1", id, absent[0]),
        ("DELETE", "/v1/renders/{}", id, absent[0]),
        ("GET", "/v1/renders/{}/download", id, absent[0]),
        ("GET", "/v1/renders/{}/events", id, absent[0]),
        ("GET", "/v1/renders/{}/deliveries", id, absent[0]),
        ("DELETE", "/v1/api-keys/{}", key_id, absent[1]),
        ("GET", "/v1/webhooks/{}", webhook_id, absent[2]),
        ("PATCH", "/v1/webhooks/{}", webhook_id, absent[2]),
        ("GET", "/v1/webhooks/{}/deliveries", webhook_id, absent[2]),
        ("POST", "/v1/webhooks/{}/rotate-secret", webhook_id, absent[2]),
        ("POST", "/v1/webhooks/{}/test", webhook_id, absent[2]),
        ("POST", "/v1/webhooks/{}/replay", webhook_id, absent[2]),
        (
            "POST",
            "/v1/webhooks/{}/deliveries/dlv_00000000000000000000000000/redeliver",
            webhook_id,
            absent[2],
        ),
        ("DELETE", "/v1/webhooks/{}", webhook_id, absent[2]),
    ];
    for (method, path, id, absent) in by_name {
        let change = json!({});
        let sent = matches!(method, "PATCH" | "POST").then_some(&change);
        let (status, body, _) = stranger.ask(method, &path.replace("{}", id), sent).await;
        let (_, nothing, _) = stranger.ask(method, &path.replace("{}", absent), sent).await;
        assert_eq!((status, &body["error"]["code"]), (404, &json!("not_found")), "{method} {path}: {body}");
        let text = body.to_string().replace(id, "…");
        assert_eq!(text, nothing.to_string().replace(absent, "…"), "{method} {path} tells that it exists");
    }

    every_name_is_tried(&owner, &by_name.map(|(method, path, ..)| (method, path))).await;

    // In lists and counts: nothing of it.
    for path in ["/v1/renders", "/v1/events", "/v1/webhooks", "/v1/renders?metadata[secret]=of%20the%20owner"]
    {
        assert_eq!(stranger.read(path).await["data"], json!([]), "{path}");
        assert_ne!(owner.read(path).await["data"], json!([]), "{path} shows the owner's own");
    }
    let keys = stranger.read("/v1/api-keys").await;
    assert_eq!(keys["data"].as_array().unwrap().len(), 1, "its own: {keys}");
    let usage = stranger.read("/v1/workspace/usage").await;
    assert_eq!((&usage["render_minutes"], &usage["egress_bytes"]), (&json!(0.0), &json!(0)), "{usage}");
    assert_ne!(owner.read("/v1/workspace/usage").await["render_minutes"], json!(0.0));
    let own = stranger.read("/v1/workspace").await;
    assert_eq!(own["name"], "another");
    assert_ne!(own["id"], workspace);
    let (status, _, _) = stranger.ask("PATCH", "/v1/workspace", Some(&json!({ "name": "mine now" }))).await;
    assert_eq!(
        (status, &owner.read("/v1/workspace").await["name"]),
        (200, &json!("default")),
        "only its own"
    );

    // Under the same idempotency key: two jobs.
    let (status, other, _) = stranger.ask("POST", "/v1/renders", Some(&film)).await;
    assert_eq!(status, 202, "its own key, its own job: {other}");
    assert_ne!(other["id"], id);
    for path in
        ["/v1/renders", "/v1/events", "/v1/webhooks", "/v1/api-keys", "/v1/workspace", "/v1/workspace/usage"]
    {
        let (_, _, text) = stranger.ask("GET", path, None).await;
        for secret in [id, key_id, webhook_id, workspace] {
            assert!(!text.contains(secret), "{path} tells of {secret}: {text}");
        }
    }
    let (status, job, _) = owner.ask("GET", &format!("/v1/renders/{id}"), None).await;
    assert_eq!(
        (status, &job["status"]),
        (StatusCode::OK.as_u16(), &json!("completed")),
        "and nothing happened to it"
    );
    let (status, _, _) = owner.ask("DELETE", &format!("/v1/api-keys/{key_id}"), None).await;
    assert_eq!(status, 204, "the key is there");
}
