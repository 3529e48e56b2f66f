//! The attribute map: which target attribute is made from which source attributes (rule A1).

use std::fmt;
use std::str::FromStr;

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Why an attribute map cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MappingError {
    /// A `${` has no `}`.
    #[error("template has a `${{` without `}}`")]
    Unclosed,
    /// `${}` names nothing.
    #[error("template has a placeholder without a name")]
    Unnamed,
    /// `active` changes only by operations of its own (rule A1).
    #[error("`active` is no target of the attribute map: it follows the account state")]
    ActiveIsNoTarget,
    /// A target without a name.
    #[error("an attribute map has a target without a name")]
    EmptyTarget,
}

/// Text with placeholders: `${givenName} ${sn}`.
///
/// A `$` that no `{` follows stands for itself. The result is empty iff all placeholders are (rule A1); a template
/// without placeholders is a constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Literal(String),
    Placeholder(String),
}

impl Template {
    /// The source attributes that it names, in order.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Placeholder(name) => Some(name.as_str()),
            Segment::Literal(_) => None,
        })
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

impl FromStr for Template {
    type Err = MappingError;

    fn from_str(text: &str) -> Result<Self, MappingError> {
        let mut segments = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let (before, after) = rest.split_at(start);
            let (name, behind) = after[2..].split_once('}').ok_or(MappingError::Unclosed)?;
            if name.is_empty() {
                return Err(MappingError::Unnamed);
            }
            if !before.is_empty() {
                segments.push(Segment::Literal(before.to_owned()));
            }
            segments.push(Segment::Placeholder(name.to_owned()));
            rest = behind;
        }
        if !rest.is_empty() {
            segments.push(Segment::Literal(rest.to_owned()));
        }
        Ok(Self { text: text.to_owned(), segments })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a missing or empty source does to its target (rule A2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// The target is cleared.
    #[default]
    Clear,
    /// The target stays as it is.
    Keep,
}

/// Whether a value may be shown (rule S2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sensitivity {
    /// May be shown.
    #[default]
    Plain,
    /// Shown as its length only, in `Display` and `Debug`; complete in serde.
    Sensitive,
}

/// How one target attribute is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Mapping {
    /// The text that it is made from.
    pub template: Template,
    /// What happens when that comes out empty.
    #[serde(default)]
    pub missing: Missing,
    /// Without a value there is no record (rule A3). The store's schema may demand it too.
    #[serde(default)]
    pub required: bool,
    /// Whether values may be shown.
    #[serde(default)]
    pub sensitivity: Sensitivity,
}

/// A map from target attributes to templates, in an order that reaches people and files.
///
/// In a config file, a mapping is its template, or a table where more is said:
///
/// ```
/// let map: identity_sync::AttributeMap = toml::from_str(r#"
///     userName = { template = "${userPrincipalName}", required = true }
///     displayName = "${givenName} ${sn}"
///     title = { template = "${title}", missing = "keep" }
/// "#)?;
/// assert_eq!(map.iter().count(), 3);
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributeMap {
    targets: IndexMap<String, Mapping>,
}

impl AttributeMap {
    /// A map without targets: nothing is compared, nothing written.
    pub fn new() -> Self {
        Self::default()
    }

    /// The default for users, Active Directory → SCIM core names (RFC 7643 section 4).
    pub fn active_directory_users() -> Self {
        Self::of(&[
            ("userName", "${userPrincipalName}", true),
            ("name.givenName", "${givenName}", false),
            ("name.familyName", "${sn}", false),
            ("displayName", "${displayName}", false),
            ("emails", "${mail}", false),
            ("title", "${title}", false),
            ("phoneNumbers", "${telephoneNumber}", false),
            ("preferredLanguage", "${preferredLanguage}", false),
            ("employeeNumber", "${employeeID}", false),
            ("department", "${department}", false),
            ("organization", "${company}", false),
        ])
    }

    /// The default for groups, Active Directory → SCIM core names.
    pub fn active_directory_groups() -> Self {
        Self::of(&[("displayName", "${cn}", true), ("description", "${description}", false)])
    }

    fn of(lines: &[(&str, &str, bool)]) -> Self {
        let targets = lines.iter().filter_map(|&(target, template, required)| {
            let template = template.parse().ok()?;
            let mapping =
                Mapping { template, missing: Missing::Clear, required, sensitivity: Sensitivity::Plain };
            Some((target.to_owned(), mapping))
        });
        Self { targets: targets.collect() }
    }

    /// Adds a target, or replaces it.
    ///
    /// # Errors
    ///
    /// The template cannot be read, or the target is `active` (rule A1) or empty.
    pub fn set(&mut self, target: &str, template: &str) -> Result<&mut Mapping, MappingError> {
        check_target(target)?;
        let template = template.parse()?;
        let mapping =
            Mapping { template, missing: Missing::Clear, required: false, sensitivity: Sensitivity::Plain };
        self.targets.insert(target.to_owned(), mapping);
        self.targets.get_mut(target).ok_or(MappingError::EmptyTarget)
    }

    /// Adds a target, or replaces it; for chains.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn with(mut self, target: &str, template: &str) -> Result<Self, MappingError> {
        self.set(target, template)?;
        Ok(self)
    }

    /// The targets with their mappings, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Mapping)> {
        self.targets.iter().map(|(target, mapping)| (target.as_str(), mapping))
    }

    /// The mapping of a target.
    pub fn mapping(&self, target: &str) -> Option<&Mapping> {
        self.targets.get(target)
    }

    /// Every source attribute that some template names.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.targets.values().flat_map(|mapping| mapping.template.placeholders())
    }
}

fn check_target(target: &str) -> Result<(), MappingError> {
    match target {
        "" => Err(MappingError::EmptyTarget),
        "active" => Err(MappingError::ActiveIsNoTarget),
        _ => Ok(()),
    }
}

/// A mapping as a file spells it: the template alone, or a table.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a template, or a table with `template`, `missing`, `required`, `sensitivity`")]
enum Spelled {
    Template(String),
    Full(SpelledMapping),
}

/// As [`Mapping`], its template not parsed yet: what is wrong with it shall be said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpelledMapping {
    template: String,
    #[serde(default)]
    missing: Missing,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    sensitivity: Sensitivity,
}

impl Serialize for AttributeMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.targets.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AttributeMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spelled = IndexMap::<String, Spelled>::deserialize(deserializer)?;
        let mut targets = IndexMap::new();
        for (target, spelled) in spelled {
            check_target(&target).map_err(serde::de::Error::custom)?;
            let spelled = match spelled {
                Spelled::Full(mapping) => mapping,
                Spelled::Template(template) => SpelledMapping {
                    template,
                    missing: Missing::default(),
                    required: false,
                    sensitivity: Sensitivity::default(),
                },
            };
            let mapping = Mapping {
                template: spelled.template.parse().map_err(serde::de::Error::custom)?,
                missing: spelled.missing,
                required: spelled.required,
                sensitivity: spelled.sensitivity,
            };
            targets.insert(target, mapping);
        }
        Ok(Self { targets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_read_once_and_checked() {
        // rule A1
        let parse = |text: &str| text.parse::<Template>();
        assert_eq!(
            parse("${givenName} ${sn}").unwrap().placeholders().collect::<Vec<_>>(),
            ["givenName", "sn"]
        );
        assert_eq!(parse("${mail}").unwrap().segments(), [Segment::Placeholder("mail".to_owned())]);
        assert_eq!(parse("costs $5").unwrap().placeholders().count(), 0);
        assert_eq!(parse("${sn"), Err(MappingError::Unclosed));
        assert_eq!(parse("a${}"), Err(MappingError::Unnamed));
    }

    #[test]
    fn active_is_no_target() {
        // rule A1
        assert_eq!(AttributeMap::new().with("active", "${x}"), Err(MappingError::ActiveIsNoTarget));
        assert_eq!(AttributeMap::new().with("", "${x}"), Err(MappingError::EmptyTarget));
        assert!(toml::from_str::<AttributeMap>("active = '${x}'").is_err());
        let broken = toml::from_str::<AttributeMap>("title = '${x'").unwrap_err().to_string();
        assert!(broken.contains("without `}`"), "{broken}");
    }

    #[test]
    fn a_map_survives_its_text_form() {
        for map in [AttributeMap::active_directory_users(), AttributeMap::active_directory_groups()] {
            let text = toml::to_string(&map).unwrap();
            assert_eq!(toml::from_str::<AttributeMap>(&text).unwrap(), map);
        }
    }
}
