//! Where a SIP URI leads (RFC 3263): NAPTR names the transports, SRV the servers, A and AAAA their addresses.
//!
//! Pure: DNS is somebody who answers [`Question`]s, in any order. What was found is kept as DNS told it ([`Found`]); only
//! when a request is to be sent it becomes a list, best first, from a number of the request: repeats of the request go the
//! same way, and many requests share the servers by their weights.
//!
//! Deliberately absent: WebSocket, which servers are not reached over (RFC 7118 knows no way to it but NAPTR), and ENUM.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use sip::{Scheme, Transport, Uri};

use super::found::{Found, Server, Service};
use crate::names;

/// Whom to reach, as a URI says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Who is asked for.
    domain: Host,
    /// Where that is looked for: there, unless a `maddr` says otherwise.
    host: Host,
    port: Option<u16>,
    transport: Option<Transport>,
    /// TLS on the way there, whatever else is offered.
    secure: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDestination {
    #[error("it is neither a SIP URI nor a host")]
    NotSip,
    #[error("nobody is reached over that transport: it is udp, tcp or tls")]
    Transport,
}

/// What DNS is asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    Naptr(String),
    Srv(String),
    /// A and AAAA.
    Addresses(String),
}

/// What it answered; empty if there is nothing of that kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    Naptr(Vec<Naptr>),
    Srv(Vec<Srv>),
    Addresses(Vec<IpAddr>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    pub order: u16,
    pub preference: u16,
    pub flags: String,
    pub services: String,
    pub replacement: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    pub priority: u16,
    pub weight: u16,
    pub port: u16,
    pub target: String,
}

/// The search for a destination: asks until it knows.
pub struct Search<'a> {
    destination: &'a Destination,
    /// What we can speak, as we like it best.
    speaks: &'a [Transport],
    known: BTreeMap<Question, Records>,
}

/// So many records of one answer count; nobody needs more servers, and a zone must not make us ask without end.
const MOST: usize = 16;

impl Destination {
    /// From a SIP or SIPS URI, or from a host with or without a port.
    pub fn parse(text: &str) -> Result<Destination, BadDestination> {
        match Uri::parse(text) {
            Ok(uri) if uri.scheme != Scheme::Other => Destination::of(&uri),
            // The host of `host:port` looks like a scheme.
            _ if text.contains('@') => Err(BadDestination::NotSip),
            _ => Destination::of(&Uri::parse(&format!("sip:{text}")).map_err(|_| BadDestination::NotSip)?),
        }
    }

    /// A `maddr` stands for the host (RFC 3263 4), but not for the domain that is asked for.
    pub fn of(uri: &Uri) -> Result<Destination, BadDestination> {
        let secure = match uri.scheme {
            Scheme::Sip => false,
            Scheme::Sips => true,
            _ => return Err(BadDestination::NotSip),
        };
        let transport = match uri.params.get("transport").flatten().map(Transport::parse) {
            None => None,
            Some(Some(Transport::Udp)) if !secure => Some(Transport::Udp),
            Some(Some(Transport::Tcp)) if !secure => Some(Transport::Tcp),
            Some(Some(Transport::Tcp | Transport::Tls)) => Some(Transport::Tls),
            Some(_) => return Err(BadDestination::Transport),
        };
        let host = uri.params.get("maddr").flatten().unwrap_or(uri.host);
        let (domain, host) = (Host::of(uri.host), Host::of(host));
        Ok(Destination { domain, host, port: uri.port, transport, secure })
    }

    /// Who is asked for, as a certificate names it (RFC 5922 section 7.1).
    pub fn domain(&self) -> String {
        match &self.domain {
            Host::Address(address) => address.to_string(),
            Host::Name(name) => name.trim_end_matches('.').to_owned(),
        }
    }

    /// Whether only TLS will do.
    pub fn over_tls(&self) -> bool {
        self.secure || self.transport == Some(Transport::Tls)
    }

    /// Whether DNS has nothing to say about it.
    pub fn is_literal(&self) -> bool {
        matches!(self.host, Host::Address(_))
    }

    /// RFC 3263 4.1 for whoever is named by number or with a port.
    fn default_transport(&self) -> Transport {
        self.transport.unwrap_or(if self.secure { Transport::Tls } else { Transport::Udp })
    }
}

impl Host {
    fn of(text: &str) -> Host {
        match names::literal(text) {
            Some(address) => Host::Address(address),
            None => Host::Name(text.to_ascii_lowercase()),
        }
    }
}

impl<'a> Search<'a> {
    pub fn new(destination: &'a Destination, speaks: &'a [Transport]) -> Search<'a> {
        Search { destination, speaks, known: BTreeMap::new() }
    }

    /// What has to be asked next; when that is nothing, the search has ended.
    pub fn wanted(&self) -> BTreeSet<Question> {
        self.look().1
    }

    pub fn answer(&mut self, question: Question, records: Records) {
        self.known.insert(question, records);
    }

    /// What is known so far, best first.
    pub fn found(&self) -> Found {
        self.look().0
    }

    fn look(&self) -> (Found, BTreeSet<Question>) {
        let mut view = View { search: self, missing: BTreeSet::new() };
        let services = view.services();
        (Found::new(services), view.missing)
    }
}

/// What a domain offers, as it likes it best.
struct Offers {
    /// A transport, and where its servers are listed.
    services: Vec<(Transport, Question)>,
    /// How the machine of that name is reached if nothing is listed.
    otherwise: Transport,
}

/// One walk through what is known, which notes what is not.
struct View<'a> {
    search: &'a Search<'a>,
    missing: BTreeSet<Question>,
}

impl View<'_> {
    fn services(&mut self) -> Vec<Service> {
        let destination = self.search.destination;
        let transport = destination.default_transport();
        match (&destination.host, destination.port) {
            (Host::Address(address), port) => {
                let address = SocketAddr::new(*address, port.unwrap_or(default_port(transport)));
                vec![Service { transport, servers: vec![Server::only(vec![address])] }]
            }
            // With a port the name is that of a machine.
            (Host::Name(host), Some(port)) => vec![self.machine(host, transport, port)],
            (Host::Name(domain), None) => self.domain(domain),
        }
    }

    /// RFC 3263 4.1 and 4.2 for a name alone.
    fn domain(&mut self, domain: &str) -> Vec<Service> {
        let Some(offers) = self.offers(domain) else { return Vec::new() };
        let mut services = Vec::new();
        let mut lists_servers = false;
        for (transport, list) in &offers.services {
            let Some(listed) = self.listed(list) else {
                lists_servers = true;
                continue;
            };
            lists_servers |= !listed.is_empty();
            let servers = listed.into_iter().filter_map(|srv| self.server(srv)).collect();
            services.push(Service { transport: *transport, servers });
        }
        if !lists_servers {
            return vec![self.machine(domain, offers.otherwise, default_port(offers.otherwise))];
        }
        services
    }

    /// `None` while that is not known.
    fn offers(&mut self, domain: &str) -> Option<Offers> {
        let destination = self.search.destination;
        if let Some(transport) = destination.transport {
            return Some(Offers {
                services: vec![(transport, list(domain, transport))],
                otherwise: transport,
            });
        }
        let Records::Naptr(mut named) = self.known(Question::Naptr(domain.to_owned()))? else { return None };
        named.sort_by_key(|naptr| (naptr.order, naptr.preference));
        let usable: Vec<_> = named.iter().filter_map(|naptr| self.usable(naptr)).take(MOST).collect();
        if let Some((best, _)) = usable.first() {
            return Some(Offers { otherwise: *best, services: usable });
        }
        let speaks = self.search.speaks.iter();
        let speaks = speaks.filter(|transport| !destination.secure || **transport == Transport::Tls);
        Some(Offers {
            services: speaks.map(|transport| (*transport, list(domain, *transport))).collect(),
            otherwise: destination.default_transport(),
        })
    }

    fn usable(&self, naptr: &Naptr) -> Option<(Transport, Question)> {
        let services =
            [("SIP+D2U", Transport::Udp), ("SIP+D2T", Transport::Tcp), ("SIPS+D2T", Transport::Tls)];
        let named = services.iter().find(|(service, _)| naptr.services.eq_ignore_ascii_case(service));
        let transport = named.map(|(_, transport)| *transport)?;
        let is_ours = self.search.speaks.contains(&transport)
            && (!self.search.destination.secure || transport == Transport::Tls);
        (is_ours && naptr.flags.eq_ignore_ascii_case("s"))
            .then(|| (transport, Question::Srv(whole(&naptr.replacement))))
    }

    fn listed(&mut self, list: &Question) -> Option<Vec<Srv>> {
        match self.known(list.clone())? {
            Records::Srv(servers) => Some(servers.into_iter().take(MOST).collect()),
            _ => None,
        }
    }

    /// A root as target says that there is no such service (RFC 2782).
    fn server(&mut self, srv: Srv) -> Option<Server> {
        let host = whole(&srv.target);
        if host == "." {
            return None;
        }
        let addresses = self.addresses(&host, srv.port);
        Some(Server { priority: srv.priority, weight: srv.weight, addresses })
    }

    fn machine(&mut self, host: &str, transport: Transport, port: u16) -> Service {
        Service { transport, servers: vec![Server::only(self.addresses(host, port))] }
    }

    fn addresses(&mut self, host: &str, port: u16) -> Vec<SocketAddr> {
        match self.known(Question::Addresses(host.to_owned())) {
            Some(Records::Addresses(addresses)) => {
                addresses.into_iter().take(MOST).map(|address| SocketAddr::new(address, port)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn known(&mut self, question: Question) -> Option<Records> {
        let known = self.search.known.get(&question).cloned();
        if known.is_none() {
            self.missing.insert(question);
        }
        known
    }
}

fn list(domain: &str, transport: Transport) -> Question {
    let service = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tls => "_sips._tcp",
        _ => "_sip._tcp",
    };
    Question::Srv(format!("{service}.{domain}"))
}

fn default_port(transport: Transport) -> u16 {
    if transport == Transport::Tls { 5061 } else { 5060 }
}

/// As it is asked for: what the DNS names is whole, and nothing of the system's search list belongs behind it. The final dot
/// says so.
fn whole(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.').to_ascii_lowercase())
}

#[cfg(test)]
mod tests;
