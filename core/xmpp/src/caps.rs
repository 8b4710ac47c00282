//! What hashes of capabilities are made over (XEP-0115 §5.1, XEP-0390 §4.1).
//!
//! Both take an answer of service discovery, a `<query/>` of disco#info, and leave the hashing to the
//! caller. Languages are those that stand at an identity.

use xml::Node;

use crate::ns;

/// Returns what XEP-0115 hashes; `None` for an answer that must not be believed (§5.4) because it
/// says something twice, or for which another one has the same hash because a `<` or a `/` stands
/// where those separate.
#[must_use]
pub fn verification(query: Node<'_>) -> Option<String> {
    let mut out = String::new();
    let mut identities: Vec<[String; 4]> = of(query, "identity").map(identity).collect();
    let is_split = |words: &[String; 4]| words.iter().take(3).any(|word| word.contains('/'));
    if identities.iter().any(is_split) {
        return None;
    }
    put(identities.iter_mut().map(|words| words.join("/")).collect(), &mut out)?;
    put(of(query, "feature").filter_map(var).collect(), &mut out)?;
    let forms = query.children().filter(|node| node.is(ns::DATA_FORMS, "x"));
    // A form that does not say what it is, is no part of it.
    let mut forms: Vec<_> = forms.filter_map(|form| Some((form_type(form)?, form))).collect();
    forms.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    if forms.windows(2).any(|two| matches!(two, [(left, _), (right, _)] if left == right)) {
        return None;
    }
    for (name, form) in forms {
        put(vec![name], &mut out)?;
        let mut fields: Vec<_> = fields(form).filter(|(name, _)| name != FORM_TYPE).collect();
        fields.sort_unstable();
        for (name, values) in fields {
            put(vec![name], &mut out)?;
            let mut values = values;
            values.sort_unstable();
            for value in values {
                put(vec![value], &mut out)?;
            }
        }
    }
    Some(out)
}

/// Returns what XEP-0390 hashes; `None` for an answer that has no hash: it has other children, or a
/// form that does not say what it is or that has items.
#[must_use]
pub fn hash_input(query: Node<'_>) -> Option<Vec<u8>> {
    let mut forms = Vec::new();
    for child in query.children() {
        match child.name() {
            "identity" | "feature" if child.ns() == ns::DISCO_INFO => {}
            "x" if child.ns() == ns::DATA_FORMS => {
                form_type(child)?;
                let has = |name| child.has_child(ns::DATA_FORMS, name);
                if has("reported") || has("item") {
                    return None;
                }
                let field = |(name, values): (String, Vec<String>)| {
                    [end(name, UNIT), sorted(values.into_iter().map(|v| end(v, UNIT)))].concat()
                };
                forms.push(sorted(fields(child).map(|one| end(field(one), RECORD))));
            }
            _ => return None,
        }
    }
    let features = sorted(of(query, "feature").filter_map(var).map(|var| end(var, UNIT)));
    let identities = of(query, "identity").map(|node| {
        let words = identity(node).map(|word| end(word, UNIT)).concat();
        end(words, RECORD)
    });
    let forms = sorted(forms.into_iter().map(|form| end(form, GROUP)));
    Some([features, sorted(identities), forms].map(|part| end(part, FILE)).concat().into_bytes())
}

/// The field that says what a form is (XEP-0068).
const FORM_TYPE: &str = "FORM_TYPE";

/// The separators of XEP-0390, from the smallest part to the largest.
const UNIT: char = '\u{1f}';
const RECORD: char = '\u{1e}';
const GROUP: char = '\u{1d}';
const FILE: char = '\u{1c}';

fn of<'a>(query: Node<'a>, name: &'static str) -> impl Iterator<Item = Node<'a>> {
    query.children().filter(move |node| node.is(ns::DISCO_INFO, name))
}

fn var(node: Node<'_>) -> Option<String> {
    node.attr("var").map(std::borrow::Cow::into_owned)
}

/// Returns category, type, language and name.
fn identity(node: Node<'_>) -> [String; 4] {
    let word = |value: Option<std::borrow::Cow<'_, str>>| value.unwrap_or_default().into_owned();
    [
        word(node.attr("category")),
        word(node.attr("type")),
        word(node.attr_in(ns::XML, "lang")),
        word(node.attr("name")),
    ]
}

/// Returns what a form says it is, if it says that once and hides it.
fn form_type(form: Node<'_>) -> Option<String> {
    let mut types = form.children().filter(|field| field.attr("var").as_deref() == Some(FORM_TYPE));
    let field = types.next().filter(|field| field.attr("type").as_deref() == Some("hidden"))?;
    let mut values = values(field);
    (types.next().is_none() && values.len() == 1).then(|| values.pop()).flatten()
}

fn fields(form: Node<'_>) -> impl Iterator<Item = (String, Vec<String>)> {
    let fields = form.children().filter(|node| node.is(ns::DATA_FORMS, "field"));
    fields.map(|field| (var(field).unwrap_or_default(), values(field)))
}

fn values(field: Node<'_>) -> Vec<String> {
    let values = field.children().filter(|node| node.is(ns::DATA_FORMS, "value"));
    values.map(|value| value.text().into_owned()).collect()
}

/// Puts words in order, each with a `<` behind it, which none of them may have.
fn put(mut words: Vec<String>, out: &mut String) -> Option<()> {
    words.sort_unstable();
    let is_twice = words.windows(2).any(|two| matches!(two, [left, right] if left == right));
    if is_twice || words.iter().any(|word| word.contains('<')) {
        return None;
    }
    for word in words {
        out.push_str(&end(word, '<'));
    }
    Some(())
}

fn sorted(parts: impl Iterator<Item = String>) -> String {
    let mut parts: Vec<_> = parts.collect();
    parts.sort_unstable();
    parts.concat()
}

fn end(mut part: String, separator: char) -> String {
    part.push(separator);
    part
}

#[cfg(test)]
mod tests {
    use xml::Flat;

    use super::*;

    fn read(inner: &str) -> Flat {
        let xml = format!("<query xmlns='{}'>{inner}</query>", ns::DISCO_INFO);
        Flat::parse(&xml, "").unwrap()
    }

    const FORM: &str = "<x xmlns='jabber:x:data' type='result'>\
        <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>\
        <field var='ip_version'><value>ipv6</value><value>ipv4</value></field>\
        <field var='os'><value>Mac</value></field></x>";

    #[test]
    fn sums_up_as_the_examples_do() {
        let query = read(
            "<feature var='http://jabber.org/protocol/muc'/>\
             <feature var='http://jabber.org/protocol/caps'/>\
             <identity category='client' name='Exodus 0.9.1' type='pc'/>",
        );
        let expected = "client/pc//Exodus 0.9.1<http://jabber.org/protocol/caps<\
                        http://jabber.org/protocol/muc<";
        assert_eq!(verification(query.root()).as_deref(), Some(expected));
        let query = read(&format!(
            "<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>\
             <identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>\
             <feature var='a'/>{FORM}"
        ));
        let expected = "client/pc/el/Ψ 0.11<client/pc/en/Psi 0.11<a<\
                        urn:xmpp:dataforms:softwareinfo<ip_version<ipv4<ipv6<os<Mac<";
        assert_eq!(verification(query.root()).as_deref(), Some(expected));
        let expected = "a\x1f\x1cclient\x1fpc\x1fel\x1fΨ 0.11\x1f\x1e\
                        client\x1fpc\x1fen\x1fPsi 0.11\x1f\x1e\x1c\
                        FORM_TYPE\x1furn:xmpp:dataforms:softwareinfo\x1f\x1e\
                        ip_version\x1fipv4\x1fipv6\x1f\x1eos\x1fMac\x1f\x1e\x1d\x1c";
        assert_eq!(hash_input(query.root()).as_deref(), Some(expected.as_bytes()));
    }

    #[test]
    fn believes_nothing_that_is_said_twice_or_in_two_ways() {
        let no = |inner: &str| assert_eq!(verification(read(inner).root()), None, "{inner}");
        no("<feature var='a'/><feature var='a'/>");
        no("<feature var='a&lt;b'/>");
        no("<identity category='a/b' type='c'/>");
        no("<identity category='a' type='b'/><identity category='a' type='b'/>");
        no(&format!("{FORM}{FORM}"));
    }

    #[test]
    fn forms_say_what_they_are() {
        let nameless = "<x xmlns='jabber:x:data' type='result'><field var='os'/></x>";
        assert_eq!(verification(read(nameless).root()).as_deref(), Some(""));
        assert_eq!(hash_input(read(nameless).root()), None);
        assert_eq!(hash_input(read("<more xmlns='urn:x'/>").root()), None);
        let listed = FORM.replace("</x>", "<item/></x>");
        assert_eq!(hash_input(read(&listed).root()), None);
    }
}
