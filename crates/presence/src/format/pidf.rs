//! PIDF documents (RFC 3863) with the data model (RFC 4479): read, looked at, and written part by part.
//!
//! Reading refuses what is dangerous or means something else, not what is merely untidy: phones put the person
//! before the tuple, the note after the timestamp, and no id where one is required. A view answers with what is
//! valid of its element, and writes it as the schema wants it. Nothing here merges documents; the compositor does.

use std::borrow::Cow;

use super::lexis;
use super::markup::{Markup, Namespace, Node};
use super::page::Page;
use super::schema::write_extension;
use super::simple::{Simple, is_priority};
use super::xml;
pub use super::{BadDocument, DEFAULT_DOCUMENT_BYTES, Limits};

/// Whether a service, or all of a presentity, takes communication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Basic {
    Open,
    Closed,
}

/// A PIDF document as its publisher sent it.
#[derive(Debug)]
pub struct Document<'a> {
    markup: Markup<'a>,
}

/// One service of the presentity.
#[derive(Clone, Copy)]
pub struct Tuple<'d>(Node<'d>);

/// A person or a device of the data model.
#[derive(Clone, Copy)]
pub struct Part<'d>(Node<'d>);

/// A note for people to read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note<'d> {
    pub text: Cow<'d, str>,
    pub language: Option<Cow<'d, str>>,
}

/// Where a service is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact<'d> {
    pub uri: Cow<'d, str>,
    pub priority: Option<Cow<'d, str>>,
}

impl Basic {
    pub fn as_str(self) -> &'static str {
        match self {
            Basic::Open => "open",
            Basic::Closed => "closed",
        }
    }

    /// Of several services: open if one is.
    pub fn or(self, other: Basic) -> Basic {
        if self == Basic::Open { self } else { other }
    }
}

impl<'a> Document<'a> {
    pub fn parse(bytes: &'a [u8], limits: &Limits) -> Result<Document<'a>, BadDocument> {
        let markup = xml::read(bytes, limits)?;
        let root = markup.root();
        if !root.is(Namespace::Pidf, "presence") {
            return Err(BadDocument::NotPresence(xml::quotable(root.name())));
        }
        if let Some(extension) = root.subtree().find(|node| must_be_understood(*node)) {
            return Err(BadDocument::NotUnderstood(xml::quotable(extension.name())));
        }
        Ok(Document { markup })
    }

    /// The presentity its publisher speaks of, if he said.
    pub fn entity(&self) -> Option<Cow<'_, str>> {
        self.markup.root().attribute("entity")
    }

    pub fn tuples(&self) -> impl Iterator<Item = Tuple<'_>> {
        self.children(Namespace::Pidf, "tuple").map(Tuple)
    }

    pub fn persons(&self) -> impl Iterator<Item = Part<'_>> {
        self.children(Namespace::DataModel, "person").map(Part)
    }

    pub fn devices(&self) -> impl Iterator<Item = Part<'_>> {
        self.children(Namespace::DataModel, "device").map(Part)
    }

    /// The notes on the presentity as a whole.
    pub fn notes(&self) -> impl Iterator<Item = Note<'_>> {
        notes(self.markup.root())
    }

    /// What else stands beside the tuples.
    pub(crate) fn extensions(&self) -> impl Iterator<Item = Node<'_>> {
        let of_the_data_model = |node: &Node| matches!(node.local(), "person" | "device");
        let named = move |node: &Node| node.namespace() == Namespace::DataModel && of_the_data_model(node);
        extensions(self.markup.root()).filter(move |node| !named(node))
    }

    fn children(&self, namespace: Namespace, local: &'static str) -> impl Iterator<Item = Node<'_>> {
        self.markup.root().children().filter(move |child| child.is(namespace, local))
    }
}

impl<'d> Tuple<'d> {
    pub fn id(self) -> Option<Cow<'d, str>> {
        self.0.attribute("id")
    }

    /// Absent if the publisher said neither `open` nor `closed`.
    pub fn basic(self) -> Option<Basic> {
        let basics = self.statuses().flat_map(Node::children);
        basics.filter(|child| child.is(Namespace::Pidf, "basic")).find_map(|basic| {
            match lexis::trim(&basic.text()?) {
                "open" => Some(Basic::Open),
                "closed" => Some(Basic::Closed),
                _ => None,
            }
        })
    }

    pub fn contact(self) -> Option<Contact<'d>> {
        let contacts = self.0.children().filter(|child| child.is(Namespace::Pidf, "contact"));
        contacts.into_iter().find_map(|contact| {
            let uri = trimmed(contact.text()?);
            let priority = contact.attribute("priority").map(trimmed).filter(|text| is_priority(text));
            Simple::AnyUri.admits(&uri).then_some(Contact { uri, priority })
        })
    }

    pub fn notes(self) -> impl Iterator<Item = Note<'d>> {
        notes(self.0)
    }

    pub fn timestamp(self) -> Option<Cow<'d, str>> {
        timestamp(self.0)
    }

    /// What Asterisk tells Digium's phones beside the status of the line; it stands in no namespace of its own.
    pub(crate) fn digium(self) -> Option<Node<'d>> {
        self.statuses().flat_map(Node::children).find(|child| child.local() == "digium_presence")
    }

    /// Whether the service takes messages and no calls: its capabilities (RFC 5196) say so, or its address does.
    pub(crate) fn is_for_text(self) -> bool {
        let says = |name: &str| self.capability(name) == Some(true);
        match self.capability("audio") {
            Some(true) => false,
            _ if says("message") || says("text") => true,
            _ => self.contact().is_some_and(|contact| contact.is_for_text()),
        }
    }

    fn capability(self, name: &str) -> Option<bool> {
        let sets = self.extensions().filter(|extension| extension.is(Namespace::Caps, "servcaps"));
        let named = sets.flat_map(Node::children).filter(|child| child.is(Namespace::Caps, name));
        named.filter_map(Node::text).find_map(|text| match lexis::trim(&text) {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        })
    }

    pub(crate) fn extensions(self) -> impl Iterator<Item = Node<'d>> {
        extensions(self.0)
    }

    /// Writes the tuple in the order of the schema, open or closed as given.
    pub(crate) fn write(self, page: &mut Page, id: &str, basic: Option<Basic>) {
        page.markup("<tuple");
        page.attribute("id", id);
        page.markup("><status>");
        if let Some(basic) = basic {
            page.simple(Namespace::Pidf, "basic", basic.as_str());
        }
        for extension in self.statuses().flat_map(Node::children) {
            write_extension(page, extension, Namespace::Pidf);
        }
        page.markup("</status>");
        for extension in self.extensions() {
            write_extension(page, extension, Namespace::Pidf);
        }
        if let Some(contact) = self.contact() {
            contact.write(page);
        }
        for note in self.notes() {
            note.write(page, Namespace::Pidf);
        }
        if let Some(timestamp) = self.timestamp() {
            page.simple(Namespace::Pidf, "timestamp", &timestamp);
        }
        page.markup("</tuple>\n");
    }

    fn statuses(self) -> impl Iterator<Item = Node<'d>> {
        self.0.children().filter(|child| child.is(Namespace::Pidf, "status"))
    }
}

impl<'d> Part<'d> {
    pub fn id(self) -> Option<Cow<'d, str>> {
        self.0.attribute("id")
    }

    pub fn notes(self) -> impl Iterator<Item = Note<'d>> {
        notes(self.0)
    }

    pub fn timestamp(self) -> Option<Cow<'d, str>> {
        timestamp(self.0)
    }

    /// The URN of a device. One without it has no place in a document.
    pub fn device_id(self) -> Option<Cow<'d, str>> {
        let ids = self.0.children().filter(|child| child.is(Namespace::DataModel, "deviceID"));
        ids.into_iter().filter_map(|id| id.text().map(trimmed)).find(|urn| Simple::AnyUri.admits(urn))
    }

    pub(crate) fn extensions(self) -> impl Iterator<Item = Node<'d>> {
        extensions(self.0)
    }

    /// Writes a device in the order of the schema.
    pub(crate) fn write_device(self, page: &mut Page, id: &str, device_id: &str) {
        page.markup("<");
        page.name(Namespace::DataModel, "device");
        page.attribute("id", id);
        page.markup(">");
        for extension in self.extensions() {
            write_extension(page, extension, Namespace::DataModel);
        }
        page.simple(Namespace::DataModel, "deviceID", device_id);
        for note in self.notes() {
            note.write(page, Namespace::DataModel);
        }
        if let Some(timestamp) = self.timestamp() {
            page.simple(Namespace::DataModel, "timestamp", &timestamp);
        }
        page.close(Namespace::DataModel, "device");
        page.markup("\n");
    }
}

/// Schemes of what can be written to and not be spoken over.
const TEXT_SCHEMES: [&str; 4] = ["im", "mailto", "sms", "xmpp"];

impl Contact<'_> {
    /// Whether it takes text and no calls.
    pub(crate) fn is_for_text(&self) -> bool {
        let scheme = self.uri.split_once(':').map_or("", |(scheme, _)| scheme);
        TEXT_SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme))
    }

    pub(crate) fn write(&self, page: &mut Page) {
        page.markup("<contact");
        if let Some(priority) = &self.priority {
            page.attribute("priority", priority);
        }
        page.markup(">");
        page.text(&self.uri);
        page.markup("</contact>");
    }
}

impl Note<'_> {
    /// Writes the note as one of PIDF or of the data model.
    pub(crate) fn write(&self, page: &mut Page, namespace: Namespace) {
        page.markup("<");
        page.name(namespace, "note");
        if let Some(language) = &self.language {
            page.attribute("xml:lang", language);
        }
        page.markup(">");
        page.text(&self.text);
        page.close(namespace, "note");
    }
}

// Clients mix up the notes and timestamps of PIDF and of the data model; the meaning is the same.
fn is_plain(node: Node, local: &str) -> bool {
    matches!(node.namespace(), Namespace::Pidf | Namespace::DataModel) && node.local() == local
}

fn notes<'d>(node: Node<'d>) -> impl Iterator<Item = Note<'d>> {
    node.children().filter(|child| is_plain(*child, "note")).filter_map(|note| {
        let language = note.attribute_in(Namespace::Xml, "lang").map(trimmed);
        let language = language.filter(|tag| Simple::Language.admits(tag));
        note.text().map(|text| Note { text, language }).filter(|note| !lexis::trim(&note.text).is_empty())
    })
}

fn timestamp(node: Node<'_>) -> Option<Cow<'_, str>> {
    let stamps = node.children().filter(|child| is_plain(*child, "timestamp"));
    stamps.filter_map(|stamp| stamp.text().map(trimmed)).find(|text| Simple::DateTime.admits(text))
}

fn extensions<'d>(node: Node<'d>) -> impl Iterator<Item = Node<'d>> {
    node.children().filter(|child| !is_plain(*child, "note") && !is_plain(*child, "timestamp"))
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(lexis::trim(text)),
        Cow::Owned(text) => Cow::Owned(lexis::trim(&text).to_owned()),
    }
}

/// Whether the author of an unknown element insists on it (RFC 3863 §4.2.3). Examples qualify the attribute,
/// clients do not.
fn must_be_understood(node: Node) -> bool {
    let unknown = matches!(node.namespace(), Namespace::Foreign | Namespace::Unbound);
    unknown
        && node.attributes().iter().any(|attribute| {
            attribute.local == "mustUnderstand"
                && matches!(attribute.namespace, Namespace::Unbound | Namespace::Pidf)
                && matches!(lexis::trim(&attribute.value()), "true" | "1")
        })
}
