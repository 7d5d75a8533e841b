//! Between the agent's values and the messages of the contracts.

use cluster::{Group, Role};
use placement::directory::Member;
use placement::{Directory, NodeId, PresentityKey};
use presence::position::Position;
use presence::status::{AltContact, Status};
use presence_agent::api::{Counts, Credentials, PresentityState, SetSource, SourceState, WatcherState};
use presence_agent::feature_code::{FeatureCode, SOURCE};
use presence_agent::shard::{Change, What};
use proto::v1;

/// The longest name of a source and the longest note, in bytes: every replica keeps them.
const MAX_SOURCE: usize = 128;
const MAX_NOTE: usize = 1_024;
/// The longest part of credentials, in bytes.
const MAX_CREDENTIAL: usize = 512;

/// An invalid request, in a sentence that says what would be valid.
pub type Invalid = String;

pub fn presentity(text: &str, domains: &[String]) -> Result<PresentityKey, Invalid> {
    let key = PresentityKey::of(text)
        .ok_or_else(|| format!("{text:?} is not an address like sip:alice@example.com"))?;
    if !domains.iter().any(|domain| domain == key.domain()) {
        return Err(format!("{:?} is not a domain served here ({})", key.domain(), domains.join(", ")));
    }
    Ok(key)
}

pub fn set_source(request: v1::PublishRequest, domains: &[String]) -> Result<SetSource, Invalid> {
    let presentity = presentity(&request.presentity, domains)?;
    let credentials = credentials(request.credentials)?;
    let contacts = request.contacts.iter().map(|contact| (contact.uri.as_str(), contact.priority));
    let contacts = AltContact::list(contacts).map_err(|error| error.to_string())?;
    let status = match request.status.as_str() {
        "" if !contacts.is_empty() => None,
        name => Some(status(name)?),
    };
    if request.note.len() > MAX_NOTE {
        return Err(format!("the note has {} bytes; at most {MAX_NOTE} are kept", request.note.len()));
    }
    let note = Some(request.note).filter(|note| !note.is_empty());
    let state = Some(SourceState { status, note, contacts, expires: request.expires });
    Ok(SetSource { presentity, source: source(request.source)?, state, credentials })
}

fn status(name: &str) -> Result<Status, Invalid> {
    Status::parse(name).ok_or_else(|| {
        let names: Vec<_> = Status::names().collect();
        format!("{name:?} is no status; there are {}", names.join(", "))
    })
}

/// The status that was dialled, and the change that it asks for.
pub fn dial(
    request: v1::DialRequest,
    feature_code: &str,
    domains: &[String],
) -> Result<(Status, SetSource), Invalid> {
    let presentity = presentity(&request.account, domains)?;
    let dialled = FeatureCode::parse(feature_code, &request.code, &request.digit);
    let dialled = dialled.ok_or_else(|| match feature_code {
        "" => "feature codes are turned off".to_owned(),
        code => format!("{:?} is no feature code; the one served here is {code}", request.code),
    })?;
    let FeatureCode { status, note } = dialled.map_err(|error| error.to_string())?;
    let note = Some(request.note).filter(|note| !note.is_empty()).or(note);
    if note.as_ref().is_some_and(|note| note.len() > MAX_NOTE) {
        return Err(format!("the note is longer than the {MAX_NOTE} bytes that are kept"));
    }
    let code = FeatureCode { status, note };
    let state = code.sets().map(|status| SourceState {
        status: Some(status),
        note: code.note.clone(),
        contacts: Vec::new(),
        expires: 0,
    });
    Ok((status, SetSource { presentity, source: SOURCE.to_owned(), state, credentials: None }))
}

pub fn remove_source(request: v1::RemoveRequest, domains: &[String]) -> Result<SetSource, Invalid> {
    let presentity = presentity(&request.presentity, domains)?;
    let credentials = credentials(request.credentials)?;
    Ok(SetSource { presentity, source: source(request.source)?, state: None, credentials })
}

fn credentials(credentials: Option<v1::Credentials>) -> Result<Option<Credentials>, Invalid> {
    let Some(v1::Credentials { username, realm, password, source }) = credentials else { return Ok(None) };
    let is_short = [&username, &realm, &password, &source].iter().all(|text| text.len() <= MAX_CREDENTIAL);
    match is_short && !username.is_empty() && !realm.is_empty() {
        true => Ok(Some(Credentials { username, realm, password, source })),
        false => Err(format!(
            "credentials have a username, a realm and a password of up to {MAX_CREDENTIAL} bytes"
        )),
    }
}

/// A position as this API writes it, "index.offset"; nothing where there is none.
pub fn position(text: &str) -> Result<Option<Position>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    let parts = text.split_once('.').and_then(|(entry, offset)| {
        let (entry, offset) = (entry.parse::<u64>().ok()?, offset.parse::<usize>().ok()?);
        (entry < 1 << 53 && offset < 1 << 10).then(|| Position::new(entry, offset))
    });
    parts.map(Some).ok_or_else(|| format!("{text:?} is no position, as an answer had it (like 120.3)"))
}

fn source(name: String) -> Result<String, Invalid> {
    // A history names phones so.
    let is_phone = name.starts_with("phone ");
    let valid =
        !is_phone && !name.is_empty() && name.len() <= MAX_SOURCE && !name.chars().any(char::is_control);
    if valid { Ok(name) } else { Err(format!("a source is named with 1 to {MAX_SOURCE} bytes of text")) }
}

pub fn state(state: PresentityState) -> v1::PresentityState {
    v1::PresentityState {
        presentity: state.presentity.uri(),
        position: state.position.to_string(),
        basic: basic(state.open).to_owned(),
        notes: state.notes,
        activities: state.activities,
        publications: state.publications as u32,
        sources: state.sources as u32,
        bindings: state.bindings as u32,
        document: state.document,
        status: state.status.name().to_owned(),
    }
}

fn basic(open: bool) -> &'static str {
    if open { "open" } else { "closed" }
}

pub fn watcher(watcher: WatcherState, directory: &Directory) -> v1::Watcher {
    v1::Watcher {
        watcher: PresentityKey::restored(&watcher.watcher).uri(),
        event: watcher.event,
        state: match (watcher.ended, watcher.pending) {
            (true, _) => "terminated",
            (false, true) => "pending",
            (false, false) => "active",
        }
        .to_owned(),
        expires: watcher.seconds_left,
        owner: watcher.owner.0,
        owner_name: directory.name_of(watcher.owner),
        call_id: watcher.call_id,
        tenant: watcher.tenant,
    }
}

pub fn change(change: Change) -> v1::Change {
    let what = match &change.deed.what {
        What::Said(_) => "said",
        What::Removed => "removed",
        What::Expired => "expired",
    };
    let said = change.deed.said().unwrap_or_default();
    v1::Change {
        position: change.position.to_string(),
        at: change.at.0,
        source: change.deed.source.to_string(),
        what: what.to_owned(),
        status: said.status,
        basic: said.open.map_or("", basic).to_owned(),
        activities: said.activities,
        note: said.note,
    }
}

pub fn member(node: NodeId, member: &Member) -> v1::Member {
    let Member { name, grpc, sip, .. } = member.clone();
    v1::Member { node: node.0, name, grpc, sip }
}

pub fn group(group: &Group, counts: Counts) -> v1::GroupStatus {
    let status = group.status();
    let role = match status.role {
        Role::Leader => "leader",
        Role::Candidate => "candidate",
        Role::Follower => "follower",
        Role::Learner => "learner",
        Role::Stopped => "stopped",
    };
    v1::GroupStatus {
        group: group.id().0,
        role: role.to_owned(),
        leader: status.leader.map_or(0, |leader| leader.0),
        term: status.term,
        last_log: status.last_log,
        committed: status.committed,
        applied: status.applied,
        snapshot: status.snapshot,
        voters: group.voters().into_iter().map(|node| node.0).collect(),
        counts: Some(v1::Counts {
            presentities: counts.presentities as u64,
            publications: counts.publications as u64,
            sources: counts.sources as u64,
            bindings: counts.bindings as u64,
            subscriptions: counts.subscriptions as u64,
            owned: counts.owned as u64,
            dirty: counts.dirty as u64,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_written() {
        let position_7_3 = Position::new(7, 3);

        assert_eq!(position(&position_7_3.to_string()), Ok(Some(position_7_3)));
        assert_eq!(position(""), Ok(None));
        for nonsense in ["7", "7.x", "-1.0", "1.1024", "99999999999999999999.0", "9007199254740992.0"] {
            assert!(position(nonsense).is_err(), "{nonsense}");
        }
    }

    fn published(status: &str, contacts: &[(&str, u32)]) -> Result<SourceState, Invalid> {
        let contact =
            |(uri, priority): &(&str, u32)| v1::Contact { uri: (*uri).to_owned(), priority: *priority };
        let request = v1::PublishRequest {
            presentity: "sip:alice@lab.test".into(),
            source: "portal".into(),
            status: status.into(),
            contacts: contacts.iter().map(contact).collect(),
            ..v1::PublishRequest::default()
        };
        set_source(request, &["lab.test".to_owned()]).map(|change| change.state.expect("it says something"))
    }

    #[test]
    fn a_source_says_a_status_or_contacts_or_both() {
        let number = ("tel:+4930123456", 800);

        assert_eq!(published("away", &[]).unwrap().status, Some(Status::Away));
        assert_eq!(published("", &[number]).unwrap().status, None);
        assert_eq!(published("away", &[number]).unwrap().contacts.len(), 1);
        assert!(published("", &[]).is_err());
        assert!(published("away", &[("javascript:x", 0)]).is_err());
        assert!(published("away", &[("tel:1", 1_001)]).is_err());
    }

    fn dialled(code: &str, digit: &str) -> Result<(Status, SetSource), Invalid> {
        let request = v1::DialRequest {
            account: "sip:alice@lab.test".into(),
            code: code.into(),
            digit: digit.into(),
            note: String::new(),
        };
        dial(request, "*48", &["lab.test".to_owned()])
    }

    #[test]
    fn a_voice_menu_sets_hard_state_and_available_clears_it() {
        let (status, change) = dialled("*48", "5").unwrap();
        let state = change.state.unwrap();
        assert_eq!(
            (status, state.status, state.expires),
            (Status::DoNotDisturb, Some(Status::DoNotDisturb), 0)
        );

        let (status, change) = dialled("*482", "").unwrap();
        assert_eq!((status, change.state.is_none()), (Status::Available, true));
    }

    #[test]
    fn what_is_no_feature_code_is_told_with_the_one_that_is() {
        assert!(dialled("*99", "5").unwrap_err().contains("*48"));
        assert!(dialled("*48", "9").unwrap_err().contains("5 do not disturb"));
    }
}
