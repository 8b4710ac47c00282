//! What the reader takes and what it refuses.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use xml::{Element, Flat, FlatRef, Item, Limits, Reader, XmlError};

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
     xmlns:stream='http://etherx.jabber.org/streams' to='a.example' version='1.0' xml:lang='de'>";

fn read_all(reader: &mut Reader) -> Result<Vec<Item>, XmlError> {
    let mut items = Vec::new();
    while let Some(item) = reader.next()? {
        items.push(item);
    }
    Ok(items)
}

fn feed(text: &[u8], piece: usize) -> Result<Vec<String>, XmlError> {
    let mut reader = Reader::new(Limits::client());
    let mut out = Vec::new();
    for piece in text.chunks(piece) {
        reader.push(piece)?;
        for item in read_all(&mut reader)? {
            out.push(match item {
                Item::Open(header) => format!("{header:?}"),
                Item::Element(flat) => flat.raw().to_owned(),
                Item::Close => "close".to_owned(),
            });
        }
    }
    Ok(out)
}

#[test]
fn pieces_make_no_difference() {
    let text = format!(
        "{HEADER} <message to='a@b'><body>x &amp; y ]] &gt;</body></message>\n\
         <iq id='>' type='get'><q xmlns='urn:x'><![CDATA[<a>]]]]></q></iq> <presence/></stream:stream>"
    );
    let whole = feed(text.as_bytes(), text.len()).unwrap();
    assert_eq!(whole.len(), 5);
    assert_eq!(whole[4], "close");
    for piece in 1..40 {
        assert_eq!(feed(text.as_bytes(), piece).unwrap(), whole, "{piece}");
    }
}

#[test]
fn keeps_nothing_while_idle() {
    let mut reader = Reader::new(Limits::client());
    reader.push(HEADER.as_bytes()).unwrap();
    reader.push(b"  <presence/>  \n ").unwrap();
    assert_eq!(read_all(&mut reader).unwrap().len(), 2);
    assert!(reader.is_empty());
    reader.push(b"<pre").unwrap();
    assert!(read_all(&mut reader).unwrap().is_empty());
    assert_eq!(reader.buffered(), 4);
}

#[test]
fn bounds_hold_before_anything_is_kept() {
    let mut reader = Reader::new(Limits::before_login());
    reader.push(HEADER.as_bytes()).unwrap();
    read_all(&mut reader).unwrap();
    let piece = vec![b'a'; 4096];
    reader.push(b"<message a='").unwrap();
    let error =
        (0..1000).find_map(|_| reader.push(&piece).err().or_else(|| read_all(&mut reader).err()));
    assert!(matches!(error, Some(XmlError::Limit(_))), "{error:?}");
    assert!(reader.buffered() < 20_000);
}

#[test]
fn depth_is_bounded() {
    let text = format!("{HEADER}{}", "<a>".repeat(100_000));
    assert_eq!(feed(text.as_bytes(), 4096).unwrap_err(), XmlError::Limit("depth"));
}

#[test]
fn a_prefix_of_the_stream_is_taken_along() {
    let text = format!(
        "{}<message><x:a x:b='c'><body/></x:a></message>",
        HEADER.replace("to='", "xmlns:x='urn:x' to='")
    );
    let items = feed(text.as_bytes(), 4096).unwrap();
    let flat = Flat::parse(&items[1], "jabber:client").unwrap();
    let inside = flat.root().child("urn:x", "a").unwrap();
    assert_eq!(inside.attr_in("urn:x", "b").as_deref(), Some("c"));
    assert!(inside.has_child("jabber:client", "body"));
}

#[test]
fn header_is_read() {
    let mut reader = Reader::new(Limits::before_login());
    reader.push(HEADER.as_bytes()).unwrap();
    let Some(Item::Open(header)) = reader.next().unwrap() else { panic!("no header") };
    assert_eq!((header.name.as_str(), header.default_ns.as_str()), ("stream", "jabber:client"));
    assert_eq!(header.ns, "http://etherx.jabber.org/streams");
    assert_eq!(header.to.as_deref(), Some("a.example"));
    assert_eq!(header.lang.as_deref(), Some("de"));
}

#[test]
fn bad_headers_are_refused() {
    for (text, error) in [
        ("<?xml version='1.0' encoding='UTF-16'?><a>", XmlError::Utf8),
        ("hello", XmlError::NotWellFormed("no stream header")),
        ("<!DOCTYPE a><a>", XmlError::Restricted("before the stream")),
        ("<stream:stream>", XmlError::BadNamespacePrefix),
        ("<a/>", XmlError::NotWellFormed("a stream that ends at once")),
    ] {
        assert_eq!(feed(text.as_bytes(), 100).unwrap_err(), error, "{text}");
    }
}

/// Reads one stanza of a stream between servers; returns its text and what it reads as.
fn from_server(stanza: &str) -> (String, Element) {
    let header = "<stream:stream xmlns='jabber:server' xmlns:s='jabber:server' \
         xmlns:stream='http://etherx.jabber.org/streams'>";
    let limits = Limits::client();
    let mut reader = Reader::new(limits).reading("jabber:server", "jabber:client");
    reader.push(format!("{header}{stanza}").as_bytes()).unwrap();
    let items = read_all(&mut reader).unwrap();
    let [Item::Open(header), Item::Element(flat)] = items.as_slice() else { panic!("{items:?}") };
    assert_eq!(header.default_ns, "jabber:server");
    (flat.raw().to_owned(), Element::from_node(flat.root()))
}

#[test]
fn one_namespace_reads_as_another() {
    for (stanza, copied) in [
        ("<message><body>jabber:server</body></message>", true),
        ("<message><f xmlns='u:f'><message xmlns='jabber:client'/></f></message>", true),
        ("<message xmlns='jabber:server'><body/></message>", false),
        ("<message xmlns='jabber:client'><body/></message>", true),
        ("<message><body xmlns='jabber:server'/></message>", false),
        ("<s:message><s:body/></s:message>", false),
        ("<message xmlns:c='jabber:server'><c:body/></message>", false),
        ("<message><f xmlns='u:f'><message xmlns='jabber:server'/></f></message>", false),
    ] {
        let (raw, element) = from_server(stanza);
        assert_eq!(raw == stanza, copied, "{raw}");
        assert!(element.ns() == "jabber:client" && !raw.contains("='jabber:server'"), "{raw}");
        // The text says the same where nobody knows that stream.
        let again = Flat::parse(&raw, "jabber:client").unwrap();
        assert_eq!(Element::from_node(again.root()), element, "{raw}");
        let child = element.children().next().unwrap();
        let inside = if child.ns() == "u:f" { child.children().next().unwrap() } else { child };
        assert_eq!(inside.ns(), "jabber:client", "{raw}");
    }
}

#[test]
fn a_namespace_is_renamed_down_to_foreign_content() {
    let xml = "<message><body/><f xmlns='u:f'><message xmlns='jabber:client'/></f></message>";
    let mut element = Element::from_node(Flat::parse(xml, "jabber:client").unwrap().root());
    element.rename_ns("jabber:client", "jabber:server");
    assert_eq!(
        element.to_xml("jabber:server"),
        "<message><body/><f xmlns=\"u:f\"><message xmlns=\"jabber:client\"/></f></message>"
    );
}

#[test]
fn what_is_written_anew_stays_in_proportion() {
    let around = |ns: usize, inside: &str| {
        let ns = "n".repeat(ns);
        format!("<c:message xmlns:c='jabber:client' xmlns:p='{ns}'>{inside}</c:message>")
    };
    let long = around(257, "");
    assert_eq!(Flat::parse(&long, "").unwrap_err(), XmlError::Limit("the name of a namespace"));
    let most = around(256, &"<p:a/>".repeat(8_190));
    let element = Element::from_node(Flat::parse(&most, "").unwrap().root());
    assert!(element.to_xml("jabber:client").len() < 50 * most.len());
}

/// What is left of a stanza that breaks a limit; `None` when the stream is lost.
fn skipped(stanza: &str, piece: usize) -> Option<String> {
    let header = "<stream:stream xmlns='jabber:server' xmlns:s='jabber:server' \
         xmlns:stream='http://etherx.jabber.org/streams'>";
    let text = format!("{header}{stanza} <presence from='next'/>");
    let mut reader = Reader::new(Limits::client()).reading("jabber:server", "jabber:client");
    reader.tolerate();
    let mut left = None;
    for piece in text.as_bytes().chunks(piece) {
        reader.push(piece).unwrap();
        loop {
            match reader.next() {
                Ok(None) => break,
                Ok(Some(Item::Element(flat))) => {
                    assert_eq!(flat.raw(), "<presence from='next'/>");
                    return left;
                }
                Ok(Some(_)) => {}
                Err(_) => {
                    let flat = reader.skip(&["from", "to"])?;
                    assert!(flat.root().is("jabber:client", "message"), "{}", flat.raw());
                    left = Some(flat.raw().to_owned());
                }
            }
        }
    }
    None
}

#[test]
fn a_stanza_that_breaks_a_limit_is_passed_over() {
    let all = |from: &str, to: &str| (0..100).map(|n| format!("{from}{n}{to}")).collect::<String>();
    let (open, shut) = ("<a>".repeat(100), "</a>".repeat(100));
    for stanza in [
        format!("<message from='>' x='y'>{open}{shut}</message>"),
        format!("<message {} from='>'/>", all("x", "='' ")),
        format!("<message {} from='>'/>", all("xmlns:x", "='u:x' ")),
        format!("<message from='>'><a {}/></message>", all("x", "='' ")),
        format!("<message from='>'><a xmlns='{}'/></message>", "c".repeat(300)),
        "<message from='>'><a xmlns='no name'/></message>".to_owned(),
        format!("<message from='>'>{}</message>", "<a/>".repeat(9_000)),
    ] {
        for piece in [1000, 1 << 20] {
            assert_eq!(skipped(&stanza, piece).as_deref(), Some("<message from='>'/>"), "{stanza}");
        }
    }
    let prefixed = format!("<s:message xmlns:t='x' from='a'>{open}{shut}</s:message>");
    assert_eq!(skipped(&prefixed, 7).as_deref(), Some("<s:message from='a'/>"));
    // What is no XML, too long or no stanza ends the stream.
    for stanza in [
        "<message><a></b></message>".to_owned(),
        "<message><!-- --></message>".to_owned(),
        format!("<message>{}</message>", "x".repeat(262_144)),
        format!("<message xmlns='no name'>{open}{shut}</message>"),
    ] {
        assert_eq!(skipped(&stanza, 1000), None, "{stanza}");
    }
}

#[test]
fn names_are_those_of_every_edition_of_xml() {
    for name in ["é", "жизнь", "名前", "名1", "שלום", "e\u{301}", "_", "a-b.c"] {
        assert!(Flat::parse(&format!("<{name} {name}=''/>"), "").is_ok(), "{name}");
    }
    // The fifth edition allows these; expat 2.5.0 calls each of them not well-formed.
    for name in ["\u{10400}", "\u{370}", "a\u{200C}", "\u{2070}", "\u{2C00}", "ﷰ"] {
        for text in
            [format!("<{name}/>"), format!("<a {name}=''/>"), format!("<a xmlns:{name}='x'/>")]
        {
            assert_eq!(
                Flat::parse(&text, "").unwrap_err(),
                XmlError::Restricted("a name"),
                "{text}"
            );
        }
    }
}

#[track_caller]
fn refused(body: &str) {
    assert!(Flat::parse(body, "jabber:client").is_err(), "{body:?}");
}

#[test]
fn ill_formed_input_is_refused() {
    for body in [
        "",
        "a",
        "<a",
        "<a>",
        "<a></b>",
        "<a/><b/>",
        "<a/>x",
        " <a/>",
        "<a b=c/>",
        "<a b='1'c='2'/>",
        "<a b='1' b='2'/>",
        "<a b='<'/>",
        "<1/>",
        "<-a/>",
        "<a:b:c xmlns:a='u:a'/>",
        "<a: xmlns:a='u:a'/>",
        "<:a/>",
        "<a>]]></a>",
        "<a>\u{0}</a>",
        "<a>\u{1b}</a>",
        "<a>\u{FFFE}</a>",
        "<a b='\u{FFFF}'/>",
        "<a>&#0;</a>",
        "<a>&#1;</a>",
        "<a>&#xFFFE;</a>",
        "<a>&#xD800;</a>",
        "<a>&#x110000;</a>",
        "<a>&#4294967361;</a>",
        "<a>&#x100000041;</a>",
        "<a>&#+65;</a>",
        "<a>&#;</a>",
        "<a>&#x;</a>",
        "<a>&nbsp;</a>",
        "<a>&</a>",
        "<a>& b</a>",
        "<a>&amp</a>",
        "<!-- c --><a/>",
        "<a><!-- c --></a>",
        "<a><?p i?></a>",
        "<!DOCTYPE a><a/>",
        "<a><![CDATA[x]]</a>",
        "<a/b/>",
        "<x<y/>",
        "< a/>",
        "<a / >",
        "<p:a/>",
        "<a p:b='c'/>",
        "<a xmlns:p=''/>",
        "<a xmlns:xml='urn:x'/>",
        "<a xmlns:xmlns='urn:x'/>",
        "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
        "<a xmlns:p='urn:x' xmlns:q='urn:x' p:b='1' q:b='2'/>",
        "<a xmlns:p='urn:x' xmlns:p='urn:y'/>",
        "<a xmlns='urn:a}b'/>",
        "<a xmlns='urn:a b'/>",
        "<a xmlns='urn:a|b'/>",
        "<a xmlns='urn:&#x7d;b'/>",
        "<\u{d7}/>",
        "<a\u{d7}/>",
        "</a>",
        "<a></a >x",
        "<a></ a>",
        "<xmlns:a/>",
    ] {
        refused(body);
    }
}

#[test]
fn bytes_that_are_no_utf8_are_refused() {
    for bad in
        [&b"\xc0\xbc"[..], b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xff", b"\xc3", b"\xe2\x82"]
    {
        let text = [HEADER.as_bytes(), b"<message><body>", bad, b"</body></message>"].concat();
        assert_eq!(feed(&text, 7).unwrap_err(), XmlError::Utf8, "{bad:?}");
    }
}

#[test]
fn reads_what_is_there() {
    let xml = "<m a='1&lt;&#65;\n2' xml:lang='en' xmlns:p='u:p' p:q=\"'\">x<b xmlns='u:b'>in</b>\
               y&amp;<![CDATA[<&]]><c/></m>";
    let flat = Flat::parse(xml, "d:d").unwrap();
    let root = flat.root();
    assert_eq!((root.ns(), root.name()), ("d:d", "m"));
    assert_eq!(root.attr("a").as_deref(), Some("1<A 2"));
    assert_eq!(root.attr_in("u:p", "q").as_deref(), Some("'"));
    assert_eq!(root.attr("q"), None);
    assert_eq!(root.text(), "xy&<&");
    assert_eq!(root.child_text("u:b", "b").as_deref(), Some("in"));
    let children: Vec<_> = root.children().map(|child| child.raw()).collect();
    assert_eq!(children, ["<b xmlns='u:b'>in</b>", "<c/>"]);
    assert_eq!(root.extra_root(&["a"]), " xmlns:p='u:p' p:q=\"'\"");
}

#[test]
fn a_copy_means_the_same() {
    let xml = "<m xmlns:p='u:p' p:q='1' r='&quot;'>a<p:b>&#13;</p:b>c<d xmlns=''/></m>";
    let copy = Element::from_node(Flat::parse(xml, "d:d").unwrap().root());
    let again = Flat::parse(&copy.to_xml("other"), "other").unwrap();
    assert_eq!(Element::from_node(again.root()), copy);
    assert_eq!(again.root().ns(), "d:d");
}

#[test]
fn a_table_that_was_tampered_with_does_no_harm() {
    let flat = Flat::parse("<m a='1'><b/><c>x</c></m>", "d:d").unwrap();
    let view = flat.as_ref();
    let walk = |view: FlatRef<'_>| {
        let root = view.root();
        let inside: usize = root.children().map(|c| c.name().len() + c.text().len()).sum();
        root.name().len() + root.ns().len() + root.attrs().count() + inside + root.raw().len()
    };
    for at in 0..view.words().len() {
        for value in [0, 1, 7, 0xFFFF, 0x1_0000, u32::MAX - 1, u32::MAX] {
            let mut words = view.words().to_vec();
            words[at] = value;
            assert!(walk(FlatRef::from_parts(view.text(), &words)) < 100_000);
        }
    }
    assert_eq!(walk(FlatRef::from_parts("", &[])), 0);
}

#[test]
fn many_namespaces_are_kept_apart() {
    let children: String = (0..8000).map(|n| format!("<a xmlns='u:{n}'/>")).collect();
    let text = format!("<message>{children}</message>");
    let flat = Flat::parse(&text, "jabber:client").unwrap();
    for (n, child) in flat.root().children().enumerate() {
        assert_eq!(child.ns(), format!("u:{n}"));
    }
    // A name that was met before has the place that it had.
    let again = format!("<message>{children}<b xmlns='u:7'/><b xmlns='u:7000'/></message>");
    let words = |text: &str| Flat::parse(text, "jabber:client").unwrap().as_ref().words().len();
    let node_words = 10;
    assert_eq!(words(&again), words(&text) + 2 * node_words);
}

/// How long a pass takes.
#[expect(clippy::disallowed_types, reason = "the core has no clock, its tests may look at one")]
fn time_of(children: usize) -> std::time::Duration {
    let inner: String = (0..children).map(|n| format!("<a xmlns='u:{n:04}'/>")).collect();
    let text = format!("<message>{inner}</message>");
    let started = std::time::Instant::now();
    assert_eq!(Flat::parse(&text, "jabber:client").unwrap().raw().len(), text.len());
    started.elapsed()
}

#[test]
fn work_grows_with_the_bytes() {
    // Sixteen times the bytes; the square of that would be 256. A busy machine makes single passes
    // slow, but not all of many.
    let fastest = |children| (0..20).map(|_| time_of(children)).min().unwrap();
    let (few, many) = (fastest(500), fastest(8000));
    assert!(many < few * 80, "{few:?} {many:?}");
}

#[test]
fn debug_shows_no_content() {
    let flat = Flat::parse("<message><body>secret</body></message>", "jabber:client").unwrap();
    let mut reader = Reader::new(Limits::client());
    reader.push(b"<a secret").unwrap();
    let debug = format!("{flat:?} {:?} {reader:?}", flat.root());
    assert!(debug.contains("message") && !debug.contains("secret"), "{debug}");
}
