//! Managers that have connected to us, by the address that each calls itself in its Via.
//!
//! One that has just started sends its first NOTIFYs on connections of its own: we are not connected to it yet, and may not
//! know yet where it is now. The answers go back the way the requests came (RFC 3261 section 18.2.2).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use sip::Message;

use crate::names;
use crate::outbox::Outbox;

#[derive(Default)]
pub struct Callers(Mutex<HashMap<SocketAddr, Arc<Outbox>>>);

/// A connection that a manager made, until this is dropped. It is the way to one address: the last that it said.
pub struct Caller<'a> {
    callers: &'a Callers,
    ip: IpAddr,
    pub outbox: Arc<Outbox>,
    address: Option<SocketAddr>,
}

impl Callers {
    pub fn connected(&self, ip: IpAddr, outbox: Outbox) -> Caller<'_> {
        Caller { callers: self, ip: ip.to_canonical(), outbox: Arc::new(outbox), address: None }
    }

    pub fn way_to(&self, address: SocketAddr) -> Option<Arc<Outbox>> {
        self.0.lock().get(&address).cloned()
    }
}

impl Caller<'_> {
    /// It has sent a request. An address of another host is not believed.
    pub fn asks(&mut self, request: &Message) {
        let said = request.via().ok().and_then(|via| names::address(via.host, via.port));
        let Some(address) = said.filter(|address| address.ip() == self.ip) else { return };
        if self.address == Some(address) {
            self.callers.0.lock().entry(address).or_insert_with(|| self.outbox.clone());
        } else {
            self.forget();
            self.address = Some(address);
            self.callers.0.lock().insert(address, self.outbox.clone());
        }
    }

    fn forget(&mut self) {
        let Some(address) = self.address.take() else { return };
        let mut callers = self.callers.0.lock();
        // It may have connected again meanwhile.
        if callers.get(&address).is_some_and(|outbox| Arc::ptr_eq(outbox, &self.outbox)) {
            callers.remove(&address);
        }
    }
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use sip::Limits;

    use super::*;

    const HERE: &str = "192.0.2.1:5060";
    const THERE: &str = "192.0.2.1:5062";

    #[test]
    fn the_way_to_a_manager_is_its_last_connection_as_long_as_that_stands() {
        let callers = Callers::default();
        let mut first = connected(&callers);
        first.asks(&notify(HERE));
        let mut second = connected(&callers);
        second.asks(&notify(HERE));

        drop(first);
        let way = callers.way_to(address(HERE)).unwrap();
        assert!(Arc::ptr_eq(&way, &second.outbox));

        drop(second);
        assert!(callers.way_to(address(HERE)).is_none());
    }

    #[test]
    fn a_connection_that_stands_is_the_way_again_when_a_later_one_has_gone() {
        let callers = Callers::default();
        let (mut first, mut second) = (connected(&callers), connected(&callers));
        first.asks(&notify(HERE));
        second.asks(&notify(HERE));
        drop(second);

        first.asks(&notify(HERE));

        assert!(callers.way_to(address(HERE)).is_some());
    }

    #[test]
    fn who_says_the_address_of_another_host_is_not_the_way_to_it() {
        let callers = Callers::default();
        let mut liar = connected(&callers);

        liar.asks(&notify("192.0.2.99:5060"));

        assert!(callers.way_to(address("192.0.2.99:5060")).is_none());
    }

    #[test]
    fn a_connection_is_the_way_to_one_address_only() {
        let callers = Callers::default();
        let mut one = connected(&callers);
        one.asks(&notify(HERE));

        one.asks(&notify(THERE));

        assert!(callers.way_to(address(HERE)).is_none());
        assert!(callers.way_to(address(THERE)).is_some());
    }

    fn connected(callers: &Callers) -> Caller<'_> {
        callers.connected(address(HERE).ip(), Outbox::new(100))
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn notify(manager: &str) -> Message {
        let text = format!(
            "NOTIFY sip:a@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/TCP {manager};branch=z9hG4bK1\r\nFrom: <sip:b@b>;tag=m\r\n\
             To: <sip:a@a>;tag=a\r\nCall-ID: 1\r\nCSeq: 1 NOTIFY\r\nContent-Length: 0\r\n\r\n"
        );
        Message::parse(text.into_bytes().into(), &Limits::default()).unwrap()
    }
}
