//! Names that look alike, or are alike by some rule (T1, T4).

use identity_sync::{AttributeSchema, Guards, Kind, MatchRule, StoreCapabilities};
use proptest::prelude::*;

use crate::rich::able;
use crate::world::{World, record};

const RULES: [MatchRule; 3] = [MatchRule::Exact, MatchRule::AsciiCaseFold, MatchRule::NfkcCasefold];

proptest! {
    #[test]
    fn a_key_is_its_own_key_by_any_rule_whatever_the_text(
        texts in prop::collection::vec(
            prop_oneof![any::<String>(), "[ﬀﬁſKÅıIİißẞᴮᴵＡａÀàa\u{300}\u{200d}\u{ad} ]{0,6}"],
            2,
        )
    ) {
        // threat T4
        for rule in RULES {
            let keys: Vec<_> = texts.iter().map(|text| rule.key(text)).collect();
            for (text, key) in texts.iter().zip(&keys) {
                prop_assert_eq!(&rule.key(key.as_str()), key);
                // The finer rule never joins what the coarser one keeps apart.
                prop_assert_eq!(&rule.key(MatchRule::Exact.key(text).as_str()), key);
                prop_assert_eq!(key.as_str().trim(), key.as_str());
            }
        }
        // Byte for byte means that.
        let exact = |text: &String| MatchRule::Exact.key(text).as_str().to_owned();
        prop_assert_eq!(exact(&texts[0]) == exact(&texts[1]), texts[0].trim() == texts[1].trim());
    }
}

/// Pairs of names, and whether `NfkcCasefold` holds them for one.
const PAIRS: [(&str, &str, bool); 24] = [
    ("Bob", "bob", true),
    ("straße", "STRASSE", true),
    ("straße", "straẞe", true),
    ("mıke", "mike", false),
    ("İstanbul", "istanbul", false),
    ("İstanbul", "i\u{307}stanbul", true),
    ("ſam", "sam", true),
    ("\u{212a}im", "kim", true),
    ("\u{212b}sa", "åsa", true),
    ("ﬀion", "ffion", true),
    ("ﬁn", "FIN", true),
    ("ａｄａ", "ada", true),
    ("ᴮᴵᴳᴮᴵᴿᴰ", "bigbird", true),
    ("ⅳan", "ivan", true),
    ("zo\u{eb}", "zoe\u{308}", true),
    ("zoe", "zoë", false),
    ("a\u{200d}da", "ada", false),
    ("a\u{200c}da", "ada", false),
    ("a\u{ad}da", "ada", false),
    ("a\u{202e}da", "ada", false),
    ("ada ", " ada", true),
    ("ada\u{a0}", "ada", true),
    ("ada  b", "ada b", false),
    ("\u{430}da", "ada", false), // Cyrillic
];

fn named(rule: MatchRule) -> StoreCapabilities {
    let mut store = able();
    store.users.insert("userName".to_owned(), AttributeSchema::unique(rule).required());
    store
}

#[test]
fn the_table_of_pairs_is_told_apart_or_held_for_one_as_it_says() {
    // threat T4
    for (one, other, same) in PAIRS {
        let [left, right] = [one, other].map(|name| MatchRule::NfkcCasefold.key(name));
        assert_eq!(left == right, same, "{one:?} {other:?}: {left:?} {right:?}");
    }
}

#[test]
fn no_pair_makes_two_records_of_one_name_nor_one_of_two_people_by_any_rule_in_any_order() {
    // threat T4
    for rule in RULES {
        for (one, other, _) in PAIRS {
            let same = rule.key(one) == rule.key(other);
            for [first, second] in [[one, other], [other, one]] {
                // Both new.
                let mut w = World::with_store(named(rule));
                w.user("1").set("userPrincipalName", first);
                w.user("2").set("userPrincipalName", second);
                w.assign("1 2");
                assert!(w.run().is_success());
                assert_eq!(
                    w.store.state().users.len(),
                    if same { 0 } else { 2 },
                    "{rule:?} {first:?} {second:?}"
                );
                assert!(w.plan().is_empty());
                // One is there already and keeps its name; the other is nobody's heir.
                let mut w = World::with_store(named(rule));
                w.user("1").set("userPrincipalName", first);
                w.assign("1");
                w.sync();
                w.user("2").set("userPrincipalName", second);
                w.assign("2");
                assert!(w.run().is_success());
                let state = w.store.state();
                assert_eq!(state.users.len(), if same { 1 } else { 2 }, "{rule:?} {first:?} {second:?}");
                assert!(state.users.values().all(|user| user.external_ids.len() == 1));
                let keys: std::collections::BTreeSet<_> =
                    state.users.values().map(|user| rule.key(&user.attributes["userName"][0])).collect();
                assert_eq!(keys.len(), state.users.len());
            }
        }
    }
}

#[test]
fn anchors_that_look_alike_are_never_one_object() {
    // threat T4: ids are bytes
    for (one, other, _) in PAIRS {
        let mut w = World::new();
        for (number, anchor) in [one, other].into_iter().enumerate() {
            w.user(anchor).set("userPrincipalName", &format!("u{number}"));
            let link = identity_sync::ExternalId::new("corp", anchor);
            w.assigned.principals.insert(identity_sync::Principal::External(link));
        }
        w.sync();
        assert_eq!(w.store.state().users.len(), 2, "{one:?} {other:?}");
    }
}

#[test]
fn whoever_takes_the_name_of_an_administrator_gets_nothing_of_his_in_any_spelling() {
    // threats T1, T4: with and without soft match by a name that the attacker may choose
    let spellings = ["root", "ROOT", "ｒｏｏｔ", " root", "root\u{a0}", "ʳoot", "rºot"];
    for spelling in spellings {
        for adopt in [false, true] {
            let mut w = World::with_store(able());
            w.options.guards = Guards::off();
            if adopt {
                w.options.soft_match.users.insert("userName".to_owned());
                w.options.protected.names.insert("root".to_owned());
            }
            w.put(Kind::User, "R", record(&[("userName", "root")]));
            w.put(Kind::Group, "A", record(&[("displayName", "admins")]));
            w.put_member("A", "R");
            w.user("evil").set("userPrincipalName", spelling);
            w.assign("evil");
            w.run();
            let state = w.store.state();
            assert_eq!(state.users["R"], record(&[("userName", "root")]), "{spelling:?}");
            assert_eq!(state.groups["A"].members, ["R".to_owned()].into());
        }
    }
}
