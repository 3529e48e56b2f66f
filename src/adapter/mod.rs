//! Adapters for real systems, each behind a feature of its own name.

#[cfg(feature = "ldif")]
pub mod ldif;
#[cfg(feature = "sqlite")]
pub mod sqlite;
