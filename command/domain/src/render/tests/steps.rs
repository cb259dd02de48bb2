//! Given a history, when a command comes, then these events, or this no: typed, so that the wrong order does not compile.

use events::RenderEvent;

use crate::aggregate::{Aggregate as _, fold};
use crate::render::{Command, Rejection, Render};

/// A history: its first event stands at version 1.
pub(super) fn given(history: impl IntoIterator<Item = RenderEvent>) -> Given {
    Given { history: history.into_iter().collect() }
}

pub(super) struct Given {
    history: Vec<RenderEvent>,
}

pub(super) struct Decided {
    given: Given,
    decision: Result<Vec<RenderEvent>, Rejection>,
}

impl Given {
    /// More history.
    pub(super) fn and(mut self, more: impl IntoIterator<Item = RenderEvent>) -> Given {
        self.history.extend(more);
        self
    }

    pub(super) fn render(&self) -> Render {
        fold(&self.history)
    }

    pub(super) fn when(self, command: Command) -> Decided {
        Decided { decision: self.render().decide(command), given: self }
    }
}

impl Decided {
    #[track_caller]
    pub(super) fn then(self, events: impl IntoIterator<Item = RenderEvent>) {
        let expected: Vec<RenderEvent> = events.into_iter().collect();
        assert_eq!(self.decision, Ok(expected), "after {:#?}", self.given.history);
    }

    /// It took effect before.
    #[track_caller]
    pub(super) fn then_nothing(self) {
        self.then([]);
    }

    #[track_caller]
    pub(super) fn then_rejected(self, rejection: Rejection) {
        assert_eq!(self.decision, Err(rejection), "after {:#?}", self.given.history);
    }
}
