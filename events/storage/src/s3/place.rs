//! Where an S3 store is, and with whose permission: read from what the operator wrote, refused with the reason.

use std::fmt;
use std::str::FromStr;

use object_store::aws::AmazonS3ConfigKey;
use thiserror::Error;
use url::Url;

use crate::key;

/// A bucket and the prefix below which our objects lie in it: `s3://bucket/prefix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Place {
    pub(crate) bucket: String,
    /// Without slashes at its ends; empty: the whole bucket.
    pub(crate) prefix: String,
}

/// No place in an S3 store.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// The text is no address of a bucket.
    #[error(
        "could not use {0:?} as a place for objects: expected s3://bucket or s3://bucket/prefix, the bucket of 3 to 63 \
         characters a-z 0-9 . -, the prefix of segments of A-Z a-z 0-9 . _ -"
    )]
    Place(String),
    /// The endpoint is no address of a server.
    #[error(
        "could not use {0:?} as an S3 endpoint: expected https://host or https://host:port and nothing more"
    )]
    Endpoint(String),
    /// The endpoint would be spoken to in clear.
    #[error(
        "could not use {url} as an S3 endpoint: objects would travel in clear; use https://, or allow this host by name \
         with --s3-allow-http {host}"
    )]
    Clear {
        /// What was given.
        url: String,
        /// Its host.
        host: String,
    },
}

impl S3Place {
    /// The prefix of every such place.
    pub const SCHEME: &'static str = "s3://";

    /// The key in the bucket of the object with our `key`; an empty one is the prefix itself.
    pub(crate) fn key(&self, key: &str) -> String {
        match (self.prefix.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (false, true) => self.prefix.clone(),
            (false, false) => format!("{}/{key}", self.prefix),
        }
    }

    /// Our key of an object in the bucket; `None` for one that is not ours.
    pub(crate) fn ours<'k>(&self, key: &'k str) -> Option<&'k str> {
        let rest =
            if self.prefix.is_empty() { key } else { key.strip_prefix(&self.prefix)?.strip_prefix('/')? };
        key::check(rest).is_ok().then_some(rest)
    }

    /// An object's full name, for messages.
    pub(crate) fn name(&self, key: &str) -> String {
        format!("{}{}/{}", S3Place::SCHEME, self.bucket, self.key(key))
    }
}

impl FromStr for S3Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<S3Place, PlaceError> {
        let refused = || PlaceError::Place(text.to_owned());
        let rest = text.strip_prefix(S3Place::SCHEME).ok_or_else(refused)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        let is_bucket = (3..=63).contains(&bucket.len())
            && bucket
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'))
            && bucket.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !is_bucket || !(prefix.is_empty() || key::check(prefix).is_ok()) {
            return Err(refused());
        }
        Ok(S3Place { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for S3Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", S3Place::SCHEME, self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

/// The address of a server that speaks S3, with the bucket in its host's name unless it goes into the path.
///
/// # Errors
/// Where it is none, or one in clear that was not allowed by name.
pub(crate) fn endpoint(
    text: &str,
    bucket: &str,
    path_style: bool,
    allow_http: &[String],
) -> Result<String, PlaceError> {
    let refused = || PlaceError::Endpoint(text.to_owned());
    let mut url = Url::parse(text).map_err(|_no_url| refused())?;
    let host = url.host_str().ok_or_else(refused)?.to_owned();
    let is_bare = url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none();
    if !is_bare || !matches!(url.scheme(), "http" | "https") {
        // Userinfo would be a secret in a message.
        let shown = if url.username().is_empty() && url.password().is_none() { text } else { "…" };
        return Err(PlaceError::Endpoint(shown.to_owned()));
    }
    if url.scheme() == "http" && !allow_http.contains(&host) {
        return Err(PlaceError::Clear { url: text.to_owned(), host });
    }
    if !path_style {
        url.set_host(Some(&format!("{bucket}.{host}"))).map_err(|_no_host| refused())?;
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// What says who we are to the store: keys, or where to get them. Never shown.
#[derive(Clone, Default)]
pub struct S3Credentials(Vec<(AmazonS3ConfigKey, String)>);

/// The variables of the environment that are read, as AWS's own tools name them. Without any of these the machine's role
/// is asked for.
const VARIABLES: [(&str, AmazonS3ConfigKey); 11] = [
    ("AWS_ACCESS_KEY_ID", AmazonS3ConfigKey::AccessKeyId),
    ("AWS_SECRET_ACCESS_KEY", AmazonS3ConfigKey::SecretAccessKey),
    ("AWS_SESSION_TOKEN", AmazonS3ConfigKey::Token),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
    ("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName),
    ("AWS_ENDPOINT_URL_STS", AmazonS3ConfigKey::StsEndpoint),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", AmazonS3ConfigKey::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", AmazonS3ConfigKey::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", AmazonS3ConfigKey::ContainerAuthorizationTokenFile),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT", AmazonS3ConfigKey::MetadataEndpoint),
];

impl S3Credentials {
    /// Those that the environment names, read by `variable`; an empty variable is none.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> S3Credentials {
        let given = VARIABLES.into_iter().filter_map(|(name, key)| {
            let value = variable(name).filter(|value| !value.is_empty())?;
            Some((key, value))
        });
        S3Credentials(given.collect())
    }

    pub(crate) fn settings(&self) -> impl Iterator<Item = (AmazonS3ConfigKey, &str)> {
        self.0.iter().map(|(key, value)| (*key, value.as_str()))
    }

    /// The same text without any of what is secret here.
    pub(crate) fn conceal(&self, text: &str) -> String {
        let secrets = self.0.iter().filter(|(key, _)| {
            matches!(
                key,
                AmazonS3ConfigKey::AccessKeyId
                    | AmazonS3ConfigKey::SecretAccessKey
                    | AmazonS3ConfigKey::Token
            )
        });
        secrets.fold(text.to_owned(), |text, (_, secret)| text.replace(secret.as_str(), "…"))
    }
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Credentials").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_bucket_and_perhaps_a_prefix() {
        for (text, bucket, prefix) in [
            ("s3://films", "films", ""),
            ("s3://films/", "films", ""),
            ("s3://films.example-1/a/b_c/", "films.example-1", "a/b_c"),
        ] {
            let place: S3Place = text.parse().expect(text);
            assert_eq!((place.bucket.as_str(), place.prefix.as_str()), (bucket, prefix), "{text}");
        }
        for text in [
            "films",
            "s3://",
            "s3://ab",
            "s3://Films",
            "s3://fi lms",
            "s3://films//a",
            "s3://films/../a",
            "gs://films",
        ] {
            assert!(text.parse::<S3Place>().is_err(), "{text} is no place");
        }
    }

    #[test]
    fn keys_lie_below_the_prefix_and_others_are_not_ours() {
        let place: S3Place = "s3://films/a/b".parse().expect("a place");
        assert_eq!(place.key("renders/x"), "a/b/renders/x");
        assert_eq!(place.ours("a/b/renders/x"), Some("renders/x"));
        for foreign in ["a/b", "a/bc/x", "c/x", "a/b//x", "a/b/ü"] {
            assert_eq!(place.ours(foreign), None, "{foreign}");
        }
        let whole: S3Place = "s3://films".parse().expect("a place");
        assert_eq!((whole.key("x"), whole.ours("x/y")), ("x".to_owned(), Some("x/y")));
        assert_eq!(place.name("x"), "s3://films/a/b/x");
    }

    #[test]
    fn an_endpoint_holds_the_bucket_where_its_style_says() {
        let at =
            |path_style| endpoint("https://s3.example:9000", "films", path_style, &[]).expect("an endpoint");
        assert_eq!(at(true), "https://s3.example:9000");
        assert_eq!(at(false), "https://films.s3.example:9000");
    }

    #[test]
    fn what_travels_in_clear_is_allowed_by_name_or_refused_with_the_remedy() {
        let allowed = ["minio".to_owned()];
        assert!(endpoint("http://minio:9000", "films", true, &allowed).is_ok());
        let refused =
            endpoint("http://other:9000", "films", true, &allowed).expect_err("not named").to_string();
        assert!(refused.contains("--s3-allow-http other"), "{refused}");
    }

    #[test]
    fn no_endpoint_holds_more_than_a_server_and_no_message_its_password() {
        for text in ["ftp://a", "https://a/b", "https://a?b", "a", "https://u:hunter2@a"] {
            let refused = endpoint(text, "films", true, &[]).expect_err(text).to_string();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }

    #[test]
    fn credentials_are_never_shown() {
        let credentials = S3Credentials::from_environment(|name| Some(format!("secret of {name}")));
        assert!(!format!("{credentials:?}").contains("secret"), "{credentials:?}");
        let text = credentials.conceal("said: secret of AWS_SECRET_ACCESS_KEY, secret of AWS_SESSION_TOKEN.");
        assert_eq!(text, "said: …, ….");
    }
}
