//! Reading some records: by id, by link, by name.

use std::collections::BTreeSet;

use super::super::any::Stores;
use super::super::finding::{Outcome, demand, not_applicable};
use super::super::paging::exactly;
use super::subject::{BOTH, Subject, THEIRS, Wish};
use super::unique::{Pair, pairs};
use crate::id::{ExternalId, StoreId};
use crate::model::Kind;
use crate::store::{Activation, StoreSelect};

// rule P7
pub(super) async fn ids_select_exactly_their_records(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    for kind in BOTH {
        let made = subject.create_all(kind, 0..6).await?;
        for step in [1, 2, 5] {
            let some: Vec<StoreId> = made.iter().rev().step_by(step).cloned().collect();
            let rows = subject.read(kind, StoreSelect::Ids(&some)).await?;
            exactly("the records of some ids", &rows, &some.iter().map(StoreId::as_str).collect())?;
        }
    }
    Ok(())
}

// rules M1, M7, X2
pub(super) async fn external_ids_select_exactly_their_records(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    for kind in BOTH {
        let made = subject.create_all(kind, 0..4).await?;
        // The anchors of two of them, as another issuer has them too.
        let wishes: Vec<_> = (0..4).map(|number| subject.wish(kind, number)).collect();
        let mut theirs = Vec::new();
        for (number, wish) in wishes.iter().enumerate().take(2) {
            let twin = subject.wish(kind, 10 + number).linked(THEIRS, wish.link.value.as_str());
            theirs.push(subject.create(&twin).await?.id);
        }
        for (issuer, ids) in [(None, &made), (Some(THEIRS), &theirs)] {
            let links: Vec<ExternalId> = wishes
                .iter()
                .skip(1)
                .map(|wish| match issuer {
                    None => wish.link.clone(),
                    Some(issuer) => ExternalId::new(issuer, wish.link.value.as_str()),
                })
                .collect();
            let rows = subject.read(kind, StoreSelect::ExternalIds(&links)).await?;
            let wanted = ids.iter().skip(1).map(StoreId::as_str).collect();
            exactly("the records of some external ids of one issuer", &rows, &wanted)?;
        }
    }
    Ok(())
}

// rules M2, M6
pub(super) async fn a_unique_value_selects_its_holder_by_the_declared_rule(builder: Stores<'_>) -> Outcome {
    let mut any = false;
    for kind in BOTH {
        let subject = Subject::fresh(builder).await?;
        // Somebody else, so that who gives everything is found out.
        subject.create_all(kind, 0..3).await?;
        for (attribute, schema) in subject.unique(kind) {
            any = true;
            for Pair { held, asked, same, number } in pairs(builder, kind, &attribute, schema.matching) {
                let wish = subject.wish(kind, number).with(&attribute, held.as_str());
                // A value that the store does not take teaches nothing about others.
                let Ok(written) = subject.try_create(&wish).await? else { continue };
                let made = super::subject::made(written, kind)?;
                let select = |value| StoreSelect::UniqueValue { attribute: &attribute, value };
                let rows = subject.read(kind, select(&held)).await?;
                let what = format!("the holder of {attribute} `{held}`");
                exactly(&what, &rows, &[made.id.as_str()].into())?;
                let rows = subject.read(kind, select(&asked)).await?;
                let wanted = if same { BTreeSet::from([made.id.as_str()]) } else { BTreeSet::new() };
                exactly(&format!("{what}, looked for as `{asked}`"), &rows, &wanted)?;
            }
        }
    }
    if any { Ok(()) } else { Err(not_applicable("the store declares no unique attribute")) }
}

// rules J1, P7
pub(super) async fn a_selected_record_is_read_as_in_the_whole_read(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    let active = subject.can.activation == Activation::AlwaysActive;
    let users = [
        subject.create(&subject.wish(Kind::User, 1)).await?.id,
        subject.create(&Wish { active, ..subject.wish(Kind::User, 2) }).await?.id,
    ];
    let groups = [subject.group_of(1, &users).await?, subject.group_of(2, &[]).await?];
    for (kind, ids) in BOTH.into_iter().zip([users, groups]) {
        let links = [1, 2].map(|number| subject.wish(kind, number).link);
        let unique =
            subject.unique(kind).into_iter().next().map(|(name, _)| (builder.value(kind, &name, 1), name));
        let mut selects = vec![StoreSelect::Ids(&ids), StoreSelect::ExternalIds(&links)];
        selects.extend(unique.iter().map(|(value, attribute)| StoreSelect::UniqueValue { attribute, value }));
        let whole = subject.read(kind, StoreSelect::All).await?;
        for select in selects {
            for found in subject.read(kind, select).await? {
                let Some(listed) = whole.iter().find(|record| record.id == found.id) else { continue };
                let same = listed.unversioned() == found.unversioned() && listed.version == found.version;
                demand(
                    same,
                    format!("{kind} `{}`, asked for by {select:?}, reads as it does among all", found.id),
                    || found.since(listed),
                    "it looks changed since the plan was made, and is never written; a sign-in judges by half a \
                     record (rules J1, P7)",
                )?;
            }
        }
    }
    Ok(())
}

// rules C3, X2
pub(super) async fn nothing_known_selects_nothing(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    for kind in BOTH {
        let made = subject.create(&subject.wish(kind, 1)).await?.id;
        let (ids, links) = ([StoreId::from("nobody")], [subject.wish(kind, 2).link]);
        let mut selects = vec![
            StoreSelect::Ids(&ids),
            StoreSelect::Ids(&[]),
            StoreSelect::ExternalIds(&links),
            StoreSelect::ExternalIds(&[]),
        ];
        let unique = subject.unique(kind);
        let free: Vec<String> = unique.iter().map(|(name, _)| builder.value(kind, name, 3)).collect();
        let by_value = unique.iter().zip(&free);
        selects
            .extend(by_value.map(|((name, _), value)| StoreSelect::UniqueValue { attribute: name, value }));
        for select in selects {
            let rows = subject.read(kind, select).await?;
            exactly("the records of nobody", &rows, &BTreeSet::new())?;
        }
        // Who is there does not go down with who is not.
        let both = [StoreId::from("nobody"), made.clone()];
        let rows = subject.read(kind, StoreSelect::Ids(&both)).await?;
        exactly("the records of two ids, one unknown", &rows, &[made.as_str()].into())?;
    }
    Ok(())
}

// rule M5
pub(super) async fn users_and_groups_are_selected_apart(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    let mut links = Vec::new();
    let mut made = Vec::new();
    for kind in BOTH {
        let wish = subject.wish(kind, 1);
        made.push(subject.create(&wish).await?.id);
        links.push(wish.link);
    }
    for (kind, id) in BOTH.into_iter().zip(&made) {
        let what = format!("every {kind} among users and groups");
        let rows = subject.read(kind, StoreSelect::ExternalIds(&links)).await?;
        exactly(&what, &rows, &[id.as_str()].into())?;
        if made.first() != made.last() {
            // Stores may number users and groups apart.
            let rows = subject.read(kind, StoreSelect::Ids(&made)).await?;
            exactly(&what, &rows, &[id.as_str()].into())?;
        }
    }
    Ok(())
}

// rules C5, X5
pub(super) async fn a_long_selection_is_whole(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    let made = subject.create_all(Kind::User, 0..builder.many()).await?;
    // The engine reads again as many records as it writes at once.
    let some: Vec<StoreId> = made.into_iter().take(subject.can.batch.max(1)).collect();
    let rows = subject.read(Kind::User, StoreSelect::Ids(&some)).await?;
    exactly("the users of many ids", &rows, &some.iter().map(StoreId::as_str).collect())?;
    let links: Vec<ExternalId> =
        (0..some.len()).map(|number| subject.wish(Kind::User, number).link).collect();
    let rows = subject.read(Kind::User, StoreSelect::ExternalIds(&links)).await?;
    exactly("the users of many external ids", &rows, &some.iter().map(StoreId::as_str).collect())
}
