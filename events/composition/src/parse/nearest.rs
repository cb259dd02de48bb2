//! The known word that a misspelt one was probably meant to be.
//!
//! Bounded in what it costs: see [`super::report::Report::hint`].

/// Longer words are no slips of the pen, and comparing them would cost their length squared.
const CHARS_MAX: usize = 48;

/// The nearest of `known`, where one is near: at most a third of the letters differ.
#[must_use]
pub fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let length = word.chars().take(CHARS_MAX + 1).count();
    if length > CHARS_MAX {
        return None;
    }
    let plain = word.to_ascii_lowercase().replace(['-', ' '], "_");
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&plain, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (length.min(candidate.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_of_the_pen_find_the_word_that_was_meant() {
        for (given, meant) in [
            ("multply", "multiply"),
            ("color-burn", "color_burn"),
            ("MULTIPLY", "multiply"),
            ("mutliply", "multiply"),
        ] {
            assert_eq!(nearest(given, ["none", "multiply", "color_burn"]), Some(meant), "for {given}");
        }
    }

    #[test]
    fn quite_another_word_finds_nothing() {
        assert_eq!(nearest("sepia", ["none", "multiply"]), None);
        assert_eq!(nearest(&"multiply".repeat(1_000_000), ["multiply"]), None, "however long it is");
        assert_eq!(nearest("", ["multiply"]), None, "or empty");
    }
}
