//! Sessions that are lost, resumed and ended.

use engine::{Effect, Event, Leg, Limits};
use xmpp::{StreamError, ns};

use crate::world::{JULIET, NURSE, World, chat, jid, stanza};

/// Juliet has two devices, of which the first is lost.
fn two_devices() -> World {
    let mut world = World::new(1, Limits::default(), false);
    world.open(1, "juliet@capulet.example/phone");
    world.enable(1, JULIET);
    world.sends(1, JULIET, "<presence/>");
    world.open(2, "juliet@capulet.example/laptop");
    world.open(3, "nurse@capulet.example/garden");
    world.now_ms += 10;
    world
}

#[test]
fn what_another_device_got_is_not_sent_to_it_again() {
    let mut world = two_devices();
    world.sends(2, JULIET, "<presence/>");
    world.now_ms += 10;
    world.sends(3, NURSE, &chat(JULIET, "m1"));
    world.sends(3, NURSE, &chat("juliet@capulet.example/phone", "m2"));
    assert_eq!(world.heard(2), ["m1"]);
    world.tell(JULIET, Event::Detached { session: 1 });
    world.now_ms += Limits::default().resume_ms;
    world.step(0, Event::Tick);
    assert_eq!(world.heard(2), ["m2"]);
    assert_eq!(world.heard(3), [""; 0]);
}

#[test]
fn what_came_before_another_device_goes_to_it() {
    let mut world = two_devices();
    world.tell(JULIET, Event::Detached { session: 1 });
    world.sends(3, NURSE, &chat(JULIET, "m1"));
    world.now_ms += 10;
    world.sends(2, JULIET, "<presence/>");
    world.sends(2, JULIET, "<presence><priority>3</priority></presence>");
    world.now_ms += Limits::default().resume_ms;
    world.step(0, Event::Tick);
    let late = world.effects.iter().find_map(|effect| match effect {
        Effect::ToSession { session: 2, stanza } => stanza.view().child(ns::DELAY, "delay"),
        _ => None,
    });
    assert_eq!(late.unwrap().attr("stamp").as_deref(), Some("2026-01-01T00:00:00.010Z"));
    assert_eq!(world.heard(2), ["m1"]);
}

#[test]
fn a_restart_does_not_forget_who_got_what() {
    let mut world = two_devices();
    let laptop = world.enable(2, JULIET);
    world.enable(3, NURSE);
    world.sends(2, JULIET, "<presence/>");
    world.now_ms += 10;
    world.sends(3, NURSE, &chat(JULIET, "m1"));
    world.crash();
    world.resume(4, &laptop, 0, "TLSv1.3");
    let unacked = world.effects.iter().find_map(|effect| match effect {
        Effect::Resumed { unacked, .. } => Some(unacked.clone()),
        _ => None,
    });
    assert_eq!(unacked.unwrap()[0].id.as_deref(), Some("m1"));
    world.now_ms += Limits::default().resume_ms;
    world.step(0, Event::Tick);
    assert_eq!(world.heard(4), [""; 0]);
}

#[test]
fn copies_for_a_lost_session_are_for_nobody_else() {
    let mut world = two_devices();
    world.sends(2, JULIET, "<presence/>");
    let copy = chat("juliet@capulet.example/phone", "copy");
    let mut copy = stanza(&copy);
    copy.from = Some(jid(JULIET));
    let leg = Leg { stanza: copy, is_assured: false, since_ms: None, transit: None };
    world.tell(JULIET, Event::Leg(leg));
    assert_eq!(world.heard(1), ["copy"]);
    world.tell(JULIET, Event::Detached { session: 1 });
    world.now_ms += Limits::default().resume_ms;
    world.step(0, Event::Tick);
    assert_eq!(world.heard(2), [""; 0]);
}

/// Two shards of which one has juliet and the other romeo; nothing gets from one to the other.
fn apart(limits: Limits) -> World {
    let mut world = World::new(2, limits, false);
    assert_ne!(world.shard(JULIET), world.shard(NURSE));
    world.crosses = false;
    world.open(3, "nurse@capulet.example/garden");
    world.enable(3, NURSE);
    world
}

#[test]
fn what_crossed_in_one_millisecond_keeps_its_order_over_a_crash() {
    let mut world = apart(Limits::default());
    let ids: Vec<_> = (0..50).map(|n| format!("m{n}")).collect();
    for id in &ids {
        world.sends(3, NURSE, &chat(JULIET, id));
    }
    world.crash();
    // Nobody keeps messages here, so they go back, in the order in which they are dealt with.
    assert_eq!(world.bounced(), ids);
}

#[test]
fn what_a_shard_found_at_its_start_does_not_arrive_again() {
    let mut world = apart(Limits::default());
    world.sends(3, NURSE, &chat(JULIET, "m1"));
    let leg = world.effects.iter().find_map(|effect| match effect {
        Effect::Leg { leg, .. } => Some(leg.clone()),
        _ => None,
    });
    world.crash();
    assert_eq!(world.bounced(), ["m1"]);
    world.tell(JULIET, Event::Leg(leg.unwrap()));
    assert_eq!(world.bounced(), ["m1"]);
}

#[test]
fn presence_of_the_moment_crosses_without_a_row() {
    let mut world = apart(Limits::default());
    world.sends(3, NURSE, &format!("<presence to='{JULIET}'/>"));
    world.sends(3, NURSE, &format!("<presence to='{JULIET}' type='unavailable'/>"));
    world.sends(3, NURSE, &format!("<presence to='{JULIET}' type='probe'/>"));
    world.sends(3, NURSE, &format!("<presence to='{JULIET}' type='subscribe'/>"));
    let has_row = |effect: &Effect| match effect {
        Effect::Leg { leg, .. } => Some(leg.transit.is_some()),
        _ => None,
    };
    let rows: Vec<_> = world.effects.iter().filter_map(has_row).collect();
    assert_eq!(rows, [false, false, false, true]);
}

#[test]
fn what_a_full_queue_gives_back_stays_in_front() {
    let bytes = stanza(&chat(JULIET, "m1")).bytes();
    let mut world = apart(Limits { queue_bytes: bytes * 3 / 2, ..Limits::default() });
    world.open(1, "juliet@capulet.example/phone");
    world.enable(1, JULIET);
    world.sends(1, JULIET, "<presence/>");
    world.tell(JULIET, Event::Detached { session: 1 });
    world.crosses = true;
    world.sends(3, NURSE, &chat(JULIET, "m1"));
    world.crosses = false;
    world.sends(3, NURSE, &chat(JULIET, "m2"));
    world.sends(3, NURSE, &chat(JULIET, "m3"));
    world.crash();
    assert_eq!(world.bounced(), ["m1", "m2", "m3"]);
}

/// A message as large as a client may send, with as many levels.
fn huge(to: &str) -> String {
    let limits = xml::Limits::client();
    let levels = limits.depth - 1;
    let (open, shut) = ("<a>".repeat(levels), "</a>".repeat(levels));
    let start = format!("<message to='{to}' type='chat' id='huge'><body>");
    let end = format!("</body>{open}{shut}</message>");
    let text = "x".repeat(limits.stanza_bytes - start.len() - end.len());
    format!("{start}{text}{end}")
}

#[test]
fn what_a_client_may_send_survives_a_restart_and_a_change_of_hands() {
    let mut world = two_devices();
    let token = world.enable(1, JULIET);
    world.enable(3, NURSE);
    world.tell(JULIET, Event::Detached { session: 1 });
    world.sends(3, NURSE, &huge("juliet@capulet.example/phone"));
    world.crash();
    world.resume(4, &token, 0, "TLSv1.3");
    let unacked = world.effects.iter().find_map(|effect| match effect {
        Effect::Resumed { unacked, .. } => Some(unacked.len()),
        _ => None,
    });
    assert_eq!(unacked, Some(1));
    // It goes to another device with a mark, which makes it larger still.
    world.open(2, "juliet@capulet.example/laptop");
    world.sends(2, JULIET, "<presence/>");
    world.tell(JULIET, Event::Detached { session: 4 });
    world.now_ms += Limits::default().resume_ms;
    world.step(0, Event::Tick);
    assert_eq!(world.heard(2), ["huge"]);
}

#[test]
fn one_stanza_always_fits_a_queue() {
    let mut world = World::new(1, Limits { queue_bytes: 1000, ..Limits::default() }, false);
    world.open(1, "juliet@capulet.example/phone");
    world.enable(1, JULIET);
    world.open(3, "nurse@capulet.example/garden");
    world.sends(3, NURSE, &huge("juliet@capulet.example/phone"));
    assert_eq!((world.heard(1), world.closed(1)), (vec!["huge".to_owned()], None));
    world.sends(3, NURSE, &chat("juliet@capulet.example/phone", "more"));
    assert_eq!(world.closed(1), Some(StreamError::ResourceConstraint));
}

#[test]
fn a_wrong_count_ends_both_connections() {
    let mut world = World::new(1, Limits::default(), false);
    world.open(1, "juliet@capulet.example/phone");
    let token = world.enable(1, JULIET);
    world.resume(2, &token, 7, "TLSv1.3");
    assert_eq!(world.closed(1), Some(StreamError::Conflict));
    assert_eq!(world.closed(2), Some(StreamError::UndefinedCondition));
    assert_eq!(world.shards[0].sessions(), 0);
}

#[test]
fn who_was_thrown_out_and_lost_the_connection_does_not_come_back() {
    let mut world = two_devices();
    let token = world.enable(1, JULIET);
    world.tell(JULIET, Event::Acked { session: 1, h: 100 });
    assert_eq!(world.closed(1), Some(StreamError::UndefinedCondition));
    world.tell(JULIET, Event::Detached { session: 1 });
    world.resume(4, &token, 0, "");
    let is_refused = |effect: &Effect| matches!(effect, Effect::ResumeRefused { session: 4 });
    assert!(world.effects.iter().any(is_refused));
    // What comes goes to the other device at once.
    world.sends(2, JULIET, "<presence/>");
    world.sends(3, NURSE, &chat("juliet@capulet.example/phone", "m1"));
    assert_eq!(world.heard(2), ["m1"]);
}

#[test]
fn many_sessions_end_in_many_steps() {
    let mut world = World::new(1, Limits { sessions: 1000, ..Limits::default() }, true);
    for session in 1..=100 {
        world.open(session, &format!("juliet@capulet.example/{session}"));
        world.enable(session, JULIET);
        world.tell(JULIET, Event::Detached { session });
    }
    world.now_ms += Limits::default().resume_ms;
    world.step(0, Event::Tick);
    assert!(world.shards[0].sessions() > 50);
    for _ in 0..10 {
        assert!(world.wake_at.is_none_or(|at| at <= world.now_ms));
        world.step(0, Event::Tick);
    }
    assert_eq!((world.shards[0].sessions(), world.wake_at), (0, None));
}

#[test]
fn a_module_is_told_of_a_session_that_its_own_call_ended() {
    let mut world = World::new(1, Limits { queue_bytes: 1000, ..Limits::default() }, true);
    world.open(1, "juliet@capulet.example/phone");
    world.enable(1, JULIET);
    world.open(3, "nurse@capulet.example/garden");
    world.sends(3, NURSE, "<presence/>");
    world.sends(1, JULIET, "<iq type='set' id='f'><fill xmlns='urn:x'/></iq>");
    assert_eq!(world.closed(1), Some(StreamError::ResourceConstraint));
    assert_eq!(world.heard(3), ["over"]);
}

#[test]
fn a_module_that_fails_at_the_end_of_a_session_stops_no_other() {
    let mut world = World::new(1, Limits::default(), true);
    world.open(1, "juliet@capulet.example/phone");
    world.open(3, "nurse@capulet.example/garden");
    world.sends(3, NURSE, "<presence/>");
    world.tell(JULIET, Event::Closed { session: 1 });
    assert_eq!(world.heard(3), ["over"]);
}

#[test]
fn modules_hear_which_messages_a_client_has() {
    let mut world = World::new(1, Limits::default(), true);
    world.open(1, "juliet@capulet.example/phone");
    let token = world.enable(1, JULIET);
    world.open(3, "nurse@capulet.example/garden");
    world.sends(3, NURSE, "<presence/>");
    for id in ["m1", "m2", "m3"] {
        world.sends(3, NURSE, &chat("juliet@capulet.example/phone", id));
    }
    world.tell(JULIET, Event::Acked { session: 1, h: 1 });
    assert_eq!(world.heard(3), ["juliet@capulet.example has m1"]);
    world.tell(JULIET, Event::Acked { session: 1, h: 1 });
    assert_eq!(world.heard(3), [""; 0]);
    world.tell(JULIET, Event::Detached { session: 1 });
    world.resume(2, &token, 2, "TLSv1.3");
    assert_eq!(world.heard(3), ["juliet@capulet.example has m2"]);
}

#[test]
fn a_resumption_is_admitted_like_a_login() {
    let mut world = World::new(1, Limits::default(), true);
    world.open(1, "juliet@capulet.example/phone");
    let token = world.enable(1, JULIET);
    world.tell(JULIET, Event::Detached { session: 1 });
    world.resume(2, &token, 0, "TLSv1.2");
    assert_eq!(world.closed(2), Some(StreamError::PolicyViolation));
    world.resume(3, &token, 0, "TLSv1.3");
    let is_resumed =
        |effect: &Effect| matches!(effect, Effect::Resumed { session: 3, before: None, .. });
    assert!(world.effects.iter().any(is_resumed));
}

#[test]
fn a_timer_waits_for_its_module() {
    let mut world = World::new(1, Limits::default(), true);
    world.open(1, "juliet@capulet.example/phone");
    world.sends(1, JULIET, "<iq type='set' id='w'><wake xmlns='urn:x'/></iq>");
    // The operator turns the module off for a while, during which the time comes.
    world.guarded = false;
    world.crash();
    world.now_ms += 2000;
    world.step(0, Event::Tick);
    assert_eq!(world.wake_at, None);
    world.open(3, "nurse@capulet.example/garden");
    world.sends(3, NURSE, "<presence/>");
    world.guarded = true;
    let pipeline = world.pipeline();
    world.shards[0].set_pipeline(pipeline);
    world.step(0, Event::Tick);
    assert_eq!(world.heard(3), ["alarm"]);
}

#[test]
fn a_module_never_misses_a_row() {
    let mut world = World::new(1, Limits::default(), true);
    world.open(1, "juliet@capulet.example/phone");
    world.open(3, "nurse@capulet.example/garden");
    world.sends(3, NURSE, "<presence/>");
    let mut asked = |what: &str| {
        world.sends(1, JULIET, &format!("<iq type='set' id='{what}'><{what} xmlns='urn:x'/></iq>"));
        world.heard(3)
    };
    // It is known by then that there is none.
    assert_eq!([asked("count"), asked("count")], [["(0, 0)"], ["(0, 0)"]]);
    asked("keep");
    assert_eq!(asked("count"), ["(1, 1)"]);
    // What failed is taken back, and so is what was known then.
    asked("lose");
    assert_eq!(asked("count"), ["(1, 1)"]);
}
