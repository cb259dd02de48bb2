//! Text on a pixmap: laid-out glyphs become premultiplied pixels, once per text and not per frame.
//!
//! Promises: the same layout and raster give the same bytes on every host of one processor family: one thread, one fixed
//! set of vector instructions, no hinting. Outlines take the text's colour; colour glyphs (bitmaps, COLR) keep theirs.
//! Must not know: where the text came from, when it is shown, the GPU.

use parley::FontData;
use scene::{GlyphRun, TextLayout, TextRaster};
use vello_cpu::color::{AlphaColor, Srgb};
use vello_cpu::kurbo::Affine;
use vello_cpu::{Glyph, Level, RasterizerSettings, RenderContext, RenderSettings, Resources};

/// A picture of text and where it lies on the canvas.
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

/// Draws a layout as `raster`, which the scene's stage made for it, says.
#[must_use]
pub fn rasterize(layout: &TextLayout, raster: &TextRaster) -> TextPixmap {
    let (width, height) = (side(raster.width), side(raster.height));
    // The baseline of the architecture, not the best the host has: fused multiply-adds round otherwise.
    let settings = RenderSettings { level: Level::baseline(), num_threads: 0 };
    let mut context = RenderContext::new_with(width, height, settings);
    let mut resources = Resources::new();
    let scene::Affine { a, b, c, d, e, f } = raster.to_canvas;
    context.set_transform(Affine::new([a, b, c, d, e - f64::from(raster.x), f - f64::from(raster.y)]));
    let color = layout.color;
    context.set_paint(AlphaColor::<Srgb>::from_rgba8(color.r, color.g, color.b, u8::MAX));
    // Alpha is applied to all glyphs at once: where they overlap the text is not denser, and pictures fade like letters.
    let translucent = color.a < u8::MAX;
    if translucent {
        context.push_opacity_layer(f32::from(color.a) / f32::from(u8::MAX));
    }
    layout.runs.iter().for_each(|run| draw(&mut context, &mut resources, run));
    if translucent {
        context.pop_layer();
    }
    context.flush();
    let mut pixmap = vello_cpu::Pixmap::new(width, height);
    context.render_with(&mut pixmap, &mut resources, RasterizerSettings::default());
    let pixels = pixmap.data_as_u8_slice().to_vec();
    TextPixmap { x: raster.x, y: raster.y, width: raster.width, height: raster.height, pixels }
}

fn draw(context: &mut RenderContext, resources: &mut Resources, run: &GlyphRun) {
    let glyphs = run.glyphs.iter().map(|glyph| Glyph { id: glyph.id, x: glyph.x, y: glyph.y });
    let font: &FontData = &run.font;
    let drawn = context
        .glyph_run(resources, font)
        .font_size(run.size)
        .hint(false)
        .normalized_coords(&run.coords)
        .glyph_transform(Affine::skew(-run.slant, 0.0))
        .fill_glyphs(glyphs);
    if let Err(blank) = drawn {
        // Spaces of fonts that have only pictures are blank by nature; characters without a glyph were reported before.
        tracing::debug!(skipped = blank.skipped_count, "some glyphs have no look");
    }
}

/// A canvas has at most 8192 pixels a side, and a raster never leaves the canvas.
fn side(pixels: u32) -> u16 {
    u16::try_from(pixels).expect("a raster lies inside a canvas of at most 8192 pixels a side")
}

#[cfg(test)]
mod tests;
