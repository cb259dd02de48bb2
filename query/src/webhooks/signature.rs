//! How a receiver knows that a webhook is ours: two signatures over the same bytes, made and checked. Pure.
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

/// The headers that sign `body`, sent at `unix_seconds`, with each of `secrets`: there are two while one is being
/// replaced.
///
/// # Errors
/// [`BadSecret`].
pub fn headers(
    secrets: &[String],
    id: EventId,
    unix_seconds: i64,
    body: &[u8],
) -> Result<[(&'static str, String); 4], BadSecret> {
    let timestamp = unix_seconds.to_string();
    let (mut own, mut standard) = (format!("t={timestamp}"), Vec::new());
    for secret in secrets {
        own.push_str(&format!(
            ",v1={}",
            hex::encode(own_mac(secret, &timestamp, body).finalize().into_bytes())
        ));
        let signed = standard_mac(secret, &id.to_string(), &timestamp, body)?.finalize().into_bytes();
        standard.push(format!("v1,{}", STANDARD.encode(signed)));
    }
    Ok([
        (OWN_HEADER, own),
        ("webhook-id", id.to_string()),
        ("webhook-signature", standard.join(" ")),
        ("webhook-timestamp", timestamp),
    ])
}

/// How old a signature may be, or how far ahead its clock, in seconds: Standard Webhooks' own five minutes.
pub const TOLERANCE_S: i64 = 5 * 60;

/// Why a message is not to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unverified {
    /// It carries no signature.
    #[error("it is not signed")]
    Unsigned,
    /// Its headers are not of the form that signatures have.
    #[error("its signature is malformed")]
    Malformed,
    /// It is signed with another secret, or was altered.
    #[error("its signature is wrong: signed with another secret, or altered")]
    Wrong,
    /// It was signed long ago: somebody may be repeating it.
    #[error("it was signed {0} s ago")]
    Old(i64),
    /// Our own secret is of another form.
    #[error(transparent)]
    BadSecret(#[from] BadSecret),
}

/// Whether a received message was signed with `secret`, by both signatures; `header` gives a header's value by name.
///
/// # Errors
/// [`Unverified`].
pub fn verify<'h>(
    secret: &str,
    header: impl Fn(&str) -> Option<&'h str>,
    body: &[u8],
    unix_now: i64,
) -> Result<(), Unverified> {
    let own = header(OWN_HEADER).ok_or(Unverified::Unsigned)?;
    let (mut timestamp, mut signatures) = (None, Vec::new());
    for (name, value) in own.split(',').filter_map(|part| part.trim().split_once('=')) {
        match name {
            "t" => timestamp = Some(value),
            "v1" => signatures.push(hex::decode(value).map_err(|_no_hex| Unverified::Malformed)?),
            _ => {}
        }
    }
    let timestamp = timestamp.ok_or(Unverified::Malformed)?;
    if !signatures.iter().any(|signature| own_mac(secret, timestamp, body).verify_slice(signature).is_ok()) {
        return Err(Unverified::Wrong);
    }
    let id = header("webhook-id").ok_or(Unverified::Malformed)?;
    let standard = header("webhook-signature").ok_or(Unverified::Malformed)?;
    let expected = standard_mac(secret, id, timestamp, body)?;
    let signatures = standard.split(' ').filter_map(|part| STANDARD.decode(part.strip_prefix("v1,")?).ok());
    if !signatures.into_iter().any(|signature| expected.clone().verify_slice(&signature).is_ok()) {
        return Err(Unverified::Wrong);
    }
    let sent: i64 = timestamp.parse().map_err(|_no_number| Unverified::Malformed)?;
    let age = unix_now.saturating_sub(sent);
    if age.saturating_abs() > TOLERANCE_S { Err(Unverified::Old(age)) } else { Ok(()) }
}

const OWN_HEADER: &str = "framelane-signature";

fn own_mac(secret: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    mac(secret.as_bytes(), &[timestamp.as_bytes(), b".", body])
}

fn standard_mac(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> Result<Hmac<Sha256>, BadSecret> {
    let encoded = secret.strip_prefix(SECRET_PREFIX).ok_or(BadSecret)?;
    let key = STANDARD.decode(encoded).map_err(|_not_base64| BadSecret)?;
    if key.is_empty() {
        return Err(BadSecret);
    }
    Ok(mac(&key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]))
}

fn mac(key: &[u8], message: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    message.iter().for_each(|part| mac.update(part));
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_signatures_are_what_another_implementation_makes() {
        // Made with Python's hmac and base64 modules.
        let secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let headers = headers(&[secret.to_owned()], EventId::new(1), 1_700_000_000, b"{\"a\":1}")
            .expect("a secret of ours");
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
            assert_eq!(headers(&[secret.to_owned()], EventId::new(1), 0, b""), Err(BadSecret), "{secret:?}");
        }
    }

    const OLD: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const NEW: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

    fn checked(
        secret: &str,
        sent: &[(&'static str, String)],
        body: &[u8],
        now: i64,
    ) -> Result<(), Unverified> {
        let header = |name: &str| sent.iter().find(|(known, _)| *known == name).map(|(_, v)| v.as_str());
        verify(secret, header, body, now)
    }

    #[test]
    fn while_a_secret_is_replaced_both_verify_and_no_other_does() {
        let sent = headers(&[NEW.to_owned(), OLD.to_owned()], EventId::new(1), 1000, b"body").expect("ours");
        for secret in [OLD, NEW] {
            assert_eq!(checked(secret, &sent, b"body", 1010), Ok(()), "either secret will do");
        }
        let other = "whsec_enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6eno=";
        assert_eq!(checked(other, &sent, b"body", 1010), Err(Unverified::Wrong));
        assert_eq!(checked(NEW, &sent, b"bodY", 1010), Err(Unverified::Wrong), "one bit is enough");
    }

    #[test]
    fn what_is_missing_malformed_or_old_is_told_apart() {
        let sent = headers(&[NEW.to_owned()], EventId::new(1), 1000, b"body").expect("ours");
        assert_eq!(checked(NEW, &[], b"body", 1000), Err(Unverified::Unsigned));
        assert_eq!(checked(NEW, &sent[..1], b"body", 1000), Err(Unverified::Malformed), "half signed");
        assert_eq!(checked(NEW, &sent, b"body", 1000 + TOLERANCE_S), Ok(()));
        assert_eq!(checked(NEW, &sent, b"body", 1301), Err(Unverified::Old(301)));
        assert_eq!(checked(NEW, &sent, b"body", 699), Err(Unverified::Old(-301)), "from the future");
        let forged = [("framelane-signature", "t=x,v1=zz".to_owned())];
        assert_eq!(checked(NEW, &forged, b"body", 1000), Err(Unverified::Malformed));
    }
}
