//! Elements: what is seen and heard, and when.

use serde::{Deserialize, Serialize};
use url::{Position, Url};

use crate::caption::Caption;
use crate::color::Color;
use crate::keyframe::Curve;
use crate::length::Length;
use crate::time::Ticks;

/// The address of foreign media, as the client wrote it. It may carry credentials: never log it whole.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceUrl(pub String);

impl std::fmt::Debug for SourceUrl {
    /// Without user, password and query: they may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl SourceUrl {
    /// The address without user, password, query and fragment, fit for logs and messages.
    #[must_use]
    pub fn redacted(&self) -> String {
        let text = self.0.as_str();
        match Url::parse(text).ok().filter(Url::has_host) {
            Some(url) => {
                let path = if url.path() == "/" && !text.ends_with('/') { "" } else { url.path() };
                format!("{}://{}{path}", url.scheme(), &url[Position::BeforeHost..Position::AfterPort])
            }
            // Where a malformed address ends, nobody knows: what lies before its last @ may be a password.
            None if text.contains(':') => open_part(text.rsplit('@').next().unwrap_or_default()),
            None => open_part(text),
        }
    }
}

/// What lies before query and fragment.
fn open_part(text: &str) -> String {
    text.split(['?', '#']).next().unwrap_or_default().to_owned()
}

/// One entry of `elements`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Element {
    /// The JSON pointer of the element in the document the client sent (`/elements/3`), for messages.
    pub path: String,
    /// The client's name for it, for messages and transitions.
    pub id: Option<String>,
    /// When it starts.
    pub time: Ticks,
    /// `false` takes it out of picture and sound.
    pub visible: bool,
    /// What it is.
    pub kind: ElementKind,
}

/// What an element is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ElementKind {
    /// Moving pictures, with their sound.
    Video(Video),
    /// A still.
    Image(Image),
    /// Laid-out text.
    Text(Text),
    /// Sound alone.
    Audio(Audio),
}

/// The part of a source that is played, how fast and how loud. Shared by video and audio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// Where in the source it begins.
    pub in_point: Ticks,
    /// Where in the source it ends; `None`: the source's end.
    pub out_point: Option<Ticks>,
    /// 0.25–4; keeps pitch.
    pub speed: f64,
    /// Linear amplitude, 0–1.
    pub volume: f64,
    /// Sound rises over this long from the element's start.
    pub fade_in: Ticks,
    /// Sound falls over this long to the element's end.
    pub fade_out: Ticks,
}

impl Span {
    /// How long the span lasts in the film, where the source has `source_end` (its length from source time 0).
    #[must_use]
    pub fn length(&self, source_end: Ticks) -> Ticks {
        let end = self.out_point.unwrap_or(source_end);
        Ticks(((end - self.in_point).0.max(0) as f64 / self.speed).round() as i64)
    }
}

/// A `video` element.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Video {
    /// The media.
    pub source: SourceUrl,
    /// Which part of it.
    pub span: Span,
    /// Where and how it is shown.
    pub visual: Visual,
    /// What of the source is shown.
    pub crop: Crop,
    /// 0–100; 100 is a Gaussian with σ = 5 % of the canvas height.
    pub blur: Curve<f64>,
}

/// An `image` element.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// The still.
    pub source: SourceUrl,
    /// How long it is shown.
    pub duration: Ticks,
    /// Where and how it is shown.
    pub visual: Visual,
    /// What of the source is shown.
    pub crop: Crop,
    /// 0–100; 100 is a Gaussian with σ = 5 % of the canvas height.
    pub blur: Curve<f64>,
}

/// An `audio` element.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audio {
    /// The media.
    pub source: SourceUrl,
    /// Which part of it.
    pub span: Span,
}

/// A `text` element.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Text {
    /// The words; never empty.
    pub text: String,
    /// How long they are shown.
    pub duration: Ticks,
    /// Where and how they are shown.
    pub visual: Visual,
    /// The family asked for; one we do not have falls back with a warning.
    pub font_family: String,
    /// Canvas pixels per em.
    pub font_size: f64,
    /// 100–900.
    pub font_weight: u16,
    /// Slanted.
    pub italic: bool,
    /// The glyphs' colour.
    pub color: Color,
    /// Along the line.
    pub align: TextAlign,
    /// Whether lines break at the box's width.
    pub wrap: bool,
    /// Line height as a multiple of the font size.
    pub leading: f64,
    /// Extra space between characters, 1/1000 em.
    pub tracking: f64,
    /// What is drawn behind and around the glyphs.
    #[serde(default)]
    pub decor: Decor,
    /// Words that are set off while they are spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<Caption>,
}

/// What is drawn behind and around a text's glyphs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Decor {
    /// Behind them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plate: Option<Plate>,
    /// Around them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outline: Option<Outline>,
    /// Whether the outline is all that is drawn of a glyph.
    #[serde(default)]
    pub hollow: bool,
}

/// A rectangle behind the lines of a text.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Plate {
    /// Its colour, opacity included.
    pub color: Color,
    /// How far it reaches beyond the lines to the left and to the right; a share is of the box's shorter side.
    pub x_padding: Length,
    /// The same above and below.
    pub y_padding: Length,
}

/// A line along the glyphs' edges.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Outline {
    /// Its colour.
    pub color: Color,
    /// How wide it is, half of it outside the glyph, as a share of the font size; above 0.
    pub width: f64,
}

/// Alignment along the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextAlign {
    /// At the box's left side.
    Left,
    /// In the middle.
    Center,
    /// At the box's right side.
    Right,
}

/// Where and how an element is shown. What is a [`Curve`] may change over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Visual {
    /// Where the anchor lies on the canvas.
    pub x: Curve<Length>,
    /// Where the anchor lies on the canvas.
    pub y: Curve<Length>,
    /// Which point of the box is the anchor.
    pub x_anchor: Length,
    /// Which point of the box is the anchor.
    pub y_anchor: Length,
    /// The box's width; `None`: absent from the document, so that `aspect_ratio` may fill it.
    pub width: Option<Length>,
    /// The box's height; `None`: absent from the document, so that `aspect_ratio` may fill it.
    pub height: Option<Length>,
    /// Width over height.
    pub aspect_ratio: Option<f64>,
    /// How the source fills the box.
    pub fit: Fit,
    /// Clockwise, degrees, about the anchor.
    pub z_rotation: Curve<f64>,
    /// 1 is the box's own size; about the anchor.
    pub x_scale: Curve<f64>,
    /// 1 is the box's own size; about the anchor.
    pub y_scale: Curve<f64>,
    /// Mirrored left to right.
    pub flip_horizontal: bool,
    /// Mirrored top to bottom.
    pub flip_vertical: bool,
    /// 0–1.
    pub opacity: Curve<f64>,
    /// Higher is in front.
    pub z_index: i64,
}

/// How a source fills its box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Fills the box, keeps its shape, what sticks out is cut.
    Cover,
    /// All of it inside the box, keeps its shape.
    Contain,
    /// Stretched to the box.
    Fill,
}

/// The parts of the source cut away, each a share (0–1) of its axis; opposite sides sum to less than 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Crop {
    /// From the top.
    pub top: f64,
    /// From the bottom.
    pub bottom: f64,
    /// From the left.
    pub left: f64,
    /// From the right.
    pub right: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_may_be_secret_in_it_however_it_is_malformed() {
        for (address, shown) in [
            ("https://me:S3CRET@h.example:81/a/b.mp4?token=S3CRET#S3CRET", "https://h.example:81/a/b.mp4"),
            ("http://h.example", "http://h.example"),
            ("http:/me:S3CRET@h.example/a", "http://h.example/a"),
            ("http:///me:S3CRET@h.example/a", "http://h.example/a"),
            ("http://me:S3C/RET@h.example/a", "h.example/a"),
            ("http://me:S3C?RET@h.example/a?S3CRET", "h.example/a"),
            ("me:S3CRET@h.example/a", "h.example/a"),
            ("http://", "http://"),
            ("clips/photo@2x.png", "clips/photo@2x.png"),
        ] {
            let url = SourceUrl(address.to_owned());
            assert_eq!(url.redacted(), shown, "of {address}");
            assert!(!format!("{url:?}").contains("S3C"), "nor when debugging");
        }
    }
}
