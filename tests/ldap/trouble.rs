//! Servers that refuse, cut short, break off, or talk nonsense.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use identity_sync::adapter::ldap::{LdapOptions, LdapSource, Security};
use identity_sync::{DirectorySource, ErrorKind, PageEnd, Read, Select, UserPage};

use crate::fake::{self, Fake, Say, element, texts};
use crate::{controller, last, options, source, user, users};

fn is_partial(end: &PageEnd) -> bool {
    matches!(end, PageEnd::Last(read) if !read.is_complete())
}

#[tokio::test]
async fn a_limit_or_a_referral_makes_the_read_partial_and_keeps_what_came() {
    // rule C1
    for code in [3, 4, 10, 11] {
        let (live, _fake) = source(move |_| vec![user(1), Say::Reference, last(code, b"")]).await;
        let (found, end) = users(&live).await.unwrap();
        assert_eq!(found.len(), 1);
        assert!(is_partial(&end), "{code}: {end:?}");
        assert_eq!(live.references(), 1);
    }
    let (live, _fake) = source(|_| vec![user(1), Say::Reference, last(0, b"")]).await;
    assert_eq!(users(&live).await.unwrap().1, PageEnd::COMPLETE, "references lead to other contexts");
}

#[tokio::test]
async fn a_size_limit_in_the_middle_of_the_pages_makes_the_read_partial() {
    // rule C1
    let (live, _fake) = source(|asked| match asked.cookie().as_slice() {
        b"" => vec![user(1), last(0, b"two")],
        _ => vec![user(2), last(4, b"three")],
    })
    .await;
    let (found, end) = users(&live).await.unwrap();
    assert_eq!(found.len(), 2);
    assert!(is_partial(&end));
}

#[tokio::test]
async fn a_page_that_does_not_say_whether_it_is_the_last_one_makes_the_read_partial() {
    // rule C1: somebody between us and the directory has taken the control of the answer away
    let (live, _fake) = source(|_| vec![user(1), Say::Done(0, None)]).await;
    let (found, end) = users(&live).await.unwrap();
    assert_eq!(found.len(), 1);
    assert!(is_partial(&end), "{end:?}");
}

#[tokio::test]
async fn each_refusal_is_an_error_of_its_kind() {
    // rules C1, X3
    for (code, kind) in [
        (1, ErrorKind::Permanent),
        (8, ErrorKind::Unauthorized),
        (12, ErrorKind::Unsupported),
        (32, ErrorKind::Invalid),
        (49, ErrorKind::Unauthorized),
        (50, ErrorKind::Unauthorized),
        (51, ErrorKind::Transient),
        (52, ErrorKind::Transient),
        (53, ErrorKind::Permanent),
    ] {
        let (live, _fake) = source(move |_| vec![user(1), last(code, b"")]).await;
        let error = users(&live).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{code}");
        assert!(error.to_string().contains(&format!("{code}: said so")), "{error}");
    }
}

#[tokio::test]
async fn a_page_that_a_busy_server_refused_can_be_asked_for_again() {
    // rule X3
    let tries = AtomicUsize::new(0);
    let (live, fake) = source(move |asked| match asked.cookie().as_slice() {
        b"" => vec![user(1), last(0, b"two")],
        _ if tries.fetch_add(1, Ordering::SeqCst) == 0 => vec![Say::Done(51, None)],
        _ => vec![user(2), last(0, b"")],
    })
    .await;
    let mut page = UserPage::default();
    let PageEnd::More(token) = live.read_users(Read::ALL, &mut page).await.unwrap() else {
        panic!("one page")
    };
    let at = Read::new(Select::All, Some(&token));
    page.clear();
    assert!(live.read_users(at, &mut page).await.is_err_and(|error| error.is_transient()));
    page.clear();
    assert_eq!(live.read_users(at, &mut page).await.unwrap(), PageEnd::COMPLETE);
    assert_eq!(page.users().count(), 1);
    // An answer that was lost on the way is given again, without asking anybody.
    page.clear();
    assert_eq!(live.read_users(at, &mut page).await.unwrap(), PageEnd::COMPLETE);
    assert_eq!(page.users().count(), 1);
    assert_eq!(fake.log.lock().unwrap().iter().filter(|asked| asked.cookie() == b"two").count(), 2);
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_an_error_and_no_panic() {
    // rule S1
    let nonsense: [Vec<u8>; 7] = [
        vec![0x30, 0x00],
        vec![0x02, 0x01, 0x05],
        element(0x30, &element(2, &[1])),
        element(0x30, &[element(2, &[2]), element(0x64, b"")].concat()),
        element(0x30, &[element(2, &[2]), element(0x64, &element(4, b"\xff\xff"))].concat()),
        element(0x30, &[element(2, &[2]), element(0x7e, b"x")].concat()),
        vec![0xff; 64],
    ];
    for octets in nonsense {
        // Message ids count up from 1 on each connection; the bind and three searches came before.
        for id in 4..7 {
            let mut octets = octets.clone();
            if octets.get(2..5).is_some_and(|head| head == [2, 1, 2]) {
                octets[4] = id;
            }
            let (live, _fake) = source(move |_| vec![Say::Octets(octets.clone()), Say::Close]).await;
            let error = users(&live).await.unwrap_err();
            assert!(!error.to_string().is_empty());
        }
    }
}

#[tokio::test]
async fn a_connection_that_breaks_off_in_an_entry_or_after_it_is_an_error() {
    // rule C1
    for octets in [vec![], vec![0x30, 0x84, 0, 0, 1, 0, 2, 1, 5, 0x64]] {
        let (live, _fake) = source(move |_| vec![user(1), Say::Octets(octets.clone()), Say::Close]).await;
        assert!(users(&live).await.is_err_and(|error| error.is_transient()));
    }
}

#[tokio::test]
async fn a_closed_connection_is_replaced_before_the_next_read() {
    let (live, fake) = source(|asked| match asked.mentions("computer") {
        true => vec![user(1), last(0, b"")],
        false => vec![Say::Close],
    })
    .await;
    users(&live).await.unwrap();
    // It ends a search of groups, and the next read of users begins on another one.
    assert!(crate::groups(&live).await.is_err());
    assert_eq!(users(&live).await.unwrap().0.len(), 1);
    assert!(fake.log.lock().unwrap().len() > 3);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let fake = Fake::start(|asked| controller(asked).unwrap_or_else(|| vec![Say::Silence])).await;
    let live = LdapSource::connect(options(&fake).timeout(Duration::from_secs(5))).await.unwrap();
    let begun = Instant::now();
    assert!(users(&live).await.is_err_and(|error| error.is_transient()));
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn more_than_was_asked_for_is_not_listened_to() {
    // rule S1
    let many = |_: &fake::Asked| (0..20).map(user).chain([last(0, b"")]).collect();
    let fake = Fake::start(move |asked| controller(asked).unwrap_or_else(|| many(asked))).await;
    let page = std::num::NonZeroU16::new(19).unwrap();
    let live = LdapSource::connect(options(&fake).page_size(page)).await.unwrap();
    assert_eq!(users(&live).await.unwrap_err().kind(), ErrorKind::Permanent);
    let page = std::num::NonZeroU16::new(20).unwrap();
    let live = LdapSource::connect(options(&fake).page_size(page)).await.unwrap();
    assert_eq!(users(&live).await.unwrap().0.len(), 20);
    let live = LdapSource::connect(options(&fake).answer_bytes(1_000)).await.unwrap();
    assert_eq!(users(&live).await.unwrap_err().kind(), ErrorKind::Permanent);
}

#[tokio::test]
async fn a_long_name_of_many_empty_values_counts_once_for_each() {
    // rule S1: each value is held with the name of its attribute, so that 30 kB would become 10 MB here
    let name: &'static str = Box::leak("n".repeat(10_000).into_boxed_str());
    let entry = Say::Entry("CN=x,DC=corp,DC=example,DC=com", vec![(name, vec![Vec::new(); 1_000])]);
    let fake = Fake::start(move |asked| {
        controller(asked).unwrap_or_else(|| vec![user(1), entry.clone(), last(0, b"")])
    })
    .await;
    let live = LdapSource::connect(options(&fake).answer_bytes(5_000_000)).await.unwrap();
    let error = users(&live).await.unwrap_err();
    assert_eq!(error.to_string(), "the directory sent an answer beyond its bound");
}

#[tokio::test]
async fn a_controller_that_has_not_caught_up_gives_partial_reads() {
    // rule C1
    let fake = Fake::start(|asked| {
        let mut answer = controller(asked).unwrap_or_else(|| vec![user(1), last(0, b"")]);
        if let Some(Say::Entry("", attributes)) = answer.first_mut() {
            attributes.push(("isSynchronized", texts(&["FALSE"])));
        }
        answer
    })
    .await;
    let live = LdapSource::connect(options(&fake)).await.unwrap();
    assert!(!live.server().synchronized);
    assert!(is_partial(&users(&live).await.unwrap().1));
}

#[tokio::test]
async fn nothing_is_sent_in_the_clear_unless_the_host_says_so() {
    // rule S2
    let fake = Fake::start(|asked| controller(asked).unwrap_or_default()).await;
    // The server knows no StartTLS; without TLS nobody binds.
    let tls = LdapOptions::new(fake.url(), "reader", "pass-w0rd").connect_timeout(Duration::from_secs(2));
    assert!(LdapSource::connect(tls).await.is_err());
    assert!(fake.log.lock().unwrap().is_empty());
    for (url, security) in [
        ("ldaps://127.0.0.1:1", Some(Security::PlainText)),
        ("ldaps://127.0.0.1:1", Some(Security::StartTls)),
        ("ldap://127.0.0.1:1", Some(Security::Ldaps)),
        ("http://127.0.0.1:1", None),
        ("127.0.0.1", None),
        ("ldaps://127.0.0.1:3269", None),
        ("ldap://127.0.0.1:3268/", Some(Security::StartTls)),
    ] {
        let mut wrong = LdapOptions::new(url, "reader", "pass-w0rd");
        if let Some(security) = security {
            wrong = wrong.security(security);
        }
        let error = LdapSource::connect(wrong).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{url} {security:?}");
    }
    for (account, password) in [("", "x"), ("reader", "")] {
        let nobody = LdapOptions::new("ldaps://127.0.0.1:1", account, password);
        assert_eq!(LdapSource::connect(nobody).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn a_base_that_the_account_may_not_see_is_an_error() {
    // rule C1
    let fake = Fake::start(|asked| match asked.base.as_str() {
        "" => controller(asked).unwrap(),
        _ => vec![Say::Done(0, None)],
    })
    .await;
    let error = LdapSource::connect(options(&fake)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
}

#[test]
fn outside_a_runtime_connecting_is_an_error_and_no_panic() {
    let options = LdapOptions::new("ldap://127.0.0.1:1", "reader", "x").security(Security::PlainText);
    let error = pollster::block_on(LdapSource::connect(options)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
