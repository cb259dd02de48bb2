//! Whose turn it is: the order in which a worker is offered what is due.
//!
//! Priority first; among equals, the workspace that was served longest ago; within a workspace, what was begun first is
//! finished first, so that a long queue yields films one after another and not all at the end.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use event_store::QueueRow;
use events::work::{Fingerprint, Slot};
use events::{RenderId, WorkspaceId};

/// Workspaces whose last turn is remembered; beyond, everyone starts anew.
const REMEMBERED_MAX: usize = 10_000;

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

    /// The rows that this engine may do, best first.
    pub(crate) fn in_order(&self, due: Vec<QueueRow>, engine: &Fingerprint) -> Vec<QueueRow> {
        let book = self.book();
        let fits = |it: &QueueRow| it.row.fingerprint.as_ref().is_none_or(|needed| *needed == engine.0);
        let mut rows: Vec<QueueRow> = due.into_iter().filter(fits).collect();
        // Identifiers of renders sort by age.
        rows.sort_by_key(|it| {
            let served = book.served.get(&it.row.workspace).copied().unwrap_or(0);
            (Reverse(it.row.priority), served, it.row.workspace, it.row.render, it.row.slot)
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
        let row = NewQueueRow { render, slot, workspace, priority, fingerprint, not_before: None };
        QueueRow { row, enqueued_at: Timestamp(0) }
    }

    fn order(turns: &Turns, due: &[QueueRow], engine: &str) -> Vec<(u128, Slot)> {
        let rows = turns.in_order(due.to_vec(), &Fingerprint(engine.to_owned()));
        rows.iter().map(|it| (it.row.render.bits(), it.row.slot)).collect()
    }

    #[test]
    fn what_was_begun_first_is_finished_first() {
        let due = [
            row(1, 9, Slot::Plan, 0),
            row(1, 3, Slot::Part(1), 0),
            row(1, 3, Slot::Part(0), 0),
            row(1, 2, Slot::Assemble, 0),
        ];
        let expected = [(2, Slot::Assemble), (3, Slot::Part(0)), (3, Slot::Part(1)), (9, Slot::Plan)];
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
