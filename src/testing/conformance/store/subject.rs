//! A store under check, and what may be written to it.

use std::collections::BTreeSet;

use super::super::any::{AnyStore, Stores};
use super::super::builder::Unmanaged;
use super::super::finding::{Finding, Outcome, demand, not_applicable, refused, some, wrong};
use super::super::paging::{Reading, each_once, walk_complete};
use super::Values;
use super::records::{MembersOf, Record, Records};
use crate::attributes::{AttributeTable, Attributes};
use crate::error::{ErrorKind, StoreError};
use crate::id::{ExternalId, StoreId, Version};
use crate::model::{Kind, Origin};
use crate::store::{
    AttributeSchema, Concurrency, IdentityStore, Members, StoreCapabilities, StoreSelect, Write, WriteBatch,
    Written,
};
use crate::testing::directory::AnchorForm;

/// Who we are.
pub(super) const OURS: &str = "corp";
/// Another engine.
pub(super) const THEIRS: &str = "partner";

pub(super) const BOTH: [Kind; 2] = [Kind::User, Kind::Group];

/// A fresh store.
pub(super) struct Subject<'b> {
    pub(super) builder: Stores<'b>,
    pub(super) store: AnyStore<'b>,
    pub(super) can: StoreCapabilities,
}

/// A record that shall be made.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) kind: Kind,
    pub(super) link: ExternalId,
    pub(super) values: Values,
    pub(super) active: bool,
    pub(super) origin: Origin,
}

impl Wish {
    /// As the rows of a page hold it.
    pub(super) fn table(&self) -> AttributeTable {
        let mut table = AttributeTable::default();
        table.open_row();
        for (name, values) in &self.values {
            let name = table.name_index(name);
            values.iter().for_each(|value| {
                table.push(name, value);
            });
        }
        table
    }

    pub(super) fn write<'w>(&'w self, attributes: Attributes<'w>) -> Write<'w> {
        let external_id = &self.link;
        match self.kind {
            Kind::User => {
                Write::CreateUser { external_id, attributes, active: self.active, origin: self.origin }
            }
            Kind::Group => Write::CreateGroup { external_id, attributes },
        }
    }

    /// With another value.
    pub(super) fn with(mut self, attribute: &str, value: impl Into<String>) -> Self {
        self.values.insert(attribute.to_owned(), vec![value.into()]);
        self
    }

    /// With another link.
    pub(super) fn linked(mut self, issuer: &str, anchor: &str) -> Self {
        self.link = ExternalId::new(issuer, anchor);
        self
    }
}

/// A record that was made.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) id: StoreId,
    pub(super) version: Option<Version>,
}

/// The answer to one item.
pub(super) type Answer = Result<Written, StoreError>;

impl<'b> Subject<'b> {
    pub(super) async fn fresh(builder: Stores<'b>) -> Result<Self, Finding> {
        let store = builder.empty().await?;
        let can = store.capabilities();
        Ok(Self { builder, store, can })
    }

    pub(super) fn schemas(&self, kind: Kind) -> impl Iterator<Item = (&str, AttributeSchema)> {
        let schemas = match kind {
            Kind::User => &self.can.users,
            Kind::Group => &self.can.groups,
        };
        schemas.iter().map(|(name, schema)| (name.as_str(), *schema))
    }

    pub(super) fn unique(&self, kind: Kind) -> Vec<(String, AttributeSchema)> {
        self.schemas(kind).filter(|(_, schema)| schema.unique).map(|(name, s)| (name.to_owned(), s)).collect()
    }

    /// Attributes that take any text.
    pub(super) fn free(&self, kind: Kind) -> Vec<String> {
        let known: BTreeSet<&str> = self.schemas(kind).map(|(name, _)| name).collect();
        let free = self.builder.attributes(kind).into_iter();
        free.filter(|name| !known.contains(name.as_str())).collect()
    }

    pub(super) fn one_free(&self, kind: Kind) -> Result<String, Finding> {
        let none = || not_applicable(format!("the builder names no free attribute of a {kind}"));
        self.free(kind).into_iter().next().ok_or_else(none)
    }

    /// A record with everything that it needs, and a value in each free attribute.
    pub(super) fn wish(&self, kind: Kind, number: usize) -> Wish {
        let needed = self.schemas(kind).filter(|(_, schema)| schema.required || schema.unique);
        let mut values: Values =
            needed.map(|(name, _)| (name.to_owned(), vec![self.builder.value(kind, name, number)])).collect();
        values.extend(self.free(kind).into_iter().map(|name| {
            let value = format!("{name} {number}");
            (name, vec![value])
        }));
        let anchor = AnchorForm::Uuid.anchor(number * 2 + usize::from(kind == Kind::Group));
        Wish { kind, link: ExternalId::new(OURS, anchor), values, active: true, origin: Origin::Synced }
    }

    /// Writes one item and answers what the store says to it.
    pub(super) async fn write(&self, write: Write<'_>) -> Result<Answer, Finding> {
        let mut batch = WriteBatch::new();
        batch.push(write);
        let call = self.store.write(&mut batch).await;
        match (batch.into_answers().next().flatten(), call) {
            (Some(answer), _) => Ok(answer),
            (None, Err(error)) => Ok(Err(error)),
            (None, Ok(())) => Err(unanswered()),
        }
    }

    /// Writes one item that has no reason to be refused.
    pub(super) async fn done(&self, what: &str, write: Write<'_>) -> Result<Written, Finding> {
        self.write(write).await?.map_err(|error| refused(what, &error))
    }

    /// Writes one item that must be refused for this reason.
    pub(super) async fn refuses(
        &self,
        what: &str,
        write: Write<'_>,
        kind: ErrorKind,
        risk: &str,
    ) -> Result<(), Finding> {
        let expected = format!("{what} is answered {kind:?}");
        match self.write(write).await? {
            Err(error) if error.kind() == kind => Ok(()),
            Err(error) => Err(wrong(expected, format!("{:?}: {error}", error.kind()), risk)),
            Ok(_) => Err(wrong(expected, "it is answered as done", risk)),
        }
    }

    pub(super) async fn try_create(&self, wish: &Wish) -> Result<Answer, Finding> {
        self.write(wish.write(wish.table().row(0))).await
    }

    pub(super) async fn create(&self, wish: &Wish) -> Result<Made, Finding> {
        let what = format!("creating a {} whose link and names are free", wish.kind);
        let written = self.try_create(wish).await?.map_err(|error| refused(what, &error))?;
        made(written, wish.kind)
    }

    /// Creates users or groups of these numbers, as many at once as the store takes.
    pub(super) async fn create_all(
        &self,
        kind: Kind,
        numbers: std::ops::Range<usize>,
    ) -> Result<Vec<StoreId>, Finding> {
        let wishes: Vec<Wish> = numbers.map(|number| self.wish(kind, number)).collect();
        let mut ids = Vec::new();
        for some in wishes.chunks(self.can.batch.max(1)) {
            let tables: Vec<AttributeTable> = some.iter().map(Wish::table).collect();
            let mut batch = WriteBatch::new();
            some.iter().zip(&tables).for_each(|(wish, table)| batch.push(wish.write(table.row(0))));
            self.store.write(&mut batch).await.map_err(|error| refused("a batch of creates", &error))?;
            for answer in batch.into_answers() {
                let answer = answer.ok_or_else(unanswered)?;
                ids.push(made(answer.map_err(|error| refused("one create of a batch", &error))?, kind)?.id);
            }
        }
        Ok(ids)
    }

    /// The records that are selected, in a complete read.
    pub(super) async fn read(&self, kind: Kind, select: StoreSelect<'_>) -> Result<Vec<Record>, Finding> {
        let reading = Records { store: &self.store, kind, select };
        let rows = walk_complete(&reading).await?;
        each_once(reading.what(), &rows)?;
        Ok(rows)
    }

    pub(super) async fn find(&self, kind: Kind, id: &StoreId) -> Result<Option<Record>, Finding> {
        let all = self.read(kind, StoreSelect::All).await?;
        Ok(all.into_iter().find(|record| record.id == id.as_str()))
    }

    pub(super) async fn get(&self, kind: Kind, id: &StoreId) -> Result<Record, Finding> {
        let found = self.find(kind, id).await?;
        found.ok_or_else(|| {
            wrong(
                format!("{kind} `{id}` is read: it was written, and the store said so"),
                "it is not among those that are read",
                "what is not read looks missing, and is created again (rules C5, X1)",
            )
        })
    }

    /// The records that carry this link.
    pub(super) async fn linked(&self, link: &ExternalId) -> Result<Vec<Record>, Finding> {
        let mut all = self.read(Kind::User, StoreSelect::All).await?;
        all.extend(self.read(Kind::Group, StoreSelect::All).await?);
        Ok(all.into_iter().filter(|record| record.links.contains(link)).collect())
    }

    pub(super) async fn members(&self, group: &StoreId) -> Result<BTreeSet<String>, Finding> {
        match self.can.members {
            Members::WithGroups => Ok(self.get(Kind::Group, group).await?.members.into_iter().collect()),
            Members::PerGroup => {
                let rows = walk_complete(&MembersOf { store: &self.store, group }).await?;
                Ok(rows.into_iter().map(|member| member.0).collect())
            }
            Members::Unlisted => Err(not_applicable("the store declares that it cannot list members")),
        }
    }

    /// Everything that can be read, to be compared with what can be read later.
    pub(super) async fn everything(&self) -> Result<(Vec<Record>, Vec<Record>), Finding> {
        let mut users = self.read(Kind::User, StoreSelect::All).await?;
        let mut groups = self.read(Kind::Group, StoreSelect::All).await?;
        if self.can.members == Members::PerGroup {
            for group in &mut groups {
                group.members = self.members(&group.store_id()).await?.into_iter().collect();
            }
        }
        users.sort_unstable();
        groups.sort_unstable();
        Ok((users, groups))
    }

    /// Puts a record there as somebody else would.
    pub(super) async fn put_unmanaged(&self, wish: &Wish) -> Result<StoreId, Finding> {
        let attributes = wish.values.clone().into_iter().collect();
        let record = Unmanaged { kind: wish.kind, attributes, active: wish.active };
        Ok(self.builder.put_unmanaged(&self.store, &record).await?)
    }

    /// Creates a group with these members.
    pub(super) async fn group_of(&self, number: usize, members: &[StoreId]) -> Result<StoreId, Finding> {
        let group = self.create(&self.wish(Kind::Group, number)).await?.id;
        for some in members.chunks(self.can.members_per_write.max(1)) {
            self.add(&group, some).await?;
        }
        Ok(group)
    }

    /// A group still has these members, or the store cannot say.
    pub(super) async fn keeps(
        &self,
        group: &StoreId,
        members: &[&StoreId],
        when: &str,
        risk: &str,
    ) -> Outcome {
        if self.can.members == Members::Unlisted {
            return Ok(());
        }
        let wanted: BTreeSet<String> = members.iter().map(|id| id.as_str().to_owned()).collect();
        let found = self.members(group).await?;
        demand(
            found == wanted,
            format!("group `{group}` has the members {} {when}", some(&wanted)),
            || format!("it has {}", some(&found)),
            risk,
        )
    }

    pub(super) async fn add(&self, group: &StoreId, members: &[StoreId]) -> Result<Written, Finding> {
        self.done("adding members", Write::AddMembers { id: group, version: None, members }).await
    }

    pub(super) fn is_conditional(&self) -> bool {
        self.can.concurrency == Concurrency::Conditional
    }

    /// Two texts that the store holds for one (rule A4).
    pub(super) fn is_same(&self, kind: Kind, attribute: &str, one: &[String], other: &[String]) -> bool {
        let rule = self.can.schema(kind, attribute).matching;
        let keys =
            |values: &[String]| -> BTreeSet<_> { values.iter().map(|value| rule.key(value)).collect() };
        keys(one) == keys(other)
    }

    /// The record holds what was wished for.
    pub(super) fn fulfils(&self, record: &Record, wish: &Wish) -> Result<(), Finding> {
        for (name, values) in &wish.values {
            let held = record.values.get(name).map(Vec::as_slice).unwrap_or_default();
            if !self.is_same(wish.kind, name, values, held) {
                return Err(wrong(
                    format!("attribute {name} of the {} holds {values:?}", wish.kind),
                    format!("{held:?}"),
                    "the engine writes it again on every run, and never comes to rest (rules A4, P4)",
                ));
            }
        }
        if record.links != [wish.link.clone()] {
            return Err(wrong(
                format!("the {} carries external id `{}` and no other", wish.kind, wish.link),
                format!("{:?}", record.links),
                "a record that is not known again is created a second time (rules M1, J4)",
            ));
        }
        Ok(())
    }
}

fn unanswered() -> Finding {
    wrong(
        "an item of a call that succeeds is answered",
        "its slot is empty",
        "an item without an answer counts as unknown, and its dependants are not tried (rule X1)",
    )
}

pub(super) fn made(written: Written, kind: Kind) -> Result<Made, Finding> {
    match written.id {
        Some(id) if !id.as_str().is_empty() => Ok(Made { id, version: written.version }),
        _ => Err(wrong(
            format!("a created {kind} is answered with its id"),
            "there is none",
            "it has to be looked up again after every create, and its memberships wait for that (rule X1)",
        )),
    }
}
