//! Requests from managers on their way to a phone, and the phone's answers on their way back.
//!
//! Both are stateless: the manager runs the client transaction. The way to the phone is the signed flow in the top
//! Route; the way back is the manager's own Via. Any dispatcher that shares the listener can take the answer.

use std::net::SocketAddr;

use bytes::Bytes;
use sip::{Edit, Flow, Message, Method, Name, NameAddr, Params, Secret, Uri, Via, uri};

use crate::branch::OuterBranches;
use crate::forward;
use crate::metrics::Dropped;
use crate::names::{self, Leg, Names};
use crate::refusal::Refusal;

/// No datagram is larger.
const LARGEST_DATAGRAM: usize = 65_507;

/// A request ready for a phone.
#[derive(Debug, PartialEq)]
pub struct Delivery {
    pub to: Leg,
    pub bytes: Bytes,
}

/// What the Routes of a request say.
struct Way<'a> {
    /// The topmost one names it.
    flow: Flow,
    /// How many of them led here.
    own: usize,
    /// The one behind these.
    next: Option<&'a [u8]>,
}

pub struct Deliverer {
    flow_key: Secret,
    branches: OuterBranches,
}

impl Deliverer {
    pub fn new(secret: &Secret) -> Deliverer {
        Deliverer { flow_key: secret.derive("flow"), branches: OuterBranches::new(secret) }
    }

    pub fn request(&self, request: &Message, names: &Names) -> Result<Delivery, Refusal> {
        request.fault().map_or(Ok(()), Err)?;
        let hops = forward::hops_left(request)?;
        let Way { flow, own, next } = self.way(request, names)?;
        let to = leg(&flow, names)?;
        let branch = self.branches.of(manager_branch(request)?);
        let via = [names.public_via(to.listener, to.transport), branch.as_str()];
        let edit = Edit::new(request).max_forwards(hops).pop_routes(own).push_via(&via);
        let edit = match next.and_then(strict_router) {
            Some(router) => through_strict_router(request, router, edit),
            None => edit,
        };
        let bytes = record_route(request, &to, names, edit).finish();
        if !to.transport.reliable() && bytes.len() > LARGEST_DATAGRAM {
            return Err(Refusal::TooLarge);
        }
        Ok(Delivery { to, bytes })
    }

    /// The address of the manager that an answer belongs to, and the answer without our Via.
    pub fn answer(&self, answer: &Message, names: &Names) -> Result<(SocketAddr, Bytes), Dropped> {
        let mut vias = answer.values(Name::Via);
        let branch = vias.next().and_then(|via| branch_of_ours(via, names)).ok_or(Dropped::NotOurs)?;
        let manager = vias.next().and_then(Via::parse).ok_or(Dropped::NotOurs)?;
        if !manager.branch.is_some_and(|made_of| self.branches.is_ours(branch, made_of)) {
            return Err(Dropped::NotOurs);
        }
        let address = names::address(manager.host, manager.port).ok_or(Dropped::UnknownManager)?;
        Ok((address, Edit::new(answer).pop_via().finish()))
    }

    fn way<'a>(&self, request: &'a Message, names: &Names) -> Result<Way<'a>, Refusal> {
        let mut flow = None;
        let (mut own, mut next) = (0, None);
        for route in request.values(Name::Route) {
            // Behind the flow stands what we wrote ourselves, and need not be read.
            if flow.is_some() && names.is_public_record_route(route) {
                own += 1;
                continue;
            }
            let Some(token) = self.own_route(route, names) else {
                next = Some(route);
                break;
            };
            flow = flow.or(token);
            own += 1;
        }
        Ok(Way { flow: flow.ok_or(Refusal::NoFlow)?, own, next })
    }

    /// The flow in a Route that led here, if it names one; `None` if it leads elsewhere.
    fn own_route(&self, route: &[u8], names: &Names) -> Option<Option<Flow>> {
        let open = |token| Flow::open(token, &self.flow_key);
        // What we wrote mostly comes back to the letter.
        if let Some(flow) = names.inner_token(route).and_then(open) {
            return Some(Some(flow));
        }
        let uri = Uri::parse(NameAddr::parse(route)?.uri).ok()?;
        let flow = uri.user.and_then(open);
        (flow.is_some() || names.is_us(&uri)).then_some(flow)
    }
}

/// A dialog may begin with a NOTIFY that overtook the answer, so it names the listener too (RFC 6665 4.3). The phone
/// has no use for the inner name.
fn record_route<'a>(request: &Message, to: &Leg, names: &Names, edit: Edit<'a>) -> Edit<'a> {
    match request.method() {
        Method::Notify => {
            let scheme = forward::scheme(request);
            edit.push_record_route(names.public_record_route(to.listener, to.transport, scheme))
        }
        _ => edit,
    }
}

/// The URI in a Route of an element that knows no loose routing.
fn strict_router(route: &[u8]) -> Option<&str> {
    let uri = NameAddr::parse(route)?.uri;
    Uri::parse(uri).is_ok_and(|uri| uri.params.get("lr").is_none()).then_some(uri)
}

/// It wants to find itself in the Request-URI, and the target at the end of the Routes (RFC 3261 16.6 step 6).
fn through_strict_router<'a>(request: &Message, router: &str, edit: Edit<'a>) -> Edit<'a> {
    let target = format!("<{}>", request.request_uri());
    edit.request_uri(&uri::in_request(router)).pop_routes(1).append("Route", target)
}

pub(crate) fn leg(flow: &Flow, names: &Names) -> Result<Leg, Refusal> {
    let listener = names.listener(flow.listener).ok_or(Refusal::FlowFailed)?;
    if !names.speaks(listener, flow.transport) {
        return Err(Refusal::FlowFailed);
    }
    Ok(Leg { transport: flow.transport, listener, remote: flow.remote, connection: flow.connection })
}

/// The branch of a Via that names a public listener.
fn branch_of_ours<'a>(via: &'a [u8], names: &Names) -> Option<&'a str> {
    if let Some(params) = names.behind_public_via(via) {
        return Params::new(std::str::from_utf8(params).ok()?).get("branch").flatten();
    }
    let via = Via::parse(via)?;
    let address = names::address(via.host, via.port)?;
    via.branch.filter(|_| names.listener(address).is_some())
}

fn manager_branch(request: &Message) -> Result<&str, Refusal> {
    request.branch().ok_or(Refusal::Fault(sip::Fault::bad("Via Without Branch")))
}
