//! The examples of the RFCs, and what must fail.

use super::*;

struct Example {
    hash: Hash,
    password: &'static str,
    salt: &'static str,
    first: &'static str,
    nonce: &'static str,
    proof: &'static str,
    server_final: &'static str,
}

const RFC_5802: Example = Example {
    hash: Hash::Sha1,
    password: "pencil",
    salt: "QSXCR+Q6sek8bf92",
    first: "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
    nonce: "3rfcNHYJY1ZVvWVs7j",
    proof: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    server_final: "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
};

const RFC_7677: Example = Example {
    hash: Hash::Sha256,
    password: "pencil",
    salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
    first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
    nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    proof: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    server_final: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
};

fn challenge(example: &Example, is_known: bool) -> Challenge {
    let salt = STANDARD.decode(example.salt).unwrap();
    let password = prepare(example.password).unwrap();
    let verifier = Verifier::derive(example.hash, &password, &salt, 4096);
    let first = ClientFirst::read(example.first.as_bytes()).unwrap();
    let nonce = format!("{}{}", first.nonce, example.nonce);
    let server_first = format!("r={nonce},s={},i=4096", example.salt);
    let (hash, bound) = (example.hash, Vec::new());
    Challenge { hash, verifier, is_known, first, nonce, server_first, bound }
}

#[test]
fn examples_hold() {
    for example in [RFC_5802, RFC_7677] {
        let proved = challenge(&example, true).prove(example.proof.as_bytes()).unwrap();
        assert_eq!(proved.server_final, example.server_final);
        assert_eq!(proved.client_key.expose().len(), example.hash.bytes());
    }
}

#[test]
fn what_differs_is_refused() {
    let proof = RFC_5802.proof;
    let prove = |message: &str| challenge(&RFC_5802, true).prove(message.as_bytes()).unwrap_err();
    assert_eq!(prove(&proof.replace("p=v0", "p=v1")), Refusal::Wrong);
    assert_eq!(prove(&proof.replace("c=biws", "c=eSws")), Refusal::Wrong);
    assert_eq!(prove(&proof.replace("r=fyko", "r=gyko")), Refusal::Wrong);
    assert_eq!(prove("c=biws,r=x"), Refusal::Malformed);
    assert_eq!(prove(&proof.replace("p=v0X8", "p=!!!!")), Refusal::Malformed);
    assert_eq!(prove(&format!("{proof}AAAA")), Refusal::Malformed);
    let unknown = challenge(&RFC_5802, false).prove(proof.as_bytes());
    assert_eq!(unknown.unwrap_err(), Refusal::Wrong);
}

#[test]
fn first_messages_are_read_strictly() {
    let read = |text: &str| ClientFirst::read(text.as_bytes());
    let first = read("p=tls-exporter,a=x=2Cy=3D,n=us=2Cer,r=abc,ext=1").unwrap();
    assert_eq!(first.binding, Binding::Type("tls-exporter".into()));
    assert_eq!((first.authzid.as_deref(), first.username.as_str()), (Some("x,y="), "us,er"));
    for bad in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=a",
        "n,,r=a,n=b",
        "x,,n=a,r=b",
        "n,b,n=a,r=b",
        "n,,n=,r=b",
        "n,,n=a,r=",
        "n,,n=a=,r=b",
        "n,,n=a,r=b\0",
        "n,,m=x,n=a,r=b",
    ] {
        assert_eq!(read(bad), Err(Refusal::Malformed), "{bad:?}");
    }
}

#[test]
fn unknown_users_have_a_salt_that_stays() {
    let secret = Secret::new(vec![7; 32]);
    let fake = |user: &str| Verifier::fake(Hash::Sha256, &secret, user, 4096).salt;
    assert_eq!(fake("a"), fake("a"));
    assert_ne!(fake("a"), fake("b"));
    assert_eq!(fake("a").len(), SALT_BYTES);
}

#[test]
fn passwords_are_prepared_and_checked() {
    let salts = [[1; SALT_BYTES], [2; SALT_BYTES], [3; SALT_BYTES]];
    let verifiers = Verifiers::derive("pa\u{301}ss", &salts, 100).unwrap();
    let key = verifiers.check(&Secret::from("p\u{e1}ss".to_owned())).unwrap();
    assert_eq!(digest(Hash::Sha256, key.expose()), verifiers.sha256.as_ref().unwrap().stored_key);
    assert_eq!(verifiers.check(&Secret::from("pass".to_owned())), None);
    for wrong in ["", "a\n", "\u{fb01}sh", "\u{ff11}234", "x\u{b2}"] {
        assert_eq!(Verifiers::derive(wrong, &salts, 1), Err(BadPassword), "{wrong:?}");
    }
    for right in ["a b", "\u{fc}\u{df}\u{3a9}", "\u{5bc6}\u{7801}", "a\u{a0}b"] {
        assert!(Verifiers::derive(right, &salts, 1).is_ok(), "{right:?}");
    }
    assert!(!format!("{verifiers:?}").contains("stored"));
}
