//! Records: one byte of version, then the fields.

use std::fmt;

use bincode::{Decode, Encode, config};

/// The most that a record may decode to, in bytes.
const RECORD_BYTES_MAX: usize = 20 << 20;

/// A value that a table keeps.
///
/// Fields are never reordered or removed. A new shape is a new version, and `decode` takes the old
/// ones too.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept in a table",
    label = "this is no record",
    note = "derive `bincode::Encode` and `bincode::Decode` for it and write `record!({Self}, 1);` below"
)]
pub trait Record: Sized {
    /// The version that is written.
    const VERSION: u8;

    /// Writes the fields.
    fn encode(&self) -> Vec<u8>;

    /// Reads the fields of a version.
    ///
    /// # Errors
    ///
    /// [`Broken`] when no version of the type wrote these bytes.
    fn decode(version: u8, body: &[u8]) -> Result<Self, Broken>;
}

/// Bytes that no version of the table wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The name of the table, empty below the table's own code.
    pub table: &'static str,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {} holds a broken record", self.table)
    }
}

impl std::error::Error for Broken {}

/// Makes records of types that derive `bincode::Encode` and `bincode::Decode`.
#[macro_export]
macro_rules! record {
    ($type:ty, $version:literal) => {
        impl $crate::Record for $type {
            const VERSION: u8 = $version;

            fn encode(&self) -> Vec<u8> {
                $crate::encode_body(self)
            }

            fn decode(version: u8, body: &[u8]) -> Result<Self, $crate::Broken> {
                if version == $version {
                    $crate::decode_body(body)
                } else {
                    Err($crate::Broken { table: "" })
                }
            }
        }
    };
}

/// Writes fields.
#[must_use]
pub fn encode_body<T: Encode>(value: &T) -> Vec<u8> {
    // Writing to memory fails only for types that refuse to be written; records do not.
    bincode::encode_to_vec(value, config::standard()).unwrap_or_default()
}

/// Reads fields: all the bytes, and no more memory than a record may take.
///
/// # Errors
///
/// [`Broken`] when the bytes are not such fields.
pub fn decode_body<T: Decode<()>>(body: &[u8]) -> Result<T, Broken> {
    let config = config::standard().with_limit::<RECORD_BYTES_MAX>();
    match bincode::decode_from_slice(body, config) {
        Ok((value, used)) if used == body.len() => Ok(value),
        _ => Err(Broken { table: "" }),
    }
}
