//! A frame: what is painted to show one instant. Mostly one scene; where elements go over into each other and none of
//! them covers the others, several scenes in shares.
//!
//! ```text
//!   step 0: 70 % of scene A + 30 % of scene B ──▶ step 1: what step 0 painted, then more layers ──▶ …
//! ```

use std::fmt;

use composition::{Color, Size};

use crate::scene::{Affine, Layer, LayerSource, Rect, Scene};

/// The steps that paint a film's picture at one instant, in order. The last one's result is the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// At least one. All but the first begin with [`LayerSource::Backdrop`], the result of the one before.
    pub steps: Vec<Step>,
}

/// Scenes that are painted each by itself and then added up.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// At least one; mostly just one, as a whole.
    pub parts: Vec<Part>,
}

/// A scene and how much of it is seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Above 0; those of one step sum to 1.
    pub share: f64,
    /// All of it.
    pub scene: Scene,
}

impl Frame {
    /// Every scene, in the order of painting.
    pub fn scenes(&self) -> impl Iterator<Item = &Scene> {
        self.steps.iter().flat_map(|step| &step.parts).map(|part| &part.scene)
    }

    /// The scene of a frame that is just one.
    #[must_use]
    pub fn into_scene(mut self) -> Option<Scene> {
        match self.steps.as_mut_slice() {
            [step] if step.parts.len() == 1 => step.parts.pop().map(|part| part.scene),
            _ => None,
        }
    }
}

impl From<Scene> for Frame {
    fn from(scene: Scene) -> Frame {
        Frame { steps: vec![Step { parts: vec![Part { share: 1.0, scene }] }] }
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Step { parts } in &self.steps {
            for Part { share, scene } in parts {
                if *share < 1.0 {
                    write!(f, "{share} of ")?;
                }
                write!(f, "{scene}")?;
            }
        }
        Ok(())
    }
}

/// What lies at one place of the stack.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    /// Painted one over the other.
    Layers(Vec<Layer>),
    /// Seen in shares of at most 1 together; what is left of 1 is a share of nothing.
    Mix(Vec<(f64, Vec<Layer>)>),
}

/// The steps that paint `items`, back to front, on `ground`.
pub(crate) fn assemble(ground: &Scene, items: Vec<Item>) -> Frame {
    let mut mixes = items.iter().filter(|item| matches!(item, Item::Mix(_))).count();
    let (mut steps, mut under) = (Vec::new(), ground.clone());
    let mut items = items.into_iter();
    while let Some(item) = items.next() {
        match item {
            Item::Layers(layers) => under.layers.extend(layers),
            Item::Mix(shares) => {
                mixes -= 1;
                // What lies over the last mix is painted with it, once for each share: that spares a step.
                let over: Vec<Layer> = match mixes {
                    0 => items.by_ref().flat_map(layers_of).collect(),
                    _ => Vec::new(),
                };
                steps.push(mix(&under, shares, &over));
                let background = Color::TRANSPARENT;
                under =
                    Scene { canvas: ground.canvas, background, layers: vec![painted_before(ground.canvas)] };
            }
        }
    }
    if steps.is_empty() { Frame::from(under) } else { Frame { steps } }
}

fn layers_of(item: Item) -> Vec<Layer> {
    match item {
        Item::Layers(layers) => layers,
        Item::Mix(_) => Vec::new(),
    }
}

fn mix(under: &Scene, shares: Vec<(f64, Vec<Layer>)>, over: &[Layer]) -> Step {
    let rest = 1.0 - shares.iter().map(|(share, _)| share).sum::<f64>();
    let nothing = (rest > NO_SHARE).then(|| (rest, Vec::new()));
    let part = |(share, layers): (f64, Vec<Layer>)| {
        let layers = [&under.layers, &layers, over].concat();
        Part { share, scene: Scene { layers, ..under.clone() } }
    };
    Step { parts: shares.into_iter().chain(nothing).map(part).collect() }
}

/// Less than this of a picture changes no pixel.
pub(crate) const NO_SHARE: f64 = 1e-9;

/// The result of the step before, as a layer.
fn painted_before(canvas: Size) -> Layer {
    let (width, height) = (f64::from(canvas.width), f64::from(canvas.height));
    Layer {
        source: LayerSource::Backdrop,
        source_rect: Rect::of_size(width, height),
        transform: Affine::scaling(width, height),
        opacity: 1.0,
        blur: None,
    }
}
