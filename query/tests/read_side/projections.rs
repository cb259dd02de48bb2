//! Projections against their definition: the fold of each stream, whatever happens to the projector on the way.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use event_store::EventStore;
use events::job_view::JobView;
use events::{RenderEvent, StreamId};
use query::documents::Documents;
use query::projections::ProjectError;
use query::projections::render_jobs::{self, JobRow, RenderJobs};
use query::projector::Projector;
use query::read_db::{ReadDb, sql};

use crate::lives::{Document, Life, cancelled, completed, failed, leased, part_stored, progress};
use crate::service::{OWNER, Service};

/// Lives of all kinds, their events mixed in the log.
async fn tell_lives(service: &Service) -> Vec<Life> {
    let ends: [&[RenderEvent]; 5] = [
        &[leased(), progress(30), part_stored(), completed("renders/a/1", b"film", "film.mp4")],
        &[leased(), progress(30), progress(20), failed()],
        &[cancelled()],
        &[leased(), part_stored(), progress(99)],
        &[],
    ];
    let mut lives = Vec::new();
    for n in 0..40_usize {
        let number = n.to_string();
        lives.push((service.submit(&Document::with_metadata(&[("n", &number)])).await, ends[n % ends.len()]));
    }
    for step in 0..4 {
        for (life, events) in &mut lives {
            if let Some(event) = events.get(step) {
                life.append(service.store.as_ref(), std::slice::from_ref(event)).await;
            }
        }
    }
    lives.into_iter().map(|(life, _)| life).collect()
}

async fn rows(db: &ReadDb) -> Vec<JobRow> {
    let live = sql("SELECT generation FROM projection WHERE name = 'render_jobs' AND live = 1");
    let live = db.fetch_all(live).await.expect("reads");
    assert_eq!(live.len(), 1, "one generation is live");
    render_jobs::all(db, live[0].get("generation").expect("a number")).await.expect("reads")
}

async fn count(db: &ReadDb, text: &'static str) -> i64 {
    let found = db.fetch_optional(sql(text)).await.expect("reads");
    found.expect("a row").get("n").expect("a number")
}

async fn assert_rows_are_folds(service: &Service, lives: &[Life], db: &ReadDb) {
    let rows = rows(db).await;
    let key = documents(service).key(OWNER).await.expect("reads");
    assert_eq!(rows.len(), lives.len(), "one row for each job");
    for ((row, life), n) in rows.iter().zip(lives).zip(0..) {
        let stream = service.store.load(&StreamId::from(life.id)).await.expect("loads");
        let fold = JobView::fold(&stream).expect("decodes").expect("a job");
        assert_eq!(row.view, fold, "the row is the fold");
        assert_eq!(row.metadata(key.as_ref())["n"], format!("{n}"), "with the caller's words");
        assert_eq!(row.position, stream[0].position, "in the log's order");
    }
}

fn documents(service: &Service) -> Documents {
    Documents::new(Arc::clone(&service.store) as Arc<dyn EventStore>, Arc::clone(&service.vault))
}

fn projector(service: &Service, db: &ReadDb) -> Projector<RenderJobs> {
    let store = Arc::clone(&service.store) as Arc<dyn EventStore>;
    Projector::new(RenderJobs::new(documents(service)), store, db.clone())
}

/// Lets `work` go on for `polls` steps and drops it where it is then; its result if it came to an end.
async fn for_a_while<T>(work: impl Future<Output = T>, mut polls: u32) -> Option<T> {
    let mut work = pin!(work);
    std::future::poll_fn(move |context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if polls == 0 => Poll::Ready(None),
        Poll::Pending => {
            polls -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

#[tokio::test]
async fn rows_are_the_folds_of_their_streams() {
    let service = Service::prepared().await;
    let lives = tell_lives(&service).await;
    let db = ReadDb::open(&service.read_db()).await.expect("opens");
    let reached = projector(&service, &db).catch_up().await.expect("catches up");
    assert_eq!(reached, service.store.head().await.expect("a head").position);
    assert_rows_are_folds(&service, &lives, &db).await;
}

#[tokio::test]
async fn a_projector_cut_at_any_moment_goes_on_from_its_checkpoint() {
    let service = Service::prepared().await;
    let mut lives = tell_lives(&service).await;
    let db = ReadDb::open(&service.read_db()).await.expect("opens");
    let mut polls = 0;
    while for_a_while(projector(&service, &db).catch_up(), polls).await.is_none() {
        // A server's answer is waited for by many polls that get nowhere.
        polls += 5 + polls / 4;
        // The log grows meanwhile, so that there is always something to be cut off from.
        lives[3].append(service.store.as_ref(), &[progress(99)]).await;
    }
    projector(&service, &db).catch_up().await.expect("catches up");
    assert!(polls > 10, "it was cut often enough to mean something");
    assert_rows_are_folds(&service, &lives, &db).await;
}

#[tokio::test]
async fn of_two_projectors_one_moves_the_checkpoint_and_the_other_writes_nothing() {
    let service = Service::prepared().await;
    let lives = tell_lives(&service).await;
    let db = ReadDb::open(&service.read_db()).await.expect("opens");
    let (one, other) = (projector(&service, &db), projector(&service, &db));
    let (first, second) = tokio::join!(one.catch_up(), other.catch_up());
    for outcome in [&first, &second] {
        assert!(matches!(outcome, Ok(_) | Err(ProjectError::Superseded)), "{outcome:?}");
    }
    assert!(first.is_ok() || second.is_ok(), "one of them comes through");
    assert_rows_are_folds(&service, &lives, &db).await;
}

#[tokio::test]
async fn a_rebuild_beside_the_running_service_equals_the_folds() {
    let service = Service::start().await;
    let mut lives = tell_lives(&service).await;
    let db = ReadDb::open(&service.read_db()).await.expect("opens");
    service.get("/v1/renders").await;
    let before = rows(&db).await;
    let mut spoiling = db.write().await.expect("locks");
    let spoil = sql("UPDATE render_jobs SET metadata = $1").bind(Vec::new());
    spoiling.execute(spoil).await.expect("spoils them");
    spoiling.commit().await.expect("commits");
    let mut seen = Vec::new();
    let store = Arc::clone(&service.store) as Arc<dyn EventStore>;
    let (vault, read_db) = (Arc::clone(&service.vault), service.read_db());
    let rebuilding = query::rebuild(store, vault, &read_db, |at| seen.push(at));
    let growing = async {
        for _ in 0..50 {
            lives[3].append(service.store.as_ref(), &[progress(99)]).await;
            tokio::task::yield_now().await;
        }
    };
    let (rebuilt, ()) = tokio::join!(rebuilding, growing);
    assert_eq!(seen.last(), Some(&rebuilt.expect("rebuilds")), "progress is told up to the end");
    let answer = service.get(&format!("/v1/renders/{}", lives[0].id)).await;
    assert_eq!(answer.json()["status"], "completed", "readers go on reading");
    assert_eq!(rows(&db).await.len(), before.len());
    assert_rows_are_folds(&service, &lives, &db).await;
    assert_eq!(
        count(&db, "SELECT COUNT(DISTINCT generation) AS n FROM render_jobs").await,
        1,
        "the old rows are gone"
    );
}

#[tokio::test]
async fn a_rebuild_cut_short_leaves_the_live_rows_and_nothing_for_the_next_one() {
    let service = Service::prepared().await;
    let lives = tell_lives(&service).await;
    let db = ReadDb::open(&service.read_db()).await.expect("opens");
    projector(&service, &db).catch_up().await.expect("catches up");
    for polls in [20, 60, 100, 140] {
        let store = Arc::clone(&service.store) as Arc<dyn EventStore>;
        let vault = Arc::clone(&service.vault);
        drop(for_a_while(query::rebuild(store, vault, &service.read_db(), |_| ()), polls).await);
        assert_rows_are_folds(&service, &lives, &db).await;
    }
    let store = Arc::clone(&service.store) as Arc<dyn EventStore>;
    query::rebuild(store, Arc::clone(&service.vault), &service.read_db(), |_| ()).await.expect("rebuilds");
    assert_rows_are_folds(&service, &lives, &db).await;
    let left = count(&db, "SELECT COUNT(*) AS n FROM projection WHERE name = 'render_jobs'").await;
    assert_eq!(left, 1, "nothing is left of those cut short");
}
