//! The bearer tokens this process knows (RFC 6750 section 2.1), each with its rights.
//!
//! Only hashes are kept, so that a core dump or a debugger shows no token. One that is presented is hashed and compared
//! with all of them, in the same time whichever it is.

use sha2::{Digest, Sha256};

use crate::rights::Rights;

/// Every presented token is compared with each of these.
pub const MAX_TOKENS: usize = 4096;
/// Shorter ones could be guessed.
const SHORTEST: usize = 16;

/// One configured token.
#[derive(Clone)]
pub struct Token {
    pub secret: TokenSecret,
    pub rights: Rights,
}

#[derive(Clone)]
pub enum TokenSecret {
    Plain(String),
    /// Its SHA-256 in hex, so that the configuration need not hold the token.
    Sha256(String),
}

/// Why the tokens are not taken. No variant says a token.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum BadToken {
    #[error(
        "an HTTP token has fewer than {SHORTEST} characters: take a random one, as from `openssl rand -hex 16`"
    )]
    TooShort,
    #[error("an HTTP token has a blank or another character that no header carries")]
    Unspeakable,
    #[error("an HTTP token's `sha256` is not 64 hexadecimal digits, as from `printf %s TOKEN | sha256sum`")]
    BadHash,
    #[error("an HTTP token is there twice: give each its own")]
    Twice,
    #[error("there are more than {MAX_TOKENS} HTTP tokens")]
    TooMany,
}

/// Which token it was: its place among the configured ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenId(usize);

pub struct Tokens {
    known: Vec<([u8; 32], Rights)>,
}

impl Tokens {
    pub fn new(tokens: Vec<Token>) -> Result<Tokens, BadToken> {
        if tokens.len() > MAX_TOKENS {
            return Err(BadToken::TooMany);
        }
        let mut known: Vec<([u8; 32], Rights)> = Vec::with_capacity(tokens.len());
        for Token { secret, rights } in tokens {
            let hash = secret.hash()?;
            if known.iter().any(|(other, _)| *other == hash) {
                return Err(BadToken::Twice);
            }
            known.push((hash, rights));
        }
        Ok(Tokens { known })
    }

    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub fn find(&self, presented: &str) -> Option<(TokenId, &Rights)> {
        let hash = hash(presented);
        let mut found = None;
        for (place, (known, rights)) in self.known.iter().enumerate() {
            if same(known, &hash) {
                found = Some((TokenId(place), rights));
            }
        }
        found
    }
}

impl TokenSecret {
    fn hash(&self) -> Result<[u8; 32], BadToken> {
        match self {
            TokenSecret::Plain(token) if token.len() < SHORTEST => Err(BadToken::TooShort),
            TokenSecret::Plain(token) if !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(BadToken::Unspeakable)
            }
            TokenSecret::Plain(token) => Ok(hash(token)),
            TokenSecret::Sha256(hex) => from_hex(hex).ok_or(BadToken::BadHash),
        }
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Takes the same time wherever the first difference is.
fn same(left: &[u8; 32], right: &[u8; 32]) -> bool {
    left.iter().zip(right).fold(0, |seen, (l, r)| std::hint::black_box(seen | (l ^ r))) == 0
}

fn from_hex(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "a-token-of-the-operator";

    fn plain(token: &str) -> Token {
        Token { secret: TokenSecret::Plain(token.into()), rights: Rights::Everything }
    }

    fn hashed(hex: &str) -> Token {
        Token { secret: TokenSecret::Sha256(hex.into()), rights: Rights::Everything }
    }

    #[test]
    fn only_the_whole_token_opens() {
        let tokens = Tokens::new(vec![plain("another-token-of-ours"), plain(TOKEN)]).unwrap();

        assert_eq!(tokens.find(TOKEN), Some((TokenId(1), &Rights::Everything)));
        for wrong in ["", "a-token-of-the-operato", "a-token-of-the-operatorx", "A-token-of-the-operator"] {
            assert_eq!(tokens.find(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_may_be_configured_by_its_hash() {
        // printf %s a-token-of-the-operator | sha256sum
        let hex: String = hash(TOKEN).iter().map(|byte| format!("{byte:02X}")).collect();
        let tokens = Tokens::new(vec![hashed(&hex)]).unwrap();

        assert!(tokens.find(TOKEN).is_some());
        assert!(tokens.find(&hex).is_none(), "the hash itself opens nothing");
    }

    #[test]
    fn a_token_that_protects_nothing_is_refused_at_the_start() {
        let refused = |token| Tokens::new(vec![token]).err();

        assert_eq!(refused(plain("")), Some(BadToken::TooShort));
        assert_eq!(refused(plain("fifteen-letters")), Some(BadToken::TooShort));
        assert_eq!(refused(plain("sixteen letters and blanks")), Some(BadToken::Unspeakable));
        assert_eq!(refused(hashed("abc")), Some(BadToken::BadHash));
        assert_eq!(refused(hashed(&"é".repeat(32))), Some(BadToken::BadHash));
        assert_eq!(Tokens::new(vec![plain(TOKEN), plain(TOKEN)]).err(), Some(BadToken::Twice));
        assert_eq!(Tokens::new(vec![plain(TOKEN); MAX_TOKENS + 1]).err(), Some(BadToken::TooMany));
    }

    #[test]
    fn no_refusal_says_the_token() {
        let said = Tokens::new(vec![plain("secret words")]).err().unwrap().to_string();

        assert!(!said.contains("secret"), "{said}");
    }
}
