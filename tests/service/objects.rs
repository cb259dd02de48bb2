//! Objects in an S3 store: its own server, the service's face and a worker that meet nowhere but there and at NATS.

use std::process::Command;

use events::Sha256;
use serde_json::{Value, json};

use crate::cluster::Nats;
use crate::s3_server::{BUCKET, KEY_ID, SECRET, Server};
use crate::support::{Outside, Service, client_builder, ffmpeg, get_url, small};

const CLIP: &str = "-f lavfi -i testsrc2=size=320x180:rate=30 -f lavfi -i sine=440 -t 9 -c:v libx264 -preset veryfast -g 60 -pix_fmt yuv420p -c:a aac";

fn film(outside: &Outside) -> Value {
    small(9.0, json!([{ "type": "video", "source_url": outside.media("clip.mp4"), "out_point": 9 }]))
}

/// The options of a process whose objects lie in the server's bucket.
fn objects(server: &Server) -> Vec<String> {
    ["--objects", &format!("s3://{BUCKET}/a"), "--s3-endpoint", &server.address(), "--s3-path-style"]
        .into_iter()
        .chain(["--s3-allow-http", "127.0.0.1"])
        .map(str::to_owned)
        .collect()
}

async fn start(folder: &std::path::Path, options: &[String]) -> Service {
    Service::start(folder, &options.iter().map(String::as_str).collect::<Vec<_>>()).await
}

#[tokio::test]
async fn a_film_made_over_s3_is_the_one_made_over_a_folder_and_its_link_leads_to_the_store() {
    let (server, nats, folder) = (Server::start().await, Nats::start().await, tempfile::tempdir().unwrap());
    ffmpeg(CLIP, &folder.path().join("clip.mp4"));
    let outside = Outside::start(folder.path().to_owned()).await;
    let with = |more: &[&str]| {
        let more = more.iter().map(|&option| option.to_owned());
        objects(&server)
            .into_iter()
            .chain(["--nats-url".to_owned(), nats.address()])
            .chain(more)
            .collect::<Vec<_>>()
    };
    // Another name of the same server: what clients are told is not what the service uses itself.
    let public = server.address().replace("127.0.0.1", "localhost");
    let roles = ["--roles", "command,query,projector,webhooks", "--s3-allow-http", "localhost"];
    let options = with(&[&roles[..], &["--s3-public-endpoint", &public]].concat());
    let face = start(&folder.path().join("face"), &options).await;
    let worker = start(&folder.path().join("worker"), &with(&["--roles", "worker", "--slots", "2"])).await;

    let id = face.submit(&film(&outside)).await;
    let job = face.finished(&id).await;
    assert_eq!(job["status"], "completed", "{job}");
    let link = job["output"]["url"].as_str().unwrap();
    let direct = client_builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let answer = direct.get(link).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 302, "the link leads on");
    let address = answer.headers()["location"].to_str().unwrap().to_owned();
    let place = format!("{public}/{BUCKET}/a/renders/{id}/assemble/");
    assert!(address.starts_with(&place) && address.contains("X-Amz-Expires=900&"), "{address}");
    assert!(!address.contains(SECRET), "{address}");
    let answer = get_url(&address).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "video/mp4");
    assert!(answer.headers()["content-disposition"].to_str().unwrap().contains(&format!("{id}.mp4")));
    let made = answer.bytes().await.unwrap();
    assert_eq!(job["output"]["sha256"], Sha256::of(&made).to_string(), "the film, whole");

    let (_, usage) = face.call(reqwest::Method::GET, "/v1/workspace/usage", None).await;
    assert_eq!(usage["egress_bytes"], made.len(), "what was asked for counts as sent: {usage}");
    let altered = direct.get(link.replace("sig=", "sig=A")).send().await.unwrap();
    assert_eq!(altered.status().as_u16(), 403);
    for service in [&face, &worker] {
        let log = std::fs::read_to_string(service.data("../service.log")).unwrap();
        assert!(!log.contains(SECRET) && !log.contains(KEY_ID), "no log holds a key");
        assert!(!service.data("objects").exists(), "nothing lies in a folder");
    }

    let alone = Service::start(&folder.path().join("alone"), &["--slots", "2"]).await;
    let (other, _) = alone.film(&alone.submit(&film(&outside)).await).await;
    assert_eq!(job["output"]["sha256"], other["output"]["sha256"], "to the bit");
}

#[tokio::test]
async fn bytes_come_through_the_service_where_clients_do_not_reach_the_store() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let options: Vec<String> =
        objects(&server).into_iter().chain(["--s3-redirect".to_owned(), "off".to_owned()]).collect();
    let service = start(&folder.path().join("service"), &options).await;
    let card = json!({ "type": "text", "text": "Card", "duration": 1 });
    let mut request = small(1.0, json!([card]));
    request["output_format"] = json!("png");
    let job = service.finished(&service.submit(&request).await).await;
    assert_eq!(job["status"], "completed", "{job}");
    let direct = client_builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let answer = direct.get(job["output"]["url"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(job["output"]["sha256"], Sha256::of(&answer.bytes().await.unwrap()).to_string());
}

#[test]
fn a_store_in_clear_or_none_at_all_is_refused_with_the_remedy() {
    let serve = |options: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let outcome = Command::new(env!("CARGO_BIN_EXE_framelane"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path())
            .args(options)
            .output()
            .unwrap();
        assert!(!outcome.status.success());
        String::from_utf8(outcome.stderr).unwrap()
    };
    let clear = serve(&["--objects", "s3://films", "--s3-endpoint", "http://minio:9000", "--s3-path-style"]);
    assert!(clear.contains("--s3-allow-http minio"), "{clear}");
    let other = serve(&["--objects", "gs://films"]);
    assert!(other.contains("expected s3://bucket"), "{other}");
}
