//! Workers that do nothing, through all of a worker's claims, heartbeats and reports: what is left is the service's own
//! doing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bus::WorkBus;
use events::render::{Artifact, PartRange, Plan, StoredObject, StoredPart, Timings};
use events::work::{Fingerprint, Outcome, Slot, WorkOrder, object_key};
use events::{RenderId, Sha256, WorkerId};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use worker::{Control, Performer, Worker};

/// Frames of every film; it has one part and no sound.
const FRAMES: u64 = 30;

/// Performs every order at once, and remembers when it was first asked for a render.
#[derive(Debug, Default)]
pub(crate) struct NoOp {
    begun: Mutex<HashMap<RenderId, Instant>>,
}

impl NoOp {
    /// When a worker began with the render.
    pub(crate) fn begun_at(&self, render: &str) -> Option<Instant> {
        self.begun.lock().unwrap().get(&render.parse::<RenderId>().unwrap()).copied()
    }
}

impl Performer for NoOp {
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint("nothing is done".to_owned())
    }

    fn perform(&self, order: &WorkOrder, _control: &Control) -> Option<Outcome> {
        Some(match order.slot {
            Slot::Plan => {
                self.begun.lock().unwrap().entry(order.render).or_insert_with(Instant::now);
                Outcome::Planned(self.plan(order))
            }
            slot @ (Slot::Part(_) | Slot::Audio) => {
                Outcome::Stored(StoredPart { slot, object: object(order), frames: FRAMES, work_ms: 0 })
            }
            Slot::Assemble => Outcome::Assembled { artifact: artifact(order), timings: Timings::default() },
        })
    }

    fn discard(&self, _outcome: &Outcome) {}
}

impl NoOp {
    fn plan(&self, order: &WorkOrder) -> Plan {
        Plan {
            generation: 1,
            fingerprint: self.fingerprint(),
            frames: FRAMES,
            duration: 1.0,
            parts: vec![PartRange { first: 0, count: FRAMES }],
            audio: false,
            detail: object(order),
            warnings: Vec::new(),
            work_ms: 0,
        }
    }
}

/// An object that nobody has stored: nobody will read it either.
fn object(order: &WorkOrder) -> StoredObject {
    let sha256 = Sha256::of(b"nothing");
    let key = object_key(order.render, order.slot, order.token, Some(sha256));
    StoredObject { key, sha256, size_bytes: 7 }
}

fn artifact(order: &WorkOrder) -> Artifact {
    Artifact {
        object: object(order),
        content_type: "video/mp4".to_owned(),
        filename: "film.mp4".to_owned(),
        width: 320,
        height: 180,
        duration: 1.0,
        frame_count: FRAMES,
        video_codec: "h264".to_owned(),
        audio_codec: None,
    }
}

/// A worker at work; it stops when dropped.
#[derive(Debug)]
pub(crate) struct Hands {
    pub(crate) performer: Arc<NoOp>,
    _at_work: DropGuard,
}

impl Hands {
    /// So many slots on this bus.
    pub(crate) fn start(bus: Arc<dyn WorkBus>, slots: usize) -> Hands {
        let (performer, stop) = (Arc::new(NoOp::default()), CancellationToken::new());
        let worker = Worker::new(WorkerId::new(rand::random()), Arc::clone(&performer), bus, slots);
        tokio::spawn(worker.run(stop.clone(), stop.clone()));
        Hands { performer, _at_work: stop.drop_guard() }
    }
}
