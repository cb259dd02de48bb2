//! The stream's settings: what we ask for, and whether a server really took them.
//!
//! Servers ignore settings that they don't know, and say nothing: 2.9 does so with those of 2.10. What a server answers is
//! held against what it was asked for, as JSON, setting by setting. What we don't ask for (replicas, placement, …) is the
//! operator's and stays.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::cloud_event::SUBJECTS;

/// The stream's name.
pub(super) const STREAM: &str = "EVENTS";

/// How long a message is kept.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long the stream knows the ids of messages that it has.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(2 * 60);

/// A setting that is not what was asked for.
#[derive(Debug, PartialEq)]
pub(super) struct Difference {
    setting: String,
    wanted: Value,
    found: Value,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { setting, wanted, found } = self;
        write!(f, "{setting} is {found} where {wanted} was asked for")
    }
}

/// What we ask for.
pub(super) fn wanted(max_bytes: u64) -> Map<String, Value> {
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let settings = json!({
        "name": STREAM,
        "description": "Framelane's public events: a copy that may be deleted at any moment",
        "subjects": [SUBJECTS],
        "retention": "limits",
        "storage": "file",
        // The oldest give way: a stream that is full must not stop the newest.
        "discard": "old",
        "max_age": nanoseconds(MAX_AGE),
        "max_bytes": max_bytes,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_msg_size": -1,
        "duplicate_window": nanoseconds(DUPLICATE_WINDOW),
        // Every message's acknowledgement moves the checkpoint.
        "no_ack": false,
        "sealed": false,
    });
    match settings {
        Value::Object(settings) => settings,
        _ => Map::new(),
    }
}

/// Where a server's settings are not those that were asked for.
pub(super) fn differences(wanted: &Map<String, Value>, found: &Map<String, Value>) -> Vec<Difference> {
    let differs = |(setting, wanted): (&String, &Value)| {
        let found = found.get(setting).unwrap_or(&Value::Null);
        // Servers leave out what is not so.
        let same = found == wanted || (*wanted == json!(false) && found.is_null());
        (!same).then(|| Difference { setting: setting.clone(), wanted: wanted.clone(), found: found.clone() })
    };
    wanted.iter().filter_map(differs).collect()
}

/// All of them, for people.
pub(super) fn listed(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The settings of a stream that exists, with ours in their places.
pub(super) fn merged(found: &Map<String, Value>, wanted: &Map<String, Value>) -> Map<String, Value> {
    let mut settings = found.clone();
    settings.extend(wanted.clone());
    settings
}

/// Whether a stream of our name holds our subjects; if not it is somebody else's, and nothing of it is touched.
pub(super) fn is_ours(found: &Map<String, Value>) -> bool {
    found.get("subjects") == Some(&json!([SUBJECTS]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_was_ignored_is_named_with_both_values() {
        let asked = wanted(1 << 30);
        assert_eq!(differences(&asked, &asked), []);
        let mut echo = asked.clone();
        echo.insert("max_age".to_owned(), json!(0));
        echo.remove("duplicate_window");
        echo.remove("no_ack");
        echo.insert("num_replicas".to_owned(), json!(3));
        let told = listed(&differences(&asked, &echo));
        assert_eq!(
            told,
            "duplicate_window is null where 120000000000 was asked for; max_age is 0 where 604800000000000 was asked for"
        );
    }

    #[test]
    fn what_we_do_not_ask_for_is_the_operators() {
        let mut found = wanted(1);
        found.insert("num_replicas".to_owned(), json!(3));
        found.insert("max_bytes".to_owned(), json!(1));
        let merged = merged(&found, &wanted(2));
        assert_eq!((&merged["num_replicas"], &merged["max_bytes"]), (&json!(3), &json!(2)));
    }

    #[test]
    fn a_stream_of_other_subjects_is_not_ours() {
        assert!(is_ours(&wanted(1)));
        for subjects in [json!(["orders.>"]), json!([SUBJECTS, "orders.>"]), json!([]), Value::Null] {
            let mut found = wanted(1);
            found.insert("subjects".to_owned(), subjects.clone());
            assert!(!is_ours(&found), "{subjects}");
        }
    }
}
