//! How fast the log is: events per second with many clients, one client's append beside the disk's own
//! fsync, and the audit's seconds per million events.
//!
//! `cargo bench --profile dev --workspace --bench append` for SQLite, with `-- FOLDER` to measure another disk than that of
//! `/tmp`, and with `-- postgres://…` for an empty PostgreSQL database (the disk is then FRAMELANE_BENCH_DISK's).

#![expect(clippy::print_stdout, reason = "printing is its purpose")]

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use event_store::{
    Append, EventStore, PostgresOptions, PostgresStore, Route, SqliteStore, StreamAppend, Verdict, verify,
};
use events::{Actor, EncodedEvent, EventId, NewEvent, RenderId, StreamId, StreamVersion, WorkspaceId};

/// Bytes of an event's data.
const DATA: usize = 600;
const CLIENTS: u64 = 64;
const APPENDS_PER_CLIENT: u64 = 400;
const SINGLE_APPENDS: u64 = 500;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let chosen = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let database = chosen.as_deref().filter(|chosen| chosen.starts_with("postgres"));
    let disk = std::env::var("FRAMELANE_BENCH_DISK").ok();
    let folder = match chosen.as_ref().filter(|_| database.is_none()).or(disk.as_ref()) {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let store: Arc<dyn EventStore> = match database {
        Some(url) => Arc::new(PostgresStore::open(PostgresOptions::parse(url, Route::Direct)?).await?),
        None => Arc::new(SqliteStore::open(&folder.path().join("log.db")).await?),
    };
    let (fsync, single) = single_appends(&*store, &folder.path().join("probe")).await?;
    println!("write and fsync of 4 KiB            p50 {:8.3} ms", ms(fsync));
    let ratio = single.as_secs_f64() / fsync.as_secs_f64();
    println!("append of one event, one client     p50 {:8.3} ms   {ratio:.2} fsyncs", ms(single));
    for per_append in [1, 4] {
        let (events, took, p99) = many_clients(&store, per_append).await?;
        let (rate, p99) = (events as f64 / took.as_secs_f64(), ms(p99));
        println!(
            "{CLIENTS} clients, {per_append} events of {DATA} bytes each  {rate:8.0} events/s   p99 {p99:.1} ms"
        );
    }
    let (events, took) = big_appends(&*store).await?;
    println!("one client, 1000 events an append   {:8.0} events/s", events as f64 / took.as_secs_f64());
    let started = Instant::now();
    let Verdict::Intact(head) = verify(&store, None, |_| {}).await? else {
        return Err("the log is altered".into());
    };
    let per_million = started.elapsed().as_secs_f64() * 1e6 / head.position.0 as f64;
    println!(
        "audit                               {per_million:8.2} s per million events ({} read)",
        head.position.0
    );
    Ok(())
}

/// Medians of an fsync and of an append, taken in turns: a disk's mood changes from second to second.
async fn single_appends(store: &dyn EventStore, probe: &Path) -> Outcome<(Duration, Duration)> {
    let mut probe = OpenOptions::new().append(true).create(true).open(probe)?;
    let (mut fsyncs, mut appends) = (Vec::new(), Vec::new());
    for version in 0..SINGLE_APPENDS {
        let started = Instant::now();
        probe.write_all(&[7; 4096])?;
        probe.sync_data()?;
        fsyncs.push(started.elapsed());
        let append = append(1 << 40, version, 1);
        let started = Instant::now();
        store.append(append).await?;
        appends.push(started.elapsed());
    }
    Ok((median(fsyncs), median(appends)))
}

async fn many_clients(store: &Arc<dyn EventStore>, per_append: u64) -> Outcome<(u64, Duration, Duration)> {
    let started = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut took = Vec::new();
                for turn in 0..APPENDS_PER_CLIENT {
                    let begun = Instant::now();
                    store.append(append(per_append << 32 | client, turn * per_append, per_append)).await?;
                    took.push(begun.elapsed());
                }
                Outcome::Ok(took)
            })
        })
        .collect();
    let mut all = Vec::new();
    for client in clients {
        all.extend(client.await??);
    }
    let took = started.elapsed();
    all.sort_unstable();
    let p99 = all[all.len() * 99 / 100];
    Ok((CLIENTS * APPENDS_PER_CLIENT * per_append, took, p99))
}

async fn big_appends(store: &dyn EventStore) -> Outcome<(u64, Duration)> {
    let started = Instant::now();
    for turn in 0..100 {
        store.append(append(1 << 50, turn * 1000, 1000)).await?;
    }
    Ok((100_000, started.elapsed()))
}

fn append(stream: u64, expected: u64, count: u64) -> Append {
    static IDS: AtomicU64 = AtomicU64::new(1);
    let event = |_| NewEvent {
        event_id: EventId::new(u128::from(IDS.fetch_add(1, Ordering::Relaxed)) << 64 | u128::from(stream)),
        event: EncodedEvent {
            event_type: "ProgressMarked".to_owned(),
            schema_version: 1,
            data: vec![b'x'; DATA],
        },
        workspace_id: WorkspaceId::new(0x0190_1234_5678_7abc_8def_0123_4567_89ab),
        correlation_id: "req_01HZY5K3V8M9N2P4Q6R8S0T1W3".to_owned(),
        causation_id: Some(EventId::new(u128::from(stream))),
        actor: Actor("worker_01HZY5K3V8M9N2P4Q6R8S0T1W3".to_owned()),
        traceparent: None,
    };
    let part = StreamAppend {
        stream: StreamId::from(RenderId::new(u128::from(stream))),
        expected: StreamVersion(expected),
        events: (0..count).map(event).collect(),
    };
    Append { streams: vec![part], ..Append::default() }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
