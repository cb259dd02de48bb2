//! The pictures that a run of frames shows: which video frames, from which decoders, in which order.
//!
//! Every part opens its own decoders at the random-access point before its range, also when the same worker did the part
//! before: a frame then never depends on who rendered its neighbours.

use std::collections::BTreeMap;
use std::sync::Arc;

use composition::Color;
use compositor::{Alpha, ColorMatrix, ColorRange, Picture, PictureKey, Pictures, PlanarImage, RgbaImage};
use media::decoder::{DecoderHost, PacketIndex, Probe, VideoReader};
use media::frame::{Matrix, PlanarFrame, Range};
use scene::{Frame, LayerSource, Piece, Scene};

use crate::detail::source_of;
use crate::failure::Failure;
use crate::prepared::Prepared;

/// Open decoders for a run of frames, read in order.
pub(crate) struct Footage<'p> {
    prepared: &'p Prepared,
    decoder: &'p DecoderHost,
    reels: BTreeMap<usize, Reel>,
}

/// The frames that one video element shows in the run, and its decoder once it is needed.
struct Reel {
    source: usize,
    wanted: Vec<usize>,
    reader: Option<VideoReader>,
    shown: usize,
}

impl<'p> Footage<'p> {
    /// Looks through the scenes of all frames; decoders open when their first picture is due and close after their last.
    pub(crate) fn new(prepared: &'p Prepared, decoder: &'p DecoderHost, frames: &[Frame]) -> Footage<'p> {
        let mut reels: BTreeMap<usize, Reel> = BTreeMap::new();
        for layer in frames.iter().flat_map(Frame::scenes).flat_map(|scene| &scene.layers) {
            let LayerSource::Video { element, time } = layer.source else { continue };
            let Some((source, index)) = index_of(prepared, element) else { continue };
            let reel = reels.entry(element).or_insert_with(|| Reel {
                source,
                wanted: Vec::new(),
                reader: None,
                shown: 0,
            });
            reel.wanted.push(index.frame_at(time));
        }
        Footage { prepared, decoder, reels }
    }

    /// The pictures of the next scene.
    ///
    /// # Errors
    /// Where a source can't be decoded; the fault names the element.
    pub(crate) fn next(&mut self, scene: &Scene) -> Result<FramePictures<'p>, Failure> {
        let mut held = Vec::with_capacity(scene.layers.len());
        for layer in &scene.layers {
            let picture = match layer.source {
                LayerSource::Video { element, .. } => self.video(element)?,
                LayerSource::Image { element } => {
                    self.still(self.prepared.detail.elements[element], Some(element))?
                }
                LayerSource::BackgroundImage => self.still(self.prepared.detail.background, None)?,
                LayerSource::Text { element, piece } => Held::Text(element, piece),
                LayerSource::Solid(color) => Held::Solid(color, [color.r, color.g, color.b, color.a]),
                LayerSource::Silhouette { element, piece, color } => {
                    let (key, image) = self.prepared.silhouette((element, piece), color, self.decoder)?;
                    Held::Still { key, image, has_alpha: true }
                }
                LayerSource::Backdrop => Held::Backdrop,
            };
            held.push((layer.source, picture));
        }
        Ok(FramePictures { prepared: self.prepared, held })
    }

    fn video(&mut self, element: usize) -> Result<Held, Failure> {
        let reel = self.reels.get_mut(&element).ok_or_else(|| missing(element))?;
        let described = &self.prepared.composition.elements[element];
        let blame = |error| {
            let name = source_of(described).map(|url| url.redacted()).unwrap_or_default();
            Failure::of_decoding(&error, &name).at(described, "source_url")
        };
        let wanted = *reel.wanted.get(reel.shown).ok_or_else(|| missing(element))?;
        let reader = match &mut reel.reader {
            Some(reader) => reader,
            closed => {
                let Probe::Media { video: Some(track), .. } =
                    &self.prepared.detail.sources[reel.source].probe
                else {
                    return Err(missing(element));
                };
                let file = self.prepared.open(reel.source)?;
                let mut reader = self.decoder.open_video(&file, track).map_err(blame)?;
                reader.schedule(reel.wanted[reel.shown..].iter().copied());
                closed.insert(reader)
            }
        };
        let frame = reader.frame(wanted).map_err(blame)?;
        reel.shown += 1;
        if reel.shown == reel.wanted.len() {
            reel.reader = None;
        }
        Ok(Held::Planar(frame))
    }

    fn still(&self, source: Option<usize>, element: Option<usize>) -> Result<Held, Failure> {
        let source = source.ok_or_else(|| missing(element.unwrap_or_default()))?;
        let still = self.prepared.still(source, self.decoder).map_err(|failure| match element {
            Some(element) => failure.at(&self.prepared.composition.elements[element], "source_url"),
            None => failure.at_field("/background_image_url"),
        })?;
        let has_alpha =
            matches!(self.prepared.detail.sources[source].probe, Probe::Still { has_alpha: true, .. });
        Ok(Held::Still { key: still.0, image: still.1, has_alpha })
    }
}

fn index_of(prepared: &Prepared, element: usize) -> Option<(usize, &PacketIndex)> {
    let (source, pinned) = prepared.detail.source(element)?;
    match &pinned.probe {
        Probe::Media { video: Some(video), .. } => Some((source, &video.index)),
        Probe::Media { video: None, .. } | Probe::Still { .. } => None,
    }
}

/// The scene and its plan disagree: a fault of ours.
fn missing(element: usize) -> Failure {
    let fault = std::io::Error::other(format!("element {element} has no source in the plan"));
    Failure::internal("find a picture", &fault)
}

/// The pictures of one frame.
pub(crate) struct FramePictures<'p> {
    prepared: &'p Prepared,
    held: Vec<(LayerSource, Held)>,
}

/// A picture of one frame, kept alive while it is drawn.
enum Held {
    Planar(Arc<PlanarFrame>),
    Still {
        key: u128,
        image: Arc<media::frame::RgbaImage>,
        has_alpha: bool,
    },
    Text(usize, Piece),
    Solid(Color, [u8; 4]),
    /// Known only when it has been painted.
    Backdrop,
}

impl Pictures for FramePictures<'_> {
    fn picture(&self, source: &LayerSource) -> Option<Picture<'_>> {
        let (_, held) = self.held.iter().find(|(known, _)| known == source)?;
        match held {
            Held::Planar(frame) => planar(frame).map(Picture::Planar),
            Held::Still { key, image, has_alpha } => {
                let alpha = if *has_alpha { Alpha::Unassociated } else { Alpha::Opaque };
                RgbaImage::new(PictureKey(*key), (image.width, image.height), &image.data, alpha)
                    .ok()
                    .map(Picture::Rgba)
            }
            Held::Text(element, piece) => {
                let (key, drawn) = self.prepared.text(*element, *piece)?;
                let size = (drawn.width, drawn.height);
                RgbaImage::new(PictureKey(key), size, &drawn.pixels, Alpha::Premultiplied)
                    .ok()
                    .map(Picture::Rgba)
            }
            Held::Solid(color, pixel) => {
                // Digests of contents fill all bits of a key; those of colours are small numbers.
                let key = PictureKey(u128::from(u32::from_be_bytes(*pixel)));
                let alpha = if color.a == u8::MAX { Alpha::Opaque } else { Alpha::Unassociated };
                RgbaImage::new(key, (1, 1), pixel, alpha).ok().map(Picture::Rgba)
            }
            Held::Backdrop => None,
        }
    }
}

/// A decoded frame as the compositor takes it. HDR code values are shown as they are: the plan warns of it.
fn planar(frame: &PlanarFrame) -> Option<PlanarImage<'_>> {
    let color = frame.color();
    let matrix = match color.matrix {
        Matrix::Bt601 => ColorMatrix::Bt601,
        Matrix::Bt709 => ColorMatrix::Bt709,
        Matrix::Bt2020 => ColorMatrix::Bt2020,
    };
    let range = match color.range {
        Range::Limited => ColorRange::Limited,
        Range::Full => ColorRange::Full,
    };
    let (y, u, v) = (frame.y(), frame.u(), frame.v());
    let strides = (y.width as usize, u.width as usize);
    PlanarImage::new((frame.width(), frame.height()), [y.data, u.data, v.data], strides, matrix, range).ok()
}
