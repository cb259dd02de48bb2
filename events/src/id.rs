//! Typed identifiers: a prefix, `_` and 26 characters of Crockford base32.
//!
//! Identifiers are made at the edge ([`RenderId::new`] takes the 128 bits); nothing here draws randomness.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use ulid::Ulid;

/// The text is not an identifier of the expected kind.
#[derive(Debug, Error)]
#[error("{found:?} is no identifier of the form {prefix}_ and 26 characters of Crockford base32")]
pub struct ParseIdError {
    /// What was expected.
    pub prefix: &'static str,
    /// What was found.
    pub found: String,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(u128);

        impl $name {
            /// What stands before the `_`.
            pub const PREFIX: &'static str = $prefix;

            /// The identifier with these 128 bits; time-ordered bits (UUIDv7, ULID) keep identifiers sortable.
            #[must_use]
            pub const fn new(bits: u128) -> Self {
                Self(bits)
            }

            /// The 128 bits.
            #[must_use]
            pub const fn bits(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", $prefix, Ulid(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let fault = || ParseIdError { prefix: $prefix, found: text.chars().take(64).collect() };
                let rest = text.strip_prefix(concat!($prefix, "_")).ok_or_else(fault)?;
                let id = Ulid::from_string(rest).map(|ulid| Self(ulid.0)).map_err(|_invalid| fault())?;
                // One spelling only: lower case and the look-alikes that Crockford allows would be second names.
                if id.to_string() == text { Ok(id) } else { Err(fault()) }
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                // The first of 26 characters holds 3 of the 128 bits.
                json_schema!({ "type": "string", "pattern": concat!("^", $prefix, "_[0-7][0-9A-HJKMNP-TV-Z]{25}$") })
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;
            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }
    )*};
}

ids! {
    /// A render job; its stream's name.
    RenderId = "render";
    /// A workspace; its stream's name.
    WorkspaceId = "ws";
    /// An API key.
    KeyId = "key";
    /// An event of the log: the same 128 bits that the log stores as a UUIDv7.
    EventId = "evt";
    /// One webhook delivery: an event on its way to an endpoint.
    DeliveryId = "dlv";
    /// One attempt of a delivery.
    AttemptId = "att";
    /// A webhook endpoint.
    WebhookId = "wh";
    /// A worker process, from its start to its end.
    WorkerId = "worker";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_reads_back_what_it_wrote() {
        let id = RenderId::new(0x0190_1234_5678_7abc_8def_0123_4567_89ab);
        assert_eq!(id.to_string().len(), "render_".len() + 26, "prefix and 26 characters");
        assert_eq!(id.to_string().parse::<RenderId>().expect("its own text"), id);
    }

    #[test]
    fn another_kind_of_identifier_is_refused() {
        let id = WorkspaceId::new(7).to_string();
        assert!(id.parse::<RenderId>().is_err(), "a workspace is no render");
        let lower = RenderId::new(u128::MAX / 3).to_string().to_lowercase();
        assert!(lower.parse::<RenderId>().is_err(), "lower case would be a second spelling");
    }
}
