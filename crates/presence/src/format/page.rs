//! A PIDF document being written, and how parts of other documents are copied into it.
//!
//! The default namespace is PIDF; the other four vocabularies have the prefixes that phones expect, declared on
//! the root if they are used. A foreign element is copied byte for byte; the declarations it leans on, made
//! further out in the document it comes from, are added to its own tag (as in Exclusive XML Canonicalization).

use bytes::Bytes;

use super::ids::Ids;
use super::lexis;
use super::markup::{Attribute, Binding, Namespace, Node};

/// A page that has grown to this size takes no further element: declarations are repeated on each copied
/// element, so publications within their limits could otherwise make a document many times as large. With one element of a whole publication more, and a NOTIFY
/// around it, it still fits a datagram.
pub const FULL: usize = 24 * 1024;

const PIDF: &str = "urn:ietf:params:xml:ns:pidf";

/// The vocabularies with a prefix of their own, in the order they are declared.
const PREFIXES: [(Namespace, &str, &str); 4] = [
    (Namespace::DataModel, "dm", "urn:ietf:params:xml:ns:pidf:data-model"),
    (Namespace::Rpid, "rpid", "urn:ietf:params:xml:ns:pidf:rpid"),
    (Namespace::Cipid, "c", "urn:ietf:params:xml:ns:pidf:cipid"),
    (Namespace::Caps, "caps", "urn:ietf:params:xml:ns:pidf:caps"),
];

#[derive(Debug, Default)]
pub struct Page {
    body: String,
    used: [bool; PREFIXES.len()],
    pub ids: Ids,
}

/// A place to go back to when what follows turns out not to be worth keeping.
#[derive(Clone, Copy)]
pub struct Mark {
    length: usize,
    used: [bool; PREFIXES.len()],
}

impl Page {
    pub fn mark(&self) -> Mark {
        Mark { length: self.body.len(), used: self.used }
    }

    pub fn back_to(&mut self, mark: Mark) {
        self.body.truncate(mark.length);
        self.used = mark.used;
    }

    pub fn since(&self, mark: Mark) -> &str {
        &self.body[mark.length..]
    }

    pub fn is_full(&self) -> bool {
        self.body.len() >= FULL
    }

    /// Writes markup as it is.
    pub fn markup(&mut self, markup: &str) {
        self.body.push_str(markup);
    }

    /// Writes the name of an element of ours.
    pub fn name(&mut self, namespace: Namespace, local: &str) {
        let known = PREFIXES.iter().position(|&(known, ..)| known == namespace);
        if let Some(known) = known {
            self.used[known] = true;
            self.body.push_str(PREFIXES[known].1);
            self.body.push(':');
        }
        self.body.push_str(local);
    }

    pub fn text(&mut self, text: &str) {
        lexis::escape_text(text, &mut self.body);
    }

    /// Writes ` name="value"`.
    pub fn attribute(&mut self, name: &str, value: &str) {
        self.body.push(' ');
        self.body.push_str(name);
        self.body.push_str("=\"");
        lexis::escape_attribute(value, &mut self.body);
        self.body.push('"');
    }

    /// Writes `<name>text</name>`.
    pub fn simple(&mut self, namespace: Namespace, local: &str, text: &str) {
        self.open(namespace, local);
        self.text(text);
        self.close(namespace, local);
    }

    /// Writes `<name>`.
    pub fn open(&mut self, namespace: Namespace, local: &str) {
        self.markup("<");
        self.name(namespace, local);
        self.markup(">");
    }

    /// Writes `<name/>`.
    pub fn empty(&mut self, namespace: Namespace, local: &str) {
        self.markup("<");
        self.name(namespace, local);
        self.markup("/>");
    }

    pub fn close(&mut self, namespace: Namespace, local: &str) {
        self.markup("</");
        self.name(namespace, local);
        self.markup(">");
    }

    /// Writes an attribute of a foreign namespace on an element of ours, with its declaration. Refuses a prefix
    /// that means something else here.
    pub fn foreign_attribute(&mut self, node: Node, attribute: &Attribute) -> bool {
        let Some(binding) = node.binding_of(attribute) else { return false };
        if PREFIXES.iter().any(|&(_, prefix, _)| prefix == binding.prefix) {
            return false;
        }
        let before = node.attributes().iter().take_while(|one| one.name != attribute.name);
        if !before.into_iter().any(|one| one.prefix == attribute.prefix) {
            self.declare(binding.prefix, &binding.uri);
        }
        self.attribute(attribute.name, &attribute.value());
        true
    }

    /// Copies an element as its author wrote it, tags, comments and all.
    pub fn copy(&mut self, node: Node) {
        let raw = node.raw();
        let own = |prefix: &str| node.bindings().iter().any(|binding| binding.prefix == prefix);
        // Every raw element begins with "<" and its name.
        let (start, rest) = raw.split_at(1 + node.name().len());
        self.markup(start);

        let default = node.surrounding_bindings().find(|binding| binding.prefix.is_empty());
        let default = default.map_or("", |binding| &binding.uri);
        if default != PIDF && !own("") && node.subtree().any(|inner| inner.prefix().is_empty()) {
            self.declare("", default);
        }
        for (position, binding) in node.surrounding_bindings().enumerate() {
            let same = |other: &Binding| other.prefix == binding.prefix;
            let shadowed = own(binding.prefix) || node.surrounding_bindings().take(position).any(same);
            if shadowed || binding.prefix.is_empty() || !mentions(raw, binding.prefix) {
                continue;
            }
            let ours =
                PREFIXES.iter().position(|&(_, prefix, uri)| prefix == binding.prefix && uri == binding.uri);
            match ours {
                Some(ours) => self.used[ours] = true,
                None => self.declare(binding.prefix, &binding.uri),
            }
        }
        self.markup(rest);
    }

    fn declare(&mut self, prefix: &str, uri: &str) {
        match prefix {
            "" => self.attribute("xmlns", uri),
            _ => self.attribute(&format!("xmlns:{prefix}"), uri),
        }
    }

    /// The whole document.
    pub fn finish(self, entity: &str) -> Bytes {
        let mut head = Page { body: String::with_capacity(self.body.len() + 320), ..Page::default() };
        head.markup("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence");
        head.declare("", PIDF);
        for ((_, prefix, uri), _) in PREFIXES.iter().zip(self.used).filter(|(_, used)| *used) {
            head.declare(prefix, uri);
        }
        head.attribute("entity", entity);
        head.markup(">\n");
        head.markup(&self.body);
        head.markup("</presence>\n");
        Bytes::from(head.body)
    }
}

/// Whether `prefix:` occurs. In a value it may be a qualified name too, so the text counts, not only the names.
fn mentions(raw: &str, prefix: &str) -> bool {
    raw.match_indices(prefix).any(|(at, _)| raw[at + prefix.len()..].starts_with(':'))
}
