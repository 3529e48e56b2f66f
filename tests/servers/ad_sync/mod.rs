//! The example `ad_sync` as a program, between a domain controller and each of the stores.
#![allow(clippy::disallowed_methods, reason = "it waits for another program, by the machine's clock")]

#[cfg(feature = "aws")]
mod cloud;
#[cfg(feature = "postgres")]
mod database;
mod desk;
mod file;
#[cfg(feature = "scim")]
mod service;
mod tenant;

const DEPARTMENTS: &str = "groups = [\"dept-engineering\", \"CN=dept-sales,OU=Groups,OU=Corp,DC=corp,DC=example,DC=com\"]\nusers = [\"aek\"]";
