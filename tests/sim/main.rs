//! The simulation: dispatchers, three agents, a log and scripted phones in one test, from a seed.
//!
//! Routing and agents are the real ones; the log is a contract, the network a list of misfortunes. A seed is a run, for
//! ever the same: `SIM_SEED=7` runs that one, with `SIM_TRACE=1` it tells what happens. `SIM_SEEDS=n` runs so many, from
//! `SIM_FROM` on; `scripts/sim.sh` runs many.

mod billing;
mod coverage;
mod dispatcher;
mod event;
mod faults;
mod hops;
mod invariants;
mod log;
mod managers;
mod mutants;
mod names;
mod network;
mod node;
mod phone;
mod regressions;
mod rng;
mod trouble;
mod world;

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use coverage::Coverage;

/// A run makes and drops a great many small things.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// So many seeds meet every kind of fault.
const SEEDS: u64 = 1_200;

#[test]
fn every_seed_keeps_the_promises() {
    let seeds = seeds();
    let started = Instant::now();

    let (seen, mut broken) = run_all(seeds.clone());

    broken.sort_unstable();
    let count = seeds.end - seeds.start;
    println!("{count} seeds, {:.0} a second", count as f64 / started.elapsed().as_secs_f64());
    seen.print();
    assert!(
        broken.is_empty(),
        "seeds {broken:?} break a promise; see one with\nSIM_SEED={} SIM_TRACE=1 cargo test -p vedette-tests --test sim \
         every_seed -- --nocapture",
        broken[0]
    );
    assert!(count < SEEDS || seen.never_met().is_empty(), "never met: {:?}", seen.never_met());
}

/// Each run is alone in its thread; gives what was met, and the seeds that broke a promise.
fn run_all(seeds: Range<u64>) -> (Coverage, Vec<u64>) {
    let next = AtomicU64::new(seeds.start);
    let outcome = Mutex::new((Coverage::default(), Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let run = world::run(seed, false);
            let mut outcome = outcome.lock().expect("nobody panics with it");
            outcome.0.add(&run.seen);
            if let Some((promise, at)) = run.broken {
                println!("seed {seed} after {at} ms: {}: {}", promise.rule, promise.detail);
                outcome.1.push(seed);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    outcome.into_inner().expect("nobody panics with it")
}

#[test]
fn a_seed_is_one_run() {
    let [one, other] = [0, 1].map(|_| world::run(11, false));

    assert_eq!(one.seen, other.seen);
}

fn seeds() -> Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("SIM_SEED") {
        return seed..seed + 1;
    }
    let from = number("SIM_FROM").unwrap_or(0);
    from..from + number("SIM_SEEDS").unwrap_or(SEEDS)
}
