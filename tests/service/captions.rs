//! Captions as clients write them: a text for each line, all with one id, whose words are set off while they are spoken.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{System, decode};

const WIDTH: usize = 640;
const HEIGHT: usize = 180;

fn line(time: f64, words: &[(&str, f64, f64)], style: &str) -> Value {
    let said: Vec<_> = words.iter().map(|(word, ..)| *word).collect();
    let spoken: Vec<Value> =
        words.iter().map(|(text, start, end)| json!({ "text": text, "start": start, "end": end })).collect();
    json!({
        "type": "text", "id": "caption", "text": said.join(" "), "time": time, "duration": 2,
        "font_size": 60, "font_weight": 700, "text_color": "#ffffff", "background_color": "#ff0000",
        "stroke_color": "#000000", "stroke_width": 0.08,
        "word_animation": { "style": style, "words": spoken },
    })
}

fn body(style: &str) -> Value {
    let first = line(0.0, &[("films", 0.0, 0.7), ("films", 0.7, 1.4)], style);
    let second = line(2.0, &[("words", 2.5, 3.0), ("words", 3.0, 3.6)], style);
    json!({
        "width": WIDTH, "height": HEIGHT, "duration": 4, "frame_rate": 10, "background_color": "#0000ff",
        "elements": [first, second], "output": { "quality": 90 },
    })
}

/// How many pixels of each half of a frame, left and right, are nearly this colour.
fn halves(frame: &[u8], color: [u8; 3]) -> [usize; 2] {
    let near = |pixel: &[u8]| pixel.iter().zip(color).all(|(value, wanted)| value.abs_diff(wanted) < 90);
    let mut counts = [0; 2];
    for (at, pixel) in frame.chunks_exact(3).enumerate() {
        counts[usize::from(at % WIDTH >= WIDTH / 2)] += usize::from(near(pixel));
    }
    counts
}

fn frames(film: &Path) -> Vec<Vec<u8>> {
    let pixels = decode(film, &["-f", "rawvideo", "-pix_fmt", "rgb24"]);
    pixels.chunks_exact(WIDTH * HEIGHT * 3).map(<[u8]>::to_vec).collect()
}

const RED: [u8; 3] = [255, 0, 0];
const WHITE: [u8; 3] = [255, 255, 255];

#[tokio::test]
async fn words_are_set_off_while_they_are_spoken_and_lines_may_share_an_id() {
    let system = System::start(&[], &[]).await;
    for style in ["color", "box"] {
        let (job, film) = system.render(&body(style)).await;
        let warnings: Vec<_> =
            job["warnings"].as_array().unwrap().iter().map(|warning| &warning["code"]).collect();
        assert_eq!(warnings, ["DUPLICATE_ELEMENT_ID"], "{style}: the one suspicion");
        let frames = frames(&film);
        let seen = |second: f64, color| halves(&frames[(second * 10.0) as usize], color);
        let table = [
            (0.3, [true, false]),
            (1.0, [false, true]),
            (1.7, [false, false]),
            (2.2, [false, false]),
            (2.7, [true, false]),
            (3.3, [false, true]),
        ];
        for (second, set_off) in table {
            let red = seen(second, RED);
            // Words do not end exactly in the middle.
            let found = red.map(|count| count > 600);
            assert_eq!(found, set_off, "{style} at {second} s: {red:?} pixels are set off");
        }
        assert!(seen(1.7, WHITE).iter().all(|count| *count > 600), "{style}: after that all words are plain");
    }
}

#[tokio::test]
async fn words_come_when_they_are_spoken_and_shine() {
    let system = System::start(&[], &[]).await;
    for style in ["slide_up", "fly_in"] {
        let (_, film) = system.render(&body(style)).await;
        let frames = frames(&film);
        let letters = |second: f64| {
            let frame = &frames[(second * 10.0) as usize];
            let (white, red) = (halves(frame, WHITE), halves(frame, RED));
            [white[0] + red[0], white[1] + red[1]]
        };
        assert_eq!(letters(2.3), [0, 0], "{style}: nobody has spoken");
        let (first, both) = (letters(2.9), letters(3.8));
        assert!(first[0] > 600 && first[1] < 300, "{style}: the first word is there: {first:?}");
        assert!(both[0] > 600 && both[1] > 600, "{style}: both stay: {both:?}");
    }
    let (_, film) = system.render(&body("glow")).await;
    let frames = frames(&film);
    let violet = |second: f64| halves(&frames[(second * 10.0) as usize], [160, 0, 90]);
    assert!(violet(0.3)[0] > violet(0.3)[1] + 300, "the halo lies around the spoken word: {:?}", violet(0.3));
    let (_, film) = system.render(&body("scale_pop")).await;
    let (spoken, plain) = (frames_wide(&film, 3), frames_wide(&film, 17));
    assert!(spoken > plain, "a spoken word is larger: {spoken} and {plain} pixels of letters");
}

/// How many pixels of a frame are letters.
fn frames_wide(film: &Path, frame: usize) -> usize {
    let frames = frames(film);
    let count = |color| halves(&frames[frame], color).iter().sum::<usize>();
    count(RED) + count(WHITE)
}
