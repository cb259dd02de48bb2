//! What holds for every life, whatever is asked in whatever order.
//!
//! A life is made by asking random commands: with tokens that are, were, or never were current, by right and wrong
//! engines, in and out of turn. Every decision is checked as it is taken.

use std::collections::BTreeMap;

use events::job::ProgressStage;
use events::job_view::JobView;
use events::work::{Slot, Token};
use events::{
    Actor, EventId, Position, Recorded, RenderEvent, RenderId, Sha256, StreamId, StreamVersion, WorkspaceId,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::samples;
use crate::aggregate::{Aggregate as _, fold};
use crate::render::{Command, Render};

/// A command before it is known which tokens there are.
#[derive(Debug, Clone)]
enum Wish {
    Submit,
    Claim(Slot, bool),
    /// The n-th last token, so that 0 is likely to be the current one.
    Planned(usize, bool),
    Store(usize, Slot),
    Assembled(usize),
    Fail(usize, Slot, bool),
    Release(usize, Slot),
    Expire(usize, Slot),
    Phase(ProgressStage),
    Progress(u8),
    Cancel,
    Deadline(i64),
    Replan(u32),
    /// What the holder of an open slot would do next: keeps lives from being cut off too early.
    Advance,
    /// What may go wrong with that holder: it is lost, or it fails.
    Stumble {
        lost: bool,
    },
}

fn slots() -> impl Strategy<Value = Slot> {
    prop_oneof![Just(Slot::Plan), (0..4_u32).prop_map(Slot::Part), Just(Slot::Audio), Just(Slot::Assemble)]
}

fn stages() -> impl Strategy<Value = ProgressStage> {
    prop_oneof![
        Just(ProgressStage::Downloading),
        Just(ProgressStage::Compositing),
        Just(ProgressStage::Encoding),
        Just(ProgressStage::Uploading),
    ]
}

fn wishes() -> impl Strategy<Value = Wish> {
    prop_oneof![
        1 => Just(Wish::Submit),
        8 => (slots(), prop::bool::weighted(0.9)).prop_map(|(slot, right)| Wish::Claim(slot, right)),
        3 => (0..3_usize, any::<bool>()).prop_map(|(nth, audio)| Wish::Planned(nth, audio)),
        8 => (0..5_usize, slots()).prop_map(|(nth, slot)| Wish::Store(nth, slot)),
        2 => (0..3_usize).prop_map(Wish::Assembled),
        3 => (0..4_usize, slots(), prop::bool::weighted(0.9)).prop_map(|(nth, slot, again)| Wish::Fail(nth, slot, again)),
        3 => (0..4_usize, slots()).prop_map(|(nth, slot)| Wish::Release(nth, slot)),
        3 => (0..4_usize, slots()).prop_map(|(nth, slot)| Wish::Expire(nth, slot)),
        2 => stages().prop_map(Wish::Phase),
        3 => any::<u8>().prop_map(Wish::Progress),
        1 => prop::bool::weighted(0.1).prop_map(|now| if now { Wish::Cancel } else { Wish::Advance }),
        1 => (-9_000..90_i64).prop_map(Wish::Deadline),
        1 => (1..3_u32).prop_map(Wish::Replan),
        12 => Just(Wish::Advance),
        6 => any::<bool>().prop_map(|lost| Wish::Stumble { lost }),
    ]
}

/// A stream as it grows, with what the laws remember of it.
#[derive(Default)]
struct Life {
    events: Vec<RenderEvent>,
    render: Render,
    tokens: Vec<Token>,
    /// The current lease of each slot, told by the events alone.
    leases: BTreeMap<Slot, Token>,
    percent: u8,
}

impl Life {
    fn token(&self, nth_last: usize) -> Token {
        self.tokens.iter().rev().nth(nth_last).copied().unwrap_or(samples::token(77))
    }

    fn command(&self, wish: &Wish) -> Command {
        let version = |token: Token| token.0.0;
        match *wish {
            Wish::Submit => Command::Submit(Box::new(samples::request())),
            Wish::Claim(slot, right) => samples::claim(slot, if right { "lavapipe" } else { "another" }),
            Wish::Planned(nth, audio) => {
                samples::report_planned(version(self.token(nth)), samples::plan(audio))
            }
            Wish::Store(nth, Slot::Part(index)) => {
                samples::store(version(self.token(nth)), samples::part(index))
            }
            Wish::Store(nth, _) => samples::store(version(self.token(nth)), samples::sound()),
            Wish::Assembled(nth) => samples::assembled(version(self.token(nth))),
            Wish::Fail(nth, slot, again) => {
                samples::fail(slot, version(self.token(nth)), samples::fault(again))
            }
            Wish::Release(nth, slot) => samples::release(slot, version(self.token(nth))),
            Wish::Expire(nth, slot) => samples::expire(slot, version(self.token(nth))),
            Wish::Phase(stage) => Command::EnterPhase { stage },
            Wish::Progress(percent) => Command::MarkProgress { percent },
            Wish::Cancel => Command::Cancel,
            Wish::Deadline(ms) => Command::PassDeadline { now: samples::DEADLINE.plus_ms(ms) },
            Wish::Replan(generation) => Command::Replan { generation },
            Wish::Advance => self.next_step(),
            Wish::Stumble { lost } => {
                let slots = self.render.open_slots();
                let held = slots.first().and_then(|(slot, state)| Some((*slot, state.lease.as_ref()?.token)));
                let (slot, token) = held.unwrap_or((Slot::Plan, samples::token(77)));
                match lost {
                    true => samples::expire(slot, version(token)),
                    false => samples::fail(slot, version(token), samples::fault(true)),
                }
            }
        }
    }

    fn next_step(&self) -> Command {
        let slots = self.render.open_slots();
        let Some((slot, state)) = slots.first() else { return Command::Submit(Box::new(samples::request())) };
        let Some(lease) = &state.lease else { return samples::claim(*slot, "lavapipe") };
        let token = lease.token.0.0;
        match slot {
            Slot::Plan => samples::report_planned(token, samples::plan(true)),
            Slot::Part(index) => samples::store(token, samples::part(*index)),
            Slot::Audio => samples::store(token, samples::sound()),
            Slot::Assemble => samples::assembled(token),
        }
    }

    /// Decides, checks the decision, and lives on.
    fn ask(&mut self, command: &Command) -> Result<(), TestCaseError> {
        let decided = self.render.decide(command.clone()).unwrap_or_default();
        for event in &decided {
            prop_assert!(!is_terminal(self.events.last()), "{event:?} after the end, asked by {command:?}");
            self.check_token(event)?;
            self.events.push(event.clone());
            let version = StreamVersion(self.events.len() as u64);
            self.render = std::mem::take(&mut self.render).evolve(event, version);
            self.remember(event, version)?;
        }
        let again = self.render.decide(command.clone()).unwrap_or_default();
        prop_assert!(again.is_empty(), "{command:?} took effect twice: {again:?}");
        Ok(())
    }

    /// A report counts only with the token of its slot's lease.
    fn check_token(&self, event: &RenderEvent) -> Result<(), TestCaseError> {
        let reported = match event {
            RenderEvent::RenderPlanned(e) => Some((Slot::Plan, e.token)),
            RenderEvent::PartStored(e) => Some((e.part.slot, e.token)),
            RenderEvent::AttemptFailed(e) => Some((e.slot, e.token)),
            RenderEvent::SlotReleased(e) => Some((e.slot, e.token)),
            RenderEvent::LeaseExpired(e) => Some((e.slot, e.token)),
            RenderEvent::RenderCompleted(e) => Some((Slot::Assemble, e.token)),
            _ => None,
        };
        if let Some((slot, token)) = reported {
            prop_assert_eq!(
                self.leases.get(&slot),
                Some(&token),
                "{:?} was accepted with an old token",
                event
            );
        }
        Ok(())
    }

    fn remember(&mut self, event: &RenderEvent, version: StreamVersion) -> Result<(), TestCaseError> {
        match event {
            RenderEvent::LeaseGranted(e) => {
                let token = Token(version);
                prop_assert!(!self.leases.contains_key(&e.slot), "{} has two holders", e.slot);
                prop_assert!(self.tokens.last().is_none_or(|last| *last < token), "tokens rise");
                self.tokens.push(token);
                self.leases.insert(e.slot, token);
            }
            RenderEvent::RenderPlanned(_) => drop(self.leases.remove(&Slot::Plan)),
            RenderEvent::PartStored(e) => drop(self.leases.remove(&e.part.slot)),
            RenderEvent::AttemptFailed(e) => drop(self.leases.remove(&e.slot)),
            RenderEvent::SlotReleased(e) => drop(self.leases.remove(&e.slot)),
            RenderEvent::LeaseExpired(e) => drop(self.leases.remove(&e.slot)),
            RenderEvent::ProgressMarked(e) => {
                prop_assert!(
                    e.percent > self.percent && e.percent <= 99,
                    "{} after {}",
                    e.percent,
                    self.percent
                );
                self.percent = e.percent;
            }
            _ => {}
        }
        Ok(())
    }
}

fn is_terminal(event: Option<&RenderEvent>) -> bool {
    let ends = |e: &RenderEvent| {
        matches!(
            e,
            RenderEvent::RenderCompleted(_) | RenderEvent::RenderFailed(_) | RenderEvent::RenderCancelled(_)
        )
    };
    event.is_some_and(ends)
}

/// The events as a store would give them back.
fn recorded(events: &[RenderEvent]) -> Vec<Recorded> {
    let record = |(event, version): (&RenderEvent, u64)| Recorded {
        event_id: EventId::new(u128::from(version)),
        stream_id: StreamId::from(RenderId::new(1)),
        stream_version: StreamVersion(version),
        position: Position(version),
        event: event.encode(),
        workspace_id: WorkspaceId::new(1),
        correlation_id: String::new(),
        causation_id: None,
        actor: Actor::system(),
        traceparent: None,
        recorded_at: samples::NOW,
        hash: Sha256::of(&[]),
    };
    events.iter().zip(1..).map(record).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_decision_of_every_life_keeps_the_laws(asked in prop::collection::vec(wishes(), 1..80)) {
        let mut life = Life::default();
        life.ask(&Command::Submit(Box::new(samples::request())))?;
        for wish in &asked {
            life.ask(&life.command(wish))?;
        }
        let ends = life.events.iter().filter(|event| is_terminal(Some(event))).count();
        prop_assert_eq!(ends, usize::from(life.render.is_finished()), "one terminal event where it is over");
    }

    #[test]
    fn the_status_of_any_prefix_is_the_fold_of_its_events(asked in prop::collection::vec(wishes(), 1..60)) {
        let mut life = Life::default();
        for wish in &asked {
            life.ask(&life.command(wish))?;
        }
        let stored = recorded(&life.events);
        for length in 0..=stored.len() {
            let render: Render = fold(&life.events[..length]);
            let view = JobView::fold(&stored[..length]).expect("they decode");
            match (&render, &view) {
                (Render::Unsubmitted, None) => {}
                (Render::Finished(outcome), Some(view)) => prop_assert_eq!(view.status, outcome.status()),
                (_, Some(view)) => {
                    prop_assert!(!view.status.is_terminal(), "{:?} lives, the job is {:?}", render, view.status);
                    let facts = render.facts().expect("it lives");
                    prop_assert_eq!((view.progress_percent, view.progress_stage), (facts.percent, facts.stage));
                }
                (_, None) => prop_assert!(false, "{:?} has no job", render),
            }
        }
        prop_assert_eq!(fold::<Render>(&life.events), life.render, "folding at once is living step by step");
    }
}

#[test]
fn random_lives_reach_every_ending() {
    // The laws would hold trivially for lives that never get anywhere: this makes sure that theirs do.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut endings = BTreeMap::new();
    for _ in 0..500 {
        let asked = prop::collection::vec(wishes(), 40..80).new_tree(&mut runner).expect("a life").current();
        let mut life = Life::default();
        life.ask(&Command::Submit(Box::new(samples::request()))).expect("the laws hold");
        for wish in &asked {
            life.ask(&life.command(wish)).expect("the laws hold");
        }
        let ending = match &life.render {
            Render::Finished(outcome) => outcome.status().as_str(),
            _ => "alive",
        };
        *endings.entry(ending).or_insert(0_u32) += 1;
    }
    for ending in ["alive", "completed", "failed", "cancelled"] {
        assert!(
            endings.get(ending).is_some_and(|&count| count > 10),
            "too few lives end {ending}: {endings:?}"
        );
    }
}
