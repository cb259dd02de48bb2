//! The render's decisions, each as one sentence, and its laws.

mod laws;
mod samples;
mod steps;

use events::job::{JobStatus, ProgressStage};
use events::render::ProgressMarked;
use events::work::Slot;
use events::{FaultCode, RenderEvent};

use samples::*;
use steps::{Given, given};

use crate::aggregate::Aggregate as _;
use crate::render::{Command, Jitter, Rejection, Render, backoff_ms};

/// Submitted and planned: the plan's lease is 3, the plan stands at 4.
fn in_parts(audio: bool) -> Given {
    given(submitted()).and([
        leased(Slot::Plan, 1),
        planned(3, plan(audio)),
        phase(ProgressStage::Compositing),
    ])
}

/// Every part is stored and nothing is left to do but to join them; the next version is 13.
fn whole() -> Given {
    in_parts(false).and([leased(Slot::Part(0), 1), leased(Slot::Part(1), 1), leased(Slot::Part(2), 1)]).and([
        stored(6, part(0)),
        stored(7, part(1)),
        stored(8, part(2)),
        phase(ProgressStage::Encoding),
    ])
}

fn stale(slot: Slot, reported: u64, current: Option<u64>) -> Rejection {
    Rejection::StaleToken { slot, reported: token(reported), current: current.map(token) }
}

#[test]
fn a_submission_is_queued_at_once() {
    given([]).when(Command::Submit(Box::new(request()))).then(submitted());
}

#[test]
fn submitting_the_same_document_again_adds_nothing() {
    given(submitted()).when(Command::Submit(Box::new(request()))).then_nothing();
    let other = events::render::RenderSubmitted { document: events::Sha256::of(b"another"), ..request() };
    given(submitted()).when(Command::Submit(Box::new(other))).then_rejected(Rejection::AlreadySubmitted);
}

#[test]
fn nothing_can_be_asked_of_a_render_that_was_never_submitted() {
    given([]).when(claim(Slot::Plan, "lavapipe")).then_rejected(Rejection::NotSubmitted);
    given([]).when(Command::Cancel).then_rejected(Rejection::NotSubmitted);
}

#[test]
fn the_plan_comes_first() {
    given(submitted()).when(claim(Slot::Plan, "lavapipe")).then([leased(Slot::Plan, 1)]);
    for slot in [Slot::Part(0), Slot::Audio, Slot::Assemble] {
        given(submitted()).when(claim(slot, "lavapipe")).then_rejected(Rejection::SlotNotOpen { slot });
    }
}

#[test]
fn a_slot_has_one_holder() {
    let history = given(submitted()).and([leased(Slot::Plan, 1)]);
    history.when(claim(Slot::Plan, "lavapipe")).then_rejected(Rejection::SlotTaken { slot: Slot::Plan });
}

#[test]
fn a_plan_opens_its_parts_and_its_sound() {
    let history = || given(submitted()).and([leased(Slot::Plan, 1)]);
    history()
        .when(report_planned(3, plan(true)))
        .then([planned(3, plan(true)), phase(ProgressStage::Compositing)]);
    for slot in [Slot::Part(0), Slot::Part(2), Slot::Audio] {
        in_parts(true).when(claim(slot, "lavapipe")).then([leased(slot, 1)]);
    }
    in_parts(true)
        .when(claim(Slot::Part(3), "lavapipe"))
        .then_rejected(Rejection::SlotNotOpen { slot: Slot::Part(3) });
    in_parts(false)
        .when(claim(Slot::Audio, "lavapipe"))
        .then_rejected(Rejection::SlotNotOpen { slot: Slot::Audio });
    in_parts(true)
        .when(claim(Slot::Plan, "lavapipe"))
        .then_rejected(Rejection::SlotDone { slot: Slot::Plan });
}

#[test]
fn a_plan_told_twice_adds_nothing() {
    in_parts(true).when(report_planned(3, plan(true))).then_nothing();
    in_parts(true).when(report_planned(3, plan(false))).then_rejected(stale(Slot::Plan, 3, None));
}

#[test]
fn a_plan_must_cover_the_film_without_gaps() {
    let history = || given(submitted()).and([leased(Slot::Plan, 1)]);
    let unfit = |reason| Rejection::UnfitReport { slot: Slot::Plan, reason };
    let mut gap = plan(false);
    gap.parts.remove(1);
    history().when(report_planned(3, gap)).then_rejected(unfit("its parts leave a gap or are out of order"));
    let mut short = plan(false);
    short.parts.pop();
    history().when(report_planned(3, short)).then_rejected(unfit("its parts do not make up its frames"));
    let mut none = plan(false);
    none.parts.clear();
    history().when(report_planned(3, none)).then_rejected(unfit("it has no parts"));
    let mut foreign = plan(false);
    foreign.fingerprint = engine("another");
    let reason = "it names another engine than the one that claimed the slot";
    history().when(report_planned(3, foreign)).then_rejected(unfit(reason));
}

#[test]
fn parts_are_given_only_to_the_plans_engine() {
    let needed = engine("lavapipe");
    for slot in [Slot::Part(1), Slot::Audio] {
        let rejection = Rejection::WrongEngine { slot, needed: needed.clone() };
        in_parts(true).when(claim(slot, "another")).then_rejected(rejection);
    }
}

#[test]
fn a_worker_that_lost_its_lease_cannot_store_its_part() {
    let slot = Slot::Part(0);
    let lost = || in_parts(false).and([leased(slot, 1), expired(slot, 6), rescued(slot)]);
    lost().when(store(6, part(0))).then_rejected(stale(slot, 6, None));
    lost().and([leased(slot, 2)]).when(store(6, part(0))).then_rejected(stale(slot, 6, Some(9)));
    lost().and([leased(slot, 2)]).when(store(9, part(0))).then([stored(9, part(0))]);
}

#[test]
fn a_token_of_another_slot_is_no_token() {
    let history = in_parts(false).and([leased(Slot::Part(0), 1), leased(Slot::Part(1), 1)]);
    history.when(store(7, part(0))).then_rejected(stale(Slot::Part(0), 7, Some(6)));
}

#[test]
fn a_part_stored_twice_is_stored_once() {
    let history = || in_parts(false).and([leased(Slot::Part(0), 1), stored(6, part(0))]);
    history().when(store(6, part(0))).then_nothing();
    let mut other = part(0);
    other.object = object("other bytes");
    history().when(store(6, other)).then_rejected(stale(Slot::Part(0), 6, None));
    history()
        .when(claim(Slot::Part(0), "lavapipe"))
        .then_rejected(Rejection::SlotDone { slot: Slot::Part(0) });
    whole().when(store(8, part(2))).then_nothing();
}

#[test]
fn a_part_has_the_frames_that_the_plan_says() {
    let mut short = part(0);
    short.frames = 119;
    let reason = "it has another number of frames than the plan says";
    in_parts(false)
        .and([leased(Slot::Part(0), 1)])
        .when(store(6, short))
        .then_rejected(Rejection::UnfitReport { slot: Slot::Part(0), reason });
}

#[test]
fn the_film_is_joined_when_every_part_and_the_sound_are_stored() {
    let almost = || {
        in_parts(true)
            .and([
                leased(Slot::Part(0), 1),
                leased(Slot::Part(1), 1),
                leased(Slot::Part(2), 1),
                leased(Slot::Audio, 1),
            ])
            .and([stored(6, part(0)), stored(8, part(2)), stored(9, sound())])
    };
    almost()
        .when(claim(Slot::Assemble, "lavapipe"))
        .then_rejected(Rejection::SlotNotOpen { slot: Slot::Assemble });
    almost().when(store(7, part(1))).then([stored(7, part(1)), phase(ProgressStage::Encoding)]);
    let joined = almost().and([stored(7, part(1))]);
    let Render::Assembling(assembling) = joined.render() else { panic!("every piece is stored") };
    let order: Vec<Slot> = assembling.stored.iter().map(|(part, _)| part.slot).collect();
    assert_eq!(
        order,
        [Slot::Part(0), Slot::Part(1), Slot::Part(2), Slot::Audio],
        "parts in order, then the sound"
    );
    joined.when(claim(Slot::Assemble, "any engine")).then([events::RenderEvent::LeaseGranted(
        events::render::LeaseGranted {
            slot: Slot::Assemble,
            attempt: 1,
            worker: events::WorkerId::new(1),
            fingerprint: engine("any engine"),
            ttl_ms: TTL_MS,
        },
    )]);
}

#[test]
fn the_assemblers_token_completes_the_render() {
    let joining = || whole().and([leased(Slot::Assemble, 1)]);
    joining().when(assembled(13)).then([completed(13)]);
    joining().when(assembled(8)).then_rejected(stale(Slot::Assemble, 8, Some(13)));
    whole().when(assembled(13)).then_rejected(stale(Slot::Assemble, 13, None));
    joining().and([completed(13)]).when(assembled(13)).then_nothing();
    let finished = Rejection::AlreadyFinished { status: JobStatus::Completed };
    joining().and([completed(13)]).when(assembled(12)).then_rejected(finished);
}

#[test]
fn a_failure_is_retried_after_five_and_fifteen_seconds_and_ends_the_render_the_third_time() {
    let slot = Slot::Part(0);
    let once = || in_parts(false).and([leased(slot, 1)]);
    once()
        .when(fail(slot, 6, fault(true)))
        .then([attempt_failed(slot, 6, fault(true)), retried(slot, 5_000)]);
    let twice = || once().and([attempt_failed(slot, 6, fault(true)), retried(slot, 5_000), leased(slot, 2)]);
    twice()
        .when(fail(slot, 9, fault(true)))
        .then([attempt_failed(slot, 9, fault(true)), retried(slot, 15_000)]);
    let thrice = twice().and([attempt_failed(slot, 9, fault(true)), retried(slot, 15_000), leased(slot, 3)]);
    thrice
        .when(fail(slot, 12, fault(true)))
        .then([attempt_failed(slot, 12, fault(true)), failed(fault(true))]);
}

#[test]
fn failures_are_counted_for_each_slot_by_itself() {
    let (first, second) = (Slot::Part(0), Slot::Part(1));
    in_parts(false)
        .and([leased(first, 1), attempt_failed(first, 6, fault(true)), retried(first, 5_000)])
        .and([leased(first, 2), attempt_failed(first, 9, fault(true)), retried(first, 15_000)])
        .and([leased(second, 1)])
        .when(fail(second, 12, fault(true)))
        .then([attempt_failed(second, 12, fault(true)), retried(second, 5_000)]);
}

#[test]
fn a_fault_that_no_retry_mends_fails_the_render_at_once() {
    given(submitted())
        .and([leased(Slot::Plan, 1)])
        .when(fail(Slot::Plan, 3, fault(false)))
        .then([attempt_failed(Slot::Plan, 3, fault(false)), failed(fault(false))]);
}

#[test]
fn a_failure_told_twice_is_counted_once() {
    let slot = Slot::Plan;
    let history =
        given(submitted()).and([leased(slot, 1), attempt_failed(slot, 3, fault(true)), retried(slot, 5_000)]);
    history.when(fail(slot, 3, fault(true))).then_nothing();
}

#[test]
fn the_fifth_lost_worker_fails_the_render() {
    let slot = Slot::Plan;
    let mut history = given(submitted());
    for lease in 0..4 {
        let token = 3 + 3 * lease;
        history = history.and([leased(slot, u32::try_from(lease).expect("small") + 1)]);
        let expected = [expired(slot, token), rescued(slot)];
        assert_eq!(
            history.render().open(slot).and_then(|s| s.lease.clone()).map(|l| l.token),
            Some(samples::token(token))
        );
        history = history.and(expected);
    }
    history = history.and([leased(slot, 5)]);
    let decided = history.render().decide(expire(slot, 15)).expect("the lease is current");
    let [RenderEvent::LeaseExpired(_), RenderEvent::RenderFailed(end)] = decided.as_slice() else {
        panic!("expected an end, found {decided:?}")
    };
    assert_eq!(end.fault.code, FaultCode::WorkerLost, "{}", end.fault.message);
}

#[test]
fn an_expiry_is_believed_only_for_the_current_lease() {
    let slot = Slot::Part(0);
    let history = || in_parts(false).and([leased(slot, 1)]);
    history().when(expire(slot, 6)).then([expired(slot, 6), rescued(slot)]);
    let rescued_once = || history().and([expired(slot, 6), rescued(slot)]);
    rescued_once().when(expire(slot, 6)).then_nothing();
    rescued_once().and([leased(slot, 2)]).when(expire(slot, 5)).then_rejected(stale(slot, 5, Some(9)));
}

#[test]
fn a_slot_handed_back_counts_as_no_attempt() {
    let slot = Slot::Part(0);
    in_parts(false).and([leased(slot, 1)]).when(release(slot, 6)).then([released(slot, 6)]);
    let back = || in_parts(false).and([leased(slot, 1), released(slot, 6)]);
    back().when(claim(slot, "lavapipe")).then([leased(slot, 1)]);
    back().when(release(slot, 6)).then_nothing();
}

#[test]
fn a_cancelled_render_is_over_at_once() {
    in_parts(false).and([leased(Slot::Part(0), 1)]).when(Command::Cancel).then(cancelled());
    let over = || in_parts(false).and([leased(Slot::Part(0), 1)]).and(cancelled());
    let finished = || Rejection::AlreadyFinished { status: JobStatus::Cancelled };
    over().when(store(6, part(0))).then_rejected(finished());
    over().when(claim(Slot::Part(1), "lavapipe")).then_rejected(finished());
    over().when(Command::Cancel).then_rejected(finished());
}

#[test]
fn a_deadline_counts_once_it_has_passed() {
    let before = Command::PassDeadline { now: DEADLINE.plus_ms(-1) };
    in_parts(false).when(before).then_rejected(Rejection::DeadlineAhead);
    let decided =
        in_parts(false).render().decide(Command::PassDeadline { now: DEADLINE }).expect("it has passed");
    let [RenderEvent::RenderFailed(end)] = decided.as_slice() else {
        panic!("expected an end, found {decided:?}")
    };
    assert_eq!(end.fault.code, FaultCode::DeadlineExceeded, "{}", end.fault.message);
}

#[test]
fn planning_anew_voids_the_old_plan_and_its_parts() {
    let history = || in_parts(false).and([leased(Slot::Part(0), 1), stored(6, part(0))]);
    history().when(Command::Replan { generation: 1 }).then([rescued(Slot::Plan)]);
    let anew = || history().and([rescued(Slot::Plan)]);
    anew().when(Command::Replan { generation: 1 }).then_nothing();
    anew().when(store(6, part(0))).then_rejected(stale(Slot::Part(0), 6, None));
    let second = events::render::Plan { generation: 2, ..plan(false) };
    anew()
        .and([leased(Slot::Plan, 1)])
        .when(report_planned(9, plan(false)))
        .then([planned(9, second.clone())]);
    let replanned = anew().and([leased(Slot::Plan, 1), planned(9, second)]);
    replanned.when(claim(Slot::Part(0), "lavapipe")).then([leased(Slot::Part(0), 1)]);
}

#[test]
fn a_plan_that_someone_works_by_is_not_made_anew() {
    let history = || in_parts(false).and([leased(Slot::Part(0), 1)]);
    history().when(Command::Replan { generation: 1 }).then_rejected(Rejection::PlanStands);
    in_parts(false).when(Command::Replan { generation: 2 }).then_rejected(Rejection::PlanStands);
    whole().when(Command::Replan { generation: 1 }).then_rejected(Rejection::PlanStands);
}

#[test]
fn progress_never_goes_down() {
    let marked =
        |percent| RenderEvent::ProgressMarked(ProgressMarked { percent, stage: ProgressStage::Compositing });
    let at_forty = || in_parts(false).and([marked(40)]);
    at_forty().when(Command::MarkProgress { percent: 41 }).then([marked(41)]);
    at_forty().when(Command::MarkProgress { percent: 40 }).then_nothing();
    at_forty().when(Command::MarkProgress { percent: 100 }).then([marked(99)]);
    at_forty().when(Command::EnterPhase { stage: ProgressStage::Downloading }).then_nothing();
    at_forty()
        .when(Command::EnterPhase { stage: ProgressStage::Uploading })
        .then([phase(ProgressStage::Uploading)]);
}

#[test]
fn there_is_no_progress_before_somebody_begins() {
    given(submitted()).when(Command::MarkProgress { percent: 1 }).then_rejected(Rejection::NotStarted);
    let early = Command::EnterPhase { stage: ProgressStage::Compositing };
    given(submitted()).when(early).then_rejected(Rejection::NotStarted);
}

#[test]
fn progress_is_counted_in_frames() {
    assert_eq!(given(submitted()).render().percent_done(|_| 7), 0, "while planning");
    let rendering = in_parts(false).and([leased(Slot::Part(0), 1), stored(6, part(0))]).render();
    assert_eq!(rendering.percent_done(|_| 0), 5 + 40, "120 of 270 frames");
    let live = |slot| if slot == Slot::Part(2) { 15 } else { 0 };
    assert_eq!(rendering.percent_done(live), 5 + 45, "and 15 of a part in hand");
    assert_eq!(rendering.percent_done(|_| u64::MAX), 95, "a part never counts for more than its frames");
    assert_eq!(whole().render().percent_done(|_| 135), 97, "half joined");
}

#[test]
fn an_event_that_makes_no_sense_changes_nothing() {
    let after = |given: Given, event: RenderEvent| {
        let before = given.render();
        (before.clone().evolve(&event, events::StreamVersion(99)), before)
    };
    let marked =
        |percent| RenderEvent::ProgressMarked(ProgressMarked { percent, stage: ProgressStage::Compositing });
    let held = || in_parts(false).and([leased(Slot::Part(0), 1), marked(40)]);
    let nonsense = [
        (held(), expired(Slot::Part(0), 5), "another lease of the slot"),
        (held(), released(Slot::Part(7), 6), "a slot that the plan does not have"),
        (held(), marked(39), "progress that goes down"),
        (held(), planned(3, plan(true)), "a second plan"),
        (held().and(cancelled()), failed(fault(true)), "a second end"),
        (given([]), leased(Slot::Plan, 1), "a lease on nothing"),
    ];
    for (history, event, what) in nonsense {
        let (after, before) = after(history, event);
        assert_eq!(after, before, "{what}");
    }
}

#[test]
fn waits_grow_threefold_and_deviate_by_at_most_a_fifth() {
    let waits = |permille| [0, 1, 2].map(|failures| backoff_ms(failures, Jitter::new(permille)));
    assert_eq!(waits(0), [5_000, 15_000, 45_000]);
    assert_eq!(waits(-200), [4_000, 12_000, 36_000]);
    assert_eq!(waits(30_000), [6_000, 18_000, 54_000], "more than a fifth is taken for a fifth");
}
