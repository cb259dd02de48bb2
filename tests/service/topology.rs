//! Every role in processes of its own, several of those that take requests: one address answers all of it, whoever dies.

use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use crate::cluster::Nats;
use crate::postgres::Database;
use crate::support::{KEY, Outside, Service, client, ffmpeg, get_url, small};

/// Two that take requests, one that answers and passes on, two that project and deliver, two that render. What is listed
/// first is dropped first: the processes before their servers.
struct Topology {
    query: Service,
    commands: Vec<Service>,
    projectors: Vec<Service>,
    _workers: Vec<Service>,
    outside: Outside,
    folder: tempfile::TempDir,
    _nats: Nats,
    _database: Database,
}

impl Topology {
    async fn start() -> Topology {
        let (nats, database) = (Nats::start().await, Database::create().await);
        let folder = tempfile::tempdir().unwrap();
        ffmpeg(CLIP, &folder.path().join("clip.mp4"));
        let outside = Outside::start(folder.path().to_owned()).await;
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (objects, key) = (path("objects"), path("master.key"));
        let (nats_url, database_url) = (nats.address(), database.address());
        let met = ["--nats-url", nats_url.as_str(), "--objects", &objects];
        let log = ["--database-url", database_url.as_str(), "--master-key", &key, "--lease-ttl-ms", "1000"];
        let process = async |name: &str, options: &[&str]| {
            let options = [&met[..], &["--roles", name.trim_end_matches(char::is_numeric)], options].concat();
            Service::start(&folder.path().join(name), &options).await
        };
        // At the same time: they make the tables and the first workspace between them.
        let (one, other) = tokio::join!(process("command1", &log), process("command2", &log));
        let commands = vec![one, other];
        let (one, other) =
            tokio::join!(process("projector,webhooks1", &log), process("projector,webhooks2", &log));
        let forward = format!("{},{}", commands[0].address, commands[1].address);
        let query = process("query", &[&log[..], &["--forward-to", &forward]].concat()).await;
        let workers =
            vec![process("worker1", &["--slots", "1"]).await, process("worker2", &["--slots", "1"]).await];
        Topology {
            query,
            commands,
            projectors: vec![one, other],
            _workers: workers,
            outside,
            folder,
            _nats: nats,
            _database: database,
        }
    }

    fn film(&self) -> Value {
        let clip = json!({ "type": "video", "source_url": self.outside.media("clip.mp4"), "out_point": 12, "blur": 2 });
        let title = json!({ "type": "text", "text": "Everyone alone", "duration": 12, "font_size": 24 });
        let mut film = small(12.0, json!([title, clip]));
        film["webhook_url"] = json!(format!("{}/hook", self.outside.address));
        film
    }

    async fn told(&self, ends: usize) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.outside.ends().len() < ends {
            assert!(Instant::now() < deadline, "{} of {ends} webhooks came", self.outside.ends().len());
            sleep(Duration::from_millis(20)).await;
        }
    }
}

const CLIP: &str =
    "-f lavfi -i testsrc2=size=640x360:rate=30 -t 12 -c:v libx264 -preset veryfast -g 60 -pix_fmt yuv420p";

#[tokio::test]
async fn roles_in_processes_of_their_own_are_one_service() {
    let mut all = Topology::start().await;
    let alone = {
        let service = Service::start(&all.folder.path().join("alone"), &["--slots", "2"]).await;
        let mut film = all.film();
        film.as_object_mut().unwrap().remove("webhook_url");
        let (job, _) = service.film(&service.submit(&film).await).await;
        job["output"]["sha256"].clone()
    };

    // One address: what it does not answer it passes on, and what was written is read at once.
    let id = all.query.submit(&all.film()).await;
    let (job, _) = all.query.film(&id).await;
    assert_eq!(job["output"]["sha256"], alone, "{job}");
    all.told(1).await;

    // What is no process's own business is refused by name.
    let asked = client().get(format!("{}/v1/renders/{id}", all.commands[0].address)).bearer_auth(KEY);
    let answer = asked.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 421);
    let ready = get_url(format!("{}/readyz", all.projectors[0].address)).await.unwrap();
    assert!(ready.status().is_success());

    // One of each dies in the middle of a film; the others go on.
    let id = all.query.submit(&all.film()).await;
    all.commands[0].kill();
    all.projectors[0].kill();
    let (job, _) = all.query.film(&id).await;
    assert_eq!(job["output"]["sha256"], alone, "{job}");
    all.told(2).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(all.outside.ends().len(), 2, "each end is told once");
    let cancelled = {
        let id = all.query.submit(&all.film()).await;
        let (status, job) = all.query.call(reqwest::Method::DELETE, &format!("/v1/renders/{id}"), None).await;
        assert_eq!((status.as_u16(), &job["status"]), (200, &json!("cancelled")), "{job}");
        id
    };
    let (_, list) = all.query.call(reqwest::Method::GET, "/v1/renders?limit=1", None).await;
    assert_eq!(
        (&list["data"][0]["id"], &list["data"][0]["status"]),
        (&json!(cancelled), &json!("cancelled"))
    );
}
