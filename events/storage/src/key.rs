//! Keys of objects: relative paths of a closed alphabet, so that no key can leave the place where objects lie.

use crate::port::StorageError;

/// The longest key; far below what file systems and object stores take.
pub const KEY_BYTES_MAX: usize = 512;

/// The longest segment: file systems end names at 255 bytes.
const SEGMENT_BYTES_MAX: usize = 255;

/// Says whether `key` is one we could have made: segments of `A-Z a-z 0-9 . _ -` joined by single slashes, none of
/// them beginning with a dot.
///
/// # Errors
/// [`StorageError::BadKey`] where it is not.
pub fn check(key: &str) -> Result<(), StorageError> {
    let is_segment = |segment: &str| {
        !segment.is_empty()
            && segment.len() <= SEGMENT_BYTES_MAX
            && !segment.starts_with('.')
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    };
    if key.len() <= KEY_BYTES_MAX && key.split('/').all(is_segment) {
        return Ok(());
    }
    Err(StorageError::BadKey { key: key.chars().take(KEY_BYTES_MAX).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_we_make_pass() {
        for key in ["a", "renders/render_01ABC/part-3/7-ab12", "sources/sha256/00ff.mp4", "A-Z_0.9"] {
            assert!(check(key).is_ok(), "{key} is a key");
        }
    }

    #[test]
    fn keys_that_lead_elsewhere_are_refused() {
        let long = "a/".repeat(KEY_BYTES_MAX) + "a";
        let wide = "a".repeat(SEGMENT_BYTES_MAX + 1);
        for key in [
            "",
            "/",
            "/etc/passwd",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "../a",
            "a/./b",
            ".hidden",
            "a\\b",
            "a b",
            "a\0b",
            "ä",
            "a%2e",
            long.as_str(),
            wide.as_str(),
        ] {
            assert!(check(key).is_err(), "{key:?} is no key");
        }
    }
}
