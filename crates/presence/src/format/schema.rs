//! Extension elements on their way into a composed document: known ones repaired, foreign ones copied.
//!
//! The schemas of RPID, CIPID and the capabilities are tables in `vocabulary`; one walk writes an element by its
//! table, leaving out what the schema refuses and putting the rest in order. What is left out is lost silently:
//! its publisher was answered long ago, and a watcher that validates would throw the whole document away.
//!
//! Wildcards of these schemas are lax: a known element *inside* a foreign one is validated too. Foreign elements
//! are copied byte for byte or not at all, so one whose insides would be refused is left out as a whole.

use super::lexis;
use super::markup::{Attribute, Namespace, Node};
use super::page::Page;
use super::simple::Simple;
use super::vocabulary::{self, Verdict};

/// What the schema says about one element.
#[derive(Debug)]
pub struct Kind {
    pub attributes: &'static [(&'static str, Simple)],
    pub required: &'static [(&'static str, Simple)],
    /// Whether xml:lang may stand on it.
    pub language: bool,
    /// Whether attributes nobody listed may stand on it.
    pub any_attribute: bool,
    pub content: Content,
}

#[derive(Debug)]
pub enum Content {
    Empty,
    Text(Simple),
    /// Children in the order of the slots, then foreign ones. `otherwise` stands for having none of them.
    Sequence {
        slots: &'static [Slot],
        foreign: bool,
        otherwise: Option<&'static str>,
        may_be_empty: bool,
    },
    /// After the notes, one of these; or any number of foreign elements.
    OneOf {
        notes: bool,
        names: &'static [Named<'static>],
        foreign: bool,
    },
    /// After the notes, any number of these and of foreign elements; or nothing but `unknown`.
    AnyOf {
        names: &'static [Named<'static>],
        notes_suffice: bool,
    },
}

#[derive(Debug)]
pub struct Slot {
    pub name: &'static str,
    pub kind: &'static Kind,
    pub many: bool,
}

pub type Named<'k> = (&'static str, &'k Kind);

const NOTE: &str = "note";

/// Writes an extension found in an element of `container`'s namespace, or says that it has no place there.
pub fn write_extension(page: &mut Page, node: Node, container: Namespace) -> bool {
    if page.is_full() || node.namespace() == Namespace::Unbound || node.namespace() == container {
        return false;
    }
    let mut walk = Walk { page, next: Some(node.position()) };
    match vocabulary::find(node.namespace(), node.local()) {
        Verdict::Known(kind) => walk.element(node, kind),
        Verdict::Misplaced => false,
        Verdict::Unlisted => walk.copy(node),
    }
}

/// One pass over an element.
struct Walk<'p> {
    page: &'p mut Page,
    /// The position of the element to come next as long as nothing was left out or moved; then `None`.
    next: Option<u32>,
}

impl Walk<'_> {
    /// Writes an element by its table, or nothing if nothing valid can be made of it.
    fn element(&mut self, node: Node, kind: &Kind) -> bool {
        let mark = self.page.mark();
        self.pass(node.position(), node.position() + 1);
        self.page.markup("<");
        self.page.name(node.namespace(), node.local());
        let written = self.attributes(node, kind) && self.content(node, kind);
        if !written {
            self.page.back_to(mark);
            self.next = None;
        }
        written
    }

    fn content(&mut self, node: Node, kind: &Kind) -> bool {
        if let Content::Text(simple) = kind.content {
            return self.text(node, simple);
        }
        let strict = matches!(kind.content, Content::Empty);
        if node.has_loose_text(strict) {
            self.next = None;
        }
        let start = self.page.mark();
        self.page.markup(">");
        let written = match kind.content {
            Content::Empty | Content::Text(_) => true,
            Content::Sequence { slots, foreign, otherwise, may_be_empty } => {
                self.sequence(node, slots, foreign)
                    || otherwise.is_some_and(|name| self.empty_child(node, name))
                    || may_be_empty
            }
            Content::OneOf { notes, names, foreign } => {
                self.notes(node, notes);
                self.one_of(node, names, foreign)
            }
            Content::AnyOf { names, notes_suffice } => {
                let notes = self.notes(node, true);
                self.any_of(node, names) || self.empty_child(node, "unknown") || (notes && notes_suffice)
            }
        };
        if self.page.since(start) == ">" {
            self.page.back_to(start);
            self.page.markup("/>");
        } else {
            self.page.close(node.namespace(), node.local());
        }
        written
    }

    fn text(&mut self, node: Node, simple: Simple) -> bool {
        let Some(text) = node.text() else { return false };
        let text = if simple == Simple::Any { &text } else { lexis::trim(&text) };
        if !simple.admits(text) {
            return false;
        }
        self.page.markup(">");
        self.page.text(text);
        self.page.close(node.namespace(), node.local());
        true
    }

    fn sequence(&mut self, node: Node, slots: &[Slot], foreign: bool) -> bool {
        let mut any = false;
        for slot in slots {
            let named = node.children().filter(|child| child.is(node.namespace(), slot.name));
            for child in named {
                let written = self.element(child, slot.kind);
                any |= written && slot.name != NOTE;
                if written && !slot.many {
                    break;
                }
            }
        }
        any | (foreign && self.foreign(node))
    }

    fn one_of(&mut self, node: Node, names: &[Named], foreign: bool) -> bool {
        let first = node.children().find(|&child| match kind_of(node, child, names) {
            Some(kind) => self.element(child, kind),
            None => false,
        });
        first.is_some() || (foreign && self.foreign(node))
    }

    fn any_of(&mut self, node: Node, names: &[Named]) -> bool {
        let mut any = false;
        for child in node.children() {
            any |= match kind_of(node, child, names) {
                Some(kind) => self.element(child, kind),
                None => is_foreign(node, child) && self.copy(child),
            };
        }
        any
    }

    fn notes(&mut self, node: Node, allowed: bool) -> bool {
        let mut any = false;
        for note in node.children().filter(|child| allowed && child.is(node.namespace(), NOTE)) {
            any |= self.element(note, &vocabulary::NOTE);
        }
        any
    }

    fn foreign(&mut self, node: Node) -> bool {
        let mut any = false;
        for child in node.children().filter(|&child| is_foreign(node, child)) {
            any |= self.copy(child);
        }
        any
    }

    fn empty_child(&mut self, node: Node, name: &str) -> bool {
        let child = node.children().find(|child| child.is(node.namespace(), name));
        child.is_some_and(|child| self.element(child, &vocabulary::EMPTY))
    }

    fn attributes(&mut self, node: Node, kind: &Kind) -> bool {
        for attribute in node.attributes() {
            if !self.attribute(node, attribute, kind) {
                self.next = None;
            }
        }
        kind.required.iter().all(|&(name, simple)| {
            node.attribute(name).is_some_and(|value| simple.admits(lexis::trim(&value)))
        })
    }

    fn attribute(&mut self, node: Node, attribute: &Attribute, kind: &Kind) -> bool {
        let value = attribute.value();
        let trimmed = lexis::trim(&value);
        let listed = kind.attributes.iter().chain(kind.required).find(|(name, _)| *name == attribute.local);
        match (attribute.namespace, listed) {
            (Namespace::Unbound, Some((name, simple))) => {
                let good = match simple {
                    Simple::Id => self.page.ids.claim(trimmed),
                    simple => simple.admits(trimmed),
                };
                if good {
                    self.page.attribute(name, trimmed);
                }
                good
            }
            (Namespace::Xml, _) if attribute.local == "lang" && (kind.language || kind.any_attribute) => {
                let good = Simple::Language.admits(trimmed);
                if good {
                    self.page.attribute("xml:lang", trimmed);
                }
                good
            }
            (Namespace::Unbound, None) if kind.any_attribute => {
                self.page.attribute(attribute.local, &value);
                true
            }
            (Namespace::Foreign, _) if kind.any_attribute => self.page.foreign_attribute(node, attribute),
            _ => false,
        }
    }

    /// Copies a foreign element if no validator can object to what is in it.
    fn copy(&mut self, node: Node) -> bool {
        let good = self.is_harmless(node);
        if good {
            self.page.copy(node);
            self.pass(node.position(), node.end());
        }
        good
    }

    fn is_harmless(&mut self, node: Node) -> bool {
        let mut judged = 0;
        for inner in node.subtree() {
            if inner.position() < judged {
                continue;
            }
            let good = match vocabulary::find(inner.namespace(), inner.local()) {
                Verdict::Known(kind) => {
                    judged = inner.end();
                    self.is_valid(inner, kind)
                }
                Verdict::Misplaced => false,
                Verdict::Unlisted => inner.attributes().iter().all(is_harmless_attribute),
            };
            if !good {
                return false;
            }
        }
        true
    }

    /// Whether an element would be written with everything in its place.
    fn is_valid(&mut self, node: Node, kind: &Kind) -> bool {
        let mark = self.page.mark();
        let mut trial = Walk { page: self.page, next: Some(node.position()) };
        let valid = trial.element(node, kind) && trial.next == Some(node.end());
        self.page.back_to(mark);
        valid
    }

    fn pass(&mut self, from: u32, to: u32) {
        self.next = (self.next == Some(from)).then_some(to);
    }
}

fn kind_of<'k>(node: Node, child: Node, names: &[Named<'k>]) -> Option<&'k Kind> {
    let known = names.iter().find(|(name, _)| child.is(node.namespace(), name));
    known.map(|&(_, kind)| kind)
}

/// What `##other` in a schema means: another namespace, but not none.
fn is_foreign(node: Node, child: Node) -> bool {
    child.namespace() != node.namespace() && child.namespace() != Namespace::Unbound
}

/// Attributes that are declared globally are validated wherever they stand. xml:id would be an id that the page
/// does not know of, xsi:type names a type that nobody here can look up.
fn is_harmless_attribute(attribute: &Attribute) -> bool {
    let value = attribute.value();
    let value = lexis::trim(&value);
    match (attribute.namespace, attribute.local) {
        (Namespace::Xml, "lang") => Simple::Language.admits(value),
        (Namespace::Xml, "space") => matches!(value, "default" | "preserve"),
        (Namespace::Xml, "base") => Simple::AnyUri.admits(value),
        (Namespace::Xml, _) => false,
        (Namespace::Pidf, "mustUnderstand") => Simple::Boolean.admits(value),
        (Namespace::SchemaInstance, local) => local == "schemaLocation",
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use crate::compositor::{Contribution, compose};

    /// What becomes of an extension in a tuple.
    #[track_caller]
    fn becomes(extension: &str, expected: &str) {
        let document = format!(
            "<p:presence xmlns:p='urn:ietf:params:xml:ns:pidf' xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' \
             xmlns:x='urn:x&amp;y' xmlns:rpid='urn:other' xmlns:unused='urn:unused'><p:tuple id='t'><p:status/>\
             {extension}</p:tuple></p:presence>"
        );
        let contribution = Contribution { scope: "s", newest: 0, document: document.as_bytes() };
        let composed = compose("sip:a@lab.test", &[contribution], false).document;
        let composed = std::str::from_utf8(&composed).unwrap();
        let (_, written) = composed.split_once("<status></status>").expect(composed);
        assert_eq!(written.split_once("</tuple>").unwrap().0, expected);
    }

    #[test]
    fn a_foreign_element_is_copied_with_the_declarations_it_leans_on_and_no_others() {
        becomes(
            "<x:a  b = 'c'>\n<!-- d --><x:e/></x:a >",
            "<x:a xmlns:x=\"urn:x&amp;y\"  b = 'c'>\n<!-- d --><x:e/></x:a >",
        );
        becomes("<a xmlns='urn:a'><b/></a>", "<a xmlns='urn:a'><b/></a>");
        becomes("<x:a xmlns:x='urn:a'/>", "<x:a xmlns:x='urn:a'/>");
        becomes("<y:a xmlns:y='urn:y'><b/></y:a>", "<y:a xmlns=\"\" xmlns:y='urn:y'><b/></y:a>");
        becomes(
            "<y:a xmlns:y='urn:y'>rpid:b</y:a>",
            "<y:a xmlns:rpid=\"urn:other\" xmlns:y='urn:y'>rpid:b</y:a>",
        );
    }

    #[test]
    fn an_element_without_a_namespace_has_no_place() {
        becomes("<a/>", "");
    }

    #[test]
    fn known_elements_get_the_usual_prefix_and_lose_what_the_schema_refuses() {
        becomes(
            "<r:activities from='now' id='t' x:y='z'> <r:away>!</r:away><r:ill/><r:note>n</r:note></r:activities>",
            "<rpid:activities xmlns:x=\"urn:x&amp;y\" x:y=\"z\"><rpid:note>n</rpid:note><rpid:away/></rpid:activities>",
        );
        becomes("<r:mood><r:note>none</r:note></r:mood>", "");
        becomes(
            "<r:user-input last-input='x'> idle </r:user-input>",
            "<rpid:user-input>idle</rpid:user-input>",
        );
    }

    #[test]
    fn unknown_stands_only_where_nothing_else_does() {
        becomes("<r:mood><r:unknown/></r:mood>", "<rpid:mood><rpid:unknown/></rpid:mood>");
        becomes("<r:mood><r:unknown/><r:sad/></r:mood>", "<rpid:mood><rpid:sad/></rpid:mood>");
    }

    #[test]
    fn parts_of_a_sequence_are_put_in_order_and_shown_once() {
        becomes(
            "<c:servcaps xmlns:c='urn:ietf:params:xml:ns:pidf:caps'><c:video>1</c:video><c:audio>maybe</c:audio>\
             <c:audio>true</c:audio><c:audio>false</c:audio></c:servcaps>",
            "<caps:servcaps><caps:audio>true</caps:audio><caps:video>1</caps:video></caps:servcaps>",
        );
    }

    #[test]
    fn a_foreign_element_with_invalid_insides_is_left_out_as_a_whole() {
        for inside in [
            "<r:mood/>",
            "<r:activities id='t'><r:away/></r:activities>",
            "<p:presence entity='a'/>",
            "<y xml:lang=''/>",
            "<y xml:id='y'/>",
        ] {
            becomes(&format!("<x:a>{inside}</x:a>"), "");
        }
        for valid in [
            "<x:a xmlns:x='x' xml:lang='en' xml:space='preserve'/>",
            "<x:a xmlns:x='x' xmlns:r='urn:ietf:params:xml:ns:pidf:rpid'><r:mood id='m'><r:sad/></r:mood></x:a>",
            "<x:a xmlns:x='x' xmlns:r='urn:ietf:params:xml:ns:pidf:rpid'><r:mood><r:sad/><x:b><r:mood id='m'>\
             <r:sad/></r:mood></x:b></r:mood></x:a>",
        ] {
            becomes(valid, valid);
        }
    }
}
