//! A command with forms.

use calypte::prelude::*;

use crate::Probe;
use crate::act::NS;

impl Probe {
    /// A command of two stages, the second of which depends on the first.
    pub(crate) fn brew(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let kinds = FieldKind::Choice(vec![
            ("love".to_owned(), "Love".to_owned()),
            ("sleep".to_owned(), "Sleep".to_owned()),
        ]);
        let Some(kind) = asked.field("kind") else {
            let form = Form::new("Brew a potion", "Choose a kind.").followed();
            return Ok(form.with(Field::new("kind", "Kind", kinds).required()).into());
        };
        let Some(hours) = asked.field("hours") else {
            let hours = Field::new("hours", "Hours", FieldKind::Text).required();
            let taster = Field::new("taster", "Taster", FieldKind::Address);
            let tested = Field::new("tested", "Tested", FieldKind::Flag).with_value("0");
            let form = Form::new("Brew a potion", "").of_type(NS);
            return Ok(form.with(hours).with(taster).with(tested).into());
        };
        if hours == "0" {
            return Err(StanzaError::NOT_ACCEPTABLE);
        }
        let done =
            Outcome { is_error: hours == "99", ..Outcome::said(format!("{kind} for {hours} h")) };
        let strength = Field::new("strength", "Strength", FieldKind::Text).with_value("40");
        cx.count("brewed", 1)?;
        Ok(done.of_type(NS).with(strength).into())
    }
}
