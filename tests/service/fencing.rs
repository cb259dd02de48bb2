//! Workers that sleep past their lease and wake, that die, that are of another build: what counts is what the lease's
//! holder reported, and the film is the one that an undisturbed worker makes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use events::work::Slot;
use events::{RenderEvent, Sha256, WorkerId};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, frames_of};
use crate::history::{Life, Log};
use crate::scale::{figure, is_soak, times};
use crate::support::{Service, small};

/// Two parts and a sound, no text.
fn short(cluster: &Cluster) -> Value {
    let clip = json!({ "type": "video", "source_url": cluster.outside.media("clip.mp4"), "out_point": 8 });
    small(8.0, json!([clip]))
}

/// Waits until one of the workers is at a slot; which one.
async fn at_work(cluster: &Cluster) -> usize {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let busy = |worker: &Service| !worker.slots_at_work().is_empty();
        if let Some(number) = cluster.workers.iter().position(busy) {
            return number;
        }
        assert!(Instant::now() < deadline, "nobody works");
        sleep(Duration::from_millis(1)).await;
    }
}

/// How often a worker has said this.
fn said(cluster: &Cluster, words: &str) -> usize {
    let logs = (0..cluster.workers.len()).map(|number| {
        let log = cluster.folder.path().join(format!("worker{number}")).join("service.log");
        std::fs::read_to_string(log).unwrap()
    });
    logs.map(|log| log.matches(words).count()).sum()
}

/// The artifact lies under the last lease's own key and has the bytes that the job tells of.
fn artifact_is_the_winners(cluster: &Cluster, life: &Life, sha256: &str) {
    let artifact = &life.completed().artifact.object;
    let file = cluster.folder.path().join("objects/objects").join(&artifact.key);
    let lies = Sha256::of(&std::fs::read(file).unwrap()).to_string();
    assert_eq!((artifact.sha256.to_string().as_str(), lies.as_str()), (sha256, sha256), "{}", artifact.key);
    let (last, _, _) = life.leases().filter(|(_, lease, _)| lease.slot == Slot::Assemble).last().unwrap();
    assert_eq!(life.completed().token, last, "the lease that came last has won");
}

#[tokio::test]
async fn a_worker_that_sleeps_past_its_lease_writes_nothing_when_it_wakes() {
    let rounds = times("FRAMELANE_TEST_STOPS", 2, 200);
    let ttl_ms = if is_soak() { 300 } else { 1000 };
    let mut cluster = Cluster::without_workers(ttl_ms).await;
    for _ in 0..2 {
        cluster.add_worker(&["--slots", "1"]).await;
    }
    let film = short(&cluster);
    let alone = cluster.alone_makes(&film).await;
    let log = Log::in_database(&cluster.database.address()).await;
    let (mut expired, mut renders) = (0, 0);
    for round in 0..rounds {
        let id = cluster.face.submit(&film).await;
        // Another moment each time: planning, drawing, mixing, joining.
        sleep(Duration::from_millis(round * 53 % 700)).await;
        let sleeper = at_work(&cluster).await;
        cluster.workers[sleeper].signal("STOP");
        sleep(Duration::from_millis(3 * ttl_ms)).await;
        cluster.workers[sleeper].signal("CONT");
        cluster.ends_with(&id, &alone, &format!("round {round}: asleep")).await;
        let life = log.of(&id).await;
        life.keeps_the_laws();
        artifact_is_the_winners(&cluster, &life, &alone);
        (expired, renders) = (expired + life.expiries(), renders + usize::from(life.expiries() > 0));
    }
    // What the woken ones said comes within their next heartbeat.
    sleep(Duration::from_millis(ttl_ms)).await;
    let (refused, dropped) =
        (said(&cluster, "the report was refused"), said(&cluster, "dropped: the lease is over"));
    assert!(renders > 0 && refused + dropped > 0, "some slept through the end of a lease, and were told");
    let what = format!(
        "{rounds} workers stopped for 3 leases of {ttl_ms} ms: {expired} leases ended in {renders} renders, {refused} late reports refused, {dropped} dropped"
    );
    figure(&what, "0 stale writes", "0");
}

#[tokio::test]
async fn a_killed_worker_costs_what_it_had_not_finished_and_no_more() {
    let ttl_ms = if is_soak() { 15_000 } else { 2_000 };
    let mut cluster = Cluster::without_workers(ttl_ms).await;
    for _ in 0..2 {
        cluster.add_worker(&["--slots", "1"]).await;
    }
    let alone = cluster.alone().await;
    let log = Log::in_database(&cluster.database.address()).await;
    let id = cluster.face.submit(&cluster.film()).await;
    cluster.until(&id, "render.part_stored", 2).await;
    let victim = at_work(&cluster).await;
    cluster.workers[victim].kill();
    let killed_at = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    cluster.ends_with(&id, &alone, "a killed worker").await;

    let life = log.of(&id).await;
    life.keeps_the_laws();
    let mut leases: BTreeMap<Slot, Vec<(WorkerId, Duration)>> = BTreeMap::new();
    for (_, lease, recorded) in life.leases() {
        let at = Duration::from_micros(u64::try_from(recorded.recorded_at.0).unwrap());
        leases.entry(lease.slot).or_default().push((lease.worker, at));
    }
    let again: Vec<_> = leases.iter().filter(|(_, leases)| leases.len() > 1).collect();
    assert!(again.len() <= 1, "one slot was in its hand, and only that is done again: {leases:?}");
    let survivor = leases[&Slot::Assemble].last().unwrap().0;
    for (slot, leases) in again {
        assert_eq!(leases.len(), 2, "{slot} is done once more: {leases:?}");
        assert_ne!(leases[0].0, survivor, "{slot} was the killed one's");
        let took = leases[1].1.saturating_sub(killed_at);
        let target = format!("{:?}", Duration::from_millis(ttl_ms + 2_000));
        figure(
            &format!("{slot} of a killed worker taken over, leases of {ttl_ms} ms"),
            format!("{took:?}"),
            &target,
        );
    }
}

#[tokio::test]
async fn parts_are_made_by_one_engine_and_the_other_stays_idle() {
    let mut cluster = Cluster::without_workers(2_000).await;
    let no_fonts = cluster.folder.path().join("no fonts");
    std::fs::create_dir(&no_fonts).unwrap();
    cluster.add_worker(&["--slots", "1"]).await;
    cluster.add_worker(&["--slots", "1", "--fonts", no_fonts.to_str().unwrap()]).await;
    let film = short(&cluster);
    let log = Log::in_database(&cluster.database.address()).await;
    let mut planners = BTreeSet::new();
    for round in 0..times("FRAMELANE_TEST_ENGINES", 2, 20) {
        let mut frames = [frames_of(&cluster.workers[0]).await, frames_of(&cluster.workers[1]).await];
        let job = cluster.face.finished(&cluster.face.submit(&film).await).await;
        assert_eq!(job["status"], "completed", "round {round}: {job}");
        let life = log.of(job["id"].as_str().unwrap()).await;
        life.keeps_the_laws();
        let planned = life.events.iter().find_map(|event| match event {
            RenderEvent::RenderPlanned(planned) => Some(planned.plan.fingerprint.clone()),
            _ => None,
        });
        let planned = planned.unwrap();
        // Who plans chooses the engine; joining is the same with all of them.
        let draws = |slot: Slot| matches!(slot, Slot::Part(_) | Slot::Audio);
        let others = life.leases().filter(|(_, lease, _)| draws(lease.slot) && lease.fingerprint != planned);
        let others: Vec<_> = others.collect();
        assert!(others.is_empty(), "round {round}: planned by {planned:?}, done by {others:?}");
        planners.insert(planned.0);
        for (number, before) in frames.iter_mut().enumerate() {
            *before = frames_of(&cluster.workers[number]).await - *before;
        }
        frames.sort_by(f64::total_cmp);
        assert!(
            frames[0] == 0.0 && frames[1] > 0.0,
            "round {round}: one has drawn, the other not: {frames:?}"
        );
    }
    figure(&format!("two engines of {} plans", planners.len()), "parts of one only", "the same");
    assert_eq!(log.0.census().await.unwrap().leases, 0);
}
