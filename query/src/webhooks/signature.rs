//! How a receiver knows that a webhook is ours: two signatures over the same bytes, pure.
//!
//! `Framelane-Signature: t=<unix>,v1=<hex>` is HMAC-SHA-256 with the whole secret string (`whsec_…`) as key over
//! `<t>.<body>`. The Standard Webhooks headers (`webhook-id`, `webhook-timestamp`, `webhook-signature: v1,<base64>`) use
//! the secret's decoded bytes as key over `<id>.<timestamp>.<body>`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use events::EventId;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use thiserror::Error;

/// What a secret begins with; base64 of 32 bytes follows.
pub const SECRET_PREFIX: &str = "whsec_";

/// A secret that is none of ours. Holds nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("could not sign: the workspace's webhook secret is not whsec_ and base64")]
pub struct BadSecret;

/// The headers that sign `body`, sent at `unix_seconds`.
///
/// # Errors
/// [`BadSecret`].
pub fn headers(
    secret: &str,
    id: EventId,
    unix_seconds: i64,
    body: &[u8],
) -> Result<[(&'static str, String); 4], BadSecret> {
    let encoded = secret.strip_prefix(SECRET_PREFIX).ok_or(BadSecret)?;
    let key = STANDARD.decode(encoded).map_err(|_not_base64| BadSecret)?;
    if key.is_empty() {
        return Err(BadSecret);
    }
    let timestamp = unix_seconds.to_string();
    let own = mac(secret.as_bytes(), &[timestamp.as_bytes(), b".", body]);
    let standard = mac(&key, &[id.to_string().as_bytes(), b".", timestamp.as_bytes(), b".", body]);
    Ok([
        ("framelane-signature", format!("t={timestamp},v1={}", hex::encode(own))),
        ("webhook-id", id.to_string()),
        ("webhook-signature", format!("v1,{}", STANDARD.encode(standard))),
        ("webhook-timestamp", timestamp),
    ])
}

fn mac(key: &[u8], message: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    message.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_signatures_are_what_another_implementation_makes() {
        // Made with Python's hmac and base64 modules.
        let secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let headers =
            headers(secret, EventId::new(1), 1_700_000_000, b"{\"a\":1}").expect("a secret of ours");
        let expected = [
            (
                "framelane-signature",
                "t=1700000000,v1=7ca151e4fc23256c89e882261933d6af9a8be1f09f32dd687e83b0e34da7e68f",
            ),
            ("webhook-id", "evt_00000000000000000000000001"),
            ("webhook-signature", "v1,RgSO0RvbIAiPKplYnV1yZqAlURS8s3eZekjWjJo9bUE="),
            ("webhook-timestamp", "1700000000"),
        ];
        assert_eq!(headers, expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn a_secret_of_another_form_signs_nothing() {
        for secret in ["", "whsec_", "AAECAw==", "whsec_***"] {
            assert_eq!(headers(secret, EventId::new(1), 0, b""), Err(BadSecret), "{secret:?}");
        }
    }
}
