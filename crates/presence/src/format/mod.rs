//! The document formats of the event packages: how each is read, checked and written.
//!
//! A document is never built into a tree of its own. `xml` reads it once into a flat table of spans (`markup`);
//! formats look at that table, and what they do not know they copy byte for byte (`page`). What of the known
//! vocabularies the schemas would refuse is repaired on the way out (`schema`), because phones publish worse
//! documents than they accept.

mod ids;
mod lexis;
pub(crate) mod markup;
pub(crate) mod page;
pub mod pidf;
pub(crate) mod schema;
pub(crate) mod service;
pub(crate) mod simple;
pub(crate) mod vocabulary;
mod xml;

/// How much of a document is looked at before it is refused. No setting: what one manager takes, all of them compose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of the document in bytes.
    pub bytes: usize,
    /// Elements inside one another, the root included.
    pub depth: usize,
    /// Attributes of one element, namespace declarations included.
    pub attributes: usize,
    /// Namespace declarations in force at one place of the document.
    pub namespaces: usize,
}

impl Limits {
    /// A composed document can itself be read, and carries declarations its parts did not; so its bounds are wider
    /// than those a publisher must keep, and only a backstop.
    pub(crate) const COMPOSED: Limits =
        Limits { bytes: 4 * page::FULL, depth: 64, attributes: 256, namespaces: 256 };
}

/// The size that a document may have unless the operator says otherwise.
pub const DEFAULT_DOCUMENT_BYTES: usize = 64 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes: DEFAULT_DOCUMENT_BYTES, depth: 32, attributes: 64, namespaces: 64 }
    }
}

/// Why a published document is refused. Each reads as one line, fit for a Warning header or an API answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDocument {
    #[error("the document is larger than {0} bytes")]
    TooLarge(usize),
    #[error("elements are nested more than {0} deep")]
    TooDeep(usize),
    #[error("an element has more than {0} attributes")]
    TooManyAttributes(usize),
    #[error("more than {0} namespaces are declared around an element")]
    TooManyNamespaces(usize),
    #[error("the document is not UTF-8")]
    NotUtf8,
    #[error("the document says it is encoded in {0}, only UTF-8 is understood")]
    ForeignEncoding(String),
    #[error("a document type declaration is not allowed")]
    Doctype,
    #[error("the entity {0} is not allowed")]
    Entity(String),
    #[error("not well-formed at byte {at}: {what}")]
    NotWellFormed { at: usize, what: &'static str },
    #[error("the attribute {0} is given twice")]
    DuplicateAttribute(String),
    #[error("the prefix {0} is not declared")]
    UndeclaredPrefix(String),
    #[error("the root element is {0}, not a PIDF presence")]
    NotPresence(String),
    #[error("the extension {0} must be understood and is not")]
    NotUnderstood(String),
}

impl BadDocument {
    /// Whether it is nested or crowded beyond what is looked at.
    pub fn is_too_intricate(&self) -> bool {
        matches!(
            self,
            BadDocument::TooDeep(_) | BadDocument::TooManyAttributes(_) | BadDocument::TooManyNamespaces(_)
        )
    }
}
