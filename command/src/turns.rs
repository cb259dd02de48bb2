//! Whose turn it is: the order in which a worker is offered what is due.
//!
//! Priority first; among equals, the workspace that was served longest ago; within a workspace, what was begun is finished
//! before anything else is begun, so that a long queue yields films one after another and not all at the end. A workspace
//! that has as many renders in work as it may begins no other until one is over.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use event_store::{QueueRow, WorkspaceLoad};
use events::work::{Fingerprint, Slot};
use events::{RenderId, WorkspaceId};

/// Workspaces whose last turn is remembered; beyond, everyone starts anew.
const REMEMBERED_MAX: usize = 10_000;

/// How many renders each workspace may have in work, and how many it has.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// Where a workspace has no setting of its own; `None`: any number.
    usual: Option<u32>,
    loads: HashMap<WorkspaceId, WorkspaceLoad>,
}

impl Room {
    pub(crate) fn new(usual: Option<u32>, loads: Vec<WorkspaceLoad>) -> Room {
        Room { usual, loads: loads.into_iter().map(|load| (load.workspace, load)).collect() }
    }

    /// How many it may have; `None`: any number.
    pub(crate) fn of(&self, workspace: WorkspaceId) -> Option<u32> {
        self.loads.get(&workspace).and_then(|load| load.concurrency).or(self.usual)
    }

    fn is_left(&self, workspace: WorkspaceId) -> bool {
        let begun = self.loads.get(&workspace).map_or(0, |load| load.begun);
        self.of(workspace).is_none_or(|most| begun < most)
    }
}

/// Remembers who was served.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// The number of each workspace's last turn.
    served: HashMap<WorkspaceId, u64>,
    turns: u64,
    /// Slots that another claim of this process is at: trying them too would only make both slower.
    in_hand: HashSet<(RenderId, Slot)>,
}

impl Turns {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows that this engine may do and that there is room for, best first.
    pub(crate) fn in_order(&self, due: Vec<QueueRow>, engine: &Fingerprint, room: &Room) -> Vec<QueueRow> {
        let book = self.book();
        let fits = |it: &QueueRow| it.row.fingerprint.as_ref().is_none_or(|needed| *needed == engine.0);
        let has_room = |it: &QueueRow| it.row.begun || room.is_left(it.row.workspace);
        let mut rows: Vec<QueueRow> = due.into_iter().filter(|it| fits(it) && has_room(it)).collect();
        // Identifiers of renders sort by age.
        rows.sort_by_key(|it| {
            let served = book.served.get(&it.row.workspace).copied().unwrap_or(0);
            (Reverse(it.row.priority), served, it.row.workspace, !it.row.begun, it.row.render, it.row.slot)
        });
        rows
    }

    /// Takes a row in hand; `None` where another claim is at it.
    pub(crate) fn take(&self, row: &QueueRow) -> Option<InHand<'_>> {
        let slot = (row.row.render, row.row.slot);
        let is_free = self.book().in_hand.insert(slot);
        // Made only where it is ours: dropping one gives the row back, and takes the lock to do so.
        is_free.then(|| InHand { turns: self, slot })
    }

    /// A workspace has had its turn.
    pub(crate) fn served(&self, workspace: WorkspaceId) {
        let mut book = self.book();
        if book.served.len() >= REMEMBERED_MAX {
            book.served.clear();
        }
        book.turns += 1;
        let turn = book.turns;
        book.served.insert(workspace, turn);
    }
}

/// A row that one claim is at, until this is dropped.
#[derive(Debug)]
pub(crate) struct InHand<'t> {
    turns: &'t Turns,
    slot: (RenderId, Slot),
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.turns.book().in_hand.remove(&self.slot);
    }
}

#[cfg(test)]
mod tests {
    use event_store::NewQueueRow;
    use events::Timestamp;

    use super::*;

    fn row(workspace: u128, render: u128, slot: Slot, priority: i32) -> QueueRow {
        let (workspace, render) = (WorkspaceId::new(workspace), RenderId::new(render));
        let fingerprint = matches!(slot, Slot::Part(_)).then(|| "lavapipe".to_owned());
        let begun = slot != Slot::Plan;
        let row = NewQueueRow { render, slot, workspace, priority, fingerprint, not_before: None, begun };
        QueueRow { row, enqueued_at: Timestamp(0) }
    }

    fn order(turns: &Turns, due: &[QueueRow], engine: &str) -> Vec<(u128, Slot)> {
        order_in(turns, due, engine, &Room::default())
    }

    fn order_in(turns: &Turns, due: &[QueueRow], engine: &str, room: &Room) -> Vec<(u128, Slot)> {
        let rows = turns.in_order(due.to_vec(), &Fingerprint(engine.to_owned()), room);
        rows.iter().map(|it| (it.row.render.bits(), it.row.slot)).collect()
    }

    #[test]
    fn what_was_begun_is_finished_before_anything_is_begun() {
        let due = [
            row(1, 1, Slot::Plan, 0),
            row(1, 3, Slot::Part(1), 0),
            row(1, 3, Slot::Part(0), 0),
            row(1, 2, Slot::Assemble, 0),
        ];
        let expected = [(2, Slot::Assemble), (3, Slot::Part(0)), (3, Slot::Part(1)), (1, Slot::Plan)];
        assert_eq!(order(&Turns::default(), &due, "lavapipe"), expected);
    }

    #[test]
    fn workspaces_take_turns_and_priority_goes_before() {
        let due = [
            row(1, 1, Slot::Plan, 0),
            row(1, 2, Slot::Plan, 0),
            row(2, 3, Slot::Plan, 0),
            row(2, 4, Slot::Plan, 7),
        ];
        let turns = Turns::default();
        assert_eq!(order(&turns, &due, "any")[..2], [(4, Slot::Plan), (1, Slot::Plan)]);
        turns.served(WorkspaceId::new(1));
        assert_eq!(order(&turns, &due, "any")[..2], [(4, Slot::Plan), (3, Slot::Plan)]);
        turns.served(WorkspaceId::new(2));
        assert_eq!(order(&turns, &due, "any")[..2], [(4, Slot::Plan), (1, Slot::Plan)]);
    }

    #[test]
    fn a_workspace_at_its_limit_goes_on_with_what_it_has_and_begins_nothing() {
        let due = [
            row(1, 1, Slot::Plan, 9),
            row(1, 2, Slot::Part(0), 0),
            row(2, 3, Slot::Plan, 0),
            row(3, 4, Slot::Plan, 0),
        ];
        let load = |workspace, begun, concurrency| WorkspaceLoad {
            workspace: WorkspaceId::new(workspace),
            begun,
            concurrency,
        };
        let at_limit = |loads| order_in(&Turns::default(), &due, "lavapipe", &Room::new(Some(1), loads));
        let all = [(1, Slot::Plan), (2, Slot::Part(0)), (3, Slot::Plan), (4, Slot::Plan)];
        assert_eq!(at_limit(vec![]), all);
        assert_eq!(at_limit(vec![load(1, 1, None)]), all[1..], "the usual limit");
        assert_eq!(
            at_limit(vec![load(1, 1, Some(2)), load(2, 0, Some(0))]),
            [all[0], all[1], all[3]],
            "their own"
        );
    }

    #[test]
    fn nobody_waits_behind_a_workspace_with_a_thousand_jobs() {
        let turns = Turns::default();
        let mut due: Vec<QueueRow> = (0..1000).map(|render| row(1, render, Slot::Plan, 0)).collect();
        due.extend((1000..1003).map(|render| row(2, render, Slot::Plan, 0)));
        due.push(row(3, 2000, Slot::Part(0), 0));
        let mut served = Vec::new();
        for _ in 0..8 {
            let next =
                turns.in_order(due.clone(), &Fingerprint("lavapipe".to_owned()), &Room::default()).remove(0);
            due.retain(|it| it != &next);
            turns.served(next.row.workspace);
            served.push(next.row.workspace.bits());
        }
        assert_eq!(
            served,
            [1, 2, 3, 1, 2, 1, 2, 1],
            "they take turns for as long as each has something to do"
        );
    }

    #[test]
    fn parts_are_offered_to_their_engine_only() {
        let due = [row(1, 1, Slot::Part(0), 0), row(1, 2, Slot::Plan, 0)];
        assert_eq!(order(&Turns::default(), &due, "another"), [(2, Slot::Plan)]);
    }

    #[test]
    fn a_row_is_in_one_hand_at_a_time() {
        let (turns, row) = (Turns::default(), row(1, 1, Slot::Plan, 0));
        let hand = turns.take(&row).expect("nobody is at it");
        assert!(turns.take(&row).is_none(), "someone is");
        drop(hand);
        assert!(turns.take(&row).is_some(), "it was put back");
    }
}
