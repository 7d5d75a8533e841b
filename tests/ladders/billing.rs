//! What billing decides, and how phones notice: approval, a blocked customer, a quota, identities that a peer asserts,
//! billing that keeps its secrets, and billing that is away.

use std::time::Duration;

use presence_agent::verdict::{Decision, Verdict};

use crate::publish::{OPEN, publish};
use crate::stage::Stage;
use crate::subscribe::{credentials, subscribe, value, verifies};

const BOB: &str = "bob@lab.test";

fn says(decision: Decision) -> Verdict {
    Verdict { decision, cache: Duration::from_secs(60), ..Verdict::allowed() }
}

/// Bob subscribes to alice, and billing says so.
fn bob_subscribes(stage: &mut Stage, verdict: Verdict) -> String {
    stage.phone(&subscribe(1, 600, "", ""));
    let nonce = value(&stage.heard, "nonce=\"", '"').to_owned();
    let (authorization, _) = credentials(&nonce);
    stage.phone(&subscribe(2, 600, "", &authorization));
    stage.billing_says(verdict);
    stage.commit();
    stage.phone_answers("200 OK");
    value(value(&stage.heard, "From: ", '\r'), "tag=", ';').to_owned()
}

#[test]
fn a_watcher_that_waits_for_approval_is_shown_the_state_once_it_is_approved() {
    let mut stage = Stage::set(false);
    stage.say("Billing wants alice to agree: the subscription is accepted, and shows nothing");
    bob_subscribes(&mut stage, says(Decision::Pending));

    stage.say("What she publishes meanwhile is not told, not even that it happened");
    let asserted = "Expires: 120\nP-Asserted-Identity: <sip:alice@lab.test>\n";
    stage.phone(&publish(1, 120, "", OPEN).replace("Expires: 120\n", asserted));
    stage.billing_says(says(Decision::Allow));
    stage.commit();

    stage.say("She agrees, and billing says that something about bob has changed");
    stage.billing_names(BOB);
    stage.billing_says(says(Decision::Allow));
    stage.commit();
    stage.phone_answers("200 OK");
    stage.compare("approval.ladder");
}

#[test]
fn the_subscription_of_a_blocked_customer_ends_at_once() {
    let mut stage = Stage::set(false);
    let (_, ha1) = credentials("");
    let local_tag = bob_subscribes(&mut stage, verifies(&ha1));

    stage.say("Bob is blocked. His subscription has not asked for anything, and is asked about all the same");
    stage.billing_names(BOB);
    stage.billing_says(says(Decision::Deny));
    stage.commit();
    stage.phone_answers("200 OK");

    stage.say("What he tries next is refused, without another question");
    stage.phone(&subscribe(3, 600, &local_tag, ""));
    stage.compare("blocked.ladder");
}

#[test]
fn a_blocked_customer_hears_so_although_his_phone_asked_for_a_pause() {
    let mut stage = Stage::set(false);
    let (_, ha1) = credentials("");
    let local_tag = bob_subscribes(&mut stage, verifies(&ha1));
    stage.say("His phone refreshes, and is busy when its NOTIFY comes");
    stage.phone(&subscribe(3, 600, &local_tag, ""));
    stage.commit();
    stage.phone_answers("480 Temporarily Unavailable\nRetry-After: 300");

    stage.say("Bob is blocked: the record of his subscription will not last for so long");
    stage.billing_names(BOB);
    stage.billing_says(says(Decision::Deny));
    stage.commit();
    stage.phone_answers("200 OK");
    stage.compare("blocked_while_busy.ladder");
}

#[test]
fn an_account_has_no_more_subscriptions_than_billing_allows() {
    let mut stage = Stage::set(false);
    let (_, ha1) = credentials("");
    let one = Verdict { max_subscriptions: 1, ..verifies(&ha1) };
    let local_tag = bob_subscribes(&mut stage, one);

    stage.say("A second phone of bob's, behind the same SBC. Billing has just been asked");
    let second = subscribe(9, 600, "", "P-Asserted-Identity: <sip:bob@lab.test>\n");
    stage.phone(&second.replace("Call-ID: watch", "Call-ID: second"));
    stage.commit();

    stage.say("The first one goes on");
    stage.phone(&subscribe(3, 600, &local_tag, ""));
    stage.commit();
    stage.compare("quota.ladder");
}

#[test]
fn an_identity_that_a_trusted_peer_asserts_needs_no_challenge() {
    let mut stage = Stage::set(false);
    stage.say("An SBC has authenticated bob, who does not give his name away");
    let asserted = "P-Asserted-Identity: <tel:+4930123456>, \"Bob\" <sip:bob@lab.test>\n";
    let anonymous = subscribe(1, 600, "", asserted)
        .replace("From: <sip:bob@lab.test>", "From: \"Anonymous\" <sip:anonymous@anonymous.invalid>");
    stage.phone(&anonymous);
    stage.billing_says(says(Decision::Allow));
    stage.commit();
    stage.phone_answers("200 OK");

    stage.say("Nobody publishes for another one");
    let for_alice = "Expires: 120\nP-Asserted-Identity: <sip:bob@lab.test>\n";
    stage.phone(&publish(1, 120, "", OPEN).replace("Expires: 120\n", for_alice));
    stage.compare("asserted.ladder");
}

#[test]
fn billing_that_keeps_its_secrets_is_asked_about_every_digest() {
    let mut stage = Stage::set(false);
    stage.phone(&subscribe(1, 600, "", ""));
    let nonce = value(&stage.heard, "nonce=\"", '"').to_owned();
    let (authorization, _) = credentials(&nonce);

    stage.say("A guess: billing finds the digest wrong");
    let (_, response) = authorization.split_once("response=\"").expect("credentials have a response");
    let guess = authorization.replace(response, "00000000000000000000000000000000\"\n");
    stage.phone(&subscribe(2, 600, "", &guess));
    stage.billing_says(says(Decision::Deny));

    stage.say("The right one is another digest, so the guess denies it nothing");
    stage.phone(&subscribe(3, 600, "", &authorization));
    stage.billing_says(says(Decision::Allow));
    stage.commit();
    stage.phone_answers("200 OK");
    let local_tag = value(value(&stage.heard, "From: ", '\r'), "tag=", ';').to_owned();

    stage.say("In the dialog there is nothing to check, and the answer holds for a while");
    stage.phone(&subscribe(4, 600, &local_tag, ""));
    stage.commit();
    stage.phone_answers("200 OK");
    stage.compare("secretive.ladder");
}

#[test]
fn while_billing_is_away_a_refresh_may_come_again_and_an_end_needs_no_grant() {
    let mut stage = Stage::set(false);
    let (_, ha1) = credentials("");
    let local_tag = bob_subscribes(&mut stage, verifies(&ha1));

    stage.pass(61);
    stage.say("Billing is away: the subscription stays as it is");
    stage.phone(&subscribe(3, 600, &local_tag, ""));
    stage.billing_says(Verdict::unavailable());

    stage.phone(&subscribe(4, 0, &local_tag, ""));
    stage.commit();
    stage.phone_answers("200 OK");
    stage.compare("away.ladder");
}
