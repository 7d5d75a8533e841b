//! The extension vocabularies as tables: RPID (RFC 4480), CIPID (RFC 4482), capabilities (RFC 5196).
//!
//! Each table repeats the order and the names of its schema, nothing more; `schema` knows how to walk them.

use super::markup::Namespace;
use super::schema::{Content, Kind, Named, Slot};
use super::simple::Simple;

/// Where an element stands with the schemas if an extension may stand where it stands.
pub enum Verdict {
    /// Declared: it must fit its table.
    Known(&'static Kind),
    /// Declared, but never an extension.
    Misplaced,
    /// No schema speaks of it.
    Unlisted,
}

pub fn find(namespace: Namespace, local: &str) -> Verdict {
    let table: &[Named] = match (namespace, local) {
        (Namespace::Pidf, "presence") | (Namespace::DataModel, "person" | "device") => {
            return Verdict::Misplaced;
        }
        (Namespace::DataModel, _) => &[("deviceID", &URI)],
        (Namespace::Rpid, _) => RPID,
        (Namespace::Cipid, _) => CIPID,
        (Namespace::Caps, _) => &[("servcaps", &SERVCAPS), ("devcaps", &DEVCAPS)],
        _ => return Verdict::Unlisted,
    };
    let known = table.iter().find(|(name, _)| *name == local);
    known.map_or(Verdict::Unlisted, |&(_, kind)| Verdict::Known(kind))
}

/// Whether RPID lists it as something a person can be doing.
pub fn is_activity(local: &str) -> bool {
    activities().any(|name| name == local)
}

pub fn activities() -> impl Iterator<Item = &'static str> {
    ACTIVITIES.iter().map(|(name, _)| *name)
}

/// An element that says all by its name.
pub const EMPTY: Kind = plain(Content::Empty);

/// A note in some language.
pub const NOTE: Kind = Kind { language: true, ..TEXT };

const TEXT: Kind = plain(Content::Text(Simple::Any));
const URI: Kind = plain(Content::Text(Simple::AnyUri));
const BOOLEAN: Kind = plain(Content::Text(Simple::Boolean));

const fn plain(content: Content) -> Kind {
    Kind { attributes: &[], required: &[], language: false, any_attribute: false, content }
}

/// An RPID element that may be limited in time.
const fn timed(content: Content) -> Kind {
    Kind { attributes: FROM_UNTIL, any_attribute: true, ..plain(content) }
}

const FROM_UNTIL: &[(&str, Simple)] =
    &[("from", Simple::DateTime), ("until", Simple::DateTime), ("id", Simple::Id)];

const RPID: &[Named] = &[
    ("activities", &timed(Content::AnyOf { names: ACTIVITIES, notes_suffice: true })),
    ("class", &TEXT),
    ("mood", &timed(Content::AnyOf { names: MOODS, notes_suffice: false })),
    ("place-is", &timed(PLACE_IS)),
    ("place-type", &timed(one_of(&[("other", &NOTE)]))),
    ("privacy", &timed(PRIVACY)),
    ("relationship", &plain(one_of(RELATIONSHIPS))),
    ("service-class", &plain(one_of(SERVICE_CLASSES))),
    ("sphere", &timed(Content::OneOf { notes: false, names: SPHERES, foreign: true })),
    ("status-icon", &timed(Content::Text(Simple::AnyUri))),
    ("time-offset", &TIME_OFFSET),
    ("user-input", &USER_INPUT),
];

const fn one_of(names: &'static [Named<'static>]) -> Content {
    Content::OneOf { notes: true, names, foreign: true }
}

#[rustfmt::skip]
const ACTIVITIES: &[Named] = &[
    ("appointment", &EMPTY), ("away", &EMPTY), ("breakfast", &EMPTY), ("busy", &EMPTY), ("dinner", &EMPTY),
    ("holiday", &EMPTY), ("in-transit", &EMPTY), ("looking-for-work", &EMPTY), ("meal", &EMPTY),
    ("meeting", &EMPTY), ("on-the-phone", &EMPTY), ("performance", &EMPTY), ("permanent-absence", &EMPTY),
    ("playing", &EMPTY), ("presentation", &EMPTY), ("shopping", &EMPTY), ("sleeping", &EMPTY),
    ("spectator", &EMPTY), ("steering", &EMPTY), ("travel", &EMPTY), ("tv", &EMPTY), ("vacation", &EMPTY),
    ("working", &EMPTY), ("worship", &EMPTY),
    ("other", &NOTE),
];

#[rustfmt::skip]
const MOODS: &[Named] = &[
    ("afraid", &EMPTY), ("amazed", &EMPTY), ("angry", &EMPTY), ("annoyed", &EMPTY), ("anxious", &EMPTY),
    ("ashamed", &EMPTY), ("bored", &EMPTY), ("brave", &EMPTY), ("calm", &EMPTY), ("cold", &EMPTY),
    ("confused", &EMPTY), ("contented", &EMPTY), ("cranky", &EMPTY), ("curious", &EMPTY),
    ("depressed", &EMPTY), ("disappointed", &EMPTY), ("disgusted", &EMPTY), ("distracted", &EMPTY),
    ("embarrassed", &EMPTY), ("excited", &EMPTY), ("flirtatious", &EMPTY), ("frustrated", &EMPTY),
    ("grumpy", &EMPTY), ("guilty", &EMPTY), ("happy", &EMPTY), ("hot", &EMPTY), ("humbled", &EMPTY),
    ("humiliated", &EMPTY), ("hungry", &EMPTY), ("hurt", &EMPTY), ("impressed", &EMPTY), ("in_awe", &EMPTY),
    ("in_love", &EMPTY), ("indignant", &EMPTY), ("interested", &EMPTY), ("invincible", &EMPTY),
    ("jealous", &EMPTY), ("lonely", &EMPTY), ("mean", &EMPTY), ("moody", &EMPTY), ("nervous", &EMPTY),
    ("neutral", &EMPTY), ("offended", &EMPTY), ("playful", &EMPTY), ("proud", &EMPTY), ("relieved", &EMPTY),
    ("remorseful", &EMPTY), ("restless", &EMPTY), ("sad", &EMPTY), ("sarcastic", &EMPTY),
    ("serious", &EMPTY), ("shocked", &EMPTY), ("shy", &EMPTY), ("sick", &EMPTY), ("sleepy", &EMPTY),
    ("stressed", &EMPTY), ("surprised", &EMPTY), ("thirsty", &EMPTY), ("worried", &EMPTY),
    ("other", &NOTE),
];

#[rustfmt::skip]
const RELATIONSHIPS: &[Named] = &[
    ("assistant", &EMPTY), ("associate", &EMPTY), ("family", &EMPTY), ("friend", &EMPTY), ("self", &EMPTY),
    ("supervisor", &EMPTY), ("unknown", &EMPTY),
    ("other", &NOTE),
];

#[rustfmt::skip]
const SERVICE_CLASSES: &[Named] = &[
    ("courier", &EMPTY), ("electronic", &EMPTY), ("freight", &EMPTY), ("in-person", &EMPTY),
    ("postal", &EMPTY), ("unknown", &EMPTY),
];

const SPHERES: &[Named] = &[("home", &EMPTY), ("work", &EMPTY), ("unknown", &EMPTY)];

const PLACE_IS: Content = Content::Sequence {
    slots: &[
        many("note", &NOTE),
        one("audio", &place(&[("noisy", &EMPTY), ("ok", &EMPTY), ("quiet", &EMPTY), ("unknown", &EMPTY)])),
        one("video", &place(&[("toobright", &EMPTY), ("ok", &EMPTY), ("dark", &EMPTY), ("unknown", &EMPTY)])),
        one(
            "text",
            &place(&[
                ("uncomfortable", &EMPTY),
                ("inappropriate", &EMPTY),
                ("ok", &EMPTY),
                ("unknown", &EMPTY),
            ]),
        ),
    ],
    foreign: false,
    otherwise: None,
    may_be_empty: false,
};

const fn place(names: &'static [Named<'static>]) -> Kind {
    plain(Content::OneOf { notes: false, names, foreign: false })
}

const PRIVACY: Content = Content::Sequence {
    slots: &[many("note", &NOTE), one("audio", &EMPTY), one("text", &EMPTY), one("video", &EMPTY)],
    foreign: true,
    otherwise: Some("unknown"),
    may_be_empty: false,
};

const TIME_OFFSET: Kind = Kind {
    attributes: &[
        ("from", Simple::DateTime),
        ("until", Simple::DateTime),
        ("description", Simple::Any),
        ("id", Simple::Id),
    ],
    ..timed(Content::Text(Simple::Integer))
};

const USER_INPUT: Kind = Kind {
    attributes: &[
        ("idle-threshold", Simple::PositiveInteger),
        ("last-input", Simple::DateTime),
        ("id", Simple::Id),
    ],
    ..timed(Content::Text(Simple::ActiveIdle))
};

const CIPID: &[Named] = &[
    ("card", &URI),
    ("display-name", &TEXT),
    ("homepage", &URI),
    ("icon", &URI),
    ("map", &URI),
    ("sound", &URI),
];

const SERVCAPS: Kind = capabilities(&[
    one("actor", &ACTOR),
    one("application", &BOOLEAN),
    one("audio", &BOOLEAN),
    one("automata", &BOOLEAN),
    one("class", &CLASS),
    one("control", &BOOLEAN),
    one("data", &BOOLEAN),
    many("description", &NOTE),
    one("duplex", &DUPLEX),
    one("event-packages", &EVENT_PACKAGES),
    one("extensions", &EXTENSIONS),
    one("isfocus", &BOOLEAN),
    one("message", &BOOLEAN),
    one("methods", &METHODS),
    one("languages", &LANGUAGES),
    one("priority", &PRIORITY),
    one("schemes", &SCHEMES),
    one("text", &BOOLEAN),
    many("type", &TEXT),
    one("video", &BOOLEAN),
]);

const DEVCAPS: Kind = capabilities(&[many("description", &NOTE), one("mobility", &MOBILITY)]);

const fn capabilities(slots: &'static [Slot]) -> Kind {
    Kind { any_attribute: true, ..set(slots) }
}

const fn one(name: &'static str, kind: &'static Kind) -> Slot {
    Slot { name, kind, many: false }
}

const fn many(name: &'static str, kind: &'static Kind) -> Slot {
    Slot { name, kind, many: true }
}

/// Any of these in this order, then foreign ones.
const fn set(slots: &'static [Slot]) -> Kind {
    plain(Content::Sequence { slots, foreign: true, otherwise: None, may_be_empty: true })
}

/// What is supported and what is not, both of the same set.
const fn statement(slots: &'static [Slot]) -> Kind {
    plain(Content::Sequence { slots, foreign: false, otherwise: None, may_be_empty: true })
}

/// A list that must not be empty.
const fn list(slots: &'static [Slot]) -> Kind {
    plain(Content::Sequence { slots, foreign: false, otherwise: None, may_be_empty: false })
}

const fn bounds(required: &'static [(&'static str, Simple)]) -> Kind {
    Kind { required, ..EMPTY }
}

const ACTOR: Kind = statement(&[one("supported", &ACTORS), one("notsupported", &ACTORS)]);

#[rustfmt::skip]
const ACTORS: Kind = set(&[
    one("attendant", &TEXT), one("information", &TEXT), one("msg-taker", &TEXT), one("principal", &TEXT),
]);

const CLASS: Kind = statement(&[one("supported", &CLASSES), one("notsupported", &CLASSES)]);

#[rustfmt::skip]
const CLASSES: Kind = set(&[
    one("business", &TEXT), one("personal", &TEXT),
]);

const DUPLEX: Kind = statement(&[one("supported", &DUPLEXES), one("notsupported", &DUPLEXES)]);

#[rustfmt::skip]
const DUPLEXES: Kind = set(&[
    one("full", &TEXT), one("half", &TEXT), one("receive-only", &TEXT), one("send-only", &TEXT),
]);

const EVENT_PACKAGES: Kind = statement(&[one("supported", &EVENTS), one("notsupported", &EVENTS)]);

#[rustfmt::skip]
const EVENTS: Kind = set(&[
    one("conference", &TEXT), one("dialog", &TEXT), one("kpml", &TEXT), one("message-summary", &TEXT),
    one("poc-settings", &TEXT), one("presence", &TEXT), one("reg", &TEXT), one("refer", &TEXT),
    one("Siemens-RTP-Stats", &TEXT), one("spirits-INDPs", &TEXT), one("spirits-user-prof", &TEXT),
    one("winfo", &TEXT),
]);

const EXTENSIONS: Kind =
    statement(&[one("supported", &EXTENSION_TAGS), one("notsupported", &EXTENSION_TAGS)]);

#[rustfmt::skip]
const EXTENSION_TAGS: Kind = set(&[
    one("rel100", &TEXT), one("early-session", &TEXT), one("eventlist", &TEXT), one("from-change", &TEXT),
    one("gruu", &TEXT), one("hist-info", &TEXT), one("join", &TEXT), one("norefersub", &TEXT),
    one("path", &TEXT), one("precondition", &TEXT), one("pref", &TEXT), one("privacy", &TEXT),
    one("recipient-list-invite", &TEXT), one("recipient-list-subscribe", &TEXT), one("replaces", &TEXT),
    one("resource-priority", &TEXT), one("sdp-anat", &TEXT), one("sec-agree", &TEXT), one("tdialog", &TEXT),
    one("timer", &TEXT),
]);

const METHODS: Kind = statement(&[one("supported", &METHOD_NAMES), one("notsupported", &METHOD_NAMES)]);

#[rustfmt::skip]
const METHOD_NAMES: Kind = set(&[
    one("ACK", &TEXT), one("BYE", &TEXT), one("CANCEL", &TEXT), one("INFO", &TEXT), one("INVITE", &TEXT),
    one("MESSAGE", &TEXT), one("NOTIFY", &TEXT), one("OPTIONS", &TEXT), one("PRACK", &TEXT),
    one("PUBLISH", &TEXT), one("REFER", &TEXT), one("REGISTER", &TEXT), one("SUBSCRIBE", &TEXT),
    one("UPDATE", &TEXT),
]);

const MOBILITY: Kind = statement(&[one("supported", &MOBILITIES), one("notsupported", &MOBILITIES)]);

#[rustfmt::skip]
const MOBILITIES: Kind = set(&[
    one("fixed", &TEXT), one("mobile", &TEXT),
]);

const LANGUAGES: Kind = statement(&[
    one("supported", &list(&[many("l", &TEXT)])),
    one("notsupported", &list(&[many("l", &TEXT)])),
]);

const SCHEMES: Kind = statement(&[
    one("supported", &list(&[many("s", &TEXT)])),
    one("notsupported", &list(&[many("s", &TEXT)])),
]);

const PRIORITY: Kind = statement(&[one("supported", &PRIORITIES), one("notsupported", &PRIORITIES)]);

// The misspelt name is the schema's (RFC 5196 §5).
const PRIORITIES: Kind = set(&[
    many("equals", &bounds(&[("value", Simple::Integer)])),
    many("higherhan", &bounds(&[("minvalue", Simple::Integer)])),
    many("lowerthan", &bounds(&[("maxvalue", Simple::Integer)])),
    many("range", &bounds(&[("minvalue", Simple::Integer), ("maxvalue", Simple::Integer)])),
]);
