//! A manager falls silent, and the watcher it served does not notice: same dialog, rising CSeq, nothing asked of the
//! phone.

use crate::publish::{OPEN, publish};
use crate::stage::Stage;
use crate::subscribe::{subscribe, value};

#[test]
fn a_watcher_of_a_dead_manager_is_notified_by_its_heir() {
    let mut stage = Stage::of_three();
    stage.say("Node 2 takes the SUBSCRIBE, and so owns the subscription");
    stage.phone_reaches(2);
    stage.phone(&subscribe(1, 600, "", ""));
    stage.commit();
    stage.phone_answers("200 OK");
    let local_tag = value(value(&stage.heard, "From: ", '\r'), "tag=", ';').to_owned();

    stage.say("It falls silent. A PUBLISH is answered by node 1; nobody tells the watcher yet");
    stage.falls_silent(2);
    stage.phone_reaches(1);
    stage.phone(&publish(1, 120, "", OPEN));
    stage.commit();

    stage.say("The leader has not heard node 2 for too long");
    stage.pass(1);
    stage.say("The heir tells the watcher, in the same dialog and in the next epoch of CSeq");
    stage.commit();
    stage.phone_reaches(3);
    stage.phone_answers("200 OK");

    stage.say("Node 2 was only paused. It has no lease, reads what happened, and sends nothing");
    stage.wakes_up(2);

    stage.say("A repeat of the PUBLISH at another node gets the first answer");
    stage.phone(&publish(1, 120, "", OPEN));
    stage.commit();

    stage.say("A refresh that reaches node 2 takes the subscription back");
    stage.phone_reaches(2);
    stage.phone(&subscribe(2, 600, &local_tag, ""));
    stage.commit();
    stage.phone_answers("200 OK");
    stage.compare("death.ladder");
}
