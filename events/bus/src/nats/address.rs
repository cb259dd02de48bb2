//! Where the servers are and who we are there, from one line of text.

use async_nats::{ConnectOptions, ServerAddr};
use percent_encoding::percent_decode_str;

/// Servers of one cluster, and how to log in.
pub(super) struct Address {
    /// Without any secrets.
    pub(super) servers: Vec<ServerAddr>,
    login: Option<Login>,
}

/// What an address says before the `@`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Login {
    Token(String),
    User { name: String, password: String },
}

impl Address {
    /// Reads `nats://user:password@host:4222` or `nats://token@host`, `tls://` where the way is to be encrypted, and
    /// several servers of a cluster separated by commas. The error never repeats what may hold a password.
    pub(super) fn parse(text: &str) -> Result<Address, String> {
        let (mut servers, mut login) = (Vec::new(), None);
        for (number, part) in (1..).zip(text.split(',').map(str::trim)) {
            let fault =
                |what: &str| format!("server {number} {what}: expected nats://host:port or tls://host:port");
            let server: ServerAddr = part.parse().map_err(|_invalid| fault("is no URL"))?;
            let mut url = server.into_inner();
            if !matches!(url.scheme(), "nats" | "tls") {
                return Err(fault("has another scheme"));
            }
            if url.host_str().is_none_or(str::is_empty) {
                return Err(fault("has no host"));
            }
            let own = Login::of(&url).map_err(|()| fault("has a login that is no UTF-8"))?;
            if own.is_some() && login.is_some() && own != login {
                return Err("the servers of one cluster are given different logins".to_owned());
            }
            login = login.or(own);
            // The library logs addresses and does not log in with them.
            url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| fault("has no host"))?;
            servers.push(ServerAddr::from_url(url).map_err(|_invalid| fault("is no URL"))?);
        }
        Ok(Address { servers, login })
    }

    /// Logs in as the address says.
    pub(super) fn log_in(&self, options: ConnectOptions) -> ConnectOptions {
        match &self.login {
            None => options,
            Some(Login::Token(token)) => options.token(token.clone()),
            Some(Login::User { name, password }) => options.user_and_password(name.clone(), password.clone()),
        }
    }

    /// Whether it says who we are.
    pub(super) fn has_login(&self) -> bool {
        self.login.is_some()
    }

    /// For people: `host:port, host:port`.
    pub(super) fn names(&self) -> String {
        let name = |server: &ServerAddr| format!("{}:{}", server.host(), server.port());
        self.servers.iter().map(name).collect::<Vec<_>>().join(", ")
    }
}

impl Login {
    fn of(url: &url::Url) -> Result<Option<Login>, ()> {
        let plain = |text: &str| match percent_decode_str(text).decode_utf8() {
            Ok(plain) => Ok(plain.into_owned()),
            Err(_invalid) => Err(()),
        };
        Ok(match (url.username(), url.password()) {
            ("", None) => None,
            (token, None) => Some(Login::Token(plain(token)?)),
            (name, Some(password)) => Some(Login::User { name: plain(name)?, password: plain(password)? }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_names_servers_and_login() {
        let address = Address::parse("nats://ann:p%40ss@one:4223, tls://two").expect("an address");
        assert_eq!(address.names(), "one:4223, two:4222");
        let user = Login::User { name: "ann".to_owned(), password: "p@ss".to_owned() };
        assert_eq!(address.login, Some(user));
        assert!(
            !address.servers.iter().any(|server| server.as_url_str().contains("p%40ss")),
            "no secret stays"
        );
        assert!(address.servers[1].tls_required());
        let token = Address::parse("nats://s3cret@one").expect("an address");
        assert_eq!(token.login, Some(Login::Token("s3cret".to_owned())));
        let bare = Address::parse("localhost").expect("an address");
        assert_eq!((bare.names().as_str(), bare.login), ("localhost:4222", None));
    }

    #[test]
    fn what_is_no_address_is_refused_without_repeating_it() {
        for text in [
            "",
            "nats://",
            "http://ann:s3cret@one",
            "ws://ann:s3cret@one",
            "nats://a:s3cret@one,nats://b:x@two",
        ] {
            let fault =
                Address::parse(text).err().unwrap_or_else(|| panic!("{text:?} is taken for an address"));
            assert!(!fault.contains("s3cret"), "{fault}");
        }
    }
}
