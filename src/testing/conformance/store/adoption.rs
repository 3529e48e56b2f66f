//! Adoption: a link for a record without one (rules M1, M3).

use super::super::any::Stores;
use super::super::finding::{Finding, Outcome, demand, not_applicable};
use super::subject::{BOTH, OURS, Subject, THEIRS};
use crate::error::ErrorKind;
use crate::id::{ExternalId, StoreId};
use crate::model::{Kind, Origin};
use crate::store::{Adoption, Write};

const REPOINTED: &str = "one person's record becomes another's, with all its access (rules M1, M3)";

async fn supported(builder: Stores<'_>) -> Result<Subject<'_>, Finding> {
    let subject = Subject::fresh(builder).await?;
    match subject.can.adoption {
        Adoption::Supported => Ok(subject),
        Adoption::Unsupported => Err(not_applicable("the store declares that it adopts no records")),
    }
}

async fn unlinked(subject: &Subject<'_>, kind: Kind, number: usize) -> Result<StoreId, Finding> {
    subject.put_unmanaged(&subject.wish(kind, number)).await
}

fn adopt<'w>(kind: Kind, id: &'w StoreId, external_id: &'w ExternalId) -> Write<'w> {
    Write::Adopt { kind, id, version: None, external_id }
}

// rule M3
pub(super) async fn an_adopted_record_is_linked_and_otherwise_unchanged(builder: Stores<'_>) -> Outcome {
    let subject = supported(builder).await?;
    for kind in BOTH {
        let id = unlinked(&subject, kind, 1).await?;
        let group = match kind {
            Kind::User => Some(subject.group_of(2, std::slice::from_ref(&id)).await?),
            Kind::Group => None,
        };
        let before = subject.get(kind, &id).await?;
        let link = subject.wish(kind, 1).link;
        let written = subject.done("an adoption", adopt(kind, &id, &link)).await?;
        let after = subject.get(kind, &id).await?;
        demand(
            after.links == [link.clone()],
            format!("the adopted {kind} carries `{link}` and no other external id"),
            || format!("{:?}", after.links),
            "a record that is not known again is created a second time (rules M1, J4)",
        )?;
        let fits = kind == Kind::Group || after.origin.is_none_or(|origin| origin == Origin::Synced);
        demand(
            fits,
            "an adopted user has origin `Synced`, where origins are told",
            || format!("{:?}", after.origin),
            "it is left alone as one who only signed in (rules J2, M3)",
        )?;
        let (mut rest, mut was) = (after.unversioned(), before.unversioned());
        (rest.links, was.links) = (Vec::new(), Vec::new());
        (rest.origin, was.origin) = (None, None);
        demand(
            rest == was,
            format!("nothing else about the {kind} changes"),
            || rest.since(&was),
            "what somebody keeps in his record is lost when it is adopted (rules A1, M3)",
        )?;
        if let Some(group) = group {
            let lost = "who is recognised loses the access that he had (rules M3, D6)";
            subject.keeps(&group, &[&id], "after one of them was adopted", lost).await?;
        }
        demand(
            !subject.is_conditional() || written.version == after.version(),
            "the answered version is the one read next",
            || format!("{:?}", written.version),
            "the first update of the adopted record fails as Conflict (rule P7)",
        )?;
    }
    Ok(())
}

// rule M1
pub(super) async fn a_linked_record_is_never_linked_again(builder: Stores<'_>) -> Outcome {
    let subject = supported(builder).await?;
    for kind in BOTH {
        // One of ours, and one of another engine: neither is for us to take.
        for (number, issuer) in [(1, OURS), (2, THEIRS)] {
            let wish = subject.wish(kind, number);
            let wish = wish.clone().linked(issuer, wish.link.value.as_str());
            let id = subject.create(&wish).await?.id;
            let before = subject.get(kind, &id).await?;
            let link = subject.wish(kind, number + 10).link;
            let what = format!("adopting a {kind} that has an external id of issuer {issuer}");
            subject.refuses(&what, adopt(kind, &id, &link), ErrorKind::Conflict, REPOINTED).await?;
            let after = subject.get(kind, &id).await?;
            demand(before == after, "the record stays as it was", || after.since(&before), REPOINTED)?;
        }
    }
    Ok(())
}

// rules M1, X2
pub(super) async fn a_taken_link_is_not_given_to_a_second_record(builder: Stores<'_>) -> Outcome {
    let subject = supported(builder).await?;
    for kind in BOTH {
        let wish = subject.wish(kind, 1);
        subject.create(&wish).await?;
        let id = unlinked(&subject, kind, 2).await?;
        let risk = "two records carry one link: nothing more is granted to either (rules M1, M5)";
        let what = format!("adopting a {kind} with an external id that another one has");
        subject.refuses(&what, adopt(kind, &id, &wish.link), ErrorKind::AlreadyExists, risk).await?;
        let after = subject.get(kind, &id).await?;
        demand(
            after.links.is_empty(),
            "the record has no link after that",
            || format!("{:?}", after.links),
            risk,
        )?;
    }
    Ok(())
}
