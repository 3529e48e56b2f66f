//! Why is somebody entitled, or why not? Over an LDIF export and the names of the assigned groups.
//!
//! ```text
//! cargo run --example explain --features ldif -- --ldif examples/data/corp-export.ldif \
//!     --user mail=gsingh@corp.example.com --assigned dept-engineering --assigned vpn-users
//! ```
//!
//! | Argument | Meaning |
//! |---|---|
//! | `--ldif F` | the export |
//! | `--user X` | who: an anchor (`objectGUID` as text), or `attribute=value`, compared without regard to case; may be a group |
//! | `--assigned NAME` | the `cn` of an assigned group; as often as there are some |
//! | `--dot` | prints the part of the graph that leads to him, for Graphviz (`dot -Tsvg`), in place of the answer |
//!
//! Exit code 0: entitled (with `--dot`: printed). 2: not entitled. 1: an error; the message says which.

#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;

use identity_sync::adapter::ldif::{LdifOptions, LdifSource};
use identity_sync::{
    Assignments, Completeness, DirectorySource, Escaped, Explanation, ExternalId, GroupPage, MatchRule,
    Options, PageEnd, Principal, Read, Run, Select, SourceAnchor, SourceSnapshot, StoreCapabilities,
    StoreSnapshot, UserPage, plan,
};

const USAGE: &str = "usage: explain --ldif F --user ANCHOR|ATTRIBUTE=VALUE [--assigned GROUP]... [--dot]";

fn main() -> ExitCode {
    let answer = Arguments::read(std::env::args().skip(1))
        .and_then(|arguments| pollster::block_on(explain(&arguments)));
    match answer {
        Ok(code) => code,
        Err(error) => {
            eprint!("explain: {error}");
            // An adapter's error says what it did; what went wrong underneath is its source.
            let mut below = error.source();
            while let Some(cause) = below {
                eprint!(": {cause}");
                below = cause.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Arguments {
    ldif: String,
    user: String,
    assigned: Vec<String>,
    dot: bool,
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut arguments = Self::default();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(USAGE);
            match word.as_str() {
                "--ldif" => arguments.ldif = value()?,
                "--user" => arguments.user = value()?,
                "--assigned" => arguments.assigned.push(value()?),
                "--dot" => arguments.dot = true,
                _ => return Err(USAGE.into()),
            }
        }
        let enough = !arguments.ldif.is_empty() && !arguments.user.is_empty();
        if enough { Ok(arguments) } else { Err(USAGE.into()) }
    }
}

async fn explain(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let directory = LdifSource::open(&arguments.ldif, &LdifOptions::new())?;
    let mut people = People { wanted: arguments.user.clone(), ..People::default() };
    let source = read_all(&directory, &mut people).await?;
    let target = people.the_one()?;

    let issuer = directory.identity();
    let mut assigned = Vec::new();
    for group in &arguments.assigned {
        let key = MatchRule::NfkcCasefold.key(group);
        let anchors = people.groups.get(key.as_str()).ok_or_else(|| format!("no group is named {group}"))?;
        assigned.extend(anchors.iter().map(|anchor| ExternalId::new(issuer.clone(), anchor.clone())));
    }
    // No store is asked: who is entitled depends on the directory and the assignments alone.
    let store = StoreSnapshot::builder(StoreCapabilities::default()).finish(Completeness::Complete);
    let assignments = Assignments::complete(assigned.into_iter().map(Principal::External));
    let found = plan(&source, &store, &assignments, &Options::for_issuer(issuer), &Run::default())?;

    if arguments.dot {
        print!("{}", people.label(&found.evidence.dot(&target)?));
        return Ok(ExitCode::SUCCESS);
    }
    let name = people.name(&target);
    Ok(match found.evidence.explain(&target)? {
        Explanation::Entitled { path } if path.len() == 1 => {
            println!("{name} is entitled: assigned directly");
            ExitCode::SUCCESS
        }
        Explanation::Entitled { path } => {
            println!("{name} is entitled: {}", people.path(&path));
            ExitCode::SUCCESS
        }
        Explanation::NotEntitled { nearest: Some(path) } => {
            println!("{name} is not entitled; an assignment of the first would do: {}", people.path(&path));
            ExitCode::from(2)
        }
        _ => {
            println!("{name} is not entitled: no group has this member");
            ExitCode::from(2)
        }
    })
}

/// Reads everything: an answer to *why not* has to know the groups above that nobody assigned.
async fn read_all(directory: &LdifSource, people: &mut People) -> Result<SourceSnapshot, Box<dyn Error>> {
    let mut source = SourceSnapshot::builder(directory.identity(), directory.capabilities());
    let (mut page, mut at) = (UserPage::default(), None);
    loop {
        page.clear();
        let end = directory.read_users(Read::new(Select::All, at.as_ref()), &mut page).await?;
        for (anchor, _, attributes) in page.users() {
            people.see(anchor, attributes);
        }
        source.users(&page)?;
        match end {
            PageEnd::More(token) => at = Some(token),
            PageEnd::Last(completeness) => break source.users_end(completeness),
        }
    }
    let (mut page, mut at) = (GroupPage::default(), None);
    loop {
        page.clear();
        let end = directory.read_groups(Read::new(Select::All, at.as_ref()), &mut page).await?;
        for (anchor, attributes, _) in page.groups() {
            people.see(anchor, attributes);
            if let Some(name) = attributes.get("cn") {
                let key = MatchRule::NfkcCasefold.key(name).as_str().to_owned();
                people.groups.entry(key).or_default().push(anchor.into());
            }
        }
        source.groups(&page)?;
        match end {
            PageEnd::More(token) => at = Some(token),
            PageEnd::Last(completeness) => break source.groups_end(completeness),
        }
    }
    Ok(source.finish())
}

/// Names, and who is asked about.
#[derive(Default)]
struct People {
    wanted: String,
    matching: Vec<SourceAnchor>,
    names: BTreeMap<String, String>,
    /// Anchors of groups, by the match key of their name.
    groups: BTreeMap<String, Vec<SourceAnchor>>,
}

impl People {
    fn see(&mut self, anchor: &str, attributes: identity_sync::Attributes<'_>) {
        let key = |text: &str| MatchRule::NfkcCasefold.key(text);
        let matches = match self.wanted.split_once('=') {
            None => self.wanted.eq_ignore_ascii_case(anchor),
            Some((name, value)) => attributes.values(name).any(|held| key(held) == key(value)),
        };
        // A group whose list goes on over pages comes more than once, its attributes on the first page.
        if matches && self.matching.iter().all(|known| known.as_str() != anchor) {
            self.matching.push(anchor.into());
        }
        if let Some(name) = attributes.get("cn") {
            self.names.entry(anchor.to_owned()).or_insert_with(|| name.to_owned());
        }
    }

    fn the_one(&self) -> Result<SourceAnchor, String> {
        match self.matching.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(format!("nobody in the export is {}", Escaped(&self.wanted))),
            several => {
                let anchors: Vec<String> = several.iter().map(ToString::to_string).collect();
                Err(format!("several are {}: {}", Escaped(&self.wanted), anchors.join(", ")))
            }
        }
    }

    fn name(&self, anchor: &SourceAnchor) -> String {
        let name = self.names.get(anchor.as_str()).map_or("(no name)", String::as_str);
        format!("{} [{anchor}]", Escaped(name))
    }

    fn path(&self, path: &[SourceAnchor]) -> String {
        let names: Vec<String> = path.iter().map(|anchor| self.name(anchor)).collect();
        names.join(" → ")
    }

    /// Puts names on the nodes of a drawing, which has anchors.
    fn label(&self, dot: &str) -> String {
        let mut labelled = dot.trim_end().trim_end_matches('}').to_owned();
        for (anchor, name) in &self.names {
            if dot.contains(&format!("\"{anchor}\"")) {
                let name = Escaped(name).to_string().replace('"', "\\\"");
                labelled += &format!("  \"{anchor}\" [label=\"{name}\"];\n");
            }
        }
        labelled + "}\n"
    }
}
