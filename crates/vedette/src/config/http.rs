//! The `[http]` part: the doors for programs, and whose tokens open what.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use placement::PresentityKey;
use serde::Deserialize;
use web::{CallState, Rates, Rights, TokenSecret};

use super::Settings;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Where this role answers /healthz, /readyz and /metrics, and the API if `managers` are named.
    pub listen: Option<SocketAddr>,
    /// gRPC addresses of managers.
    pub managers: Vec<String>,
    /// The operator's bearer token, which opens everything.
    pub token: Option<String>,
    /// Tokens of tenants and users.
    pub tokens: Vec<Token>,
    /// Whether reading needs no token; unless said, that is so on loopback only.
    pub open_reads: Option<bool>,
    pub rate: Rate,
    /// Proxies, as addresses or networks, that are believed what they say in X-Forwarded-For.
    pub trusted_proxies: Vec<String>,
    /// Seconds that a call of /call_state.htm lasts whose end is never told.
    pub max_call_duration: Option<u64>,
    /// Whether watchers see the number of such a call.
    pub expose_remote: bool,
    /// Presentities that event streams follow.
    pub event_streams: Option<usize>,
}

/// A customer with several domains. A domain that no tenant names is a tenant of its own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    pub name: String,
    pub domains: Vec<String>,
}

/// One of `token` and `sha256`, and one of `tenant`, `domain` and `user`.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Token {
    token: Option<String>,
    sha256: Option<String>,
    tenant: Option<String>,
    domain: Option<String>,
    user: Option<String>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Token { tenant, domain, user, .. } = self;
        write!(f, "Token {{ {tenant:?}, {domain:?}, {user:?} }}")
    }
}

/// For each source address and each token.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rate {
    reads: Option<Bucket>,
    writes: Option<Bucket>,
    /// Wrong tokens and passwords.
    failures: Option<Bucket>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bucket {
    per_second: f64,
    burst: u32,
}

impl Http {
    pub fn rates(&self) -> Rates {
        let own = Rates::default();
        let rate = |bucket: Option<Bucket>, own| {
            bucket.map_or(own, |Bucket { per_second, burst }| web::Rate { per_second, burst })
        };
        Rates {
            reads: rate(self.rate.reads, own.reads),
            writes: rate(self.rate.writes, own.writes),
            failures: rate(self.rate.failures, own.failures),
        }
    }

    pub fn call_state(&self) -> CallState {
        let own = CallState::default();
        CallState {
            max_call_duration: self.max_call_duration.map_or(own.max_call_duration, Duration::from_secs),
            expose_remote: self.expose_remote,
        }
    }
}

impl Settings {
    /// Every token with what it opens.
    pub fn tokens(&self) -> anyhow::Result<Vec<web::Token>> {
        let operator = self.http.token.iter().map(|token| {
            Ok(web::Token { secret: TokenSecret::Plain(token.clone()), rights: Rights::Everything })
        });
        let others = (1..).zip(&self.http.tokens).map(|(number, token)| {
            self.token(token).with_context(|| format!("number {number} of `http.tokens`"))
        });
        operator.chain(others).collect()
    }

    fn token(&self, token: &Token) -> anyhow::Result<web::Token> {
        let secret = match (&token.token, &token.sha256) {
            (Some(token), None) => TokenSecret::Plain(token.clone()),
            (None, Some(sha256)) => TokenSecret::Sha256(sha256.clone()),
            _ => bail!("it needs one of `token` and `sha256`"),
        };
        let rights = match (&token.tenant, &token.domain, &token.user) {
            (Some(name), None, None) => Rights::Domains(self.domains_of(name)?.into()),
            (None, Some(domain), None) => Rights::Domains([self.served(domain)?].into()),
            (None, None, Some(user)) => Rights::User(self.user(user)?),
            _ => bail!("it needs one of `tenant`, `domain` and `user`"),
        };
        Ok(web::Token { secret, rights })
    }

    fn domains_of(&self, tenant: &str) -> anyhow::Result<Vec<String>> {
        match self.tenants.iter().find(|known| known.name == tenant) {
            Some(known) => known.domains.iter().map(|domain| self.served(domain)).collect(),
            None => {
                let domain = self.served(tenant);
                Ok(vec![domain.context("no tenant of that name is in `tenants`, and no domain")?])
            }
        }
    }

    fn user(&self, user: &str) -> anyhow::Result<PresentityKey> {
        let key = PresentityKey::of(user)
            .with_context(|| format!("{user:?} is no user: write it as sip:alice@example.com"))?;
        self.served(key.domain())?;
        Ok(key)
    }

    fn served(&self, domain: &str) -> anyhow::Result<String> {
        let domain = domain.to_ascii_lowercase();
        if !self.domains.contains(&domain) {
            bail!("{domain:?} is not one of `domains`");
        }
        Ok(domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    const HEAD: &str = r#"
        domains = ["lab.test", "acme.test", "acme.example"]
        [[tenants]]
        name = "acme"
        domains = ["acme.test", "ACME.example"]
        [[http.tokens]]
        token = "a-token-of-somebody"
    "#;

    fn rights(line: &str) -> Result<Rights, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, format!("{HEAD}{line}").as_bytes()).unwrap();
        let settings = load(Some(&file.path().to_owned()), &[]).map_err(|error| error.to_string())?;
        let tokens = settings.tokens().map_err(|error| format!("{error:#}"))?;
        Ok(tokens[0].rights.clone())
    }

    #[test]
    fn a_token_is_a_tenants_or_a_domains_or_a_users() {
        let domains = |names: &[&str]| Rights::Domains(names.iter().map(ToString::to_string).collect());

        assert_eq!(rights("tenant = \"acme\""), Ok(domains(&["acme.test", "acme.example"])));
        assert_eq!(rights("tenant = \"lab.test\""), Ok(domains(&["lab.test"])), "its own tenant");
        assert_eq!(rights("domain = \"acme.test\""), Ok(domains(&["acme.test"])));
        let alice = PresentityKey::of("sip:alice@lab.test").unwrap();
        assert_eq!(rights("user = \"sip:alice@LAB.test\""), Ok(Rights::User(alice)));
    }

    #[test]
    fn a_token_that_opens_nothing_or_is_none_is_refused_by_its_number() {
        for (line, why) in [
            ("", "one of `tenant`, `domain` and `user`"),
            ("tenant = \"acme\"\nuser = \"sip:alice@lab.test\"", "one of `tenant`, `domain` and `user`"),
            ("tenant = \"nobody\"", "no tenant of that name"),
            ("domain = \"elsewhere.test\"", "not one of `domains`"),
            ("user = \"alice\"", "sip:alice@example.com"),
            ("user = \"sip:alice@elsewhere.test\"", "not one of `domains`"),
            ("user = \"sip:alice@lab.test\"\nsha256 = \"00\"", "one of `token` and `sha256`"),
        ] {
            let error = rights(line).unwrap_err();
            assert!(error.contains(why) && error.contains("number 1 of `http.tokens`"), "{line}: {error}");
            assert!(!error.contains("a-token"), "{error}");
        }
        assert!(rights("users = \"sip:alice@lab.test\"").is_err());
    }

    #[test]
    fn rates_that_are_not_set_are_the_own_ones() {
        let set = ["http.rate.writes={per_second=5.0,burst=9}".to_owned()];
        let rates = load(None, &set).unwrap().http.rates();

        assert_eq!(rates.writes, web::Rate { per_second: 5.0, burst: 9 });
        assert_eq!(rates.reads, Rates::default().reads);
    }
}
