//! What can be wrong with a store.

use super::Paging;

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Nothing,
    Pages(Paging),
    BusyForEver,
    /// Records without a link are not read.
    HidesUnmanaged,
    /// A selection is ignored.
    SelectsAll,
    /// The issuer of an external id is not looked at in a selection.
    SelectsAnyIssuer,
    /// A unique value is looked for byte for byte.
    SelectsExactly,
    /// Unique values are compared byte for byte, against what is declared.
    UniqueExactly,
    /// Unique values are compared by folding, against what is declared.
    UniqueFolded,
    /// Nobody looks whether a record's name is its own.
    OwnNameIsTaken,
    /// The issuer of an external id is not looked at in a create.
    LinksAnyIssuer,
    /// A second create is answered as done, with the record that is there.
    ExistsAsDone,
    /// Anything that is refused is answered as done.
    RefusedAsDone,
    /// A delete is answered and not done.
    DeletePretends,
    /// A delete of a user who is in a group is declared to end his memberships, and does not.
    KeepsMemberships,
    /// Ids are given again.
    ReusesIds,
    /// A deleted record's link stays taken.
    KeepsLinks,
    /// An update replaces all attributes.
    UpdateReplacesAll,
    /// A value is added to those that are there.
    UpdateAdds,
    /// What shall be cleared is left.
    ClearIsLost,
    /// Only the first attribute of an update is written.
    UpdatesFirstOnly,
    /// Adding members replaces those who are there.
    AddReplaces,
    /// Removing members removes all.
    RemoveEmpties,
    /// Members who are there make the whole item fail.
    AddRefusesThere,
    /// Only so many members of one item are written.
    MembersCut,
    /// Good members are added before a bad one makes the item fail.
    AddsHalf,
    /// An adoption takes the place of the link that is there.
    AdoptOverwrites,
    /// An adoption takes a link that another record has.
    AdoptsTwice,
    /// An adoption clears what the record has.
    AdoptClears,
    /// Versions are not compared.
    IgnoresVersion,
    /// The version before the write is answered.
    AnswersOldVersion,
    /// Versions are not read.
    HidesVersion,
    /// Who was created inactive is active.
    CreatesActive,
    /// Nobody knows who made a user inactive.
    ForgetsWho,
    /// A lock of an administrator becomes ours.
    TakesLocks,
    /// Answers stand in the wrong slots.
    SwapsAnswers,
    /// The items after one that was refused are not performed.
    StopsAtRefusal,
    /// One refused item takes back those before it, which are answered as done.
    RollsBack,
    /// Items are performed from the last to the first.
    Backwards,
    /// Only so many items of a batch are performed.
    BatchCut,
    /// Answers before it performs.
    AnswersFirst,
    /// Looks for the link, waits for the network, and creates.
    LooksThenCreates,
    /// Values are stored in lower case, against what is declared.
    Lowers,
    /// What is not ASCII is lost.
    LosesUnicode,
    /// It is another store after each start.
    ForgetsAll,
    /// What it could not see is not there.
    PartialAsComplete,
    /// Its name is another one each time.
    NewIdentityEachTime,
    /// A store without a record is an error.
    EmptyIsError,
    /// Pages come from a cursor that the store keeps: whoever asks gets the next one.
    OwnCursor,
    /// Users and groups are in one table of principals, and a look-up by external id finds both.
    SelectsOtherKind,
    /// More than ten selected records are cut off.
    SelectsTen,
    /// A selection ends after its first page.
    SelectsOnePage,
    /// A look-up gives ids and links, and no attributes.
    SelectedBare,
    /// The list of users is that of the active ones.
    HidesInactive,
    /// A join gives a user once for each of his mail addresses.
    RepeatsForValues,
    /// A join gives a user once for each of his groups.
    RepeatsForGroups,
    /// That groups are missing is not said.
    PartialGroupsAsComplete,
    /// Members are listed group by group, on pages.
    MemberPages(Paging),
    /// A list of members ends after fifteen.
    MembersListCut,
    /// Members who carry no link are not listed.
    ListsOnlyLinked,
    /// Members who are inactive are not listed.
    ListsOnlyActive,
    /// Attributes that the store has no column for are dropped.
    DropsUnknown,
    /// Groups are created with their name only.
    GroupsBare,
    FirstValueOnly,
    /// The origin is what it was at first.
    OriginStays,
    /// External ids are unique among users, and among groups.
    LinksByKind,
    /// Required values are declared, and not asked for.
    RequiresNothing,
    /// Unique values are declared, and not looked for.
    NothingIsUnique,
    /// Unique values are looked for in creates only.
    UniqueAtCreateOnly,
    /// A name that somebody had once is taken for ever.
    NamesStayTaken,
    /// A group cannot have the name of a user.
    OneNamespace,
    /// A required value can be cleared.
    ClearsRequired,
    /// A create for a link that is there overwrites the record.
    CreateOverwrites,
    /// A create with the name of a record without a link takes that record over.
    CreateTakesOver,
    /// An update of a group writes the whole group, without members.
    GroupUpdateDropsMembers,
    /// A delete finds its record by the anchor, whatever the issuer.
    DeletesTwins,
    /// Memberships hang on the user's name.
    RenameLosesMemberships,
    /// A rename is a delete and a create.
    RenameMakesNew,
    /// Making a user inactive raises no version.
    LockKeepsVersion,
    /// Adding and removing members raises no version of the group. This is no fault.
    MembersKeepVersion,
    /// Any version that some record has is good enough.
    ComparesAnyVersion,
    /// Making a user inactive takes his attributes away.
    LockWipes,
    /// Making a user inactive takes him out of his groups.
    LockLeavesGroups,
    /// Making a user inactive forgets who did it.
    LockForgetsWho,
    /// Making a user active is answered and not done.
    ReactivationIsLost,
    /// A delete of what is not there is answered as done.
    GoneIsDone,
    /// The members of a deleted group are taken out of all groups.
    GroupDeleteEmptiesOthers,
    /// Who is removed from a group is removed from all.
    RemovesEverywhere,
    /// In place of a member who is not there, the first one is removed.
    RemovesOneTooMany,
    /// A group that loses its last member is deleted.
    EmptyGroupsVanish,
    /// Who loses his last group is made inactive.
    RemovalDeactivates,
    /// An adopted record leaves its groups.
    AdoptLeavesGroups,
    EmptyBatchIsError,
    /// The items after one that was refused are answered as done.
    RestAsDone,
    /// It fills a page of its own and hands that over.
    OwnPage,
    /// External ids are compared without regard to case, as by a column of a careless table.
    LinksFolded,
    /// Values are cut where the column ends.
    CutsLongValues,
    /// Looks for the name, waits for the network, and creates.
    LooksThenNames,
    /// Whatever updates a user makes him one who was synchronised.
    UpdateResetsOrigin,
    /// Members hang on the group's name.
    GroupRenameLosesMembers,
    /// The last item of a batch of several is performed and not answered.
    LastUnanswered,
}
