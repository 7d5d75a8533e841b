//! Between the agent's values and the messages of the contracts.

use std::time::Duration;

use cluster::{Group, Role};
use placement::directory::Member;
use placement::{Directory, NodeId, PresentityKey};
use presence::status::Status;
use presence_agent::api::{Counts, PresentityState, SetSource, SourceState, WatcherState};
use presence_agent::feature_code::{FeatureCode, SOURCE};
use presence_agent::verdict::{Decision, Question, Verdict};
use proto::v1;

/// The longest name of a source and the longest note, in bytes: every replica keeps them.
const MAX_SOURCE: usize = 128;
const MAX_NOTE: usize = 1_024;

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
    let status = Status::parse(&request.status).ok_or_else(|| {
        let names: Vec<_> = Status::names().collect();
        format!("{:?} is no status; there are {}", request.status, names.join(", "))
    })?;
    if request.note.len() > MAX_NOTE {
        return Err(format!("the note has {} bytes; at most {MAX_NOTE} are kept", request.note.len()));
    }
    let note = Some(request.note).filter(|note| !note.is_empty());
    let state = Some(SourceState { status, note, expires: request.expires });
    Ok(SetSource { presentity, source: source(request.source)?, state })
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
    let state = code.sets().map(|status| SourceState { status, note: code.note.clone(), expires: 0 });
    Ok((status, SetSource { presentity, source: SOURCE.to_owned(), state }))
}

pub fn remove_source(request: v1::RemoveRequest, domains: &[String]) -> Result<SetSource, Invalid> {
    let presentity = presentity(&request.presentity, domains)?;
    Ok(SetSource { presentity, source: source(request.source)?, state: None })
}

fn source(name: String) -> Result<String, Invalid> {
    let valid = !name.is_empty() && name.len() <= MAX_SOURCE && !name.chars().any(char::is_control);
    if valid { Ok(name) } else { Err(format!("a source is named with 1 to {MAX_SOURCE} bytes of text")) }
}

pub fn state(state: PresentityState) -> v1::PresentityState {
    v1::PresentityState {
        presentity: state.presentity.uri(),
        position: state.position.to_string(),
        basic: if state.open { "open" } else { "closed" }.to_owned(),
        notes: state.notes,
        activities: state.activities,
        publications: state.publications as u32,
        sources: state.sources as u32,
        bindings: state.bindings as u32,
        document: state.document,
        status: String::new(),
    }
}

pub fn watcher(watcher: WatcherState, directory: &Directory) -> v1::Watcher {
    v1::Watcher {
        watcher: PresentityKey::restored(&watcher.watcher).uri(),
        event: watcher.event,
        state: if watcher.ended { "terminated" } else { "active" }.to_owned(),
        expires: watcher.seconds_left,
        owner: watcher.owner.0,
        owner_name: directory.name_of(watcher.owner),
        call_id: watcher.call_id,
        tenant: String::new(),
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

pub fn question(question: Question, source: String) -> v1::AuthoriseRequest {
    // A user name that is an address-of-record itself is escaped, so that the HA1 comes back for what the client
    // hashed.
    let user = question
        .username
        .strip_prefix("sip:")
        .unwrap_or(&question.username)
        .replace('%', "%25")
        .replace('@', "%40");
    v1::AuthoriseRequest {
        account: format!("sip:{user}@{}", question.realm),
        method: question.method.to_owned(),
        event: question.event,
        presentity: PresentityKey::restored(&question.presentity).uri(),
        realm: question.realm,
        source,
        ..v1::AuthoriseRequest::default()
    }
}

pub fn verdict(response: v1::AuthoriseResponse) -> Verdict {
    let decision = match response.decision() {
        v1::Decision::Allow | v1::Decision::Verify => Decision::Allow,
        v1::Decision::Deny | v1::Decision::Pending => Decision::Deny {
            // A refusal of billing is the account's own: it is never ours to say 5xx for it.
            status: match response.sip_status {
                status @ (400..=499 | 600..=699) => status as u16,
                _ => 403,
            },
            reason: response.sip_reason,
        },
        v1::Decision::Unspecified => Decision::Unavailable,
    };
    Verdict {
        decision,
        ha1_md5: response.ha1_md5,
        ha1_sha256: response.ha1_sha256,
        cache: Duration::from_secs(u64::from(response.cache_seconds)),
        max_expires: response.max_expires,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!((status, state.status, state.expires), (Status::DoNotDisturb, Status::DoNotDisturb, 0));

        let (status, change) = dialled("*482", "").unwrap();
        assert_eq!((status, change.state.is_none()), (Status::Available, true));
    }

    #[test]
    fn what_is_no_feature_code_is_told_with_the_one_that_is() {
        assert!(dialled("*99", "5").unwrap_err().contains("*48"));
        assert!(dialled("*48", "9").unwrap_err().contains("5 do not disturb"));
    }
}
