//! Commands with forms (XEP-0050, XEP-0004).
//!
//! A command is a function of what it was told: as long as something is missing it returns a [`Form`]
//! for that, and when nothing is, it does its work and returns an [`Outcome`]. The engine keeps what
//! was filled in so far, goes back a stage where people want that, and refuses what does not fit the
//! form. On the command line all fields stand in one line, so there are no stages.

use bincode::{Decode, Encode};
use xmpp::StanzaError;

use crate::{Context, Ticket, wire};

/// What a command comes to, or the error to send instead.
pub type CommandResult = Result<CommandReply, StanzaError>;

/// What a command comes to.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum CommandReply {
    /// Something has to be filled in first.
    Ask(Form),
    /// It is done, or has failed.
    Done(Outcome),
    /// No answer now: [`Context::answer_command`] gives it.
    Later,
}

/// Something to fill in.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Form {
    /// What people read above it.
    pub title: String,
    /// What people are to do.
    pub instructions: String,
    /// The protocol that names its fields (XEP-0068), where one does.
    pub form_type: Option<String>,
    /// The fields.
    pub fields: Vec<Field>,
    /// Whether the command is done when it is filled in.
    pub is_last: bool,
}

/// What became of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Outcome {
    /// What people read. Empty: nothing.
    pub text: String,
    /// Whether it failed.
    pub is_error: bool,
    /// The protocol that names the fields.
    pub form_type: Option<String>,
    /// What programs read, and people where there is no text.
    pub fields: Vec<Field>,
}

/// A field of a form.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What people read beside it.
    pub label: String,
    /// What may stand in it.
    pub kind: FieldKind,
    /// Whether something has to.
    pub is_required: bool,
    /// What stands in it.
    pub values: Vec<String>,
}

/// What may stand in a field.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum FieldKind {
    /// A line.
    Text,
    /// A line that is not shown.
    Private,
    /// Lines.
    Lines,
    /// Yes or no: `1` or `0`.
    Flag,
    /// An address.
    Address,
    /// Addresses.
    Addresses,
    /// One of these: value and what people read.
    Choice(Vec<(String, String)>),
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Its values may be secrets.
        f.debug_struct("Field").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Form {
    /// Returns an empty form, the last one of its command.
    #[must_use]
    pub fn new(title: &str, instructions: &str) -> Self {
        Self {
            title: title.to_owned(),
            instructions: instructions.to_owned(),
            form_type: None,
            fields: Vec::new(),
            is_last: true,
        }
    }

    /// Names the protocol of its fields.
    #[must_use]
    pub fn of_type(mut self, form_type: &str) -> Self {
        self.form_type = Some(form_type.to_owned());
        self
    }

    /// Says that another one follows.
    #[must_use]
    pub fn followed(mut self) -> Self {
        self.is_last = false;
        self
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }
}

impl Field {
    /// Returns an empty field that may stay so.
    #[must_use]
    pub fn new(name: &str, label: &str, kind: FieldKind) -> Self {
        let (name, label) = (name.to_owned(), label.to_owned());
        Self { name, label, kind, is_required: false, values: Vec::new() }
    }

    /// Says that something has to stand in it.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// Adds a value.
    #[must_use]
    pub fn with_value(mut self, value: &str) -> Self {
        self.values.push(value.to_owned());
        self
    }
}

impl Outcome {
    /// Returns one that says this to people.
    #[must_use]
    pub fn said(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Returns a failure that says this to people.
    #[must_use]
    pub fn failed(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_error: true, ..Self::default() }
    }

    /// Names the protocol of its fields.
    #[must_use]
    pub fn of_type(mut self, form_type: &str) -> Self {
        self.form_type = Some(form_type.to_owned());
        self
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }
}

impl From<Form> for CommandReply {
    fn from(form: Form) -> Self {
        Self::Ask(form)
    }
}

impl From<Outcome> for CommandReply {
    fn from(outcome: Outcome) -> Self {
        Self::Done(outcome)
    }
}

impl Context<'_, '_> {
    /// Answers a command that [`Context::later`] put off, as [`Context::answer`] does for a request.
    ///
    /// # Errors
    ///
    /// As [`Context::answer`].
    pub fn answer_command(
        &mut self,
        ticket: Ticket,
        answer: CommandResult,
    ) -> Result<(), StanzaError> {
        match answer {
            Ok(CommandReply::Later) => Err(StanzaError::INTERNAL),
            Ok(reply) => self.answer_bytes(ticket, &wire::encode(&reply)),
            Err(error) => self.answer_error(ticket, &error),
        }
    }
}
