//! Transitions: how the film goes over from one element to the next.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::element::Element;
use crate::time::Ticks;

/// The way from one element to another, both resolved.
///
/// It lasts from the start of the later element on. Where the earlier one has ended by then it goes on into what its
/// source still has, then holds its last frame; when the transition is over so is that element. Nothing shifts in time.
/// The sound of both is cross-faded at equal power.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// The JSON pointer of the entry in the document the client sent (`/transitions/0`), for messages.
    pub path: String,
    /// What it looks like.
    #[serde(rename = "type")]
    pub kind: TransitionKind,
    /// Index in `elements` of what is left; it begins before `to` does.
    pub from: usize,
    /// Index in `elements` of what is entered.
    pub to: usize,
    /// How long it takes, above 0.
    pub duration: Ticks,
    /// Where both are stacked meanwhile; `None`: where the one in front is.
    pub z_index: Option<i64>,
}

/// What a transition looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransitionKind {
    /// The one fades into the other.
    CrossDissolve,
    /// The one fades to black inside its shape, the other comes out of black.
    DipToBlack,
    /// The same through white.
    DipToWhite,
}

impl Transition {
    /// When it is under way.
    #[must_use]
    pub fn window(&self, elements: &[Element]) -> Range<Ticks> {
        let start = elements[self.to].time;
        start..start + self.duration
    }
}
