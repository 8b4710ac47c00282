//! Our reader beside rxml, over elements that were bent at random.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod oracle;

use xml::{Item, Limits, Reader};

/// What inputs begin as.
const SEEDS: [&str; 9] = [
    "<message to='a@b' type='chat'><body>x &amp; y ]] &gt; &#65; &#x1F600;</body></message>",
    "<iq id='>' type='get'><q xmlns='urn:x'><![CDATA[<a>]]]]></q></iq>",
    "<a xmlns:p='urn:p' xmlns:q='urn:q' p:b='1' q:b='2' b='3'><p:c q:d=''/></a>",
    "<a xml:lang='de' xmlns=''><b xmlns='urn:b'/><c/></a>",
    "<a>\r\n\t\r x\u{85}\u{2028}</a>",
    "<a b='&#9;&#10;&#13; \t\n\r &quot;&apos;&lt;'/>",
    "<presence/>",
    "<a><b><c><d/></c></b>tail<!-- no --></a>",
    "<é·-._a2 ñ:x='1' xmlns:ñ='urn:ñ'/>",
];

/// What is put into them.
const WORDS: [&str; 48] = [
    "<",
    ">",
    "/",
    "'",
    "\"",
    "=",
    "&",
    ";",
    " ",
    "\t",
    "\n",
    "\r",
    ":",
    "!",
    "?",
    "[",
    "]",
    "-",
    "#",
    "x",
    "a",
    "<a>",
    "</a>",
    "<a/>",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<?",
    "?>",
    "&amp;",
    "&#1;",
    "&#x0;",
    "&#xD800;",
    "&#xFFFF;",
    "&#99999999999;",
    "&lt",
    "xmlns=''",
    "xmlns='urn:x'",
    "xmlns:p='urn:p'",
    " xmlns:p=''",
    "p:a='1'",
    "xml:",
    "xmlns:",
    "\u{0}",
    "\u{FFFE}",
    "é",
    "\u{300}",
];

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(end).unwrap()).unwrap()
    }

    fn place(&mut self, text: &[char]) -> usize {
        self.below(text.len() + 1)
    }

    /// Bends a text a few times.
    fn bend(&mut self, text: &str) -> String {
        let mut text: Vec<char> = text.chars().collect();
        for _ in 0..1 + self.below(3) {
            let (a, b) = (self.place(&text), self.place(&text));
            let (from, to) = (a.min(b), a.max(b));
            match self.below(4) {
                0 => drop(text.drain(from..to.min(from + 4))),
                1 => {
                    let copy: Vec<char> = text[from..to].to_vec();
                    let at = self.place(&text);
                    text.splice(at..at, copy);
                }
                _ => {
                    let word = WORDS[self.below(WORDS.len())];
                    text.splice(from..from, word.chars());
                }
            }
        }
        text.into_iter().collect()
    }
}

fn rounds() -> u64 {
    std::env::var("CALYPTE_SEEDS").map_or(60_000, |text| text.parse().unwrap())
}

#[test]
fn what_we_accept_rxml_accepts_with_the_same_events() {
    let mut accepted = 0;
    for seed in 0..rounds() {
        let mut chance = Chance(seed);
        let seed = SEEDS[chance.below(SEEDS.len())];
        let text = chance.bend(seed);
        accepted += u64::from(oracle::check(&text));
    }
    // Otherwise nothing was compared.
    assert!(accepted > rounds() / 50, "{accepted} of {} were accepted", rounds());
}

#[test]
fn a_stream_in_pieces_says_the_same() {
    let header =
        "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
    for seed in 0..rounds() / 10 {
        let mut chance = Chance(seed);
        let seed = SEEDS[chance.below(SEEDS.len())];
        let text = chance.bend(seed);
        let whole = format!("{header}{text}<presence/>");
        let read = |sizes: &mut dyn FnMut() -> usize| {
            let mut reader = Reader::new(Limits::client());
            let mut said = Vec::new();
            let mut rest = whole.as_bytes();
            while !rest.is_empty() {
                let (piece, more) = rest.split_at(sizes().min(rest.len()));
                rest = more;
                reader.push(piece).unwrap();
                loop {
                    match reader.next() {
                        Ok(None) => break,
                        Ok(Some(Item::Element(flat))) => said.push(oracle::ours(flat.root())),
                        Ok(Some(Item::Open(_))) => {}
                        Ok(Some(Item::Close)) => {
                            said.push("close".to_owned());
                            return said;
                        }
                        Err(_) => {
                            said.push("error".to_owned());
                            return said;
                        }
                    }
                }
            }
            said
        };
        let at_once = read(&mut || whole.len());
        let in_pieces = read(&mut || 1 + chance.below(5));
        assert_eq!(in_pieces, at_once, "{text:?}");
    }
}
