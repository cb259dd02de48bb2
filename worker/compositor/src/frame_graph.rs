//! The frame graph: a scene as the list of GPU work that paints it. Pure: no GPU, no pixels; tests compare its text.
//!
//! Promises:
//! - An opaque, unscaled, pixel-placed BT.709 video that lies behind everything else costs no kernel: it is the base.
//! - Tiles hidden behind an opaque draw are in no list, and a layer whose every tile is hidden is no draw.
//! - A frame whose graph has no draws never meets the GPU; otherwise only `rows` travel there and back.
//!
//! Draws are painted in order, each in place over the canvas.

use std::fmt;
use std::ops::Range;

use composition::{Color, Size};
use scene::{Affine, Layer, LayerSource, Rect, Scene, Sides};
use thiserror::Error;

use crate::canvas::{CanvasError, CanvasKind, CanvasLayout, TILE_HEIGHT};
use crate::color;
use crate::pack::Form;
use crate::picture::{ColorMatrix, ColorRange, PictureContent, PictureFacts};

mod blur;
#[cfg(test)]
mod tests;
mod tiles;
mod uniforms;

pub use blur::BlurPlan;
pub(crate) use blur::WEIGHTS;
pub use tiles::Tile;
pub(crate) use uniforms::texture_side;
pub use uniforms::{Level, Uniforms};

/// The work of one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameGraph {
    /// What the canvas stores.
    pub kind: CanvasKind,
    /// In pixels.
    pub canvas: Size,
    /// What lies behind all draws.
    pub base: Base,
    /// Back to front.
    pub draws: Vec<Draw>,
    /// The pixel rows that draws touch.
    pub rows: Vec<TouchedRows>,
}

/// What the canvas holds before the first draw, written without the GPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Base {
    /// Fills the canvas.
    pub background: Color,
    /// Is copied over it.
    pub copy: Option<BaseCopy>,
}

/// A video frame copied sample by sample. All numbers are even.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseCopy {
    /// Whose frame.
    pub source: LayerSource,
    /// First column and row taken from the frame.
    pub from: (u32, u32),
    /// Where they lie on the canvas.
    pub to: (u32, u32),
    /// How much is copied.
    pub size: (u32, u32),
}

/// A run of rows that the GPU paints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TouchedRows {
    /// Pixel rows.
    pub rows: Range<u32>,
    /// Whether the base shows in them; if not they need not travel to the GPU.
    pub base_shows: bool,
}

/// Which kernel samples a draw's picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// Packed texels, one to a pixel.
    Identity,
    /// Packed texels, bilinear.
    Bilinear,
    /// Planes in the canvas' own Y′CbCr up to a stretch: chroma is sampled where the canvas stores it.
    Planar,
    /// Planes in another colour space: every pixel is converted.
    Converted,
    /// A blur's grid whose texels are whole squares of pixels.
    Magnified,
}

/// One layer painted over the canvas.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw {
    /// Which picture.
    pub source: LayerSource,
    /// Which kernel.
    pub kernel: Kernel,
    /// Which halving of the picture is sampled; of a blurred draw see the plan.
    pub level: Level,
    /// Blurs the picture first; the draw samples the result.
    pub blur: Option<BlurPlan>,
    /// The kernel's constants.
    pub uniforms: Uniforms,
    /// Whether nothing behind it shows where it covers.
    pub opaque: bool,
    /// Where.
    pub tiles: Vec<Tile>,
}

/// Why a scene has no frame graph.
#[derive(Debug, Error)]
pub enum GraphError {
    /// The scene names a picture that nobody has.
    #[error("build the frame graph: there is no picture for {0:?}")]
    MissingPicture(LayerSource),
    /// The canvas is impossible.
    #[error("build the frame graph")]
    Canvas(#[from] CanvasError),
}

impl FrameGraph {
    /// The graph of `scene` on a canvas of `kind`, given what `facts` knows of each picture.
    ///
    /// # Errors
    /// Where a picture is unknown or the canvas has odd sides in 4:2:0.
    pub fn build(
        scene: &Scene,
        kind: CanvasKind,
        facts: impl Fn(&LayerSource) -> Option<PictureFacts>,
    ) -> Result<FrameGraph, GraphError> {
        let layout = CanvasLayout::new(scene.canvas, kind)?;
        let mut hidden = tiles::Hidden::none(&layout);
        let mut draws = Vec::new();
        let mut copy = None;
        for (index, layer) in scene.layers.iter().enumerate().rev() {
            let known = facts(&layer.source).ok_or(GraphError::MissingPicture(layer.source))?;
            let Some(placed) = place(layer, known, &layout) else { continue };
            let draw = Draw { tiles: hidden.take(&placed.uniforms, placed.opaque), ..placed };
            if draw.tiles.is_empty() {
                continue;
            }
            // What lies behind an opaque cover is hidden, so the last layer that shows is the base if it can be.
            draws.push((index, draw));
        }
        if let Some((index, _)) = draws.last() {
            let layer = &scene.layers[*index];
            copy = facts(&layer.source).and_then(|known| base_copy(layer, known, &layout));
            if copy.is_some() {
                draws.pop();
            }
        }
        let mut draws: Vec<Draw> = draws.into_iter().rev().map(|(_, draw)| draw).collect();
        let mut first_tile = 0;
        for draw in &mut draws {
            address(&mut draw.uniforms, &layout, first_tile);
            first_tile += draw.tiles.len() as u32;
        }
        let rows = rows_of(&draws, &layout);
        Ok(FrameGraph {
            kind,
            canvas: scene.canvas,
            base: Base { background: scene.background, copy },
            draws,
            rows,
        })
    }

    /// Tiles painted, all draws together.
    #[must_use]
    pub fn tile_count(&self) -> usize {
        self.draws.iter().map(|draw| draw.tiles.len()).sum()
    }
}

/// The kernel that can give any texel of a picture as one packed colour.
fn texel_source(content: PictureContent) -> Kernel {
    match content {
        PictureContent::Planar { .. } => Kernel::Converted,
        PictureContent::Rgba { .. } => Kernel::Bilinear,
    }
}

/// A draw without its tiles; `None` where nothing of the layer can be seen.
fn place(layer: &Layer, facts: PictureFacts, layout: &CanvasLayout) -> Option<Draw> {
    let back = layer.transform.inverse()?;
    if layer.source_rect.is_empty() || layer.opacity <= 0.0 {
        return None;
    }
    let space = layout.kind.space();
    let size = (facts.width, facts.height);
    let draw = |kernel, level, blur, uniforms| Draw {
        source: layer.source,
        kernel,
        level,
        blur,
        uniforms,
        opaque: is_opaque(layer, facts),
        tiles: Vec::new(),
    };
    if let Some(blur) = layer.blur {
        let planned = blur::plan(layer, blur, facts, (layout.size, space), back);
        let (plan, rect) = (planned.plan, planned.rect);
        let mut uniforms = Uniforms::new(planned.back, Sides::default(), layer.opacity);
        let kernel = if planned.is_aligned && space == color::ColorSpace::Yuva {
            uniforms.step = plan.factor;
            uniforms.grid_row = plan.width.next_multiple_of(64);
            uniforms.origin = [1, 1];
            Kernel::Magnified
        } else {
            // The texels beyond repeating sides are there to be interpolated with.
            let limits = Rect::of_size(f64::from(plan.width), f64::from(plan.height));
            uniforms.sample(
                planned.back,
                (rect, limits),
                (plan.width, plan.height),
                (Level::default(), Form::Bare),
            );
            Kernel::Bilinear
        };
        return Some(draw(kernel, Level::default(), Some(plan), uniforms));
    }
    let mut uniforms = Uniforms::new(back, Sides::default(), layer.opacity);
    let level = Level::for_scale(pixels_per_pixel(layer));
    let kernel = match facts.content {
        PictureContent::Rgba { .. } => match unscaled_place(layer) {
            Some((x, y)) if space == color::ColorSpace::Yuva && layer.source_rect == whole(facts) => {
                uniforms.origin = [x, y];
                uniforms.gather(size);
                Kernel::Identity
            }
            _ => {
                uniforms.sample(back, (layer.source_rect, layer.source_rect), size, (level, Form::Bare));
                Kernel::Bilinear
            }
        },
        PictureContent::Planar { matrix, range } => {
            let map = color::from_ycbcr(space, matrix, range);
            uniforms.sample(back, (layer.source_rect, layer.source_rect), size, (level, Form::Bare));
            uniforms.planes(size, (level, Form::Bare), &map);
            let apart = space == color::ColorSpace::Yuva && color::keeps_channels_apart(&map);
            if apart { Kernel::Planar } else { Kernel::Converted }
        }
    };
    Some(draw(kernel, level, None, uniforms))
}

/// Whether nothing behind a layer shows through where it covers.
fn is_opaque(layer: &Layer, facts: PictureFacts) -> bool {
    let content = match facts.content {
        PictureContent::Planar { .. } => true,
        PictureContent::Rgba { opaque } => opaque,
    };
    let every_side = Sides { left: true, top: true, right: true, bottom: true };
    content && layer.opacity >= 1.0 && layer.blur.is_none_or(|blur| blur.repeat == every_side)
}

/// How many stored pixels lie on one canvas pixel, along u and v.
fn pixels_per_pixel(layer: &Layer) -> (f64, f64) {
    let Affine { a, b, c, d, .. } = layer.transform;
    (layer.source_rect.width / libm::hypot(a, b), layer.source_rect.height / libm::hypot(c, d))
}

fn whole(facts: PictureFacts) -> Rect {
    Rect::of_size(f64::from(facts.width), f64::from(facts.height))
}

/// Where a layer's first pixel lies if its pixels are canvas pixels, one to one and upright.
fn unscaled_place(layer: &Layer) -> Option<(i32, i32)> {
    let Affine { a, b, c, d, e, f } = layer.transform;
    let rect = layer.source_rect;
    // A hundredth of a pixel moves no sample by a code value that shows.
    let whole = |value: f64| ((value - libm::round(value)).abs() < 0.01).then(|| libm::round(value) as i32);
    let same = |left: f64, right: f64| (left - right).abs() < 0.01;
    if (b, c) != (0.0, 0.0) || !same(a, rect.width) || !same(d, rect.height) {
        return None;
    }
    whole(rect.x).and(whole(rect.y))?;
    Some((whole(e)?, whole(f)?))
}

/// The copy that shows an opaque, upright, unscaled video, where its samples are the canvas' samples.
fn base_copy(layer: &Layer, facts: PictureFacts, layout: &CanvasLayout) -> Option<BaseCopy> {
    let PictureContent::Planar { matrix, range } = facts.content else { return None };
    let space = layout.kind.space();
    let same_samples = layout.kind == CanvasKind::I420
        && color::from_ycbcr(space, matrix, range)
            == color::from_ycbcr(space, ColorMatrix::Bt709, ColorRange::Limited);
    if !same_samples || layer.opacity < 1.0 || layer.blur.is_some() {
        return None;
    }
    let (x, y) = unscaled_place(layer)?;
    let rect = layer.source_rect;
    let axis = |place: i32, start: f64, length: f64, side: u32| {
        let (start, length) = (libm::round(start) as i64, libm::round(length) as i64);
        let first = i64::from(place).max(0);
        let end = (i64::from(place) + length).min(i64::from(side));
        let from = start + first - i64::from(place);
        let all_even = [first, end, from].iter().all(|number| number % 2 == 0);
        (all_even && first < end && from >= 0).then_some((from as u32, first as u32, (end - first) as u32))
    };
    let (from_x, to_x, width) = axis(x, rect.x, rect.width, layout.size.width)?;
    let (from_y, to_y, height) = axis(y, rect.y, rect.height, layout.size.height)?;
    (from_x + width <= facts.width && from_y + height <= facts.height).then_some(BaseCopy {
        source: layer.source,
        from: (from_x, from_y),
        to: (to_x, to_y),
        size: (width, height),
    })
}

/// Fills in where the draw's tiles and the canvas' planes lie.
fn address(uniforms: &mut Uniforms, layout: &CanvasLayout, first_tile: u32) {
    uniforms.first_tile = first_tile;
    uniforms.row_words = layout.stride / 16;
    uniforms.chroma_row_words = layout.stride / 16;
    uniforms.chroma_plane_words = (layout.chroma_plane() / 8) as u32;
}

fn rows_of(draws: &[Draw], layout: &CanvasLayout) -> Vec<TouchedRows> {
    // Counted anew without what became the base: what hides the base is what is left.
    let mut hidden = tiles::Hidden::none(layout);
    for draw in draws {
        hidden.mark(&draw.tiles, draw.opaque);
    }
    let (_, tile_rows) = layout.tiles();
    let touched = tiles::touched_rows(draws.iter().map(|draw| draw.tiles.as_slice()), tile_rows);
    let pixels = |row: u32| (row * TILE_HEIGHT).min(layout.size.height);
    touched
        .into_iter()
        .map(|range| TouchedRows {
            base_shows: !hidden.hides(&range),
            rows: pixels(range.start)..pixels(range.end),
        })
        .collect()
}

impl fmt::Display for FrameGraph {
    /// A line for the canvas, one for the base, one for each draw and one for the rows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}x{} {}", self.canvas.width, self.canvas.height, self.kind)?;
        write!(f, "base {}", self.base.background)?;
        if let Some(BaseCopy { source, from, to, size }) = self.base.copy {
            write!(f, ", {} copied", Named(source))?;
            write!(f, " from {},{} to {},{} {}x{}", from.0, from.1, to.0, to.1, size.0, size.1)?;
        }
        writeln!(f)?;
        self.draws.iter().try_for_each(|draw| writeln!(f, "{draw}"))?;
        for TouchedRows { rows, base_shows } in &self.rows {
            let base = if *base_shows { "over the base" } else { "hiding the base" };
            writeln!(f, "rows {}..{} {base}", rows.start, rows.end)?;
        }
        Ok(())
    }
}

impl fmt::Display for Draw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kernel = match self.kernel {
            Kernel::Identity => "identity",
            Kernel::Bilinear => "bilinear",
            Kernel::Planar => "planar",
            Kernel::Converted => "converted",
            Kernel::Magnified => "magnified",
        };
        write!(f, "{kernel} {}", Named(self.source))?;
        let level = self.blur.as_ref().map_or(self.level, |plan| plan.level);
        if level != Level::default() {
            write!(f, " halved {},{}", level.x, level.y)?;
        }
        if let Some(BlurPlan { factor, width, height, radius, .. }) = &self.blur {
            write!(f, " blurred {width}x{height} by {factor} radius {},{}", radius.0, radius.1)?;
        }
        if self.uniforms.opacity < 1.0 {
            write!(f, " opacity {}", self.uniforms.opacity)?;
        }
        let plain = self.tiles.iter().filter(|tile| tile.is_plain).count();
        write!(f, ": {} tiles, {plain} plain", self.tiles.len())
    }
}

/// A source as the graph's text names it.
struct Named(LayerSource);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            LayerSource::Video { element, .. } => write!(f, "video {element}"),
            LayerSource::Image { element } => write!(f, "image {element}"),
            LayerSource::BackgroundImage => f.write_str("background image"),
            LayerSource::Text { element, piece } => write!(f, "text {element}{piece}"),
            LayerSource::Solid(color) => write!(f, "solid {color}"),
            LayerSource::Silhouette { element, piece, color } => {
                write!(f, "silhouette of {element}{piece} in {color}")
            }
            LayerSource::Backdrop => write!(f, "backdrop"),
        }
    }
}
