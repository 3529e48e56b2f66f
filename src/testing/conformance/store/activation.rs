//! Active and inactive (rules A5, A7).

use super::super::any::Stores;
use super::super::finding::{Finding, Outcome, demand, not_applicable};
use super::subject::{Subject, Wish};
use crate::id::StoreId;
use crate::model::{DeactivatedBy, Kind};
use crate::store::{Activation, DeactivationMemory, Write};

async fn supported(builder: Stores<'_>) -> Result<Subject<'_>, Finding> {
    let subject = Subject::fresh(builder).await?;
    match subject.can.activation {
        Activation::Supported => Ok(subject),
        Activation::AlwaysActive => Err(not_applicable("the store declares that every user is active")),
    }
}

async fn remembering(builder: Stores<'_>) -> Result<Subject<'_>, Finding> {
    let subject = supported(builder).await?;
    match subject.can.deactivation {
        DeactivationMemory::Remembered => Ok(subject),
        DeactivationMemory::Forgotten => {
            Err(not_applicable("the store declares that it forgets who made a user inactive"))
        }
    }
}

async fn set_active(subject: &Subject<'_>, id: &StoreId, active: bool) -> Outcome {
    let write = Write::SetActive { id, version: None, active };
    subject.done(if active { "a reactivation" } else { "a deactivation" }, write).await?;
    Ok(())
}

// rules A5, A7
pub(super) async fn a_user_is_made_inactive_and_active_again(builder: Stores<'_>) -> Outcome {
    let subject = supported(builder).await?;
    let id = subject.create(&subject.wish(Kind::User, 1)).await?.id;
    let bystander = subject.create(&subject.wish(Kind::User, 2)).await?.id;
    let group = subject.group_of(1, &[id.clone(), bystander.clone()]).await?;
    let before = subject.get(Kind::User, &id).await?;
    // Twice each: what is so already stays so.
    for active in [false, false, true, true, false, true] {
        set_active(&subject, &id, active).await?;
        let after = subject.get(Kind::User, &id).await?;
        let risk = match active {
            true => "who was let in again stays outside (rule A7)",
            false => "who was locked out keeps his access (rule A5)",
        };
        demand(
            after.active == active,
            format!("the user is {} now", if active { "active" } else { "inactive" }),
            || "it is not".to_owned(),
            risk,
        )?;
        let (mut rest, mut was) = (after.unversioned(), before.unversioned());
        (rest.active, was.active) = (true, true);
        (rest.deactivated_by, was.deactivated_by) = (None, None);
        demand(
            rest == was,
            "nothing else about the user changes",
            || rest.since(&was),
            "a lock takes attributes or the link away: the person is created a second time (rules A1, M1)",
        )?;
        let lost = "a lock takes memberships away, or hides them: each run writes them again (rules D1, P4)";
        subject.keeps(&group, &[&id, &bystander], "whether they are active or not", lost).await?;
        demand(
            subject.get(Kind::User, &bystander).await?.active,
            "another user stays active",
            || "it is inactive".to_owned(),
            "who was given access has none (rule E1)",
        )?;
    }
    Ok(())
}

// rule A7
pub(super) async fn who_made_a_user_inactive_is_remembered(builder: Stores<'_>) -> Outcome {
    let subject = remembering(builder).await?;
    let id = subject.create(&subject.wish(Kind::User, 1)).await?.id;
    for round in ["", ", once more"] {
        set_active(&subject, &id, false).await?;
        let by = subject.get(Kind::User, &id).await?.deactivated_by;
        demand(
            by == Some(DeactivatedBy::Sync),
            format!("who was made inactive by this write was made so by the sync{round}"),
            || format!("{by:?}"),
            "he is taken for locked by an administrator, and never made active (rule A7)",
        )?;
        set_active(&subject, &id, true).await?;
    }
    Ok(())
}

// rule A7
pub(super) async fn an_administrators_lock_stays_his(builder: Stores<'_>) -> Outcome {
    let subject = remembering(builder).await?;
    let id = subject.put_unmanaged(&Wish { active: false, ..subject.wish(Kind::User, 1) }).await?;
    let his = |by, when: &str| {
        demand(
            by == Some(DeactivatedBy::Other),
            format!("a user whom an administrator locked is locked by him {when}"),
            || format!("{by:?}"),
            "the next run lets somebody in whom an administrator has locked out (rule A7)",
        )
    };
    his(subject.get(Kind::User, &id).await?.deactivated_by, "at first")?;
    set_active(&subject, &id, false).await?;
    his(subject.get(Kind::User, &id).await?.deactivated_by, "also after the sync made him inactive")
}
