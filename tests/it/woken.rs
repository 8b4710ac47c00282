//! Phones of people in rooms are woken by the server of their app (XEP-0357), when they are meant.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;

use calypte_tests::{Client, Component, How, Server, Setup, attr, free_ports, wait};

const APP: &str = "push.chat.example";
const ROOM: &str = "orchard@rooms.chat.example";
const MUC: &str = "http://jabber.org/protocol/muc";

/// Starts a server on which an app's server speaks as a component.
fn start() -> (Server, Component) {
    let [port] = free_ports();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let setup = Setup::new().set("listen.components", &format!("[\"{address}\"]"));
    let table = format!("[[components]]\ndomain = \"{APP}\"\nsecret_file = \"app.secret\"\n");
    let mut server = setup.raw(&table).prepare();
    let path = server.file("app.secret");
    std::fs::write(&path, "sesame\n").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    server.launch();
    let app = Component::connect(address, APP, "sesame");
    (server, app)
}

/// Logs a phone in that can be woken.
fn phone(server: &Server) -> Client {
    let mut phone = How::default().resource("phone").login(server, "ana");
    phone.send(&format!(
        "<iq type='set' id='enable'><enable xmlns='urn:xmpp:push:0' jid='{APP}' node='n1'/></iq>"
    ));
    phone.expect(&["id=\"enable\"", "result"]);
    phone
}

/// The app's server is asked to wake the phone, and does.
fn wakes(app: &mut Component) {
    let asked = app.expect(&["<publish ", "n1", "</iq>"]);
    assert_eq!(asked.matches("<publish ").count(), 1, "{asked}");
    let id = attr(&asked, "id").unwrap();
    app.say(&format!("<iq type='result' id='{id}' from='{APP}' to='ana@chat.example'/>"));
}

fn say(client: &mut Client, body: &str) {
    client.send(&format!("<message to='{ROOM}' type='groupchat'><body>{body}</body></message>"));
    client.expect(&["groupchat", body]);
}

fn enter(client: &mut Client, nick: &str) {
    client.send(&format!("<presence to='{ROOM}/{nick}'><x xmlns='{MUC}'/></presence>"));
    client.expect(&["<subject"]);
}

#[test]
fn a_phone_is_woken_by_rooms_when_it_is_meant() {
    let (server, mut app) = start();
    phone(&server).close();
    let mut ben = Client::login(&server, "ben");
    // The room begins with the invitation.
    ben.send(&format!(
        "<message to='{ROOM}'><x xmlns='{MUC}#user'><invite to='ana@chat.example'/></x></message>"
    ));
    wakes(&mut app);
    ben.send(&format!(
        "<iq type='set' id='nick' to='{ROOM}'><query xmlns='{MUC}#admin'><item affiliation='member' \
         jid='ana@chat.example' nick='Ana'/></query></iq>"
    ));
    ben.expect(&["id=\"nick\"", "result"]);
    enter(&mut ben, "Ben");
    for number in 0..20 {
        say(&mut ben, &format!("apples {number}"));
    }
    say(&mut ben, "come, ana!");
    wakes(&mut app);

    // She comes, and her connection is lost.
    let mut ana = phone(&server);
    ana.enable();
    enter(&mut ana, "Orchardist");
    ana.drain(std::time::Duration::from_millis(200));
    let received = ana.memory().received;
    ana.send(&format!("<a xmlns='urn:xmpp:sm:3' h='{received}'/>"));
    ana.ping();
    let memory = ana.cut();
    wait("it hibernates", || server.metric("calypte_sessions_detached") > 0.0);
    let before = server.metric("calypte_push_sent_total");
    for number in 0..20 {
        say(&mut ben, &format!("pears {number}"));
    }
    ben.ping();
    assert_eq!(server.metric("calypte_push_sent_total").to_bits(), before.to_bits());
    say(&mut ben, "where is the orchardist?");
    wakes(&mut app);
    let mut ana = How::default().resume(&server, &memory).unwrap();
    ana.expect(&["pears 0"]);
    ana.expect(&["where is the orchardist?"]);
}
