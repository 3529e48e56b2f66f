//! Why a write or a read is refused, whatever the database: mapped once to what the caller may do about it.

use crate::error::{ErrorKind, StoreError};
use crate::model::Kind;

/// A refusal. It names attributes and kinds, never a value of a record (rule S2).
#[derive(Debug)]
pub(in crate::adapter) enum Refusal {
    /// There is no record with the id that was given.
    NoRecord(Kind),
    /// One of the members to be added is no user.
    NoMember,
    /// The record has another version than the one given (rule P7).
    OtherVersion(Kind),
    /// Another record holds the value.
    NameTaken(Kind, String),
    /// Another record, user or group, holds the external id (rule J4).
    LinkTaken,
    /// The record to be adopted has an external id (rule M3).
    Linked(Kind),
    /// The attribute must have a value.
    Required(Kind, String),
    /// The attribute takes one value.
    SingleValued(Kind, String),
    /// A look-up by the value of an attribute that is not unique.
    NotUnique(Kind, String),
    /// A page token that this store never gave.
    Token,
    /// The store was created with another attribute schema.
    OtherSchema(Kind),
    /// A schema could not be turned into text or back.
    Meta(serde_json::Error),
    /// A run state could not be turned into text or back. What serde says about it is left out: it quotes the text.
    RunState,
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        let (kind, message) = match refusal {
            Refusal::Meta(error) => {
                let message = "the attribute schema in the store cannot be read by this program";
                return Self::new(ErrorKind::Unsupported, message).caused_by(error);
            }
            Refusal::NoRecord(kind) => (ErrorKind::NotFound, format!("there is no {kind} with this id")),
            Refusal::NoMember => {
                (ErrorKind::NotFound, "a member to be added is not a user of this store".into())
            }
            Refusal::OtherVersion(kind) => {
                (ErrorKind::Conflict, format!("the {kind} has another version by now"))
            }
            Refusal::NameTaken(kind, attribute) => {
                (ErrorKind::AlreadyExists, format!("another {kind} has this value of attribute {attribute}"))
            }
            Refusal::LinkTaken => (ErrorKind::AlreadyExists, "another record has this external id".into()),
            Refusal::Linked(kind) => (ErrorKind::Conflict, format!("the {kind} has an external id by now")),
            Refusal::Required(kind, attribute) => {
                (ErrorKind::Invalid, format!("a {kind} must have a value of attribute {attribute}"))
            }
            Refusal::SingleValued(kind, attribute) => {
                (ErrorKind::Invalid, format!("a {kind} can have only one value of attribute {attribute}"))
            }
            Refusal::NotUnique(kind, attribute) => {
                (ErrorKind::Invalid, format!("attribute {attribute} of a {kind} is not unique"))
            }
            Refusal::Token => (ErrorKind::Invalid, "this page token is not from this store".into()),
            Refusal::OtherSchema(kind) => (
                ErrorKind::Invalid,
                format!("the store was created with another attribute schema for a {kind}"),
            ),
            Refusal::RunState => (
                ErrorKind::Invalid,
                "the run state cannot be turned into text or back by this program".into(),
            ),
        };
        Self::new(kind, message)
    }
}
