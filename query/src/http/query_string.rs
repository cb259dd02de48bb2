//! Query strings as lists of pairs: repeated names and `metadata[key]` are meaningful here.

use api::Detail;
use events::Timestamp;
use url::form_urlencoded;

/// The pairs of a query string.
#[derive(Debug, Default)]
pub(crate) struct QueryString(Vec<(String, String)>);

impl QueryString {
    pub(crate) fn parse(text: Option<&str>) -> QueryString {
        QueryString(form_urlencoded::parse(text.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// The last value of this name, if it is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let last = self.0.iter().rev().find(|(found, _)| found == name);
        last.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Every `name[key]` with its value.
    pub(crate) fn keyed(&self, name: &str) -> Vec<(String, String)> {
        let key =
            |found: &str| Some(found.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')?.to_owned());
        self.0.iter().filter_map(|(found, value)| Some((key(found)?, value.clone()))).collect()
    }

    /// An ISO 8601 instant.
    pub(crate) fn instant(&self, name: &str) -> Result<Option<Timestamp>, Detail> {
        let Some(text) = self.get(name) else { return Ok(None) };
        Timestamp::parse(text).map(Some).ok_or_else(|| {
            let message = format!(
                "it is {:?}; an ISO 8601 instant with its zone is expected, like 2026-01-02T03:04:05Z",
                clip(text)
            );
            Detail::new(name, "malformed_value", message)
        })
    }

    /// A whole number from `min` to `max`.
    pub(crate) fn number(&self, name: &str, min: u64, max: u64) -> Result<Option<u64>, Detail> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let number = text.parse::<u64>().ok().filter(|number| (min..=max).contains(number));
        number.map(Some).ok_or_else(|| {
            let allowed =
                if max == u64::MAX { format!("from {min} on") } else { format!("from {min} to {max}") };
            Detail::new(
                name,
                "out_of_range",
                format!("it is {:?}; allowed are whole numbers {allowed}", clip(text)),
            )
        })
    }
}

/// As much of a client's text as a message repeats.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyed_pairs_are_found_and_the_last_of_a_name_counts() {
        let query = QueryString::parse(Some("a=1&a=2&metadata%5Bk+1%5D=v%26&metadata[]=&metadata=x&e="));
        assert_eq!(query.get("a"), Some("2"));
        assert_eq!(query.get("e"), None, "empty is absent");
        let keyed = [("k 1".to_owned(), "v&".to_owned()), (String::new(), String::new())];
        assert_eq!(query.keyed("metadata"), keyed);
    }

    #[test]
    fn numbers_and_instants_out_of_form_are_faults_naming_what_is_allowed() {
        let query = QueryString::parse(Some("wait=61&at=yesterday"));
        assert!(query.number("wait", 0, 60).expect_err("too long").message.contains("0 to 60"));
        assert_eq!(query.instant("at").expect_err("no instant").path, "at");
        assert_eq!(query.number("none", 0, 1), Ok(None));
    }
}
