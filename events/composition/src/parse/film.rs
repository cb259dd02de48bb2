//! The film as a whole: how long it is, and what is suspicious about its timeline.

use super::element::end;
use super::reader::Reader;
use super::report::{Report, step};
use crate::composition::Size;
use crate::element::Element;
use crate::problem::ProblemCode;
use crate::time::{FrameRate, Ticks};
use crate::warning::WarningCode;

/// The length of a film of which nothing says how long it is.
const NOTHING_TO_DERIVE_FROM: Ticks = Ticks(10 * crate::time::TICKS_PER_SECOND);

/// The document's duration, or else the largest end of an element. An element that ends with its source counts for
/// nothing, unless there are only such: then only their probed ends can tell, and the answer is `None`.
pub(super) fn duration(given: Option<Ticks>, elements: &[Element]) -> Option<Ticks> {
    let shown = || elements.iter().filter(|element| element.visible);
    given.or_else(|| match shown().filter_map(end).max() {
        Some(largest) => Some(largest),
        None => shown().next().is_none().then_some(NOTHING_TO_DERIVE_FROM),
    })
}

/// Refuses a film beyond the installation's limits.
pub(super) fn limits(
    request: &mut Reader<'_, '_, '_>,
    canvas: Size,
    frame_rate: FrameRate,
    duration: Option<Ticks>,
    still: bool,
) {
    for exceeded in request.report.limits().exceeded_by(canvas, frame_rate, duration, still) {
        request.problem(exceeded.field, ProblemCode::LimitExceeded, exceeded.message);
    }
}

/// Warns of an empty timeline and of elements that nobody will ever see.
pub(super) fn warnings(elements: &[Element], duration: Option<Ticks>, report: &mut Report<'_>) {
    if elements.iter().all(|element| !element.visible) {
        let message = "there is nothing to see or hear but the background".to_owned();
        report.warning("/elements", WarningCode::EmptyTimeline, message);
    }
    let Some(duration) = duration else { return };
    for element in elements.iter().filter(|element| element.visible && element.time >= duration) {
        let (start, end) = (element.time.seconds(), duration.seconds());
        let message = format!("the element begins at {start} s, but the film ends at {end} s");
        report.warning(&step(&element.path, "time"), WarningCode::ElementPastEnd, message);
    }
}
