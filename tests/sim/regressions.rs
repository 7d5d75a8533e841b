//! Seeds that once broke a promise. A change of the simulation makes another run of a seed, so the names say what was
//! wrong; each of these faults has a test of its own where it was mended, too.

use crate::world;

const SEEDS: &[(u64, &str)] = &[
    (544, "a late copy of a PUBLISH brought back what had expired"),
    (117, "a 481 from a watcher's old address ended the subscription that it had just refreshed"),
    (500, "a late copy of the first SUBSCRIBE began an ended dialog anew, with CSeqs used before"),
    (406, "billing changed its mind while its last word was on its way into the log, and was not heard"),
    (45_974, "a node refused one copy of a request while it was proposing another"),
];

#[test]
fn what_was_mended_stays_mended() {
    for (seed, fault) in SEEDS {
        let broken = world::run(*seed, false).broken;
        assert!(broken.is_none(), "seed {seed}, once broken because {fault}: {broken:?}");
    }
}
