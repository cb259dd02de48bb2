//! Small compositions for the tests of this crate.

use std::collections::BTreeMap;
use std::sync::Arc;

use composition::element::{
    Audio, Crop, Decor, Element, ElementKind, Fit, Image, Span, Text, TextAlign, Video, Visual,
};
use composition::{
    Background, Color, Composition, Curve, Easing, FrameRate, Keyframe, Keyframes, Length, OutputFormat,
    OutputSettings, Size, SourceUrl, Ticks,
};

use crate::{Rect, SourceFacts, Stage, TextInk, TextRaster};

pub(crate) const CANVAS: Size = Size { width: 1280, height: 720 };

pub(crate) fn seconds(seconds: f64) -> Ticks {
    Ticks::from_seconds(seconds)
}

/// A 10 s film at 30 frames a second on a black canvas of 1280 × 720.
pub(crate) fn film(elements: Vec<Element>) -> Composition {
    Composition {
        canvas: CANVAS,
        duration: Some(seconds(10.0)),
        frame_rate: FrameRate::new(30, 1).expect("a valid rate"),
        output: OutputSettings {
            format: OutputFormat::Mp4,
            quality: 60,
            bitrate: None,
            max_bitrate: None,
            keyframe_interval: seconds(2.0),
            audio_bitrate: 160_000,
            snapshot_time: None,
            filename: None,
        },
        background: Background { color: Color::BLACK, image: None },
        elements,
        transitions: Vec::new(),
        metadata: BTreeMap::new(),
        webhook_url: None,
        priority: 0,
        deadline_us: None,
    }
}

/// A course through these values at these seconds, with one easing throughout.
pub(crate) fn course<T: Copy>(points: &[(f64, T)], easing: Easing) -> Curve<T> {
    let keyframe = |&(time, value): &(f64, T)| Keyframe { time: seconds(time), value, easing };
    let keyframes = Keyframes::new(points.iter().map(keyframe).collect());
    Curve::Keyframes(keyframes.expect("at least one, at rising times"))
}

/// Every default of the contract.
pub(crate) fn visual() -> Visual {
    let middle = Length::Percent(50.0);
    Visual {
        x: middle.into(),
        y: middle.into(),
        x_anchor: middle,
        y_anchor: middle,
        width: None,
        height: None,
        aspect_ratio: None,
        fit: Fit::Cover,
        z_rotation: 0.0.into(),
        x_scale: 1.0.into(),
        y_scale: 1.0.into(),
        flip_horizontal: false,
        flip_vertical: false,
        opacity: 1.0.into(),
        z_index: 0,
    }
}

pub(crate) const UNCROPPED: Crop = Crop { top: 0.0, bottom: 0.0, left: 0.0, right: 0.0 };

pub(crate) fn span() -> Span {
    let none = Ticks::ZERO;
    Span { in_point: none, out_point: None, speed: 1.0, volume: 1.0, fade_in: none, fade_out: none }
}

fn source() -> SourceUrl {
    SourceUrl("https://media.example/clip".to_owned())
}

pub(crate) fn element(time: f64, kind: ElementKind) -> Element {
    Element { path: "/elements/0".to_owned(), id: None, time: seconds(time), visible: true, kind }
}

pub(crate) fn video(time: f64, span: Span) -> Element {
    let video = Video { source: source(), span, visual: visual(), crop: UNCROPPED, blur: 0.0.into() };
    element(time, ElementKind::Video(video))
}

pub(crate) fn image(time: f64, duration: f64, visual: Visual) -> Element {
    let duration = seconds(duration);
    element(
        time,
        ElementKind::Image(Image { source: source(), duration, visual, crop: UNCROPPED, blur: 0.0.into() }),
    )
}

pub(crate) fn audio(time: f64, span: Span) -> Element {
    element(time, ElementKind::Audio(Audio { source: source(), span }))
}

/// Words of 40 px in Inter.
pub(crate) fn words(text: &str) -> Text {
    Text {
        text: text.to_owned(),
        duration: seconds(5.0),
        visual: visual(),
        font_family: "Inter".to_owned(),
        font_size: 40.0,
        font_weight: 400,
        italic: false,
        color: Color::WHITE,
        align: TextAlign::Center,
        wrap: true,
        leading: 1.2,
        tracking: 0.0,
        decor: Decor::default(),
        caption: None,
    }
}

/// How the pixmap of a film's first element, a text without a caption, is drawn.
pub(crate) fn raster_of(stage: &Stage) -> Option<TextRaster> {
    stage.text_rasters(0).first().map(|(_, raster)| *raster)
}

/// What the glyphs of such a text cover.
pub(crate) fn covering(ink: Rect) -> SourceFacts {
    SourceFacts::Text { ink: Arc::new(TextInk::plain(ink)) }
}
