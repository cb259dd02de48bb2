//! What nodes agree on beside the log. Time is not waited for: a duty of 0 ms is over when it begins.

use std::sync::Arc;

use event_store::EventStore;

const HOUR: u64 = 3_600_000;

pub(crate) async fn a_duty_is_one_nodes_until_it_ends_or_is_given_back(store: Arc<dyn EventStore>) {
    let take = async |duty, node, ttl| store.take_duty(duty, node, ttl).await.unwrap();
    assert!(take("sweeping", "a", HOUR).await, "it is free");
    assert!(!take("sweeping", "b", HOUR).await, "it is another's");
    assert!(take("sweeping", "a", HOUR).await, "it is kept");
    assert!(take("relaying", "b", HOUR).await, "another duty");
    store.leave_duty("sweeping", "b").await.unwrap();
    assert!(!take("sweeping", "b", HOUR).await, "nobody gives back what another has");
    store.leave_duty("sweeping", "a").await.unwrap();
    assert!(take("sweeping", "b", 0).await, "it was given back");
    assert!(take("sweeping", "a", HOUR).await, "it was over");
}

pub(crate) async fn an_engine_that_was_heard_of_is_known_to_all(store: Arc<dyn EventStore>) {
    assert_eq!(store.engine_heard_at("lavapipe").await.unwrap(), None);
    let before = store.now().await.unwrap();
    for _again in 0..2 {
        store.hear_engine("lavapipe").await.unwrap();
    }
    let heard = store.engine_heard_at("lavapipe").await.unwrap().expect("it was heard of");
    assert!(before <= heard && heard <= store.now().await.unwrap(), "by the store's clock");
    assert_eq!(store.engine_heard_at("another").await.unwrap(), None);
}
