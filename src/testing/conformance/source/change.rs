//! A directory that changes between two reads.

use super::super::builder::BuildError;
use super::super::finding::{Finding, Outcome, demand, not_applicable, refused};
use super::super::paging::exactly;
use super::{Bench, attributes, group, group_anchors, groups, lists, user, user_anchors, users};
use crate::model::{AccountState, Kind};
use crate::source::{DirectorySource, Generation, Select};

// rules C2, C3
pub(super) async fn a_deletion_is_seen_by_the_next_read(bench: &Bench<'_>) -> Outcome {
    let mut directory = bench.company();
    let source = bench.holding(&directory).await?;
    users(&source, Select::All).await?;
    groups(&source, Select::All).await?;
    directory.delete(Kind::User, &bench.anchor(2)).delete(Kind::Group, &bench.anchor(103));
    let source = bench.builder.changed(source, &directory).await?;
    exactly("the users after a deletion", &users(&source, Select::All).await?, &user_anchors(&directory))?;
    let seen = groups(&source, Select::All).await?;
    exactly("the groups after a deletion", &seen, &group_anchors(&directory))?;
    for expected in &directory.groups {
        lists::same_members(expected, group(&seen, &expected.anchor)?)?;
    }
    Ok(())
}

// rules A1, A5, M5
pub(super) async fn a_change_is_seen_by_the_next_read(bench: &Bench<'_>) -> Outcome {
    let mut directory = bench.company();
    let source = bench.holding(&directory).await?;
    let before = users(&source, Select::All).await?;
    let states = source.capabilities().account_state;
    for changed in directory.users.iter_mut().take(3) {
        changed.state = if states { AccountState::Disabled } else { changed.state };
        changed.attributes.values_mut().flatten().for_each(|value| value.push_str(" new"));
    }
    let (anchor, values) = (bench.anchor(50), bench.words.user(50));
    directory.add_user(anchor, values);
    let source = bench.builder.changed(source, &directory).await?;
    let after = users(&source, Select::All).await?;
    exactly("the users after a change", &after, &user_anchors(&directory))?;
    for expected in &directory.users {
        let found = user(&after, &expected.anchor)?;
        attributes::same_values(&expected.anchor, &expected.attributes, &found.attributes)?;
        demand(
            !states || found.state == expected.state,
            format!("the state of user `{}` is {:?} now", expected.anchor, expected.state),
            || format!("it is {:?}", found.state),
            "who was locked out of the directory keeps his access (rule A5)",
        )?;
        let earlier = before.iter().find(|row| row.anchor == expected.anchor).and_then(|row| row.version);
        demand(
            earlier.is_none() || found.version >= earlier,
            format!("the version of user `{}` does not fall from {earlier:?}", expected.anchor),
            || format!("{:?}", found.version),
            "of two rows for one anchor the one with the higher version counts: the old one would (rule M5)",
        )?;
    }
    Ok(())
}

// rule C6
pub(super) async fn the_generation_never_goes_back(bench: &Bench<'_>) -> Outcome {
    let mut directory = bench.company();
    let mut source = bench.holding(&directory).await?;
    let Some(mut last) = generation(&source).await? else {
        return Err(not_applicable("the source cannot say how far it has come"));
    };
    for number in 60..63 {
        users(&source, Select::All).await?;
        last = not_before(&last, generation(&source).await?)?;
        directory.add_user(bench.anchor(number), bench.words.user(number));
        source = match bench.builder.changed(source, &directory).await {
            Ok(source) => source,
            // Without changes there is this much to be seen, and no more.
            Err(BuildError::Cannot(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        last = not_before(&last, generation(&source).await?)?;
    }
    Ok(())
}

async fn generation<S: DirectorySource>(source: &S) -> Result<Option<Generation>, Finding> {
    source.generation().await.map_err(|error| refused("asking how far the source has come", &error))
}

fn not_before(last: &Generation, next: Option<Generation>) -> Result<Generation, Finding> {
    let fits = next.as_ref().is_some_and(|next| next.replica != last.replica || next.number >= last.number);
    demand(
        fits,
        format!("the generation stays at {} of replica `{}`, or grows", last.number, last.replica),
        || next.as_ref().map_or("none".into(), |next| format!("{} of `{}`", next.number, next.replica)),
        "a generation that falls is an old replica or a restored backup: no plan is made (rule C6)",
    )?;
    Ok(next.unwrap_or_else(|| last.clone()))
}
