//! The rounds: a fault, what watchers notice of it, and after it the question whether anything is missing.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::cluster::{Cluster, Number};
use crate::phones::{Phones, Population};
use crate::probe::{self, Held};
use crate::report::{self, Owner, Report, Tally};
use crate::{Args, Fault};

struct Trial<'a> {
    args: &'a Args,
    cluster: Cluster,
    phones: Phones,
    report: Report,
    /// The manager that was struck last.
    last: Number,
}

/// A fault that lasts.
struct Blow {
    victim: Number,
    at: sip::Instant,
    /// Whose watcher each was.
    owners: Vec<Owner>,
}

/// How long all phones may take to be where they should: longer than a NOTIFY that is lost twice.
const SETTLE: Duration = Duration::from_secs(90);
/// How long a request may take, with its retries.
const ANSWER: Duration = Duration::from_secs(40);

pub fn run(args: &Args) -> anyhow::Result<Report> {
    let mut trial = Trial::begin(args)?;
    let outcome = match args.fault {
        Fault::Rotate => trial.rotate(),
        _ => (1..=args.rounds).try_for_each(|round| trial.round(round)),
    };
    trial.report.broken = outcome.err().map(|error| format!("{error:#}"));
    trial.finish()
}

impl Trial<'_> {
    /// Everybody subscribes and publishes, before anything is broken.
    fn begin(args: &Args) -> anyhow::Result<Trial<'_>> {
        let cluster = Cluster::of(&args.dir, &args.script)?;
        let population = Population {
            server: cluster.sip,
            domain: &cluster.domain,
            presentities: args.presentities,
            watchers: args.watchers,
        };
        let mut phones = Phones::new(&population)?;
        phones.subscribe_all();
        phones.publish_all();
        if !phones.run_until(SETTLE, |phones| phones.are_quiet() && phones.behind() == 0) {
            bail!("{} watchers hear nothing even before the first fault", phones.behind());
        }
        let report = Report {
            title: title(args, &cluster),
            waits: BTreeMap::new(),
            script: Vec::new(),
            tally: Tally::default(),
            bad_tags: BTreeMap::new(),
            good_tags: 0,
            behind: 0,
            lost_dialogs: 0,
            not_refreshed: 0,
            broken: None,
            disk: Vec::new(),
        };
        let mut trial = Trial { args, cluster, phones, report, last: 0 };
        trial.go_on();
        Ok(trial)
    }

    fn round(&mut self, round: u32) -> anyhow::Result<()> {
        let (break_it, mend_it, a_leader) = match self.args.fault {
            Fault::KillLeader => ("kill", "restart", true),
            Fault::PauseLeader => ("pause", "resume", true),
            Fault::PauseFollower => ("pause", "resume", false),
            Fault::KillFollower | Fault::Rotate => ("kill", "restart", false),
        };
        let leader = self.leader()?;
        let victim = if a_leader { leader } else { self.next_besides(leader) };
        let blow = self.strike(break_it, victim, leader)?;
        let patience = Duration::from_secs_f64(self.args.patience);
        self.phones.run_until(patience, Phones::all_told);
        let away = Duration::from_secs_f64(self.args.away).saturating_sub(self.phones.now() - blow.at);
        self.phones.run_until(away, |_| false);
        let back = self.mend(mend_it, &blow)?;
        self.phones.run_until(SETTLE, Phones::all_told);
        self.note(&blow, back);
        self.verify()?;
        eprintln!("round {round} of {}: {break_it} {victim}, leader {leader}", self.args.rounds);
        Ok(())
    }

    /// One manager after the other dies and comes back, and only at the end it is asked what is missing.
    fn rotate(&mut self) -> anyhow::Result<()> {
        let second = |seconds: f64| Duration::from_secs_f64(seconds);
        let end = self.phones.now() + second(self.args.duration);
        while self.phones.now() < end {
            let (leader, victim) = (self.leader()?, self.next_besides(0));
            let blow = self.strike("kill", victim, leader)?;
            self.phones.run_until(second(self.args.every / 2.0), |_| false);
            let back = self.mend("restart", &blow)?;
            let rest = second(self.args.every).saturating_sub(self.phones.now() - blow.at);
            self.phones.run_until(rest, |_| false);
            self.note(&blow, back);
            eprintln!("killed {victim}, leader {leader}");
        }
        self.verify()
    }

    fn leader(&mut self) -> anyhow::Result<Number> {
        for _ in 0..ANSWER.as_secs() {
            let cluster = self.cluster.clone();
            if let Some(leader) = self.phones.meanwhile(move || cluster.leader())? {
                return Ok(leader);
            }
            self.phones.run_until(Duration::from_secs(1), |_| false);
        }
        bail!("the cluster has no leader for {} s", ANSWER.as_secs())
    }

    /// The manager after the one that was struck last.
    fn next_besides(&mut self, spared: Number) -> Number {
        let all = self.cluster.managers.len() as Number;
        let after = |n: Number| n % all + 1;
        self.last = after(self.last);
        if self.last == spared {
            self.last = after(self.last);
        }
        self.last
    }

    fn strike(&mut self, command: &'static str, victim: Number, leader: Number) -> anyhow::Result<Blow> {
        let presentities: Vec<_> = self.phones.publishers.iter().map(|one| one.uri.clone()).collect();
        let cluster = self.cluster.clone();
        let owners = self.phones.meanwhile(move || cluster.owners(&presentities))?;
        let struck = if victim == leader { Owner::StruckLeader } else { Owner::StruckFollower };
        let owner = |call_id| if owners.get(call_id) == Some(&victim) { struck } else { Owner::Other };
        let owners = self.phones.watchers.iter().map(|watcher| owner(watcher.call_id())).collect();
        let (at, cluster) = (self.phones.now(), self.cluster.clone());
        self.phones.meanwhile(move || cluster.manage(command, victim))?;
        self.report.script.push(self.phones.now() - at);
        self.phones.struck(at);
        Ok(Blow { victim, at, owners })
    }

    /// Says after how long the manager was brought back.
    fn mend(&mut self, command: &'static str, blow: &Blow) -> anyhow::Result<Duration> {
        let (back, cluster, victim) = (self.phones.now() - blow.at, self.cluster.clone(), blow.victim);
        self.phones.meanwhile(move || cluster.manage(command, victim))?;
        Ok(back)
    }

    fn note(&mut self, blow: &Blow, back: Duration) {
        for (owner, waited) in blow.owners.iter().zip(self.phones.waited()) {
            self.report.waits.entry(*owner).or_default().add(*waited, back);
        }
    }

    /// Whether everything that phones were promised still holds.
    fn verify(&mut self) -> anyhow::Result<()> {
        self.phones.hold();
        self.phones.run_until(ANSWER, Phones::are_quiet);
        self.refresh_tags()?;
        // The next change in the old dialogs, by the entity-tags that were just refreshed.
        self.phones.publish_all();
        self.phones.run_until(SETTLE, |phones| phones.are_quiet() && phones.behind() == 0);
        self.report.behind += self.phones.behind();
        self.phones.subscribe_all();
        if !self.phones.run_until(ANSWER, Phones::are_quiet) {
            self.report.not_refreshed += self.phones.watchers.iter().filter(|one| !one.is_quiet()).count();
        }
        self.go_on();
        Ok(())
    }

    fn refresh_tags(&mut self) -> anyhow::Result<()> {
        let known = self.phones.publishers.iter().enumerate();
        let known =
            known.filter_map(|(n, one)| Some((n, Held { uri: one.uri.clone(), tag: one.tag.clone()? })));
        let (places, mut held): (Vec<_>, Vec<_>) = known.unzip();
        let managers = self.cluster.managers.clone();
        let (held, refused) = self.phones.meanwhile(move || {
            let refused = probe::refresh_everywhere(&managers, &mut held);
            (held, refused)
        });
        let refused = refused.context("entity-tags could not be tried")?;
        self.report.good_tags += held.len() * self.cluster.managers.len() - refused.len();
        for refused in refused {
            *self.report.bad_tags.entry(refused).or_default() += 1;
        }
        for (place, held) in places.into_iter().zip(held) {
            self.phones.publishers[place].tag = Some(held.tag);
        }
        Ok(())
    }

    fn go_on(&mut self) {
        self.phones.go_on(Duration::from_secs_f64(self.args.presentities as f64 / self.args.rate));
    }

    fn finish(mut self) -> anyhow::Result<Report> {
        self.phones.hold();
        self.phones.run_until(ANSWER, Phones::are_quiet);
        self.report.lost_dialogs = self.phones.watchers.iter().filter(|one| one.lost).count();
        self.report.disk = report::disk(self.cluster.dir()).context("the disk could not be tried")?;
        self.report.tally = self.phones.tally;
        Ok(self.report)
    }
}

fn title(args: &Args, cluster: &Cluster) -> String {
    let name = clap::ValueEnum::to_possible_value(&args.fault)
        .map_or_else(String::new, |it| it.get_name().to_owned());
    let length = match args.fault {
        Fault::Rotate => format!("every {} s for {} s", args.every, args.duration),
        _ => format!("{} rounds", args.rounds),
    };
    format!(
        "{name}, {length}: {} managers, {} presentities with {} watchers each, {} PUBLISHes/s",
        cluster.managers.len(),
        args.presentities,
        args.watchers,
        args.rate,
    )
}
