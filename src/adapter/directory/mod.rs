//! What entries of an LDAP directory mean, however they came: from an export or from a server.

pub(in crate::adapter) mod dn;
pub(in crate::adapter) mod entry;
pub(in crate::adapter) mod ids;
pub(in crate::adapter) mod names;
pub(in crate::adapter) mod record;
