//! Crossings: elements that go over into each other, and how much is seen of each meanwhile.
//!
//! During a transition the film is the share 1 − p of itself with only the element that is left, and the share p of itself
//! with only the one that is entered. A dip has its share jump in the middle, and veils both elements in its colour, most
//! in the middle. Elements that are entered while they are left already pass on what they have received.

use std::cmp::Reverse;
use std::ops::Range;

use composition::{Color, Composition, Ticks, Transition, TransitionKind};

use crate::evaluate::visual;
use crate::frame::{Item, NO_SHARE};
use crate::look::BLUR_REACH;
use crate::scene::{Affine, Layer, LayerSource, Rect, Sides};
use crate::text::Piece;

/// Where something is stacked: of two with one `z_index` the earlier element is in front.
pub(crate) type Place = (i64, Reverse<usize>);

/// Elements that follow each other by transitions.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chain {
    /// In the order of their times: one more than there are links.
    elements: Vec<usize>,
    links: Vec<Link>,
}

#[derive(Debug, Clone, PartialEq)]
struct Link {
    window: Range<Ticks>,
    kind: TransitionKind,
    place: Place,
}

/// How much is seen of an element.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) element: usize,
    /// 0–1.
    pub(crate) share: f64,
    /// Colours over it, and how dense (0–1), the first one undermost.
    pub(crate) veils: Vec<(Color, f64)>,
}

/// The chains that a composition's transitions make.
pub(crate) fn chains(composition: &Composition) -> Vec<Chain> {
    let transitions = &composition.transitions;
    let leaving = |element: usize| transitions.iter().find(|transition| transition.from == element);
    let is_entered = |element: usize| transitions.iter().any(|transition| transition.to == element);
    let heads = transitions.iter().filter(|transition| !is_entered(transition.from));
    heads
        .map(|head| {
            let mut chain = Chain { elements: vec![head.from], links: Vec::new() };
            let mut next = Some(head);
            while let Some(transition) = next {
                chain.elements.push(transition.to);
                chain.links.push(link(composition, transition));
                next = leaving(transition.to);
            }
            chain
        })
        .collect()
}

fn link(composition: &Composition, transition: &Transition) -> Link {
    let Transition { kind, from, to, .. } = *transition;
    let own = |element: usize| -> Place {
        let z_index = visual(&composition.elements[element]).map_or(i64::MIN, |visual| visual.z_index);
        (z_index, Reverse(element))
    };
    let asked = transition.z_index.map(|z_index| (z_index, Reverse(from.min(to))));
    let place = asked.unwrap_or_else(|| own(from).max(own(to)));
    Link { window: transition.window(&composition.elements), kind, place }
}

impl Chain {
    pub(crate) fn holds(&self, element: usize) -> bool {
        self.elements.contains(&element)
    }

    /// Where the elements are stacked while a transition is under way; `None` while none is.
    pub(crate) fn place_at(&self, instant: Ticks) -> Option<Place> {
        let under_way = self.links.iter().filter(|link| link.window.contains(&instant));
        under_way.map(|link| link.place).max()
    }

    /// How much is seen of each element.
    pub(crate) fn seen_at(&self, instant: Ticks) -> Vec<Seen> {
        let nothing = |element: &usize| Seen { element: *element, share: 0.0, veils: Vec::new() };
        let mut seen: Vec<Seen> = self.elements.iter().map(nothing).collect();
        seen[0].share = 1.0;
        for (from, link) in self.links.iter().enumerate().take_while(|(_, link)| link.window.start <= instant)
        {
            let progress = link.progress_at(instant);
            let (moved, veil) = match link.kind {
                TransitionKind::CrossDissolve => (progress, None),
                TransitionKind::DipToBlack => dip(Color::BLACK, progress),
                TransitionKind::DipToWhite => dip(Color::WHITE, progress),
            };
            let passed_on = seen[from].share * moved;
            seen[from].share -= passed_on;
            seen[from + 1].share = passed_on;
            for side in &mut seen[from..=from + 1] {
                side.veils.extend(veil);
            }
        }
        seen
    }
}

/// What a dip passes on, and how dense its colour is.
fn dip(color: Color, progress: f64) -> (f64, Option<(Color, f64)>) {
    let passed_on = if progress < 0.5 { 0.0 } else { 1.0 };
    (passed_on, Some((color, 1.0 - (2.0 * progress - 1.0).abs())))
}

impl Link {
    /// 0 at its start, 1 when it is over.
    fn progress_at(&self, instant: Ticks) -> f64 {
        let Range { start, end } = self.window;
        ((instant - start).0 as f64 / (end - start).0 as f64).min(1.0)
    }
}

/// A picture that is seen in part.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Member {
    pub(crate) share: f64,
    pub(crate) layers: Vec<Layer>,
    /// Whether every point inside the layers' sides is as opaque as the layer.
    pub(crate) even: bool,
}

impl Member {
    /// The member and its veils, each a member of its own: a colour in the member's shape.
    pub(crate) fn veiled(self, veils: &[(Color, f64)]) -> Vec<Member> {
        let mut members = vec![self.clone()];
        for (color, density) in veils {
            members.iter_mut().for_each(|member| member.share *= 1.0 - density);
            let layers = self.layers.iter().map(|layer| silhouette(layer, *color, self.even));
            members.push(Member { share: self.share * density, layers: layers.collect(), even: self.even });
        }
        members
    }

    /// The one layer of a member that is even all over.
    fn even_layer(&self) -> Option<&Layer> {
        let [layer] = self.layers.as_slice() else { return None };
        let every_side = Sides { left: true, top: true, right: true, bottom: true };
        let sharp = layer.blur.is_none_or(|blur| blur.repeat == every_side);
        (self.even && sharp).then_some(layer)
    }
}

/// What a layer covers, in one colour.
fn silhouette(layer: &Layer, color: Color, even: bool) -> Layer {
    let shaped = match layer.source {
        LayerSource::Image { element } if !even => Some((element, Piece::Whole)),
        LayerSource::Text { element, piece } if !even => Some((element, piece)),
        _ => None,
    };
    match shaped {
        Some((element, piece)) => {
            Layer { source: LayerSource::Silhouette { element, piece, color }, ..layer.clone() }
        }
        None => {
            let source_rect = Rect::of_size(1.0, 1.0);
            Layer { source: LayerSource::Solid(color), source_rect, ..layer.clone() }
        }
    }
}

/// Members as layers where that shows the same, else as a mix.
pub(crate) fn settle(mut members: Vec<Member>, canvas: Rect) -> Item {
    members.retain(|member| member.share > NO_SHARE && !member.layers.is_empty());
    match members.as_mut_slice() {
        [] => return Item::Layers(Vec::new()),
        [only] if only.share > 1.0 - NO_SHARE => return Item::Layers(std::mem::take(&mut only.layers)),
        [Member { share, layers, .. }] if layers.len() == 1 => {
            layers[0].opacity *= *share;
            return Item::Layers(std::mem::take(layers));
        }
        [first, second] => {
            if let Some(layers) = over(first, second, canvas).or_else(|| over(second, first, canvas)) {
                return Item::Layers(layers);
            }
        }
        _ => {}
    }
    Item::Mix(members.into_iter().map(|member| (member.share, member.layers)).collect())
}

/// Two members as two layers, where the upper one covers the lower one evenly.
///
/// With shares s and t, coverages a and b, the mix over anything u is s·a + t·b + (1 − s·a − t·b)·u. Painting the lower
/// one with s / (1 − t·b) and the upper one with t over it gives just that, and where b is the same all over the lower
/// one, that first opacity is one number.
fn over(lower: &Member, upper: &Member, canvas: Rect) -> Option<Vec<Layer>> {
    let ([below], above) = (lower.layers.as_slice(), upper.even_layer()?) else { return None };
    if !covers(above, below, canvas) {
        return None;
    }
    let opacity = upper.share * above.opacity;
    let rest = 1.0 - opacity;
    let shown = if rest > NO_SHARE { (lower.share / rest).min(1.0) } else { 0.0 };
    let mut layers = vec![Layer { opacity: below.opacity * shown, ..below.clone() }];
    layers.push(Layer { opacity, ..above.clone() });
    layers.retain(|layer| layer.opacity > 0.0);
    Some(layers)
}

/// Whether one layer's sides enclose all that is seen of another.
fn covers(above: &Layer, below: &Layer, canvas: Rect) -> bool {
    let Some(back) = above.transform.inverse() else { return false };
    let reach = below.blur.map_or((0.0, 0.0), |blur| {
        (BLUR_REACH * blur.sigma / blur.along_u, BLUR_REACH * blur.sigma / blur.along_v)
    });
    let seen = Rect { x: -reach.0, y: -reach.1, width: 1.0 + 2.0 * reach.0, height: 1.0 + 2.0 * reach.1 };
    encloses(back, corners(seen).map(|(u, v)| below.transform.apply(u, v))) || encloses(back, corners(canvas))
}

fn corners(rect: Rect) -> [(f64, f64); 4] {
    [(rect.x, rect.y), (rect.right(), rect.y), (rect.x, rect.bottom()), (rect.right(), rect.bottom())]
}

/// Whether `back` takes all points into the unit square; a millionth of a side cannot be seen.
fn encloses(back: Affine, points: [(f64, f64); 4]) -> bool {
    let inside = |at: f64| (-1e-6..=1.0 + 1e-6).contains(&at);
    points.into_iter().map(|(x, y)| back.apply(x, y)).all(|(u, v)| inside(u) && inside(v))
}

#[cfg(test)]
mod tests;
