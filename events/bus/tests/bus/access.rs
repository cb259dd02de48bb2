//! Who is let in, and what is said where somebody is not: passwords, tokens, certificates, credentials, old servers.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use bus::{Identity, NatsAccess, NatsBus, OpenBusError};
use nkeys::KeyPair;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::server::Server;

/// Everything that an error says, and what it is made of.
fn told(error: &OpenBusError) -> String {
    let mut text = format!("{error}; {error:?}");
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

async fn refused(access: &NatsAccess) -> String {
    told(&NatsBus::connect(access).await.expect_err("it is let in"))
}

#[tokio::test]
async fn a_wrong_login_is_named_as_such_and_not_repeated() {
    let by_password = Server::start("authorization { user: ann, password: \"p@ss w\" }").await;
    assert!(by_password.try_connect("ann:p%40ss%20w").await.unwrap().is_connected());
    let by_token = Server::start("authorization { token: s3cret }").await;
    assert!(by_token.try_connect("s3cret").await.unwrap().is_connected());
    for (server, login) in [(&by_password, "ann:wr0ng"), (&by_password, ""), (&by_token, "wr0ng")] {
        let error = server.try_connect(login).await.expect_err("a wrong login");
        assert!(matches!(error, OpenBusError::Login { .. }), "got {error:?}");
        let told = told(&error);
        assert!(told.contains("they refuse our login") && !told.contains("wr0ng"), "{told}");
    }
    let access = NatsAccess::from("nats://ann:s3cret@one:4222");
    assert!(!format!("{access:?}").contains("s3cret"));
}

/// An authority and certificates that it has signed, all in one folder; made by openssl.
struct Authority {
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Authority {
        let authority = Authority { folder: tempfile::tempdir().unwrap() };
        authority.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem");
        authority
    }

    fn openssl(&self, arguments: &str) {
        let arguments = arguments.split(' ');
        let made = Command::new("openssl").args(arguments).current_dir(self.folder.path()).output();
        let made = made.expect("openssl is installed (make setup-test)");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// Signs a certificate of this name: `NAME.pem` and `NAME.key`.
    fn sign(&self, name: &str) {
        self.openssl(&format!("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"));
        // As authorities of today sign: version 3, with the names that it stands for.
        let names = "basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1,DNS:localhost\n";
        std::fs::write(self.file("extensions"), names).unwrap();
        self.openssl(&format!("x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out {name}.pem"));
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// What a server says of encryption in its configuration.
fn tls(authority: &Authority, name: &str, more: &str) -> String {
    let (certificate, key) = (authority.file(&format!("{name}.pem")), authority.file(&format!("{name}.key")));
    format!("tls {{ cert_file: {certificate:?}, key_file: {key:?}, {more} }}")
}

fn at(scheme: &str, server: &Server) -> NatsAccess {
    NatsAccess::from(&*format!("{scheme}://127.0.0.1:{}", server.port()))
}

#[tokio::test]
async fn an_authority_of_our_own_makes_the_way_a_secret_one() {
    let authority = Authority::new();
    authority.sign("server");
    let server = Server::start(&tls(&authority, "server", "")).await;
    for scheme in ["tls", "nats"] {
        let access = NatsAccess { authorities: Some(authority.file("ca.pem")), ..at(scheme, &server) };
        assert!(NatsBus::connect(&access).await.unwrap().is_connected(), "{scheme}");
    }
    let unknown = refused(&at("tls", &server)).await;
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");

    let plain = Server::start("").await;
    let access = NatsAccess { authorities: Some(authority.file("ca.pem")), ..at("nats", &plain) };
    let unencrypted = refused(&access).await;
    assert!(
        unencrypted.contains("could not connect"),
        "whoever names an authority wants no open way: {unencrypted}"
    );
}

#[tokio::test]
async fn a_server_that_wants_our_certificate_gets_it() {
    let authority = Authority::new();
    authority.sign("server");
    authority.sign("client");
    let ca = authority.file("ca.pem");
    let server = Server::start(&tls(&authority, "server", &format!("ca_file: {ca:?}, verify: true"))).await;
    let without = NatsAccess { authorities: Some(ca), ..at("tls", &server) };
    refused(&without).await;
    let identity = Identity { certificate: authority.file("client.pem"), key: authority.file("client.key") };
    let with = NatsAccess { identity: Some(identity), ..without };
    assert!(NatsBus::connect(&with).await.unwrap().is_connected());
}

#[tokio::test]
async fn a_file_that_does_not_hold_what_it_should_is_named() {
    let authority = Authority::new();
    let (certificate, key) = (authority.file("ca.pem"), authority.file("ca.key"));
    let missing = authority.file("missing");
    let binary = authority.file("binary");
    std::fs::write(&binary, b"\xff\xfe\x00").unwrap();
    let here = || NatsAccess::from("nats://127.0.0.1:1");
    let identity = |certificate: &Path, key: &Path| {
        let identity = Identity { certificate: certificate.to_owned(), key: key.to_owned() };
        NatsAccess { identity: Some(identity), ..here() }
    };
    for (access, what, fault) in [
        (NatsAccess { authorities: Some(missing.clone()), ..here() }, "authorities", "No such file"),
        (
            NatsAccess { authorities: Some(key.clone()), ..here() },
            "authorities",
            "-----BEGIN …CERTIFICATE-----",
        ),
        (NatsAccess { authorities: Some(binary), ..here() }, "authorities", "no text"),
        (identity(&key, &key), "certificate", "-----BEGIN …CERTIFICATE-----"),
        (identity(&certificate, &certificate), "private key", "-----BEGIN …PRIVATE KEY-----"),
        (NatsAccess { credentials: Some(missing), ..here() }, "credentials", "No such file"),
        (NatsAccess { credentials: Some(key), ..here() }, "credentials", "as nsc writes them"),
    ] {
        let told = refused(&access).await;
        assert!(told.contains(what) && told.contains(fault), "{what}, {fault}: {told}");
        assert!(told.contains(authority.folder.path().to_str().unwrap()), "it says which file: {told}");
    }
}

/// A token that says `claims` of whoever has the public key `subject`, signed by `issuer`.
fn signed(issuer: &KeyPair, subject: &KeyPair, name: &str, claims: Value) -> String {
    use base64::Engine as _;
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let body = json!({
        "jti": name, "iat": 1_700_000_000, "name": name,
        "iss": issuer.public_key(), "sub": subject.public_key(), "nats": claims,
    });
    let head = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let said = format!("{}.{}", base64(head.to_string().as_bytes()), base64(body.to_string().as_bytes()));
    let signature = base64(&issuer.sign(said.as_bytes()).unwrap());
    format!("{said}.{signature}")
}

fn credentials(token: &str, user: &KeyPair) -> String {
    let seed = user.seed().unwrap();
    format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

#[tokio::test]
async fn a_credentials_file_logs_in() {
    let (operator, account, user) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
    let unlimited = json!({
        "subs": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1, "data": -1, "payload": -1, "wildcards": true,
    });
    let of_operator = signed(&operator, &operator, "operator", json!({ "type": "operator", "version": 2 }));
    let of_account = json!({ "type": "account", "version": 2, "limits": unlimited });
    let of_account = signed(&operator, &account, "account", of_account);
    let may = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
    let of_user = signed(&account, &user, "user", may.clone());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("user.creds");
    let id = account.public_key();
    let server = Server::start(&format!(
        "operator: {of_operator}\nresolver: MEMORY\nresolver_preload: {{ {id}: {of_account} }}"
    ))
    .await;
    let access = NatsAccess { credentials: Some(file.clone()), ..at("nats", &server) };
    std::fs::write(&file, credentials(&of_user, &user)).unwrap();
    assert!(NatsBus::connect(&access).await.unwrap().is_connected());

    let stranger = KeyPair::new_account();
    std::fs::write(&file, credentials(&signed(&stranger, &user, "user", may), &user)).unwrap();
    let told = refused(&access).await;
    assert!(told.contains("they refuse our login") && !told.contains(&user.seed().unwrap()), "{told}");

    let twice = NatsAccess { address: format!("nats://ann:s3cret@127.0.0.1:{}", server.port()), ..access };
    let told = refused(&twice).await;
    assert!(told.contains("in two ways") && !told.contains("s3cret"), "{told}");
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused_with_its_version() {
    for (version, is_taken) in [("2.8.4", false), ("1.4.1", false), ("0.9.9", false), ("2.10.0-beta.1", true)]
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("nats://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            // As much of a server as a client sees before it has subscribed to anything.
            while let Ok((mut client, _)) = listener.accept().await {
                let info = json!({ "server_id": "x", "version": version, "max_payload": 1_048_576, "headers": true });
                client.write_all(format!("INFO {info}\r\nPONG\r\n").as_bytes()).await.unwrap();
                tokio::spawn(async move {
                    let (mut reads, _writes) = client.split();
                    tokio::io::copy(&mut reads, &mut tokio::io::sink()).await
                });
            }
        });
        let told = refused(&NatsAccess::from(&*address)).await;
        let expected = if is_taken { "no message came back" } else { "2.9 is the oldest" };
        assert!(told.contains(expected) && (is_taken || told.contains(version)), "{version}: {told}");
    }
}
