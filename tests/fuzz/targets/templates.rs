//! Any template with any values: what is read is shown again, and one user comes out as a plain model says (rule A1).

use arbitrary::{Arbitrary, Unstructured};
use identity_sync::{
    Action, Assignments, AttributeMap, Completeness, ExternalId, Options, Principal, Run, SourceCapabilities,
    SourceSnapshot, StoreCapabilities, StoreSnapshot, Template, UserPage, plan,
};

/// Names and values longer than this may be beyond a bound, which is another matter.
const LONG: usize = 1_000;

#[derive(Arbitrary, Debug)]
struct Case<'a> {
    template: &'a str,
    many: bool,
    required: bool,
    values: Vec<(u8, &'a str)>,
}

pub fn run(bytes: &[u8]) {
    let Ok(case) = Case::arbitrary(&mut Unstructured::new(bytes)) else { return };
    let parsed = case.template.parse::<Template>();
    let expected = parts(case.template);
    let template = match (parsed, &expected) {
        (Ok(template), Some(_)) => template,
        (Err(_), None) => return,
        (parsed, expected) => panic!("{parsed:?}, and the model says {expected:?}"),
    };
    let parts = expected.unwrap_or_default();
    let names: Vec<&str> = parts.iter().filter_map(|part| part.name()).collect();
    assert_eq!(template.placeholders().collect::<Vec<_>>(), names, "other placeholders");
    assert_eq!(template.to_string(), case.template, "another text");
    assert_eq!(template.to_string().parse::<Template>().as_ref(), Ok(&template), "another template");
    survives(&case);
    if names.iter().any(|name| name.len() > LONG) || case.values.iter().any(|(_, value)| value.len() > LONG) {
        return;
    }
    assert_eq!(made(&case, &names), wanted(&case, &parts, &names), "{case:?}");
}

fn map(case: &Case<'_>) -> AttributeMap {
    let mut map = AttributeMap::new();
    let target = if case.many { "emails" } else { "title" };
    match map.set(target, case.template) {
        Ok(mapping) => mapping.required = case.required,
        Err(error) => panic!("a map refuses what was parsed: {error}"),
    }
    map
}

fn survives(case: &Case<'_>) {
    let map = map(case);
    let again = serde_json::to_string(&map).and_then(|text| serde_json::from_str::<AttributeMap>(&text));
    assert_eq!(again.ok(), Some(map), "a map changes in its JSON");
}

#[derive(Debug)]
enum Part<'a> {
    Text(&'a str),
    Name(&'a str),
}

impl<'a> Part<'a> {
    fn name(&self) -> Option<&'a str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Text(_) => None,
        }
    }
}

/// The parts of a template, or none where it cannot be read. A name may hold a `${` itself.
fn parts(mut text: &str) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    while let Some((before, after)) = text.split_once("${") {
        let (name, behind) = after.split_once('}')?;
        if name.is_empty() {
            return None;
        }
        parts.extend([Part::Text(before), Part::Name(name)]);
        text = behind;
    }
    parts.push(Part::Text(text));
    parts.retain(|part| !matches!(part, Part::Text("")));
    Some(parts)
}

/// The values that the target shall have; none where nothing is created.
fn wanted(case: &Case<'_>, parts: &[Part<'_>], names: &[&str]) -> Option<Vec<String>> {
    let of = |name: &str| {
        let given = case
            .values
            .iter()
            .filter(|(n, _)| !names.is_empty() && names[usize::from(*n) % names.len()] == name);
        let mut values: Vec<&str> =
            given.map(|(_, value)| value.trim()).filter(|value| !value.is_empty()).collect();
        values.sort_unstable();
        values.dedup();
        values
    };
    let values: Vec<String> = match parts {
        [Part::Name(name)] if case.many => of(name).into_iter().map(str::to_owned).collect(),
        parts => {
            let made: String = parts
                .iter()
                .map(|part| match part {
                    Part::Text(text) => *text,
                    Part::Name(name) => of(name).first().copied().unwrap_or_default(),
                })
                .collect();
            let is_empty = !names.is_empty() && names.iter().all(|name| of(name).is_empty());
            let made = made.trim();
            if is_empty || made.is_empty() { Vec::new() } else { vec![made.to_owned()] }
        }
    };
    (!case.required || !values.is_empty()).then_some(values)
}

fn made(case: &Case<'_>, names: &[&str]) -> Option<Vec<String>> {
    let mut source = SourceSnapshot::builder("corp", SourceCapabilities::default());
    let mut page = UserPage::default();
    let mut row = page.user("u1");
    row.active(true);
    for (number, value) in &case.values {
        if let Some(name) = names.get(usize::from(*number) % names.len().max(1)) {
            row.attribute(name, value);
        }
    }
    source.users(&page).unwrap_or_else(|error| panic!("{error}"));
    source.users_end(Completeness::Complete);
    source.groups_end(Completeness::Complete);
    let mut options = Options::for_issuer("corp");
    options.user_map = map(case);
    let mut capabilities = StoreCapabilities::named("store");
    capabilities.users.shift_remove("userName");
    let store = StoreSnapshot::builder(capabilities).finish(Completeness::Complete);
    let assigned = Assignments::complete([Principal::External(ExternalId::new("corp", "u1"))]);
    let found = plan(&source.finish(), &store, &assigned, &options, &Run::default());
    let plan = found.unwrap_or_else(|error| panic!("{error}")).plan;
    let operation = plan.operations().next()?;
    match operation.action() {
        Action::CreateUser { attributes, .. } => {
            Some(attributes.iter().map(|(_, value)| value.to_owned()).collect())
        }
        other => panic!("{other:?}"),
    }
}
