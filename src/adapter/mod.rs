//! Adapters for real systems, each behind a feature of its own name.

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(any(feature = "ldap", feature = "ldif"))]
#[allow(dead_code, reason = "each of the two adapters uses its own part of it")]
mod directory;
#[cfg(feature = "ldap")]
pub mod ldap;
#[cfg(feature = "ldif")]
pub mod ldif;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "scim", feature = "aws"))]
mod rate;
#[cfg(feature = "scim")]
pub mod scim;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
pub mod sqlite;
