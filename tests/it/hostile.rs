//! What people with accounts try on each other: forged copies and archives, pushed rosters, lists
//! without end, and looking for somebody who blocked them.

use std::time::{Duration, Instant};

use calypte_tests::{Client, How, Server, Setup, attr};

const ANA: &str = "ana@chat.example";
const NOBODY: &str = "nobody@chat.example";
/// How long nothing has to come until nothing more is believed to come.
const SILENCE: Duration = Duration::from_millis(300);

/// Asks for a whole archive; returns its results.
fn archive(client: &mut Client) -> Vec<String> {
    client.send("<iq type='set' id='archive'><query xmlns='urn:xmpp:mam:2' queryid='q'/></iq>");
    client.expect(&["<iq", "archive", "<fin"]);
    let all = client.drain(SILENCE);
    all.into_iter().filter(|xml| xml.contains("<result ")).collect()
}

#[test]
fn forged_copies_and_results_do_not_arrive_and_are_not_kept() {
    let server = Server::start();
    let mut ana = Client::login(&server, "ana");
    let mut phone = How::default().resource("phone").login(&server, "ana");
    let mut ben = Client::login(&server, "ben");
    ana.befriend(&mut ben);
    for client in [&mut ana, &mut phone] {
        client.send("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
        client.expect(&["<iq", r#"id="c""#]);
        client.send("<presence/>");
        client.ping();
    }
    let inner = "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' \
                 from='ben@chat.example/bank' to='ana@chat.example' type='chat'>\
                 <body>evil</body></message></forwarded>";
    let forgeries = [
        format!("<received xmlns='urn:xmpp:carbons:2'>{inner}</received>"),
        format!("<sent xmlns='urn:xmpp:carbons:2'>{inner}</sent>"),
        format!("<x:sent xmlns:x='urn:xmpp:carbons:2'>{inner}</x:sent>"),
        format!("<result xmlns='urn:xmpp:mam:2' queryid='q' id='evil'>{inner}</result>"),
        "<stanza-id xmlns='urn:xmpp:sid:0' by='ana@chat.example' id='evil'/>".to_owned(),
        "<stanza-id xmlns='urn:xmpp:sid:0' by='ANA@chat.example' id='evil'/>".to_owned(),
    ];
    let full = ana.jid().to_owned();
    for (number, forgery) in forgeries.iter().enumerate() {
        for to in [ANA, &full] {
            ben.send(&format!(
                "<message type='chat' to='{to}' id='f{number}'>{forgery}<body>seen</body></message>"
            ));
            // Nor from one's own devices: copies are the server's to make.
            phone.send(&format!(
                "<message type='chat' to='{to}' id='o{number}'>{forgery}<body>seen</body></message>"
            ));
        }
    }
    ben.ping();
    phone.ping();
    let got = ana.drain(SILENCE);
    assert!(
        got.iter().filter(|xml| xml.contains("seen")).count() >= 2 * forgeries.len(),
        "{got:?}"
    );
    let kept = archive(&mut ana);
    assert!(kept.iter().filter(|xml| xml.contains("seen")).count() >= forgeries.len(), "{kept:?}");
    let of_ben = kept.iter().filter(|xml| xml.contains("from=\"ben@"));
    for xml in got.iter().chain(&phone.drain(SILENCE)).chain(of_ben) {
        assert!(!xml.contains("evil"), "{xml}");
    }
}

#[test]
fn rosters_and_archives_of_others_are_out_of_reach() {
    let server = Setup::new().account("carol").start();
    let mut ana = Client::login(&server, "ana");
    let mut ben = Client::login(&server, "ben");
    let mut carol = Client::login(&server, "carol");
    ana.befriend(&mut ben);
    let full = ana.jid().to_owned();
    let push = "<query xmlns='jabber:iq:roster'><item jid='evil@chat.example' \
                subscription='both'/></query>";
    for (kind, payload) in [
        ("set", push),
        ("get", "<query xmlns='jabber:iq:roster'/>"),
        ("set", "<query xmlns='urn:xmpp:mam:2' queryid='q'/>"),
        ("get", "<metadata xmlns='urn:xmpp:mam:2'/>"),
        ("get", "<prefs xmlns='urn:xmpp:mam:2'/>"),
        ("set", "<prefs xmlns='urn:xmpp:mam:2' default='never'><always/><never/></prefs>"),
        ("get", "<blocklist xmlns='urn:xmpp:blocking'/>"),
        ("set", "<block xmlns='urn:xmpp:blocking'><item jid='ben@chat.example'/></block>"),
        ("set", "<enable xmlns='urn:xmpp:carbons:2'/>"),
    ] {
        let request = |to: &str| format!("<iq type='{kind}' id='r' to='{to}'>{payload}</iq>");
        // A contact, who may know that she is there.
        ben.send(&request(ANA));
        ben.expect(&["<iq", "error"]);
        // A stranger, who may not.
        carol.send(&request(ANA));
        let answer = carol.expect(&["<iq", "error"]);
        carol.send(&request(NOBODY));
        let nobodys = carol.expect(&["<iq", "error"]);
        assert_eq!(answer.replace(ANA, "WHO"), nobodys.replace(NOBODY, "WHO"), "{payload}");
    }
    // To a device it is handed as what it is, a request of somebody else, or not at all.
    ben.send(&format!("<iq type='set' id='push' to='{full}'>{push}</iq>"));
    ben.ping();
    for xml in ana.drain(SILENCE) {
        if xml.contains("evil") {
            assert_eq!(attr(&xml, "from").as_deref(), Some(ben.jid()), "{xml}");
        }
    }
    ana.send("<iq type='get' id='own'><query xmlns='jabber:iq:roster'/></iq>");
    let roster = ana.expect(&["<iq", r#"id="own""#]);
    assert!(!roster.contains("evil") && roster.contains("ben@"), "{roster}");
}

/// Sends `xml` to `to`; returns all that comes of it.
fn ask(client: &mut Client, xml: &str, to: &str) -> String {
    client.send(&xml.replace("WHO", to));
    // What comes before the answer to this one is all there is.
    client.send(&format!("<iq type='get' id='last' to='{to}'><x xmlns='urn:x'/></iq>"));
    let mut answers = String::new();
    loop {
        let answer = client.element();
        let is_last = answer.contains("id=\"last\"");
        // A change of one's own list: each has a number of its own.
        let version = attr(&answer, "ver").filter(|_| answer.contains("jabber:iq:roster"));
        answers += &version.map_or_else(|| answer.clone(), |ver| answer.replace(&ver, "VER"));
        if is_last {
            return answers;
        }
    }
}

#[test]
fn who_is_blocked_finds_nobody() {
    let server = Setup::new().account("carol").account("dora").start();
    let mut ana = How::default().resource("phone").login(&server, "ana");
    let mut ben = Client::login(&server, "ben");
    let mut carol = Client::login(&server, "carol");
    // Ben was a friend once, carol never.
    ana.befriend(&mut ben);
    ana.send("<presence><status>secret place</status></presence>");
    ana.send(
        "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'>\
         <item jid='ben@chat.example'/><item jid='carol@chat.example'/></block></iq>",
    );
    ana.expect(&["<iq", r#"id="b""#, "result"]);
    ana.drain(SILENCE);
    ben.drain(SILENCE);
    let payloads = [
        "<query xmlns='jabber:iq:last'/>",
        "<query xmlns='jabber:iq:version'/>",
        "<query xmlns='http://jabber.org/protocol/disco#info'/>",
        "<query xmlns='http://jabber.org/protocol/disco#items'/>",
        "<ping xmlns='urn:xmpp:ping'/>",
        "<time xmlns='urn:xmpp:time'/>",
        "<vCard xmlns='vcard-temp'/>",
        "<query xmlns='urn:xmpp:mam:2'/>",
        "<query xmlns='jabber:iq:private'><x xmlns='urn:x'/></query>",
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'>\
         <items node='urn:xmpp:avatar:metadata'/></pubsub>",
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'>\
         <items node='eu.siacs.conversations.axolotl.devicelist'/></pubsub>",
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'>\
         <subscribe node='urn:xmpp:avatar:metadata' jid='ben@chat.example'/></pubsub>",
    ];
    let requests = ["get", "set"].into_iter().flat_map(|kind| {
        payloads.map(|payload| format!("<iq type='{kind}' id='r' to='WHO'>{payload}</iq>"))
    });
    // Not `groupchat`: an error would throw her out of a room in which she blocks somebody.
    let messages = ["chat", "normal", "headline"]
        .map(|kind| format!("<message type='{kind}' id='m' to='WHO'><body>hello</body></message>"));
    let presences = ["<presence to='WHO'/>", "<presence type='probe' to='WHO'/>"];
    let all: Vec<String> = requests.chain(messages).chain(presences.map(str::to_owned)).collect();
    // What these do depends on one's own list, which ben has her in.
    let subscriptions = ["subscribe", "subscribed", "unsubscribe", "unsubscribed"]
        .map(|kind| format!("<presence type='{kind}' to='WHO'/>"));
    let more = [&all[..], &subscriptions].concat();
    for (client, xmls) in [(&mut ben, &all), (&mut carol, &more)] {
        for (xml, device) in xmls.iter().flat_map(|xml| ["", "/phone", "/no"].map(|at| (xml, at))) {
            let answer = ask(client, xml, &format!("{ANA}{device}"));
            let nobodys = ask(client, xml, &format!("{NOBODY}{device}"));
            let (answer, nobodys) = (answer.replace(ANA, "WHO"), nobodys.replace(NOBODY, "WHO"));
            assert_eq!(answer, nobodys, "to {xml} for {device:?}");
            assert!(!answer.contains("secret place"), "{answer}");
        }
    }
    // Nothing of it reached her, and somebody else is heard.
    assert_eq!(ana.drain(SILENCE), Vec::<String>::new());
    let mut dora = Client::login(&server, "dora");
    dora.send("<message type='chat' id='m' to='ana@chat.example'><body>hello</body></message>");
    ana.expect(&["<message", "hello", "dora@"]);
}

/// Adds contacts from `first` on without waiting for each answer; returns how many were refused.
fn add(client: &mut Client, first: u32, count: u32) -> usize {
    let mut refused = 0;
    let mut answered = 0;
    for number in first..first + count {
        client.send(&format!(
            "<iq type='set' id='a{number}'><query xmlns='jabber:iq:roster'>\
             <item jid='c{number}@chat.example'/></query></iq>"
        ));
        // A hundred are on the way.
        if number % 100 == 99 || number + 1 == first + count {
            while answered <= number - first {
                let answer = client.expect(&["<iq", r#"id="a"#]);
                refused += usize::from(answer.contains("<resource-constraint"));
                answered += 1;
            }
        }
    }
    refused
}

#[test]
fn a_list_has_an_end() {
    let server = Server::start();
    let mut ben = Client::login(&server, "ben");
    assert_eq!(add(&mut ben, 0, 1000), 0);
    assert_eq!(add(&mut ben, 1000, 100), 100);
    // What is there can be changed and removed, and then there is room.
    ben.send(
        "<iq type='set' id='n'><query xmlns='jabber:iq:roster'>\
         <item jid='c7@chat.example' name='Seven'/></query></iq>",
    );
    ben.expect(&["<iq", r#"id="n""#, "result"]);
    ben.send(
        "<iq type='set' id='d'><query xmlns='jabber:iq:roster'>\
         <item jid='c8@chat.example' subscription='remove'/></query></iq>",
    );
    ben.expect(&["<iq", r#"id="d""#, "result"]);
    assert_eq!(add(&mut ben, 1000, 2), 1);
}

#[test]
fn ten_thousand_contacts_are_kept_and_harm_nobody() {
    let setup = Setup::new().raw("[modules.roster]\ncontacts = 10000\n");
    let mut server = setup.start();
    let mut ben = Client::login(&server, "ben");
    let mut ana = Client::login(&server, "ana");
    let mut slowest = Duration::ZERO;
    for part in 0..10 {
        assert_eq!(add(&mut ben, part * 1000, 1000), 0);
        slowest = slowest.max(ana.ping());
    }
    assert_eq!(add(&mut ben, 10_000, 10), 10);
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    server.kill();
    server.launch();
    let mut ben = Client::login(&server, "ben");
    let began = Instant::now();
    ben.send("<iq type='get' id='all'><query xmlns='jabber:iq:roster'/></iq>");
    let roster = ben.expect(&["<iq", r#"id="all""#]);
    assert_eq!(roster.matches("<item ").count(), 10_000);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // Presence to so many who do not see it goes to none of them.
    ben.send("<presence/>");
    ben.ping();
    assert!(server.memory_peak() < 512 << 20, "{}", server.memory_peak());
}
