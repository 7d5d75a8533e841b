//! Who asks: from where, and with which token.
//!
//! Reading may be open to whoever reaches the port; writing never is. A token that is presented counts, also where none
//! is needed: it is refused if it is wrong, and opens no more than its rights.

use std::net::{IpAddr, SocketAddr};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use placement::PresentityKey;

use crate::error::ApiError;
use crate::rights::Rights;
use crate::server::Peer;
use crate::service::Service;
use crate::throttle::{Throttle, refused};
use crate::tokens::{TokenId, Tokens};

/// One who asks, and may ask.
#[derive(Clone, Debug)]
pub struct Caller {
    pub peer: SocketAddr,
    /// `None` for one without a token.
    pub token: Option<(TokenId, Rights)>,
}

/// What is asked of everybody.
pub struct Access {
    pub tokens: Tokens,
    /// Whether reading needs no token.
    pub open_reads: bool,
}

impl Access {
    /// Finds out who asks, and refuses a token that is none.
    pub fn identify(
        &self,
        headers: &HeaderMap,
        peer: SocketAddr,
        throttle: &Throttle,
    ) -> Result<Caller, ApiError> {
        // A server without tokens says so where one is needed: a challenge would invite to what cannot succeed.
        let Some(authorization) = headers.get(header::AUTHORIZATION).filter(|_| !self.tokens.is_empty())
        else {
            return Ok(Caller { peer, token: None });
        };
        let presented = authorization.to_str().ok().and_then(bearer);
        match presented.and_then(|presented| self.tokens.find(presented)) {
            Some((id, rights)) => Ok(Caller { peer, token: Some((id, rights.clone())) }),
            None => {
                throttle.wrong_token(peer.ip())?;
                refused("token");
                Err(ApiError::unauthorized("this is not a token of this server"))
            }
        }
    }

    pub fn may_read(&self, caller: &Caller, presentity: &PresentityKey) -> Result<(), ApiError> {
        match &caller.token {
            None if self.open_reads => Ok(()),
            None => Err(self.needs_token("reading needs a bearer token here")),
            Some((_, rights)) => covered(rights, presentity),
        }
    }

    pub fn may_write(&self, caller: &Caller, presentity: &PresentityKey) -> Result<(), ApiError> {
        match &caller.token {
            None => Err(self.needs_token("writing needs a bearer token")),
            Some((_, rights)) => covered(rights, presentity),
        }
    }

    /// What concerns no presentity but the cluster itself.
    pub fn may_operate(&self, caller: &Caller) -> Result<(), ApiError> {
        match &caller.token {
            None if self.open_reads => Ok(()),
            None => Err(self.needs_token("the state of the cluster needs the operator's token here")),
            Some((_, Rights::Everything)) => Ok(()),
            Some((_, rights)) => Err(outside(rights, "the state of the cluster is for its operator")),
        }
    }

    fn needs_token(&self, error: &str) -> ApiError {
        refused("token");
        if self.tokens.is_empty() {
            return ApiError::no_tokens();
        }
        ApiError::unauthorized(error)
    }
}

impl Caller {
    pub fn ip(&self) -> IpAddr {
        self.peer.ip()
    }

    pub fn token_id(&self) -> Option<TokenId> {
        self.token.as_ref().map(|(id, _)| *id)
    }
}

impl FromRequestParts<std::sync::Arc<Service>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        service: &std::sync::Arc<Service>,
    ) -> Result<Caller, ApiError> {
        service.identify(&parts.headers, Peer::of(&parts.extensions)?)
    }
}

fn covered(rights: &Rights, presentity: &PresentityKey) -> Result<(), ApiError> {
    if rights.cover(presentity) {
        return Ok(());
    }
    Err(outside(rights, &format!("this token does not open {}", presentity.uri())))
}

fn outside(rights: &Rights, error: &str) -> ApiError {
    refused("rights");
    ApiError::forbidden(error, &format!("it is good for {}", rights.reach()))
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::throttle::Rates;
    use crate::tokens::{Token, TokenSecret};

    const OPERATOR: &str = "the-token-of-the-operator";
    const ALICE: &str = "the-token-of-alice";

    fn key(uri: &str) -> PresentityKey {
        PresentityKey::of(uri).unwrap()
    }

    fn access(open_reads: bool) -> Access {
        let token = |secret: &str, rights| Token { secret: TokenSecret::Plain(secret.into()), rights };
        let alice = Rights::User(key("sip:alice@vedette.test"));
        let tokens = Tokens::new(vec![token(OPERATOR, Rights::Everything), token(ALICE, alice)]).unwrap();
        Access { tokens, open_reads }
    }

    fn who(access: &Access, authorization: Option<&str>) -> Option<Caller> {
        let headers = authorization.map(|value| (header::AUTHORIZATION, value.parse().unwrap()));
        let throttle = Throttle::new(Rates::default());
        access.identify(&headers.into_iter().collect(), "192.0.2.1:9".parse().unwrap(), &throttle).ok()
    }

    #[test]
    fn the_scheme_is_bearer_in_any_case_and_no_other() {
        let access = access(true);

        for right in [format!("Bearer {ALICE}"), format!("bearer  {ALICE} ")] {
            assert!(who(&access, Some(&right)).unwrap().token.is_some(), "{right}");
        }
        for wrong in [format!("Basic {ALICE}"), ALICE.to_owned(), "Bearer ".into(), "Bearer x".into()] {
            assert!(who(&access, Some(&wrong)).is_none(), "{wrong}");
        }
        assert!(who(&access, None).unwrap().token.is_none());
    }

    #[test]
    fn each_may_do_what_its_token_opens() {
        let (alice, bob) = (key("sip:alice@vedette.test"), key("sip:bob@vedette.test"));
        for open_reads in [true, false] {
            let access = access(open_reads);
            let bearer = |token| who(&access, Some(&format!("Bearer {token}"))).unwrap();
            let (anyone, operator, user) = (who(&access, None).unwrap(), bearer(OPERATOR), bearer(ALICE));

            let reads = |who| access.may_read(who, &bob).is_ok();
            let writes = |who| access.may_write(who, &bob).is_ok();
            let operates = |who| access.may_operate(who).is_ok();
            assert_eq!((reads(&anyone), writes(&anyone), operates(&anyone)), (open_reads, false, open_reads));
            assert_eq!((reads(&operator), writes(&operator), operates(&operator)), (true, true, true));
            assert_eq!((reads(&user), writes(&user), operates(&user)), (false, false, false));
            assert!(access.may_read(&user, &alice).is_ok() && access.may_write(&user, &alice).is_ok());
        }
    }
}
