//! From events to the command side's own tables: leases, the work queue, keys. Pure.
//!
//! The tables are written in the transaction that appends the events, so they never tell of more or less than the log.

use domain::{Aggregate as _, Render, Workspace};
use event_store::{ApiKeyRow, LeaseKey, NewQueueRow, SideRow};
use events::work::Slot;
use events::{RenderEvent, RenderId, StreamVersion, Timestamp, Token, WorkspaceEvent};

use crate::handler::Place;

/// What follows from a render's new events.
pub(crate) fn of_render(before: &Render, place: &Place, events: &[RenderEvent]) -> Vec<SideRow> {
    let Some(render) = place.stream.render() else { return Vec::new() };
    let mut state = before.clone();
    let mut rows = Vec::new();
    for (event, version) in events.iter().zip(place.after.0 + 1..) {
        let was_rendering = matches!(state, Render::Rendering(_));
        let was_begun = is_begun(&state);
        state = state.evolve(event, StreamVersion(version));
        let table = Table { render, place, state: &state };
        match event {
            RenderEvent::RenderQueued(queued) => {
                let slot = queued.slot.unwrap_or(Slot::Plan);
                if was_rendering && slot == Slot::Plan {
                    // Planned anew: the old plan's parts are void.
                    rows.push(SideRow::ClearRender(render));
                }
                rows.push(table.enqueue(slot, queued.not_before));
            }
            RenderEvent::LeaseGranted(lease) => {
                let key = LeaseKey { render, slot: lease.slot, token: Token(StreamVersion(version)) };
                rows.push(SideRow::PutLease(key, lease.ttl_ms));
                rows.push(SideRow::Dequeue(render, lease.slot));
                rows.extend((!was_begun).then_some(SideRow::BeginRender(render, place.workspace)));
            }
            RenderEvent::LeaseExpired(e) => rows.push(SideRow::DeleteLease(render, e.slot)),
            RenderEvent::AttemptFailed(e) => rows.push(SideRow::DeleteLease(render, e.slot)),
            RenderEvent::SlotReleased(e) => {
                rows.push(SideRow::DeleteLease(render, e.slot));
                rows.push(table.enqueue(e.slot, None));
            }
            RenderEvent::RenderPlanned(_) => {
                rows.push(SideRow::DeleteLease(render, Slot::Plan));
                rows.extend(state.open_slots().iter().map(|(slot, _)| table.enqueue(*slot, None)));
            }
            RenderEvent::PartStored(e) => {
                rows.push(SideRow::DeleteLease(render, e.part.slot));
                if matches!(state, Render::Assembling(_)) {
                    rows.push(table.enqueue(Slot::Assemble, None));
                }
            }
            RenderEvent::RenderSubmitted(e) => {
                let (workspace, deadline) = (place.workspace, e.deadline);
                rows.push(SideRow::OpenRender { render, workspace, deadline });
            }
            RenderEvent::RenderCompleted(_) => {
                rows.push(SideRow::CloseRender(render));
                rows.push(SideRow::PutArtifact(render));
            }
            RenderEvent::RenderFailed(_) | RenderEvent::RenderCancelled(_) => {
                rows.push(SideRow::CloseRender(render));
            }
            RenderEvent::PhaseChanged(_)
            | RenderEvent::ProgressMarked(_)
            | RenderEvent::CancelRequested(_) => {}
        }
    }
    rows
}

/// Whether a worker has been at it: the first lease sets the stage.
fn is_begun(state: &Render) -> bool {
    state.facts().is_some_and(|facts| facts.stage.is_some())
}

struct Table<'s> {
    render: RenderId,
    place: &'s Place,
    state: &'s Render,
}

impl Table<'_> {
    fn enqueue(&self, slot: Slot, not_before: Option<Timestamp>) -> SideRow {
        SideRow::Enqueue(NewQueueRow {
            render: self.render,
            slot,
            workspace: self.place.workspace,
            priority: self.state.facts().map_or(0, |facts| facts.priority),
            fingerprint: self.state.engine_for(slot).map(|engine| engine.0.clone()),
            not_before,
            begun: is_begun(self.state),
        })
    }
}

/// What follows from a workspace's new events.
pub(crate) fn of_workspace(before: &Workspace, place: &Place, events: &[WorkspaceEvent]) -> Vec<SideRow> {
    let mut state = before.clone();
    let mut rows = Vec::new();
    for (event, version) in events.iter().zip(place.after.0 + 1..) {
        match event {
            WorkspaceEvent::WorkspaceCreated(_) => rows.push(SideRow::PutWorkspace(place.workspace)),
            WorkspaceEvent::WorkspaceChanged(changed) => {
                rows.push(SideRow::SetConcurrency(place.workspace, changed.concurrency));
            }
            WorkspaceEvent::ApiKeyCreated(key) => rows.push(SideRow::PutApiKey(ApiKeyRow {
                key_sha256: key.key_sha256,
                key_id: key.key_id,
                workspace: place.workspace,
            })),
            WorkspaceEvent::ApiKeyRevoked(revoked) => {
                if let Workspace::Open { keys, .. } = &state {
                    rows.extend(keys.get(&revoked.key_id).map(|digest| SideRow::DeleteApiKey(*digest)));
                }
            }
            // Whoever tells endpoints reads the log.
            WorkspaceEvent::WebhookCreated(_)
            | WorkspaceEvent::WebhookChanged(_)
            | WorkspaceEvent::WebhookDeleted(_)
            | WorkspaceEvent::WebhookDisabled(_)
            | WorkspaceEvent::WebhookTested(_)
            | WorkspaceEvent::WebhookReplayed(_) => {}
        }
        state = state.evolve(event, StreamVersion(version));
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use domain::render::{Claim, Command, Failure, Jitter};
    use events::job::JobKind;
    use events::render::{
        Artifact, PartRange, Plan, RenderCompleted, RenderSubmitted, StoredObject, StoredPart, Timings,
    };
    use events::work::Fingerprint;
    use events::{Fault, FaultCode, Sha256, StreamId, WorkerId, WorkspaceId};

    use super::*;

    const RENDER: RenderId = RenderId::new(1);
    const WORKSPACE: WorkspaceId = WorkspaceId::new(2);
    const PRIORITY: i32 = 7;

    /// A render and the tables as a store would keep them.
    #[derive(Default)]
    struct Life {
        render: Render,
        version: StreamVersion,
        queue: BTreeMap<Slot, NewQueueRow>,
        leases: BTreeMap<Slot, Token>,
        /// Whether it has been begun; `None`: it is no living render.
        living: Option<bool>,
        has_artifact: bool,
    }

    impl Life {
        /// Decides, writes the tables, and compares them with what the render itself knows.
        fn ask(&mut self, command: Command) {
            let events = self.render.decide(command.clone()).unwrap_or_else(|no| panic!("{command:?}: {no}"));
            let place = Place { stream: StreamId::from(RENDER), workspace: WORKSPACE, after: self.version };
            of_render(&self.render, &place, &events).into_iter().for_each(|row| self.write(row));
            for event in &events {
                self.version.0 += 1;
                self.render = std::mem::take(&mut self.render).evolve(event, self.version);
            }
            let open = self.render.open_slots();
            let held = open.iter().filter_map(|(slot, state)| Some((*slot, state.lease.as_ref()?.token)));
            assert_eq!(self.leases, held.collect(), "the leases after {command:?}");
            let free = open.iter().filter(|(_, state)| state.lease.is_none()).map(|(slot, _)| *slot);
            assert_eq!(
                self.queue.keys().copied().collect::<Vec<_>>(),
                free.collect::<Vec<_>>(),
                "after {command:?}"
            );
            for (slot, row) in &self.queue {
                let engine = self.render.engine_for(*slot).map(|engine| engine.0.clone());
                assert_eq!(
                    (row.workspace, row.priority, &row.fingerprint),
                    (WORKSPACE, PRIORITY, &engine),
                    "{row:?}"
                );
                assert_eq!(Some(row.begun), self.living, "the queue and the list agree: {row:?}");
            }
            let begun = self.render.facts().map(|facts| facts.stage.is_some());
            assert_eq!(self.living, begun, "after {command:?}");
        }

        fn write(&mut self, row: SideRow) {
            match row {
                SideRow::PutLease(key, _) => drop(self.leases.insert(key.slot, key.token)),
                SideRow::DeleteLease(_, slot) => drop(self.leases.remove(&slot)),
                SideRow::Enqueue(row) => drop(self.queue.insert(row.slot, row)),
                SideRow::Dequeue(_, slot) => drop(self.queue.remove(&slot)),
                SideRow::ClearRender(_) => {
                    self.leases.clear();
                    self.queue.clear();
                }
                SideRow::OpenRender { workspace, .. } => {
                    assert_eq!((workspace, self.living.replace(false)), (WORKSPACE, None), "opened once");
                }
                SideRow::BeginRender(_, workspace) => {
                    assert_eq!(
                        (workspace, self.living.replace(true)),
                        (WORKSPACE, Some(false)),
                        "begun once"
                    );
                }
                SideRow::CloseRender(_) => {
                    self.leases.clear();
                    self.queue.clear();
                    self.living = None;
                }
                SideRow::PutArtifact(_) => self.has_artifact = true,
                other => panic!("a render has no business with {other:?}"),
            }
        }

        fn token(&self, slot: Slot) -> Token {
            self.leases.get(&slot).copied().unwrap_or_else(|| panic!("{slot} is not leased"))
        }

        fn claim(&mut self, slot: Slot) {
            let (worker, fingerprint) = (WorkerId::new(3), Fingerprint("lavapipe".to_owned()));
            self.ask(Command::ClaimSlot(Claim { slot, worker, fingerprint, ttl_ms: 1 }));
        }

        fn planned(&mut self) {
            self.claim(Slot::Plan);
            let plan = Plan {
                generation: 1,
                fingerprint: Fingerprint("lavapipe".to_owned()),
                frames: 4,
                duration: 1.0,
                parts: vec![PartRange { first: 0, count: 2 }, PartRange { first: 2, count: 2 }],
                audio: true,
                detail: object(),
                warnings: Vec::new(),
                work_ms: 1,
            };
            self.ask(Command::ReportPlanned { token: self.token(Slot::Plan), plan: Box::new(plan) });
        }

        fn stored(&mut self, slot: Slot) {
            let frames = if slot == Slot::Audio { 0 } else { 2 };
            let part = StoredPart { slot, object: object(), frames, work_ms: 1 };
            self.ask(Command::StorePart { token: self.token(slot), part });
        }

        fn failed(&mut self, slot: Slot) {
            let fault = Fault {
                code: FaultCode::Internal,
                message: String::new(),
                element_id: None,
                path: None,
                retryable: true,
            };
            let (token, now, jitter) = (self.token(slot), Timestamp(0), Jitter::default());
            self.ask(Command::Fail(Failure { slot, token, fault, now, jitter }));
        }

        fn expired(&mut self, slot: Slot) {
            self.ask(Command::ExpireLease { slot, token: self.token(slot) });
        }

        fn released(&mut self, slot: Slot) {
            self.ask(Command::Release { slot, token: self.token(slot) });
        }
    }

    fn object() -> StoredObject {
        StoredObject { key: "a".to_owned(), sha256: Sha256::of(b"a"), size_bytes: 1 }
    }

    fn begun() -> Life {
        let mut life = Life::default();
        life.ask(Command::Submit(Box::new(RenderSubmitted {
            kind: JobKind::Render,
            document: Sha256::of(b"a"),
            contract_version: 1,
            output_format: "mp4".to_owned(),
            width: 16,
            height: 16,
            duration: None,
            frame_rate: "4".to_owned(),
            metadata_keys: Vec::new(),
            priority: PRIORITY,
            deadline: None,
            idempotency_key_hash: None,
            warnings: Vec::new(),
        })));
        life
    }

    #[test]
    fn the_tables_tell_what_the_log_tells_through_a_life_full_of_trouble() {
        let mut life = begun();
        for trouble in [Life::released, Life::failed, Life::expired] {
            life.claim(Slot::Plan);
            trouble(&mut life, Slot::Plan);
        }
        life.planned();
        life.claim(Slot::Part(0));
        life.stored(Slot::Part(0));
        life.ask(Command::Replan { generation: 1 });
        life.planned();
        let pieces = [Slot::Part(0), Slot::Part(1), Slot::Audio];
        pieces.into_iter().for_each(|slot| life.claim(slot));
        life.failed(Slot::Part(0));
        life.expired(Slot::Part(1));
        life.released(Slot::Audio);
        pieces.into_iter().for_each(|slot| life.claim(slot));
        pieces.into_iter().for_each(|slot| life.stored(slot));
        life.claim(Slot::Assemble);
        let artifact = Artifact {
            object: object(),
            content_type: "video/mp4".to_owned(),
            filename: "a.mp4".to_owned(),
            width: 16,
            height: 16,
            duration: 1.0,
            frame_count: 4,
            video_codec: "h264".to_owned(),
            audio_codec: None,
        };
        let token = life.token(Slot::Assemble);
        life.ask(Command::Assembled(Box::new(RenderCompleted {
            token,
            artifact,
            timings: Timings::default(),
        })));
        assert!(life.render.is_finished() && life.has_artifact, "and so it ends");
    }

    #[test]
    fn a_render_that_is_stopped_leaves_no_row_behind() {
        let mut life = begun();
        life.planned();
        life.claim(Slot::Part(0));
        life.ask(Command::Cancel);
        assert!(life.queue.is_empty() && life.leases.is_empty(), "nothing is left to do");
        assert!(!life.has_artifact, "and there is nothing to be kept");
    }

    #[test]
    fn a_failure_is_not_due_before_its_wait_is_over() {
        let mut life = begun();
        life.claim(Slot::Plan);
        life.failed(Slot::Plan);
        assert_eq!(life.queue[&Slot::Plan].not_before, Some(Timestamp(0).plus_ms(5_000)));
    }
}
