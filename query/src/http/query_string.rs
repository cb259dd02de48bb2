//! Query strings, read strictly: every fault is named at once, and a parameter that is not known is a fault, because a
//! misspelt filter that is ignored answers another question than the one asked.

use api::page::{LIMIT_DEFAULT, LIMIT_MAX};
use api::{ApiError, Detail, decode_cursor, parse_limit};
use events::Timestamp;
use serde::de::DeserializeOwned;
use url::form_urlencoded;

/// A query string and the faults found in it so far.
#[derive(Debug, Default)]
pub(crate) struct QueryString {
    pairs: Vec<(String, String)>,
    faults: Vec<Detail>,
}

impl QueryString {
    /// Reads the query string of an endpoint that takes the parameters `known`; one that ends in `[key]` takes any key.
    pub(crate) fn parse(text: Option<&str>, known: &[&str]) -> QueryString {
        let pairs: Vec<(String, String)> =
            form_urlencoded::parse(text.unwrap_or_default().as_bytes()).into_owned().collect();
        let mut faults: Vec<Detail> = Vec::new();
        for (number, (name, _)) in pairs.iter().enumerate() {
            let fault = |code: &str, message: String| Detail::new(clip(name), code, message);
            if !known.iter().any(|known| is_named(name, known)) {
                let message = match known {
                    [] => "it is not known; this endpoint takes no query parameters".to_owned(),
                    known => format!("it is not known; this endpoint takes {}", known.join(", ")),
                };
                faults.push(fault("unknown_parameter", message));
            } else if pairs[..number].iter().any(|(earlier, _)| earlier == name) {
                faults.push(fault("repeated", "it is given more than once".to_owned()));
            }
        }
        QueryString { pairs, faults }
    }

    /// Nothing, or every fault that was found.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        if self.faults.is_empty() { Ok(()) } else { Err(ApiError::invalid_request(self.faults)) }
    }

    /// The value of this name, if it is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Every `name[key]` with its value.
    pub(crate) fn keyed(&self, name: &str) -> Vec<(String, String)> {
        let key =
            |found: &str| Some(found.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')?.to_owned());
        self.pairs.iter().filter_map(|(found, value)| Some((key(found)?, value.clone()))).collect()
    }

    /// An ISO 8601 instant.
    pub(crate) fn instant(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.get(name)?;
        let read = Timestamp::parse(text).ok_or_else(|| {
            let message = format!(
                "it is {:?}; an ISO 8601 instant with its zone is expected, like 2026-01-02T03:04:05Z",
                clip(text)
            );
            Detail::new(name, "malformed_value", message)
        });
        self.keep(read)
    }

    /// A whole number from `min` to `max`.
    pub(crate) fn number(&mut self, name: &str, min: u64, max: u64) -> Option<u64> {
        let text = self.get(name)?;
        let number = text.parse::<u64>().ok().filter(|number| (min..=max).contains(number));
        let read = number.ok_or_else(|| {
            let allowed =
                if max == u64::MAX { format!("from {min} on") } else { format!("from {min} to {max}") };
            let message = format!("it is {:?}; allowed are whole numbers {allowed}", clip(text));
            Detail::new(name, "out_of_range", message)
        });
        self.keep(read)
    }

    /// One of a closed set of words, which `parse` knows and `allowed` lists.
    pub(crate) fn word<T>(
        &mut self,
        name: &str,
        allowed: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.get(name)?;
        let read = parse(text).ok_or_else(|| {
            Detail::new(name, "unknown_value", format!("it is {:?}; allowed are {allowed}", clip(text)))
        });
        self.keep(read)
    }

    /// How many entries a page has: 1 to `max`, `default` where it is absent.
    pub(crate) fn limit(&mut self, default: u32, max: u32) -> u32 {
        let read = parse_limit(self.get("limit"), default, max);
        self.keep(read).unwrap_or(default)
    }

    /// Where a page begins.
    pub(crate) fn cursor<T: DeserializeOwned>(&mut self) -> Option<T> {
        let read = self.get("cursor").map(decode_cursor).transpose();
        self.keep(read).flatten()
    }

    /// Notes a fault.
    pub(crate) fn fault(&mut self, fault: Detail) {
        self.faults.push(fault);
    }

    fn keep<T>(&mut self, read: Result<T, Detail>) -> Option<T> {
        read.map_err(|fault| self.faults.push(fault)).ok()
    }
}

/// The query parameters of a list that is only paged; `C` is what its cursors say.
#[derive(Debug)]
pub(crate) struct PageParameters<C> {
    /// Entries of a page: 1–100, 20 unless given.
    pub(crate) limit: u32,
    /// `next_cursor` of the page before.
    pub(crate) cursor: Option<C>,
}

/// The names of [`PageParameters`].
pub(crate) const PAGE_PARAMETERS: &[&str] = &["limit", "cursor"];

impl<C: DeserializeOwned> PageParameters<C> {
    /// # Errors
    /// 422 naming every bad parameter.
    pub(crate) fn read(query: Option<&str>) -> Result<PageParameters<C>, ApiError> {
        let mut query = QueryString::parse(query, PAGE_PARAMETERS);
        let limit = query.limit(LIMIT_DEFAULT, LIMIT_MAX);
        let parameters = PageParameters { limit, cursor: query.cursor() };
        query.finish().map(|()| parameters)
    }
}

/// Whether a parameter is the one that is known as `known`.
fn is_named(name: &str, known: &str) -> bool {
    match known.strip_suffix("[key]") {
        Some(prefix) => {
            name.strip_prefix(prefix).is_some_and(|key| key.starts_with('[') && key.ends_with(']'))
        }
        None => name == known,
    }
}

/// As much of a client's text as a message repeats.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(query: QueryString) -> Vec<(String, String)> {
        query.faults.into_iter().map(|fault| (fault.path, fault.code)).collect()
    }

    #[test]
    fn keyed_pairs_are_found_and_empty_is_absent() {
        let text = "a=1&metadata%5Bk+1%5D=v%26&metadata[]=&e=";
        let query = QueryString::parse(Some(text), &["a", "e", "metadata[key]"]);
        assert_eq!((query.get("a"), query.get("e")), (Some("1"), None), "empty is absent");
        let keyed = [("k 1".to_owned(), "v&".to_owned()), (String::new(), String::new())];
        assert_eq!(query.keyed("metadata"), keyed);
        assert!(query.finish().is_ok(), "nothing is wrong with it");
    }

    #[test]
    fn what_is_unknown_or_given_twice_is_a_fault() {
        let text = "stauts=failed&limit=1&limit=2&metadata=x&metadata[a]=1&metadata[a]=2&metadata[b]=1";
        let query = QueryString::parse(Some(text), &["status", "limit", "metadata[key]"]);
        assert!(
            query.faults[0].message.ends_with("takes status, limit, metadata[key]"),
            "it lists what is known"
        );
        let expected = [
            ("stauts", "unknown_parameter"),
            ("limit", "repeated"),
            ("metadata", "unknown_parameter"),
            ("metadata[a]", "repeated"),
        ];
        assert_eq!(faults(query), expected.map(|(path, code)| (path.to_owned(), code.to_owned())));
    }

    #[test]
    fn values_out_of_form_are_faults_naming_what_is_allowed() {
        let text = "wait=61&at=yesterday&limit=0&cursor=x&status=done";
        let mut query = QueryString::parse(Some(text), &["wait", "at", "limit", "cursor", "status"]);
        assert_eq!(query.number("wait", 0, 60), None);
        assert!(query.faults[0].message.contains("0 to 60"), "{:?}", query.faults[0]);
        assert_eq!((query.instant("at"), query.limit(20, 100), query.cursor::<u64>()), (None, 20, None));
        assert_eq!(query.word("status", "a, b", |_| None::<()>), None);
        assert_eq!(query.number("none", 0, 1), None, "absent is no fault");
        let paths: Vec<_> = faults(query).into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["wait", "at", "limit", "cursor", "status"]);
    }
}
