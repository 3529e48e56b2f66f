//! DirSync answers that a real controller gives only under load.

use identity_sync::adapter::ldap::{Change, Changes, LdapSource};
use identity_sync::{Asked, DirectorySource, ErrorKind, Existence, MemberKind, SourceAnchor};

use crate::fake::{Fake, Say, dir_sync, guid, texts};
use crate::{controller, last, options, source};

fn changed(number: u8, attributes: Vec<(&'static str, Vec<Vec<u8>>)>) -> Say {
    let mut all = vec![("objectGUID", vec![guid(number).0])];
    all.extend(attributes);
    Say::Entry("CN=a,DC=corp,DC=example,DC=com", all)
}

/// The cookie inside the control of a request.
fn cookie(asked: &crate::fake::Asked) -> Vec<u8> {
    let value = asked.control(crate::fake::DIR_SYNC).unwrap();
    let (_, content, _) = crate::fake::tlv(value).unwrap();
    let (_, flags, rest) = crate::fake::tlv(content).unwrap();
    assert_eq!(flags, [0x80, 0, 0, 1], "incremental values, and what the account may read");
    let (_, _, rest) = crate::fake::tlv(rest).unwrap();
    crate::fake::tlv(rest).unwrap().1.to_vec()
}

#[tokio::test]
async fn the_controller_is_asked_on_while_it_has_more() {
    let (live, _fake) = source(|asked| match cookie(asked).as_slice() {
        b"" => vec![changed(1, vec![]), Say::Done(0, dir_sync(1, b"one"))],
        b"one" => vec![changed(2, vec![]), Say::Done(0, dir_sync(0, b"start"))],
        b"start" => vec![
            changed(3, vec![("mail", texts(&["x"])), ("member;range=1-1", texts(&["CN=b"]))]),
            Say::Done(0, dir_sync(1, b"two")),
        ],
        b"two" => vec![
            changed(4, vec![("isDeleted", texts(&["TRUE"]))]),
            changed(5, vec![("member;range=0-0", texts(&["CN=c"]))]),
            Say::Done(0, dir_sync(-1, b"three")),
        ],
        b"three" => vec![changed(6, vec![("mail", vec![])]), Say::Done(0, dir_sync(0, b"end"))],
        other => panic!("{other:?}"),
    })
    .await;
    let since = live.checkpoint().await.unwrap();
    let Changes::Since { changes, .. } = live.read_changes(&since).await.unwrap() else { panic!("expired") };
    let anchor = |number| SourceAnchor::from(guid(number).1);
    assert_eq!(
        changes,
        [
            Change::Added { group: anchor(3), member: "CN=b".to_owned() },
            Change::Changed(anchor(3)),
            Change::Deleted(anchor(4)),
            Change::Removed { group: anchor(5), member: "CN=c".to_owned() },
            Change::Changed(anchor(6)),
        ]
    );
    assert!(!format!("{since:?}").contains("start"));
}

#[tokio::test]
async fn a_controller_that_refuses_a_cookie_expires_the_checkpoint_and_other_trouble_is_an_error() {
    let nonsense = [Say::Done(0, dir_sync(1, b"start")), Say::Done(0, None)];
    let refusals = [Say::Done(12, None), Say::Done(53, None)];
    let cases =
        refusals.map(|answer| (answer, true)).into_iter().chain(nonsense.map(|answer| (answer, false)));
    for (answer, expires) in cases {
        let (live, _fake) = source(move |asked| match cookie(asked).as_slice() {
            b"" => vec![Say::Done(0, dir_sync(0, b"start"))],
            _ => vec![answer.clone()],
        })
        .await;
        let since = live.checkpoint().await.unwrap();
        match live.read_changes(&since).await {
            Ok(changes) => assert!(expires && matches!(changes, Changes::Expired(_)), "{changes:?}"),
            Err(error) => assert!(!expires && error.kind() == ErrorKind::Permanent, "{error}"),
        }
    }
    // Of something else than is read now.
    let fake =
        Fake::start(|asked| controller(asked).unwrap_or_else(|| vec![Say::Done(0, dir_sync(0, b"start"))]))
            .await;
    let narrow = LdapSource::connect(options(&fake).group_filter("(cn=app-*)")).await.unwrap();
    let wide = LdapSource::connect(options(&fake)).await.unwrap();
    let since = narrow.checkpoint().await.unwrap();
    assert!(matches!(narrow.read_changes(&since).await.unwrap(), Changes::Since { .. }));
    assert!(matches!(wide.read_changes(&since).await.unwrap(), Changes::Expired(_)));
    let (live, _fake) = source(|asked| match cookie(asked).as_slice() {
        b"" => vec![Say::Done(0, dir_sync(0, b"start"))],
        _ => vec![Say::Done(51, None)],
    })
    .await;
    let since = live.checkpoint().await.unwrap();
    assert!(live.read_changes(&since).await.is_err_and(|error| error.is_transient()), "busy is no expiry");
}

#[tokio::test]
async fn one_who_is_alive_beats_a_tombstone_of_the_same_anchor() {
    // rules C3, M5
    let (live, _fake) = source(|_| {
        let tombstone = vec![("objectClass", texts(&["user"])), ("isDeleted", texts(&["TRUE"]))];
        vec![
            changed(1, tombstone.clone()),
            changed(1, vec![("objectClass", texts(&["user"]))]),
            changed(2, vec![("objectClass", texts(&["group"]))]),
            changed(2, tombstone.clone()),
            changed(3, tombstone),
            last(0, b""),
        ]
    })
    .await;
    let anchors: Vec<SourceAnchor> = (1..=4).map(|number| SourceAnchor::from(guid(number).1)).collect();
    let mut asked = Asked::new(&anchors);
    live.existence(&mut asked).await.unwrap();
    let answers: Vec<_> = asked.answers().map(|(_, answer)| answer).collect();
    let exists = |kind| Existence::Exists { kind };
    assert_eq!(
        answers,
        [exists(MemberKind::User), exists(MemberKind::Group), Existence::Gone, Existence::Unknown]
    );
}
