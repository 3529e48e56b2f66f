//! Who is in the export, and by which names people call him.

use std::collections::BTreeMap;

use identity_sync::adapter::ldif::LdifSource;
use identity_sync::{
    AccountState, Attributes, DirectorySource, Escaped, GroupPage, Kind, MatchRule, PageEnd, Read, Select,
    SourceAnchor, SourceSnapshot, UserPage,
};

use super::Trouble;

/// Attributes by which somebody may be named on the command line.
const CALLED: [&str; 4] = ["cn", "sAMAccountName", "userPrincipalName", "mail"];

/// Users and groups of the export.
#[derive(Default)]
pub(crate) struct People {
    /// By anchor: kind and name.
    known: BTreeMap<SourceAnchor, (Kind, String)>,
    /// By the match key of what they are called.
    called: BTreeMap<String, Vec<SourceAnchor>>,
    /// Users of whom the export does not say that they are enabled.
    not_enabled: BTreeMap<SourceAnchor, AccountState>,
}

/// Reads everything: an answer to *why not* has to know the groups above that nobody assigned.
pub(crate) async fn read_all(directory: &LdifSource) -> Result<(People, SourceSnapshot), Trouble> {
    let mut people = People::default();
    let mut snapshot = SourceSnapshot::builder(directory.identity(), directory.capabilities());
    let (mut page, mut at) = (UserPage::default(), None);
    loop {
        page.clear();
        let end = directory.read_users(Read::new(Select::All, at.as_ref()), &mut page).await?;
        for (anchor, state, attributes) in page.users() {
            people.see(Kind::User, anchor, attributes);
            if state != AccountState::Enabled && directory.capabilities().account_state {
                people.not_enabled.insert(SourceAnchor::from(anchor), state);
            }
        }
        snapshot.users(&page)?;
        match end {
            PageEnd::More(token) => at = Some(token),
            PageEnd::Last(completeness) => break snapshot.users_end(completeness),
        }
    }
    let (mut page, mut at) = (GroupPage::default(), None);
    loop {
        page.clear();
        let end = directory.read_groups(Read::new(Select::All, at.as_ref()), &mut page).await?;
        for (anchor, attributes, _) in page.groups() {
            people.see(Kind::Group, anchor, attributes);
        }
        snapshot.groups(&page)?;
        match end {
            PageEnd::More(token) => at = Some(token),
            PageEnd::Last(completeness) => break snapshot.groups_end(completeness),
        }
    }
    Ok((people, snapshot.finish()))
}

impl People {
    fn see(&mut self, kind: Kind, anchor: &str, attributes: Attributes<'_>) {
        let anchor = SourceAnchor::from(anchor);
        for value in CALLED.into_iter().flat_map(|name| attributes.values(name)) {
            let same = self.called.entry(key(value)).or_default();
            if !same.contains(&anchor) {
                same.push(anchor.clone());
            }
        }
        // A group whose list goes on over pages comes more than once, its attributes on the first page.
        let name = attributes.get("cn").unwrap_or_default().to_owned();
        self.known.entry(anchor).or_insert((kind, name));
    }

    /// The one user or group that is meant: by anchor, or by what he is called.
    pub(crate) fn find(&self, text: &str) -> Result<SourceAnchor, String> {
        for anchor in [SourceAnchor::from(text), SourceAnchor::from(text.to_lowercase())] {
            if self.known.contains_key(&anchor) {
                return Ok(anchor);
            }
        }
        match self.called.get(&key(text)).map(Vec::as_slice) {
            Some([one]) => Ok(one.clone()),
            None | Some([]) => Err(format!("nobody in the export is called {}", Escaped(text))),
            Some(several) => {
                let anchors: Vec<&str> = several.iter().map(SourceAnchor::as_str).collect();
                let text = Escaped(text);
                Err(format!("several are called {text}; name one of {}", anchors.join(", ")))
            }
        }
    }

    pub(crate) fn has(&self, anchor: &SourceAnchor) -> bool {
        self.known.contains_key(anchor)
    }

    /// Why the directory gives this account no access to anything; none where it is enabled.
    pub(crate) fn why_not_enabled(&self, anchor: &SourceAnchor) -> Option<&'static str> {
        match (self.known.get(anchor), self.not_enabled.get(anchor)) {
            (Some((Kind::User, _)), None) => None,
            (Some((Kind::User, _)), Some(AccountState::Disabled)) => {
                Some("the directory has this account disabled")
            }
            (Some((Kind::User, _)), Some(_)) => {
                Some("the directory does not say whether this account is enabled")
            }
            _ => Some("the export does not have this account"),
        }
    }

    /// Kind, name and anchor; for a path, name and anchor are enough.
    pub(crate) fn show(&self, anchor: &SourceAnchor) -> String {
        match self.known.get(anchor) {
            Some((kind, name)) => format!("{kind} {} [{anchor}]", Escaped(name)),
            None => format!("somebody who is not in the export [{anchor}]"),
        }
    }

    /// The names along a path.
    pub(crate) fn path(&self, path: &[SourceAnchor]) -> String {
        let name = |anchor: &SourceAnchor| match self.known.get(anchor) {
            Some((_, name)) => Escaped(name).to_string(),
            None => anchor.to_string(),
        };
        path.iter().map(name).collect::<Vec<_>>().join(" → ")
    }
}

fn key(text: &str) -> String {
    MatchRule::NfkcCasefold.key(text).as_str().to_owned()
}
