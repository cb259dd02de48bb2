//! Texts on their way out of the house: addresses without what may be secret in them, and no longer than needed.
//!
//! Whoever writes a message leaves secrets out already; here is the one place where all of them pass, so that a message
//! written carelessly tells nothing either.

/// The longest text that leaves, characters.
pub const TEXT_CHARS_MAX: usize = 2000;

/// Where an address in a sentence ends, beside white space: what no address holds unescaped, and sentences put around it.
const ENDS: &[char] = &['"', '<', '>'];

/// The text without user names, passwords, queries and fragments of addresses in it, and without names of workers;
/// cut where it is longer than [`TEXT_CHARS_MAX`].
#[must_use]
pub fn redact(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        let end = after.find(|c: char| c.is_whitespace() || ENDS.contains(&c)).unwrap_or(after.len());
        shown.push_str(before);
        push_address(&mut shown, &after[..end]);
        rest = &after[end..];
    }
    shown.push_str(rest);
    clip(&without_workers(&shown))
}

/// What follows `://`: host and path stay, also of an address inside the path.
fn push_address(shown: &mut String, address: &str) {
    let open = address.find(['?', '#']).map_or(address, |secret| &address[..secret]);
    for (number, part) in open.split("://").enumerate() {
        if number > 0 {
            shown.push_str("://");
        }
        let (authority, path) = part.split_at(part.find('/').unwrap_or(part.len()));
        shown.push_str(authority.rsplit_once('@').map_or(authority, |(_userinfo, host)| host));
        shown.push_str(path);
    }
    if open.len() < address.len() {
        shown.push('…');
    }
}

fn without_workers(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("worker_") {
        let (before, found) = rest.split_at(at);
        shown.push_str(before);
        let end = found.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(found.len());
        shown.push_str(if found[..end].parse::<crate::WorkerId>().is_ok() {
            "a worker"
        } else {
            &found[..end]
        });
        rest = &found[end..];
    }
    shown.push_str(rest);
    shown
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::WorkerId;

    #[test]
    fn addresses_keep_host_and_path_only() {
        for (text, shown) in [
            (
                "could not fetch https://me:pw@h.example:81/a/b.mp4?token=s#f: refused",
                "could not fetch https://h.example:81/a/b.mp4… refused",
            ),
            ("\"http://h.example\" and http://u@h.example/x", "\"http://h.example\" and http://h.example/x"),
            ("s3://key@bucket?sig=1", "s3://bucket…"),
            ("https://a@b@h.example/?q", "https://h.example/…"),
            ("nothing to hide: a://", "nothing to hide: a://"),
        ] {
            assert_eq!(redact(text), shown);
        }
    }

    #[test]
    fn workers_stay_nameless_and_other_words_stay() {
        let worker = WorkerId::new(7);
        assert_eq!(redact(&format!("{worker} was lost, worker_x not")), "a worker was lost, worker_x not");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let shown = redact(&"ü".repeat(TEXT_CHARS_MAX + 1));
        assert_eq!(shown.chars().count(), TEXT_CHARS_MAX + 1);
        assert!(shown.ends_with("ü…"), "cut");
    }

    proptest! {
        #[test]
        fn no_password_and_no_query_survives(
            before in "[ -~]{0,20}", user in "[a-z]{1,5}", path in "(/[a-z]{1,5}){0,3}", after in "( [ -~]{0,20})?"
        ) {
            let text = format!("{before}http://{user}:S3CRET@h.example{path}?k=S3CRET{after}");
            prop_assert!(!redact(&text).contains("S3CRET"), "{}", redact(&text));
        }
    }
}
