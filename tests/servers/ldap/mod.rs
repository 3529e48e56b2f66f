//! The LDAP source against a domain controller and against OpenLDAP.

mod ad;
mod slapd;

use std::collections::{BTreeMap, BTreeSet};

use identity_sync::{
    AccountState, DirectorySource, GroupPage, PageEnd, Read, Select, SourceAnchor, SourceError,
    SourceSnapshot, UserPage,
};

type Values = BTreeSet<(String, String)>;

/// A directory as a source tells it, in an order of its own.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    users: BTreeMap<String, (AccountState, Values)>,
    groups: BTreeMap<String, (Values, BTreeSet<String>)>,
    /// Groups whose lists are not known to be whole.
    open: BTreeSet<String>,
    ends: Vec<PageEnd>,
    pages: usize,
}

/// Reads all that is asked for, page by page.
async fn see(source: &impl DirectorySource, select: Select<'_>) -> Result<Seen, SourceError> {
    let mut seen = Seen::default();
    let (mut page, mut at) = (UserPage::default(), None);
    loop {
        page.clear();
        let end = source.read_users(Read::new(select, at.as_ref()), &mut page).await?;
        seen.pages += 1;
        for (anchor, state, attributes) in page.users() {
            let values = attributes.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            assert!(seen.users.insert(anchor.to_owned(), (state, values)).is_none(), "{anchor} came twice");
        }
        match end {
            PageEnd::More(token) => at = Some(token),
            last => break seen.ends.push(last),
        }
    }
    let mut snapshot = SourceSnapshot::builder(source.identity(), source.capabilities());
    let (mut page, mut at) = (GroupPage::default(), None);
    loop {
        page.clear();
        let end = source.read_groups(Read::new(select, at.as_ref()), &mut page).await?;
        seen.pages += 1;
        snapshot.groups(&page).unwrap();
        for (anchor, attributes, members) in page.groups() {
            let values = attributes.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
            let group = seen.groups.entry(anchor.to_owned()).or_default();
            group.0.extend(values);
            group.1.extend(members.map(str::to_owned));
        }
        match end {
            PageEnd::More(token) => at = Some(token),
            last => break seen.ends.push(last),
        }
    }
    let snapshot = serde_json::to_value(snapshot.finish()).unwrap();
    let open =
        snapshot["groups"].as_array().unwrap().iter().filter(|group| group["members_complete"] != true);
    seen.open = open.map(|group| group["anchor"].as_str().unwrap().to_owned()).collect();
    Ok(seen)
}

fn anchors<'a>(all: impl IntoIterator<Item = &'a String>) -> Vec<SourceAnchor> {
    let mut anchors: Vec<_> = all.into_iter().map(|anchor| SourceAnchor::from(anchor.as_str())).collect();
    anchors.sort_unstable();
    anchors
}
