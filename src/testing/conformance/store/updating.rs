//! Updates, and what they must leave alone.

use super::super::any::Stores;
use super::super::finding::{Outcome, demand, not_applicable, refused, some, wrong};
use super::records::Record;
use super::subject::{BOTH, Made, Subject, THEIRS};
use super::unique::update;
use crate::error::ErrorKind;
use crate::id::StoreId;
use crate::model::Kind;
use crate::store::{Activation, Change, Members, Write};

const LOST_VALUES: &str =
    "what somebody else keeps in the record is gone, and nothing brings it back (rule A1)";

fn set(attribute: &str, new: &[String]) -> Change {
    Change { attribute: attribute.to_owned(), old: Vec::new(), new: new.to_vec() }
}

/// All of the record but these attributes is what it was.
fn unchanged_but(before: &Record, after: &Record, attributes: &[&str]) -> Outcome {
    let rest = |record: &Record| {
        let mut rest = record.clone();
        rest.version = None;
        attributes.iter().for_each(|attribute| {
            rest.values.remove(*attribute);
        });
        rest
    };
    let (before, after) = (rest(before), rest(after));
    demand(
        before == after,
        match attributes {
            [] => "the record stays exactly as it was".to_owned(),
            _ => format!("everything but {} stays exactly as it was", some(attributes)),
        },
        || after.since(&before),
        LOST_VALUES,
    )
}

// rule A1
pub(super) async fn an_update_changes_only_what_it_names(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    let mut any = false;
    for kind in BOTH {
        let Some(attribute) = subject.free(kind).into_iter().next() else { continue };
        any = true;
        let Made { id, .. } = subject.create(&subject.wish(kind, 1)).await?;
        let neighbour = subject.create(&subject.wish(kind, 2)).await?.id;
        if kind == Kind::Group {
            let user = subject.create(&subject.wish(Kind::User, 9)).await?.id;
            subject.add(&id, &[user]).await?;
        }
        let (before, other) = (subject.get(kind, &id).await?, subject.get(kind, &neighbour).await?);
        let members = if kind == Kind::Group { subject.members(&id).await.ok() } else { None };
        let new = ["quite another value".to_owned()];
        subject.done("an update", update(kind, &id, &[set(&attribute, &new)])).await?;
        let after = subject.get(kind, &id).await?;
        let held = after.values.get(&attribute).map(Vec::as_slice).unwrap_or_default();
        demand(
            subject.is_same(kind, &attribute, held, &new),
            format!("{attribute} has its new value"),
            || format!("{held:?}"),
            "an old name stays for ever, though every run says that it was changed (rules A4, X1)",
        )?;
        unchanged_but(&before, &after, &[attribute.as_str()])?;
        unchanged_but(&other, &subject.get(kind, &neighbour).await?, &[])?;
        if let Some(members) = members {
            let now = subject.members(&id).await?;
            demand(now == members, "its members stay", || format!("{now:?}"), LOST_VALUES)?;
        }
    }
    if any { Ok(()) } else { Err(not_applicable("the builder names no free attribute")) }
}

// rules A1, P3
pub(super) async fn an_update_of_several_attributes_changes_them_all(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    let mut any = false;
    for kind in BOTH {
        // Names among them: what is unique is changed beside what is not.
        let unique = subject.unique(kind).into_iter().map(|(name, _)| (builder.value(kind, &name, 7), name));
        let free = subject.free(kind).into_iter().map(|name| (format!("new {name}"), name));
        let wanted: Vec<Change> =
            unique.chain(free).map(|(value, name)| set(&name, std::slice::from_ref(&value))).collect();
        if wanted.len() < 2 {
            continue;
        }
        any = true;
        let Made { id, .. } = subject.create(&subject.wish(kind, 1)).await?;
        subject.done("an update of several attributes", update(kind, &id, &wanted)).await?;
        let after = subject.get(kind, &id).await?;
        for Change { attribute, new, .. } in &wanted {
            let held = after.values.get(attribute).map(Vec::as_slice).unwrap_or_default();
            demand(
                subject.is_same(kind, attribute, held, new),
                format!("{attribute} has its new value {new:?}"),
                || format!("{held:?}"),
                "half of a change is lost, though every run says that it was written (rules A4, X1)",
            )?;
        }
    }
    if any { Ok(()) } else { Err(not_applicable("the store has no two attributes that can be updated")) }
}

// rules M1, E4
pub(super) async fn a_renamed_record_keeps_its_id_its_link_and_its_memberships(
    builder: Stores<'_>,
) -> Outcome {
    let other = "a new name takes people's access away, or makes them somebody else (rule M1)";
    let subject = Subject::fresh(builder).await?;
    let users = subject.create_all(Kind::User, 0..2).await?;
    let [member, neighbour] = users.as_slice() else { return Ok(()) };
    let group = subject.group_of(0, &users).await?;
    let mut any = false;
    for (kind, id) in [(Kind::User, member), (Kind::Group, &group)] {
        let Some((attribute, _)) = subject.unique(kind).into_iter().next() else { continue };
        any = true;
        let before = subject.get(kind, id).await?;
        let new = [builder.value(kind, &attribute, 7)];
        subject.done("a rename", update(kind, id, &[set(&attribute, &new)])).await?;
        let link = subject.wish(kind, 0).link;
        let linked = subject.linked(&link).await?;
        demand(
            linked.len() == 1 && linked.iter().all(|record| record.id == before.id),
            format!("a {kind} that was renamed keeps its id `{}` and its external id `{link}`", before.id),
            || format!("the external id is that of {}", some(linked.iter().map(|record| &record.id))),
            other,
        )?;
        subject.keeps(&group, &[member, neighbour], &format!("after a {kind} was renamed"), other).await?;
        unchanged_but(&before, &subject.get(kind, id).await?, &[attribute.as_str()])?;
    }
    if any { Ok(()) } else { Err(not_applicable("the store declares no unique attribute")) }
}

// rule A2
pub(super) async fn a_cleared_attribute_is_gone(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    let mut any = false;
    for kind in BOTH {
        let Some(attribute) = subject.free(kind).into_iter().next() else { continue };
        any = true;
        let Made { id, .. } = subject.create(&subject.wish(kind, 1)).await?;
        let before = subject.get(kind, &id).await?;
        subject.done("an update that clears", update(kind, &id, &[set(&attribute, &[])])).await?;
        let after = subject.get(kind, &id).await?;
        demand(
            !after.values.contains_key(&attribute),
            format!("{attribute} of the {kind} has no value any more"),
            || format!("{:?}", after.values.get(&attribute)),
            "what was taken away in the directory stays in the store for ever (rule A2)",
        )?;
        unchanged_but(&before, &after, &[attribute.as_str()])?;
    }
    if any { Ok(()) } else { Err(not_applicable("the builder names no free attribute")) }
}

// rules A1, A4
pub(super) async fn several_values_are_replaced_as_a_whole(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    let mut any = false;
    for kind in BOTH {
        let many = subject.schemas(kind).filter(|(_, schema)| schema.multi_valued);
        let Some(attribute) = many.map(|(name, _)| name.to_owned()).next() else { continue };
        any = true;
        let Made { id, .. } = subject.create(&subject.wish(kind, 1)).await?;
        let value = |number| builder.value(kind, &attribute, number);
        for new in [vec![value(31), value(32), value(33)], vec![value(33), value(34)], vec![value(34)]] {
            let before = subject.get(kind, &id).await?;
            subject.done("an update", update(kind, &id, &[set(&attribute, &new)])).await?;
            let after = subject.get(kind, &id).await?;
            let held = after.values.get(&attribute).cloned().unwrap_or_default();
            demand(
                subject.is_same(kind, &attribute, &held, &new),
                format!("{attribute} has exactly the values {new:?}"),
                || format!("{held:?}"),
                "values pile up or get lost, and every run writes them again (rules A4, P4)",
            )?;
            unchanged_but(&before, &after, &[attribute.as_str()])?;
        }
    }
    if any { Ok(()) } else { Err(not_applicable("the store declares no attribute with several values")) }
}

// rule A3
pub(super) async fn a_required_value_cannot_be_cleared(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    let mut any = false;
    for kind in BOTH {
        let required = subject.schemas(kind).filter(|(_, schema)| schema.required);
        let Some(attribute) = required.map(|(name, _)| name.to_owned()).next() else { continue };
        any = true;
        let Made { id, .. } = subject.create(&subject.wish(kind, 1)).await?;
        let before = subject.get(kind, &id).await?;
        let risk = "a record loses the name that it must have (rule A3)";
        let what = format!("clearing {attribute} of a {kind}, which is required,");
        let changes = [set(&attribute, &[])];
        subject.refuses(&what, update(kind, &id, &changes), ErrorKind::Invalid, risk).await?;
        unchanged_but(&before, &subject.get(kind, &id).await?, &[])?;
    }
    if any { Ok(()) } else { Err(not_applicable("the store declares no required attribute")) }
}

// rules X1, X2
pub(super) async fn a_write_to_a_missing_record_is_answered_not_found(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    let member = [subject.create(&subject.wish(Kind::User, 1)).await?.id];
    let deleted = subject.create(&subject.wish(Kind::Group, 1)).await?.id;
    subject.done("a delete", Write::DeleteGroup { id: &deleted, version: None }).await?;
    let before = subject.everything().await?;
    let nobody = StoreId::from("nobody");
    for id in [&nobody, &deleted] {
        let mut writes = vec![
            ("updating a user", Write::UpdateUser { id, version: None, changes: &[], origin: None }),
            ("updating a group", Write::UpdateGroup { id, version: None, changes: &[] }),
            ("adding a member to a group", Write::AddMembers { id, version: None, members: &member }),
            ("removing a member from a group", Write::RemoveMembers { id, version: None, members: &member }),
            ("deleting a user", Write::DeleteUser { id, version: None }),
            ("deleting a group", Write::DeleteGroup { id, version: None }),
        ];
        if subject.can.activation == Activation::Supported {
            writes.push(("deactivating a user", Write::SetActive { id, version: None, active: false }));
        }
        for (what, write) in writes {
            let what = format!("{what} that is not there");
            let risk = "a record that is gone counts as written, or its removal as failed (rules X1, X2)";
            subject.refuses(&what, write, ErrorKind::NotFound, risk).await?;
        }
    }
    let after = subject.everything().await?;
    demand(before == after, "nothing came of it", || "something is different".to_owned(), LOST_VALUES)
}

// rule X1
pub(super) async fn a_refused_write_leaves_nothing_behind(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    let half = "what failed has happened by half, and nobody is told (rules X1, X4)";
    if let Some((unique, _)) = subject.unique(Kind::User).into_iter().next() {
        let holder = subject.create(&subject.wish(Kind::User, 1)).await?.id;
        let taken = builder.value(Kind::User, &unique, 1);
        let clash = subject.wish(Kind::User, 2).with(&unique, taken.as_str());
        let refusal = subject.try_create(&clash).await?.is_err();
        demand(refusal, "a taken name is refused", || "it is not".to_owned(), half)?;
        // Its link is not left behind: with a free name the same user can be made.
        let answer = subject.try_create(&subject.wish(Kind::User, 2)).await?;
        let made = super::subject::made(
            answer.map_err(|error| refused("creating again with a free name", &error))?,
            Kind::User,
        )?;
        let before = subject.everything().await?;
        let mut changes = vec![set(&unique, &[taken])];
        changes.splice(..0, subject.free(Kind::User).first().map(|free| set(free, &["half".to_owned()])));
        let answer = subject.write(update(Kind::User, &made.id, &changes)).await?;
        demand(answer.is_err(), "a taken name is refused", || "it is not".to_owned(), half)?;
        let after = subject.everything().await?;
        demand(
            before == after,
            "an update that was refused for one attribute has changed none",
            || "something is different".to_owned(),
            half,
        )?;
        subject.done("a delete", Write::DeleteUser { id: &holder, version: None }).await?;
    }
    if subject.can.members == Members::Unlisted || subject.can.members_per_write < 2 {
        return Ok(());
    }
    let group = subject.create(&subject.wish(Kind::Group, 1)).await?.id;
    let members = [subject.create(&subject.wish(Kind::User, 5)).await?.id, StoreId::from("nobody")];
    let answer = subject.write(Write::AddMembers { id: &group, version: None, members: &members }).await?;
    let listed = subject.members(&group).await?;
    if answer.is_err() && !listed.is_empty() {
        return Err(wrong(
            "adding two members, one of whom is not there, is refused as a whole or done",
            format!("it is refused, and {} members were added", listed.len()),
            half,
        ));
    }
    Ok(())
}

// rule M7
pub(super) async fn records_of_another_issuer_stay_as_they_are(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    let mut theirs = Vec::new();
    let mut ours = Vec::new();
    for kind in BOTH {
        let wish = subject.wish(kind, 1);
        let twin = subject.wish(kind, 2).linked(THEIRS, wish.link.value.as_str());
        theirs.push((kind, subject.create(&twin).await?.id));
        ours.push(subject.create(&wish).await?.id);
    }
    let [user, group] = ours.as_slice() else { return Ok(()) };
    let mut before = Vec::new();
    for (kind, id) in &theirs {
        before.push(subject.get(*kind, id).await?);
    }
    let members = [user.clone()];
    if let Ok(free) = subject.one_free(Kind::User) {
        subject.done("an update", update(Kind::User, user, &[set(&free, &["x".to_owned()])])).await?;
    }
    if subject.can.activation == Activation::Supported {
        let write = Write::SetActive { id: user, version: None, active: false };
        subject.done("a deactivation", write).await?;
    }
    subject.add(group, &members).await?;
    let remove = Write::RemoveMembers { id: group, version: None, members: &members };
    subject.done("removing a member", remove).await?;
    subject.done("a delete", Write::DeleteGroup { id: group, version: None }).await?;
    subject.done("a delete", Write::DeleteUser { id: user, version: None }).await?;
    for ((kind, id), before) in theirs.iter().zip(&before) {
        let after = subject.find(*kind, id).await?;
        demand(
            after.as_ref() == Some(before),
            format!("the {kind} of another issuer, with an anchor like ours, is what it was"),
            || after.map_or("it is gone".to_owned(), |after| after.since(before)),
            "two engines destroy each other's records (rule M7)",
        )?;
    }
    Ok(())
}
