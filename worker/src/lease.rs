//! Holding leases: claim a slot, work, prove that it moves, report once.
//!
//! The worker trusts nothing it remembers: only an order's token entitles it to report, and a refused report means that
//! someone else owns the slot. Everything of a lost lease is dropped; the sweeper removes what it stored.

use std::sync::Arc;
use std::time::Duration;

use bus::{BusError, WorkBus};
use events::WorkerId;
use events::fault::{Fault, FaultCode};
use events::work::{
    Claim, Fingerprint, Heartbeat, HeartbeatReply, Outcome, ReportReply, WorkOrder, WorkReport,
};
use tokio::sync::{Notify, broadcast, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::control::Control;
use crate::priority;

/// How often an idle slot looks for work by itself: hints only make it faster.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How often progress is told while it moves. Twice a second is live for people and cheap for the log.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// How long a draining worker goes on with what it holds before it hands it back: about a part.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// What the worker does with an order; called on a thread of its own.
pub trait Performer: Send + Sync + 'static {
    /// What decides the bits it makes.
    fn fingerprint(&self) -> Fingerprint;

    /// Does the slot's work. Returns early with `None` when told to stop.
    fn perform(&self, order: &WorkOrder, control: &Control) -> Option<Outcome>;

    /// Removes what an outcome stored that nobody will use.
    fn discard(&self, outcome: &Outcome);
}

/// A worker process's slots.
#[derive(Debug)]
pub struct Worker<P> {
    id: WorkerId,
    performer: Arc<P>,
    bus: Arc<dyn WorkBus>,
    slots: usize,
    /// Wakes a sibling after a successful claim: where one slot was due, more may be.
    more: Notify,
}

/// Why a lease's work ended.
enum Ending {
    Finished(Box<Outcome>),
    /// Cancelled or lost: there is nobody to tell.
    Dropped,
}

impl<P: Performer> Worker<P> {
    /// A worker with this many parallel slots.
    #[must_use]
    pub fn new(id: WorkerId, performer: Arc<P>, bus: Arc<dyn WorkBus>, slots: usize) -> Arc<Self> {
        Arc::new(Worker { id, performer, bus, slots: slots.max(1), more: Notify::new() })
    }

    /// Works until `drain`; what is in hand then is finished or handed back, and dropped at `cut`.
    pub async fn run(self: Arc<Self>, drain: CancellationToken, cut: CancellationToken) {
        let tracker = TaskTracker::new();
        for _ in 0..self.slots {
            tracker.spawn(Arc::clone(&self).run_slot(drain.clone(), cut.clone()));
        }
        tracker.close();
        tracker.wait().await;
    }

    async fn run_slot(self: Arc<Self>, drain: CancellationToken, cut: CancellationToken) {
        while !drain.is_cancelled() {
            let claim = Claim { worker: self.id, fingerprint: self.performer.fingerprint() };
            // Listening before asking: a render that is cancelled while its slot is granted is heard of.
            let cancellations = self.bus.cancellations();
            match self.bus.claim(claim).await {
                Ok(Some(order)) => {
                    self.more.notify_one();
                    self.hold(order, cancellations, &drain, &cut).await;
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "the claim failed; asking again");
                    // No hint shortens this: an order that can't be read would be granted again as fast as it comes.
                    tokio::select! {
                        () = sleep(LOOK_INTERVAL) => {}
                        () = drain.cancelled() => {}
                    }
                    continue;
                }
            }
            tokio::select! {
                () = self.bus.work_hint() => {}
                () = self.more.notified() => {}
                () = sleep(LOOK_INTERVAL) => {}
                () = drain.cancelled() => {}
            }
        }
    }

    /// One lease, from the order to its report.
    async fn hold(
        &self,
        order: WorkOrder,
        cancellations: broadcast::Receiver<events::RenderId>,
        drain: &CancellationToken,
        cut: &CancellationToken,
    ) {
        let (render, slot, token) = (order.render, order.slot, order.token);
        let started = Instant::now();
        tracing::info!(render.id = %render, %slot, attempt = order.attempt, "working");
        let order = Arc::new(order);
        let control = Arc::new(Control::default());
        let work = start(Arc::clone(&self.performer), Arc::clone(&order), Arc::clone(&control));
        match self.watch(&order, &control, work, cancellations, drain, cut).await {
            Ending::Finished(outcome) => {
                let what = describe(&outcome);
                self.report(WorkReport { render, slot, token, outcome: *outcome }, order.ttl_ms).await;
                let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(render.id = %render, %slot, duration_ms, frames = control.frames(), "{what}");
            }
            Ending::Dropped => tracing::info!(render.id = %render, %slot, "dropped: the lease is over"),
        }
    }

    /// Keeps the lease while the work runs.
    async fn watch(
        &self,
        order: &WorkOrder,
        control: &Control,
        mut work: oneshot::Receiver<Option<Outcome>>,
        mut cancellations: broadcast::Receiver<events::RenderId>,
        drain: &CancellationToken,
        cut: &CancellationToken,
    ) -> Ending {
        let keep_alive = Duration::from_millis((order.ttl_ms / 3).max(10));
        let mut tick = interval(keep_alive.min(PROGRESS_INTERVAL));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut told_at, mut told_frames) = (Instant::now(), 0);
        let (mut draining_since, mut listening): (Option<Instant>, bool) = (None, true);
        loop {
            tokio::select! {
                outcome = &mut work => {
                    return match outcome {
                        Ok(Some(outcome)) => Ending::Finished(Box::new(outcome)),
                        Ok(None) if draining_since.is_some() && !cut.is_cancelled() => Ending::Finished(Box::new(Outcome::Released)),
                        Ok(None) => Ending::Dropped,
                        Err(_gone) => Ending::Finished(Box::new(Outcome::Failed(panicked()))),
                    };
                }
                cancelled = cancellations.recv(), if listening => match cancelled {
                    Ok(render) if render == order.render => return self.drop_work(control, work).await,
                    // Missed ones are repeated by heartbeats.
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => listening = false,
                },
                () = drain.cancelled(), if draining_since.is_none() => draining_since = Some(Instant::now()),
                () = cut.cancelled() => return self.drop_work(control, work).await,
                _ = tick.tick() => {
                    if draining_since.is_some_and(|since| since.elapsed() >= DRAIN_PATIENCE) {
                        control.stop();
                    }
                    let frames = control.frames();
                    if told_at.elapsed() < keep_alive && frames == told_frames {
                        continue;
                    }
                    (told_at, told_frames) = (Instant::now(), frames);
                    if !self.keep(order, control).await {
                        return self.drop_work(control, work).await;
                    }
                }
            }
        }
    }

    /// Stops the work and waits until it has. What it had finished by then nobody will use.
    async fn drop_work(&self, control: &Control, work: oneshot::Receiver<Option<Outcome>>) -> Ending {
        control.stop();
        if let Ok(Some(outcome)) = work.await {
            self.performer.discard(&outcome);
        }
        Ending::Dropped
    }

    /// One heartbeat; `false` when the lease is gone. A bus that can't answer is no answer: the lease may still live.
    async fn keep(&self, order: &WorkOrder, control: &Control) -> bool {
        let heartbeat = Heartbeat {
            render: order.render,
            slot: order.slot,
            token: order.token,
            engine: self.performer.fingerprint(),
            units: control.units(),
            frames: control.frames(),
            stage: control.stage(),
        };
        match self.bus.heartbeat(heartbeat).await {
            Ok(HeartbeatReply::Continue) => true,
            Ok(HeartbeatReply::Stop) => false,
            Err(error) => {
                tracing::warn!(render.id = %order.render, slot = %order.slot, %error, "the heartbeat was not answered");
                true
            }
        }
    }

    /// Reports until someone answers; after three times the lease's length nobody would believe it any more.
    async fn report(&self, report: WorkReport, ttl_ms: u64) {
        let deadline = Instant::now() + Duration::from_millis(ttl_ms * 3);
        loop {
            match self.bus.report(report.clone()).await {
                Ok(ReportReply::Accepted) => return,
                Ok(ReportReply::Refused { reason }) => {
                    tracing::warn!(render.id = %report.render, slot = %report.slot, reason, "the report was refused");
                    self.performer.discard(&report.outcome);
                    return;
                }
                Err(BusError::Stopped) => return,
                Err(error) if Instant::now() < deadline => {
                    tracing::warn!(render.id = %report.render, slot = %report.slot, %error, "reporting again");
                    sleep(Duration::from_millis(200)).await;
                }
                Err(error) => {
                    tracing::error!(render.id = %report.render, slot = %report.slot, %error, "the report is lost");
                    return;
                }
            }
        }
    }
}

/// Runs the work on a named thread. The channel closes without a value where it panics.
fn start<P: Performer>(
    performer: Arc<P>,
    order: Arc<WorkOrder>,
    control: Arc<Control>,
) -> oneshot::Receiver<Option<Outcome>> {
    let (sender, receiver) = oneshot::channel();
    let name = format!("slot.{}", order.slot);
    let span = tracing::info_span!("slot", render.id = %order.render, slot = %order.slot);
    let spawned = std::thread::Builder::new().name(name).spawn(move || {
        priority::give_way();
        // The receiver is gone only where the worker is, too.
        drop(sender.send(span.in_scope(|| performer.perform(&order, &control))));
    });
    if let Err(error) = spawned {
        // The sender went with the closure: the watcher sees a closed channel and reports a failure.
        tracing::error!(%error, "could not start a thread for the slot");
    }
    receiver
}

fn panicked() -> Fault {
    Fault {
        code: FaultCode::Internal,
        message: "the renderer stopped unexpectedly; the service's log says more".to_owned(),
        element_id: None,
        path: None,
        retryable: true,
    }
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Planned(plan) => format!("planned: {} frames in {} parts", plan.frames, plan.parts.len()),
        Outcome::Stored(part) => format!("stored: {} bytes", part.object.size_bytes),
        Outcome::Assembled { artifact, .. } => format!("assembled: {} bytes", artifact.object.size_bytes),
        Outcome::Failed(fault) => format!("failed: {}: {}", fault.code.as_str(), fault.message),
        Outcome::Released => "handed back".to_owned(),
    }
}
