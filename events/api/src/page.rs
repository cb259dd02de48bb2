//! Lists: `{data, next_cursor, has_more}`, `limit`, and cursors that say nothing to whoever carries them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Detail;

/// The page size where none is asked for.
pub const LIMIT_DEFAULT: u32 = 20;
/// The largest page of most lists.
pub const LIMIT_MAX: u32 = 100;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct Page<T> {
    /// The entries.
    pub data: Vec<T>,
    /// Asks for the next page; `null` where there is none.
    pub next_cursor: Option<String>,
    /// Whether there is a next page.
    pub has_more: bool,
}

impl<T> Page<T> {
    /// The first `limit` of `found`, which holds one more where a next page exists. `place` is what an entry's cursor
    /// says: the next page begins behind the last entry's.
    pub fn cut<C: Serialize>(mut found: Vec<T>, limit: u32, place: impl FnOnce(&T) -> C) -> Page<T> {
        let has_more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let last = found.last().filter(|_| has_more);
        let next_cursor = last.map(|last| encode_cursor(&place(last)));
        Page { data: found, next_cursor, has_more }
    }

    /// The same page of these entries: its own, as they are shown.
    #[must_use]
    pub fn showing<U>(&self, data: Vec<U>) -> Page<U> {
        Page { data, next_cursor: self.next_cursor.clone(), has_more: self.has_more }
    }
}

/// Reads the query's `limit`: 1 to `max`, `default` where it is absent.
///
/// # Errors
/// A fault naming the range, for a 422.
pub fn parse_limit(text: Option<&str>, default: u32, max: u32) -> Result<u32, Detail> {
    let Some(text) = text else { return Ok(default) };
    let limit = text.parse::<u32>().ok().filter(|limit| (1..=max).contains(limit));
    limit.ok_or_else(|| {
        let given: String = text.chars().take(40).collect();
        Detail::new(
            "limit",
            "out_of_range",
            format!("it is {given:?}; allowed are whole numbers from 1 to {max}"),
        )
    })
}

/// Makes a cursor: base64url without padding (RFC 4648 5) of the JSON of `place`.
#[must_use]
pub fn encode_cursor<T: Serialize>(place: &T) -> String {
    // Places are numbers, strings and tuples of them: those always have a JSON form.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(place).expect("a place in a list is representable in JSON"))
}

/// Reads a cursor that [`encode_cursor`] made.
///
/// # Errors
/// A fault for a 422: the text is no cursor of this list.
pub fn decode_cursor<T: DeserializeOwned>(text: &str) -> Result<T, Detail> {
    let place = URL_SAFE_NO_PAD.decode(text).ok().and_then(|json| serde_json::from_slice(&json).ok());
    place.ok_or_else(|| {
        Detail::new(
            "cursor",
            "malformed_value",
            "it is no cursor of this list; take next_cursor from its last page",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_is_fit_for_a_url() {
        let cursor = encode_cursor(&(u64::MAX, "render_01?/+"));
        assert!(cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{cursor}");
        assert_eq!(decode_cursor::<(u64, String)>(&cursor), Ok((u64::MAX, "render_01?/+".to_owned())));
    }

    #[test]
    fn a_foreign_cursor_is_a_fault_of_the_request() {
        for text in ["", "=", "bm9wZQ", "bm9wZQ==", &encode_cursor(&"another list")] {
            assert_eq!(
                decode_cursor::<u64>(text).expect_err("no cursor of this list").path,
                "cursor",
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_page_names_its_last_entry_only_where_another_page_exists() {
        let full = Page::cut(vec![9, 8], 2, |entry| *entry);
        assert_eq!(full, Page { data: vec![9, 8], next_cursor: None, has_more: false });
        let cut = Page::cut(vec![9, 8, 7], 2, |entry| *entry).showing(vec!["nine", "eight"]);
        let next_cursor = Some(encode_cursor(&8));
        assert_eq!(cut, Page { data: vec!["nine", "eight"], next_cursor, has_more: true });
        assert_eq!(Page::cut(Vec::<u8>::new(), 2, |entry| *entry).next_cursor, None, "an empty list");
    }

    #[test]
    fn limits_are_whole_numbers_in_range() {
        assert_eq!(parse_limit(None, LIMIT_DEFAULT, LIMIT_MAX), Ok(20), "the default");
        assert_eq!(parse_limit(Some("100"), LIMIT_DEFAULT, LIMIT_MAX), Ok(100), "the largest");
        for text in ["0", "101", "-1", "1.5", "", "ten", "99999999999"] {
            let fault = parse_limit(Some(text), LIMIT_DEFAULT, LIMIT_MAX).expect_err("out of range");
            assert_eq!((fault.path.as_str(), fault.code.as_str()), ("limit", "out_of_range"), "{text:?}");
        }
    }
}
