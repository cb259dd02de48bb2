//! What travels: subjects, and questions and answers as JSON.
//!
//! Unknown fields are ignored and new ones have defaults, so that workers and command nodes of neighbouring releases
//! understand each other. Whatever cannot be read is an error, never a panic: anyone on the network may publish here.

use events::work::WorkOrder;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Workers ask for work here.
pub(super) const CLAIM: &str = "framelane.work.claim";
/// Signs of life.
pub(super) const HEARTBEAT: &str = "framelane.work.heartbeat";
/// Ends of leases.
pub(super) const REPORT: &str = "framelane.work.report";
/// There may be work. The payload means nothing.
pub(super) const HINT: &str = "framelane.work.hint";
/// A render is over: its identifier.
pub(super) const CANCEL: &str = "framelane.work.cancel";

/// Every command node is a member: each question is answered by one of them.
pub(super) const COMMAND_NODES: &str = "framelane.command";

/// The answer to a question.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer<T> {
    /// It was dealt with.
    Ok(T),
    /// It could not be; asking again may help.
    Failed(String),
}

/// The answer to a claim.
pub(super) type Claimed = Answer<Option<WorkOrder>>;

/// Bytes of a value. Everything that travels can be written as JSON: its maps have text for keys.
pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("what travels has no keys that JSON lacks")
}

/// Reads what someone sent; the error says where it is wrong, not what it says: it may hold a composition.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => "JSON of another shape",
            serde_json::error::Category::Io
            | serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof => "no JSON",
        };
        format!("{what} at byte {} of {}", error.column(), bytes.len())
    })
}

#[cfg(test)]
mod tests {
    use events::work::{Claim, ReportReply};

    use super::*;

    #[test]
    fn answers_have_a_plain_form() {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("JSON is text");
        assert_eq!(text(encode(&Claimed::Ok(None))), r#"{"ok":null}"#);
        assert_eq!(text(encode(&Answer::Ok(ReportReply::Accepted))), r#"{"ok":"accepted"}"#);
        assert_eq!(text(encode(&Answer::<()>::Failed("later".to_owned()))), r#"{"failed":"later"}"#);
        assert_eq!(decode::<Claimed>(br#"{"ok":null}"#), Ok(Claimed::Ok(None)));
    }

    #[test]
    fn fields_of_a_newer_release_are_ignored() {
        let newer = br#"{"worker":"worker_00000000000000000000000001","fingerprint":"f","region":"eu"}"#;
        assert!(decode::<Claim>(newer).is_ok(), "an unknown field is no reason to refuse work");
    }

    #[test]
    fn an_unreadable_message_is_described_without_its_content() {
        for bytes in [b"".as_slice(), b"{", b"\xff\x00", b"[1,2", br#"{"worker":"secret","fingerprint":"f"}"#]
        {
            let what = decode::<Claim>(bytes).expect_err("no claim");
            assert!(!what.contains("secret"), "{what}");
        }
    }
}
