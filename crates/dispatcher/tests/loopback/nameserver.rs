//! A DNS server on loopback that knows what a test tells it, and what it was asked.

use std::net::SocketAddr;
use std::sync::Arc;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record};
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::support::loopback;

pub struct NameServer {
    pub address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Zone {
    records: Vec<Record>,
    asked: Vec<String>,
}

/// The life of every record, in seconds.
const LIFE: u32 = 60;

impl NameServer {
    pub async fn start() -> NameServer {
        let socket = UdpSocket::bind(loopback()).await.unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::<Mutex<Zone>>::default();
        let known = zone.clone();
        let task = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let answer = known.lock().answer(&buffer[..length]);
                let _ = socket.send_to(&answer, from).await;
            }
        });
        NameServer { address, zone, task }
    }

    pub fn naptr(&self, domain: &str, order: u16, service: &str, replacement: &str) {
        let flags = Box::from(*b"s");
        let service = service.as_bytes().into();
        let data = NAPTR::new(order, 10, flags, service, Box::from([]), name(replacement));
        self.add(domain, RData::NAPTR(data));
    }

    pub fn srv(&self, list: &str, priority: u16, host: &str, port: u16) {
        self.add(list, RData::SRV(SRV::new(priority, 1, port, name(host))));
    }

    pub fn a(&self, host: &str, address: [u8; 4]) {
        self.add(host, RData::A(A(address.into())));
    }

    /// As `NAPTR pbx.test.`
    pub fn asked(&self) -> Vec<String> {
        self.zone.lock().asked.clone()
    }

    pub async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    fn add(&self, owner: &str, data: RData) {
        self.zone.lock().records.push(Record::from_rdata(name(owner), LIFE, data));
    }
}

impl Zone {
    fn answer(&mut self, query: &[u8]) -> Vec<u8> {
        let mut message = Message::from_vec(query).unwrap().into_response();
        let query = message.queries[0].clone();
        let wanted = query.name().to_lowercase();
        self.asked.push(format!("{} {wanted}", query.query_type()));
        let records = self.records.iter().filter(|record| record.name == wanted);
        let records: Vec<_> =
            records.filter(|record| record.data.record_type() == query.query_type()).cloned().collect();
        if !self.records.iter().any(|record| record.name == wanted) {
            message.metadata.response_code = ResponseCode::NXDomain;
        }
        message.add_answers(records);
        message.to_vec().unwrap()
    }
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}
