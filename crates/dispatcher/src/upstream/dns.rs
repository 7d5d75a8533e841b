//! Asking the DNS where the upstream is: the questions are [`Search`]'s, the wire is hickory's. The only file that speaks
//! to it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use metrics::counter;
use sip::Transport;
use tracing::debug;

use super::found::Found;
use super::locate::{Destination, Naptr, Question, Records, Search, Srv};
use crate::metrics::LOOKUPS;

/// What asking may cost.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Questions that are open at one time; the next one waits until one of them is answered.
    pub parallel: usize,
    /// Answers that are remembered for as long as DNS says they are good; beyond them those go that were not used lately.
    pub answers: u64,
    /// A server that has not answered by then is asked once more, or the next one is.
    pub timeout: Duration,
}

pub struct Dns {
    resolver: TokioResolver,
    parallel: usize,
}

/// Where a destination leads, as far as DNS told.
#[derive(Debug)]
pub struct Located {
    pub found: Found,
    /// Every question was answered, be it with nothing.
    pub complete: bool,
    /// As long as it is good; nothing if nobody was asked.
    pub good_for: Option<Duration>,
}

#[derive(Debug, thiserror::Error)]
#[error("DNS can not be asked: {0}")]
pub struct NoDns(String);

/// An answer, and until when it is good.
type Answer = (Records, Option<Instant>);

impl Dns {
    /// Asks these servers, or those that the system asks if none are named.
    pub fn new(servers: &[SocketAddr], bounds: Bounds) -> Result<Dns, NoDns> {
        let failed = |error: NetError| NoDns(error.to_string());
        let mut builder = if servers.is_empty() {
            TokioResolver::builder_tokio().map_err(failed)?
        } else {
            let servers = servers.iter().copied().map(name_server).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        tune(builder.options_mut(), bounds);
        Ok(Dns { resolver: builder.build().map_err(failed)?, parallel: bounds.parallel.max(1) })
    }

    /// Asks whatever is to be asked. Never fails: what could not be learnt is missing from what was found.
    pub async fn locate(&self, destination: &Destination, speaks: &[Transport]) -> Located {
        let mut search = Search::new(destination, speaks);
        let (mut complete, mut good_until) = (true, None::<Instant>);
        loop {
            let wanted = search.wanted();
            if wanted.is_empty() {
                let good_for = good_until.map(|until| until.saturating_duration_since(Instant::now()));
                return Located { found: search.found(), complete, good_for };
            }
            let asked = stream::iter(wanted).map(|question| async {
                let answer = self.ask(&question).await;
                (question, answer)
            });
            for (question, answer) in asked.buffer_unordered(self.parallel).collect::<Vec<_>>().await {
                complete &= answer.is_ok();
                let (records, until) = answer.unwrap_or_else(|()| (nothing(&question), None));
                good_until = [good_until, until].into_iter().flatten().min();
                search.answer(question, records);
            }
        }
    }

    async fn ask(&self, question: &Question) -> Result<Answer, ()> {
        let answer = match question {
            Question::Naptr(name) => {
                self.resolver.lookup(name.as_str(), RecordType::NAPTR).await.map(|lookup| {
                    let records = lookup.answers().iter().filter_map(naptr).collect();
                    (Records::Naptr(records), Some(lookup.valid_until()))
                })
            }
            Question::Srv(name) => self.resolver.lookup(name.as_str(), RecordType::SRV).await.map(|lookup| {
                let records = lookup.answers().iter().filter_map(srv).collect();
                (Records::Srv(records), Some(lookup.valid_until()))
            }),
            Question::Addresses(name) => self.resolver.lookup_ip(name.as_str()).await.map(|lookup| {
                let records = lookup.iter().collect();
                (Records::Addresses(records), Some(lookup.valid_until()))
            }),
        };
        let (result, answer) = match answer {
            Ok(answer) => ("found", Ok(answer)),
            Err(error) if error.is_no_records_found() => ("nothing", Ok((nothing(question), None))),
            Err(error) => {
                debug!(?question, %error, "DNS did not answer");
                ("failed", Err(()))
            }
        };
        counter!(LOOKUPS, "result" => result).increment(1);
        answer
    }
}

fn tune(options: &mut ResolverOpts, bounds: Bounds) {
    options.timeout = bounds.timeout;
    options.attempts = 2;
    options.cache_size = bounds.answers;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let with_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(with_port);
    NameServerConfig::new(address.ip(), true, connections.to_vec())
}

fn nothing(question: &Question) -> Records {
    match question {
        Question::Naptr(_) => Records::Naptr(Vec::new()),
        Question::Srv(_) => Records::Srv(Vec::new()),
        Question::Addresses(_) => Records::Addresses(Vec::new()),
    }
}

fn naptr(record: &Record) -> Option<Naptr> {
    let RData::NAPTR(naptr) = &record.data else { return None };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // One with an expression leads elsewhere (RFC 3263 4.1 knows replacements only).
    naptr.regexp.is_empty().then(|| Naptr {
        order: naptr.order,
        preference: naptr.preference,
        flags: text(&naptr.flags),
        services: text(&naptr.services),
        replacement: naptr.replacement.to_ascii(),
    })
}

fn srv(record: &Record) -> Option<Srv> {
    let RData::SRV(srv) = &record.data else { return None };
    Some(Srv { priority: srv.priority, weight: srv.weight, port: srv.port, target: srv.target.to_ascii() })
}
