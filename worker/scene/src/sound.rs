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
    /// How long it is heard: `length`, cut at the film's end. Above 0.
    pub heard: Ticks,
    /// Where in the source it begins. Past the source's end there is silence.
    pub in_point: Ticks,
    /// Source seconds per second of film; pitch is kept.
    pub speed: f64,
    /// Linear amplitude, above 0.
    pub volume: f64,
    /// Rises linearly from silence over this long from `start`.
    pub fade_in: Ticks,
    /// Falls linearly to silence over this long, to `start + length`. Where both fades meet they multiply.
    pub fade_out: Ticks,
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
        let heard = length.min(duration - element.time);
        (heard > Ticks::ZERO).then_some(SoundSpan {
            element: index,
            start: element.time,
            length,
            heard,
            in_point: span.in_point,
            speed: span.speed,
            volume: span.volume,
            fade_in: span.fade_in,
            fade_out: span.fade_out,
        })
    });
    audible.collect()
}
