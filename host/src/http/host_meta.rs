//! Where the server is found, for who asks by HTTPS: RFC 6415, XEP-0156, XEP-0487.

use std::net::SocketAddr;

use actix_web::{HttpResponse, Resource, web};
use serde_json::{Value, json};

use super::{bosh, websocket};
use crate::config::Config;
use crate::config::federation::With;
use crate::reach;
use crate::server::Shared;

/// The path of the document as XML.
pub(super) const XRD: &str = "/.well-known/host-meta";
/// The path of the document as JSON.
pub(super) const JRD: &str = "/.well-known/host-meta.json";
const WEBSOCKET: &str = "urn:xmpp:alt-connections:websocket";
const XBOSH: &str = "urn:xmpp:alt-connections:xbosh";
/// How long the answer may be kept.
const SECONDS: u32 = 3600;

/// Returns a page of this kind.
pub(super) fn resource<F>(path: &str, page: fn(web::Data<Shared>) -> F) -> Resource
where
    F: Future<Output = HttpResponse> + 'static,
{
    web::resource(path).route(web::get().to(page)).route(web::head().to(page))
}

/// As XML it names WebSocket and BOSH only (XEP-0156 §3.1).
pub(super) async fn xrd(shared: web::Data<Shared>) -> HttpResponse {
    let mut body = "<?xml version='1.0' encoding='utf-8'?>\n\
                    <XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>\n"
        .to_owned();
    for (rel, href) in for_browsers(&shared.config.load()) {
        body.push_str(&format!("  <Link rel='{rel}' href='{href}'/>\n"));
    }
    body.push_str("</XRD>\n");
    page("application/xrd+xml", body)
}

/// As JSON it also names the ports with TLS from the first byte.
pub(super) async fn jrd(shared: web::Data<Shared>) -> HttpResponse {
    page("application/json", document(&shared.config.load()).to_string() + "\n")
}

/// Returns the ways for clients in browsers, as far as they are open. What is in an origin needs no
/// escaping.
fn for_browsers(config: &Config) -> Vec<(&'static str, String)> {
    let Some(url) = reach::web_url(config) else { return Vec::new() };
    let mut links = Vec::new();
    if config.web.websocket {
        let href = format!("{url}{}", websocket::PATH);
        links.push((WEBSOCKET, href.replacen("http", "ws", 1)));
    }
    if config.web.bosh {
        links.push((XBOSH, format!("{url}{}", bosh::PATH)));
    }
    links
}

/// Scripts of any page may read it (XEP-0156 §4): it is the same for everybody.
fn page(kind: &str, body: String) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(kind)
        .insert_header(("Access-Control-Allow-Origin", "*"))
        .insert_header(("Cache-Control", format!("max-age={SECONDS}")))
        .body(body)
}

/// With the `xmpp` object nothing else need be asked, and then each way that is no link of XEP-0156 has
/// to have an address (XEP-0487 §3.1). Where the addresses are not known, or one can only begin in the
/// clear (STARTTLS has no link), there is none, and who asks uses DNS.
fn document(config: &Config) -> Value {
    let of_web = |(rel, href): (&str, String)| json!({"rel": rel, "href": href});
    let mut links: Vec<_> = for_browsers(config).into_iter().map(of_web).collect();
    match direct(config) {
        Some(direct) if !direct.is_empty() => {
            links.extend(direct);
            json!({"xmpp": {"ttl": SECONDS}, "links": links})
        }
        _ => json!({"links": links}),
    }
}

/// Returns the ports with TLS from the first byte, `None` when others would be missed.
fn direct(config: &Config) -> Option<Vec<Value>> {
    let listen = &config.listen;
    let name = config.domain.ascii_domain();
    let federates = config.federation.with != With::Nobody;
    let clients = (&*listen.c2s, reach::direct(&listen.c2s_tls, listen));
    let none: (&[SocketAddr], Vec<SocketAddr>) = (&[], Vec::new());
    let own = || (&*listen.s2s, reach::direct(&listen.s2s_tls, listen));
    let servers = if federates { own() } else { none };
    let kinds =
        [("urn:xmpp:alt-connections:tls", clients), ("urn:xmpp:alt-connections:s2s-tls", servers)];
    let mut links = Vec::new();
    for (rel, (starttls, direct)) in kinds {
        let ports = reach::ports(&direct, &listen.public);
        let is_hidden = ports.is_empty() && !starttls.is_empty();
        if is_hidden || ports.values().any(Vec::is_empty) {
            return None;
        }
        links.extend(ports.into_iter().map(|(port, ips)| {
            json!({
                "rel": rel,
                "port": port,
                "ips": ips,
                "priority": 10,
                "weight": 10,
                "sni": name,
            })
        }));
    }
    Some(links)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(c2s_tls: &[&str], public: &[&str]) -> Config {
        let mut config = Config::standard("chat.example".parse().unwrap(), Path::new("data"));
        config.listen.c2s_tls = c2s_tls.iter().map(|text| text.parse().unwrap()).collect();
        config.listen.public = public.iter().map(|text| text.parse().unwrap()).collect();
        config
    }

    #[test]
    fn an_address_that_is_not_known_is_not_made_up() {
        let both = ["0.0.0.0:5223", "[::]:5223"];
        let none = json!({"links": []});
        assert_eq!(document(&config(&both, &[])), none);
        assert_eq!(document(&config(&[], &["192.0.2.1"])), none);
        let known = document(&config(&both, &["192.0.2.1", "2001:db8::1"]));
        assert_eq!(known["links"][0]["ips"], json!(["192.0.2.1", "2001:db8::1"]));
        assert_eq!(known["links"][0]["port"], 5223);
        assert_eq!(known["xmpp"]["ttl"], 3600);
        assert_eq!(known["links"][1]["rel"], "urn:xmpp:alt-connections:s2s-tls");
        assert_eq!(known["links"][1]["port"], 5270);
        // Servers could only begin in the clear, and there is no link for that.
        let mut config = config(&both, &["192.0.2.1", "2001:db8::1"]);
        config.listen.s2s_tls.clear();
        assert_eq!(document(&config), none);
        config.federation.with = With::Nobody;
        assert_eq!(document(&config)["links"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn browsers_learn_what_is_open() {
        let mut config = config(&[], &[]);
        assert_eq!(for_browsers(&config), []);
        config.listen.https = vec!["0.0.0.0:8443".parse().unwrap()];
        let both = [
            (WEBSOCKET, "wss://chat.example:8443/xmpp-websocket".to_owned()),
            (XBOSH, "https://chat.example:8443/http-bind".to_owned()),
        ];
        assert_eq!(for_browsers(&config), both);
        let links = document(&config)["links"].clone();
        assert_eq!(links[0]["href"], "wss://chat.example:8443/xmpp-websocket");
        config.web.websocket = false;
        assert_eq!(for_browsers(&config), both[1..]);
        // Who stands in front is asked.
        config.listen.https.clear();
        config.listen.web = vec!["127.0.0.1:5281".parse().unwrap()];
        assert_eq!(for_browsers(&config), []);
        config.web.url = crate::config::origin::Origin::parse("https://web.example");
        assert_eq!(for_browsers(&config)[0].1, "https://web.example/http-bind");
    }
}
