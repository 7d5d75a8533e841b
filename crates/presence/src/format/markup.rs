//! An XML document as a flat table of elements: spans into its text, in document order.
//!
//! Namespaces are resolved once, while reading; the five presence vocabularies become a value of `Namespace`,
//! so that telling elements apart costs a comparison of two bytes. The table is only made by `xml::read`, which
//! refuses whatever is not well-formed; nothing here can fail.

use std::borrow::Cow;
use std::ops::Range;

use super::{lexis, xml};

/// What a namespace means to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Namespace {
    /// No namespace at all.
    Unbound,
    /// RFC 3863.
    Pidf,
    /// RFC 4479.
    DataModel,
    /// RFC 4480.
    Rpid,
    /// RFC 4482.
    Cipid,
    /// RFC 5196.
    Caps,
    /// The `xml:` prefix.
    Xml,
    /// XMLSchema-instance.
    SchemaInstance,
    /// Any other.
    Foreign,
}

impl Namespace {
    pub fn of(uri: &str) -> Namespace {
        match uri {
            "" => Namespace::Unbound,
            "urn:ietf:params:xml:ns:pidf" => Namespace::Pidf,
            "urn:ietf:params:xml:ns:pidf:data-model" => Namespace::DataModel,
            "urn:ietf:params:xml:ns:pidf:rpid" => Namespace::Rpid,
            "urn:ietf:params:xml:ns:pidf:cipid" => Namespace::Cipid,
            "urn:ietf:params:xml:ns:pidf:caps" => Namespace::Caps,
            "http://www.w3.org/XML/1998/namespace" => Namespace::Xml,
            "http://www.w3.org/2001/XMLSchema-instance" => Namespace::SchemaInstance,
            _ => Namespace::Foreign,
        }
    }
}

/// A document that was read.
#[derive(Debug)]
pub struct Markup<'a> {
    pub(super) text: &'a str,
    pub(super) elements: Vec<Element<'a>>,
    pub(super) attributes: Vec<Attribute<'a>>,
    pub(super) bindings: Vec<Binding<'a>>,
}

/// One element. `name` and `outer` are text, the ranges index the tables of `Markup`.
#[derive(Debug)]
pub(super) struct Element<'a> {
    pub name: &'a str,
    pub prefix_length: u32,
    pub namespace: Namespace,
    pub binding: Option<u32>,
    pub parent: Option<u32>,
    /// One past the last descendant in the table.
    pub end: u32,
    pub outer: Range<u32>,
    pub inner: Range<u32>,
    pub attributes: Range<u32>,
    pub bindings: Range<u32>,
}

/// An attribute that is not a namespace declaration.
#[derive(Debug)]
pub struct Attribute<'a> {
    pub name: &'a str,
    pub prefix: &'a str,
    pub local: &'a str,
    pub namespace: Namespace,
    pub(super) binding: Option<u32>,
    pub raw: &'a str,
}

/// A namespace declaration; the default one has an empty prefix.
#[derive(Debug)]
pub struct Binding<'a> {
    pub prefix: &'a str,
    pub uri: Cow<'a, str>,
    pub namespace: Namespace,
}

impl Attribute<'_> {
    pub fn value(&self) -> Cow<'_, str> {
        lexis::attribute_value(self.raw)
    }
}

impl<'a> Markup<'a> {
    pub fn root(&self) -> Node<'_> {
        Node { markup: self, index: 0 }
    }
}

/// One element of a document, seen from outside.
#[derive(Clone, Copy)]
pub struct Node<'m> {
    markup: &'m Markup<'m>,
    index: u32,
}

impl<'m> Node<'m> {
    fn element(self) -> &'m Element<'m> {
        &self.markup.elements[self.index as usize]
    }

    pub fn namespace(self) -> Namespace {
        self.element().namespace
    }

    /// Where the element stands in the document, counted in start tags.
    pub fn position(self) -> u32 {
        self.index
    }

    /// The position after the last element inside.
    pub fn end(self) -> u32 {
        self.element().end
    }

    /// The name as written.
    pub fn name(self) -> &'m str {
        self.element().name
    }

    /// The name without its prefix.
    pub fn local(self) -> &'m str {
        let element = self.element();
        match element.prefix_length {
            0 => element.name,
            length => &element.name[length as usize + 1..],
        }
    }

    pub fn prefix(self) -> &'m str {
        let element = self.element();
        &element.name[..element.prefix_length as usize]
    }

    pub fn is(self, namespace: Namespace, local: &str) -> bool {
        self.namespace() == namespace && self.local() == local
    }

    /// The name that tells elements apart: namespace and local name.
    pub fn expanded_name(self) -> (&'m str, &'m str) {
        let bindings = &self.markup.bindings;
        let uri = self.element().binding.map_or("", |binding| &bindings[binding as usize].uri);
        (uri, self.local())
    }

    /// The element as its author wrote it, tags included.
    pub fn raw(self) -> &'m str {
        let Range { start, end } = self.element().outer;
        &self.markup.text[start as usize..end as usize]
    }

    pub fn children(self) -> impl Iterator<Item = Node<'m>> {
        let markup = self.markup;
        let end = self.element().end;
        let first = (self.index + 1 < end).then_some(self.index + 1);
        std::iter::successors(first, move |&index| {
            let next = markup.elements[index as usize].end;
            (next < end).then_some(next)
        })
        .map(move |index| Node { markup, index })
    }

    /// The element and everything in it, in document order.
    pub fn subtree(self) -> impl Iterator<Item = Node<'m>> {
        let markup = self.markup;
        (self.index..self.element().end).map(move |index| Node { markup, index })
    }

    pub fn attributes(self) -> &'m [Attribute<'m>] {
        let Range { start, end } = self.element().attributes;
        &self.markup.attributes[start as usize..end as usize]
    }

    /// The value of an attribute without a prefix.
    pub fn attribute(self, local: &str) -> Option<Cow<'m, str>> {
        self.attribute_in(Namespace::Unbound, local)
    }

    pub fn attribute_in(self, namespace: Namespace, local: &str) -> Option<Cow<'m, str>> {
        let mut attributes = self.attributes().iter();
        attributes.find(|one| one.namespace == namespace && one.local == local).map(Attribute::value)
    }

    /// The text of an element that holds nothing else.
    pub fn text(self) -> Option<Cow<'m, str>> {
        let element = self.element();
        if element.end > self.index + 1 {
            return None;
        }
        let inner = &self.markup.text[element.inner.start as usize..element.inner.end as usize];
        if inner.bytes().any(|byte| matches!(byte, b'<' | b'&' | b'\r')) {
            return Some(Cow::Owned(xml::plain_text(inner)));
        }
        Some(Cow::Borrowed(inner))
    }

    /// Whether anything stands between its children, white space aside unless `strict`.
    pub fn has_loose_text(self, strict: bool) -> bool {
        let Range { start, end } = self.element().inner;
        let children = self.children().map(|child| child.element().outer.clone());
        let mut from = start;
        let mut gaps = children.chain(std::iter::once(end..end)).map(|child| {
            let gap = &self.markup.text[from as usize..child.start as usize];
            from = child.end;
            gap
        });
        gaps.any(|gap| if strict { !gap.is_empty() } else { !lexis::trim(gap).is_empty() })
    }

    /// The declaration of an attribute's prefix.
    pub fn binding_of(self, attribute: &Attribute) -> Option<&'m Binding<'m>> {
        attribute.binding.map(|binding| &self.markup.bindings[binding as usize])
    }

    /// The namespace declarations on the element itself.
    pub fn bindings(self) -> &'m [Binding<'m>] {
        let Range { start, end } = self.element().bindings;
        &self.markup.bindings[start as usize..end as usize]
    }

    /// The declarations in force around the element, the innermost of each prefix first.
    pub fn surrounding_bindings(self) -> impl Iterator<Item = &'m Binding<'m>> {
        let markup = self.markup;
        let ancestor = move |index: u32| markup.elements[index as usize].parent;
        std::iter::successors(ancestor(self.index), move |&index| ancestor(index))
            .flat_map(move |index| Node { markup, index }.bindings())
    }
}
