//! Reading XML, strictly: from bytes of a stranger to a table of elements, or a refusal.
//!
//! quick-xml finds where tags begin and end; namespaces, names, references and attributes are judged here. There
//! is no document type, so there are no entities to expand and nothing outside the document to fetch. XML 1.0
//! and Namespaces in XML 1.0 rule; this is the only file that speaks to quick-xml.

use std::ops::Range;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::lexis::{self, is_space, pairs, split_name};
use super::markup::{Attribute, Binding, Element, Markup, Namespace};
use super::{BadDocument, Limits};

/// Reads a whole document.
pub fn read<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Markup<'a>, BadDocument> {
    if bytes.len() > limits.bytes.min(u32::MAX as usize) {
        return Err(BadDocument::TooLarge(limits.bytes));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| BadDocument::NotUtf8)?;
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    if let Some(at) = lexis::illegal_character(text) {
        return Err(BadDocument::NotWellFormed { at, what: "a character that XML does not allow" });
    }
    // Room for what a phone sends; a longer document makes its own.
    let elements = Vec::with_capacity(16);
    let markup =
        Markup { text, elements, attributes: Vec::with_capacity(8), bindings: Vec::with_capacity(8) };
    Scan { markup, open: Vec::with_capacity(8), in_force: 0, limits }.run()
}

/// The text between the tags of an element without children, which `read` accepted before.
pub fn plain_text(inner: &str) -> String {
    let mut text = String::with_capacity(inner.len());
    let mut reader = Reader::from_str(inner);
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Text(part) => text.push_str(&part.xml10_content()),
            Event::CData(part) => text.push_str(&part.xml10_content()),
            Event::GeneralRef(name) => text.extend(lexis::reference(&name)),
            Event::Eof => break,
            _ => {}
        }
    }
    text
}

/// A document half read.
struct Scan<'a, 'l> {
    markup: Markup<'a>,
    /// The elements whose end tag is still to come, the root first.
    open: Vec<u32>,
    /// Namespace declarations on the open elements.
    in_force: usize,
    limits: &'l Limits,
}

impl<'a> Scan<'a, '_> {
    fn run(mut self) -> Result<Markup<'a>, BadDocument> {
        let text = self.markup.text;
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_comments = true;
        loop {
            let from = reader.buffer_position() as usize;
            let event = reader.read_event().map_err(|error| malformed(from, broken(&error)))?;
            let span = from..reader.buffer_position() as usize;
            match event {
                Event::Start(_) => self.start(span, "<", ">")?,
                Event::Empty(_) => {
                    self.start(span.clone(), "<", "/>")?;
                    self.end(span.end..span.end)?;
                }
                Event::End(_) => self.end(span)?,
                Event::Text(_) => self.text(span)?,
                Event::GeneralRef(name) => self.reference(span, &name)?,
                Event::CData(_) if self.open.is_empty() => return Err(outside(from)),
                Event::Decl(_) => declaration(inside(text, &span, "<?xml", "?>")?, from)?,
                Event::PI(_) => instruction(inside(text, &span, "<?", "?>")?, from)?,
                Event::DocType(_) => return Err(BadDocument::Doctype),
                Event::CData(_) | Event::Comment(_) => {}
                Event::Eof => break,
            }
        }
        match self.markup.elements.is_empty() || !self.open.is_empty() {
            true => Err(malformed(text.len(), "the document ends too early")),
            false => Ok(self.markup),
        }
    }

    fn start(&mut self, span: Range<usize>, before: &str, after: &str) -> Result<(), BadDocument> {
        let tag = inside(self.markup.text, &span, before, after)?;
        if self.open.is_empty() && !self.markup.elements.is_empty() {
            return Err(outside(span.start));
        }
        if self.open.len() == self.limits.depth {
            return Err(BadDocument::TooDeep(self.limits.depth));
        }
        let name_length = tag.bytes().position(is_space).unwrap_or(tag.len());
        let (name, rest) = tag.split_at(name_length);
        let (prefix, _) = split_name(name).ok_or(malformed(span.start, "an illegal element name"))?;

        let index = self.markup.elements.len() as u32;
        let bindings_from = self.markup.bindings.len() as u32;
        let attributes_from = self.markup.attributes.len() as u32;
        self.attributes(rest, span.start)?;
        // Pushed before its own prefix is looked up: a declaration is in force on the element that makes it.
        self.markup.elements.push(Element {
            name,
            prefix_length: prefix.len() as u32,
            namespace: Namespace::Unbound,
            binding: None,
            parent: self.open.last().copied(),
            end: index + 1,
            outer: span.start as u32..span.end as u32,
            inner: span.end as u32..span.end as u32,
            attributes: attributes_from..self.markup.attributes.len() as u32,
            bindings: bindings_from..self.markup.bindings.len() as u32,
        });
        self.open.push(index);
        self.resolve(index, prefix)
    }

    fn end(&mut self, span: Range<usize>) -> Result<(), BadDocument> {
        let index = self.open.pop().ok_or(outside(span.start))?;
        let end = self.markup.elements.len() as u32;
        let element = &mut self.markup.elements[index as usize];
        element.inner.end = span.start as u32;
        element.outer.end = span.end as u32;
        element.end = end;
        self.in_force -= element.bindings.len();
        Ok(())
    }

    fn text(&self, span: Range<usize>) -> Result<(), BadDocument> {
        let text = &self.markup.text[span.clone()];
        if self.open.is_empty() && !text.bytes().all(is_space) {
            return Err(outside(span.start));
        }
        match text.bytes().any(|byte| byte == b'>') && text.contains("]]>") {
            true => Err(malformed(span.start, "]]> in text")),
            false => Ok(()),
        }
    }

    fn reference(&self, span: Range<usize>, name: &str) -> Result<(), BadDocument> {
        if self.open.is_empty() {
            return Err(outside(span.start));
        }
        check_reference(name, span.start)
    }

    /// Reads what follows the name in a tag into the tables of attributes and declarations.
    fn attributes(&mut self, tag: &'a str, at: usize) -> Result<(), BadDocument> {
        let (attributes, bindings) = (self.markup.attributes.len(), self.markup.bindings.len());
        for (count, pair) in pairs(tag).enumerate() {
            let (name, raw) = pair.ok_or(malformed(at, "an attribute is not name=\"value\""))?;
            let (prefix, local) = split_name(name).ok_or(malformed(at, "an illegal attribute name"))?;
            if count == self.limits.attributes {
                return Err(BadDocument::TooManyAttributes(self.limits.attributes));
            }
            check_value(raw, at)?;
            let declared = match (prefix, local) {
                ("", "xmlns") => Some(""),
                ("xmlns", declared) => Some(declared),
                _ => None,
            };
            let twice = match declared {
                Some(declared) => self.markup.bindings[bindings..].iter().any(|one| one.prefix == declared),
                None => self.markup.attributes[attributes..].iter().any(|one| one.name == name),
            };
            if twice {
                return Err(BadDocument::DuplicateAttribute(quotable(name)));
            }
            match declared {
                Some(declared) => self.declare(declared, raw, at)?,
                None => self.markup.attributes.push(Attribute {
                    name,
                    prefix,
                    local,
                    namespace: Namespace::Unbound,
                    binding: None,
                    raw,
                }),
            }
        }
        Ok(())
    }

    fn declare(&mut self, prefix: &'a str, raw: &'a str, at: usize) -> Result<(), BadDocument> {
        if self.in_force == self.limits.namespaces {
            return Err(BadDocument::TooManyNamespaces(self.limits.namespaces));
        }
        let uri = lexis::attribute_value(raw);
        let namespace = Namespace::of(&uri);
        let reserved = namespace == Namespace::Xml || uri == "http://www.w3.org/2000/xmlns/";
        if reserved || matches!(prefix, "xml" | "xmlns") || (uri.is_empty() && !prefix.is_empty()) {
            return Err(malformed(at, "an illegal namespace declaration"));
        }
        self.in_force += 1;
        self.markup.bindings.push(Binding { prefix, uri, namespace });
        Ok(())
    }

    /// Finds the namespaces of an element and its attributes.
    fn resolve(&mut self, index: u32, prefix: &str) -> Result<(), BadDocument> {
        let (namespace, binding) = self.lookup(prefix)?;
        let element = &mut self.markup.elements[index as usize];
        (element.namespace, element.binding) = (namespace, binding);
        let attributes = element.attributes.start as usize..element.attributes.end as usize;

        for this in attributes.clone() {
            // The default namespace is not for attributes.
            if self.markup.attributes[this].prefix.is_empty() {
                continue;
            }
            let (namespace, binding) = self.lookup(self.markup.attributes[this].prefix)?;
            let attribute = &mut self.markup.attributes[this];
            (attribute.namespace, attribute.binding) = (namespace, binding);
            // Two prefixes can mean the same namespace, so equal names show only now.
            for other in attributes.start..this {
                if self.same_attribute(this, other) {
                    let name = self.markup.attributes[this].name;
                    return Err(BadDocument::DuplicateAttribute(quotable(name)));
                }
            }
        }
        Ok(())
    }

    fn same_attribute(&self, one: usize, other: usize) -> bool {
        let uri = |attribute: &Attribute| Some(&self.markup.bindings[attribute.binding? as usize].uri);
        let (one, other) = (&self.markup.attributes[one], &self.markup.attributes[other]);
        one.local == other.local && one.namespace == other.namespace && uri(one) == uri(other)
    }

    /// What a prefix means on the innermost open element; no declaration belongs to no namespace.
    fn lookup(&self, prefix: &str) -> Result<(Namespace, Option<u32>), BadDocument> {
        if prefix == "xml" {
            return Ok((Namespace::Xml, None));
        }
        for &element in self.open.iter().rev() {
            let bindings = self.markup.elements[element as usize].bindings.clone();
            for binding in bindings {
                let declared = &self.markup.bindings[binding as usize];
                // An empty prefix lies nowhere, and to compare with it costs more than with any other.
                if declared.prefix.len() == prefix.len() && (prefix.is_empty() || declared.prefix == prefix) {
                    return Ok((declared.namespace, Some(binding)));
                }
            }
        }
        match prefix.is_empty() {
            true => Ok((Namespace::Unbound, None)),
            false => Err(BadDocument::UndeclaredPrefix(quotable(prefix))),
        }
    }
}

/// Judges `<?xml ...?>`: at the very start, version 1.x, and no encoding but ours.
fn declaration(content: &str, at: usize) -> Result<(), BadDocument> {
    let bad = || malformed(at, "a bad XML declaration");
    if at != 0 {
        return Err(bad());
    }
    let mut expected = ["version", "encoding", "standalone"].iter();
    for (position, pair) in pairs(content).enumerate() {
        let (name, value) = pair.ok_or_else(bad)?;
        if !expected.any(|&one| one == name) || (position == 0 && name != "version") {
            return Err(bad());
        }
        let minor = value.strip_prefix("1.");
        match name {
            "version" if minor.is_none_or(|minor| minor.is_empty() || !all_digits(minor)) => {
                return Err(bad());
            }
            "encoding" if !value.eq_ignore_ascii_case("UTF-8") => {
                return Err(BadDocument::ForeignEncoding(quotable(value)));
            }
            "standalone" if !matches!(value, "yes" | "no") => return Err(bad()),
            _ => {}
        }
    }
    match lexis::trim(content).is_empty() {
        true => Err(bad()),
        false => Ok(()),
    }
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn instruction(content: &str, at: usize) -> Result<(), BadDocument> {
    let target = content.split(|character: char| character.is_ascii_whitespace()).next().unwrap_or("");
    match lexis::is_nc_name(target) && !target.eq_ignore_ascii_case("xml") {
        true => Ok(()),
        false => Err(malformed(at, "a bad processing instruction")),
    }
}

fn check_value(raw: &str, at: usize) -> Result<(), BadDocument> {
    if !raw.bytes().any(|byte| matches!(byte, b'<' | b'&')) {
        return Ok(());
    }
    if raw.contains('<') {
        return Err(malformed(at, "a < in an attribute"));
    }
    lexis::references(raw).try_for_each(|name| check_reference(name, at))
}

fn check_reference(name: &str, at: usize) -> Result<(), BadDocument> {
    if lexis::reference(name).is_some() {
        return Ok(());
    }
    match lexis::is_nc_name(name) {
        true => Err(BadDocument::Entity(quotable(name))),
        false => Err(malformed(at, "an illegal reference")),
    }
}

/// What stands between the delimiters of a tag.
fn inside<'a>(text: &'a str, span: &Range<usize>, before: &str, after: &str) -> Result<&'a str, BadDocument> {
    let whole = text.get(span.clone()).unwrap_or("");
    let inside = whole.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    inside.ok_or(malformed(span.start, "a broken tag"))
}

fn broken(error: &quick_xml::Error) -> &'static str {
    match error {
        quick_xml::Error::Syntax(_) => "a tag, comment or section is not closed",
        quick_xml::Error::IllFormed(_) => "tags do not match, or a comment or reference is broken",
        _ => "not XML",
    }
}

fn malformed(at: usize, what: &'static str) -> BadDocument {
    BadDocument::NotWellFormed { at, what }
}

fn outside(at: usize) -> BadDocument {
    malformed(at, "content outside the root element")
}

/// As much of a name as a one-line message should repeat.
pub fn quotable(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(document: &str) -> BadDocument {
        read(document.as_bytes(), &Limits::default()).expect_err(document)
    }

    #[track_caller]
    fn accepted(document: &str) {
        if let Err(refusal) = read(document.as_bytes(), &Limits::default()) {
            panic!("{document}: {refusal}");
        }
    }

    #[test]
    fn what_xml_allows_is_accepted() {
        for document in [
            "<a/>",
            "\u{FEFF}<?xml version='1.0' encoding='utf-8' standalone='yes'?>\r\n<a></a >\n<!-- end -->",
            "<?xml version=\"1.1\"?><a/>",
            "<a b = '1'\n\tc=\">\"/>",
            "<a><![CDATA[<b>&nothing;]]></a>",
            "<?style sheet?><a><?b?><!-- - --></a>",
            "<a>&lt;&#x20AC;&#9;</a>",
            "<a xmlns=\"urn:a\" xmlns:b=\"urn:b\" b:c=\"\" c=\"\"><b:d xmlns=\"\"/></a>",
            "<a xml:lang=\"en\"/>",
        ] {
            accepted(document);
        }
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for document in [
            "",
            " ",
            "a",
            "<a>",
            "</a>",
            "<a></b>",
            "<a><b></a></b>",
            "<a/><b/>",
            "<a/>b",
            "b<a/>",
            "&amp;<a/>",
            "<a",
            "<a b/>",
            "<a b=c/>",
            "<a b=\"1\"c=\"2\"/>",
            "<a b=\"<\"/>",
            "<a b=\"&\"/>",
            "<a>&</a>",
            "<a>]]></a>",
            "<a><!-- -- --></a>",
            "<a><!-- --->",
            "<1/>",
            "<a:b:c/>",
            "<a 1=\"\"/>",
            "< a/>",
            "<a><?xml version=\"1.0\"?></a>",
            " <?xml version=\"1.0\"?><a/>",
            "<?xml?><a/>",
            "<?XML ?><a/>",
            "<?xml encoding=\"UTF-8\"?><a/>",
            "<?xml version=\"2.0\"?><a/>",
            "<a>\u{1}</a>",
            "<a>&#1;</a>",
            "<a b=\"&#xFFFE;\"/>",
            "<a xmlns:b=\"\"/>",
            "<a xmlns:xmlns=\"urn:a\"/>",
            "<a xmlns:xml=\"urn:a\"/>",
            "<![CDATA[a]]><a/>",
            "<a><b/ ></a>",
            "<a>&#;</a>",
            "<a/ b=\"\">",
        ] {
            assert!(matches!(refusal(document), BadDocument::NotWellFormed { .. }), "{document}");
        }
    }

    #[test]
    fn document_types_and_their_entities_are_refused() {
        let laughs = "<!DOCTYPE a [<!ENTITY b \"ha\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>";

        assert_eq!(refusal(laughs), BadDocument::Doctype);
        assert_eq!(refusal("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>"), BadDocument::Doctype);
        assert_eq!(refusal("<a>&nbsp;</a>"), BadDocument::Entity("nbsp".into()));
        assert_eq!(refusal("<a b=\"&c;\"/>"), BadDocument::Entity("c".into()));
    }

    #[test]
    fn an_attribute_is_given_once_whatever_its_prefix() {
        for document in [
            "<a b=\"\" b=\"\"/>",
            "<a xmlns=\"urn:a\" xmlns=\"urn:a\"/>",
            "<a xmlns:b=\"urn:a\" xmlns:c=\"urn:&#97;\" b:d=\"\" c:d=\"\"/>",
        ] {
            assert!(matches!(refusal(document), BadDocument::DuplicateAttribute(_)), "{document}");
        }
    }

    #[test]
    fn a_prefix_is_declared_around_its_use() {
        assert_eq!(refusal("<a:b/>"), BadDocument::UndeclaredPrefix("a".into()));
        assert_eq!(refusal("<b a:c=\"\"/>"), BadDocument::UndeclaredPrefix("a".into()));
        assert_eq!(refusal("<b><c xmlns:a=\"urn:a\"/><a:d/></b>"), BadDocument::UndeclaredPrefix("a".into()));
    }

    #[test]
    fn only_utf_8_is_understood() {
        assert_eq!(
            refusal("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a/>"),
            BadDocument::ForeignEncoding("ISO-8859-1".into())
        );
        for bytes in [&b"<a>\xE9</a>"[..], b"\xFF\xFE<\0a\0/\0>\0"] {
            assert_eq!(read(bytes, &Limits::default()).unwrap_err(), BadDocument::NotUtf8);
        }
    }

    #[test]
    fn every_limit_is_kept_exactly() {
        let limits = Limits { bytes: 100, depth: 2, attributes: 2, namespaces: 1 };
        let within = ["<a><b/></a>", "<a b=\"\" c=\"\"/>", "<a xmlns=\"urn:a\"/>"];
        let beyond = [
            ("<a><b><c/></b></a>", BadDocument::TooDeep(2)),
            ("<a b=\"\" c=\"\" d=\"\"/>", BadDocument::TooManyAttributes(2)),
            ("<a xmlns=\"urn:a\"><b xmlns=\"urn:b\"/></a>", BadDocument::TooManyNamespaces(1)),
        ];

        for document in within {
            assert!(read(document.as_bytes(), &limits).is_ok(), "{document}");
        }
        for (document, refusal) in beyond {
            assert_eq!(read(document.as_bytes(), &limits).unwrap_err(), refusal);
        }
        assert!(read(format!("<a>{}</a>", " ".repeat(93)).as_bytes(), &limits).is_ok());
        let large = format!("<a>{}</a>", " ".repeat(94));
        assert_eq!(read(large.as_bytes(), &limits).unwrap_err(), BadDocument::TooLarge(100));
    }

    #[test]
    fn text_is_read_through_references_sections_and_comments() {
        let document = "<a>x &amp; <!-- no --><![CDATA[<y>]]>\r\n&#233;<?z?></a>";

        let markup = read(document.as_bytes(), &Limits::default()).unwrap();

        assert_eq!(markup.root().text().unwrap(), "x & <y>\né");
    }
}
