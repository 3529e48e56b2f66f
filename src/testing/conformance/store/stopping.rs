//! Writes that are dropped, writes at once, and a store that is opened again (rules J4, X4).

use super::super::any::Stores;
use super::super::finding::{Finding, Outcome, demand, not_applicable, refused, wrong};
use super::super::turns::{polled, together};
use super::subject::{Answer, Subject, Wish, made};
use crate::attributes::AttributeTable;
use crate::error::ErrorKind;
use crate::model::Kind;
use crate::store::{IdentityStore, Members, StoreSelect, WriteBatch};

/// Steps of one call after which it is not dropped any more.
const MOST_STEPS: usize = 64;

fn creates<'w>(wishes: &'w [Wish], tables: &'w [AttributeTable]) -> WriteBatch<'w> {
    let mut batch = WriteBatch::new();
    wishes.iter().zip(tables).for_each(|(wish, table)| batch.push(wish.write(table.row(0))));
    batch
}

// rules X1, X4
pub(super) async fn a_dropped_write_leaves_true_answers(builder: Stores<'_>) -> Outcome {
    for steps in 0..MOST_STEPS {
        let subject = Subject::fresh(builder).await?;
        let wishes: Vec<Wish> =
            (0..4.min(subject.can.batch.max(1))).map(|number| subject.wish(Kind::User, number)).collect();
        let tables: Vec<AttributeTable> = wishes.iter().map(Wish::table).collect();
        let mut batch = creates(&wishes, &tables);
        let ended = polled(subject.store.write(&mut batch), steps).await;
        let ended = ended.transpose().map_err(|error| refused("a batch", &error))?.is_some();
        let answers: Vec<Option<Answer>> = batch.into_answers().collect();
        told_the_truth(&subject, &wishes, answers, steps).await?;
        goes_on(&subject, &wishes).await?;
        if ended {
            return Ok(());
        }
    }
    Ok(())
}

async fn told_the_truth(
    subject: &Subject<'_>,
    wishes: &[Wish],
    answers: Vec<Option<Answer>>,
    steps: usize,
) -> Outcome {
    for (wish, answer) in wishes.iter().zip(answers) {
        let Some(Ok(written)) = answer else { continue };
        let id = made(written, wish.kind)?.id;
        let found = subject.linked(&wish.link).await?;
        demand(
            found.len() == 1 && found.iter().all(|record| record.id == id.as_str()),
            format!("what was answered as done before the call was dropped at step {steps} is there"),
            || format!("{} records with its external id", found.len()),
            "the report of a cancelled run says what is not true (rules X1, X4)",
        )?;
    }
    Ok(())
}

/// The next run finishes the work: one record for each.
async fn goes_on(subject: &Subject<'_>, wishes: &[Wish]) -> Outcome {
    for wish in wishes {
        match subject.try_create(wish).await? {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(refused("creating again after a call was dropped", &error));
            }
            _ => {}
        }
        let found = subject.linked(&wish.link).await?;
        demand(
            found.len() == 1,
            "after the same was sent again there is one record for each external id",
            || format!("{} records", found.len()),
            "a run that was cancelled leaves two records for one person, or none (rule X4)",
        )?;
    }
    Ok(())
}

// rule J4
pub(super) async fn two_creates_at_once_leave_one_record(builder: Stores<'_>) -> Outcome {
    const RIVALS: usize = 3;
    let subject = Subject::fresh(builder).await?;
    for kind in super::subject::BOTH {
        let first = subject.wish(kind, 1);
        let (issuer, anchor) = (first.link.issuer.as_str(), first.link.value.as_str());
        // Different names: only the link can keep them apart.
        let wishes: Vec<Wish> =
            (1..=RIVALS).map(|number| subject.wish(kind, number).linked(issuer, anchor)).collect();
        let rivals = wishes.iter().map(|wish| subject.try_create(wish)).collect();
        let answers: Result<Vec<Answer>, Finding> = together(rivals).await.into_iter().collect();
        let done = answers?.iter().filter(|answer| answer.is_ok()).count();
        let found = subject.linked(&first.link).await?.len();
        if (done, found) != (1, 1) {
            return Err(wrong(
                format!("of {RIVALS} creates of a {kind} at once for one external id one is done"),
                format!("{done} are answered as done, and {found} records are there"),
                "a sign-in beside a reconcile makes a second record: the host would have to lock (rule J4)",
            ));
        }
    }
    Ok(())
}

// rules J4, M2
pub(super) async fn two_creates_at_once_leave_one_holder_of_a_name(builder: Stores<'_>) -> Outcome {
    const RIVALS: usize = 3;
    let subject = Subject::fresh(builder).await?;
    let mut any = false;
    for kind in super::subject::BOTH {
        let Some((attribute, _)) = subject.unique(kind).into_iter().next() else { continue };
        any = true;
        let name = builder.value(kind, &attribute, 1);
        // Different links: only the name can keep them apart.
        let wishes: Vec<Wish> =
            (1..=RIVALS).map(|number| subject.wish(kind, number).with(&attribute, name.as_str())).collect();
        let rivals = wishes.iter().map(|wish| subject.try_create(wish)).collect();
        let answers: Result<Vec<Answer>, Finding> = together(rivals).await.into_iter().collect();
        let done = answers?.iter().filter(|answer| answer.is_ok()).count();
        let found =
            subject.read(kind, StoreSelect::UniqueValue { attribute: &attribute, value: &name }).await?;
        if (done, found.len()) != (1, 1) {
            return Err(wrong(
                format!("of {RIVALS} creates of a {kind} at once with {attribute} `{name}` one is done"),
                format!("{done} are answered as done, and {} records have the name", found.len()),
                "two records of one name: one person signs in as the other (rules J4, M2)",
            ));
        }
    }
    if any { Ok(()) } else { Err(not_applicable("the store declares no unique attribute")) }
}

// rule X4
pub(super) async fn what_was_answered_survives_a_restart(builder: Stores<'_>) -> Outcome {
    let mut subject = Subject::fresh(builder).await?;
    let users = subject.create_all(Kind::User, 0..5).await?;
    let group = subject.create(&subject.wish(Kind::Group, 1)).await?.id;
    subject.add(&group, &users).await?;
    let before = subject.everything().await?;
    let members =
        if subject.can.members == Members::Unlisted { None } else { Some(subject.members(&group).await?) };
    subject.store = builder.reopen(subject.store).await?;
    demand(
        subject.store.capabilities() == subject.can,
        "a store is the same one after a restart, by name and by what it can do",
        || "its capabilities are others".to_owned(),
        "a plan that was approved is refused as one for another store (rule P7)",
    )?;
    let lost = "what a run has reported as done is not there (rule X4)";
    let after = subject.everything().await?;
    demand(before == after, "all records are what they were", || "something is different".to_owned(), lost)?;
    if let Some(members) = members {
        let now = subject.members(&group).await?;
        demand(now == members, "all memberships are there", || format!("{} are", now.len()), lost)?;
    }
    Ok(())
}
