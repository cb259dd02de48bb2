//! What S3 promises beyond the port, and which stores are refused.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use events::Sha256;
use storage::{OpenS3Error, S3Credentials, S3Options, S3Storage, Storage as _, StorageError, View};

use crate::meddler::{Meddler, Meddling};
use crate::port::{any, bytes_of};
use crate::server::{BUCKET, KEY_ID, SECRET, Server};

/// A place in the server's bucket, with its copies in the folder.
pub(crate) fn options(address: &str, folder: &Path) -> S3Options {
    let variable = |name: &str| match name {
        "AWS_ACCESS_KEY_ID" => Some(KEY_ID.to_owned()),
        "AWS_SECRET_ACCESS_KEY" => Some(SECRET.to_owned()),
        _ => None,
    };
    S3Options {
        place: format!("s3://{BUCKET}/a/prefix").parse().unwrap(),
        endpoint: Some(address.to_owned()),
        public_endpoint: None,
        region: None,
        path_style: true,
        allow_http: vec!["127.0.0.1".to_owned()],
        redirect: true,
        credentials: S3Credentials::from_environment(variable),
        cache: folder.join("copies"),
        cache_bytes_max: 1 << 30,
    }
}

/// A server, a proxy before it and what was opened through that.
struct Desk {
    storage: S3Storage,
    meddler: Meddler,
    server: Server,
    folder: tempfile::TempDir,
}

impl Desk {
    async fn with(meddling: Meddling) -> Desk {
        let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
        let meddler = Meddler::start(server.address(), meddling).await;
        let storage = S3Storage::open(options(&meddler.address, folder.path())).await.unwrap();
        meddler.seen();
        Desk { storage, meddler, server, folder }
    }

    fn film(&self) -> (std::path::PathBuf, Sha256) {
        let (film, path) = (vec![7; 20 << 20], self.folder.path().join("film"));
        std::fs::write(&path, &film).unwrap();
        (path, Sha256::of(&film))
    }

    /// Whether the store holds parts of uploads that nobody finished.
    async fn has_pieces(&self) -> bool {
        let begun = self.meddler.seen();
        let count = |method: &str, what: &str| {
            begun.iter().filter(|seen| seen.method == method && seen.target.contains(what)).count()
        };
        assert!(count("POST", "?uploads") > 0, "an upload in parts began: {begun:?}");
        count("POST", "?uploads") > count("POST", "uploadId=") + count("DELETE", "uploadId=")
    }
}

fn shown(disposition: &str) -> View<'_> {
    View { head: false, content_type: "video/mp4", disposition, seconds: 60 }
}

#[tokio::test]
async fn every_write_is_conditional_also_the_end_of_one_in_parts() {
    let desk = Desk::with(Meddling::None).await;
    desk.storage.put_bytes("small", b"x").await.unwrap();
    let (film, digest) = desk.film();
    desk.storage.put_file("film", &film, digest, &any).await.unwrap();
    let seen = desk.meddler.seen();
    let appears: Vec<_> = seen
        .iter()
        .filter(|seen| match seen.method.as_str() {
            "PUT" => !seen.target.contains("partNumber"),
            "POST" => seen.target.contains("uploadId"),
            _ => false,
        })
        .collect();
    assert_eq!(appears.len(), 2, "{seen:?}");
    assert!(appears.iter().all(|seen| seen.is_conditional), "{appears:?}");
    let parts = seen.iter().filter(|seen| seen.target.contains("partNumber")).count();
    assert_eq!(parts, 3, "20 MiB in parts of 8: {seen:?}");
}

#[tokio::test]
async fn an_upload_that_fails_is_aborted_and_nothing_of_it_shows() {
    let desk = Desk::with(Meddling::LosesParts).await;
    let (film, digest) = desk.film();
    let refused = desk.storage.put_file("film", &film, digest, &any).await.unwrap_err();
    let told = format!("{refused}: {}", std::error::Error::source(&refused).unwrap());
    assert!(
        told.contains("store the object s3://films/a/prefix/film") && told.contains("(BadDigest)"),
        "{told}"
    );
    assert!(!desk.has_pieces().await, "it was aborted");
    assert!(matches!(desk.storage.size("film").await, Err(StorageError::NotFound { .. })));
}

#[tokio::test]
async fn an_upload_that_nobody_wants_any_more_ends_at_the_next_part() {
    let desk = Desk::with(Meddling::None).await;
    let (film, digest) = desk.film();
    let moved = AtomicU64::new(0);
    let once = |_bytes: u64| moved.fetch_add(1, Ordering::SeqCst) > 0;
    let given_up = desk.storage.put_file("film", &film, digest, &once).await;
    assert!(matches!(given_up, Err(StorageError::GivenUp { .. })), "{given_up:?}");
    assert!(!desk.has_pieces().await, "it was aborted");
    assert!(matches!(desk.storage.size("film").await, Err(StorageError::NotFound { .. })));
}

#[tokio::test]
async fn a_signed_address_gives_the_bytes_as_they_are_to_be_shown() {
    let desk = Desk::with(Meddling::None).await;
    desk.storage.put_bytes("film", b"0123456789").await.unwrap();
    let disposition = "attachment; filename=\"a b.mp4\"; filename*=UTF-8''a%20b.mp4";
    let address = desk.storage.address("film", &shown(disposition)).await.unwrap().unwrap();
    assert!(!address.contains(SECRET) && address.contains("X-Amz-Expires=60&"), "{address}");
    let client = reqwest::Client::new();
    let answer = client.get(&address).send().await.unwrap();
    assert_eq!(answer.headers()["content-disposition"], disposition);
    assert_eq!(answer.headers()["content-type"], "video/mp4");
    assert_eq!(answer.headers()["x-amz-meta-sha256"], Sha256::of(b"0123456789").to_string().as_str());
    assert_eq!(answer.bytes().await.unwrap().as_ref(), b"0123456789");
    let range = client.get(&address).header("range", "bytes=2-4").send().await.unwrap();
    assert_eq!(range.bytes().await.unwrap().as_ref(), b"234");
    let head = View { head: true, ..shown(disposition) };
    let address = desk.storage.address("film", &head).await.unwrap().unwrap();
    let answer = client.head(&address).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-length"]),
        (200, &"10".parse().unwrap())
    );
}

#[tokio::test]
async fn clients_are_sent_to_the_public_address_or_nowhere() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let public = Some("https://films.example".to_owned());
    let options = options(&server.address(), folder.path());
    let elsewhere = S3Storage::open(S3Options { public_endpoint: public, ..options.clone() }).await.unwrap();
    let address = elsewhere.address("film", &shown("inline")).await.unwrap().unwrap();
    assert!(address.starts_with("https://films.example/films/a/prefix/film?"), "{address}");
    let nowhere = S3Storage::open(S3Options { redirect: false, ..options }).await.unwrap();
    assert_eq!(nowhere.address("film", &shown("inline")).await.unwrap(), None);
}

#[tokio::test]
async fn an_address_works_for_a_quarter_of_an_hour_at_most() {
    let desk = Desk::with(Meddling::None).await;
    let view = View { seconds: 86_400, ..shown("inline") };
    let address = desk.storage.address("film", &view).await.unwrap().unwrap();
    assert!(address.contains("X-Amz-Expires=900&"), "{address}");
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_refused_and_keeps_nothing() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let meddler = Meddler::start(server.address(), Meddling::Unconditional).await;
    let refused = S3Storage::open(options(&meddler.address, folder.path())).await.unwrap_err();
    assert!(matches!(refused, OpenS3Error::Replaces { .. }), "{refused:?}");
    assert!(refused.to_string().contains("s3://films/a/prefix at http://127.0.0.1"), "{refused}");
    let honest = S3Storage::open(options(&server.address(), folder.path())).await.unwrap();
    assert!(honest.list("").await.unwrap().is_empty(), "the trial left nothing");
}

#[tokio::test]
async fn a_store_that_says_no_is_quoted_without_its_secrets() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let meddler = Meddler::start(server.address(), Meddling::Refuses).await;
    let refused = S3Storage::open(options(&meddler.address, folder.path())).await.unwrap_err();
    let told = format!("{refused} {refused:?}");
    assert!(
        told.contains("could not write a trial object") && told.contains("SignatureDoesNotMatch"),
        "{told}"
    );
    assert!(!told.contains(KEY_ID) && !told.contains(SECRET), "{told}");
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_named() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let place = "s3://nothing-here".parse().unwrap();
    let refused =
        S3Storage::open(S3Options { place, ..options(&server.address(), folder.path()) }).await.unwrap_err();
    let told = refused.to_string();
    assert!(told.contains("s3://nothing-here at") && told.contains("NoSuchBucket"), "{told}");
}

#[tokio::test]
async fn foreign_objects_in_the_bucket_are_left_alone() {
    let desk = Desk::with(Meddling::None).await;
    desk.storage.put_bytes("renders/x", b"x").await.unwrap();
    let place = format!("s3://{BUCKET}/a").parse().unwrap();
    let above = S3Options { place, ..options(&desk.server.address(), desk.folder.path()) };
    let above = S3Storage::open(above).await.unwrap();
    above.put_bytes("prefixed", b"y").await.unwrap();
    assert_eq!(desk.storage.list("").await.unwrap(), ["renders/x"], "a neighbour is not below the prefix");
}

#[tokio::test]
async fn what_was_fetched_is_not_fetched_again() {
    let desk = Desk::with(Meddling::None).await;
    desk.storage.put_bytes("k", b"pinned").await.unwrap();
    let first = desk.storage.local_file("k", None, &any).await.unwrap();
    desk.meddler.seen();
    assert_eq!(desk.storage.local_file("k", Some(Sha256::of(b"pinned")), &any).await.unwrap(), first);
    assert!(desk.meddler.seen().is_empty(), "no request");
    let copies = desk.folder.path().join("copies");
    drop(desk.storage);
    assert_eq!(std::fs::read_dir(copies).unwrap().count(), 0, "copies end with their process");
}

#[tokio::test]
async fn bytes_that_were_altered_in_the_store_are_not_trusted() {
    let desk = Desk::with(Meddling::None).await;
    let (wrong, path) = (Sha256::of(b"what it should be"), desk.folder.path().join("file"));
    std::fs::write(&path, "what it is").unwrap();
    desk.storage.put_file("k", &path, wrong, &any).await.unwrap();
    let altered = desk.storage.local_file("k", None, &any).await;
    assert!(matches!(altered, Err(StorageError::Changed { .. })), "other bytes than its digest: {altered:?}");
    assert_eq!(bytes_of(&desk.storage, "k", 0).await, b"what it is");
}
