//! The evaluator: a composition and its sources' facts, made ready once, then asked for one instant after another.

use std::cmp::Reverse;
use std::ops::Range;

use composition::element::{Element, ElementKind, Span};
use composition::time::TICKS_PER_SECOND;
use composition::{Composition, Curve, FrameIndex, FrameRate, Size, Ticks, Visual};

use crate::crossing::{Chain, Member, Place, chains, settle};
use crate::frame::{Frame, Item, assemble};
use crate::look::{Look, Seen, Show, TextRaster, backdrop};
use crate::scene::{LayerSource, Rect, Scene};
use crate::sound::{SoundSpan, sound_spans};
use crate::source::{Picture, SourceFacts};
use crate::text::Piece;

/// A film with nothing in it that could say how long it is.
const DEFAULT_DURATION: Ticks = Ticks(10 * TICKS_PER_SECOND);

/// A composition ready to be evaluated at any instant. What does not change over time is worked out already.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// What lies behind all elements.
    ground: Scene,
    /// Back to front.
    players: Vec<Player>,
    chains: Vec<Chain>,
    sounds: Vec<SoundSpan>,
    duration: Ticks,
    frame_rate: FrameRate,
}

/// What a part of the film needs of one video element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoUse {
    /// Index in the composition's `elements`.
    pub element: usize,
    /// The source time of the first frame that shows it.
    pub first: Ticks,
    /// The source time of the last frame that shows it.
    pub last: Ticks,
}

/// An element that is seen.
#[derive(Debug, Clone, PartialEq)]
struct Player {
    element: usize,
    place: Place,
    /// Its own time, from its start on and before its end.
    seen: Range<Ticks>,
    /// The time of the transition that leaves it, over which it is gone for good.
    leaving: Option<Range<Ticks>>,
    /// What it shows; of moving pictures, what they show at its start. Captions tell more than one picture.
    source: LayerSource,
    /// Whether no point of its picture lets anything shine through.
    opaque: bool,
    look: Look,
    /// Source ticks per tick of film; for moving pictures only.
    speed: f64,
}

impl Player {
    fn plays_at(&self, instant: Ticks) -> bool {
        match &self.leaving {
            Some(leaving) if leaving.contains(&instant) => true,
            Some(leaving) if leaving.end <= instant => false,
            _ => self.seen.contains(&instant),
        }
    }

    fn source_at(&self, instant: Ticks) -> LayerSource {
        match self.source {
            LayerSource::Video { element, time } => {
                LayerSource::Video { element, time: time + (instant - self.seen.start).at_speed(self.speed) }
            }
            still => still,
        }
    }

    /// What is seen of it; nothing before and after, and where it is transparent, off the canvas or without area.
    fn seen_at(&self, instant: Ticks) -> Seen {
        if !self.plays_at(instant) {
            return Seen::default();
        }
        let mut seen = self.look.seen_at(instant);
        if matches!(self.source, LayerSource::Video { .. }) {
            seen.layers.iter_mut().for_each(|layer| layer.source = self.source_at(instant));
        }
        seen
    }
}

impl Stage {
    /// Makes a composition ready. `sources` are the facts by element index, `None` where there are none to know or to use;
    /// such an element is neither seen nor heard. `background` describes the background image.
    #[must_use]
    pub fn new(
        composition: &Composition,
        sources: &[Option<SourceFacts>],
        background: Option<Picture>,
    ) -> Stage {
        let canvas = composition.canvas;
        let facts = |index: usize| sources.get(index).cloned().flatten();
        let duration = duration(composition, &facts);
        let visible = composition.elements.iter().enumerate().filter(|(_, element)| element.visible);
        let mut players: Vec<Player> =
            visible.filter_map(|(index, element)| player(canvas, index, element, &facts(index)?)).collect();
        for transition in &composition.transitions {
            let left = players.iter_mut().filter(|player| player.element == transition.from);
            left.for_each(|player| player.leaving = Some(transition.window(&composition.elements)));
        }
        players.sort_by_key(|player| player.place);
        let behind = background.and_then(|picture| backdrop(canvas, &picture));
        let layers = behind.into_iter().collect();
        Stage {
            ground: Scene { canvas, background: composition.background.color, layers },
            players,
            chains: chains(composition),
            sounds: sound_spans(composition, &facts, duration),
            duration,
            frame_rate: composition.frame_rate,
        }
    }

    /// The film's length.
    #[must_use]
    pub fn duration(&self) -> Ticks {
        self.duration
    }

    /// How many frames the film has; at least 1.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frame_rate.frames_in(self.duration)
    }

    /// The picture of one frame.
    #[must_use]
    pub fn frame_at(&self, frame: FrameIndex) -> Frame {
        self.frame_at_instant(self.frame_rate.instant(frame))
    }

    /// The picture at an instant that need not be a frame's, as stills and previews ask for.
    #[must_use]
    pub fn frame_at_instant(&self, instant: Ticks) -> Frame {
        let crossings: Vec<(&Chain, Place)> =
            self.chains.iter().filter_map(|chain| Some((chain, chain.place_at(instant)?))).collect();
        let crosses = |element: usize| crossings.iter().any(|(chain, _)| chain.holds(element));
        let others = self.players.iter().filter(|player| !crosses(player.element));
        let others = others.map(|player| (player.place, player.seen_at(instant).into_item()));
        let crossing = crossings.iter().map(|(chain, place)| (*place, self.crossing_at(chain, instant)));
        let mut items: Vec<(Place, Item)> = others.chain(crossing).collect();
        items.sort_by_key(|(place, _)| *place);
        assemble(&self.ground, items.into_iter().map(|(_, item)| item).collect())
    }

    /// What is seen of elements that go over into each other.
    fn crossing_at(&self, chain: &Chain, instant: Ticks) -> Item {
        let Size { width, height } = self.ground.canvas;
        let members = chain.seen_at(instant).into_iter().flat_map(|seen| {
            let player = self.players.iter().find(|player| player.element == seen.element);
            let layers = player.map_or_else(Vec::new, |player| player.seen_at(instant).into_layers());
            let even = player.is_some_and(|player| player.opaque);
            Member { share: seen.share, layers, even }.veiled(&seen.veils)
        });
        settle(members.collect(), Rect::of_size(f64::from(width), f64::from(height)))
    }

    /// The instant a still shows: the one asked for, else half of the film, never past its last tick.
    #[must_use]
    pub fn still_instant(&self, asked: Option<Ticks>) -> Ticks {
        let last = Ticks((self.duration.0 - 1).max(0));
        asked.unwrap_or(Ticks(self.duration.0 / 2)).clamp(Ticks::ZERO, last)
    }

    /// What is heard, in document order.
    #[must_use]
    pub fn sound(&self) -> &[SoundSpan] {
        &self.sounds
    }

    /// How many times as wide and high as its own pixels an element's picture is shown in the middle of its time; `None`
    /// where it is no picture or not seen then.
    #[must_use]
    pub fn magnification(&self, element: usize) -> Option<f64> {
        let player = self.players.iter().find(|player| player.element == element)?;
        let Range { start, end } = player.seen;
        let middle = start + Ticks((end - start).0 / 2);
        let seen = player.look.seen_at(middle);
        let layer = seen.layers.first()?;
        let is_foreign = matches!(layer.source, LayerSource::Video { .. } | LayerSource::Image { .. });
        let pixels = layer.source_rect.width * layer.source_rect.height;
        is_foreign.then(|| libm::sqrt(layer.transform.determinant().abs() / pixels))
    }

    /// The video elements that play in any of these frames, by element index, with the source times they need. Keyframes
    /// may hide one in some of them.
    #[must_use]
    pub fn videos_in(&self, frames: Range<FrameIndex>) -> Vec<VideoUse> {
        let mut uses: Vec<VideoUse> =
            self.players.iter().filter_map(|player| self.video_use(player, &frames)).collect();
        uses.sort_by_key(|used| used.element);
        uses
    }

    fn video_use(&self, player: &Player, frames: &Range<FrameIndex>) -> Option<VideoUse> {
        let LayerSource::Video { element, .. } = player.source else { return None };
        let instants =
            || (frames.start.0..frames.end.0).map(|index| self.frame_rate.instant(FrameIndex(index)));
        let source_time = |instant: Ticks| match player.source_at(instant) {
            LayerSource::Video { time, .. } => time,
            _ => Ticks::ZERO,
        };
        let first = instants().find(|instant| player.plays_at(*instant))?;
        let last = instants().rev().find(|instant| player.plays_at(*instant))?;
        Some(VideoUse { element, first: source_time(first), last: source_time(last) })
    }

    /// How the pixmaps of a text element are drawn; empty where the element is not text or is never seen.
    #[must_use]
    pub fn text_rasters(&self, element: usize) -> Vec<(Piece, TextRaster)> {
        let player = self.players.iter().find(|player| player.element == element);
        player.map_or_else(Vec::new, |player| player.look.rasters())
    }
}

/// The document's duration, else the largest end that the document states, else that of the probed sources, else 10 s.
fn duration(composition: &Composition, facts: &dyn Fn(usize) -> Option<SourceFacts>) -> Ticks {
    if let Some(duration) = composition.duration {
        return duration;
    }
    let seen = || composition.elements.iter().enumerate().filter(|(_, element)| element.visible);
    let stated = seen().filter_map(|(_, element)| match &element.kind {
        ElementKind::Image(image) => Some(element.time + image.duration),
        ElementKind::Text(text) => Some(element.time + text.duration),
        ElementKind::Video(video) => Some(element.time + video.span.length(video.span.out_point?)),
        ElementKind::Audio(audio) => Some(element.time + audio.span.length(audio.span.out_point?)),
    });
    let probed = seen()
        .filter_map(|(index, element)| Some(element.time + span(element)?.length(facts(index)?.end()?)));
    let above_zero = |end: &Ticks| *end > Ticks::ZERO;
    stated.filter(above_zero).max().or_else(|| probed.filter(above_zero).max()).unwrap_or(DEFAULT_DURATION)
}

/// The element's part of its source, for what plays.
pub(crate) fn span(element: &Element) -> Option<&Span> {
    match &element.kind {
        ElementKind::Video(video) => Some(&video.span),
        ElementKind::Audio(audio) => Some(&audio.span),
        ElementKind::Image(_) | ElementKind::Text(_) => None,
    }
}

pub(crate) fn visual(element: &Element) -> Option<&Visual> {
    match &element.kind {
        ElementKind::Video(video) => Some(&video.visual),
        ElementKind::Image(image) => Some(&image.visual),
        ElementKind::Text(text) => Some(&text.visual),
        ElementKind::Audio(_) => None,
    }
}

/// What an element shows and when; `None`: never anything.
fn player(canvas: Size, index: usize, element: &Element, facts: &SourceFacts) -> Option<Player> {
    let place = (visual(element)?.z_index, Reverse(index));
    let lasting = |length: Ticks| element.time..element.time + length;
    let player = |seen, source, look, opaque| Player {
        element: index,
        place,
        seen,
        leaving: None,
        source,
        opaque,
        look,
        speed: 1.0,
    };
    let show = |source, picture: &Picture, visual: &Visual, crop, blur: &Curve<f64>| {
        let (visual, blur) = (visual.clone(), blur.clone());
        Look::of_picture(Show { canvas, source, picture: *picture, visual, crop, blur })
    };
    Some(match (&element.kind, facts) {
        (ElementKind::Video(video), SourceFacts::Video { picture, end, .. }) => {
            let source = LayerSource::Video { element: index, time: video.span.in_point };
            let look = show(source, picture, &video.visual, video.crop, &video.blur)?;
            let player = player(lasting(video.span.length(*end)), source, look, picture.opaque);
            Player { speed: video.span.speed, ..player }
        }
        (ElementKind::Image(image), SourceFacts::Image(picture)) => {
            let source = LayerSource::Image { element: index };
            let look = show(source, picture, &image.visual, image.crop, &image.blur)?;
            player(lasting(image.duration), source, look, picture.opaque)
        }
        (ElementKind::Text(text), SourceFacts::Text { ink }) => {
            let seen = lasting(text.duration);
            let source = LayerSource::Text { element: index, piece: Piece::Whole };
            player(seen.clone(), source, Look::of_text(canvas, index, text, ink, &seen)?, false)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
