//! What a 401 or 407 asks for: one header value per algorithm (RFC 8760 §2.4).
//!
//! The order is the server's preference, and a phone takes the first it knows, so a phone that knows
//! only MD5 finds its own. It names MD5, since an absent algorithm confuses some when another
//! challenge stands beside it.

use super::Algorithm;

pub fn challenges(realm: &str, nonce: &str, stale: bool, algorithms: &[Algorithm]) -> Vec<String> {
    let realm = realm.replace('\\', "\\\\").replace('"', "\\\"");
    let stale = if stale { ", stale=true" } else { "" };
    let challenge = |algorithm: &Algorithm| {
        let algorithm = algorithm.as_str();
        format!("Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={algorithm}, qop=\"auth\"{stale}")
    };
    algorithms.iter().map(challenge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_has_its_own_challenge_in_the_order_given() {
        let challenges = challenges("lab \"x\"", "n", true, &[Algorithm::Sha256, Algorithm::Md5]);

        assert_eq!(
            challenges,
            [
                r#"Digest realm="lab \"x\"", nonce="n", algorithm=SHA-256, qop="auth", stale=true"#,
                r#"Digest realm="lab \"x\"", nonce="n", algorithm=MD5, qop="auth", stale=true"#,
            ]
        );
    }
}
