//! Tuples of our own making: for a status set by name, for what nobody published.

use std::borrow::Cow;

use super::markup::Namespace;
use super::page::Page;
use super::pidf::{Basic, Contact, Note};
use super::simple::Simple;

/// A service of which we say no more than this.
pub struct Service<'a> {
    pub id: &'a str,
    pub basic: Basic,
    /// Names and values of RFC 5196.
    pub capabilities: &'a [(&'a str, &'a str)],
    pub contact: Option<Contact<'a>>,
    pub note: Option<Note<'a>>,
}

impl<'a> Service<'a> {
    /// A service reached at the presentity's own address.
    pub fn of(entity: &'a str, id: &'a str, basic: Basic) -> Service<'a> {
        let contact = Contact { uri: Cow::Borrowed(entity), priority: None };
        let contact = Some(contact).filter(|contact| Simple::AnyUri.admits(&contact.uri));
        Service { id, basic, capabilities: &[], contact, note: None }
    }

    /// That of somebody who takes no calls.
    pub fn voice(entity: &'a str, id: &'a str) -> Service<'a> {
        let capabilities = &[("audio", "true"), ("message", "false")];
        Service { capabilities, ..Service::of(entity, id, Basic::Closed) }
    }

    /// That of somebody who takes messages.
    pub fn text(entity: &'a str, id: &'a str) -> Service<'a> {
        let capabilities = &[("audio", "false"), ("message", "true")];
        Service { capabilities, ..Service::of(entity, id, Basic::Open) }
    }

    pub fn write(&self, page: &mut Page) {
        page.markup("<tuple");
        page.attribute("id", self.id);
        page.markup("><status>");
        page.simple(Namespace::Pidf, "basic", self.basic.as_str());
        page.markup("</status>");
        if !self.capabilities.is_empty() {
            page.open(Namespace::Caps, "servcaps");
            for (name, value) in self.capabilities {
                page.simple(Namespace::Caps, name, value);
            }
            page.close(Namespace::Caps, "servcaps");
        }
        if let Some(contact) = &self.contact {
            contact.write(page);
        }
        if let Some(note) = &self.note {
            note.write(page, Namespace::Pidf);
        }
        page.markup("</tuple>\n");
    }
}
