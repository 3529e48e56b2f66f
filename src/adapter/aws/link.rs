//! Which external ids are ours.

use std::sync::{Mutex, PoisonError};

use super::record::ExternalIdEntry;
use crate::adapter::scim::ExternalIds;
use crate::id::ExternalId;

/// How the issuer of an external id begins that was written through the SCIM endpoint; after it comes a name of the tenant.
const SCIM_ISSUER: &str = "https://scim.aws.com/";

/// Between what AWS shows, an issuer of its own and the text that a SCIM client wrote, and the engine's links.
#[derive(Debug)]
pub(super) struct Links {
    /// How the SCIM client writes a link.
    form: ExternalIds,
    /// The issuers of SCIM endpoints as AWS names them, from the options or as seen in records: an endpoint that was set up anew
    /// has another name, and the records of the old one keep theirs.
    tenants: Mutex<Vec<String>>,
}

/// More names than endpoints that one store has had; each costs a look-up.
const MOST_TENANTS: usize = 8;

/// No record has shown yet how AWS names the issuer of what the SCIM endpoint writes.
#[derive(Debug)]
pub(super) struct UnknownTenant;

impl Links {
    pub(super) fn new(form: ExternalIds, tenants: Vec<String>) -> Self {
        Self { form, tenants: Mutex::new(tenants) }
    }

    /// The same, for a client that writes links in this form.
    pub(super) fn with_form(&self, form: ExternalIds) -> Self {
        Self::new(form, self.tenants.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// The same, with the issuer as the host knows it.
    pub(super) fn with_tenant(&self, tenant: String) -> Self {
        Self::new(self.form.clone(), vec![tenant])
    }

    /// The links of a record. What another directory wrote, such as the AD connector of AWS, stays under the issuer that AWS
    /// names: another engine's (rule M7).
    pub(super) fn each(&self, entries: &[ExternalIdEntry], mut link: impl FnMut(&str, &str)) {
        for entry in entries {
            if !entry.issuer.starts_with(SCIM_ISSUER) {
                link(&entry.issuer, &entry.id);
            } else if let Some(id) = self.form.read(&entry.id) {
                self.learn(&entry.issuer);
                link(id.issuer.as_str(), id.value.as_str());
            }
        }
    }

    /// Whether a record carries this link.
    pub(super) fn carries(&self, entries: &[ExternalIdEntry], wanted: &ExternalId) -> bool {
        let mut found = false;
        self.each(entries, |issuer, value| {
            found |= issuer == wanted.issuer.as_str() && value == wanted.value.as_str();
        });
        found
    }

    /// The issuers and texts under which AWS may know a link.
    pub(super) fn in_aws(&self, link: &ExternalId) -> Result<Vec<(String, String)>, UnknownTenant> {
        let mut names = Vec::new();
        if let Some(text) = self.form.write(link) {
            let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
            if tenants.is_empty() {
                return Err(UnknownTenant);
            }
            names.extend(tenants.iter().map(|tenant| (tenant.clone(), text.clone())));
        }
        let (issuer, value) = (link.issuer.as_str(), link.value.as_str());
        // Only an issuer of AWS's own is an address; ours is asked for once.
        if issuer.contains("://") && !value.is_empty() {
            names.push((issuer.to_owned(), value.to_owned()));
        }
        Ok(names)
    }

    fn learn(&self, issuer: &str) {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if tenants.len() < MOST_TENANTS && !tenants.iter().any(|known| known == issuer) {
            tenants.push(issuer.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_an_endpoint_that_a_record_shows_is_asked_for() {
        // rule J4: who was written through the endpoint before this one is found as well
        let links = Links::new(ExternalIds::default(), Vec::new());
        let link = ExternalId::new("corp", "1");
        assert!(links.in_aws(&link).is_err());
        for tenant in ["old", "new", "old"] {
            let entry =
                ExternalIdEntry { issuer: format!("https://scim.aws.com/{tenant}"), id: "corp:1".to_owned() };
            links.each(&[entry], |_, _| {});
        }
        let names = links.in_aws(&link).unwrap_or_default();
        let issuers: Vec<&str> = names.iter().map(|(issuer, _)| issuer.as_str()).collect();
        assert_eq!(issuers, ["https://scim.aws.com/old", "https://scim.aws.com/new"]);
        for number in 0..1_000 {
            let issuer = format!("https://scim.aws.com/{number}");
            links.each(&[ExternalIdEntry { issuer, id: "corp:1".to_owned() }], |_, _| {});
        }
        assert_eq!(links.in_aws(&link).unwrap_or_default().len(), MOST_TENANTS);
    }
}
