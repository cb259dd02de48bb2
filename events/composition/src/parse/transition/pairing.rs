//! Which elements a transition joins: those it names, and for a missing name the neighbour in time.
//!
//! Neighbours are visible videos, images and compositions of one `track` (none is a track too) and one `z_index`, in the
//! order of their times; texts and sounds are joined only by name. Of the transitions without any name the first takes the
//! first two neighbours that nobody else joins, the second the next, and the last of them all that are left.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::element::{Element, ElementKind};
use crate::parse::element::end;
use crate::parse::report::{Report, quoted, step};
use crate::problem::ProblemCode;
use crate::time::Ticks;
use crate::transition::{Transition, TransitionKind};
use crate::warning::WarningCode;

/// What one entry asks for. Elements are named by their index in the document.
pub(super) struct Wish {
    pub(super) path: String,
    pub(super) kind: TransitionKind,
    pub(super) from: Option<usize>,
    pub(super) to: Option<usize>,
    pub(super) duration: Ticks,
    pub(super) z_index: Option<i64>,
}

/// A list of elements and who joins them already.
pub(super) struct Pairing<'e> {
    elements: &'e [Element],
    /// From the index in the document to that in `elements`, where nothing is wrong with the element.
    sound: BTreeMap<usize, usize>,
    /// Groups of neighbours, each in the order of time.
    lines: Vec<Vec<usize>>,
    /// Which entry's transition leaves an element, by its index in `elements`.
    left_by: BTreeMap<usize, String>,
    entered_by: BTreeMap<usize, String>,
}

impl<'e> Pairing<'e> {
    pub(super) fn new(listed: &[Value], elements: &'e [Element], faulty: &BTreeSet<usize>) -> Pairing<'e> {
        let index_of = |element: &Element| -> Option<usize> { element.path.rsplit('/').next()?.parse().ok() };
        let known = elements.iter().enumerate().filter_map(|(at, element)| Some((index_of(element)?, at)));
        let sound: BTreeMap<usize, usize> = known.filter(|(index, _)| !faulty.contains(index)).collect();
        let mut lines: BTreeMap<(Option<i64>, i64), Vec<usize>> = BTreeMap::new();
        for (index, at) in &sound {
            let Some(z_index) = neighbourly(&elements[*at]) else { continue };
            let track = listed.get(*index).and_then(|value| value.get("track")?.as_f64());
            lines.entry((track.map(|track| track as i64), z_index)).or_default().push(*at);
        }
        let mut lines: Vec<Vec<usize>> = lines.into_values().collect();
        // Stable: of two that begin together the earlier entry comes first.
        lines.iter_mut().for_each(|line| line.sort_by_key(|at| elements[*at].time));
        Pairing { elements, sound, lines, left_by: BTreeMap::new(), entered_by: BTreeMap::new() }
    }

    /// The transitions that name both their ends.
    pub(super) fn named(&mut self, wishes: &[Wish], report: &mut Report<'_>) -> Vec<Transition> {
        let mut made = Vec::new();
        for wish in wishes {
            let (Some(from), Some(to)) = (wish.from, wish.to) else { continue };
            // What is wrong with an element is told where it stands.
            let ends = self.sound.get(&from).copied().zip(self.sound.get(&to).copied());
            made.extend(ends.and_then(|(from, to)| self.join(wish, from, to, report)));
        }
        made
    }

    /// The transitions that name one end or none.
    pub(super) fn found(&mut self, wishes: &[Wish], report: &mut Report<'_>) -> Vec<Transition> {
        let mut made = Vec::new();
        for wish in wishes {
            let (named, field, other) = match (wish.from, wish.to) {
                (Some(from), None) => (from, "to_id", "follows"),
                (None, Some(to)) => (to, "from_id", "comes before"),
                _ => continue,
            };
            let Some(named) = self.sound.get(&named).copied() else { continue };
            let found = if field == "to_id" { self.after(named) } else { self.before(named) };
            match found {
                Some(found) => {
                    let (from, to) = if field == "to_id" { (named, found) } else { (found, named) };
                    made.extend(self.join(wish, from, to, report));
                }
                None => {
                    let id = quoted(self.elements[named].id.as_deref().unwrap_or_default());
                    let message = format!(
                        "{field} is missing, and no visible video, image or composition {other} {id} on its track and \
                         z_index; name the element"
                    );
                    report.problem(&step(&wish.path, field), ProblemCode::DanglingTransition, message);
                }
            }
        }
        made.extend(self.nameless(wishes, report));
        made
    }

    fn nameless(&mut self, wishes: &[Wish], report: &mut Report<'_>) -> Vec<Transition> {
        let nameless: Vec<&Wish> = wishes.iter().filter(|w| w.from.is_none() && w.to.is_none()).collect();
        let mut free = self.free_pairs().into_iter();
        let mut made = Vec::new();
        for (index, wish) in nameless.iter().enumerate() {
            let takes = if index + 1 == nameless.len() { usize::MAX } else { 1 };
            let pairs: Vec<_> = free.by_ref().take(takes).collect();
            if pairs.is_empty() {
                let message = "from_id and to_id are missing, and there are no two elements left that follow each other on \
                               one track and z_index; name two elements"
                    .to_owned();
                report.problem(&step(&wish.path, "from_id"), ProblemCode::DanglingTransition, message);
            }
            for (from, to) in pairs {
                made.extend(self.join(wish, from, to, report));
            }
        }
        made
    }

    /// Neighbours that no transition joins, in the order of time.
    fn free_pairs(&self) -> Vec<(usize, usize)> {
        let mut pairs: Vec<(usize, usize)> = self
            .lines
            .iter()
            .flatten()
            .filter_map(|to| Some((self.before(*to)?, *to)))
            .filter(|(from, to)| !self.left_by.contains_key(from) && !self.entered_by.contains_key(to))
            .collect();
        pairs.sort_by_key(|(_, to)| (self.elements[*to].time, *to));
        // Of several that begin together only the first follows the one before.
        let mut left = BTreeSet::new();
        pairs.retain(|(from, _)| left.insert(*from));
        pairs
    }

    fn line_of(&self, at: usize) -> &[usize] {
        self.lines.iter().find(|line| line.contains(&at)).map_or(&[], Vec::as_slice)
    }

    fn after(&self, at: usize) -> Option<usize> {
        let time = self.elements[at].time;
        self.line_of(at).iter().copied().find(|other| self.elements[*other].time > time)
    }

    fn before(&self, at: usize) -> Option<usize> {
        let time = self.elements[at].time;
        self.line_of(at).iter().copied().rfind(|other| self.elements[*other].time < time)
    }

    /// Joins two elements, or says why not.
    fn join(&mut self, wish: &Wish, from: usize, to: usize, report: &mut Report<'_>) -> Option<Transition> {
        let mut conflict = |field: &str, message: String| {
            report.problem(&step(&wish.path, field), ProblemCode::ConflictingFields, message);
        };
        let (earlier, later) = (self.elements[from].time, self.elements[to].time);
        if earlier >= later {
            let (earlier, later) = (earlier.seconds(), later.seconds());
            let message = format!(
                "what is left begins at {earlier} s, which is not before what is entered begins ({later} s); a transition \
                 leads from the earlier element to the later one"
            );
            conflict("from_id", message);
            return None;
        }
        for (field, at, taken, verb) in
            [("from_id", from, &self.left_by, "left"), ("to_id", to, &self.entered_by, "entered")]
        {
            if let Some(other) = taken.get(&at) {
                let element = &self.elements[at].path;
                conflict(
                    field,
                    format!("{element} is {verb} by {other} already; one transition can do that"),
                );
                return None;
            }
        }
        self.left_by.insert(from, wish.path.clone());
        self.entered_by.insert(to, wish.path.clone());
        let transition = Transition {
            path: wish.path.clone(),
            kind: wish.kind,
            from,
            to,
            duration: wish.duration,
            z_index: wish.z_index,
        };
        self.suspect(&transition, report);
        let visible = self.elements[from].visible && self.elements[to].visible;
        visible.then_some(transition)
    }

    /// Warns of what looks like a slip.
    fn suspect(&self, transition: &Transition, report: &mut Report<'_>) {
        let (from, to) = (&self.elements[transition.from], &self.elements[transition.to]);
        if let Some(hidden) = [from, to].into_iter().find(|element| !element.visible) {
            let message =
                format!("{} is not visible, so there is nothing to go over to or from", hidden.path);
            report.warning(&transition.path, WarningCode::TransitionOfHiddenElement, message);
            return;
        }
        let window = transition.window(self.elements);
        let (start, over) = (window.start.seconds(), window.end.seconds());
        if let Some(ends) = end(from).filter(|ends| *ends < window.start) {
            let message = format!(
                "{} ends at {} s and is seen again when the transition begins, at {start} s",
                from.path,
                ends.seconds()
            );
            report.warning(&transition.path, WarningCode::TransitionTiming, message);
        }
        if let Some(ends) = end(to).filter(|ends| *ends < window.end) {
            let message =
                format!("{} ends at {} s, before the transition is over ({over} s)", to.path, ends.seconds());
            report.warning(&step(&transition.path, "duration"), WarningCode::TransitionTiming, message);
        }
    }
}

/// The `z_index` of an element that can be someone's neighbour.
fn neighbourly(element: &Element) -> Option<i64> {
    match &element.kind {
        ElementKind::Video(video) if element.visible => Some(video.visual.z_index),
        ElementKind::Image(image) if element.visible => Some(image.visual.z_index),
        ElementKind::Video(_) | ElementKind::Image(_) | ElementKind::Text(_) | ElementKind::Audio(_) => None,
    }
}
