//! Certificates of every kind that a peer may show, each with what it is worth. This file uses
//! nothing of the server, so that other tests can include it.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType,
    ExtendedKeyUsagePurpose as Purpose, GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose,
    NameConstraints, date_time_ymd,
};

/// A certificate with those above it, and its key.
pub(crate) struct Shown {
    /// In DER, the peer's own first.
    pub(crate) chain: Vec<Vec<u8>>,
    /// PKCS #8, in DER.
    pub(crate) key: Vec<u8>,
}

/// Authorities to sign with.
pub(crate) struct World {
    /// To be trusted.
    pub(crate) root: CertifiedIssuer<'static, KeyPair>,
    /// Below `root`.
    pub(crate) between: CertifiedIssuer<'static, KeyPair>,
    /// Below `root`, expired.
    pub(crate) between_expired: CertifiedIssuer<'static, KeyPair>,
    /// Below `root`, only for names in `permitted.example`.
    pub(crate) constrained: CertifiedIssuer<'static, KeyPair>,
    /// Below `root`, for a server, which may sign nothing.
    pub(crate) server: CertifiedIssuer<'static, KeyPair>,
    /// Not to be trusted.
    pub(crate) stranger: CertifiedIssuer<'static, KeyPair>,
}

/// What a certificate is worth.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Worth {
    /// It proves the domain.
    Valid,
    /// It does not, and these words are part of why.
    Invalid(&'static str),
}

/// A kind of certificate.
pub(crate) struct Kind {
    /// Its name, for messages and files.
    pub(crate) name: &'static str,
    /// What it is worth.
    pub(crate) worth: Worth,
    /// Makes one for a domain of three labels or more: a wildcard for all of a top-level domain is
    /// worth nothing.
    pub(crate) make: fn(&World, &str) -> Shown,
}

const fn kind(name: &'static str, worth: Worth, make: fn(&World, &str) -> Shown) -> Kind {
    Kind { name, worth, make }
}

const NOT_FOR: Worth = Worth::Invalid("and not for");
const NO_NAME: Worth = Worth::Invalid("names no domain");

/// All kinds.
pub(crate) const KINDS: &[Kind] = &[
    kind("dns", Worth::Valid, |world, me| world.with(&[dns(me)])),
    kind("dns-capitals", Worth::Valid, |world, me| world.with(&[dns(&me.to_uppercase())])),
    kind("dns-among-others", Worth::Valid, |world, me| {
        world.with(&[dns("a.example"), dns(me), ip(&[192, 0, 2, 1])])
    }),
    kind("wildcard", Worth::Valid, |world, me| world.with(&[dns(&format!("*.{}", parent(me)))])),
    kind("wildcard-below", NOT_FOR, |world, me| world.with(&[dns(&format!("*.{me}"))])),
    kind("wildcard-two-labels", NOT_FOR, |world, me| {
        world.with(&[dns(&format!("*.*.{}", parent(me)))])
    }),
    kind("wildcard-part-of-label", NOT_FOR, |world, me| {
        let first: String = me.chars().take(1).collect();
        world.with(&[dns(&format!("{first}*.{}", parent(me)))])
    }),
    kind("wildcard-inside", NOT_FOR, |world, me| {
        let (first, _) = me.split_once('.').unwrap();
        world.with(&[dns(&format!("{first}.*"))])
    }),
    kind("wildcard-alone", NOT_FOR, |world, _| world.with(&[dns("*")])),
    kind("common-name-only", Worth::Invalid("a common name is none"), |world, me| {
        world.sign(params(&[], &[(DnType::CommonName, me)]), Signer::Root)
    }),
    kind("common-name-beside-another", NOT_FOR, |world, me| {
        world.sign(params(&[dns("other.example")], &[(DnType::CommonName, me)]), Signer::Root)
    }),
    kind("common-name-in-attribute", NO_NAME, |world, me| {
        let hidden = format!("Example, CN={me}");
        world.sign(params(&[], &[(DnType::OrganizationName, &hidden)]), Signer::Root)
    }),
    kind("nothing", NO_NAME, |world, _| world.sign(params(&[], &[]), Signer::Root)),
    kind("nul", NOT_FOR, |world, me| world.with(&[dns(&format!("{me}\0.evil.example"))])),
    kind("as-prefix", NOT_FOR, |world, me| world.with(&[dns(&format!("{me}.evil.example"))])),
    kind("as-suffix", NOT_FOR, |world, me| world.with(&[dns(&format!("evil{me}"))])),
    kind("parent", NOT_FOR, |world, me| world.with(&[dns(parent(me))])),
    kind("email", NO_NAME, |world, me| world.with(&[text(0x81, &format!("ana@{me}"))])),
    kind("uri", NO_NAME, |world, me| world.with(&[text(0x86, &format!("xmpp://{me}"))])),
    kind("ip", NO_NAME, |world, _| world.with(&[ip(&[127, 0, 0, 1])])),
    kind("srv-name", Worth::Valid, |world, me| world.with(&[srv_name("_xmpp-server", me)])),
    kind("srv-name-of-clients", NOT_FOR, |world, me| world.with(&[srv_name("_xmpp-client", me)])),
    kind("srv-name-other", NOT_FOR, |world, _| {
        world.with(&[srv_name("_xmpp-server", "other.example")])
    }),
    kind("srv-name-wrong-type", NO_NAME, |world, me| {
        world.with(&[other(7, 0x0C, &format!("_xmpp-server.{me}"))])
    }),
    kind("xmpp-address", Worth::Valid, |world, me| world.with(&[xmpp_address(me)])),
    kind("xmpp-address-beside-dns", Worth::Valid, |world, me| {
        world.with(&[dns("other.example"), xmpp_address(me)])
    }),
    kind("xmpp-address-of-account", NOT_FOR, |world, me| {
        world.with(&[xmpp_address(&format!("ana@{me}"))])
    }),
    kind("xmpp-address-other", NOT_FOR, |world, _| world.with(&[xmpp_address("other.example")])),
    kind("expired", Worth::Invalid("expired on 2020-02-01"), |world, me| {
        let mut params = params(&[dns(me)], &[]);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 2, 1);
        world.sign(params, Signer::Root)
    }),
    kind("not-yet-valid", Worth::Invalid("not valid before 2100-01-01"), |world, me| {
        let mut params = params(&[dns(me)], &[]);
        params.not_before = date_time_ymd(2100, 1, 1);
        world.sign(params, Signer::Root)
    }),
    kind("eku-server", Worth::Valid, |world, me| world.used(me, &[Purpose::ServerAuth])),
    kind("eku-client", Worth::Valid, |world, me| world.used(me, &[Purpose::ClientAuth])),
    kind("eku-both", Worth::Valid, |world, me| {
        world.used(me, &[Purpose::ServerAuth, Purpose::ClientAuth])
    }),
    kind("eku-none", Worth::Valid, |world, me| world.used(me, &[])),
    kind("eku-any", Worth::Valid, |world, me| world.used(me, &[Purpose::Any])),
    kind("eku-code-and-server", Worth::Valid, |world, me| {
        world.used(me, &[Purpose::CodeSigning, Purpose::ServerAuth])
    }),
    kind("eku-code", Worth::Invalid("neither by servers nor by clients"), |world, me| {
        world.used(me, &[Purpose::CodeSigning])
    }),
    kind("eku-email", Worth::Invalid("neither by servers nor by clients"), |world, me| {
        world.used(me, &[Purpose::EmailProtection])
    }),
    kind("self-signed", Worth::Invalid("signed by itself"), |_, me| {
        let key = KeyPair::generate().unwrap();
        let own = params(&[dns(me)], &[(DnType::CommonName, me)]).self_signed(&key).unwrap();
        Shown { chain: vec![own.der().to_vec()], key: key.serialize_der() }
    }),
    kind("self-signed-authority", Worth::Invalid("signed by itself"), |_, me| {
        let key = KeyPair::generate().unwrap();
        let mut params = params(&[dns(me)], &[(DnType::CommonName, me)]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = params.self_signed(&key).unwrap();
        Shown { chain: vec![own.der().to_vec()], key: key.serialize_der() }
    }),
    kind("authority", Worth::Invalid("of an authority and not of a server"), |world, me| {
        let mut params = params(&[dns(me)], &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        world.sign(params, Signer::Root)
    }),
    kind("unknown-authority", Worth::Invalid("no authority that we trust"), |world, me| {
        world.sign(params(&[dns(me)], &[]), Signer::Stranger)
    }),
    kind("intermediate", Worth::Valid, |world, me| {
        world.sign(params(&[dns(me)], &[]), Signer::Between)
    }),
    kind("intermediate-after-others", Worth::Valid, |world, me| {
        let mut shown = world.sign(params(&[dns(me)], &[]), Signer::Between);
        shown.chain.insert(1, world.stranger.der().to_vec());
        shown.chain.push(world.root.der().to_vec());
        shown
    }),
    kind("intermediate-missing", Worth::Invalid("does not send its intermediate"), |world, me| {
        let mut params = params(&[dns(me)], &[]);
        params.custom_extensions.push(issuer_file("http://authority.example/between.der"));
        let mut shown = world.sign(params, Signer::Between);
        shown.chain.truncate(1);
        shown
    }),
    kind("intermediate-expired", Worth::Invalid("its authority expired on"), |world, me| {
        world.sign(params(&[dns(me)], &[]), Signer::BetweenExpired)
    }),
    kind("signed-by-server", Worth::Invalid("not acceptable: EndEntityUsedAsCa"), |world, me| {
        world.sign(params(&[dns(me)], &[]), Signer::Server)
    }),
    kind("constrained", Worth::Invalid("may not vouch for its names"), |world, me| {
        world.sign(params(&[dns(me)], &[]), Signer::Constrained)
    }),
    kind("constrained-xmpp-address", Worth::Invalid("only by dNSName"), |world, me| {
        let names = [dns("a.permitted.example"), xmpp_address(me)];
        world.sign(params(&names, &[]), Signer::Constrained)
    }),
];

/// Who signs.
#[derive(Clone, Copy)]
pub(crate) enum Signer {
    Root,
    Between,
    BetweenExpired,
    Constrained,
    Server,
    Stranger,
}

impl World {
    pub(crate) fn new() -> Self {
        let root = authority("Root", None, |_| {});
        let between = authority("Between", Some(&root), |_| {});
        let between_expired = authority("Past", Some(&root), |params| {
            params.not_after = date_time_ymd(2020, 2, 1);
        });
        let constrained = authority("Constrained", Some(&root), |params| {
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: vec![GeneralSubtree::DnsName("permitted.example".to_owned())],
                excluded_subtrees: Vec::new(),
            });
        });
        let server = authority("Server", Some(&root), |params| params.is_ca = IsCa::ExplicitNoCa);
        let stranger = authority("Stranger", None, |_| {});
        Self { root, between, between_expired, constrained, server, stranger }
    }

    /// Signs, and puts the certificates of the authorities but the root's own above.
    pub(crate) fn sign(&self, params: CertificateParams, signer: Signer) -> Shown {
        let issuer = match signer {
            Signer::Root => &self.root,
            Signer::Between => &self.between,
            Signer::BetweenExpired => &self.between_expired,
            Signer::Constrained => &self.constrained,
            Signer::Server => &self.server,
            Signer::Stranger => &self.stranger,
        };
        let key = KeyPair::generate().unwrap();
        let own = params.signed_by(&key, issuer).unwrap();
        let mut chain = vec![own.der().to_vec()];
        if !matches!(signer, Signer::Root) {
            chain.push(issuer.der().to_vec());
        }
        Shown { chain, key: key.serialize_der() }
    }

    fn with(&self, names: &[Vec<u8>]) -> Shown {
        self.sign(params(names, &[]), Signer::Root)
    }

    fn used(&self, domain: &str, purposes: &[Purpose]) -> Shown {
        let mut params = params(&[dns(domain)], &[]);
        params.extended_key_usages = purposes.to_vec();
        self.sign(params, Signer::Root)
    }
}

fn authority(
    name: &str,
    above: Option<&CertifiedIssuer<'static, KeyPair>>,
    change: impl FnOnce(&mut CertificateParams),
) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    match above {
        Some(above) => CertifiedIssuer::signed_by(params, key, above).unwrap(),
        None => CertifiedIssuer::self_signed(params, key).unwrap(),
    }
}

/// What a certificate for `names` says, with a subject of `subject`.
pub(crate) fn params(names: &[Vec<u8>], subject: &[(DnType, &str)]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in subject {
        params.distinguished_name.push(kind.clone(), *value);
    }
    if !names.is_empty() {
        let names = tagged(0x30, &names.concat());
        params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 17], names));
    }
    params
}

pub(crate) fn dns(name: &str) -> Vec<u8> {
    text(0x82, name)
}

fn text(tag: u8, value: &str) -> Vec<u8> {
    tagged(tag, value.as_bytes())
}

fn ip(bytes: &[u8]) -> Vec<u8> {
    tagged(0x87, bytes)
}

fn srv_name(service: &str, domain: &str) -> Vec<u8> {
    other(7, 0x16, &format!("{service}.{domain}"))
}

pub(crate) fn xmpp_address(address: &str) -> Vec<u8> {
    other(5, 0x0C, address)
}

/// An otherName of id-on (1.3.6.1.5.5.7.8) with a string of the kind `tag`.
fn other(number: u8, tag: u8, value: &str) -> Vec<u8> {
    let oid = tagged(0x06, &[0x2B, 6, 1, 5, 5, 7, 8, number]);
    let value = tagged(0xA0, &text(tag, value));
    tagged(0xA0, &[oid, value].concat())
}

/// Where the certificate of the authority can be had (RFC 5280 §4.2.2.1).
fn issuer_file(place: &str) -> CustomExtension {
    let method = tagged(0x06, &[0x2B, 6, 1, 5, 5, 7, 48, 2]);
    let one = tagged(0x30, &[method, text(0x86, place)].concat());
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], tagged(0x30, &one))
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    let [high, low] = length.to_be_bytes();
    let head = if length < 128 { vec![tag, low] } else { vec![tag, 0x82, high, low] };
    [head, content.to_vec()].concat()
}

fn parent(domain: &str) -> &str {
    domain.split_once('.').unwrap().1
}
