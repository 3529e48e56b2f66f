//! Batches: order, slots, and items that do not disturb each other (rules X1, X5).

use std::collections::BTreeSet;

use super::super::any::Stores;
use super::super::finding::{Finding, Outcome, demand, not_applicable, refused, wrong};
use super::subject::{Answer, Subject, Wish, made};
use super::unique::update;
use crate::attributes::AttributeTable;
use crate::error::ErrorKind;
use crate::id::StoreId;
use crate::model::Kind;
use crate::store::{Change, IdentityStore, StoreSelect, Write, WriteBatch};

/// More than this is not written at once, whatever is declared: a check should end.
const MOST: usize = 1_000;

const LIE: &str = "the report says that something happened that did not, or the reverse (rules X1, P6)";

async fn room_for(builder: Stores<'_>, items: usize) -> Result<Subject<'_>, Finding> {
    let subject = Subject::fresh(builder).await?;
    match subject.can.batch {
        batch if batch < items => {
            Err(not_applicable(format!("the store declares that a batch has at most {batch} items")))
        }
        _ => Ok(subject),
    }
}

/// Sends a batch, and answers what stands in each slot.
async fn send(subject: &Subject<'_>, mut batch: WriteBatch<'_>) -> Result<Vec<Option<Answer>>, Finding> {
    subject.store.write(&mut batch).await.map_err(|error| refused("a batch", &error))?;
    Ok(batch.into_answers().collect())
}

// rule X5
pub(super) async fn an_empty_batch_is_no_error(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    send(&subject, WriteBatch::new()).await?;
    Ok(())
}

// rule P6
pub(super) async fn items_are_performed_in_their_order(builder: Stores<'_>) -> Outcome {
    let subject = room_for(builder, 3).await?;
    let Some((attribute, _)) = subject.unique(Kind::User).into_iter().next() else {
        return Err(not_applicable("the store declares no unique attribute that would show the order"));
    };
    let ids = subject.create_all(Kind::User, 0..3).await?;
    let [first, second, third] = ids.as_slice() else { return Ok(()) };
    let named = |number| {
        let new = vec![builder.value(Kind::User, &attribute, number)];
        [Change { attribute: attribute.clone(), old: Vec::new(), new }]
    };
    // The first gives its name up, the second takes that and leaves its own to the third: only this order works.
    let (fresh, of_first, of_second) = (named(9), named(0), named(1));
    let mut batch = WriteBatch::new();
    batch.push(update(Kind::User, first, &fresh));
    batch.push(update(Kind::User, second, &of_first));
    batch.push(update(Kind::User, third, &of_second));
    for (number, answer) in send(&subject, batch).await?.into_iter().enumerate() {
        if let Some(Err(error)) = answer {
            return Err(wrong(
                format!("item {number} works, since the one before it has freed the name"),
                format!("{:?}: {error}", error.kind()),
                "names that pass from one to another clash, and a removal may come after a grant (rule P6)",
            ));
        }
    }
    for (id, number) in [(first, 9), (second, 0), (third, 1)] {
        let held = subject.get(Kind::User, id).await?.values.remove(&attribute).unwrap_or_default();
        let wanted = [builder.value(Kind::User, &attribute, number)];
        demand(
            subject.is_same(Kind::User, &attribute, &held, &wanted),
            format!("each has the name that the batch gave it: {wanted:?}"),
            || format!("{held:?}"),
            LIE,
        )?;
    }
    Ok(())
}

// rule X1
pub(super) async fn each_answer_stands_in_its_own_slot(builder: Stores<'_>) -> Outcome {
    let subject = room_for(builder, 4).await?;
    let kinds = [Kind::User, Kind::Group, Kind::User, Kind::Group];
    let wishes: Vec<Wish> =
        kinds.into_iter().enumerate().map(|(number, kind)| subject.wish(kind, number)).collect();
    let tables: Vec<AttributeTable> = wishes.iter().map(Wish::table).collect();
    let mut batch = WriteBatch::new();
    wishes.iter().zip(&tables).for_each(|(wish, table)| batch.push(wish.write(table.row(0))));
    let answers = send(&subject, batch).await?;
    for (number, (answer, wish)) in answers.into_iter().zip(&wishes).enumerate() {
        let expected =
            format!("slot {number} of a batch holds the answer to the {} that it creates", wish.kind);
        let Some(answer) = answer else { return Err(wrong(expected, "nothing", LIE)) };
        let id = made(answer.map_err(|error| refused("one create of a batch", &error))?, wish.kind)?.id;
        let found = subject.find(wish.kind, &id).await?;
        let Some(record) = found.filter(|record| record.links == [wish.link.clone()]) else {
            let risk = "one person is put into the groups of another (rules X1, M1)";
            return Err(wrong(expected, format!("id `{id}`, which is another record's"), risk));
        };
        subject.fulfils(&record, wish)?;
    }
    Ok(())
}

/// What a batch of good and bad items makes of a store.
struct Mixture {
    good: Wish,
    clash: Wish,
    late: Wish,
    there: StoreId,
    doomed: StoreId,
}

impl Mixture {
    /// Good, bad, good, bad, good, good.
    fn batch<'w>(
        &'w self,
        nobody: &'w StoreId,
        tables: &'w [AttributeTable; 3],
        change: &'w [Change],
    ) -> WriteBatch<'w> {
        let [good, clash, late] = tables;
        let mut batch = WriteBatch::new();
        batch.push(self.good.write(good.row(0)));
        batch.push(self.clash.write(clash.row(0)));
        batch.push(Write::UpdateUser { id: &self.there, version: None, changes: change, origin: None });
        batch.push(Write::DeleteUser { id: nobody, version: None });
        batch.push(Write::DeleteUser { id: &self.doomed, version: None });
        batch.push(self.late.write(late.row(0)));
        batch
    }
}

// rule X1
pub(super) async fn a_refused_item_leaves_the_others_alone(builder: Stores<'_>) -> Outcome {
    let subject = room_for(builder, 6).await?;
    let first = subject.wish(Kind::User, 1);
    let scene = Mixture {
        there: subject.create(&first).await?.id,
        doomed: subject.create(&subject.wish(Kind::User, 2)).await?.id,
        good: subject.wish(Kind::User, 3),
        clash: subject.wish(Kind::User, 4).linked(first.link.issuer.as_str(), first.link.value.as_str()),
        late: subject.wish(Kind::User, 5),
    };
    let free = subject.one_free(Kind::User)?;
    let change = [Change { attribute: free.clone(), old: Vec::new(), new: vec!["in a batch".to_owned()] }];
    let tables = [scene.good.table(), scene.clash.table(), scene.late.table()];
    let nobody = StoreId::from("nobody");
    let answers = send(&subject, scene.batch(&nobody, &tables, &change)).await?;
    let kinds = answers.iter().map(|answer| match answer {
        Some(Ok(_)) => "done".to_owned(),
        Some(Err(error)) => format!("{:?}", error.kind()),
        None => "nothing".to_owned(),
    });
    let kinds: Vec<String> = kinds.collect();
    let (exists, missing) = (format!("{:?}", ErrorKind::AlreadyExists), format!("{:?}", ErrorKind::NotFound));
    let wanted = ["done", &exists, "done", &missing, "done", "done"];
    demand(
        kinds == wanted,
        format!("a batch with two bad items is answered {wanted:?}"),
        || format!("{kinds:?}"),
        LIE,
    )?;
    let users = subject.read(Kind::User, StoreSelect::All).await?;
    let linked = |wish: &Wish| users.iter().filter(|user| user.links.contains(&wish.link)).count();
    let is_there = |id: &StoreId| users.iter().any(|user| user.id == id.as_str());
    let there = subject.get(Kind::User, &scene.there).await?;
    let updated = there
        .values
        .get(&free)
        .is_some_and(|held| subject.is_same(Kind::User, &free, held, &["in a batch".to_owned()]));
    let found = (linked(&scene.good), linked(&first), linked(&scene.late), updated, is_there(&scene.doomed));
    demand(
        found == (1, 1, 1, true, false),
        "what was answered as done is done, and nothing else: two created, one updated, one deleted",
        || format!("created, clashing, created last, updated, still there: {found:?}"),
        LIE,
    )
}

// rule X5
pub(super) async fn the_largest_batch_is_answered_in_full(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    let most = subject.can.batch.clamp(1, MOST);
    let wishes: Vec<Wish> = (0..most).map(|number| subject.wish(Kind::User, number)).collect();
    let tables: Vec<AttributeTable> = wishes.iter().map(Wish::table).collect();
    let mut batch = WriteBatch::new();
    wishes.iter().zip(&tables).for_each(|(wish, table)| batch.push(wish.write(table.row(0))));
    let answers = send(&subject, batch).await?;
    let done = answers.iter().filter(|answer| matches!(answer, Some(Ok(_)))).count();
    demand(
        done == most,
        format!("a batch of {most} items, as the store declares, is done and answered"),
        || format!("{done} of them are"),
        "operations stay without an outcome on every run (rules X1, X5)",
    )?;
    let users = subject.read(Kind::User, StoreSelect::All).await?;
    let links: BTreeSet<_> = users.iter().flat_map(|user| &user.links).collect();
    demand(
        wishes.iter().all(|wish| links.contains(&wish.link)) && users.len() == most,
        format!("all {most} users are there"),
        || format!("{} are", users.len()),
        LIE,
    )
}
