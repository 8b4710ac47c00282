//! Records as a zone file has them, for who compares them with what should be there.

use std::str::FromStr;

use hickory_resolver::proto::rr::RecordType;

use super::{NoWay, Resolver, WITHIN, within};

impl Resolver {
    /// Returns the values of the records of `kind`, such as "SRV", at `name`, and whether DNSSEC
    /// secures them. At least one.
    ///
    /// # Errors
    ///
    /// See [`NoWay`].
    pub(crate) async fn shown(&self, name: &str, kind: &str) -> Result<(Vec<String>, bool), NoWay> {
        let kind = RecordType::from_str(kind).map_err(|_| NoWay::NoService)?;
        let answer = within(WITHIN, self.ask(name, kind)).await?;
        let values = answer.data.iter().map(ToString::to_string).collect();
        Ok((values, answer.is_secure))
    }
}
