//! What the API said, put into words and tables for a person. Pure: values in, text out.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use web::json::{
    ClusterStatus, GroupCounts, History, ManagerStatus, Member, NodeStatus, PresentityState, SetSource,
    SourceChanged, Watchers,
};

use super::table::Align::{Left, Right};
use super::table::{Table, WIDTH, cut, printable, printable_lines};

/// Members and whether they answer, then every group as each node sees it, then what each node holds.
pub fn status(cluster: &ClusterStatus) -> String {
    let names = Names::of(cluster);
    let mut text = format!("{}\n\n{}", summary(cluster), members(cluster));
    if nodes(cluster).any(|node| !node.groups.is_empty()) {
        text += &format!("\n{}\n{}", groups(cluster, &names), counts(cluster, &names));
    }
    for manager in &cluster.managers {
        if let Some(error) = &manager.error {
            text += &format!("\n{} does not answer: {}", manager.address, printable(error));
        }
    }
    text
}

/// One presentity, with its document.
pub fn presence(state: &PresentityState) -> String {
    let counts = &state.counts;
    let counts = [
        counted(counts.publications, "publication"),
        counted(counts.sources, "API source"),
        counted(counts.bindings, "binding"),
    ];
    let lines = [
        ("presentity", state.presentity.clone()),
        ("status", or_dash(state.status.clone())),
        ("basic", state.basic.clone()),
        ("activities", or_dash(state.activities.join(", "))),
        ("notes", or_dash(state.notes.join(" | "))),
        ("held", counts.join(", ")),
        ("position", state.position.clone()),
    ];
    let lines = lines.map(|(name, value)| format!("{name:<10}  {}\n", printable(&value)));
    format!("{}\n{}", lines.concat(), printable_lines(&state.document))
}

pub fn watchers(watchers: &Watchers) -> String {
    if watchers.watchers.is_empty() {
        return format!("nobody watches {}", printable(&watchers.presentity));
    }
    let head = [
        ("WATCHER", Left),
        ("EVENT", Left),
        ("STATE", Left),
        ("EXPIRES", Right),
        ("NODE", Left),
        ("CALL-ID", Left),
    ];
    let mut table = Table::new(head);
    for watcher in &watchers.watchers {
        table.row([
            watcher.watcher.clone(),
            watcher.event.clone(),
            watcher.state.clone(),
            span(watcher.expires.into()),
            if watcher.owner_name.is_empty() {
                watcher.owner.to_string()
            } else {
                watcher.owner_name.clone()
            },
            watcher.call_id.clone(),
        ]);
    }
    let total = counted(watchers.watchers.len() as u32, "subscription");
    format!("{total} to {}\n\n{}", printable(&watchers.presentity), table.render())
}

/// What was said, oldest first.
pub fn history(history: &History) -> String {
    if history.changes.is_empty() {
        return format!("nothing was said of {}", printable(&history.presentity));
    }
    let head = [
        ("AT", Left),
        ("SOURCE", Left),
        ("WHAT", Left),
        ("STATUS", Left),
        ("NOTE", Left),
        ("POSITION", Right),
    ];
    let mut table = Table::new(head);
    for change in &history.changes {
        // A document that is no status still says whether somebody is there.
        let said = if change.status.is_empty() { &change.basic } else { &change.status };
        table.row([
            change.at.clone(),
            change.source.clone(),
            change.what.clone(),
            or_dash(said.clone()),
            or_dash(change.note.clone()),
            change.position.clone(),
        ]);
    }
    let total = counted(history.changes.len() as u32, "change");
    format!("{total} of {}\n\n{}", printable(&history.presentity), table.render())
}

/// One line of a live watch.
pub fn change(state: &PresentityState, now: SystemTime) -> String {
    let said = match &*state.status {
        "" => or_dash(state.activities.join(", ")),
        status => status.to_owned(),
    };
    let line = format!("{}  {:<6}  {said:<24}  {}", time(now), state.basic, or_dash(state.notes.join(" | ")));
    cut(&printable(&line), WIDTH)
}

pub fn published(done: &SourceChanged, set: &SetSource) -> String {
    let note = if set.note.is_empty() { String::new() } else { format!(" ({})", set.note) };
    let lifetime = match set.expires {
        0 => "until it is removed".to_owned(),
        seconds => format!("for {}", span(seconds.into())),
    };
    let SourceChanged { presentity, source, position } = done;
    let reached: Vec<_> = set.contacts.iter().map(|contact| contact.uri.as_str()).collect();
    let said = match (&*set.status, &*reached) {
        (status, []) => status.to_owned(),
        ("", reached) => format!("reached at {}", reached.join(", ")),
        (status, reached) => format!("{status}, reached at {}", reached.join(", ")),
    };
    printable(&format!("{presentity} is {said}{note} {lifetime}, by source {source}, position {position}"))
}

/// The time of day, in UTC as all logs are.
pub fn time(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    format!("{:02}:{:02}:{:02}Z", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

fn summary(cluster: &ClusterStatus) -> String {
    let (all, reachable) = (cluster.managers.len(), cluster.managers.iter().filter(|m| m.reachable).count());
    let managers = match all - reachable {
        0 => format!("{}, all answer", counted(all as u32, "manager")),
        away => format!("{}, {away} not answering", counted(all as u32, "manager")),
    };
    let mut clusters: Vec<_> =
        nodes(cluster).map(|node| format!("cluster {}, level {}", node.cluster, node.level)).collect();
    clusters.sort_unstable();
    clusters.dedup();
    [managers].into_iter().chain(clusters).collect::<Vec<_>>().join("; ")
}

fn members(cluster: &ClusterStatus) -> String {
    let head = [
        ("NAME", Left),
        ("ADDRESS", Left),
        ("SIP", Left),
        ("STATE", Left),
        ("UPTIME", Right),
        ("LEADS", Left),
        ("ID", Right),
    ];
    let mut table = Table::new(head);
    let mut known: BTreeMap<_, _> =
        nodes(cluster).flat_map(|node| &node.members).map(|m| (m.grpc.as_str(), m)).collect();
    for ManagerStatus { address, status, .. } in &cluster.managers {
        let member = known.remove(address.as_str());
        if let Some(node) = status {
            // Its own name for its address may differ from the one we reach it by.
            let sip = node.members.iter().find(|member| member.node == node.node).map(|m| m.sip.clone());
            known.retain(|_, member| member.node != node.node);
            table.row([
                node.name.clone(),
                address.clone(),
                or_dash(sip.unwrap_or_default()),
                "up".into(),
                span(node.uptime),
                leads(node),
                node.node.to_string(),
            ]);
        } else {
            table.row(absent(member, address, "away"));
        }
    }
    for member in known.values() {
        table.row(absent(Some(member), &member.grpc, "not asked"));
    }
    table.render()
}

/// A row of one that says nothing about itself.
fn absent(member: Option<&Member>, address: &str, state: &str) -> [String; 7] {
    let of = |part: fn(&Member) -> String| or_dash(member.map(part).unwrap_or_default());
    let dash = || "-".to_owned();
    [
        of(|member| member.name.clone()),
        address.to_owned(),
        of(|member| member.sip.clone()),
        state.to_owned(),
        dash(),
        dash(),
        of(|member| member.node.to_string()),
    ]
}

fn groups(cluster: &ClusterStatus, names: &Names) -> String {
    let head = [
        ("GROUP", Left),
        ("NODE", Left),
        ("ROLE", Left),
        ("LEADER", Left),
        ("TERM", Right),
        ("LAST LOG", Right),
        ("COMMITTED", Right),
        ("APPLIED", Right),
        ("SNAPSHOT", Right),
    ];
    let mut table = Table::new(head);
    let mut rows: Vec<_> =
        nodes(cluster).flat_map(|node| node.groups.iter().map(move |group| (group, node))).collect();
    rows.sort_by_key(|(group, node)| (group.group, &node.name));
    for (group, node) in rows {
        let leader = if group.leader == 0 { "none".to_owned() } else { names.name(group.leader) };
        let positions = [group.term, group.last_log, group.committed, group.applied, group.snapshot];
        let texts = [group_name(group.group), names.name(node.node), group.role.clone(), leader];
        table.row(texts.into_iter().chain(positions.map(|position| position.to_string())));
    }
    table.render()
}

fn counts(cluster: &ClusterStatus, names: &Names) -> String {
    let head = [
        ("NODE", Left),
        ("PRESENTITIES", Right),
        ("PUBLICATIONS", Right),
        ("SOURCES", Right),
        ("BINDINGS", Right),
        ("SUBSCRIPTIONS", Right),
        ("OWNED", Right),
        ("DIRTY", Right),
    ];
    let mut table = Table::new(head);
    for node in nodes(cluster) {
        let sum = |count: fn(&GroupCounts) -> u64| {
            node.groups.iter().map(|group| count(&group.counts)).sum::<u64>()
        };
        let sums = [
            sum(|counts| counts.presentities),
            sum(|counts| counts.publications),
            sum(|counts| counts.sources),
            sum(|counts| counts.bindings),
            sum(|counts| counts.subscriptions),
            sum(|counts| counts.owned),
            sum(|counts| counts.dirty),
        ];
        table.row([names.name(node.node)].into_iter().chain(sums.map(|sum| sum.to_string())));
    }
    table.render()
}

/// Node names by id, from whoever knows them.
struct Names<'a>(BTreeMap<u64, &'a str>);

impl<'a> Names<'a> {
    fn of(cluster: &'a ClusterStatus) -> Names<'a> {
        let members = nodes(cluster)
            .flat_map(|node| node.members.iter().map(|member| (member.node, member.name.as_str())));
        let themselves = nodes(cluster).map(|node| (node.node, node.name.as_str()));
        Names(members.chain(themselves).filter(|(_, name)| !name.is_empty()).collect())
    }

    fn name(&self, node: u64) -> String {
        self.0.get(&node).map_or_else(|| node.to_string(), |name| (*name).to_owned())
    }
}

fn nodes(cluster: &ClusterStatus) -> impl Iterator<Item = &NodeStatus> {
    cluster.managers.iter().filter_map(|manager| manager.status.as_ref())
}

fn leads(node: &NodeStatus) -> String {
    let led: Vec<_> =
        node.groups.iter().filter(|g| g.leader == node.node).map(|g| group_name(g.group)).collect();
    or_dash(led.join(", "))
}

/// Presence groups have numbers; the one that holds the directory is one of its kind.
fn group_name(group: u32) -> String {
    if group == 0 { "system".to_owned() } else { group.to_string() }
}

/// A length of time in its two largest units.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

fn counted(count: u32, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests;
