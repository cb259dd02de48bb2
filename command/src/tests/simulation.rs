//! A small world run by dice: jobs, workers of two engines that die, sleep, repeat themselves and lose answers, two command
//! nodes over one log, cancellations, and a clock that jumps. Twenty thousand seeds; whatever the dice do, the history of
//! every render keeps its laws, and when the world calms down every job ends.
//!
//! `FRAMELANE_SEED=17 cargo nextest run --workspace -E 'test(simulation)'` runs one seed again, exactly.

use std::collections::BTreeMap;

use events::job_view::JobView;
use events::work::{Claim, Fingerprint, Outcome, Slot, WorkOrder, WorkReport};
use events::{RenderEvent, RenderId, Token, WorkerId};

use super::service::{ENGINE, Service, TTL_MS, assembled, failure, part, plan};
use crate::CommandRole;

/// Seeds of `make test`, in so many tests that all cores have some.
const SEEDS: u64 = 20_000;
const TESTS: u64 = 8;

/// What the dice do to one world.
const STEPS: u64 = 40;
const JOBS_MAX: usize = 3;
const WORKERS: u64 = 3;
const ENGINES: [&str; 2] = [ENGINE, "another"];

/// A generator with the period of 2⁶⁴ (Steele, Lea, Flood 2014: SplitMix).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn choose<'l, T>(&mut self, list: &'l [T]) -> Option<&'l T> {
        list.get(self.roll(list.len().max(1) as u64) as usize)
    }
}

/// An order, and the worker that was given it.
#[derive(Clone)]
struct Held {
    worker: u64,
    order: WorkOrder,
}

struct World {
    dice: Dice,
    service: Service,
    /// Two nodes that answer, over one log.
    nodes: [CommandRole; 2],
    jobs: Vec<RenderId>,
    held: Vec<Held>,
    /// Orders that were reported, or whose worker has died: what is said of them comes too late.
    past: Vec<Held>,
}

impl World {
    async fn new(seed: u64) -> World {
        let service = Service::start().await;
        let nodes = [service.role.clone(), service.another_role()];
        World { dice: Dice(seed), service, nodes, jobs: Vec::new(), held: Vec::new(), past: Vec::new() }
    }

    fn node(&mut self) -> CommandRole {
        self.nodes[self.dice.roll(2) as usize].clone()
    }

    async fn step(&mut self) {
        match self.dice.roll(100) {
            0..=11 if self.jobs.len() < JOBS_MAX => self.jobs.push(self.service.submit().await),
            0..=34 => self.claim().await,
            35..=59 => self.report().await,
            60..=64 => self.repeat().await,
            65..=72 => self.beat().await,
            73..=82 => {
                let ms = [10, 2_000, 9_000, TTL_MS + 1, 61_000][self.dice.roll(5) as usize];
                self.service.wait_ms(ms.cast_signed());
            }
            83..=91 => self.tick().await,
            92..=94 => {
                if let Some(job) = self.dice.choose(&self.jobs).copied() {
                    self.service.delete(job).await;
                }
            }
            95..=97 => {
                let dead = self.dice.roll(WORKERS);
                let (lost, kept) = self.held.drain(..).partition(|held| held.worker == dead);
                self.held = kept;
                self.past.extend::<Vec<Held>>(lost);
            }
            98 => self.nodes[0].recover().await.expect("memory"),
            // A node starts anew: it has heard of nobody.
            _ => self.nodes[1] = self.service.another_role(),
        }
    }

    async fn claim(&mut self) {
        let worker = self.dice.roll(WORKERS);
        let fingerprint = Fingerprint(ENGINES[(worker % 2) as usize].to_owned());
        let claim = Claim { worker: WorkerId::new(u128::from(worker) + 1), fingerprint };
        let order = self.node().work_service().claim(claim).await.expect("memory");
        // One answer in ten is lost on its way.
        let is_lost = self.dice.roll(10) == 0;
        let place = if is_lost { &mut self.past } else { &mut self.held };
        place.extend(order.map(|order| Held { worker, order }));
    }

    fn outcome(&mut self, held: &Held) -> Outcome {
        match self.dice.roll(12) {
            0 => failure(true),
            1 if self.dice.roll(4) == 0 => failure(false),
            2 => Outcome::Released,
            _ => done(held, self.dice.roll(2) == 0),
        }
    }

    async fn report(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let at = self.dice.roll(self.held.len() as u64) as usize;
        let held = self.held.swap_remove(at);
        let outcome = self.outcome(&held);
        self.tell(&held, outcome).await;
        self.past.push(held);
    }

    /// Says again, or too late, what was said or never said.
    async fn repeat(&mut self) {
        let Some(held) = self.dice.choose(&self.past).cloned() else { return };
        let outcome = self.outcome(&held);
        self.tell(&held, outcome).await;
    }

    async fn tell(&mut self, held: &Held, outcome: Outcome) {
        let WorkOrder { render, slot, token, .. } = held.order;
        let report = WorkReport { render, slot, token, outcome };
        self.node().work_service().report(report).await.expect("memory");
    }

    async fn beat(&mut self) {
        let Some(held) = self.dice.choose(&self.held).cloned() else { return };
        let units = self.dice.roll(50);
        self.service.beat(&held.order, units, units.min(30)).await;
    }

    async fn tick(&mut self) {
        let node = self.node();
        node.policies().reap().await.expect("memory");
        node.policies().replan().await.expect("memory");
    }

    /// No more dice: one good worker of each engine, and time enough.
    async fn calm_down(&mut self, seed: u64) {
        self.held.clear();
        for _ in 0..200 {
            self.service.wait_ms(20_000);
            for engine in ENGINES {
                self.nodes[0].policies().reap().await.expect("memory");
                self.nodes[0].policies().replan().await.expect("memory");
                let claim = Claim { worker: WorkerId::new(9), fingerprint: Fingerprint(engine.to_owned()) };
                while let Some(order) =
                    self.nodes[0].work_service().claim(claim.clone()).await.expect("memory")
                {
                    let held = Held { worker: u64::from(engine != ENGINE), order };
                    let outcome = done(&held, false);
                    self.tell(&held, outcome).await;
                }
            }
            if self.all_over().await {
                return;
            }
        }
        panic!("seed {seed}: a job does not end: {:?}", self.histories().await);
    }

    async fn all_over(&self) -> bool {
        for job in &self.jobs {
            if !is_terminal(&self.service.last_event(*job).await) {
                return false;
            }
        }
        true
    }

    async fn histories(&self) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        for job in &self.jobs {
            all.push(self.service.history(*job).await);
        }
        all
    }
}

/// What a good worker of the held order's engine reports.
fn done(held: &Held, audio: bool) -> Outcome {
    match held.order.slot {
        Slot::Plan => {
            let fingerprint = Fingerprint(ENGINES[(held.worker % 2) as usize].to_owned());
            let mut plan = plan(&held.order, audio);
            plan.fingerprint = fingerprint;
            Outcome::Planned(plan)
        }
        Slot::Part(_) | Slot::Audio => Outcome::Stored(part(&held.order)),
        Slot::Assemble => assembled(&held.order),
    }
}

fn is_terminal(event: &RenderEvent) -> bool {
    matches!(
        event,
        RenderEvent::RenderCompleted(_) | RenderEvent::RenderFailed(_) | RenderEvent::RenderCancelled(_)
    )
}

/// The laws that hold of every render's history; they hold of its beginnings, too.
async fn check(service: &Service, render: RenderId, seed: u64) {
    let (recorded, events) = (service.recorded(render).await, service.events(render).await);
    let broken = |law: &str| panic!("seed {seed}: {render}: {law}: {events:#?}");
    let (mut current, mut stored): (BTreeMap<Slot, Token>, BTreeMap<(u32, Slot), ()>) = Default::default();
    let (mut view, mut percent, mut generation, mut is_over) = (None, 0, 0, false);
    for (event, recorded) in events.iter().zip(&recorded) {
        if is_over {
            broken("something happened after its end");
        }
        is_over = is_terminal(event);
        let mut ends = |slot: Slot, token: Token| {
            if current.remove(&slot) != Some(token) {
                broken("a report counts that is not of the slot's current lease");
            }
        };
        match event {
            RenderEvent::LeaseGranted(lease) => {
                let token = Token(recorded.stream_version);
                if current.insert(lease.slot, token).is_some() {
                    broken("a slot is leased twice at once");
                }
            }
            RenderEvent::LeaseExpired(expired) => ends(expired.slot, expired.token),
            RenderEvent::SlotReleased(released) => ends(released.slot, released.token),
            RenderEvent::AttemptFailed(failed) => ends(failed.slot, failed.token),
            RenderEvent::RenderPlanned(planned) => {
                ends(Slot::Plan, planned.token);
                if planned.plan.generation <= generation {
                    broken("a plan does not follow the one before");
                }
                generation = planned.plan.generation;
            }
            RenderEvent::PartStored(part) => {
                ends(part.part.slot, part.token);
                if stored.insert((generation, part.part.slot), ()).is_some() {
                    broken("a part is stored twice");
                }
            }
            RenderEvent::RenderCompleted(completed) => ends(Slot::Assemble, completed.token),
            // A plan made anew voids what was leased under the old one.
            RenderEvent::RenderQueued(queued) if queued.slot == Some(Slot::Plan) || queued.slot.is_none() => {
                current.retain(|slot, _| *slot == Slot::Plan);
            }
            _ => {}
        }
        view = JobView::apply(view, event, recorded);
        let shown = view.as_ref().map_or(0, |view| view.progress_percent);
        if shown < percent {
            broken("progress goes down");
        }
        percent = shown;
    }
}

async fn run(seed: u64) {
    let mut world = World::new(seed).await;
    for _ in 0..STEPS {
        world.step().await;
    }
    world.calm_down(seed).await;
    for job in &world.jobs {
        check(&world.service, *job, seed).await;
    }
}

/// The seeds of one test: every eighth.
async fn run_all(first: u64) {
    if let Some(seed) = std::env::var("FRAMELANE_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return run(seed).await;
    }
    for seed in (first..SEEDS).step_by(TESTS as usize) {
        run(seed).await;
    }
}

macro_rules! tests {
    ($($name:ident: $first:literal;)*) => {$(
        #[tokio::test]
        async fn $name() {
            run_all($first).await;
        }
    )*};
}

tests! {
    whatever_the_dice_do_no_law_is_broken_0: 0;
    whatever_the_dice_do_no_law_is_broken_1: 1;
    whatever_the_dice_do_no_law_is_broken_2: 2;
    whatever_the_dice_do_no_law_is_broken_3: 3;
    whatever_the_dice_do_no_law_is_broken_4: 4;
    whatever_the_dice_do_no_law_is_broken_5: 5;
    whatever_the_dice_do_no_law_is_broken_6: 6;
    whatever_the_dice_do_no_law_is_broken_7: 7;
}
