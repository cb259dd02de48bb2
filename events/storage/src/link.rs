//! Signed links: addresses of stored objects that open one object, under one name, until one instant.
//!
//! `{public_url}/v1/artifacts/{key}?exp=<unix seconds>&name=<file name>&type=<media type>&sig=<base64url>`. The
//! signature covers everything that the answer depends on; a link made twice from the same facts is the same link, so a
//! replayed webhook repeats its bytes. Must not know: whether the object exists, clocks.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use events::Timestamp;
use events::render::Artifact;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use thiserror::Error;
use url::form_urlencoded;

use crate::key;

/// How long an artifact and its links live after the job's completion, unless the installation says otherwise: 30 days.
pub const ARTIFACT_RETENTION_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// The path below which links are served.
pub const LINK_PATH: &str = "/v1/artifacts/";

/// Separates this use of the key from every other, present or future.
const DOMAIN: &[u8] = b"framelane artifact link 1";

/// Makes and checks signed links.
#[derive(Clone)]
pub struct LinkSigner {
    public_url: String,
    key: [u8; 32],
    retention_ms: i64,
}

/// What a valid link opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The object.
    pub key: String,
    /// What a download is called, with extension.
    pub filename: String,
    /// The media type to serve it with; `None`: unknown bytes.
    pub content_type: Option<String>,
    /// When the link ends, whole seconds.
    pub expires: Timestamp,
}

/// Why a link opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It was ours, but its time has passed.
    #[error("the link has expired")]
    Expired,
    /// It is not one we made.
    #[error("the link's signature does not match")]
    Bad,
}

impl LinkSigner {
    /// A signer for links below `public_url` (scheme, host, port, perhaps a path).
    #[must_use]
    pub fn new(public_url: &str, key: [u8; 32]) -> LinkSigner {
        let public_url = public_url.trim_end_matches('/').to_owned();
        LinkSigner { public_url, key, retention_ms: ARTIFACT_RETENTION_MS }
    }

    /// The same where artifacts are kept for this long.
    #[must_use]
    pub fn keeping(self, retention_ms: i64) -> LinkSigner {
        LinkSigner { retention_ms, ..self }
    }

    /// When the artifact of a job that was completed at this instant is deleted.
    #[must_use]
    pub fn kept_until(&self, completed_at: Timestamp) -> Timestamp {
        completed_at.plus_ms(self.retention_ms)
    }

    /// The address of the object `key` until `expires` (rounded down to seconds).
    #[must_use]
    pub fn link(&self, key: &str, filename: &str, content_type: Option<&str>, expires: Timestamp) -> String {
        let expires = expires.unix_seconds().to_string();
        let signature =
            self.mac(key, &expires, filename, content_type.unwrap_or_default()).finalize().into_bytes();
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("exp", &expires).append_pair("name", filename);
        if let Some(content_type) = content_type {
            query.append_pair("type", content_type);
        }
        query.append_pair("sig", &URL_SAFE_NO_PAD.encode(signature));
        format!("{}{LINK_PATH}{key}?{}", self.public_url, query.finish())
    }

    /// The address of a finished film for as long as it is kept: the same in every answer, webhook and replay.
    #[must_use]
    pub fn artifact(&self, artifact: &Artifact, completed_at: Timestamp) -> String {
        let expires = self.kept_until(completed_at);
        self.link(&artifact.object.key, &artifact.filename, Some(&artifact.content_type), expires)
    }

    /// What the link with this path (behind [`LINK_PATH`]) and query opens at `now`.
    ///
    /// # Errors
    /// [`Refusal`]; whether a signature matches is found out in constant time.
    pub fn verify(&self, path: &str, query: &str, now: Timestamp) -> Result<Grant, Refusal> {
        key::check(path).map_err(|_no_key_of_ours| Refusal::Bad)?;
        let (mut exp, mut name, mut content_type, mut sig) = (None, None, None, None);
        for (field, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match field.as_ref() {
                "exp" => &mut exp,
                "name" => &mut name,
                "type" => &mut content_type,
                "sig" => &mut sig,
                _ => return Err(Refusal::Bad),
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(Refusal::Bad);
            }
        }
        let (Some(exp), Some(filename), Some(sig)) = (exp, name, sig) else { return Err(Refusal::Bad) };
        let signature = URL_SAFE_NO_PAD.decode(sig).map_err(|_not_base64| Refusal::Bad)?;
        self.mac(path, &exp, &filename, content_type.as_deref().unwrap_or_default())
            .verify_slice(&signature)
            .map_err(|_differs| Refusal::Bad)?;
        let seconds: i64 = exp.parse().map_err(|_not_a_number| Refusal::Bad)?;
        let expires = Timestamp(seconds.saturating_mul(1_000_000));
        if now >= expires {
            return Err(Refusal::Expired);
        }
        Ok(Grant { key: path.to_owned(), filename, content_type, expires })
    }

    /// Each field goes in as its length and its bytes: no two sets of fields read the same.
    fn mac(&self, key: &str, expires: &str, filename: &str, content_type: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of every length");
        mac.update(DOMAIN);
        for field in [key, expires, filename, content_type] {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field.as_bytes());
        }
        mac
    }
}

impl fmt::Debug for LinkSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkSigner").field("public_url", &self.public_url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

    fn signer() -> LinkSigner {
        LinkSigner::new("https://films.example/", [7; 32])
    }

    /// Path and query of a link, as a server sees them.
    fn parts(link: &str) -> (String, String) {
        let rest = link.strip_prefix("https://films.example/v1/artifacts/").expect("below the public URL");
        let (path, query) = rest.split_once('?').expect("a query");
        (path.to_owned(), query.to_owned())
    }

    #[test]
    fn a_link_opens_what_it_was_made_for() {
        let expires = NOW.plus_ms(60_000);
        let link =
            signer().link("renders/r/assemble/9-ab", "my film & \"more\" ü.mp4", Some("video/mp4"), expires);
        let (path, query) = parts(&link);
        let grant = signer().verify(&path, &query, NOW).expect("fresh and ours");
        assert_eq!(grant.key, "renders/r/assemble/9-ab");
        assert_eq!(grant.filename, "my film & \"more\" ü.mp4");
        assert_eq!(grant.content_type.as_deref(), Some("video/mp4"));
        assert_eq!(grant.expires, expires);
    }

    #[test]
    fn the_same_facts_make_the_same_link() {
        let make = || signer().link("a/b", "c.png", None, NOW);
        assert_eq!(make(), make());
    }

    #[test]
    fn a_link_ends_at_its_instant() {
        let (path, query) = parts(&signer().link("a/b", "c.png", None, NOW));
        assert!(signer().verify(&path, &query, NOW.plus_ms(-1)).is_ok(), "a moment before");
        assert_eq!(signer().verify(&path, &query, NOW), Err(Refusal::Expired));
    }

    #[test]
    fn whatever_is_changed_the_link_is_refused() {
        let (path, query) = parts(&signer().link("a/b", "c.png", Some("image/png"), NOW.plus_ms(1000)));
        let changed = [
            ("a/c".to_owned(), query.clone()),
            ("a/../a/b".to_owned(), query.clone()),
            (path.clone(), query.replace("exp=1", "exp=2")),
            (path.clone(), query.replace("c.png", "d.png")),
            (path.clone(), query.replace("image%2Fpng", "text%2Fhtml")),
            (path.clone(), query.replace("&type=image%2Fpng", "")),
            (path.clone(), query.replace("sig=", "sig=A")),
            (path.clone(), format!("{query}&exp=1")),
            (path.clone(), format!("{query}&other=1")),
            (path.clone(), String::new()),
        ];
        for (path, query) in changed {
            assert_eq!(signer().verify(&path, &query, NOW), Err(Refusal::Bad), "{path}?{query}");
        }
        let stranger = LinkSigner::new("https://films.example", [8; 32]);
        assert_eq!(stranger.verify(&path, &query, NOW), Err(Refusal::Bad), "another installation's key");
    }

    #[test]
    fn fields_cannot_flow_into_each_other() {
        let (_, one) = parts(&signer().link("a/b", "c.png", Some("x"), NOW.plus_ms(1000)));
        let (_, other) = parts(&signer().link("a/bc", ".png", Some("x"), NOW.plus_ms(1000)));
        let sig = |query: &str| query.split_once("sig=").expect("a signature").1.to_owned();
        assert_ne!(sig(&one), sig(&other), "lengths separate the fields");
    }

    #[test]
    fn the_key_is_not_shown() {
        assert!(!format!("{:?}", signer()).contains('7'), "debug output holds no key bytes");
    }
}
