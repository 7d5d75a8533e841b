//! Who may write over HTTP: whoever presents the configured bearer token (RFC 6750 2.1).
//!
//! One token for all writers; per-writer rights are deliberately absent.

use axum::http::{HeaderMap, header};

use crate::BindError;
use crate::error::ApiError;

/// `None` refuses every write.
pub struct WriteAccess {
    token: Option<String>,
}

impl WriteAccess {
    pub fn new(token: Option<String>) -> Result<WriteAccess, BindError> {
        if token.as_deref().is_some_and(|token| token.trim().is_empty()) {
            return Err(BindError::EmptyToken);
        }
        Ok(WriteAccess { token })
    }

    pub fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(token) = &self.token else {
            return Err(ApiError::writes_are_off());
        };
        match bearer(headers) {
            Some(presented) if same(presented.as_bytes(), token.as_bytes()) => Ok(()),
            Some(_) => Err(ApiError::unauthorized("this is not the write token")),
            None => Err(ApiError::unauthorized("writing needs a bearer token")),
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Takes the same time wherever the first difference is, so that a token cannot be guessed byte by byte. Its length is
/// no secret.
fn same(left: &[u8], right: &[u8]) -> bool {
    let difference = left.iter().zip(right).fold(0, |seen, (l, r)| std::hint::black_box(seen | (l ^ r)));
    left.len() == right.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(authorization: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, authorization.parse().unwrap())])
    }

    #[test]
    fn only_the_whole_token_opens() {
        let access = WriteAccess::new(Some("s3cret".into())).unwrap();

        assert!(access.check(&with("Bearer s3cret")).is_ok());
        assert!(access.check(&with("bearer s3cret")).is_ok());
        for wrong in ["Bearer s3cre", "Bearer s3cretx", "Bearer S3cret", "Basic s3cret", "s3cret", "Bearer "]
        {
            assert!(access.check(&with(wrong)).is_err(), "{wrong}");
        }
        assert!(access.check(&HeaderMap::new()).is_err());
    }

    #[test]
    fn an_empty_token_is_refused_at_the_start_and_not_served() {
        assert!(matches!(WriteAccess::new(Some(" ".into())), Err(BindError::EmptyToken)));
    }
}
