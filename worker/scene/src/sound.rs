//! What is heard: the spans of sound that the one mix of a film is made of.

use composition::element::ElementKind;
use composition::{Composition, Ticks};

use crate::evaluate::span;
use crate::source::SourceFacts;

/// One element's sound in the film.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SoundSpan {
    /// Index in the composition's `elements`.
    pub element: usize,
    /// Where in the film it starts.
    pub start: Ticks,
    /// How long the element lasts. `fade_out` ends there, also where the film ends sooner.
    pub length: Ticks,
    /// How long it sounds: `length`, or until the transition that leaves it is over. During that transition what its
    /// source has beyond `length` goes on, unless it has faded out.
    pub lasts: Ticks,
    /// How long it is heard: `lasts`, cut at the film's end. Above 0.
    pub heard: Ticks,
    /// Where in the source it begins. Past the source's end there is silence.
    pub in_point: Ticks,
    /// Source seconds per second of film; pitch is kept.
    pub speed: f64,
    /// Linear amplitude, above 0.
    pub volume: f64,
    /// Rises linearly from silence over this long from `start`.
    pub fade_in: Ticks,
    /// Falls linearly to silence over this long, to `start + length`. Where fades meet they multiply.
    pub fade_out: Ticks,
    /// How long the transition that enters it takes, from `start` on: it rises as the sine of a quarter turn.
    pub cross_in: Ticks,
    /// How long the transition that leaves it takes, to `start + lasts`: it falls as the cosine of a quarter turn, so that
    /// the power of both together stays the same.
    pub cross_out: Ticks,
}

/// The sound of every element that can be heard, in document order.
pub(crate) fn sound_spans(
    composition: &Composition,
    facts: &dyn Fn(usize) -> Option<SourceFacts>,
    duration: Ticks,
) -> Vec<SoundSpan> {
    let audible = composition.elements.iter().enumerate().filter_map(|(index, element)| {
        let end = match (&element.kind, facts(index)?) {
            (ElementKind::Video(_), SourceFacts::Video { end, has_sound: true, .. })
            | (ElementKind::Audio(_), SourceFacts::Video { end, has_sound: true, .. })
            | (ElementKind::Video(_) | ElementKind::Audio(_), SourceFacts::Sound { end }) => end,
            _ => return None,
        };
        let span = span(element).filter(|span| element.visible && span.volume > 0.0)?;
        let length = span.length(end);
        let entering = composition.transitions.iter().find(|transition| transition.to == index);
        let leaving = composition.transitions.iter().find(|transition| transition.from == index);
        let over = leaving.map(|transition| transition.window(&composition.elements).end);
        let lasts = over.map_or(length, |over| over - element.time);
        let heard = lasts.min(duration - element.time);
        (heard > Ticks::ZERO).then_some(SoundSpan {
            element: index,
            start: element.time,
            length,
            lasts,
            heard,
            in_point: span.in_point,
            speed: span.speed,
            volume: span.volume,
            fade_in: span.fade_in,
            fade_out: span.fade_out,
            cross_in: entering.map_or(Ticks::ZERO, |transition| transition.duration),
            cross_out: leaving.map_or(Ticks::ZERO, |transition| transition.duration),
        })
    });
    audible.collect()
}
