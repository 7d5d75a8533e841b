//! What goes wrong in a run, drawn before it begins: everything ends by the time the faults stop.

use crate::rng::Rng;

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Kill(usize),
    Start(usize),
    Pause(usize),
    Resume(usize),
    CutLog(usize, usize),
    HealLog(usize, usize),
    /// Of dispatcher and node.
    CutLink(usize, usize),
    HealLink(usize, usize),
    BreakLink(usize, usize),
    Lag(usize),
    KeepUp(usize),
    /// A phone hears and says nothing for so long.
    Silence(usize, u64),
    /// A phone comes back from another address, or over another connection.
    Move(usize),
}

/// How many of everything there are.
#[derive(Clone, Copy, Debug)]
pub struct Cast {
    pub nodes: usize,
    pub dispatchers: usize,
    pub phones: usize,
}

/// Faults with their times, none after `until`.
pub fn plan(cast: Cast, from: u64, until: u64, rng: &mut Rng) -> Vec<(u64, Fault)> {
    let mut plan = Vec::new();
    for _ in 0..rng.between(1, 9) {
        let at = rng.between(from, until);
        let lasts = if rng.percent(70) { rng.between(300, 3_000) } else { rng.between(2_000, 9_000) };
        trouble(cast, at, (at + lasts).min(until), rng, &mut plan);
    }
    for _ in 0..rng.between(0, 6) {
        let (at, phone) = (rng.between(from, until), rng.index(cast.phones));
        plan.push(match rng.percent(40) {
            true => (at, Fault::Silence(phone, rng.between(200, 6_000).min(until - at))),
            false => (at, Fault::Move(phone)),
        });
    }
    plan
}

/// One thing that breaks at `at` and is whole again at `until`.
fn trouble(cast: Cast, at: u64, until: u64, rng: &mut Rng, plan: &mut Vec<(u64, Fault)>) {
    let (node, dispatcher) = (rng.index(cast.nodes), rng.index(cast.dispatchers));
    let others = (0..cast.nodes).filter(|other| *other != node);
    match rng.between(0, 99) {
        0..30 => plan.extend([(at, Fault::Kill(node)), (until, Fault::Start(node))]),
        30..50 => plan.extend([(at, Fault::Pause(node)), (until, Fault::Resume(node))]),
        50..60 => {
            for other in others {
                plan.extend([(at, Fault::CutLog(node, other)), (until, Fault::HealLog(node, other))]);
            }
        }
        60..68 => {
            let other = (node + 1) % cast.nodes;
            plan.extend([(at, Fault::CutLog(node, other)), (until, Fault::HealLog(node, other))]);
        }
        68..78 => {
            for other in others {
                plan.extend([(at, Fault::CutLog(node, other)), (until, Fault::HealLog(node, other))]);
            }
            for dispatcher in 0..cast.dispatchers {
                let link = (Fault::CutLink(dispatcher, node), Fault::HealLink(dispatcher, node));
                plan.extend([(at, link.0), (until, link.1)]);
            }
        }
        78..86 => {
            plan.extend([(at, Fault::CutLink(dispatcher, node)), (until, Fault::HealLink(dispatcher, node))])
        }
        86..90 => plan.push((at, Fault::BreakLink(dispatcher, node))),
        _ => plan.extend([(at, Fault::Lag(node)), (until, Fault::KeepUp(node))]),
    }
}
