//! Between SCIM's JSON and flat attributes: names, values, places (see the [module](super) about names).

use serde_json::{Map, Value, json};

use super::error::Fault;
use super::filter;
use super::links::ExternalIds;
use crate::attributes::Attributes;
use crate::id::ExternalId;
use crate::model::Kind;
use crate::store::{AttributeSchema, Change, StoreCapabilities};

/// The attributes that the options name.
pub(crate) type Declared = indexmap::IndexMap<String, AttributeSchema>;

/// The extension for people of a company (RFC 7643, section 4.3). Its attributes need no prefix.
pub(crate) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const ENTERPRISE_NAMES: [&str; 5] =
    ["employeeNumber", "costCenter", "organization", "division", "department"];

/// Attributes whose values are objects with a `value` (RFC 7643, section 4.1.2).
const WITH_VALUES: [&str; 7] =
    ["emails", "phoneNumbers", "ims", "photos", "entitlements", "roles", "x509Certificates"];

/// Of these a value that we write is the one for work, and the first is the primary one.
const AT_WORK: [&str; 2] = ["emails", "phoneNumbers"];

/// What is no attribute here, but the record's identity, state or membership.
const RESERVED: [&str; 8] =
    ["schemas", "id", "externalId", "meta", "active", "groups", "members", "password"];

/// Names whose case a server may change.
const CORE_NAMES: [&str; 12] = [
    "userName",
    "name",
    "displayName",
    "nickName",
    "profileUrl",
    "title",
    "userType",
    "preferredLanguage",
    "locale",
    "timezone",
    "addresses",
    "description",
];

/// A member of an object, by its name; SCIM's names are without regard to case (RFC 7643, section 2.1).
pub(super) fn field<'v>(object: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    object.get(name).or_else(|| {
        let mut similar = object.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        similar.next().map(|(_, value)| value)
    })
}

/// A text that is there and not empty.
pub(super) fn text<'v>(object: &'v Map<String, Value>, name: &str) -> Option<&'v str> {
    field(object, name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The record's version, where the server gives it.
pub(super) fn version(object: &Map<String, Value>) -> Option<&str> {
    text(field(object, "meta")?.as_object()?, "version")
}

/// Where the endpoint of a kind is.
pub(super) fn endpoint(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "Users",
        Kind::Group => "Groups",
    }
}

/// A record as the server gives it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) external_id: Option<ExternalId>,
    pub(super) version: Option<String>,
    pub(super) active: bool,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) members: Vec<String>,
}

impl Record {
    /// Reads a record. Values by their type are shown only where `declared` names them: they are shown already as some of all.
    pub(super) fn read(resource: &Value, links: &ExternalIds, declared: &Declared) -> Result<Self, Fault> {
        let object = resource.as_object().ok_or(Fault::Malformed("a record is no object"))?;
        let id = text(object, "id").ok_or(Fault::Malformed("a record has no id"))?;
        let mut attributes = Vec::new();
        flatten(object, declared, &mut attributes);
        Ok(Self {
            id: id.to_owned(),
            external_id: text(object, "externalId").and_then(|text| links.read(text)),
            version: version(object).map(str::to_owned),
            active: is_active(object)?,
            attributes,
            members: members(object)?,
        })
    }
}

/// SCIM's `active`. Where the server says nothing, the user may sign in.
fn is_active(object: &Map<String, Value>) -> Result<bool, Fault> {
    match field(object, "active") {
        None | Some(Value::Null) => Ok(true),
        Some(Value::Bool(active)) => Ok(*active),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => Err(Fault::Malformed("a user is neither active nor inactive")),
    }
}

/// The members of a group, each once: some servers keep one as often as it was added.
pub(super) fn members(object: &Map<String, Value>) -> Result<Vec<String>, Fault> {
    let list = match field(object, "members") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(Fault::Malformed("members are no list")),
    };
    let id = |member: &Value| match member {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Object(member) => text(member, "value").map(str::to_owned),
        _ => None,
    };
    let ids: Option<Vec<String>> = list.iter().map(id).collect();
    let mut ids = ids.ok_or(Fault::Malformed("a member has no id"))?;
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}

/// The attributes of a record, by the names that attribute maps use.
#[cfg(feature = "aws")]
pub(crate) fn attributes(record: &Map<String, Value>, declared: &Declared) -> Vec<(String, String)> {
    let mut attributes = Vec::new();
    flatten(record, declared, &mut attributes);
    attributes
}

fn flatten(object: &Map<String, Value>, declared: &Declared, flat: &mut Vec<(String, String)>) {
    for (key, value) in object.iter().filter(|(key, _)| !is_reserved(key)) {
        match value {
            Value::Object(extension) if is_urn(key) => {
                let enterprise = key.eq_ignore_ascii_case(ENTERPRISE);
                for (name, value) in extension {
                    let short = enterprise.then(|| canonical(&ENTERPRISE_NAMES, name)).flatten();
                    let name = short.map_or_else(|| format!("{key}:{name}"), str::to_owned);
                    flatten_value(&name, value, declared, flat);
                }
            }
            _ => {
                let name =
                    canonical(&CORE_NAMES, key).or_else(|| canonical(&WITH_VALUES, key)).unwrap_or(key);
                flatten_value(name, value, declared, flat);
            }
        }
    }
}

fn canonical<'n>(names: &[&'n str], name: &str) -> Option<&'n str> {
    names.iter().copied().find(|known| known.eq_ignore_ascii_case(name))
}

fn is_urn(name: &str) -> bool {
    name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("urn:"))
}

fn flatten_value(name: &str, value: &Value, declared: &Declared, flat: &mut Vec<(String, String)>) {
    if let Some(text) = scalar(value) {
        flat.push((name.to_owned(), text));
    }
    match value {
        Value::Object(parts) => {
            let parts = parts.iter().filter(|(part, _)| !part.starts_with('$'));
            flat.extend(parts.filter_map(|(part, value)| Some((format!("{name}.{part}"), scalar(value)?))));
        }
        Value::Array(values) => {
            for value in values {
                match value {
                    Value::Object(parts) => flatten_element(name, parts, declared, flat),
                    value => flat.extend(scalar(value).map(|text| (name.to_owned(), text))),
                }
            }
        }
        _ => {}
    }
}

/// One value of several: as one of all, and by its type.
fn flatten_element(
    name: &str,
    parts: &Map<String, Value>,
    declared: &Declared,
    flat: &mut Vec<(String, String)>,
) {
    flat.extend(field(parts, "value").and_then(scalar).map(|value| (name.to_owned(), value)));
    let Some(kind) = text(parts, "type") else { return };
    let by_type = format!("{name}[type eq {}]", filter::quote(kind));
    let named = parts.iter().map(|(part, value)| (format!("{by_type}.{part}"), value));
    let named = named.filter(|(name, _)| declared.contains_key(name));
    flat.extend(named.filter_map(|(name, value)| Some((name, scalar(value)?))));
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Where a flat attribute stands in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    urn: Option<String>,
    name: String,
    part: Option<String>,
    shape: Shape,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Shape {
    Text,
    /// A list of texts.
    Texts,
    /// A list of objects with a `value`.
    Values,
    /// Of such a list the one of this type.
    OfType(String),
}

impl Place {
    fn of(attribute: &str, multi_valued: bool) -> Result<Self, Fault> {
        let invalid = || Fault::Invalid("the name of a mapped attribute is none that SCIM has".into());
        let bracket = attribute.find('[').unwrap_or(attribute.len());
        let (front, rest) = attribute.split_at(bracket);
        let (urn, name) = match front.rsplit_once(':') {
            Some((urn, name)) if is_urn(urn) => (Some(urn.to_owned()), name),
            Some(_) => return Err(invalid()),
            None => (ENTERPRISE_NAMES.contains(&front).then(|| ENTERPRISE.to_owned()), front),
        };
        let (name, part, shape) = if rest.is_empty() {
            match name.split_once('.') {
                Some((name, part)) => (name, Some(part), Shape::Text),
                None if WITH_VALUES.contains(&name) => (name, None, Shape::Values),
                None if multi_valued => (name, None, Shape::Texts),
                None => (name, None, Shape::Text),
            }
        } else {
            let rest = rest.strip_prefix("[type eq ").ok_or_else(invalid)?;
            let (kind, part) = rest.rsplit_once("].").ok_or_else(invalid)?;
            let kind: String = serde_json::from_str(kind).map_err(|_| invalid())?;
            (name, Some(part), Shape::OfType(kind))
        };
        let is_name = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        };
        if !is_name(name) || !part.is_none_or(is_name) || (urn.is_none() && is_reserved(name)) {
            return Err(invalid());
        }
        Ok(Self { urn, name: name.to_owned(), part: part.map(str::to_owned), shape })
    }

    /// The list or object as a whole.
    fn whole(&self) -> String {
        match &self.urn {
            Some(urn) => format!("{urn}:{}", self.name),
            None => self.name.clone(),
        }
    }

    /// As paths of PATCH want it.
    fn path(&self) -> String {
        let whole = self.whole();
        match (&self.shape, &self.part) {
            (Shape::OfType(kind), Some(part)) => format!("{whole}[type eq {}].{part}", filter::quote(kind)),
            (_, Some(part)) => format!("{whole}.{part}"),
            (_, None) => whole,
        }
    }

    /// What the attribute holds with these values, of which there is at least one.
    fn value(&self, values: &[&str]) -> Value {
        let first = values.first().copied().unwrap_or_default();
        match &self.shape {
            Shape::Text => json!(first),
            Shape::Texts => json!(values),
            Shape::Values => {
                let at_work = AT_WORK.contains(&self.name.as_str());
                let element = |(place, value): (usize, &&str)| match (at_work, place) {
                    (true, 0) => json!({"value": value, "type": "work", "primary": true}),
                    (true, _) => json!({"value": value, "type": "work"}),
                    (false, _) => json!({"value": value}),
                };
                values.iter().enumerate().map(element).collect()
            }
            Shape::OfType(kind) => {
                let part = self.part.as_deref().unwrap_or("value");
                json!({"type": kind, part: first})
            }
        }
    }

    /// Puts the values into a new record.
    fn put(&self, record: &mut Map<String, Value>, values: &[&str]) {
        let value = self.value(values);
        let object = match &self.urn {
            Some(urn) => inner(record, urn),
            None => Some(record),
        };
        let Some(object) = object else { return };
        match (&self.shape, &self.part) {
            (Shape::OfType(kind), Some(part)) => {
                let list = object.entry(self.name.clone()).or_insert_with(|| json!([]));
                let Value::Array(list) = list else { return };
                let same =
                    |element: &&mut Value| element.get("type").and_then(Value::as_str) == Some(kind.as_str());
                match list.iter_mut().find(same) {
                    Some(Value::Object(element)) => {
                        element.insert(part.clone(), json!(values.first().copied().unwrap_or_default()));
                    }
                    _ => list.push(value),
                }
            }
            (_, Some(part)) => {
                inner(object, &self.name).map(|inner| inner.insert(part.clone(), value));
            }
            (_, None) => {
                object.insert(self.name.clone(), value);
            }
        }
    }

    /// Whether a record has the value that the place is a part of.
    fn is_in(&self, record: &Map<String, Value>) -> bool {
        let Shape::OfType(kind) = &self.shape else { return true };
        let object = match &self.urn {
            Some(urn) => field(record, urn).and_then(Value::as_object),
            None => Some(record),
        };
        let list = object.and_then(|object| field(object, &self.name)).and_then(Value::as_array);
        let of_type = |element: &Value| {
            element.as_object().and_then(|element| text(element, "type")).is_some_and(|found| found == kind)
        };
        list.is_some_and(|list| list.iter().any(of_type))
    }
}

/// The object of this name within an object, made where it is not there.
fn inner<'o>(object: &'o mut Map<String, Value>, name: &str) -> Option<&'o mut Map<String, Value>> {
    let slot = object.entry(name.to_owned()).or_insert_with(|| json!({}));
    if !slot.is_object() {
        *slot = json!({});
    }
    slot.as_object_mut()
}

/// The attributes of a record that shall be made, checked against what the store demands (rule A3).
pub(super) fn new_record(
    kind: Kind,
    external_id: &str,
    attributes: Attributes<'_>,
    capabilities: &StoreCapabilities,
) -> Result<Map<String, Value>, Fault> {
    let mut values: indexmap::IndexMap<&str, Vec<&str>> = indexmap::IndexMap::new();
    for (name, value) in attributes.iter() {
        values.entry(name).or_default().push(value);
    }
    let known = match kind {
        Kind::User => &capabilities.users,
        Kind::Group => &capabilities.groups,
    };
    for (name, _) in known.iter().filter(|(_, schema)| schema.required) {
        if !values.contains_key(name.as_str()) {
            return Err(Fault::Invalid(format!("a {kind} must have a value of attribute {name}")));
        }
    }
    let mut record = Map::new();
    let core = match kind {
        Kind::User => "urn:ietf:params:scim:schemas:core:2.0:User",
        Kind::Group => "urn:ietf:params:scim:schemas:core:2.0:Group",
    };
    let mut schemas = vec![core.to_owned()];
    for (name, values) in &values {
        let place = checked(kind, name, values.len(), capabilities)?;
        place.put(&mut record, values);
        schemas.extend(place.urn.filter(|urn| !schemas.contains(urn)));
    }
    record.insert("schemas".to_owned(), json!(schemas));
    record.insert("externalId".to_owned(), json!(external_id));
    Ok(record)
}

fn checked(kind: Kind, name: &str, values: usize, capabilities: &StoreCapabilities) -> Result<Place, Fault> {
    let schema = capabilities.schema(kind, name);
    if schema.absent {
        return Err(Fault::Invalid(format!("a {kind} has no attribute {name}")));
    }
    let place = Place::of(name, schema.multi_valued)?;
    if schema.required && values == 0 {
        return Err(Fault::Invalid(format!("a {kind} must have a value of attribute {name}")));
    }
    if !schema.multi_valued && values > 1 {
        return Err(Fault::Invalid(format!("a {kind} can have only one value of attribute {name}")));
    }
    Ok(place)
}

/// Operations of a PATCH, of which some depend on what the record holds.
#[derive(Debug)]
pub(super) struct Changes(Vec<(Place, Vec<String>)>);

impl Changes {
    /// Checks changes against what the store demands (rule A3).
    pub(super) fn of(
        kind: Kind,
        changes: &[Change],
        capabilities: &StoreCapabilities,
    ) -> Result<Self, Fault> {
        let place = |change: &Change| {
            let place = checked(kind, &change.attribute, change.new.len(), capabilities)?;
            Ok((place, change.new.clone()))
        };
        Ok(Self(changes.iter().map(place).collect::<Result<_, Fault>>()?))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the record must be known: a part of a value that is not there cannot be replaced (RFC 7644, section 3.5.2.3).
    pub(super) fn need_record(&self) -> bool {
        self.0.iter().any(|(place, _)| matches!(place.shape, Shape::OfType(_)))
    }

    /// The operations, where the record need not be looked at.
    pub(super) fn alone(&self) -> Option<Vec<Value>> {
        (!self.is_empty() && !self.need_record()).then(|| self.operations(&Map::new()))
    }

    /// The operations for a record; for an empty one where [`need_record`](Self::need_record) says no.
    pub(super) fn operations(&self, record: &Map<String, Value>) -> Vec<Value> {
        self.0.iter().filter_map(|(place, values)| operation(place, values, record)).collect()
    }
}

fn operation(place: &Place, values: &[String], record: &Map<String, Value>) -> Option<Value> {
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let there = place.is_in(record);
    match (&place.shape, values.first()) {
        (Shape::OfType(_), Some(value)) if there => {
            Some(json!({"op": "replace", "path": place.path(), "value": value}))
        }
        (Shape::OfType(_), Some(_)) => {
            Some(json!({"op": "add", "path": place.whole(), "value": [place.value(&values)]}))
        }
        (Shape::OfType(_), None) if !there => None,
        // Without its value, the rest of an element is of no use.
        (Shape::OfType(kind), None) if place.part.as_deref() == Some("value") => {
            let path = format!("{}[type eq {}]", place.whole(), filter::quote(kind));
            Some(json!({"op": "remove", "path": path}))
        }
        (_, None) => Some(json!({"op": "remove", "path": place.path()})),
        (_, Some(_)) => Some(json!({"op": "replace", "path": place.path(), "value": place.value(&values)})),
    }
}

/// The path of a flat attribute, as filters want it.
pub(super) fn path(attribute: &str) -> Result<String, Fault> {
    Ok(Place::of(attribute, false)?.path())
}

/// The message of a PATCH.
pub(super) fn patch(operations: Vec<Value>) -> Value {
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations})
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
