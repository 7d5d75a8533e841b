//! PUBLISH at the border: the request turned into valid values, and these into the command that records it
//! (RFC 3903 section 6, its steps in their order).

use bytes::Bytes;
use placement::PresentityKey;
use presence::package::{self, Package};
use presence::said::Said;
use proto::v1;
use sip::{Message, Name};

use crate::answer::Refuse;
use crate::config::Config;
use crate::pending::Client;
use crate::request::{extensions, lifetime, presentity};
use crate::said::in_short;

#[derive(Debug)]
pub(crate) struct Publish {
    pub presentity: PresentityKey,
    pub package: &'static Package,
    /// SIP-If-Match; empty for an initial publication.
    pub if_match: String,
    /// Seconds; 0 removes.
    pub expires: u32,
    /// What the body says, once it was looked into.
    pub said: Said,
    /// Why it is refused if its entity-tag is good. Whether it is, step 3, is for the log to say.
    pub flaw: Option<Refuse>,
}

impl Publish {
    pub fn parse(request: &Message, config: &Config) -> Result<Publish, Refuse> {
        extensions(request, &[])?;
        let presentity = presentity(request.request_uri(), config)?;
        let event = request.event().map_err(Refuse::Fault)?.ok_or(Refuse::UnknownEvent)?;
        let package = package::find(event.package).ok_or(Refuse::UnknownEvent)?;
        let if_match = if_match(request)?;
        let mut publish =
            Publish { presentity, package, if_match, expires: 0, said: Said::default(), flaw: None };
        match expires(request, package, &publish.if_match, config) {
            Ok(expires) => publish.expires = expires,
            Err(flaw) => publish.flawed(flaw)?,
        }
        Ok(publish)
    }

    /// Looks into the body: after the sender is known, because it is the costly part.
    pub fn check_body(&mut self, request: &Message) -> Result<(), Refuse> {
        let body = request.body();
        // A body that comes with a removal is tolerated and not looked at: it is never stored.
        if body.is_empty() || self.expires == 0 {
            return Ok(());
        }
        match self.package.check_body(&body) {
            Ok(said) => self.said = said,
            Err(bad) if bad.is_too_intricate() => self.flawed(Refuse::IntricateBody(bad.to_string()))?,
            Err(bad) => self.flawed(Refuse::BadBody(bad.to_string()))?,
        }
        Ok(())
    }

    fn flawed(&mut self, flaw: Refuse) -> Result<(), Refuse> {
        if self.if_match.is_empty() {
            return Err(flaw);
        }
        self.flaw = Some(flaw);
        Ok(())
    }

    pub fn command(&self, client: &Client) -> v1::Publish {
        v1::Publish {
            repeat_key: Bytes::copy_from_slice(&client.repeat.0),
            presentity: self.presentity.as_str().to_owned(),
            event: self.package.name.to_owned(),
            if_match: self.if_match.clone(),
            document: if self.expires == 0 { Bytes::new() } else { client.request.body() },
            expires: self.expires,
            source: client.source.clone(),
            said: in_short(&self.said),
            ..v1::Publish::default()
        }
    }
}

/// Steps 4 and 5, as far as they need no look into the body: the lifetime granted.
fn expires(
    request: &Message,
    package: &'static Package,
    if_match: &str,
    config: &Config,
) -> Result<u32, Refuse> {
    let expires = lifetime(request.expires().map_err(Refuse::Fault)?, config.publish)?;
    check_type(request, package)?;
    if request.body().is_empty() && if_match.is_empty() {
        return Err(Refuse::BadBody("an initial publication needs a body".into()));
    }
    if request.body().len() > config.limits.document {
        return Err(Refuse::BodyTooLarge);
    }
    Ok(expires)
}

/// Step 3: exactly one entity-tag, if any.
fn if_match(request: &Message) -> Result<String, Refuse> {
    let bad = Refuse::Fault(sip::Fault { status: 400, reason: "Bad SIP-If-Match" });
    let mut values = request.values(Name::SipIfMatch);
    let Some(tag) = values.next() else { return Ok(String::new()) };
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.!%_`'~+".contains(byte);
    if values.next().is_some() || tag.is_empty() || !tag.iter().all(token) {
        return Err(bad);
    }
    String::from_utf8(tag.to_vec()).map_err(|_| bad)
}

/// Step 5: a body of a type and encoding that we read.
fn check_type(request: &Message, package: &'static Package) -> Result<(), Refuse> {
    if request.body().is_empty() {
        return Ok(());
    }
    let encoded =
        request.values(Name::ContentEncoding).any(|encoding| !encoding.eq_ignore_ascii_case(b"identity"));
    if encoded {
        return Err(Refuse::UnsupportedEncoding);
    }
    let content_type = request.text(Name::ContentType).unwrap_or_default();
    let content_type = content_type.split(';').next().unwrap_or_default().trim();
    let known = package.content_types.iter().any(|known| known.eq_ignore_ascii_case(content_type));
    known.then_some(()).ok_or(Refuse::UnsupportedBody(package::accept()))
}
