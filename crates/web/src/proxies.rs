//! Where a request came from when a proxy stands before us.
//!
//! Limits are kept by source address, and behind a load balancer all sources would be one: a single guesser of passwords
//! would shut out everybody. So proxies that the operator names are believed what they say in `X-Forwarded-For`; each
//! appends whom it heard, and the last one that is no proxy of ours is the source. From everybody else the header is
//! ignored, because anybody can write it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use ipnet::IpNet;

use crate::server::Peer;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Puts the source in the place of the proxy.
pub async fn look_through(
    Shared(proxies): Shared<Arc<[IpNet]>>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(&Peer(peer)) = request.extensions().get::<Peer>() {
        let source = source(peer, request.headers(), &proxies);
        request.extensions_mut().insert(Peer(source));
    }
    next.run(request).await
}

fn source(peer: SocketAddr, headers: &HeaderMap, proxies: &[IpNet]) -> SocketAddr {
    let ours = |address: IpAddr| proxies.iter().any(|proxy| proxy.contains(&address.to_canonical()));
    if !ours(peer.ip()) {
        return peer;
    }
    let lists = headers.get_all(FORWARDED_FOR).iter().rev();
    let heard = lists.flat_map(|list| list.to_str().unwrap_or_default().rsplit(','));
    let mut last = peer;
    for address in heard {
        // What is no address was not written by a proxy of ours.
        let Some(address) = forwarded(address.trim()) else { break };
        last = address;
        if !ours(address.ip()) {
            break;
        }
    }
    last
}

/// Some proxies write the port as well.
fn forwarded(text: &str) -> Option<SocketAddr> {
    let alone = || text.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, 0));
    text.parse().ok().or_else(alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, lists: &[&str]) -> String {
        let proxies = ["10.0.0.0/8".parse().unwrap(), "2001:db8::/64".parse().unwrap()];
        let headers = lists.iter().map(|list| (FORWARDED_FOR.parse().unwrap(), list.parse().unwrap()));
        let headers =
            headers.fold(HeaderMap::new(), |mut headers, (name, list): (axum::http::HeaderName, _)| {
                headers.append(name, list);
                headers
            });
        source(peer.parse().unwrap(), &headers, &proxies).ip().to_string()
    }

    #[test]
    fn the_last_address_that_is_no_proxy_of_ours_is_the_source() {
        assert_eq!(seen("10.0.0.1:80", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(
            seen("10.0.0.1:80", &["203.0.113.9, 192.0.2.7, 10.0.0.2"]),
            "192.0.2.7",
            "the rest is forged"
        );
        assert_eq!(seen("10.0.0.1:80", &["203.0.113.9", "192.0.2.7:4711"]), "192.0.2.7");
        assert_eq!(seen("[::ffff:10.0.0.1]:80", &["2001:db8:7::1"]), "2001:db8:7::1");
    }

    #[test]
    fn nobody_else_is_believed() {
        assert_eq!(seen("192.0.2.1:80", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(seen("10.0.0.1:80", &[]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1:80", &["203.0.113.9, nonsense"]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1:80", &["unknown, 10.0.0.2"]), "10.0.0.2");
    }
}
