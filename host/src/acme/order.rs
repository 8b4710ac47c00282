//! One order: from the account to a certificate that is kept, or why there is none.

use std::path::{Path, PathBuf};
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, Problem, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use tokio::time::timeout;

use super::{Challenges, files};
use crate::config::Config;
use crate::config::settings::Challenge;
use crate::tls::{Files, Served};

/// How long one attempt may take.
const WITHIN: Duration = Duration::from_secs(180);
/// How the state of an order is asked for: soon, then less often.
const ASK: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(90));

/// What is ordered, and where.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) names: Vec<String>,
    pub(super) directory: String,
    contacts: Vec<String>,
    challenge: Challenge,
    trust: Option<PathBuf>,
    folder: PathBuf,
}

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// A sentence without its full stop, with what to do.
    pub(super) why: String,
    /// Whether the authority was asked too often.
    pub(super) is_limited: bool,
}

impl Wanted {
    /// Returns what this configuration wants.
    pub(super) fn of(config: &Config) -> Self {
        let acme = &config.acme;
        let contact = |text: &String| match text.contains(':') {
            true => text.clone(),
            false => format!("mailto:{text}"),
        };
        Self {
            names: super::names(config),
            directory: acme.directory.clone(),
            contacts: acme.contact.iter().map(contact).collect(),
            challenge: acme.challenge,
            trust: acme.trust.clone(),
            folder: files::folder(config),
        }
    }
}

impl Trouble {
    /// Says something that has nothing to do with limits.
    pub(super) fn other(why: String) -> Self {
        Self { why, is_limited: false }
    }

    fn of(error: &Error, directory: &str) -> Self {
        match error {
            Error::Api(problem) => Self::told(problem, None, Challenge::Http01),
            Error::Timeout(_) => {
                Self::other("the authority takes too long; it is asked again".into())
            }
            Error::Json(_) => Self::other(format!(
                "{directory} does not answer as an authority does; is `acme.directory` right?"
            )),
            error => Self::other(format!(
                "the authority at {directory} cannot be reached: {}",
                chain(error)
            )),
        }
    }

    /// Puts the words of RFC 8555 §6.7 into ours. The authority's own detail follows.
    fn told(problem: &Problem, name: Option<&str>, challenge: Challenge) -> Self {
        let full = problem.r#type.as_deref().unwrap_or_default();
        let kind = full.rsplit(':').next().unwrap_or_default();
        let name = name.unwrap_or("the domain");
        let port = match challenge {
            Challenge::Http01 => "port 80",
            Challenge::TlsAlpn01 => "port 443",
        };
        let what = match kind {
            "rateLimited" => {
                "the authority was asked too often and wants to be left alone".to_owned()
            }
            "dns" => {
                format!("DNS has no address for {name}; add an A or AAAA record for this machine")
            }
            "connection" => {
                format!("the authority cannot connect to {name} at {port}; open it to the world")
            }
            "unauthorized" | "incorrectResponse" | "tls" => format!(
                "something else answers for {name} at {port}; DNS points to another machine, or \
                 a web server stands in front"
            ),
            "caa" => {
                format!("a CAA record of {name} forbids this authority; `calypte dns` has one")
            }
            "rejectedIdentifier" => format!("the authority issues nothing for {name}"),
            "invalidContact" | "unsupportedContact" => "`acme.contact` is not accepted".to_owned(),
            "externalAccountRequired" => {
                "the authority wants an account that was made elsewhere; choose another one"
                    .to_owned()
            }
            "userActionRequired" => {
                "the authority has new terms; read and agree to them".to_owned()
            }
            "serverInternal" => "the authority has a fault".to_owned(),
            _ => format!("the authority says {kind}"),
        };
        let detail = problem.detail.as_deref().unwrap_or_default();
        let detail = detail.chars().filter(|letter| !letter.is_control()).take(300);
        let detail: String = detail.collect();
        let why = if detail.is_empty() { what } else { format!("{what} ({detail})") };
        Self { why, is_limited: kind == "rateLimited" }
    }
}

/// Gets a certificate, keeps it, and returns it.
pub(super) async fn issue(wanted: &Wanted, challenges: &Challenges) -> Result<Served, Trouble> {
    files::make(&wanted.folder).map_err(Trouble::other)?;
    let outcome = timeout(WITHIN, order(wanted, challenges)).await;
    challenges.clear();
    let late = || Trouble::other("the authority takes too long; it is asked again".to_owned());
    let pem = outcome.map_err(|_| late())??;
    keep(wanted, &pem).map_err(Trouble::other)
}

/// A certificate that would not work is not kept.
fn keep(wanted: &Wanted, pem: &str) -> Result<Served, String> {
    let tried = wanted.folder.join("tried.pem");
    files::write(&tried, pem.as_bytes())?;
    let served = Served::open(&Files { chain: tried.clone(), key: tried.clone() });
    drop(std::fs::remove_file(&tried));
    let served = served.map_err(|why| format!("what the authority issued is of no use: {why}"))?;
    if let Some(name) = wanted.names.iter().find(|name| !served.covers(name)) {
        return Err(format!("what the authority issued is not for {name}"));
    }
    files::write(&wanted.folder.join("certificate.pem"), pem.as_bytes())?;
    Ok(served)
}

/// Returns the chain with its key, in PEM.
async fn order(wanted: &Wanted, challenges: &Challenges) -> Result<String, Trouble> {
    let account = account(wanted).await?;
    let told = |error: Error| Trouble::of(&error, &wanted.directory);
    let names: Vec<_> = wanted.names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await.map_err(told)?;
    prove(&mut order, wanted, challenges).await?;
    let status = order.poll_ready(&ASK).await.map_err(told)?;
    if !matches!(status, OrderStatus::Ready | OrderStatus::Valid) {
        return Err(refusal(&mut order, wanted).await);
    }
    let (key, request) = request(&wanted.names).map_err(Trouble::other)?;
    order.finalize_csr(&request).await.map_err(told)?;
    let chain = order.poll_certificate(&ASK).await.map_err(told)?;
    Ok(format!("{key}\n{chain}"))
}

/// Returns the account that is kept, or makes one and keeps it.
async fn account(wanted: &Wanted) -> Result<Account, Trouble> {
    let told = |error: Error| Trouble::of(&error, &wanted.directory);
    let builder = || match &wanted.trust {
        Some(file) => Account::builder_with_root(file),
        None => Account::builder(),
    };
    let path = wanted.folder.join("account.json");
    if let Some(known) = read(&path)? {
        return builder().map_err(told)?.from_credentials(known).await.map_err(told);
    }
    let contact: Vec<&str> = wanted.contacts.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let builder = builder().map_err(told)?;
    let made = builder.create(&new, wanted.directory.clone(), None).await;
    let (account, credentials) = made.map_err(told)?;
    let text =
        serde_json::to_vec(&credentials).map_err(|error| Trouble::other(error.to_string()))?;
    files::write(&path, &text).map_err(Trouble::other)?;
    Ok(account)
}

fn read(path: &Path) -> Result<Option<instant_acme::AccountCredentials>, Trouble> {
    let told = path.display();
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Trouble::other(format!("{told} cannot be read: {error}"))),
    };
    let broken = |_| Trouble::other(format!("{told} is damaged; remove it to get a new account"));
    serde_json::from_slice(&text).map(Some).map_err(broken)
}

/// Gets an answer ready for each name that is not proved yet, and says so.
async fn prove(order: &mut Order, wanted: &Wanted, challenges: &Challenges) -> Result<(), Trouble> {
    let told = |error: Error| Trouble::of(&error, &wanted.directory);
    let kind = kind(wanted.challenge);
    let mut all = order.authorizations();
    while let Some(one) = all.next().await {
        let mut one = one.map_err(told)?;
        if one.status == AuthorizationStatus::Valid {
            continue;
        }
        let mut challenge = one.challenge(kind.clone()).ok_or_else(|| {
            Trouble::other(
                "the authority does not offer `acme.challenge`; try the other".to_owned(),
            )
        })?;
        let answer = challenge.key_authorization();
        match wanted.challenge {
            Challenge::Http01 => challenges.add_answer(&challenge.token, answer.as_str()),
            Challenge::TlsAlpn01 => {
                let name = challenge.identifier().to_string();
                let made = challenges.add_certificate(&name, answer.digest().as_ref());
                made.map_err(Trouble::other)?;
            }
        }
        challenge.set_ready().await.map_err(told)?;
    }
    Ok(())
}

/// Finds out which name the authority did not believe, and why.
async fn refusal(order: &mut Order, wanted: &Wanted) -> Trouble {
    let whole = order.state().error.clone();
    let mut all = order.authorizations();
    while let Some(Ok(mut one)) = all.next().await {
        if one.refresh().await.is_err() {
            continue;
        }
        let name = one.identifier().to_string();
        let problem = one.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = problem {
            return Trouble::told(problem, Some(&name), wanted.challenge);
        }
    }
    match whole {
        Some(problem) => Trouble::told(&problem, None, wanted.challenge),
        None => {
            Trouble::other("the authority did not accept the proof and does not say why".into())
        }
    }
}

fn kind(challenge: Challenge) -> ChallengeType {
    match challenge {
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    }
}

/// Makes a key, and the request to certify it (RFC 8555 §7.4).
fn request(names: &[String]) -> Result<(String, Vec<u8>), String> {
    let make = || {
        let mut params = CertificateParams::new(names.to_vec())?;
        params.distinguished_name = DistinguishedName::new();
        let key = KeyPair::generate()?;
        let request = params.serialize_request(&key)?.der().to_vec();
        Ok::<_, rcgen::Error>((key.serialize_pem(), request))
    };
    make().map_err(|error| format!("a request for a certificate cannot be made: {error}"))
}

/// Returns an error with what caused it: the outermost alone says little.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut inner = std::error::Error::source(error);
    while let Some(error) = inner {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        inner = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn says(kind: &str, detail: &str, expected: &str) {
        let json = format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}","detail":"{detail}"}}"#);
        let problem: Problem = serde_json::from_str(&json).unwrap();
        let trouble = Trouble::told(&problem, Some("chat.example"), Challenge::TlsAlpn01);
        assert_eq!(trouble.why, expected);
        assert_eq!(trouble.is_limited, kind == "rateLimited");
    }

    #[test]
    fn errors_are_told_in_words() {
        says(
            "connection",
            "refused",
            "the authority cannot connect to chat.example at port 443; open it to the world (refused)",
        );
        says("rateLimited", "", "the authority was asked too often and wants to be left alone");
        says("odd", "a\\u0007b", "the authority says odd (ab)");
    }
}
