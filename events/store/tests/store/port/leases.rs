//! Leases. Time is never waited for: a lease of 0 ms has ended when it begins, one of an hour outlives the
//! test.

use std::sync::Arc;

use event_store::{Append, AppendError, EventStore, Guard, LeaseKey, SideRow};
use events::{Position, Slot, StreamVersion, Token};

use crate::words::{part, put, render, stream, streams};

const HOUR: u64 = 3_600_000;

fn key(number: u128, slot: Slot, token: u64) -> LeaseKey {
    LeaseKey { render: render(number), slot, token: Token(StreamVersion(token)) }
}

/// What has ended, in an order of its own: several end at the same instant.
async fn expired(store: &dyn EventStore) -> Vec<LeaseKey> {
    let mut keys: Vec<_> = store.expired_leases(100).await.unwrap().iter().map(|row| row.key).collect();
    keys.sort_by_key(|key| (key.render, key.slot));
    keys
}

pub(crate) async fn a_lease_lives_until_its_end(store: Arc<dyn EventStore>) {
    let (ended, lives) = (key(1, Slot::Plan, 1), key(1, Slot::Part(3), 2));
    put(&*store, vec![SideRow::PutLease(ended, 0), SideRow::PutLease(lives, HOUR)]).await;
    assert_eq!(expired(&*store).await, [ended]);
    let row = store.expired_leases(1).await.unwrap()[0];
    assert_eq!(row.ttl_ms, 0);
    assert!(row.expires_at <= store.now().await.unwrap(), "it ended when it began");
    put(&*store, vec![SideRow::DeleteLease(render(1), Slot::Plan)]).await;
    assert_eq!(expired(&*store).await, []);
}

pub(crate) async fn only_live_leases_are_extended(store: Arc<dyn EventStore>) {
    let (ended, lives, absent) = (key(1, Slot::Plan, 1), key(2, Slot::Plan, 1), key(3, Slot::Plan, 1));
    let older = key(2, Slot::Plan, 0);
    put(&*store, vec![SideRow::PutLease(ended, 0), SideRow::PutLease(lives, HOUR)]).await;
    assert_eq!(store.extend_leases(&[ended, lives, absent, older]).await.unwrap(), [lives]);
    assert_eq!(store.extend_leases(&[]).await.unwrap(), []);
    assert_eq!(expired(&*store).await, [ended], "a lease that has ended stays ended");
}

pub(crate) async fn a_new_lease_replaces_the_slots_older_one(store: Arc<dyn EventStore>) {
    let (old, new) = (key(1, Slot::Audio, 1), key(1, Slot::Audio, 9));
    put(&*store, vec![SideRow::PutLease(old, HOUR)]).await;
    put(&*store, vec![SideRow::PutLease(new, HOUR)]).await;
    assert_eq!(store.extend_leases(&[old, new]).await.unwrap(), [new]);
}

pub(crate) async fn all_leases_end_at_once(store: Arc<dyn EventStore>) {
    let leases = [key(1, Slot::Plan, 1), key(1, Slot::Part(0), 2), key(2, Slot::Assemble, 1)];
    put(&*store, leases.iter().map(|lease| SideRow::PutLease(*lease, HOUR)).collect()).await;
    assert_eq!(expired(&*store).await, []);
    store.expire_all_leases().await.unwrap();
    assert_eq!(expired(&*store).await, leases);
    assert_eq!(store.extend_leases(&leases).await.unwrap(), []);
    assert_eq!(store.expired_leases(2).await.unwrap().len(), 2, "at most as many as asked for");
}

pub(crate) async fn an_expiry_is_accepted_only_after_the_end(store: Arc<dyn EventStore>) {
    let lease = key(1, Slot::Plan, 1);
    let expire = |expected| Append {
        guards: vec![Guard::LeaseExpired(lease)],
        rows: vec![SideRow::DeleteLease(render(1), Slot::Plan)],
        ..streams(vec![part(stream(1), expected, 1)])
    };
    put(&*store, vec![SideRow::PutLease(lease, HOUR)]).await;
    let refused = store.append(expire(0)).await;
    assert!(
        matches!(refused, Err(AppendError::GuardFailed(Guard::LeaseExpired(of))) if of == lease),
        "got {refused:?}"
    );
    assert_eq!(store.head().await.unwrap().position, Position(0));
    put(&*store, vec![SideRow::PutLease(lease, 0)]).await;
    store.append(expire(0)).await.unwrap();
    store.append(expire(1)).await.expect("absent means expired");
}
