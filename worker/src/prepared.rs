//! A planned render made ready for its parts: the scene, its texts and its stills, shared by all slots of one worker.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use composition::element::ElementKind;
use composition::{Color, Composition};
use compositor::text::{TextPixmap, rasterize};
use events::Sha256;
use events::fault::FaultCode;
use events::render::SubmissionWarning;
use media::decoder::DecoderHost;
use media::frame::RgbaImage;
use scene::{FontSet, Piece, SourceFacts, Stage, TextLayout, TextRaster, Typesetter, box_size};

use crate::detail::PlanDetail;
use crate::failure::Failure;

/// Everything about a render that its slots share. What is costly is made when it is first needed, once.
pub struct Prepared {
    /// What was asked for.
    pub composition: Composition,
    /// What the sources hold.
    pub detail: PlanDetail,
    /// The scene, ready to be evaluated.
    pub stage: Stage,
    /// The sources' local files, by source index.
    pub files: Vec<PathBuf>,
    texts: BTreeMap<(usize, Piece), SetText>,
    stills: Vec<Mutex<Option<Arc<RgbaImage>>>>,
    silhouettes: Mutex<BTreeMap<(usize, Piece, Color), Arc<RgbaImage>>>,
}

/// A piece of a text, laid out and perhaps drawn.
struct SetText {
    layout: Arc<TextLayout>,
    raster: TextRaster,
    key: u128,
    drawn: OnceLock<TextPixmap>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("frames", &self.stage.frames()).finish_non_exhaustive()
    }
}

impl Prepared {
    /// Lays out the texts and sets the stage. Returns what looked suspicious as well.
    ///
    /// # Errors
    /// Where a font that a text needs can't be read.
    pub fn new(
        composition: Composition,
        detail: PlanDetail,
        files: Vec<PathBuf>,
        fonts: &Arc<FontSet>,
    ) -> Result<(Prepared, Vec<SubmissionWarning>), Failure> {
        let (layouts, warnings) = lay_out(&composition, fonts)?;
        let facts: Vec<Option<SourceFacts>> = (0..composition.elements.len())
            .map(|index| {
                let text =
                    layouts.get(&index).map(|layout| SourceFacts::Text { ink: Arc::clone(&layout.ink) });
                text.or_else(|| detail.facts(index))
            })
            .collect();
        let background = detail.background.and_then(|source| detail.picture(source));
        let stage = Stage::new(&composition, &facts, background);
        let texts = layouts.into_iter().flat_map(|(index, layout)| set(&composition, &stage, index, layout));
        let texts = texts.collect();
        let stills = detail.sources.iter().map(|_| Mutex::new(None)).collect();
        let silhouettes = Mutex::default();
        Ok((Prepared { composition, detail, stage, files, texts, stills, silhouettes }, warnings))
    }

    /// The pixmap of a piece of a text and a key that is equal only for equal pixels.
    #[must_use]
    pub fn text(&self, element: usize, piece: Piece) -> Option<(u128, &TextPixmap)> {
        let text = self.texts.get(&(element, piece))?;
        Some((text.key, text.drawn.get_or_init(|| rasterize(&text.layout, piece, &text.raster))))
    }

    /// A still's pixels and a key that is equal only for equal pixels.
    ///
    /// # Errors
    /// Where its file can't be decoded.
    pub fn still(&self, source: usize, decoder: &DecoderHost) -> Result<(u128, Arc<RgbaImage>), Failure> {
        let key = key_of(self.detail.sources[source].content);
        let mut slot = self.stills[source].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(still) = slot.as_ref() {
            return Ok((key, Arc::clone(still)));
        }
        let file = self.open(source)?;
        let still = decoder.decode_still(&file).map_err(|error| Failure::of_decoding(&error, "an image"))?;
        let still = Arc::new(still);
        *slot = Some(Arc::clone(&still));
        Ok((key, still))
    }

    /// The shape of an image's picture, or of a piece of a text, in one colour, and a key that is equal only for equal pixels.
    ///
    /// # Errors
    /// As [`Prepared::still`].
    pub fn silhouette(
        &self,
        (element, piece): (usize, Piece),
        color: Color,
        decoder: &DecoderHost,
    ) -> Result<(u128, Arc<RgbaImage>), Failure> {
        let (of, shape): (u128, Shape<'_>) = match (self.text(element, piece), self.detail.source(element)) {
            (Some((key, drawn)), _) => (key, Shape::Text(drawn)),
            (None, Some((source, _))) => {
                let (key, still) = self.still(source, decoder)?;
                (key, Shape::Still(still))
            }
            (None, None) => {
                let fault = std::io::Error::other(format!("element {element} has no picture"));
                return Err(Failure::internal("find a picture", &fault));
            }
        };
        let key = key_of(Sha256::of(format!("{of:032x} in {color}").as_bytes()));
        let mut known = self.silhouettes.lock().unwrap_or_else(PoisonError::into_inner);
        let image = known.entry((element, piece, color)).or_insert_with(|| Arc::new(shape.filled(color)));
        Ok((key, Arc::clone(image)))
    }

    /// A source's file.
    ///
    /// # Errors
    /// Where the cache has lost it.
    pub fn open(&self, source: usize) -> Result<File, Failure> {
        File::open(&self.files[source]).map_err(|error| Failure::internal("open a fetched source", &error))
    }
}

/// A picture of which only the alpha matters.
enum Shape<'p> {
    Text(&'p TextPixmap),
    Still(Arc<RgbaImage>),
}

impl Shape<'_> {
    fn filled(&self, Color { r, g, b, a }: Color) -> RgbaImage {
        let (width, height, pixels) = match self {
            Shape::Text(text) => (text.width, text.height, text.pixels.as_slice()),
            Shape::Still(still) => (still.width, still.height, still.data.as_slice()),
        };
        let opacity = |alpha: u8| ((u16::from(alpha) * u16::from(a) + 127) / 255) as u8;
        let data = pixels.chunks_exact(4).flat_map(|pixel| [r, g, b, opacity(pixel[3])]).collect();
        RgbaImage { width, height, data }
    }
}

/// The visible texts' layouts by element index, and what could not be set as asked.
fn lay_out(
    composition: &Composition,
    fonts: &Arc<FontSet>,
) -> Result<(BTreeMap<usize, TextLayout>, Vec<SubmissionWarning>), Failure> {
    let mut typesetter = Typesetter::new(Arc::clone(fonts));
    let (mut layouts, mut warnings) = (BTreeMap::new(), Vec::new());
    for (index, element) in composition.elements.iter().enumerate().filter(|(_, element)| element.visible) {
        let ElementKind::Text(text) = &element.kind else { continue };
        let (width, height) = box_size(&text.visual, composition.canvas);
        let layout = typesetter.layout(text, width, height).map_err(|error| {
            Failure::new(FaultCode::FontNotFound, format!("could not {error}")).at(element, "font_family")
        })?;
        if layout.family_fell_back {
            let message = format!("the font family {:?} is not installed; Inter is used", text.font_family);
            warnings.push(warning("font_fallback", message, format!("{}/font_family", element.path)));
        }
        if !layout.missing.is_empty() {
            let message = format!("no font has a glyph for {}", layout.missing.join(" "));
            warnings.push(warning("missing_glyph", message, format!("{}/text", element.path)));
        }
        layouts.insert(index, layout);
    }
    Ok((layouts, warnings))
}

/// A suspicion found while planning.
pub(crate) fn warning(code: &str, message: String, path: String) -> SubmissionWarning {
    SubmissionWarning { code: code.to_owned(), message, severity: "warning".to_owned(), path }
}

/// The pieces that a text is drawn in, with keys that are equal for texts that are set alike on the same spot: a pixmap is
/// named by what it is drawn from.
fn set(
    composition: &Composition,
    stage: &Stage,
    index: usize,
    layout: TextLayout,
) -> Vec<((usize, Piece), SetText)> {
    let layout = Arc::new(layout);
    let described = format!("{:?} {:?}", composition.canvas, composition.elements[index].kind);
    let described = Sha256::of(described.as_bytes());
    let set = |(piece, raster)| {
        let key = key_of(Sha256::of(format!("{described} {piece:?} {raster:?}").as_bytes()));
        ((index, piece), SetText { layout: Arc::clone(&layout), raster, key, drawn: OnceLock::new() })
    };
    stage.text_rasters(index).into_iter().map(set).collect()
}

/// The first half of a digest: enough to tell pictures apart.
pub(crate) fn key_of(digest: Sha256) -> u128 {
    digest.0[..16].iter().fold(0, |key, byte| key << 8 | u128::from(*byte))
}
