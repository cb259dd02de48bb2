//! How fast the read models are made anew, and whether they are the fold of the log.
//!
//! `cargo bench --profile dev --workspace --bench rebuild` for SQLite, and with `-- postgres://…` for an empty PostgreSQL
//! database. Every render has six events; one in eight has metadata, which is sealed.

#![expect(clippy::print_stdout, reason = "printing is its purpose")]

use std::sync::Arc;
use std::time::Instant;

use event_store::documents::DOCUMENT_KEY;
use event_store::{Append, EventStore, PostgresOptions, PostgresStore, Route, SideRow, SqliteStore, Vault};
use events::job_view::JobView;
use events::{StreamId, WorkspaceId};
use futures_util::{StreamExt as _, TryStreamExt as _};
use query::projections::render_jobs;
use query::read_db::{ReadDb, ReadPlace, sql};
use zeroize::Zeroizing;

use lives::{Document, Life, completed, leased, part_stored, progress};

#[path = "../tests/read_side/lives.rs"]
#[expect(dead_code, reason = "the tests tell more of them")]
mod lives;

const OWNER: WorkspaceId = WorkspaceId::new(1);
const RENDERS: usize = 30_000;
const CLIENTS: usize = 64;

/// Rows compared with the fold of their streams: every so many.
const COMPARED: usize = 97;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let database = std::env::args().skip(1).find(|argument| argument.starts_with("postgres"));
    let folder = tempfile::tempdir()?;
    let (store, place): (Arc<dyn EventStore>, _) = match &database {
        Some(url) => {
            let options = PostgresOptions::parse(url, Route::Direct)?;
            (Arc::new(PostgresStore::open(options.clone()).await?), ReadPlace::Postgres(Box::new(options)))
        }
        None => {
            let store = SqliteStore::open(&folder.path().join("log.db")).await?;
            (Arc::new(store), ReadPlace::File(folder.path().join("read.db")))
        }
    };
    let vault = Arc::new(Vault::with_master_key(Zeroizing::new([9; 32])));
    tell(&store, &vault).await?;
    let events = store.head().await?.position.0;
    for again in ["first", "second"] {
        let started = Instant::now();
        query::rebuild(Arc::clone(&store), Arc::clone(&vault), &place, |_| ()).await?;
        // Two projections are made, each of the whole log.
        let rate = events as f64 / started.elapsed().as_secs_f64();
        println!("{again} rebuild: {events} events into two projections  {rate:8.0} events/s");
    }
    compare(&store, &place).await
}

async fn tell(store: &Arc<dyn EventStore>, vault: &Vault) -> Outcome<()> {
    let (key, wrapped) = vault.new_workspace_key();
    let secret = SideRow::PutSecret { workspace: OWNER, name: DOCUMENT_KEY.to_owned(), bytes: wrapped };
    store.append(Append { rows: vec![secret], ..Append::default() }).await?;
    let telling = futures_util::stream::iter(0..RENDERS).map(|number| {
        let (store, key) = (Arc::clone(store), &key);
        async move {
            let number_text = number.to_string();
            let document = match number % 8 {
                0 => Document::with_metadata(&[("n", &number_text)]),
                _ => Document::with_webhook("http://receiver.example/"),
            };
            let mut life = Life::begin(store.as_ref(), OWNER, key, &document).await;
            let end = completed("renders/a/1", b"film", "film.mp4");
            life.append(store.as_ref(), &[leased(), progress(30)]).await;
            life.append(store.as_ref(), &[part_stored(), end]).await;
        }
    });
    telling.buffer_unordered(CLIENTS).collect::<()>().await;
    Ok(())
}

async fn compare(store: &Arc<dyn EventStore>, place: &ReadPlace) -> Outcome<()> {
    let db = ReadDb::open(place).await?;
    let live = sql("SELECT generation FROM projection WHERE name = 'render_jobs' AND live = 1");
    let live = db.fetch_optional(live).await?.ok_or("there is no live generation")?;
    let rows = render_jobs::all(&db, live.get("generation")?).await?;
    if rows.len() != RENDERS {
        return Err(format!("{} rows of {RENDERS} renders", rows.len()).into());
    }
    let compared = futures_util::stream::iter(
        rows.iter().step_by(COMPARED).map(Ok::<_, Box<dyn std::error::Error + Send + Sync>>),
    );
    compared
        .try_for_each_concurrent(8, |row| async move {
            let fold = JobView::fold(&store.load(&StreamId::from(row.view.id)).await?)?;
            if fold.as_ref() == Some(&row.view) {
                Ok(())
            } else {
                Err(format!("{} is not its fold", row.view.id).into())
            }
        })
        .await?;
    println!("{} rows; every {COMPARED}th is the fold of its stream", rows.len());
    Ok(())
}
