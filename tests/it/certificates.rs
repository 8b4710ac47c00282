//! Certificates whose files change while the server runs.

use std::os::unix::fs::symlink;
use std::time::Duration;

use calypte_tests::{Client, DOMAIN, How, Server, Setup, wait};

/// Returns the certificate that a new connection gets.
fn shown(server: &Server) -> Vec<u8> {
    let client = How::default().direct().login(server, "ben");
    let certificate = client.certificate();
    client.close();
    certificate
}

#[test]
fn a_renewed_certificate_is_served_without_a_reload() {
    let server = Server::start();
    let mut ana = Client::login(&server, "ana");
    let first = ana.certificate();

    // Half of it for a while: the key is still the old one.
    let key = std::fs::read(server.file("key.pem")).unwrap();
    server.renew_certificate();
    let new_key = std::fs::read(server.file("key.pem")).unwrap();
    std::fs::write(server.file("key.pem"), key).unwrap();
    std::thread::sleep(Duration::from_secs(12));
    assert_eq!(shown(&server), first);
    // The rest of it, as certbot and others put it there.
    std::fs::write(server.file("key.new"), new_key).unwrap();
    std::fs::rename(server.file("key.new"), server.file("key.pem")).unwrap();
    wait("the new certificate", || shown(&server) != first);

    let second = shown(&server);
    server.authority().certify("elsewhere.example", &server.file(""));
    std::thread::sleep(Duration::from_secs(12));
    assert_eq!(shown(&server), second, "one for another domain is not taken by itself");

    // The stream from before all that goes on, with the certificate that it began with.
    ana.ping();
    assert_eq!(ana.certificate(), first);
    assert_eq!(server.metric("calypte_reloads_total"), 0.0);
}

#[test]
fn links_that_are_turned_are_followed() {
    let mut server = Setup::new().prepare();
    for (folder, link) in [("1", true), ("2", false)] {
        std::fs::create_dir(server.file(folder)).unwrap();
        server.authority().certify(DOMAIN, &server.file(folder));
        if link {
            for name in ["cert.pem", "key.pem"] {
                std::fs::remove_file(server.file(name)).unwrap();
                symlink(format!("{folder}/{name}"), server.file(name)).unwrap();
            }
        }
    }
    server.launch();
    let mut ana = Client::login(&server, "ana");
    for name in ["cert.pem", "key.pem"] {
        symlink(format!("2/{name}"), server.file("next")).unwrap();
        std::fs::rename(server.file("next"), server.file(name)).unwrap();
    }
    wait("the new certificate", || shown(&server) != ana.certificate());
    ana.ping();
}
