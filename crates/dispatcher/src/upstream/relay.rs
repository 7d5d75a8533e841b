//! What the upstream sees of a phone's request, and a phone of the upstream's (RFC 3261 16.6, 16.11).
//!
//! A request comes in, edited bytes go out. The upstream knows us under a public name: there its answers arrive, and its
//! own requests, whose Route names the phone's flow.

use std::net::SocketAddr;

use bytes::Bytes;
use sip::{Contacts, Edit, Flow, Message, Method, Name, Scheme, Secret};

use super::branch::{self, RelayBranch, Towards};
use super::found::{Target, Targets};
use crate::branch::Key;
use crate::deliver::{self, Delivery};
use crate::forward::{self, Forwarder};
use crate::names::{self, Leg, Names};
use crate::refusal::Refusal;

/// A request on its way to the upstream.
#[derive(Clone)]
pub struct Relayed {
    pub request: Message,
    pub from: Leg,
}

/// When our name is put into the Path of a REGISTER (RFC 3327), so that the upstream can reach the phone through us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Path {
    /// Of phones that say that they know it, as the RFC wants.
    #[default]
    Supported,
    /// Of all; for registrars that do not ask phones whether they do.
    Always,
    Never,
}

pub struct Relay {
    flow_key: Secret,
    branch_key: Secret,
    path: Path,
    /// Whether some way to the upstream is TLS.
    has_tls: bool,
}

impl Relay {
    pub fn new(secret: &Secret, path: Path, has_tls: bool) -> Relay {
        Relay { flow_key: secret.derive("flow"), branch_key: secret.derive("relay"), path, has_tls }
    }

    pub fn flow_key(&self) -> &Secret {
        &self.flow_key
    }

    /// Whether it can go on to the upstream at all.
    pub fn vet(&self, request: &Message, names: &Names) -> Result<(), Refusal> {
        request.check()?;
        forward::hops_left(request)?;
        if Scheme::of(request.request_uri()) == Scheme::Sips && !self.has_tls {
            return Err(Refusal::Insecure);
        }
        // What the upstream was sent already would only come back (RFC 3261 16.3). What a phone turns round, as when it
        // forwards a call, passed us towards the phone last.
        let passed = request.vias().flatten().find(|via| {
            names::address(via.host, via.port).is_some_and(|address| names.listener(address).is_some())
        });
        match passed.and_then(|via| via.branch).and_then(RelayBranch::direction) {
            Some(Towards::Upstream) => Err(Refusal::Loop),
            _ => Ok(()),
        }
    }

    /// The request as this next hop gets it. `None` if no listener of ours can face it.
    pub fn to_upstream(
        &self,
        relayed: &Relayed,
        key: Key,
        attempt: u8,
        target: &Target,
        names: &Names,
        forwarder: &Forwarder,
    ) -> Option<(usize, Bytes)> {
        let (request, from) = (&relayed.request, &relayed.from);
        let facing = names.listener_towards(target.address, target.transport)?;
        let back = answered_at(request, from);
        let branch =
            RelayBranch { key, towards: Towards::Upstream, attempt, back }.text(names, &self.branch_key);
        let via = names.line_via(facing, target.transport);
        let via = [&*via, &branch];
        let hops = forward::hops_left(request).ok()?;
        let edit = Edit::new(request).note_source(from.remote).max_forwards(hops).push_via(&via);
        let edit = forwarder.pop_own_routes(request, names, edit);
        let edit = forwarder.strip_claims(request, from, edit);
        let token = flow(from, names).seal(&self.flow_key);
        let scheme = forward::scheme(request);
        let ours = names.flow_route(facing, target.transport, scheme, &token);
        let edit = match request.method() {
            Method::Register if self.adds_path(request) => edit.insert("Path", path_of(&ours, request)),
            method if records(method) => edit
                .push_record_route(names.public_record_route(from.listener, from.transport, scheme))
                .push_record_route(&ours),
            _ => edit,
        };
        Some((facing, edit.finish()))
    }

    /// A request of the upstream for the flow that its Route names.
    pub fn to_phone(
        &self,
        request: &Message,
        from: &Leg,
        flow: &Flow,
        names: &Names,
        forwarder: &Forwarder,
    ) -> Result<Delivery, Refusal> {
        request.check()?;
        let hops = forward::hops_left(request)?;
        let to = deliver::leg(flow, names)?;
        let (key, back) = (branch::key(request, from), answered_at(request, from));
        let branch =
            RelayBranch { key, towards: Towards::Phone, attempt: 0, back }.text(names, &self.branch_key);
        let via = [names.public_via(to.listener, to.transport), &branch];
        let edit = Edit::new(request).note_source(from.remote).max_forwards(hops).push_via(&via);
        let edit = forwarder.pop_own_routes(request, names, edit);
        let edit = if records(request.method()) {
            let scheme = forward::scheme(request);
            let token = flow.seal(&self.flow_key);
            let ours = names.flow_route(from.listener, from.transport, scheme, &token);
            edit.push_record_route(&ours).push_record_route(names.public_record_route(
                to.listener,
                to.transport,
                scheme,
            ))
        } else {
            edit
        };
        Ok(Delivery { to, bytes: edit.finish() })
    }

    /// Our branch on top of an answer, if it is one of those.
    pub fn branch_of(&self, answer: &Message, names: &Names) -> Option<RelayBranch> {
        let via = answer.via().ok()?;
        let address = names::address(via.host, via.port)?;
        names.listener(address)?;
        RelayBranch::open(via.branch?, names, &self.branch_key)
    }

    fn adds_path(&self, request: &Message) -> bool {
        let says = |option: &str| {
            let mut supported = request.values(Name::Supported);
            supported.any(|value| value.eq_ignore_ascii_case(option.as_bytes()))
        };
        match self.path {
            Path::Never => false,
            Path::Always => true,
            Path::Supported => says("path") || says("outbound"),
        }
    }
}

/// Puts the next hop first that the request names itself: a server of the upstream that recorded itself in a dialog is the
/// one that knows it. It may name another port than the one that it is reached at, as for another transport; what it names
/// to the letter comes before that.
pub fn prefer(targets: &mut Targets, request: &Message, forwarder: &Forwarder, names: &Names) {
    let Some(named) = forwarder.next_named(request, names) else { return };
    targets.sort_by_key(|target| match target.address {
        address if address == named => 0,
        address if address.ip() == named.ip() => 1,
        _ => 2,
    });
}

/// The first hop of a phone that registers a flow says so (RFC 5626 5.1): the registrar then knows that this way leads over it.
fn path_of(ours: &str, register: &Message) -> String {
    let knows_outbound =
        register.values(Name::Supported).any(|option| option.eq_ignore_ascii_case(b"outbound"));
    let has_flow = matches!(register.contacts(), Ok(Contacts::List(contacts))
        if contacts.iter().any(|contact| contact.param("reg-id").flatten().is_some()));
    match knows_outbound && has_flow && register.vias().count() == 1 {
        true => format!("{};ob>", ours.trim_end_matches('>')),
        false => ours.to_owned(),
    }
}

fn records(method: Method) -> bool {
    matches!(method, Method::Invite | Method::Subscribe | Method::Refer | Method::Notify)
}

fn flow(leg: &Leg, names: &Names) -> Flow {
    Flow {
        transport: leg.transport,
        listener: names.listener_address(leg.listener),
        remote: leg.remote,
        connection: leg.connection,
    }
}

/// Where the sender hears an answer: over UDP that need not be the port that it sent from (RFC 3581 4).
fn answered_at(request: &Message, from: &Leg) -> Leg {
    let via = request.via().ok();
    let port = match via {
        Some(via) if from.connection == 0 && via.rport.is_none() => via.port.unwrap_or(5060),
        _ => from.remote.port(),
    };
    Leg { remote: SocketAddr::new(from.remote.ip(), port), ..*from }
}

#[cfg(test)]
mod tests;
