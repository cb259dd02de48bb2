//! The output: formats, codecs, sizes and rates.

use serde_json::{Value, json};

use super::{accepted, composition, faults, only_fault, with};
use crate::ProblemCode::{
    ConflictingFields, LimitExceeded, MalformedValue, OutOfRange, UnknownValue, UnsupportedFeature,
};
use crate::{OutputFormat, Ticks};

fn canvas(width: u32, height: u32) -> Value {
    json!({ "width": width, "height": height })
}

#[test]
fn an_empty_request_is_a_720p30_film_of_ten_seconds() {
    let film = composition(&json!({}));
    assert_eq!((film.canvas.width, film.canvas.height), (1280, 720));
    assert_eq!(film.frame_rate.to_string(), "30");
    assert_eq!(film.duration, Some(Ticks::from_seconds(10.0)));
    assert_eq!((film.output.format, film.output.quality), (OutputFormat::Mp4, 60));
    assert_eq!(film.output.keyframe_interval, Ticks::from_seconds(2.0));
    assert_eq!((film.output.audio_bitrate, film.output.bitrate), (160_000, None));
    assert_eq!(film.background.color.to_string(), "#000000ff");
    assert_eq!(
        composition(&json!({ "output_format": "jpg" })).output.quality,
        90,
        "JPEG has its own default"
    );
}

#[test]
fn odd_sides_are_refused_for_subsampled_pictures_naming_the_next_even_size() {
    let message = only_fault(&canvas(641, 480), "/width", ConflictingFields);
    assert!(message.ends_with("use 642"), "{message}");
    let message = only_fault(&canvas(640, 479), "/height", ConflictingFields);
    assert!(message.ends_with("use 480"), "{message}");
    for format in ["png", "jpg"] {
        accepted(&with(&canvas(641, 479), &json!({ "output_format": format })));
    }
}

#[test]
fn h264_takes_36_864_macroblocks_and_points_to_av1_beyond() {
    accepted(&canvas(4096, 2304));
    let message = only_fault(&canvas(4096, 2306), "/width", LimitExceeded);
    assert!(message.contains("36864") && message.contains("av1"), "{message}");
    accepted(&with(&canvas(7680, 4320), &json!({ "output_format": "png" })));
}

#[test]
fn frames_and_films_have_limits() {
    let still = with(&canvas(8192, 8192), &json!({ "output_format": "png" }));
    let message = only_fault(&still, "/width", LimitExceeded);
    assert!(message.contains("frame_pixels_max"), "{message}");
    let message = only_fault(&json!({ "duration": 7201 }), "/duration", LimitExceeded);
    assert!(message.contains("duration_s_max"), "{message}");
    let message = only_fault(
        &with(&canvas(4096, 2304), &json!({ "duration": 7200, "frame_rate": 60 })),
        "/duration",
        LimitExceeded,
    );
    assert!(message.contains("job_pixels_max"), "{message}");
    accepted(&json!({ "duration": 7200 }));
}

#[test]
fn frame_rates_are_exact() {
    for (given, exact) in [
        (json!(1), "1"),
        (json!(240), "240"),
        (json!(30.0), "30"),
        (json!(23.976), "24000/1001"),
        (json!(29.97), "30000/1001"),
        (json!(29.970_029_97), "30000/1001"),
        (json!(59.94), "60000/1001"),
        (json!("30000/1001"), "30000/1001"),
        (json!("60000/2002"), "30000/1001"),
        (json!("25/2"), "25/2"),
        (json!("30/1"), "30"),
    ] {
        assert_eq!(
            composition(&json!({ "frame_rate": given })).frame_rate.to_string(),
            exact,
            "from {given}"
        );
    }
    for (given, code) in [
        (json!(0), OutOfRange),
        (json!(0.5), OutOfRange),
        (json!(241), OutOfRange),
        (json!(-30), OutOfRange),
        (json!("1000/1"), OutOfRange),
        (json!("1/2"), OutOfRange),
        (json!(12.34), MalformedValue),
        (json!("30/0"), MalformedValue),
        (json!("+30/1"), MalformedValue),
        (json!("99999999999/1"), MalformedValue),
        (json!("fast"), MalformedValue),
        (json!(true), crate::ProblemCode::WrongType),
    ] {
        only_fault(&json!({ "frame_rate": given }), "/frame_rate", code);
    }
}

#[test]
fn codecs_are_judged_by_their_container() {
    accepted(&json!({ "output": { "video_codec": "h264", "audio_codec": "aac" } }));
    only_fault(&json!({ "output": { "video_codec": "av1" } }), "/output/video_codec", UnsupportedFeature);
    let message =
        only_fault(&json!({ "output": { "video_codec": "vp9" } }), "/output/video_codec", UnknownValue);
    assert!(message.contains("mp4 does not hold") && message.contains("\"h264\", \"av1\""), "{message}");
    let message =
        only_fault(&json!({ "output": { "video_codec": "h265" } }), "/output/video_codec", UnknownValue);
    assert!(message.contains("did you mean \"h264\"?"), "{message}");
    only_fault(&json!({ "output": { "audio_codec": "opus" } }), "/output/audio_codec", UnsupportedFeature);
    let silent = json!({ "output_format": "png", "output": { "audio_codec": "aac" } });
    only_fault(&silent, "/output/audio_codec", UnknownValue);
}

#[test]
fn settings_belong_to_their_format() {
    let film = composition(&json!({
        "output": { "quality": 80, "bitrate": 1_000_000, "max_bitrate": 2_000_000, "keyframe_interval": 1.5,
                    "audio_bitrate": 96_000 },
    }));
    let output = &film.output;
    assert_eq!((output.quality, output.bitrate, output.max_bitrate), (80, Some(1_000_000), Some(2_000_000)));
    assert_eq!((output.keyframe_interval, output.audio_bitrate), (Ticks::from_seconds(1.5), 96_000));
    let jpg = json!({ "output_format": "jpg", "output": { "quality": 75 } });
    assert_eq!(composition(&jpg).output.quality, 75);
    let png = json!({ "output_format": "png", "output": { "quality": 75, "keyframe_interval": 2 } });
    only_fault(&png, "/output/quality", ConflictingFields);
    only_fault(&json!({ "output": { "colors": 16 } }), "/output/colors", ConflictingFields);
    let upside_down = json!({ "output": { "bitrate": 2_000_000, "max_bitrate": 1_000_000 } });
    only_fault(&upside_down, "/output/max_bitrate", ConflictingFields);
}

#[test]
fn alpha_needs_a_format_that_keeps_it() {
    only_fault(&json!({ "alpha": true }), "/alpha", ConflictingFields);
    let found = faults(&json!({ "alpha": true, "output_format": "webm" }));
    assert_eq!(found, [("/output_format".to_owned(), UnsupportedFeature)], "webm is refused by its own name");
}

#[test]
fn a_still_shows_an_instant_of_its_film() {
    let still = |more| with(&json!({ "output_format": "png", "duration": 4 }), &more);
    assert_eq!(composition(&still(json!({}))).output.snapshot_time, None);
    let at = composition(&still(json!({ "snapshot_time": 3.5 }))).output.snapshot_time;
    assert_eq!(at, Some(Ticks::from_seconds(3.5)));
    only_fault(&still(json!({ "snapshot_time": 4 })), "/snapshot_time", ConflictingFields);
    only_fault(&json!({ "snapshot_time": 1 }), "/snapshot_time", ConflictingFields);
}

#[test]
fn a_file_name_has_no_folders_and_no_extension() {
    let named = composition(&json!({ "output_filename": "holiday v1.2" }));
    assert_eq!(named.output.filename.as_deref(), Some("holiday v1.2"));
    for (name, code) in [
        ("", OutOfRange),
        ("..", MalformedValue),
        ("a/b", MalformedValue),
        ("a\\b", MalformedValue),
        ("a\nb", MalformedValue),
        ("clip.MP4", MalformedValue),
        (&"x".repeat(201), OutOfRange),
    ] {
        only_fault(&json!({ "output_filename": name }), "/output_filename", code);
    }
}
