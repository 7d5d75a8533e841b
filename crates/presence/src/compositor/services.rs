//! The services: every tuple of every source, and those that a status calls for and nobody published.

use super::sources::{Placed, Sources};
use super::summary::Summary;
use crate::format::page::Page;
use crate::format::pidf::{Basic, Note, Tuple};
use crate::format::service::Service;
use crate::said;
use crate::status::Status;

pub struct Services<'s> {
    entity: &'s str,
    in_order: Vec<Shown<'s>>,
}

/// A tuple as its watchers see it.
struct Shown<'s> {
    id: String,
    basic: Option<Basic>,
    what: What<'s>,
}

enum What<'s> {
    Published(Tuple<'s>),
    /// Stands for the bindings of a presentity no source of which says whether a service is open.
    Reachability {
        lives: bool,
    },
    /// Those of somebody who chats.
    Voice,
    Text,
}

impl<'s> Services<'s> {
    pub fn of(sources: &Sources<'s>, entity: &'s str, reachable: bool, page: &mut Page) -> Services<'s> {
        let (status, decisive) = sources.decisive().unzip();
        let tuples = sources.each(|document| document.tuples());
        let mut placed = sources.place(tuples, page, 't', |tuple| tuple.id());
        placed.sort_by_key(|tuple| (Some(tuple.source) != decisive, tuple.source));

        let said = placed.iter().filter_map(|tuple| said::basic(tuple.part)).reduce(Basic::or);
        let published = placed.into_iter().map(|Placed { part, id, .. }| Shown {
            id,
            basic: said::basic(part).map(|basic| under(status, basic, || part.is_for_text())),
            what: What::Published(part),
        });
        let mut services = Services { entity, in_order: published.collect() };
        if said.is_none() {
            let basic = if reachable { Basic::Open } else { Basic::Closed };
            let what = What::Reachability { lives: reachable };
            services.make(page, "reachability", under(status, basic, || false), what);
        }
        if status == Some(Status::Chat) && (said == Some(Basic::Open) || (said.is_none() && reachable)) {
            services.make_chat(page);
        }
        services.in_order.sort_by_key(|shown| rank(status, shown.basic));
        services
    }

    pub fn write(&self, page: &mut Page, summary: &mut Summary) {
        for shown in self.in_order.iter() {
            if page.is_full() {
                return;
            }
            summary.open |= shown.basic == Some(Basic::Open);
            shown.write(page, self.entity);
        }
    }

    /// Tells what the tuples say for people to read.
    pub fn add_words(&self, summary: &mut Summary) {
        for shown in &self.in_order {
            match &shown.what {
                What::Published(tuple) => summary.add_tuple(*tuple),
                What::Reachability { lives: false } => summary.add_note(&offline()),
                _ => {}
            }
        }
    }

    /// Who chats has a service that takes no calls, and one that takes messages.
    fn make_chat(&mut self, page: &mut Page) {
        let has = |basic| self.in_order.iter().any(|shown| shown.basic == Some(basic));
        let (closed, open) = (has(Basic::Closed), has(Basic::Open));
        if !closed {
            self.make(page, "voice", Basic::Closed, What::Voice);
        }
        if !open {
            self.make(page, "text", Basic::Open, What::Text);
        }
    }

    fn make(&mut self, page: &mut Page, id: &str, basic: Basic, what: What<'s>) {
        self.in_order.push(Shown { id: page.ids.assign('t', "", id), basic: Some(basic), what });
    }
}

impl Shown<'_> {
    fn write(&self, page: &mut Page, entity: &str) {
        match &self.what {
            What::Published(tuple) => tuple.write(page, &self.id, self.basic),
            What::Reachability { lives } => {
                let service = Service::of(entity, &self.id, self.basic.unwrap_or(Basic::Closed));
                match lives {
                    true => service.write(page),
                    false => Service { contact: None, note: Some(offline()), ..service }.write(page),
                }
            }
            What::Voice => Service::voice(entity, &self.id).write(page),
            What::Text => Service::text(entity, &self.id).write(page),
        }
    }
}

/// What a status leaves of a service.
fn under(status: Option<Status>, basic: Basic, is_for_text: impl Fn() -> bool) -> Basic {
    match status {
        Some(Status::DoNotDisturb) => Basic::Closed,
        Some(Status::Chat) if !is_for_text() => Basic::Closed,
        _ => basic,
    }
}

/// The tuple that says most of whether a call makes sense comes first, one that says nothing of it last.
fn rank(status: Option<Status>, basic: Option<Basic>) -> u8 {
    match (status, basic) {
        (Some(Status::Chat), Some(Basic::Closed)) => 0,
        (_, Some(Basic::Open)) => 1,
        (_, Some(Basic::Closed)) => 2,
        (_, None) => 3,
    }
}

fn offline() -> Note<'static> {
    Note { text: "Offline".into(), language: None }
}
