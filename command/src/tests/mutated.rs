//! Requests that nobody wrote: whatever is changed in a good one, over HTTP it is accepted or refused with reasons.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::service::{Answer, Service, request};

/// Bodies sent; the parser by itself is tried with more.
const BODIES: usize = 200;

/// A stream of numbers that is the same at every run (Steele and Vigna's SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }
}

/// A request that is accepted, with a bit of everything.
fn good() -> Value {
    let video = "https://media.example/a.mp4";
    json!({
        "width": 640, "height": 360, "frame_rate": 25, "output_format": "mp4", "background_color": "#102030",
        "metadata": { "a/b": "c" }, "priority": 3,
        "elements": [
            { "type": "video", "id": "a", "source_url": video, "out_point": 4, "opacity": 50, "x": "10%" },
            { "type": "video", "id": "b", "source_url": video, "time": 4, "out_point": 4 },
            { "type": "text", "text": "Hello", "duration": 8, "font_size": 40 },
        ],
        "transitions": [{ "type": "fade", "duration": 1, "from_id": "a", "to_id": "b" }],
        "output": { "quality": 50 },
    })
}

/// Every pointer of a document.
fn places(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                places(inner, &format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(entries) => {
            entries.iter().enumerate().for_each(|(at, inner)| places(inner, &format!("{path}/{at}"), found));
        }
        _ => {}
    }
    found.push(path.to_owned());
}

fn mutate(document: &mut Value, dice: &mut Dice) {
    let odd = [
        Value::Null,
        json!(true),
        json!(-1),
        json!(1e300),
        json!(0.5),
        json!(""),
        json!("50%"),
        json!("NaN"),
        json!("fade"),
        json!("é".repeat(3000)),
        json!([]),
        json!([[[]]]),
        json!({ "keyframes": [{ "time": 0, "value": 1 }] }),
        json!({ "type": "text" }),
    ];
    let mut all = Vec::new();
    places(document, "", &mut all);
    let place = all.swap_remove(dice.roll(all.len()));
    let value = odd[dice.roll(odd.len())].clone();
    if let Some(Value::Object(fields)) = document.pointer_mut(&place) {
        let name = ["tpye", "type", "elements", "opacity", "~/"][dice.roll(5)];
        fields.insert(name.to_owned(), value);
    } else if let Some(other) = document.pointer_mut(&place) {
        *other = value;
    }
}

/// Whether a pointer leads somewhere, or to a member that is not there.
fn points(document: &Value, path: &str) -> bool {
    let parent = path.rsplit_once('/').map(|(parent, _)| parent);
    !path.is_empty()
        && (document.pointer(path).is_some() || parent.is_some_and(|it| document.pointer(it).is_some()))
}

#[track_caller]
fn sound(document: &Value, answer: &Answer) {
    match answer.status {
        StatusCode::ACCEPTED => {
            for warning in answer.body["warnings"].as_array().expect("warnings") {
                let path = warning["path"].as_str().expect("a path");
                assert!(points(document, path), "{path} leads nowhere in {document}");
            }
        }
        StatusCode::UNPROCESSABLE_ENTITY => {
            let (code, faults) = answer.error();
            assert_eq!(code, "invalid_request", "{answer:?}");
            assert!(!faults.is_empty(), "refused without a reason: {document}");
            for (path, _) in faults {
                assert!(points(document, path), "{path} leads nowhere in {document}");
            }
        }
        other => panic!("{other} for {document}: {answer:?}"),
    }
}

#[tokio::test]
async fn whatever_is_changed_in_a_request_it_is_accepted_or_refused_with_reasons() {
    let service = Service::start().await;
    assert_eq!(service.post(&good()).await.status, StatusCode::ACCEPTED, "unchanged");
    let (mut dice, mut accepted) = (Dice(20), 0);
    for _ in 0..BODIES {
        let mut document = good();
        for _ in 0..=dice.roll(3) {
            mutate(&mut document, &mut dice);
        }
        let answer = service.post(&document).await;
        accepted += usize::from(answer.status == StatusCode::ACCEPTED);
        sound(&document, &answer);
    }
    assert!((10..BODIES - 10).contains(&accepted), "both happen: {accepted} of {BODIES} are accepted");
}

#[tokio::test]
async fn bytes_that_are_no_request_have_a_defined_answer() {
    let service = Service::start().await;
    let text = |text: &str| {
        format!("{{ \"elements\": [{{ \"type\": \"text\", \"text\": {text}, \"duration\": 2 }}] }}")
    };
    let deep = |depth: usize| format!("{{ \"odd\": {}{} }}", "[".repeat(depth), "]".repeat(depth));
    let (bad, fault, good) =
        (StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY, StatusCode::ACCEPTED);
    for (body, status, what) in [
        (text("\"\\ud83d\\ude00\"").into_bytes(), good, "a pair of surrogates"),
        (text("\"\\ud83d\"").into_bytes(), bad, "half a pair"),
        (text("\"a\\u0000b\"").into_bytes(), good, "an escaped zero"),
        (b"{\"elements\":[{\"type\":\"text\",\"text\":\"\xff\",\"duration\":2}]}".to_vec(), bad, "no UTF-8"),
        (b"\xef\xbb\xbf{}".to_vec(), bad, "a byte order mark"),
        (b"{\"duration\": 1e400}".to_vec(), bad, "more than a number can be"),
        (b"{\"duration\": 1e300}".to_vec(), fault, "more than a film can be"),
        (b"{\"duration\": 123456789012345678901234567890}".to_vec(), fault, "a very long number"),
        (b"{\"duration\": NaN}".to_vec(), bad, "not a number"),
        (b"{\"duration\": \"NaN\"}".to_vec(), fault, "not a number, in quotes"),
        (b"{\"duration\": -0}".to_vec(), fault, "no time at all"),
        (
            b"{\"width\": 1, \"width\": 640, \"height\": 360}".to_vec(),
            good,
            "of two equal keys the last counts",
        ),
        (deep(100).into_bytes(), good, "deep, but a tree"),
        (deep(100_000).into_bytes(), bad, "deeper than anyone writes"),
        (b"{} {}".to_vec(), bad, "two documents"),
        (b"".to_vec(), bad, "nothing"),
    ] {
        let answer = service.send(request(Method::POST, "/v1/renders", &[], body)).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        if status == bad {
            assert_eq!(answer.error().0, "malformed_json", "{what}");
        }
    }
}
