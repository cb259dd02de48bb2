//! What glyphs cover: the rectangle around their outlines or pictures.

use std::collections::HashMap;

use parley::FontData;
use skrifa::bitmap::Origin;
use skrifa::instance::{NormalizedCoord, Size};
use skrifa::metrics::GlyphMetrics;
use skrifa::{FontRef, GlyphId, MetadataProvider};

use super::GlyphRun;
use crate::scene::Rect;

/// Measures glyphs, each once.
#[derive(Default)]
pub(super) struct InkMeter {
    /// By the font's number, its index in the file, the glyph and the size's bits; relative to the glyph's origin, y down.
    known: HashMap<(u64, u32, u32, u32), Rect>,
}

impl InkMeter {
    /// The rectangle around all glyphs of a run; empty where they are all blank.
    pub(super) fn measure(&mut self, run: &GlyphRun) -> Rect {
        let blank = Rect::of_size(0.0, 0.0);
        let Ok(font) = FontRef::from_index(run.font.data.as_ref(), run.font.index) else { return blank };
        let coords: Vec<NormalizedCoord> =
            run.coords.iter().map(|bits| NormalizedCoord::from_bits(*bits)).collect();
        let metrics = font.glyph_metrics(Size::new(run.size), coords.as_slice());
        let FontData { data, index } = &run.font;
        run.glyphs.iter().fold(blank, |ink, glyph| {
            let key = (data.id(), *index, glyph.id, run.size.to_bits());
            let own = *self.known.entry(key).or_insert_with(|| {
                let id = GlyphId::new(glyph.id);
                outline(&metrics, id).or_else(|| picture(&font, id, run.size)).unwrap_or(blank)
            });
            let own = slanted(own, run.slant);
            if own.is_empty() {
                return ink;
            }
            ink.union(Rect { x: own.x + f64::from(glyph.x), y: own.y + f64::from(glyph.y), ..own })
        })
    }
}

fn outline(metrics: &GlyphMetrics<'_>, glyph: GlyphId) -> Option<Rect> {
    let bounds = metrics.bounds(glyph)?;
    let (left, top) = (f64::from(bounds.x_min), -f64::from(bounds.y_max));
    let rect = Rect {
        x: left,
        y: top,
        width: f64::from(bounds.x_max) - left,
        height: -f64::from(bounds.y_min) - top,
    };
    (!rect.is_empty()).then_some(rect)
}

/// A bitmap in the font, as fonts of colour pictures have them (OpenType CBDT and sbix).
fn picture(font: &FontRef<'_>, glyph: GlyphId, size: f32) -> Option<Rect> {
    let bitmap = font.bitmap_strikes().glyph_for_size(Size::new(size), glyph)?;
    let em = f64::from(
        font.metrics(Size::unscaled(), skrifa::instance::LocationRef::default()).units_per_em.max(1),
    );
    let size = f64::from(size);
    let (scale_x, scale_y) = (size / f64::from(bitmap.ppem_x), size / f64::from(bitmap.ppem_y));
    let (width, height) = (f64::from(bitmap.width) * scale_x, f64::from(bitmap.height) * scale_y);
    let x = f64::from(bitmap.bearing_x) * size / em + f64::from(bitmap.inner_bearing_x) * scale_x;
    let y = -f64::from(bitmap.bearing_y) * size / em - f64::from(bitmap.inner_bearing_y) * scale_y;
    let y = match bitmap.placement_origin {
        Origin::TopLeft => y,
        Origin::BottomLeft => y - height,
    };
    Some(Rect { x, y, width, height })
}

/// Points above the baseline move right, points below it left.
fn slanted(rect: Rect, slant: f64) -> Rect {
    let shifts = [-rect.y * slant, -rect.bottom() * slant];
    let (least, most) = (shifts[0].min(shifts[1]), shifts[0].max(shifts[1]));
    Rect { x: rect.x + least, width: rect.width + most - least, ..rect }
}
