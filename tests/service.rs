//! The whole service, tested from outside: the real executable, real media, an independent reader of what it makes.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "../events/store/tests/store/server.rs"]
#[expect(dead_code, reason = "its own tests do more with it")]
mod postgres;
#[path = "../events/storage/tests/storage/server.rs"]
mod s3_server;
#[path = "service/support.rs"]
mod support;

#[path = "service/browser.rs"]
mod browser;
#[path = "service/cancelling.rs"]
mod cancelling;
#[path = "service/captions.rs"]
mod captions;
#[path = "service/cluster.rs"]
mod cluster;
#[path = "service/contract.rs"]
mod contract;
#[path = "service/crash.rs"]
mod crash;
#[path = "service/deliveries.rs"]
mod deliveries;
#[path = "service/determinism.rs"]
mod determinism;
#[path = "service/faults.rs"]
mod faults;
#[path = "service/fencing.rs"]
mod fencing;
#[path = "service/fidelity.rs"]
mod fidelity;
#[path = "service/first_light.rs"]
mod first_light;
#[path = "service/history.rs"]
mod history;
#[path = "service/house.rs"]
mod house;
#[path = "service/isolation.rs"]
mod isolation;
#[path = "service/jobs.rs"]
mod jobs;
#[path = "service/kills.rs"]
mod kills;
#[path = "service/limits.rs"]
mod limits;
#[path = "service/no_op.rs"]
mod no_op;
#[path = "service/objects.rs"]
mod objects;
#[path = "service/operator.rs"]
mod operator;
#[path = "service/outage.rs"]
mod outage;
#[path = "service/scale.rs"]
mod scale;
#[path = "service/secrets.rs"]
mod secrets;
#[path = "service/sync.rs"]
mod sync;
#[path = "service/topology.rs"]
mod topology;
#[path = "service/transitions.rs"]
mod transitions;
#[path = "service/webhooks.rs"]
mod webhooks;
