//! Stored films by signed link.

use axum::http::request::Builder;
use axum::http::{Request, StatusCode, header};
use events::Timestamp;
use storage::{LinkSigner, Storage as _};

use crate::service::Service;

const FILM: &[u8] = b"0123456789";
const FAR: Timestamp = Timestamp(4_000_000_000_000_000);

/// The path and query of a link that ends at `expires`.
fn link(expires: Timestamp) -> String {
    let signer = LinkSigner::new("http://films.example", [3; 32]);
    let link = signer.link("renders/a/1", "my film ü.mp4", Some("video/mp4"), expires);
    link.strip_prefix("http://films.example").expect("below the public URL").to_owned()
}

async fn service() -> Service {
    let service = Service::start().await;
    service.storage.put_bytes("renders/a/1", FILM).await.expect("stores");
    service
}

fn get() -> Builder {
    Request::get(link(FAR))
}

#[tokio::test]
async fn a_link_answers_with_the_film_and_what_browsers_need() {
    let service = service().await;
    let answer = service.ask(get()).await;
    assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::OK, FILM));
    assert_eq!(answer.header(header::CONTENT_TYPE), "video/mp4");
    assert_eq!(answer.header(header::CONTENT_LENGTH), "10");
    assert_eq!(answer.header(header::ACCEPT_RANGES), "bytes");
    assert_eq!(answer.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    let disposition = answer.header(header::CONTENT_DISPOSITION);
    assert_eq!(
        disposition,
        "attachment; filename=\"my film _.mp4\"; filename*=UTF-8''my%20film%20%C3%BC.mp4"
    );
}

#[tokio::test]
async fn head_tells_the_same_without_the_bytes() {
    let service = service().await;
    let answer = service.ask(Request::head(link(FAR))).await;
    assert_eq!((answer.status, answer.header(header::CONTENT_LENGTH)), (StatusCode::OK, "10"));
    assert!(answer.body.is_empty(), "no bytes");
}

#[tokio::test]
async fn one_range_is_answered_with_just_that() {
    let service = service().await;
    for (range, bytes, told) in [
        ("bytes=2-4", &b"234"[..], "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-1", b"9", "bytes 9-9/10"),
        ("bytes=0-99", FILM, "bytes 0-9/10"),
    ] {
        let answer = service.ask(get().header(header::RANGE, range)).await;
        assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::PARTIAL_CONTENT, bytes), "{range}");
        assert_eq!(answer.header(header::CONTENT_RANGE), told);
        assert_eq!(answer.header(header::CONTENT_LENGTH), bytes.len().to_string());
    }
    let beyond = service.ask(get().header(header::RANGE, "bytes=10-")).await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.header(header::CONTENT_RANGE), "bytes */10");
}

#[tokio::test]
async fn validators_spare_bytes_and_guard_ranges() {
    let service = service().await;
    let etag = service.ask(get()).await.header(header::ETAG).to_owned();
    let known = service.ask(get().header(header::IF_NONE_MATCH, &etag)).await;
    assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0));
    let same = service.ask(get().header(header::RANGE, "bytes=0-0").header(header::IF_RANGE, &etag)).await;
    assert_eq!(same.status, StatusCode::PARTIAL_CONTENT);
    let other =
        service.ask(get().header(header::RANGE, "bytes=0-0").header(header::IF_RANGE, "\"other\"")).await;
    assert_eq!(
        (other.status, other.body.as_slice()),
        (StatusCode::OK, FILM),
        "a range of other bytes is no help"
    );
}

#[tokio::test]
async fn expired_altered_and_emptied_links_open_nothing() {
    let service = service().await;
    let refused = [
        (link(Timestamp(1_000_000)), StatusCode::GONE),
        (link(FAR).replace("my", "your"), StatusCode::FORBIDDEN),
        (link(FAR).replace("renders/a/1", "renders/a/2"), StatusCode::FORBIDDEN),
        (link(FAR).replace("renders/a/1", "renders/../a"), StatusCode::FORBIDDEN),
        ("/v1/artifacts/renders/a/1".to_owned(), StatusCode::FORBIDDEN),
    ];
    for (path, status) in refused {
        assert_eq!(service.ask(Request::get(&path)).await.status, status, "{path}");
    }
    service.storage.delete("renders/a/1").await.expect("deletes");
    let gone = service.ask(get()).await;
    assert_eq!((gone.status, gone.json()["error"]["code"].as_str()), (StatusCode::GONE, Some("gone")));
}

#[tokio::test]
async fn a_link_leads_to_the_store_where_clients_read_from_that() {
    let mut service = Service::prepared().await;
    service.is_elsewhere = true;
    service.run(crate::service::fast_webhooks()).await;
    service.storage.put_bytes("renders/a/1", FILM).await.expect("stores");
    let answer = service.ask(get()).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::FOUND, 0));
    let address = answer.header(header::LOCATION);
    assert!(
        address.starts_with("https://store.example/renders/a/1?head=false&type=video/mp4&for="),
        "{address}"
    );
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-store", "the address ends soon");
    let head = service.ask(Request::head(link(FAR))).await;
    assert!(head.header(header::LOCATION).contains("head=true"), "signed for what was asked");
    let beyond = service.ask(get().header(header::RANGE, "bytes=10-")).await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
    let altered = service.ask(Request::get(link(FAR).replace("my", "your"))).await;
    assert_eq!(altered.status, StatusCode::FORBIDDEN, "our signature is asked for first");
    service.storage.delete("renders/a/1").await.expect("deletes");
    assert_eq!(service.ask(get()).await.status, StatusCode::GONE, "nobody is sent to what has been deleted");
}
