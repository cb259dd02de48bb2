//! Good documents: what they mean.

use serde_json::{Value, json};

use super::{audio, body, composition, image, only_fault, text, video, with};
use crate::ProblemCode::MalformedValue;
use crate::{
    Audio, Color, Curve, ElementKind, Fit, Image, Length, ParseOptions, SourceUrl, Text, TextAlign, Ticks,
    Video, parse,
};

#[track_caller]
fn the_video(more: &Value) -> Video {
    match composition(&body(&with(&video(), more))).elements.remove(0).kind {
        ElementKind::Video(video) => video,
        other => panic!("not a video: {other:?}"),
    }
}

#[track_caller]
fn the_text(more: &Value) -> Text {
    match composition(&body(&with(&text(), more))).elements.remove(0).kind {
        ElementKind::Text(text) => text,
        other => panic!("not a text: {other:?}"),
    }
}

/// The value of a field without keyframes.
#[track_caller]
fn still<T: Copy>(curve: &Curve<T>) -> T {
    *curve.constant().expect("no keyframes were given")
}

#[test]
fn a_bare_video_fills_the_canvas_and_plays_at_its_own_speed() {
    let video = the_video(&json!({ "out_point": null }));
    let visual = &video.visual;
    assert_eq!((still(&visual.x), visual.y_anchor), (Length::Percent(50.0), Length::Percent(50.0)));
    assert_eq!((visual.width, visual.height, visual.aspect_ratio), (None, None, None));
    assert_eq!((visual.fit, still(&visual.opacity), visual.z_index), (Fit::Cover, 1.0, 0));
    assert_eq!((still(&visual.x_scale), still(&visual.y_scale), still(&visual.z_rotation)), (1.0, 1.0, 0.0));
    assert_eq!((video.span.in_point, video.span.out_point), (Ticks::ZERO, None));
    assert_eq!((video.span.speed, video.span.volume, still(&video.blur)), (1.0, 1.0, 0.0));
}

#[test]
fn every_field_of_a_video_arrives() {
    let video = the_video(&json!({
        "in_point": 1, "out_point": 3.5, "speed": 0.5, "volume": 25, "fade_in_duration": 0.25, "fade_out_duration": 1,
        "x": 10, "y": "20px", "x_anchor": "0%", "y_anchor": "7", "width": "50%", "height": 100, "aspect_ratio": 1.5,
        "fit": "contain", "z_rotation": "90deg", "x_scale": "150%", "y_scale": 50, "flip_horizontal": true,
        "flip_vertical": true, "opacity": 40, "z_index": -3, "crop_top": 0.1, "crop_bottom": 0.2, "crop_left": 0.3,
        "crop_right": 0.4, "blur": 12.5,
    }));
    let (span, visual, crop) = (&video.span, &video.visual, &video.crop);
    assert_eq!((span.in_point, span.out_point), (Ticks::from_seconds(1.0), Some(Ticks::from_seconds(3.5))));
    assert_eq!((span.speed, span.volume), (0.5, 0.25));
    assert_eq!((span.fade_in, span.fade_out), (Ticks::from_seconds(0.25), Ticks::from_seconds(1.0)));
    assert_eq!((still(&visual.x), still(&visual.y)), (Length::Pixels(10.0), Length::Pixels(20.0)));
    assert_eq!((visual.x_anchor, visual.y_anchor), (Length::Percent(0.0), Length::Pixels(7.0)));
    assert_eq!((visual.width, visual.height), (Some(Length::Percent(50.0)), Some(Length::Pixels(100.0))));
    assert_eq!((visual.aspect_ratio, visual.fit), (Some(1.5), Fit::Contain));
    assert_eq!((still(&visual.z_rotation), still(&visual.x_scale), still(&visual.y_scale)), (90.0, 1.5, 0.5));
    assert!(visual.flip_horizontal && visual.flip_vertical, "mirrored both ways");
    assert_eq!((still(&visual.opacity), visual.z_index), (0.4, -3));
    assert_eq!((crop.top, crop.bottom, crop.left, crop.right), (0.1, 0.2, 0.3, 0.4));
    assert_eq!((still(&video.blur), video.source), (12.5, SourceUrl("https://media.example/a.mp4".into())));
}

#[test]
fn images_and_sounds_arrive() {
    let elements = json!([
        with(&image(), &json!({ "blur": 1, "time": 2 })),
        with(&audio(), &json!({ "visible": false }))
    ]);
    let film = composition(&json!({ "elements": elements }));
    let ElementKind::Image(Image { duration, blur, .. }) = &film.elements[0].kind else {
        panic!("not an image")
    };
    assert_eq!((*duration, still(blur)), (Ticks::from_seconds(5.0), 1.0));
    assert_eq!(
        (film.elements[0].id.as_deref(), film.elements[0].time),
        (Some("logo"), Ticks::from_seconds(2.0))
    );
    assert_eq!(film.elements[0].path, "/elements/0");
    let ElementKind::Audio(Audio { span, .. }) = &film.elements[1].kind else { panic!("not a sound") };
    assert_eq!((span.out_point, film.elements[1].visible), (Some(Ticks::from_seconds(5.0)), false));
}

#[test]
fn text_has_its_own_defaults_and_stands_in_front() {
    let text = the_text(&json!({}));
    assert_eq!((text.font_family.as_str(), text.font_size, text.font_weight), ("Inter", 16.0, 400));
    assert_eq!((text.color, text.align, text.wrap), (Color::WHITE, TextAlign::Center, true));
    assert_eq!((text.leading, text.tracking, text.italic, text.visual.z_index), (1.2, 0.0, false, 1));
    let text = the_text(&json!({ "text_color": "#0102037f", "text_align": "right", "text_wrap": "nowrap" }));
    assert_eq!(
        (text.color, text.align, text.wrap),
        (Color { r: 1, g: 2, b: 3, a: 127 }, TextAlign::Right, false)
    );
}

#[test]
fn a_bold_style_is_at_least_weight_700() {
    for (style, weight, means) in [
        ("normal", 300, (300, false)),
        ("italic", 300, (300, true)),
        ("bold", 300, (700, false)),
        ("bold", 900, (900, false)),
        ("bolditalic", 400, (700, true)),
    ] {
        let text = the_text(&json!({ "font_style": style, "font_weight": weight }));
        assert_eq!((text.font_weight, text.italic), means, "{style} {weight}");
    }
}

#[test]
fn angles_and_lengths_may_be_spelt_in_many_ways() {
    for (given, degrees) in [
        (json!(45), 45.0),
        (json!("45"), 45.0),
        (json!("45deg"), 45.0),
        (json!("45°"), 45.0),
        (json!(" -4.5e1deg "), -45.0),
        (json!("1rad"), 180.0 / std::f64::consts::PI),
    ] {
        assert_eq!(
            still(&the_video(&json!({ "z_rotation": given })).visual.z_rotation),
            degrees,
            "from {given}"
        );
    }
    for (given, length) in [
        (json!(12), Length::Pixels(12.0)),
        (json!("12"), Length::Pixels(12.0)),
        (json!("12.5px"), Length::Pixels(12.5)),
        (json!("-50%"), Length::Percent(-50.0)),
        (json!(-0.0), Length::Pixels(0.0)),
    ] {
        assert_eq!(still(&the_video(&json!({ "x": given })).visual.x), length, "from {given}");
    }
    for nonsense in ["", "px", "%", "NaN", "inf", "1e999", "12 px", "0x10", "50%%", "1,5", "١٢"] {
        only_fault(&body(&with(&video(), &json!({ "x": nonsense }))), "/elements/0/x", MalformedValue);
    }
}

#[test]
fn the_rest_of_the_request_arrives() {
    let film = composition(&json!({
        "width": 640, "height": 360, "background_color": "#00ff0080", "background_image_url": "https://a.example/b.png",
        "metadata": { "order": "17" }, "webhook_url": "https://hooks.example/?k=v", "priority": -100,
        "deadline": "2030-01-31T12:00:00+01:00",
    }));
    assert_eq!((film.canvas.width, film.canvas.height), (640, 360));
    assert_eq!(film.background.color, Color { r: 0, g: 255, b: 0, a: 128 });
    assert_eq!(film.background.image, Some(SourceUrl("https://a.example/b.png".into())));
    assert_eq!(film.metadata.get("order").map(String::as_str), Some("17"));
    assert_eq!(film.webhook_url.as_deref(), Some("https://hooks.example/?k=v"));
    assert_eq!((film.priority, film.deadline_us), (-100, Some(1_896_087_600_000_000)));
}

#[test]
fn any_url_is_a_source_and_only_the_command_line_takes_paths() {
    let source = |url: &str| body(&with(&video(), &json!({ "source_url": url })));
    // Which schemes may be fetched is decided when the job fetches.
    for url in
        ["https://a.example/x y.mp4?sig=%2F", "ftp://a.example/a.mp4", "file:///a.mp4", "http://[::1]/a"]
    {
        composition(&source(url));
    }
    for nonsense in
        ["a.mp4", "//a.example/a.mp4", "https://", "http://a b/", "a.example/a.mp4", "https://a/\u{0}"]
    {
        only_fault(&source(nonsense), "/elements/0/source_url", MalformedValue);
    }
    let local = ParseOptions { local_files: true, ..ParseOptions::default() };
    for path in ["a.mp4", "/media/a: b.mp4", "../a.mp4"] {
        assert!(parse(&source(path), &local).is_ok(), "{path} is a file");
    }
    assert!(parse(&source("https://"), &local).is_err(), "a URL is judged as a URL");
    let long = format!("https://a.example/{}", "x".repeat(2083));
    only_fault(&source(&long), "/elements/0/source_url", crate::ProblemCode::OutOfRange);
}
