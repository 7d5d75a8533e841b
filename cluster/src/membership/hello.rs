//! Asks the others who they are, and reads what they say.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use placement::{Directory, NodeId};
use proto::v1::membership_client::MembershipClient;
use proto::v1::{self, HelloRequest, JoinRequest};
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use crate::config::Declared;
use crate::directory::wire;
use crate::membership::front::Front;
use crate::membership::introduction::{Heard, Introduction};
use crate::raft::network::{KEEP_ALIVE_EVERY, KEEP_ALIVE_WAIT};

/// Whoever takes longer to say who it is counts as silent.
const ANSWER_WAIT: Duration = Duration::from_millis(500);
/// An admission is committed in the system group first.
const ADMISSION_WAIT: Duration = Duration::from_secs(8);
/// A directory of 64 members with the longest names and addresses takes less.
const MESSAGE_LIMIT: usize = 256 * 1024;

/// The connections to whoever might answer.
#[derive(Default)]
pub struct Asker(Mutex<BTreeMap<String, Channel>>);

impl Asker {
    /// Asks everybody who was declared, and every member where the directory says it is.
    pub async fn round(&self, front: &Front, declared: &Declared) -> Vec<Heard> {
        let first = places(front, declared, &[]);
        let mut heard = self.ask_all(front, &first).await;
        // Somebody may know of addresses that are not in the configuration.
        let mut more = places(front, declared, &heard);
        more.retain(|place| !first.contains(place));
        heard.extend(self.ask_all(front, &more).await);
        self.0.lock().retain(|dialled, _| heard.iter().any(|heard| front.dial(&heard.address) == dialled));
        heard
    }

    /// Asks to be a member; the directory that says so.
    pub async fn join(
        &self,
        front: &Front,
        address: &str,
        request: JoinRequest,
    ) -> Result<Directory, String> {
        let mut client = self.client(front, address)?;
        let mut request = Request::new(request);
        request.set_timeout(ADMISSION_WAIT);
        let answer = tokio::time::timeout(ADMISSION_WAIT, client.join(request)).await;
        let answer = answer.map_err(|_| "no answer".to_owned())?.map_err(|status| proto::reason(&status))?;
        wire::read_record(answer.into_inner()).map_err(|error| error.to_string())
    }

    pub async fn ask(&self, front: &Front, address: &str) -> Result<Introduction, String> {
        let mut client = self.client(front, address)?;
        let letterhead = front.letterhead();
        let member = Some(wire::member(letterhead.node, &front.member()));
        let hello = HelloRequest { cluster: letterhead.cluster.0, member };
        let answer = tokio::time::timeout(ANSWER_WAIT, client.hello(hello)).await;
        let answer = answer.map_err(|_| "no answer".to_owned())?.map_err(|status| proto::reason(&status))?;
        read(answer.into_inner()).map_err(|error| error.to_string())
    }

    async fn ask_all(&self, front: &Front, places: &[(String, String)]) -> Vec<Heard> {
        join_all(places.iter().map(async |(name, address)| {
            let said = self.ask(front, address).await;
            if let Ok(said) = &said {
                front.hear(said.cluster().unwrap_or_default(), said.id, said.member(address));
            }
            Heard { name: name.clone(), address: address.clone(), said }
        }))
        .await
    }

    fn client(&self, front: &Front, address: &str) -> Result<MembershipClient<Channel>, String> {
        let address = front.dial(address);
        let mut channels = self.0.lock();
        let channel = match channels.get(address) {
            Some(channel) => channel.clone(),
            None => {
                let endpoint = Endpoint::from_shared(format!("http://{address}"));
                let endpoint = endpoint.map_err(|error| error.to_string())?;
                // A node that vanished without a word is dialled anew, at whatever address its name has by then.
                let endpoint = endpoint
                    .connect_timeout(ANSWER_WAIT)
                    .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
                    .keep_alive_timeout(KEEP_ALIVE_WAIT)
                    .keep_alive_while_idle(true);
                let channel = endpoint.connect_with_connector_lazy(front.connector());
                channels.insert(address.to_owned(), channel.clone());
                channel
            }
        };
        Ok(MembershipClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT))
    }
}

/// Names and addresses to ask at, this node's own left out. What strangers say is bounded by the size of their answers.
fn places(front: &Front, declared: &Declared, heard: &[Heard]) -> Vec<(String, String)> {
    let (me, own) = (front.identity().name, front.member().grpc);
    let mut places: Vec<_> = declared
        .members
        .iter()
        .filter(|member| member.name != me)
        .map(|member| (member.name.clone(), member.grpc.clone()))
        .collect();
    let directories = heard.iter().filter_map(|heard| heard.right()?.directory.as_ref());
    for directory in directories.chain([&*front.directory()]) {
        for member in directory.members.values() {
            let place = (member.name.clone(), member.grpc.clone());
            if member.grpc != own && !places.contains(&place) {
                places.push(place);
            }
        }
    }
    places
}

pub fn introduce(said: Introduction) -> v1::Introduction {
    v1::Introduction {
        cluster: said.cluster().unwrap_or_default().0,
        directory: said.directory.as_ref().map(wire::record),
        name: said.name,
        node: said.id.0,
        incarnation: said.incarnation,
        declared: said.declared,
        sip: said.sip,
        level: said.level,
        set_aside: said.set_aside,
    }
}

fn read(said: v1::Introduction) -> Result<Introduction, wire::Unreadable> {
    let directory = match said.cluster {
        0 => None,
        _ => Some(wire::read_record(said.directory.ok_or(wire::Unreadable::Part("the record"))?)?),
    };
    Ok(Introduction {
        name: said.name,
        id: NodeId(said.node),
        incarnation: said.incarnation,
        declared: said.declared,
        sip: said.sip,
        level: said.level,
        set_aside: said.set_aside,
        directory,
    })
}
