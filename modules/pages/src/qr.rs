//! QR codes, as part of a page.

use qrcodegen::{QrCode, QrCodeEcc};

/// The free space around, in squares, which readers need.
const MARGIN: i32 = 4;

/// Draws `text`; `None` when it is too long. `label` is for who does not see it.
pub(crate) fn svg(text: &str, label: &str) -> Option<String> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let size = code.size();
    let mut path = String::new();
    for y in 0..size {
        for x in 0..size {
            if code.get_module(x, y) {
                let (x, y) = (x.saturating_add(MARGIN), y.saturating_add(MARGIN));
                path.push_str(&format!("M{x} {y}h1v1h-1z"));
            }
        }
    }
    let all = size.saturating_add(MARGIN.saturating_mul(2));
    let label = crate::html::escaped(label);
    Some(format!(
        "<svg class=\"qr\" role=\"img\" aria-label=\"{label}\" viewBox=\"0 0 {all} {all}\" \
         shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{all}v{all}H0z\"/>\
         <path fill=\"#000\" d=\"{path}\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_a_drawing_with_a_label() {
        let drawn = svg("xmpp:capulet.example?register;preauth=abc", "a \"label\"").unwrap();
        assert!(drawn.contains("aria-label=\"a &quot;label&quot;\""), "{drawn}");
        assert!(drawn.contains("viewBox=\"0 0 37 37\""), "{drawn}");
        // The upper left corner of each code is the same.
        assert!(drawn.contains("d=\"M4 4h1v1h-1zM5 4h1v1h-1z"), "{drawn}");
        assert!(svg(&"a".repeat(5000), "").is_none());
    }
}
