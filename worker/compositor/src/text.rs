//! Text on a pixmap: laid-out glyphs become premultiplied pixels, once per piece of a text and not per frame.
//!
//! Promises: the same layout and raster give the same bytes on every host of one processor family: one thread, one fixed
//! set of vector instructions, no hinting. Glyphs take the text's colour; colour glyphs (bitmaps, COLR) keep theirs.
//! Must not know: where the text came from, when it is shown, the GPU.

use composition::Color;
use parley::FontData;
use scene::{GlyphRun, Piece, TextLayout, TextRaster};
use vello_cpu::color::{AlphaColor, Srgb};
use vello_cpu::kurbo::{Affine, Cap, Join, Rect, RoundedRect, Shape as _, Stroke};
use vello_cpu::{Glyph, Level, RasterizerSettings, RenderContext, RenderSettings, Resources};

/// A picture of text, or of a piece of it, and where it lies on the canvas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextPixmap {
    /// The canvas pixel at its left.
    pub x: u32,
    /// The canvas pixel at its top.
    pub y: u32,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// sRGB with alpha multiplied in, 8 bits each in the order R, G, B, A; rows from the top, without padding.
    pub pixels: Vec<u8>,
}

/// Draws a piece of a layout as `raster`, which the scene's stage made for it, says.
#[must_use]
pub fn rasterize(layout: &TextLayout, piece: Piece, raster: &TextRaster) -> TextPixmap {
    let (width, height) = (side(raster.width), side(raster.height));
    // The baseline of the architecture, not the best the host has: fused multiply-adds round otherwise.
    let settings = RenderSettings { level: Level::baseline(), num_threads: 0 };
    let context = RenderContext::new_with(width, height, settings);
    let mut canvas = Canvas { context, resources: Resources::new() };
    let scene::Affine { a, b, c, d, e, f } = raster.to_canvas;
    canvas.context.set_transform(Affine::new([a, b, c, d, e - f64::from(raster.x), f - f64::from(raster.y)]));
    canvas.draw(layout, piece);
    let Canvas { mut context, mut resources } = canvas;
    context.flush();
    let mut pixmap = vello_cpu::Pixmap::new(width, height);
    context.render_with(&mut pixmap, &mut resources, RasterizerSettings::default());
    let pixels = pixmap.data_as_u8_slice().to_vec();
    TextPixmap { x: raster.x, y: raster.y, width: raster.width, height: raster.height, pixels }
}

/// How much of an em the corners of a spoken word's box are rounded by.
const BOX_RADIUS: f64 = 0.18;

/// Something to draw text on.
struct Canvas {
    context: RenderContext,
    resources: Resources,
}

impl Canvas {
    /// Back to front: plate, box, outline, glyphs.
    fn draw(&mut self, layout: &TextLayout, piece: Piece) {
        if matches!(piece, Piece::Whole | Piece::Plate) && !layout.ink.plate.is_empty() {
            self.paint(layout.plate, |canvas| canvas.context.fill_rect(&kurbo(layout.ink.plate)));
        }
        if let Piece::Boxed(word) = piece {
            self.paint(layout.highlight, |canvas| canvas.fill_boxes(layout, word));
        }
        let runs: Vec<&GlyphRun> = layout.runs.iter().filter(|run| piece.shows(run.word)).collect();
        let color = match piece {
            Piece::Lit(_) | Piece::Shape(_) => layout.highlight,
            _ => layout.color,
        };
        let outline = match (piece, layout.outline) {
            // A shape is one colour all over.
            (Piece::Shape(_), Some((_, width))) => Some((color, width)),
            // Of hollow letters only the outline can show the highlight.
            (Piece::Lit(_), Some((_, width))) if layout.hollow => Some((color, width)),
            (_, outline) => outline,
        };
        if let Some((color, width)) = outline {
            let line = Stroke::new(width).with_join(Join::Round).with_caps(Cap::Round);
            self.context.set_stroke(line);
            self.paint(color, |canvas| runs.iter().for_each(|run| canvas.glyphs(run, Way::Stroke)));
        }
        if !layout.hollow {
            self.paint(color, |canvas| runs.iter().for_each(|run| canvas.glyphs(run, Way::Fill)));
        }
    }

    /// Draws in one colour. Alpha is applied to all of it at once: where glyphs overlap the text is not denser, and
    /// pictures fade like letters.
    fn paint(&mut self, color: Color, draw: impl FnOnce(&mut Canvas)) {
        self.context.set_paint(AlphaColor::<Srgb>::from_rgba8(color.r, color.g, color.b, u8::MAX));
        let translucent = color.a < u8::MAX;
        if translucent {
            self.context.push_opacity_layer(f32::from(color.a) / f32::from(u8::MAX));
        }
        draw(self);
        if translucent {
            self.context.pop_layer();
        }
    }

    fn fill_boxes(&mut self, layout: &TextLayout, word: u32) {
        let Some(word) = layout.ink.words.get(word as usize) else { return };
        let em = layout.runs.first().map_or(0.0, |run| f64::from(run.size));
        for (_, boxed) in &word.boxes {
            let rounded = RoundedRect::from_rect(kurbo(*boxed), BOX_RADIUS * em);
            self.context.fill_path(&rounded.to_path(PATH_TOLERANCE));
        }
    }

    fn glyphs(&mut self, run: &GlyphRun, way: Way) {
        let glyphs = run.glyphs.iter().map(|glyph| Glyph { id: glyph.id, x: glyph.x, y: glyph.y });
        let font: &FontData = &run.font;
        let builder = self
            .context
            .glyph_run(&mut self.resources, font)
            .font_size(run.size)
            .hint(false)
            .normalized_coords(&run.coords)
            .glyph_transform(Affine::skew(-run.slant, 0.0));
        let drawn = match way {
            Way::Fill => builder.fill_glyphs(glyphs),
            Way::Stroke => builder.stroke_glyphs(glyphs),
        };
        if let Err(blank) = drawn {
            // Spaces of fonts that have only pictures are blank by nature; characters without a glyph were reported before.
            tracing::debug!(skipped = blank.skipped_count, "some glyphs have no look");
        }
    }
}

/// How far a curve may lie from its true place, in pixels of the text.
const PATH_TOLERANCE: f64 = 0.02;

#[derive(Clone, Copy)]
enum Way {
    Fill,
    Stroke,
}

fn kurbo(rect: scene::Rect) -> Rect {
    Rect::new(rect.x, rect.y, rect.right(), rect.bottom())
}

/// A canvas has at most 8192 pixels a side, and a raster never leaves the canvas.
fn side(pixels: u32) -> u16 {
    u16::try_from(pixels).expect("a raster lies inside a canvas of at most 8192 pixels a side")
}

#[cfg(test)]
mod tests;
