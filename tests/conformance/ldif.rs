//! Directories that are written down as LDIF and read again.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use async_trait::async_trait;
use identity_sync::adapter::ldif::{LdifOptions, LdifSource};
use identity_sync::testing::conformance::{self, BuildError, SourceBuilder};
use identity_sync::testing::{Directory, DirectoryMember, Vocabulary};
use identity_sync::{AccountState, Kind};
use pollster::block_on;

use crate::open;

const DOMAIN: &str = "DC=corp,DC=example,DC=com";

/// Writes descriptions as exports: with `objectGUID`, or with an attribute of the host's own as anchor.
struct Exports {
    words: Vocabulary,
    anchor: Option<&'static str>,
}

impl Exports {
    fn options(&self) -> LdifOptions {
        let options = LdifOptions::new().identity("corp").empty_groups();
        self.anchor.iter().fold(options, |options, name| options.anchor(*name))
    }

    fn text(&self, directory: &Directory) -> String {
        let names: BTreeMap<&str, String> =
            (directory.users.iter().map(|user| (user.anchor.as_str(), "People")))
                .chain(directory.groups.iter().map(|group| (group.anchor.as_str(), "Groups")))
                .enumerate()
                .map(|(number, (anchor, place))| (anchor, format!("CN=n{number},OU={place},{DOMAIN}")))
                .collect();
        // What a search of the whole domain finds, also where nobody is in it.
        let mut text = format!("dn: {DOMAIN}\nobjectClass: domain\n\n");
        for user in &directory.users {
            self.entry(&mut text, &names[user.anchor.as_str()], "user", &user.anchor, &user.attributes);
            let control = if user.state == AccountState::Disabled { 514 } else { 512 };
            writeln!(text, "userAccountControl: {control}\n").unwrap();
        }
        for group in &directory.groups {
            self.entry(&mut text, &names[group.anchor.as_str()], "group", &group.anchor, &group.attributes);
            for member in &group.members {
                let dn = match member {
                    DirectoryMember::Object(anchor) => names[anchor.as_str()].clone(),
                    DirectoryMember::Foreign(anchor) => {
                        format!("CN=S-1-5-{},CN=ForeignSecurityPrincipals,{DOMAIN}", anchor.len())
                    }
                    other => format!("CN=gone{},OU=People,{DOMAIN}", other.text().len()),
                };
                line(&mut text, "member", &dn);
            }
            text.push('\n');
        }
        for (number, tombstone) in directory.tombstones.iter().enumerate() {
            let class = if tombstone.kind == Kind::User { "user" } else { "group" };
            let dn = format!("CN=x{number},CN=Deleted Objects,{DOMAIN}");
            self.entry(&mut text, &dn, class, &tombstone.anchor, &BTreeMap::new());
            text.push_str("isDeleted: TRUE\n\n");
        }
        text
    }

    fn entry(
        &self,
        text: &mut String,
        dn: &str,
        class: &str,
        anchor: &str,
        attributes: &BTreeMap<String, Vec<String>>,
    ) {
        line(text, "dn", dn);
        line(text, "objectClass", class);
        line(text, self.anchor.unwrap_or("objectGUID"), anchor);
        for (name, values) in attributes {
            values.iter().for_each(|value| line(text, name, value));
        }
    }
}

/// RFC 2849: what is not plain goes in base64.
fn line(text: &mut String, name: &str, value: &str) {
    let plain = value.bytes().all(|b| (b' '..127).contains(&b));
    let edges = value.starts_with([' ', ':', '<']) || value.ends_with(' ');
    if plain && !edges {
        writeln!(text, "{name}: {value}").unwrap();
    } else {
        writeln!(text, "{name}:: {}", base64(value.as_bytes())).unwrap();
    }
}

fn base64(octets: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in octets.chunks(3) {
        let bits =
            three.iter().fold(0u32, |bits, octet| bits << 8 | u32::from(*octet)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > three.len() { '=' } else { letter.into() });
        }
    }
    text
}

#[async_trait]
impl SourceBuilder for Exports {
    type Source = LdifSource;

    async fn holding(&self, directory: &Directory) -> Result<LdifSource, BuildError> {
        let source = LdifSource::parse(self.text(directory), &self.options());
        source.map_err(|error| BuildError::Failed(error.into()))
    }

    fn vocabulary(&self) -> Vocabulary {
        self.words.clone()
    }

    /// A page has 10,000 members.
    fn long_list(&self) -> usize {
        12_000
    }

    /// The next export.
    async fn changed(&self, _: LdifSource, directory: &Directory) -> Result<LdifSource, BuildError> {
        self.holding(directory).await
    }

    /// A transfer that broke off in the middle of the last line.
    async fn partial(&self, directory: &Directory) -> Result<LdifSource, BuildError> {
        let text = self.text(directory);
        let cut = text.trim_end().len() - 3;
        let source = LdifSource::parse(&text.as_bytes()[..cut], &self.options());
        source.map_err(|error| BuildError::Failed(error.into()))
    }
}

#[test]
fn an_export_of_active_directory_conforms() {
    let report = block_on(conformance::source(&Exports { words: Vocabulary::with_uuids(), anchor: None }));
    report.assert_conforming();
    // An export does not say how far the directory has come.
    assert_eq!(
        open(&report),
        ["anchors_come_back_byte_for_byte", "the_generation_never_goes_back"],
        "{report}"
    );
}

#[test]
fn an_export_with_an_anchor_of_the_hosts_own_conforms() {
    let report = block_on(conformance::source(&Exports {
        words: Vocabulary::default(),
        anchor: Some("employeeNumber"),
    }));
    report.assert_conforming();
    assert_eq!(open(&report), ["the_generation_never_goes_back"], "{report}");
}
