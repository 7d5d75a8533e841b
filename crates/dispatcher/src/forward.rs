//! Requests from phones on their way to a manager, and the answers on their way back (RFC 3261 16.3, 16.4, 16.6, 16.7,
//! 16.11).
//!
//! A message comes in, edited bytes go out; nothing is remembered here. What an answer needs to find the phone stands
//! in our branch and in the phone's own Via, so it gets there whether or not the request is still in the window.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use ipnet::IpNet;
use sip::{
    Checked, Edit, Flow, Limits, Message, Method, Name, NameAddr, Scheme, Secret, Transport, Uri, Via,
};

use crate::branch::{InnerBranch, Key};
use crate::metrics::Dropped;
use crate::names::{self, Leg, Names};
use crate::refusal::Refusal;
use crate::window::Priority;

/// A request ready for the next hop.
#[derive(Debug, PartialEq)]
pub struct Forwarded {
    pub key: Key,
    pub priority: Priority,
    pub bytes: Bytes,
}

/// Where an answer belongs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Return {
    pub key: Key,
    pub to: Leg,
}

pub struct Forwarder {
    flow_key: Secret,
    trusted_peers: Vec<IpNet>,
}

impl Forwarder {
    pub fn new(secret: &Secret, trusted_peers: &[IpNet]) -> Forwarder {
        Forwarder { flow_key: secret.derive("flow"), trusted_peers: trusted_peers.to_vec() }
    }

    pub fn request(&self, request: &Message, from: &Leg, names: &Names) -> Result<Forwarded, Refusal> {
        let (checked, hops) = vet(request)?;
        let branch = InnerBranch::of(request, &checked, from);
        let via = [names.inner_via(), &branch.text()];
        let edit = Edit::new(request).note_source(from.remote).max_forwards(hops).push_via(&via);
        let edit = self.pop_own_routes(request, names, edit);
        let edit = self.strip_claims(request, from, edit);
        let edit = self.record_route(request, from, names, edit);
        Ok(Forwarded { key: branch.key, priority: priority(&checked.to), bytes: edit.finish() })
    }

    /// Whether a request stands in a dialog: To has a tag, and its Route holds what we recorded. Anybody who was told a
    /// token can repeat it, so what makes no sense in a dialog (REGISTER, PUBLISH) never does.
    pub fn is_in_dialog(&self, request: &Message) -> bool {
        let has_tag = request.to().is_ok_and(|to| to.tag().is_some());
        if !has_tag || matches!(request.method(), Method::Register | Method::Publish) {
            return false;
        }
        let mut routes = request.values(Name::Route).filter_map(NameAddr::parse);
        routes.any(|route| {
            let uri = Uri::parse(route.uri).ok();
            uri.and_then(|uri| uri.user).is_some_and(|token| Flow::open(token, &self.flow_key).is_some())
        })
    }

    /// Removes the Routes that led here. Their tokens do not matter: the request has just shown us its flow, and a
    /// phone that reconnected shows a newer one than its Route names.
    pub(crate) fn pop_own_routes<'a>(&self, request: &'a Message, names: &Names, edit: Edit<'a>) -> Edit<'a> {
        let routes: Vec<_> = request.values(Name::Route).collect();
        let own = routes.iter().take_while(|route| self.is_own_route(route, names)).count();
        let Some((last, before)) = routes.split_last() else { return edit };
        if !is_strictly_routed(request, names) {
            return edit.pop_routes(own);
        }
        // The Request-URI is our Record-Route, and the real one was moved to the end (RFC 3261 16.4).
        let Some(target) = NameAddr::parse(last) else { return edit };
        let edit = edit.request_uri(target.uri).strip(Name::Route);
        let others = before.iter().skip(own.min(before.len()));
        others.fold(edit, |edit, route| edit.append(Name::Route, String::from_utf8_lossy(route)))
    }

    /// The address that a request in a dialog names behind us: the next Route, or else its target.
    pub(crate) fn next_named(&self, request: &Message, names: &Names) -> Option<SocketAddr> {
        let mut routes = request.values(Name::Route).skip_while(|route| self.is_own_route(route, names));
        let route = routes.next().and_then(NameAddr::parse).map(|route| route.uri);
        let in_dialog = request.to().is_ok_and(|to| priority(&to) == Priority::InDialog);
        let target = route.or(in_dialog.then(|| request.request_uri()))?;
        Uri::parse(target).ok()?.socket_addr()
    }

    /// One of our addresses, or any with a flow token of ours: another dispatcher's inner address.
    fn is_own_route(&self, route: &[u8], names: &Names) -> bool {
        let Some(uri) = NameAddr::parse(route).and_then(|route| Uri::parse(route.uri).ok()) else {
            return false;
        };
        names.is_us(&uri) || uri.user.is_some_and(|token| Flow::open(token, &self.flow_key).is_some())
    }

    /// Only who is trusted may say whom it has authenticated (RFC 3325).
    pub(crate) fn strip_claims<'a>(&self, request: &Message, from: &Leg, edit: Edit<'a>) -> Edit<'a> {
        match request.header(Name::PAssertedIdentity) {
            Some(_) if !self.is_trusted(from.remote.ip()) => edit.strip(Name::PAssertedIdentity),
            _ => edit,
        }
    }

    pub fn is_trusted(&self, source: IpAddr) -> bool {
        // A socket for both families sees IPv4 sources as mapped ones.
        self.trusted_peers.iter().any(|network| network.contains(&source.to_canonical()))
    }

    /// Twice (RFC 5658): the listener that the phone's later requests come to, and above it the inner name of this
    /// dispatcher with the flow, to which the manager's NOTIFYs go. Also inside a dialog: the flow may be a new one.
    fn record_route<'a>(&self, request: &Message, from: &Leg, names: &Names, edit: Edit<'a>) -> Edit<'a> {
        if !matches!(request.method(), Method::Subscribe | Method::Invite) {
            return edit;
        }
        let flow = Flow {
            transport: from.transport,
            listener: names.listener_address(from.listener),
            remote: from.remote,
            connection: from.connection,
        };
        edit.push_record_route(names.public_record_route(from.listener, from.transport, scheme(request)))
            .push_record_route(&names.inner_record_route(&flow.seal(&self.flow_key)))
    }
}

/// Where an answer to a forwarded request goes. The caller vouches that it came from the next hop.
pub fn return_path(answer: &Message, names: &Names) -> Result<Return, Dropped> {
    let mut vias = answer.values(Name::Via);
    let branch = vias.next().and_then(|via| names.inner_branch(via)).and_then(InnerBranch::parse);
    let branch = branch.filter(|branch| branch.listener < names.listeners()).ok_or(Dropped::NotOurs)?;
    let phone = vias.next().and_then(Via::parse).ok_or(Dropped::NotOurs)?;
    let remote = sender(&phone).ok_or(Dropped::Unanswerable)?;
    let transport = if branch.connection == 0 { Transport::Udp } else { names.stream(branch.listener) };
    let to = Leg { transport, listener: branch.listener, remote, connection: branch.connection };
    Ok(Return { key: branch.key, to })
}

/// An answer without our Via.
pub fn returned(answer: &Message) -> Bytes {
    returned_as(answer, None)
}

/// The same, with another status if there is one.
pub fn returned_as(answer: &Message, status: Option<u16>) -> Bytes {
    let edit = Edit::new(answer).pop_via();
    status.into_iter().fold(edit, Edit::status).finish()
}

/// The request as [`Refusal::answer`] should see it: its Via says where it came from (RFC 3581).
pub fn noted(request: &Message, source: SocketAddr, limits: &Limits) -> Option<Message> {
    Message::parse(Edit::new(request).note_source(source).finish(), limits).ok()
}

/// What a proxy checks first (RFC 3261 16.3); gives the hops that are left too.
fn vet(request: &Message) -> Result<(Checked<'_>, u8), Refusal> {
    let checked = request.checked()?;
    let hops = hops_left(request)?;
    if request.method() == Method::Cancel {
        return Err(Refusal::NothingToCancel);
    }
    Ok((checked, hops))
}

/// Of a request that can be passed on. Enough for one that comes from a manager: what it makes is whole.
pub(crate) fn hops_left(request: &Message) -> Result<u8, Refusal> {
    let hops = match request.max_forwards()? {
        Some(0) => return Err(Refusal::TooManyHops),
        Some(hops) => hops - 1,
        None => 70,
    };
    if request.values(Name::ProxyRequire).next().is_some() {
        return Err(Refusal::ProxyRequire);
    }
    Ok(hops)
}

/// What a Record-Route in this request must have (RFC 3261 16.6 step 4): sips, if that is where it goes.
pub(crate) fn scheme(request: &Message) -> Scheme {
    let asked = Scheme::of(request.request_uri());
    // Nearly all begin like this, and then there is nothing to be cut out.
    if asked == Scheme::Sip && request.header(Name::Route).is_some_and(|route| route.starts_with(b"<sip:")) {
        return asked;
    }
    match request.values(Name::Route).next().and_then(NameAddr::parse) {
        Some(route) if asked != Scheme::Sips => Scheme::of(route.uri),
        _ => asked,
    }
}

/// Whether a strict router (RFC 2543) sent it: it then addressed us by our Record-Route.
fn is_strictly_routed(request: &Message, names: &Names) -> bool {
    Uri::parse(request.request_uri())
        .is_ok_and(|uri| uri.user.is_none() && uri.params.get("lr").is_some() && names.is_us(&uri))
}

fn priority(to: &NameAddr) -> Priority {
    if to.tag().is_some() { Priority::InDialog } else { Priority::New }
}

/// Where a UDP phone hears us (RFC 3261 18.2.2, RFC 3581 4). We noted its source when its request passed, so what the
/// phone itself claimed does not matter.
pub fn sender(via: &Via) -> Option<SocketAddr> {
    let port = via.rport.flatten().or(via.port);
    let received = via.received.and_then(|received| received.parse().ok());
    match received {
        Some(ip) => Some(SocketAddr::new(ip, port.unwrap_or(5060))),
        None => names::address(via.received.unwrap_or(via.host), port),
    }
}
