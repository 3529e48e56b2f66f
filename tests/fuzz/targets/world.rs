//! A small world as plain data, made from any bytes. Ids and values come mostly from small pools, so that collisions are
//! common; some are any text.

use arbitrary::{Arbitrary, Result, Unstructured};

/// A source, a store, assignments and options.
#[derive(Arbitrary, Clone, Debug)]
pub struct World<'a> {
    pub choices: Choices,
    pub capabilities: Capabilities,
    #[arbitrary(with = several)]
    pub users: Vec<User<'a>>,
    #[arbitrary(with = several)]
    pub groups: Vec<Group<'a>>,
    #[arbitrary(with = several)]
    pub stored_users: Vec<Record<'a>>,
    #[arbitrary(with = several)]
    pub stored_groups: Vec<Record<'a>>,
    #[arbitrary(with = several)]
    pub assigned: Vec<Assigned<'a>>,
    #[arbitrary(with = few)]
    pub existence: Vec<(Id<'a>, Answer)>,
    pub named: Named<'a>,
    pub users_read: bool,
    pub groups_read: bool,
    pub assignments_read: bool,
    pub generation: Option<u8>,
}

fn at_most<'a, T: Arbitrary<'a>>(most: u8, u: &mut Unstructured<'a>) -> Result<Vec<T>> {
    let count = u8::arbitrary(u)? % (most + 1);
    (0..count).map(|_| T::arbitrary(u)).collect()
}

fn few<'a, T: Arbitrary<'a>>(u: &mut Unstructured<'a>) -> Result<Vec<T>> {
    at_most(4, u)
}

fn several<'a, T: Arbitrary<'a>>(u: &mut Unstructured<'a>) -> Result<Vec<T>> {
    at_most(9, u)
}

/// An anchor or a store id.
#[derive(Arbitrary, Clone, Debug)]
pub enum Id<'a> {
    Pool(u8),
    Again(u8),
    Odd(&'a str),
}

/// A value.
#[derive(Arbitrary, Clone, Debug)]
pub enum Text<'a> {
    Pool(u8),
    Again(u8),
    Odd(&'a str),
}

/// Values that are equal by one match rule and differ by another, and values that look like those of the engine itself.
const TEXTS: [&str; 20] = [
    "ada",
    "Ada",
    "ada ",
    "bob",
    "bo\u{308}b",
    "b\u{f6}b",
    "straße",
    "STRASSE",
    "ma\u{131}l",
    "mail",
    "K",
    "\u{212a}",
    "",
    "  ",
    "~61",
    "~6130@x",
    "ada~a0",
    "ada@example.com",
    "CN=Ada\\, V,OU=A,DC=x",
    "OU=A,DC=x",
];

impl Id<'_> {
    pub fn text(&self) -> String {
        match self {
            Self::Pool(n) | Self::Again(n) => format!("a{}", n % 12),
            Self::Odd(text) => (*text).to_owned(),
        }
    }
}

impl Text<'_> {
    pub fn text(&self) -> String {
        match self {
            Self::Pool(n) | Self::Again(n) => TEXTS[usize::from(*n) % TEXTS.len()].to_owned(),
            Self::Odd(text) => (*text).to_owned(),
        }
    }
}

/// What becomes of a row.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Sound,
    Plain,
    Usual,
    Withdrawn,
    Tombstone,
    Unidentified,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum State {
    Enabled,
    Active,
    Disabled,
    Unknown,
}

#[derive(Arbitrary, Clone, Debug)]
pub struct User<'a> {
    pub anchor: Id<'a>,
    pub fate: Fate,
    pub state: State,
    pub version: Option<u8>,
    #[arbitrary(with = few)]
    pub attributes: Vec<(u8, Text<'a>)>,
    pub unreadable: Option<u8>,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    Complete,
    Whole,
    Open,
    Partial,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Hint {
    None,
    User,
    Group,
    Other,
    Foreign,
}

#[derive(Arbitrary, Clone, Debug)]
pub enum Member<'a> {
    Anchor(Id<'a>, Hint),
    Known(u8),
    Text(Text<'a>, Hint),
}

#[derive(Arbitrary, Clone, Debug)]
pub struct Group<'a> {
    pub anchor: Id<'a>,
    pub fate: Fate,
    pub list: List,
    pub version: Option<u8>,
    #[arbitrary(with = few)]
    pub attributes: Vec<(u8, Text<'a>)>,
    pub unreadable: Option<u8>,
    #[arbitrary(with = several)]
    pub members: Vec<Member<'a>>,
}

/// A record of the store; what only users have is not looked at for a group.
#[derive(Arbitrary, Clone, Debug)]
pub struct Record<'a> {
    pub id: Id<'a>,
    pub ours: Option<Id<'a>>,
    #[arbitrary(with = few)]
    pub links: Vec<(bool, Id<'a>)>,
    pub version: Option<u8>,
    #[arbitrary(with = few)]
    pub attributes: Vec<(u8, Text<'a>)>,
    pub inactive: bool,
    pub by_sync: bool,
    pub origin: Option<bool>,
    #[arbitrary(with = several)]
    pub members: Vec<Id<'a>>,
}

#[derive(Arbitrary, Clone, Debug)]
pub enum Assigned<'a> {
    External(Id<'a>),
    Ours(u8),
    Foreign(Id<'a>),
    Stored(Id<'a>),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Answer {
    Gone,
    Unknown,
    Exists(Hint),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Policy {
    Keep,
    Deactivate,
    Delete,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Guard {
    Default,
    Off,
    Tight,
    Abort,
}

/// What the store can do.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Capabilities {
    pub matching: Option<bool>,
    pub unique_mail: bool,
    pub required_title: bool,
    pub unlisted: bool,
    pub remove_first: bool,
    pub always_active: bool,
    pub remembers: bool,
    pub adopts: bool,
    pub no_account_state: bool,
}

/// Options that name nobody.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Choices {
    pub proven_removals: bool,
    pub new_entitlements: bool,
    pub direct_only: bool,
    pub users: [Policy; 3],
    pub groups: [Policy; 2],
    pub grace: Option<u8>,
    pub remove_unmanaged: bool,
    pub never_remove: bool,
    pub reactivate_always: bool,
    pub soft_match: bool,
    pub hold_names: bool,
    pub absence_is_proof: bool,
    pub refuse_empty: bool,
    pub guard: Guard,
    pub keep_missing: bool,
    pub constant_title: bool,
    pub sensitive: bool,
    /// Bounds so small that common objects are beyond them.
    pub tiny_limits: bool,
    /// What is refused before anything is planned: records that come twice, policies that cannot be followed.
    pub refused: Option<bool>,
}

/// Options that name somebody.
#[derive(Arbitrary, Clone, Debug)]
pub struct Named<'a> {
    #[arbitrary(with = few)]
    pub protected: Vec<Id<'a>>,
    #[arbitrary(with = few)]
    pub protected_names: Vec<Text<'a>>,
    #[arbitrary(with = few)]
    pub leaves: Vec<Id<'a>>,
    #[arbitrary(with = few)]
    pub leaf_texts: Vec<Text<'a>>,
    #[arbitrary(with = few)]
    pub leaf_suffixes: Vec<Text<'a>>,
    pub canary: Option<Id<'a>>,
    #[arbitrary(with = few)]
    pub add_members_to: Vec<Id<'a>>,
}
