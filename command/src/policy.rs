//! Process managers: what happens without anybody asking. Each reads facts and gives commands; the renders decide. Of
//! several nodes one has them at a time, which spares work: were they run twice, nothing would happen twice.
//!
//! | policy | sees | asks for |
//! | --- | --- | --- |
//! | reaper | a lease whose end has passed, by the store's clock | `ExpireLease` |
//! | deadlines | a living render whose deadline has passed, by the store's clock | `PassDeadline` |
//! | replanner | parts whose engine nobody has had for a minute | `Replan` |
//! | hints | work that has become due by itself | a hint to workers |
//! | sweeper | a terminal event | removal of its parts |
//! | retention | an artifact that has been kept for its time | its removal |
//!
//! Everything is looked at again and again, so that a lost signal costs time only.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bus::HintBus;
use domain::Render;
use domain::render::Command;
use event_store::{EventStore, Guard, LeaseRow, StoreError, Subscription};
use events::work::Fingerprint;
use events::{Recorded, RenderEvent, Timestamp};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::chain::chain;
use crate::fleet::{ENGINE_GONE_MS, Fleet};
use crate::handler::{Along, ExecuteError, Origin};
use crate::renders::{RenderError, Renders};
use crate::retention::Retention;
use crate::sweeper::Sweeper;
use crate::world::World;

/// Expired leases that are ended in one go; the reaper goes on until there are none.
const REAP_AT_ONCE: u32 = 256;
/// Overdue renders that are ended in one go.
const OVERDUE_AT_ONCE: u32 = 256;
/// Queue rows that the replanner sees.
const LOOK_AT: u32 = 4_096;
/// Events read in one go.
const PAGE: u32 = 256;
/// How often what needs no haste is looked at.
const TICK: Duration = Duration::from_secs(1);
/// Ticks between two looks for engines that are gone.
const REPLAN_TICKS: u64 = 5;

/// All policies of this process.
#[derive(Debug)]
pub(crate) struct Policies {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) world: Arc<dyn World>,
    pub(crate) bus: Arc<dyn HintBus>,
    pub(crate) renders: Arc<Renders>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) sweeper: Arc<Sweeper>,
    pub(crate) retention: Retention,
    pub(crate) lease_ttl_ms: u64,
}

impl Policies {
    /// Lets go of what this node has long not heard of, until told to stop.
    pub(crate) async fn forget_on_and_on(&self, stop: &CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
            self.fleet.forget(self.world.elapsed_ms());
        }
    }

    /// Runs all of them until told to stop.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let all = async { tokio::join!(self.reap_on_and_on(), self.tick_on_and_on(), self.watch_the_log()) };
        tokio::select! {
            () = stop.cancelled() => {}
            ((), (), ()) = all => {}
        }
    }

    async fn reap_on_and_on(&self) {
        // A third of the lease: a lost worker costs little more than its lease's time.
        let mut ticks = interval(Duration::from_millis((self.lease_ttl_ms / 3).clamp(20, 1_000)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.reap().await {
                tracing::error!(error = chain(&error), "expired leases were not ended; trying again");
            }
        }
    }

    /// Ends every lease whose time has passed.
    pub(crate) async fn reap(&self) -> Result<(), RenderError> {
        loop {
            let expired = self.store.expired_leases(REAP_AT_ONCE).await?;
            let mut ended = 0;
            for row in &expired {
                ended += u32::from(self.expire(row).await?);
            }
            // Rows that could not be ended are being dealt with by someone else: they wait for the next round.
            if ended == 0 {
                return Ok(());
            }
        }
    }

    /// Ends one lease; `false` where it is not to be ended.
    pub(crate) async fn expire(&self, row: &LeaseRow) -> Result<bool, RenderError> {
        let key = row.key;
        let ask = |_: &Render| Command::ExpireLease { slot: key.slot, token: key.token };
        let along = Along::guard(Guard::LeaseExpired(key));
        let outcome = self.renders.execute(key.render, &Origin::system(), along, ask).await;
        match outcome {
            Ok(executed) => {
                self.fleet.ended(key.render, key.slot);
                tracing::warn!(render.id = %key.render, slot = %key.slot, "a lease expired");
                Ok(!executed.recorded.is_empty())
            }
            // Its worker was heard of in the last moment, or the render is over.
            Err(ExecuteError::Rejected(_) | ExecuteError::GuardFailed) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn tick_on_and_on(&self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for count in 0_u64.. {
            ticks.tick().await;
            self.sweeper.look_again().await;
            self.retention.let_go().await;
            let done = async {
                self.pass_deadlines().await?;
                self.hint_due_work().await?;
                if count % REPLAN_TICKS == REPLAN_TICKS - 1 { self.replan().await } else { Ok(()) }
            };
            if let Err(error) = done.await {
                tracing::error!(error = chain(&error), "a policy could not do its round; trying again");
            }
        }
    }

    /// Fails what is too late.
    pub(crate) async fn pass_deadlines(&self) -> Result<(), RenderError> {
        loop {
            let overdue = self.store.overdue_renders(OVERDUE_AT_ONCE).await?;
            let mut ended = 0;
            for render in &overdue {
                let now = self.store.now().await?;
                let ask = |_: &Render| Command::PassDeadline { now };
                match self.renders.execute(*render, &Origin::system(), Along::default(), ask).await {
                    Ok(executed) => ended += u32::from(!executed.recorded.is_empty()),
                    // It ended in the last moment, and its row with it.
                    Err(ExecuteError::Rejected(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            if ended == 0 {
                return Ok(());
            }
            tracing::info!(renders = ended, "deadlines passed");
        }
    }

    /// A retry's wait ends without anybody's doing.
    async fn hint_due_work(&self) -> Result<(), StoreError> {
        if !self.store.due_work(1, 1).await?.is_empty() {
            self.bus.hint_work();
        }
        Ok(())
    }

    /// Plans anew what nobody alive could go on with.
    pub(crate) async fn replan(&self) -> Result<(), RenderError> {
        let now = self.store.now().await?;
        let elapsed = self.world.elapsed_ms();
        let waited_long =
            |at: Timestamp| u64::try_from(now.ms_since(at)).is_ok_and(|ms| ms >= ENGINE_GONE_MS);
        let mut orphans = BTreeSet::new();
        for it in self.store.due_work(LOOK_AT, LOOK_AT).await? {
            let Some(engine) = it.row.fingerprint.map(Fingerprint) else { continue };
            let waits = waited_long(it.enqueued_at) && self.fleet.is_gone(&engine, elapsed);
            if waits && self.is_gone_everywhere(&engine, now).await? {
                orphans.insert(it.row.render);
            }
        }
        for render in orphans {
            let Some(generation) =
                self.renders.load(render).await?.state.plan().map(|(plan, _)| plan.generation)
            else {
                continue;
            };
            let ask = |_: &Render| Command::Replan { generation };
            match self.renders.execute(render, &Origin::system(), Along::default(), ask).await {
                Ok(_) => {
                    tracing::warn!(render.id = %render, generation, "no worker has this render's engine: planning it anew")
                }
                Err(ExecuteError::Rejected(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether no other node has heard of the engine either.
    async fn is_gone_everywhere(&self, engine: &Fingerprint, now: Timestamp) -> Result<bool, StoreError> {
        let heard = self.store.engine_heard_at(&engine.0).await?;
        let silent = |at: Timestamp| u64::try_from(now.ms_since(at)).is_ok_and(|ms| ms >= ENGINE_GONE_MS);
        Ok(heard.is_none_or(silent))
    }

    /// Sweeps after what ends.
    async fn watch_the_log(&self) {
        loop {
            if let Err(error) = self.follow().await {
                tracing::error!(
                    error = chain(&error),
                    "the policies lost the log; looking at everything anew"
                );
            }
            tokio::time::sleep(TICK).await;
        }
    }

    async fn follow(&self) -> Result<(), RenderError> {
        // The head first: what is appended while we look around is seen twice rather than never.
        let head = self.store.head().await?.position;
        if let Err(error) = self.sweeper.sweep_all().await {
            tracing::warn!(error = chain(&error), "storage was not swept; the next start tries again");
        }
        let mut log = Subscription::new(Arc::clone(&self.store), head, PAGE);
        loop {
            for recorded in log.next_page().await? {
                self.react(&recorded).await?;
                log.applied(recorded.position);
            }
        }
    }

    /// What an event asks of the policies.
    pub(crate) async fn react(&self, recorded: &Recorded) -> Result<(), RenderError> {
        let Some(render) = recorded.stream_id.render() else { return Ok(()) };
        if let Some(
            RenderEvent::RenderCompleted(_) | RenderEvent::RenderFailed(_) | RenderEvent::RenderCancelled(_),
        ) = RenderEvent::decode(&recorded.event)?
        {
            self.fleet.finished(render);
            self.sweeper.finished(render).await;
        }
        Ok(())
    }
}
