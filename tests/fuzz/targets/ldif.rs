//! Any bytes as a directory export, read as a reconcile reads it.

use std::collections::BTreeSet;

use identity_sync::adapter::ldif::{LdifOptions, LdifSource};
use identity_sync::{
    Asked, Assignments, Completeness, DirectorySource, ExternalId, GroupPage, Options, PageEnd, PageToken,
    Principal, Read, Run, Select, SourceAnchor, SourceSnapshot, StoreCapabilities, StoreSnapshot, Timestamp,
    UserPage, plan, questions_for,
};
use pollster::block_on;

use super::shown::{assert_plain, assert_shown};

pub fn run(bytes: &[u8]) {
    let Some((&first, export)) = bytes.split_first() else { return };
    let options = options(first);
    let source = match LdifSource::parse(export, &options) {
        Ok(source) => source,
        Err(error) => return assert_shown(&error),
    };
    assert_plain(&format!("{source:?}"));
    let most = export.len() + 2;
    let (whole, anchors) = read(&source, Select::All, most);
    let asked: Vec<SourceAnchor> = anchors.into_iter().map(SourceAnchor::from).collect();
    if asked.len() <= source.capabilities().select.map_or(0, Into::into) {
        let (selected, _) = read(&source, Select::Anchors(&asked), most);
        assert_eq!(selected.users(), whole.users(), "users that are asked for by anchor");
        assert_eq!(selected.groups(), whole.groups(), "groups that are asked for by anchor");
    }
    let mut answers = Asked::new(&asked);
    assert!(block_on(source.existence(&mut answers)).is_ok(), "a look-up in an export fails");
    let whole = whole.with_existence(answers.answers());
    check_plan(&source, &whole, &asked);
}

fn options(first: u8) -> LdifOptions {
    let mut options = LdifOptions::new();
    if first & 1 != 0 {
        options = options.identity("corp");
    }
    if first & 2 != 0 {
        options = options.anchor("cn");
    }
    if first & 4 != 0 {
        options = options.now(Timestamp(1_795_413_600));
    }
    if first & 8 != 0 {
        options = options.empty_groups();
    }
    if first & 16 != 0 {
        options = options.partial("cut");
    }
    options
}

/// All pages of a read, and the anchors on them.
fn read(source: &LdifSource, select: Select<'_>, most: usize) -> (SourceSnapshot, BTreeSet<String>) {
    let mut builder = SourceSnapshot::builder(source.identity(), source.capabilities());
    let mut anchors = BTreeSet::new();
    let mut at: Option<PageToken> = None;
    let mut page = UserPage::default();
    let mut last = None;
    for _ in 0..most {
        page.clear();
        let end = block_on(source.read_users(Read::new(select, at.as_ref()), &mut page));
        anchors
            .extend(page.users().map(|(anchor, ..)| anchor.to_owned()).filter(|anchor| !anchor.is_empty()));
        assert!(builder.users(&page).is_ok(), "an export beyond the bounds");
        match end {
            Ok(PageEnd::More(token)) => at = Some(token),
            Ok(PageEnd::Last(completeness)) => {
                last = Some(completeness);
                break;
            }
            Err(error) => panic!("reading an export fails: {error}"),
        }
    }
    builder.users_end(last.unwrap_or_else(|| panic!("users without an end")));
    let (mut at, mut last, mut page) = (None, None, GroupPage::default());
    for _ in 0..most {
        page.clear();
        let end = block_on(source.read_groups(Read::new(select, at.as_ref()), &mut page));
        anchors
            .extend(page.groups().map(|(anchor, ..)| anchor.to_owned()).filter(|anchor| !anchor.is_empty()));
        assert!(builder.groups(&page).is_ok(), "an export beyond the bounds");
        match end {
            Ok(PageEnd::More(token)) => at = Some(token),
            Ok(PageEnd::Last(completeness)) => {
                last = Some(completeness);
                break;
            }
            Err(error) => panic!("reading an export fails: {error}"),
        }
    }
    builder.groups_end(last.unwrap_or_else(|| panic!("groups without an end")));
    (builder.finish(), anchors)
}

/// Everybody in the export is assigned.
fn check_plan(source: &LdifSource, read: &SourceSnapshot, anchors: &[SourceAnchor]) {
    let issuer = source.identity();
    let principals =
        anchors.iter().map(|anchor| Principal::External(ExternalId::new(issuer.clone(), anchor.clone())));
    let assigned = Assignments::complete(principals);
    let store = StoreSnapshot::builder(StoreCapabilities::named("store")).finish(Completeness::Complete);
    let options = Options::for_issuer(issuer);
    let _ = questions_for(read, &store, &assigned, &options);
    match plan(read, &store, &assigned, &options, &Run::default()) {
        Ok(found) => assert_plain(&found.plan.to_string()),
        Err(error) => assert_shown(&error),
    }
}
