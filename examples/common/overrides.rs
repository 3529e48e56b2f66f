//! Options that start from a preset, with what a file says in their place.

use identity_sync::{Issuer, Options, Preset};
use serde_json::{Map, Value};

/// The options of a preset, and what a file says in place of them: `named`, as it stands there, and `read`, the options that it
/// makes without any preset.
///
/// What a file replaces as a whole without a preset, it replaces as a whole here: an attribute map, a list, a limit.
///
/// # Errors
///
/// `named` is no table of options.
pub(crate) fn over_preset(preset: Preset, named: Value, read: Options) -> Result<Options, serde_json::Error> {
    let known = preset.options();
    let mut options = serde_json::to_value(&known)?;
    let has = |name| named.get(name).is_some();
    // A map keeps the order in which it was written, which is the order of the values in a plan.
    let (users, groups) = (has("user_map"), has("group_map"));
    if let (Value::Object(options), Value::Object(named)) = (&mut options, named) {
        merge(options, named);
    }
    let mut options: Options = serde_json::from_value(options)?;
    options.user_map = if users { read.user_map } else { known.user_map };
    options.group_map = if groups { read.group_map } else { known.group_map };
    Ok(options)
}

/// The options of a configuration file: `named`, its table of options, and `read`, what that makes without any preset.
///
/// # Errors
///
/// It names what stands elsewhere in the file, or is no table of options.
#[allow(dead_code, reason = "the example `plan` takes its preset from the command line")]
pub(crate) fn for_issuer(
    issuer: &Issuer,
    preset: Preset,
    named: Option<toml::Value>,
    read: Options,
) -> Result<Options, String> {
    let named = serde_json::to_value(named).map_err(|error| error.to_string())?;
    for elsewhere in ["issuer", "extent"] {
        if named.get(elsewhere).is_some() {
            return Err(format!("{elsewhere} has no place in options"));
        }
    }
    let mut options = over_preset(preset, named, read).map_err(|error| error.to_string())?;
    options.issuer = Some(issuer.clone());
    Ok(options)
}

/// Table into table: what both have is the later one's, but tables in it are merged in the same way.
fn merge(options: &mut Map<String, Value>, named: Map<String, Value>) {
    for (name, value) in named {
        match (options.get_mut(&name), value) {
            (Some(Value::Object(known)), Value::Object(named)) if name == "guards" => known.extend(named),
            (Some(Value::Object(known)), Value::Object(named)) => merge(known, named),
            (_, value) => {
                options.insert(name, value);
            }
        }
    }
}

/// A preset by its name.
///
/// # Errors
///
/// There is none of this name; the message lists them.
pub(crate) fn preset(name: &str) -> Result<Preset, String> {
    serde_json::from_value(Value::from(name)).map_err(|_| {
        let names: Vec<String> = Preset::ALL
            .iter()
            .filter_map(|preset| serde_json::to_value(preset).ok()?.as_str().map(str::to_owned))
            .collect();
        format!("there is no preset {name}; there are {}", names.join(", "))
    })
}

/// What is wrong with a TOML text, in one line.
pub(crate) fn one_line(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let line = text.bytes().take(start).filter(|&byte| byte == b'\n').count() + 1;
    format!("line {line}: {}", error.message())
}
