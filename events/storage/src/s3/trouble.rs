//! What an S3 store's failures mean to us, in words that hold no secret.

use std::io;

use object_store::Error;

use crate::port::StorageError;
use crate::s3::place::S3Credentials;

/// The longest a store is quoted.
const QUOTE_CHARS_MAX: usize = 300;

/// Codes by which stores say that there is no room.
const FULL: [&str; 4] =
    ["XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientStorage"];

/// What kept an object from being stored or read.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The store said no, or nothing.
    Store(Error),
    /// Our own disk.
    Disk(io::Error),
    /// The bytes are not those that were stored.
    Changed,
    /// Whoever watched ended it.
    GivenUp,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Store(error)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Disk(error)
    }
}

impl Trouble {
    /// The port's error about the object called `name`.
    pub(crate) fn told(self, doing: &'static str, name: String, credentials: &S3Credentials) -> StorageError {
        let key = name;
        match self {
            Trouble::Changed => StorageError::Changed { key },
            Trouble::GivenUp => StorageError::GivenUp { key },
            Trouble::Disk(source) => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageError::Full { key },
                _ => StorageError::Io { doing, key, source },
            },
            Trouble::Store(error) => {
                let text = chain(&error);
                let code = code(&text);
                if code.is_some_and(|code| FULL.contains(&code)) || text.contains("507 ") {
                    return StorageError::Full { key };
                }
                // Without its bucket everything would seem to have been deleted.
                if matches!(error, Error::NotFound { .. }) && code != Some("NoSuchBucket") {
                    return StorageError::NotFound { key };
                }
                StorageError::Io { doing, key, source: io::Error::other(said(&error, credentials)) }
            }
        }
    }
}

/// What a store said, in short: its status and code, or what broke on the way. Its own text is left out: it may repeat the
/// request that it refused, with tokens.
pub(crate) fn said(error: &Error, credentials: &S3Credentials) -> String {
    let text = chain(error);
    let ours = text.split(['<', '{']).next().unwrap_or_default().trim_end_matches([' ', ':', '-']);
    let quote: String = credentials.conceal(ours).chars().take(QUOTE_CHARS_MAX).collect();
    match code(&text) {
        Some(code) => format!("{quote} ({code})"),
        None => quote,
    }
}

/// The error as it shows itself; the innermost cause is added where it does not show it.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// S3's own name of the fault, from its XML.
fn code(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    (code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> Error {
        let text = format!(
            "Error performing PUT https://s3.example/films/x in 3ms - Server returned non-2xx status code: 403 Forbidden: {body}"
        );
        Error::Generic { store: "S3", source: text.into() }
    }

    fn credentials() -> S3Credentials {
        S3Credentials::from_environment(|name| {
            (name == "AWS_ACCESS_KEY_ID").then(|| "AKIDEXAMPLE".to_owned())
        })
    }

    #[test]
    fn a_store_is_quoted_without_what_it_repeats() {
        let error = refused(
            "<Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>AKIDEXAMPLE</AWSAccessKeyId><CanonicalRequest>x-amz-security-token:hunter2</CanonicalRequest></Error>",
        );
        let said = said(&error, &credentials());
        assert!(said.contains("403 Forbidden (SignatureDoesNotMatch)"), "{said}");
        assert!(!said.contains("hunter2") && !said.contains("AKIDEXAMPLE"), "{said}");
    }

    #[test]
    fn a_key_anywhere_in_the_text_is_concealed() {
        let said = said(&refused("AKIDEXAMPLE is unknown"), &credentials());
        assert!(said.contains("… is unknown"), "{said}");
    }

    #[test]
    fn a_missing_bucket_is_not_a_deleted_film() {
        let missing = |body: &str| {
            let error = Error::NotFound { path: "x".to_owned(), source: body.to_owned().into() };
            Trouble::Store(error).told("read", "s3://films/x".to_owned(), &credentials())
        };
        assert!(matches!(missing("<Code>NoSuchKey</Code>"), StorageError::NotFound { .. }));
        assert!(matches!(missing("<Code>NoSuchBucket</Code>"), StorageError::Io { .. }));
    }

    #[test]
    fn a_full_store_says_so() {
        for body in ["<Code>XMinioStorageFull</Code>", "<Code>QuotaExceeded</Code>"] {
            let told = Trouble::Store(refused(body)).told("store", "s3://films/x".to_owned(), &credentials());
            assert!(matches!(told, StorageError::Full { .. }), "{body}: {told:?}");
        }
    }
}
