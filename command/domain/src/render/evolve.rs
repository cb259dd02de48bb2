//! How each event changes a render. Total and silent: what makes no sense here changes nothing.

use events::job::ProgressStage;
use events::render::{LeaseGranted, RenderPlanned, RenderSubmitted};
use events::work::{Slot, Token};
use events::{RenderEvent, StreamVersion};

use super::{Assembling, Ending, Facts, Lease, Outcome, Piece, Planning, Render, Rendering, SlotState};

impl Render {
    pub(super) fn after(mut self, event: &RenderEvent, version: StreamVersion) -> Render {
        match (&self, event) {
            (Render::Finished(_), _) => return self,
            (Render::Unsubmitted, RenderEvent::RenderSubmitted(submitted)) => return begin(submitted),
            (Render::Unsubmitted, _) => return self,
            _ => {}
        }
        match event {
            RenderEvent::LeaseGranted(lease) => self.grant(lease, Token(version)),
            RenderEvent::LeaseExpired(e) => self.end(e.slot, e.token, Ending::Expired),
            RenderEvent::SlotReleased(e) => self.end(e.slot, e.token, Ending::Released),
            RenderEvent::AttemptFailed(e) => self.end(e.slot, e.token, Ending::Failed),
            RenderEvent::RenderPlanned(planned) => return self.planned(planned),
            RenderEvent::PartStored(e) => {
                return self.with_piece(e.part.slot, Piece::Stored(e.part.clone(), e.token));
            }
            RenderEvent::RenderQueued(queued) if queued.slot == Some(Slot::Plan) => {
                return self.planned_anew();
            }
            RenderEvent::PhaseChanged(phase) => {
                self.note(|facts| facts.stage = facts.stage.max(Some(phase.stage)));
            }
            RenderEvent::ProgressMarked(marked) => {
                self.note(|facts| facts.percent = facts.percent.max(marked.percent))
            }
            RenderEvent::RenderCompleted(e) => {
                return Render::Finished(Outcome::Completed(Box::new(e.clone())));
            }
            RenderEvent::RenderFailed(e) => return Render::Finished(Outcome::Failed(e.fault.clone())),
            RenderEvent::RenderCancelled(_) => return Render::Finished(Outcome::Cancelled),
            RenderEvent::RenderSubmitted(_)
            | RenderEvent::RenderQueued(_)
            | RenderEvent::CancelRequested(_) => {}
        }
        self
    }

    fn grant(&mut self, granted: &LeaseGranted, token: Token) {
        self.note(|facts| {
            facts.stage.get_or_insert(ProgressStage::Downloading);
        });
        if let Some(state) = self.open_mut(granted.slot) {
            let LeaseGranted { worker, fingerprint, .. } = granted;
            state.lease = Some(Lease { token, worker: *worker, fingerprint: fingerprint.clone() });
        }
    }

    fn end(&mut self, slot: Slot, token: Token, how: Ending) {
        if let Some(state) = self.open_mut(slot) {
            state.end(token, how);
        }
    }

    fn planned(self, planned: &RenderPlanned) -> Render {
        let Render::Planning(Planning { facts, .. }) = self else { return self };
        let plan = planned.plan.clone();
        Render::Rendering(Rendering {
            facts,
            parts: vec![Piece::default(); plan.parts.len()],
            audio: plan.audio.then(Piece::default),
            plan,
            planned_by: planned.token,
        })
    }

    /// The plan is void, and with it every part made by it.
    fn planned_anew(self) -> Render {
        let Render::Rendering(Rendering { facts, plan, .. }) = self else { return self };
        Render::Planning(Planning {
            facts,
            generation: plan.generation.saturating_add(1),
            slot: SlotState::default(),
        })
    }

    fn with_piece(self, slot: Slot, stored: Piece) -> Render {
        let Render::Rendering(mut rendering) = self else { return self };
        if let Some(piece) = rendering.piece_mut(slot) {
            *piece = stored;
        }
        rendering.joined_if_whole()
    }

    fn note(&mut self, change: impl FnOnce(&mut Facts)) {
        match self {
            Render::Planning(Planning { facts, .. })
            | Render::Rendering(Rendering { facts, .. })
            | Render::Assembling(Assembling { facts, .. }) => change(facts),
            Render::Unsubmitted | Render::Finished(_) => {}
        }
    }

    fn open_mut(&mut self, slot: Slot) -> Option<&mut SlotState> {
        match (self, slot) {
            (Render::Planning(planning), Slot::Plan) => Some(&mut planning.slot),
            (Render::Rendering(rendering), Slot::Part(_) | Slot::Audio) => match rendering.piece_mut(slot)? {
                Piece::Open(state) => Some(state),
                Piece::Stored(..) => None,
            },
            (Render::Assembling(assembling), Slot::Assemble) => Some(&mut assembling.slot),
            _ => None,
        }
    }
}

fn begin(submitted: &RenderSubmitted) -> Render {
    let facts = Facts {
        document: submitted.document,
        priority: submitted.priority,
        deadline: submitted.deadline,
        percent: 0,
        stage: None,
    };
    Render::Planning(Planning { facts, generation: 1, slot: SlotState::default() })
}

impl Rendering {
    fn piece_mut(&mut self, slot: Slot) -> Option<&mut Piece> {
        match slot {
            Slot::Part(index) => self.parts.get_mut(usize::try_from(index).ok()?),
            Slot::Audio => self.audio.as_mut(),
            Slot::Plan | Slot::Assemble => None,
        }
    }

    /// Once every piece is stored there is nothing left but to join them.
    fn joined_if_whole(self) -> Render {
        let stored: Option<Vec<_>> = self
            .pieces()
            .map(|(_, piece)| piece.stored().map(|(part, token)| (part.clone(), token)))
            .collect();
        match stored {
            None => Render::Rendering(self),
            Some(stored) => Render::Assembling(Assembling {
                facts: self.facts,
                plan: self.plan,
                planned_by: self.planned_by,
                stored,
                slot: SlotState::default(),
            }),
        }
    }
}
