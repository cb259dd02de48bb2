//! How far a render has come, in percent, from frames alone.

use events::work::Slot;

use super::Render;

/// What planning is worth.
const PLANNED: u64 = 5;
/// What planning and all parts are worth.
const RENDERED: u64 = 95;
/// The highest percentage of a render that is not completed.
const UNFINISHED_MAX: u64 = 99;

impl Render {
    /// 0–99: planning counts for 5, parts for 90, joining for the rest. `frames_of` says how many frames the holder of
    /// an open slot has done; what a part has lost with its worker counts no more.
    #[must_use]
    pub fn percent_done(&self, frames_of: impl Fn(Slot) -> u64) -> u8 {
        let percent = match self {
            Render::Unsubmitted | Render::Planning(_) => 0,
            Render::Rendering(rendering) => {
                let done = rendering.parts.iter().zip(&rendering.plan.parts).zip(0..).map(
                    |((piece, range), index)| match piece.open() {
                        Some(_) => frames_of(Slot::Part(index)).min(range.count),
                        None => range.count,
                    },
                );
                PLANNED + share(done.sum(), rendering.plan.frames, RENDERED - PLANNED)
            }
            Render::Assembling(assembling) => {
                RENDERED + share(frames_of(Slot::Assemble), assembling.plan.frames, UNFINISHED_MAX - RENDERED)
            }
            Render::Finished(outcome) => match outcome {
                super::Outcome::Completed(_) => 100,
                super::Outcome::Failed(_) | super::Outcome::Cancelled => 0,
            },
        };
        u8::try_from(percent).unwrap_or(100)
    }
}

/// `of · done / all`, at most `of`.
fn share(done: u64, all: u64, of: u64) -> u64 {
    done.min(all).saturating_mul(of).checked_div(all).unwrap_or(0)
}
