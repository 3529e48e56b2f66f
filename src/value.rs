//! What an object's attributes shall be, and whether a record has them already (rules A1–A4).

use std::borrow::Cow;

use crate::attributes::{AttributeTable, Attributes};
use crate::mapping::{AttributeMap, Missing, Segment, Sensitivity};
use crate::model::Kind;
use crate::store::{AttributeSchema, StoreCapabilities};

/// The attribute map of one kind, with names turned into the numbers of both snapshots.
#[derive(Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) rules: Vec<Rule<'a>>,
    /// By number of a source attribute the one rule that is nothing but it; by number of a stored one its rule. None
    /// where the quick comparison cannot be had.
    quick: Option<Quick>,
}

/// Attribute numbers of both sides turned into numbers of rules.
#[derive(Debug)]
struct Quick {
    source: Vec<u8>,
    stored: Vec<u8>,
}

/// Most rules of a map that is compared the quick way.
const QUICK_RULES: usize = 32;
const NO_RULE: u8 = u8::MAX;

#[derive(Debug)]
pub(crate) struct Rule<'a> {
    pub(crate) target: &'a str,
    pub(crate) schema: AttributeSchema,
    pub(crate) required: bool,
    pub(crate) sensitive: bool,
    keep: bool,
    /// One `Source` alone is a template that is nothing but one placeholder.
    parts: Vec<Part<'a>>,
    /// The target's number in the store's table; none where no record has it.
    stored: Option<u32>,
}

#[derive(Debug)]
enum Part<'a> {
    Literal(&'a str),
    /// A source attribute; none where no object has it.
    Source(Option<u32>),
}

/// What a target shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Desired<'s> {
    /// Whatever it is: unreadable, or missing and to be kept.
    Unchanged,
    /// Nothing.
    Empty,
    One(Cow<'s, str>),
    /// Several, sorted by bytes, none twice.
    Many(Vec<&'s str>),
}

impl Desired<'_> {
    pub(crate) fn values(&self) -> impl Iterator<Item = &str> {
        let (one, many): (Option<&str>, &[&str]) = match self {
            Self::Unchanged | Self::Empty => (None, &[]),
            Self::One(value) => (Some(value), &[]),
            Self::Many(values) => (None, values),
        };
        one.into_iter().chain(many.iter().copied())
    }

    pub(crate) fn to_vec(&self) -> Vec<String> {
        self.values().map(str::to_owned).collect()
    }
}

impl<'a> Rules<'a> {
    pub(crate) fn new(
        kind: Kind,
        map: &'a AttributeMap,
        store: &StoreCapabilities,
        source_names: &AttributeTable,
        stored_names: &AttributeTable,
    ) -> Self {
        let places = map.iter().map(|(target, mapping)| (target, mapping, store.schema(kind, target)));
        let rules = places.filter(|(.., schema)| !schema.absent).map(|(target, mapping, schema)| {
            let parts = mapping.template.segments().iter().map(|segment| match segment {
                Segment::Literal(text) => Part::Literal(text),
                Segment::Placeholder(name) => Part::Source(source_names.find_name(name)),
            });
            Rule {
                target,
                schema,
                required: mapping.required || schema.required,
                sensitive: mapping.sensitivity == Sensitivity::Sensitive,
                keep: mapping.missing == Missing::Keep,
                parts: parts.collect(),
                stored: stored_names.find_name(target),
            }
        });
        let rules: Vec<Rule<'a>> = rules.collect();
        let quick = Quick::new(&rules, source_names, stored_names);
        Self { rules, quick }
    }

    /// Whether a record has everything that it shall have, seen in one look at both rows: every rule is one bare
    /// placeholder, every attribute has at most one value, and all are the same bytes. `false` says nothing.
    pub(crate) fn is_plainly_settled(&self, source: Attributes<'_>, stored: Attributes<'_>) -> bool {
        let Some(quick) = &self.quick else { return false };
        let mut wanted = [""; QUICK_RULES];
        let mut held = [""; QUICK_RULES];
        for (row, numbers, values) in
            [(source, &quick.source, &mut wanted), (stored, &quick.stored, &mut held)]
        {
            for (name, value) in row.cells() {
                let rule = numbers.get(name as usize).copied().unwrap_or(NO_RULE);
                let Some(slot) = values.get_mut(rule as usize) else { continue };
                let value = value.trim();
                if value.is_empty() {
                    continue;
                }
                if !slot.is_empty() {
                    return false;
                }
                *slot = value;
            }
        }
        let rules = self.rules.iter().zip(wanted.iter().zip(&held));
        rules
            .into_iter()
            .all(|(rule, (wanted, held))| wanted == held && !(wanted.is_empty() && rule.required))
    }
}

impl Quick {
    fn new(rules: &[Rule<'_>], source_names: &AttributeTable, stored_names: &AttributeTable) -> Option<Self> {
        if rules.len() > QUICK_RULES || source_names.has_unreadable() {
            return None;
        }
        let mut quick = Self {
            source: vec![NO_RULE; source_names.names().len()],
            stored: vec![NO_RULE; stored_names.names().len()],
        };
        for (number, rule) in rules.iter().enumerate() {
            let [Part::Source(name)] = rule.parts.as_slice() else { return None };
            for (slots, name) in [(&mut quick.source, *name), (&mut quick.stored, rule.stored)] {
                if let Some(slot) = name.and_then(|name| slots.get_mut(name as usize)) {
                    // One attribute for two targets is beyond the quick way.
                    if *slot != NO_RULE {
                        return None;
                    }
                    *slot = number as u8;
                }
            }
        }
        Some(quick)
    }
}

impl<'a> Rule<'a> {
    /// What this target shall be for an object of the source.
    pub(crate) fn desired<'s>(&self, source: Attributes<'s>) -> Desired<'s> {
        let unreadable = |name: u32| source.unreadable_cells().any(|cell| cell == name);
        if self.parts.iter().any(|part| matches!(part, Part::Source(Some(name)) if unreadable(*name))) {
            return Desired::Unchanged;
        }
        let desired = match self.parts.as_slice() {
            [Part::Source(name)] if self.schema.multi_valued => {
                let mut values: Vec<&str> = readable(source, *name).collect();
                values.sort_unstable();
                values.dedup();
                match values.as_slice() {
                    [] => Desired::Empty,
                    [one] => Desired::One(Cow::Borrowed(one)),
                    _ => Desired::Many(values),
                }
            }
            [Part::Source(name)] => match readable(source, *name).min() {
                Some(value) => Desired::One(Cow::Borrowed(value)),
                None => Desired::Empty,
            },
            parts => self.render(parts, source),
        };
        if desired == Desired::Empty && self.keep { Desired::Unchanged } else { desired }
    }

    /// A template of several parts: empty iff all its placeholders are (rule A1).
    fn render<'s>(&self, parts: &[Part<'_>], source: Attributes<'s>) -> Desired<'s> {
        let (mut text, mut placeholders, mut filled) = (String::new(), 0, 0);
        for part in parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Source(name) => {
                    placeholders += 1;
                    if let Some(value) = readable(source, *name).min() {
                        filled += 1;
                        text.push_str(value);
                    }
                }
            }
        }
        let trimmed = text.trim();
        if trimmed.is_empty() || (placeholders > 0 && filled == 0) {
            Desired::Empty
        } else {
            Desired::One(Cow::Owned(trimmed.to_owned()))
        }
    }

    /// Whether values are mail addresses, as far as the name of the attribute tells.
    pub(crate) fn is_mail(&self) -> bool {
        self.target.to_ascii_lowercase().contains("mail")
    }

    /// What a record has, trimmed, without empty values.
    pub(crate) fn held<'s>(&self, stored: Attributes<'s>) -> impl Iterator<Item = &'s str> + use<'s> {
        readable(stored, self.stored)
    }

    /// What a record has, in the order in which it is shown.
    pub(crate) fn held_sorted(&self, stored: Attributes<'_>) -> Vec<String> {
        let mut values: Vec<String> = self.held(stored).map(str::to_owned).collect();
        values.sort_unstable();
        values.dedup();
        values
    }

    /// Whether a record has what it shall have, by the attribute's match rule (rule A4).
    pub(crate) fn is_settled(&self, desired: &Desired<'_>, stored: Attributes<'_>) -> bool {
        let mut held = self.held(stored);
        match (desired, held.next(), held.next()) {
            (Desired::Unchanged, ..) => true,
            (Desired::Empty, None, _) => true,
            (Desired::Empty, Some(_), _) | (_, None, _) => false,
            (Desired::One(value), Some(one), None) if **value == *one => true,
            _ => self.keys(desired.values()) == self.keys(self.held(stored)),
        }
    }

    /// The match keys of what a target shall be, sorted, none twice.
    pub(crate) fn owned_keys(&self, desired: &Desired<'_>) -> Vec<String> {
        self.keys(desired.values()).into_iter().map(Cow::into_owned).collect()
    }

    /// The match keys of values, sorted, none twice.
    pub(crate) fn keys<'v>(&self, values: impl Iterator<Item = &'v str>) -> Vec<Cow<'v, str>> {
        let mut keys: Vec<_> = values.map(|value| self.schema.matching.fold(value)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

fn readable<'s>(attributes: Attributes<'s>, name: Option<u32>) -> impl Iterator<Item = &'s str> + use<'s> {
    attributes
        .cells()
        .filter(move |(found, _)| Some(*found) == name)
        .map(|(_, value)| value.trim())
        .filter(|value| !value.is_empty())
}
