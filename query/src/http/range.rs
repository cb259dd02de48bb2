//! The Range header (RFC 9110 14): one range of bytes, or the whole.

/// Which bytes of an object are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of them: no range, several, or none that we understand (14.2: then the header is ignored).
    Whole,
    /// From `first` to `last`, both included.
    Part {
        /// First byte.
        first: u64,
        /// Last byte.
        last: u64,
    },
    /// A range that the object does not reach: 416.
    Beyond,
}

/// Reads a Range header against an object's size.
pub(crate) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(spec) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return Wanted::Whole;
    };
    let Some((first, last)) = spec.trim().split_once('-') else { return Wanted::Whole };
    let number = |text: &str| {
        Some(text).filter(|text| text.bytes().all(|b| b.is_ascii_digit())).and_then(|t| t.parse::<u64>().ok())
    };
    match (first, last) {
        ("", suffix) => match number(suffix) {
            None => Wanted::Whole,
            Some(0) => Wanted::Beyond,
            Some(_) if size == 0 => Wanted::Beyond,
            Some(suffix) => Wanted::Part { first: size.saturating_sub(suffix), last: size - 1 },
        },
        (first, "") => match number(first) {
            None => Wanted::Whole,
            Some(first) if first >= size => Wanted::Beyond,
            Some(first) => Wanted::Part { first, last: size - 1 },
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first > last => Wanted::Whole,
            (Some(first), Some(_)) if first >= size => Wanted::Beyond,
            (Some(first), Some(last)) => Wanted::Part { first, last: last.min(size - 1) },
            _ => Wanted::Whole,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let part = |first, last| Wanted::Part { first, last };
        for (header, expected) in [
            ("bytes=0-0", part(0, 0)),
            ("bytes=2-5", part(2, 5)),
            ("bytes=2-99", part(2, 9)),
            ("bytes=9-", part(9, 9)),
            ("bytes=-3", part(7, 9)),
            ("bytes=-99", part(0, 9)),
            ("bytes=10-", Wanted::Beyond),
            ("bytes=10-12", Wanted::Beyond),
            ("bytes=-0", Wanted::Beyond),
            ("bytes=5-2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("items=0-1", Wanted::Whole),
        ] {
            assert_eq!(wanted(Some(header), 10), expected, "{header}");
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=-1"), 0), Wanted::Beyond, "an empty object has no last byte");
    }
}
