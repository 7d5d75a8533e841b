//! The last hop of a request to a phone.

use sip::Transport;

use super::Switchboard;
use crate::deliver::Delivery;
use crate::metrics::Large;
use crate::oversize::{self, Way};
use crate::refusal::Refusal;
use crate::upstream::found::Target;

impl Switchboard {
    pub(super) fn deliver(&self, delivery: Delivery) -> Result<(), Refusal> {
        if delivery.to.transport == Transport::Udp {
            let way = self.oversize.way(delivery.to.remote, delivery.bytes.len(), self.now());
            match way {
                Way::Usual => {}
                Way::Datagram => self.metrics.oversize(Large::Datagram),
                Way::Tcp => return self.deliver_over_tcp(delivery),
                Way::Refuse => {
                    self.metrics.oversize(Large::Refused);
                    return Err(Refusal::TooLarge);
                }
            }
        }
        self.ask_phone(&delivery.to, delivery.bytes).map_err(|_| Refusal::FlowFailed)
    }

    /// Should no connection be made, whoever sent the request repeats it as over UDP, and then it goes there.
    fn deliver_over_tcp(&self, delivery: Delivery) -> Result<(), Refusal> {
        let target = Target { transport: Transport::Tcp, address: delivery.to.remote };
        let stream = oversize::over_tcp(&delivery.bytes);
        if self.lines.send(target, stream, &self.connections).is_ok() {
            self.metrics.oversize(Large::Tcp);
            self.metrics.to_phones.increment(1);
            return Ok(());
        }
        self.metrics.oversize(Large::Datagram);
        self.ask_phone(&delivery.to, delivery.bytes).map_err(|_| Refusal::FlowFailed)
    }
}
