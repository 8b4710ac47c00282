//! Who asks by HTTP: the address, and the page that a browser asks for.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::{HeaderMap, HeaderName};
use stream::Facts;

use crate::config::Config;
use crate::config::origin::{Origin, Pages};
use crate::reach;

/// What is known of a connection below HTTP.
#[derive(Clone, Debug)]
pub(super) struct Below {
    /// Its TLS; `None`: in the clear, from a web server of this machine.
    pub(super) facts: Option<Facts>,
    /// Where it comes from.
    pub(super) address: IpAddr,
}

/// What web servers add that hand requests on.
const HANDED_ON: [&str; 3] = ["forwarded", "via", "x-forwarded-for"];

impl Below {
    /// Returns for whom is asked. A web server of this machine says that: the last address is the one
    /// that it added itself.
    pub(super) fn asker(&self, headers: &HeaderMap) -> IpAddr {
        let named = headers.get_all("x-forwarded-for").last().filter(|_| self.facts.is_none());
        let last = named.and_then(|value| address(value.to_str().ok()?.rsplit(',').next()?.trim()));
        last.unwrap_or(self.address)
    }

    /// Returns what a client may bind its login to: nothing when a browser asks, whose pages do not see
    /// their TLS, or when the TLS ends at somebody in between, as far as that is known.
    pub(super) fn bindable(&self, headers: &HeaderMap) -> Facts {
        let Some(facts) = &self.facts else { return Facts::default() };
        let is_handed_on = HANDED_ON.iter().any(|name| headers.contains_key(*name));
        if is_handed_on || headers.contains_key("origin") {
            return Facts { version: facts.version.clone(), ..Facts::default() };
        }
        facts.clone()
    }
}

/// Reads an address, which some write with a port, and with the brackets of one.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip()))
}

/// Tells whether a page may use this server. Who names none is no browser: a program can say of itself
/// what it likes, so nothing is lost by letting it in.
pub(super) fn is_welcome(headers: &HeaderMap, config: &Config) -> bool {
    let mut origins = headers.get_all(HeaderName::from_static("origin"));
    let Some(origin) = origins.next() else { return true };
    let pages = &config.web.origins;
    if pages.contains(&Pages::Any) {
        return true;
    }
    let origin = origin.to_str().ok().and_then(Origin::parse);
    let Some(origin) = origin.filter(|_| origins.next().is_none()) else { return false };
    let own =
        Origin { scheme: "https", host: config.domain.ascii_domain().into_owned(), port: None };
    let is_of = |place: &Origin| place.host == origin.host && place.scheme == origin.scheme;
    is_of(&own)
        || reach::web_url(config).as_ref().is_some_and(is_of)
        || pages.contains(&Pages::Of(origin.clone()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use actix_web::http::header::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_known_pages_are_welcome() {
        let mut config = Config::standard("chat.example".parse().unwrap(), Path::new("data"));
        config.listen.web = vec!["127.0.0.1:5281".parse().unwrap()];
        config.web.url = Origin::parse("https://web.example:8443");
        config.web.origins = vec![Pages::Of(Origin::parse("https://app.example").unwrap())];
        let is_welcome =
            |origin, config: &Config| is_welcome(&headers(&[("origin", origin)]), config);
        for right in [
            "https://chat.example",
            "https://CHAT.example:8443",
            "https://web.example",
            "https://app.example",
        ] {
            assert!(is_welcome(right, &config), "{right}");
        }
        for wrong in [
            "http://chat.example",
            "https://evil.example",
            "https://chat.example.evil.example",
            "https://app.example:444",
            "null",
            "",
        ] {
            assert!(!is_welcome(wrong, &config), "{wrong}");
        }
        config.web.origins = vec![Pages::Any];
        assert!(is_welcome("null", &config));
        let twice = headers(&[("origin", "https://chat.example"), ("origin", "https://a.example")]);
        config.web.origins.clear();
        assert!(!super::is_welcome(&twice, &config));
        assert!(super::is_welcome(&headers(&[]), &config));
    }

    #[test]
    fn only_a_server_of_this_machine_speaks_for_others() {
        let named = headers(&[("x-forwarded-for", "192.0.2.66, 192.0.2.7")]);
        let address = "127.0.0.1".parse().unwrap();
        let below = Below { facts: None, address };
        assert_eq!(below.asker(&named).to_string(), "192.0.2.7");
        for (written, read) in [
            ("192.0.2.1:4711", "192.0.2.1"),
            ("192.0.2.66, 192.0.2.1:4711", "192.0.2.1"),
            ("[2001:db8::1]:1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("192.0.2.1:", "127.0.0.1"),
            ("unknown", "127.0.0.1"),
        ] {
            let asker = below.asker(&headers(&[("x-forwarded-for", written)]));
            assert_eq!(asker.to_string(), read, "{written}");
        }
        let exporter = Some(vec![1; 32]);
        let facts = Facts { exporter, end_point: None, version: "TLSv1.3".into() };
        let below = Below { facts: Some(facts), address };
        assert_eq!(below.asker(&named), address);
        assert!(below.bindable(&named).exporter.is_none());
        assert!(below.bindable(&headers(&[("origin", "https://a.example")])).exporter.is_none());
        assert!(below.bindable(&headers(&[])).exporter.is_some());
    }
}
