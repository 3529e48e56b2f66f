//! Templates, match keys, and who gets which unique value (rules A1 to A4, M2, M6).

use super::super::world::{Attributes, Mapping, Matching, Missing, Schema};
use super::release::Offers;
use std::collections::{BTreeMap, BTreeSet};
use unicode_normalization::UnicodeNormalization;

/// The match key of one value.
pub fn key(value: &str, matching: Matching) -> String {
    let value = value.trim();
    match matching {
        Matching::Exact => value.to_owned(),
        Matching::AsciiCaseFold => value.to_ascii_lowercase(),
        // Both steps leave ASCII alone but for its case.
        Matching::NfkcCasefold if value.is_ascii() => value.to_ascii_lowercase(),
        Matching::NfkcCasefold => {
            let mut current = value.to_owned();
            loop {
                let folded = caseless::default_case_fold_str(&current.nfkc().collect::<String>());
                let next: String = folded.nfkc().collect();
                if next == current {
                    return current.trim().to_owned();
                }
                current = next;
            }
        }
    }
}

/// The match keys of the values of one attribute.
pub fn keys(values: &[String], attribute: &str, schema: &Schema) -> BTreeSet<String> {
    let matching = schema.get(attribute).map_or(Matching::Exact, |rule| rule.matching);
    values.iter().map(|value| key(value, matching)).collect()
}

/// Trimmed, without empty ones, sorted by bytes, each once.
pub fn canonical(values: Option<&Vec<String>>) -> Vec<String> {
    let trimmed: BTreeSet<&str> = values.into_iter().flatten().map(|value| value.trim()).collect();
    trimmed.into_iter().filter(|value| !value.is_empty()).map(str::to_owned).collect()
}

/// What the map says about one target of one object.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    Values(Vec<String>),
    /// Nothing to write, and what is there goes.
    Clear,
    /// Unreadable, or missing and `Keep`: what is there stays.
    Leave,
    /// A required target came out empty or unreadable (rule A3).
    RequiredEmpty,
}

/// What the map says about every target of one source row.
pub fn map_attributes(
    map: &[Mapping],
    schema: &Schema,
    attributes: &Attributes,
    unreadable: &BTreeSet<String>,
) -> BTreeMap<String, Wanted> {
    let mut wanted = BTreeMap::new();
    for mapping in map {
        let rule = schema.get(&mapping.target);
        let required = mapping.required || rule.is_some_and(|rule| rule.required);
        let pieces = split_template(&mapping.template);
        let names: Vec<&str> =
            pieces.iter().filter_map(|(is_name, text)| is_name.then_some(text.as_str())).collect();
        if names.iter().any(|name| unreadable.contains(*name)) {
            let outcome = if required { Wanted::RequiredEmpty } else { Wanted::Leave };
            wanted.insert(mapping.target.clone(), outcome);
            continue;
        }
        let bare = pieces.len() == 1 && names.len() == 1;
        let values = if bare && rule.is_some_and(|rule| rule.multi_valued) {
            canonical(attributes.get(names[0]))
        } else {
            render(&pieces, &names, attributes)
        };
        let outcome = if !values.is_empty() {
            Wanted::Values(values)
        } else if required {
            Wanted::RequiredEmpty
        } else if mapping.missing == Missing::Keep {
            Wanted::Leave
        } else {
            Wanted::Clear
        };
        wanted.insert(mapping.target.clone(), outcome);
    }
    wanted
}

/// The source attributes that a template names.
pub fn placeholders(template: &str) -> Vec<String> {
    split_template(template).into_iter().filter_map(|(is_name, text)| is_name.then_some(text)).collect()
}

/// Pieces of a template: literal text, or (true) the name of a placeholder.
fn split_template(template: &str) -> Vec<(bool, String)> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else { break };
        if start > 0 {
            pieces.push((false, rest[..start].to_owned()));
        }
        pieces.push((true, rest[start + 2..start + length].to_owned()));
        rest = &rest[start + length + 1..];
    }
    if !rest.is_empty() {
        pieces.push((false, rest.to_owned()));
    }
    pieces
}

fn render(pieces: &[(bool, String)], names: &[&str], attributes: &Attributes) -> Vec<String> {
    let least = |name: &str| canonical(attributes.get(name)).into_iter().next();
    if !names.is_empty() && names.iter().all(|name| least(name).is_none()) {
        return Vec::new();
    }
    let text: String = pieces
        .iter()
        .map(|(is_name, text)| if *is_name { least(text).unwrap_or_default() } else { text.clone() })
        .collect();
    canonical(Some(&vec![text]))
}

/// One object or record that has to do with unique values of its kind.
#[derive(Clone, Debug)]
pub struct Party {
    pub anchor: String,
    pub record: Option<String>,
    /// The record can be updated in this plan, or the object can be created.
    pub writable: bool,
    pub wanted: BTreeMap<String, Wanted>,
    /// Attributes that rule A4 leaves out: they keep their old values.
    pub flapping: BTreeSet<String>,
}

/// What rule M6 needs to know about a record of the kind, managed or not.
#[derive(Clone, Debug)]
pub struct Holder<'a> {
    pub id: &'a str,
    pub attributes: &'a Attributes,
    pub deleted: bool,
    /// What rule M4 makes it give up to whoever takes it.
    pub offers: Offers,
}

/// Pairs of anchor and attribute that rule M6 quarantines, and those that rule A4 leaves out. `parties` are all entitled, read, unambiguous
/// objects within their bounds, each of them a claimant of the values that it maps to.
pub fn quarantined(parties: &[Party], holders: &[Holder<'_>], schema: &Schema) -> BTreeSet<(String, String)> {
    let mut result = BTreeSet::new();
    for (attribute, _) in schema.iter().filter(|(_, rule)| rule.unique) {
        for anchor in quarantined_for(attribute, parties, holders, schema) {
            result.insert((anchor, attribute.clone()));
        }
    }
    result
}

fn quarantined_for(
    attribute: &str,
    parties: &[Party],
    holders: &[Holder<'_>],
    schema: &Schema,
) -> BTreeSet<String> {
    let held: BTreeMap<&str, BTreeSet<String>> = holders
        .iter()
        .map(|holder| (holder.id, keys(&canonical(holder.attributes.get(attribute)), attribute, schema)))
        .collect();
    let none = BTreeSet::new();
    let held_by = |id: Option<&String>| id.and_then(|id| held.get(id.as_str())).unwrap_or(&none);
    let claims: Vec<(&Party, BTreeSet<String>)> = parties
        .iter()
        .filter_map(|party| match party.wanted.get(attribute) {
            Some(Wanted::Values(values)) => Some((party, keys(values, attribute, schema))),
            _ => None,
        })
        .collect();

    let flapping = parties.iter().filter(|party| party.flapping.contains(attribute));
    let mut blocked: BTreeSet<String> = flapping.map(|party| party.anchor.clone()).collect();
    for (index, (party, wanted)) in claims.iter().enumerate() {
        for value in wanted.iter().filter(|value| !held_by(party.record.as_ref()).contains(*value)) {
            let rivals =
                claims.iter().enumerate().any(|(other, (_, keys))| other != index && keys.contains(value));
            if rivals {
                blocked.insert(party.anchor.clone());
            }
        }
    }

    // What each record holds after the plan, as far as it is known to change.
    let after = |id: &str, blocked: &BTreeSet<String>| -> BTreeSet<String> {
        let party = parties.iter().find(|party| party.record.as_deref() == Some(id));
        match party {
            Some(party) if party.writable && !blocked.contains(&party.anchor) => {
                match party.wanted.get(attribute) {
                    Some(Wanted::Values(values)) => keys(values, attribute, schema),
                    Some(Wanted::Clear) => BTreeSet::new(),
                    _ => held[id].clone(),
                }
            }
            _ => held[id].clone(),
        }
    };
    // The largest set of changes that can all happen: start with all, drop what cannot.
    loop {
        let before = blocked.len();
        for (party, wanted) in &claims {
            if blocked.contains(&party.anchor) {
                continue;
            }
            for value in wanted.iter().filter(|value| !held_by(party.record.as_ref()).contains(*value)) {
                let taken = holders.iter().any(|holder| {
                    !holder.deleted
                        && !holder.offers.get(attribute).is_some_and(|offer| offer.includes(value))
                        && party.record.as_deref() != Some(holder.id)
                        && held[holder.id].contains(value)
                        && after(holder.id, &blocked).contains(value)
                });
                if taken {
                    blocked.insert(party.anchor.clone());
                }
            }
        }
        if blocked.len() == before {
            return blocked;
        }
    }
}

/// The temporary value that the least anchor of a cycle takes (rule P6): the first one that no other record has.
pub fn temporary(anchor: &str, attribute: &str, new: &[String], is_taken: impl Fn(&str) -> bool) -> String {
    let hex: String = anchor.bytes().map(|byte| format!("{byte:02x}")).collect();
    let domain = new.first().and_then(|value| value.rsplit_once('@')).map(|(_, domain)| domain);
    let of = |local: String| match domain {
        Some(domain) if attribute.to_ascii_lowercase().contains("mail") => format!("{local}@{domain}"),
        _ => local,
    };
    let mut number = 1;
    loop {
        let value = if number == 1 { of(format!("~{hex}")) } else { of(format!("~{hex}~{number}")) };
        if !is_taken(&value) {
            return value;
        }
        number += 1;
    }
}
