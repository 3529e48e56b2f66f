//! Look-ups: is it gone? (rule C3)

use super::super::super::directory::Directory;
use super::super::super::random::Random;
use super::super::finding::{Finding, Outcome, demand, not_applicable, refused};
use super::Bench;
use crate::id::SourceAnchor;
use crate::model::{AccountState, Existence, Kind, MemberKind};
use crate::source::{Asked, DirectorySource};

/// Questions at once; the engine asks as many.
const QUESTIONS: usize = 1_000;

async fn ask<S: DirectorySource>(
    source: &S,
    asked: impl IntoIterator<Item = String>,
) -> Result<Vec<(String, Existence)>, Finding> {
    if !source.capabilities().existence {
        return Err(not_applicable("the source declares that it has no look-ups"));
    }
    let anchors: Vec<SourceAnchor> = asked.into_iter().map(SourceAnchor::from).collect();
    let mut questions = Asked::new(&anchors);
    source.existence(&mut questions).await.map_err(|error| refused("a look-up", &error))?;
    Ok(questions.answers().map(|(anchor, answer)| (anchor.as_str().to_owned(), answer)).collect())
}

fn deleted(bench: &Bench<'_>) -> Directory {
    let mut directory = bench.company();
    directory.delete(Kind::User, &bench.anchor(3)).delete(Kind::Group, &bench.anchor(102));
    directory
}

/// What a look-up has to answer, and what a wrong answer costs.
fn judge(directory: &Directory, anchor: &str, answer: Existence) -> Outcome {
    let gone = directory.tombstones.iter().any(|tombstone| tombstone.anchor == anchor);
    let (holds, expected, risk) = match directory.kind_of(anchor) {
        Some(kind) => {
            let own = if kind == Kind::User { MemberKind::User } else { MemberKind::Group };
            let fits =
                matches!(answer, Existence::Exists { kind } if kind == own || kind == MemberKind::Unknown);
            let risk = match answer {
                Existence::Gone => "a living object is deleted, with all its access (rule C3)",
                _ => "who is there and was not read counts as unknown, and blocks removals (rules C3, E9)",
            };
            (fits, format!("`{anchor}` exists and is a {kind}"), risk)
        }
        None if gone => {
            let risk = "a record of somebody who was deleted stays for ever (rule C3)";
            (answer == Existence::Gone, format!("`{anchor}` was deleted and is gone"), risk)
        }
        None => {
            let risk =
                "a record without an object is never deleted, and its list counts as cut (rules C3, E9)";
            (
                !matches!(answer, Existence::Exists { .. }),
                format!("`{anchor}` never was: unknown or gone"),
                risk,
            )
        }
    };
    demand(holds, expected, || format!("{answer:?}"), risk)
}

// rule C3
pub(super) async fn a_living_object_exists_and_is_what_it_is(bench: &Bench<'_>) -> Outcome {
    let mut directory = bench.company();
    // A look-up that passes over locked accounts takes them for deleted.
    directory.users.iter_mut().step_by(3).for_each(|user| user.state = AccountState::Disabled);
    let source = bench.holding(&directory).await?;
    let users = directory.users.iter().map(|user| user.anchor.clone());
    let all = users.chain(directory.groups.iter().map(|group| group.anchor.clone()));
    for (anchor, answer) in ask(&source, all).await? {
        judge(&directory, &anchor, answer)?;
    }
    Ok(())
}

// rule C3
pub(super) async fn a_deleted_object_is_gone(bench: &Bench<'_>) -> Outcome {
    let directory = deleted(bench);
    let source = bench.holding(&directory).await?;
    let dead = directory.tombstones.iter().map(|tombstone| tombstone.anchor.clone());
    for (anchor, answer) in ask(&source, dead).await? {
        judge(&directory, &anchor, answer)?;
    }
    Ok(())
}

// rule C3
pub(super) async fn who_never_was_does_not_exist(bench: &Bench<'_>) -> Outcome {
    let directory = bench.company();
    let source = bench.holding(&directory).await?;
    for (anchor, answer) in ask(&source, (9_001..9_010).map(|number| bench.anchor(number))).await? {
        judge(&directory, &anchor, answer)?;
    }
    Ok(())
}

// rule C3
pub(super) async fn what_cannot_be_seen_is_not_called_gone(bench: &Bench<'_>) -> Outcome {
    let directory = bench.company();
    let source = bench.builder.partial(&directory).await?;
    let users = directory.users.iter().map(|user| user.anchor.clone());
    let all = users.chain(directory.groups.iter().map(|group| group.anchor.clone()));
    for (anchor, answer) in ask(&source, all).await? {
        demand(
            answer != Existence::Gone,
            format!("`{anchor}`, which is there, is not gone for a source that is kept from seeing all"),
            || format!("{answer:?}"),
            "a lost right, or a search that was cut, deletes people who are there (rule C3)",
        )?;
    }
    Ok(())
}

// rule C3
pub(super) async fn each_answer_belongs_to_its_own_anchor(bench: &Bench<'_>) -> Outcome {
    // With the deleted, where the source can hold them; without, the living and the unknown are told apart still.
    let (directory, source) = match bench.holding(&deleted(bench)).await {
        Ok(source) => (deleted(bench), source),
        Err(Finding::NotApplicable(_)) => (bench.company(), bench.holding(&bench.company()).await?),
        Err(wrong) => return Err(wrong),
    };
    let users = directory.users.iter().map(|user| user.anchor.clone());
    let groups = directory.groups.iter().map(|group| group.anchor.clone());
    let dead = directory.tombstones.iter().map(|tombstone| tombstone.anchor.clone());
    let known: Vec<String> = users.chain(groups).chain(dead).collect();
    let mut asked: Vec<String> = known.iter().chain(known.iter().take(5)).cloned().collect();
    asked.extend((asked.len()..QUESTIONS).map(|number| bench.anchor(9_000 + number)));
    // In no order, and some twice: the engine promises neither.
    Random::new(1).shuffle(&mut asked);
    for (anchor, answer) in ask(&source, asked).await? {
        judge(&directory, &anchor, answer)?;
    }
    Ok(())
}
