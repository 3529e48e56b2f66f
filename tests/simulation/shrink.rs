//! Makes a failing world smaller, as long as it fails.

use crate::common::r#gen;
use crate::common::world::World;

use super::fleet::guarded;
use super::run::Verdict;

/// Prints the smallest world found that fails, with the first thing that is wrong in it.
pub fn print(seed: u64, check: impl Fn(u64, &World) -> Verdict) {
    let fails = |world: &World| guarded(|| check(seed, world)).err();
    let first = fails(&r#gen::world(seed)).unwrap_or_default();
    let small =
        shrink(r#gen::world(seed), &|world| fails(world).is_some_and(|what| kind(&what) == kind(&first)));
    println!("shrunk world of seed {seed}: {}", fails(&small).unwrap_or_default());
    println!("{small:#?}");
    println!("as a file for tests/simulation/worlds: {}", serde_json::to_string(&small).unwrap_or_default());
}

/// What is wrong, without where: a smaller world must fail in the same way.
fn kind(what: &str) -> &str {
    let what = what.split_once("): ").map_or(what, |(_, what)| what);
    what.split(':').next().unwrap_or_default()
}

/// Leaves things out, one after the other, until nothing more can go.
pub fn shrink(mut world: World, fails: &dyn Fn(&World) -> bool) -> World {
    loop {
        let before = world.clone();
        for part in PARTS {
            let mut at = 0;
            loop {
                let mut smaller = world.clone();
                if !part(&mut smaller, at) {
                    break;
                }
                if smaller != world && fails(&smaller) {
                    world = smaller;
                } else {
                    at += 1;
                }
            }
        }
        if world == before {
            return world;
        }
    }
}

/// Leaves out the thing of one kind that has this number; `false`: there is none.
type Part = fn(&mut World, usize) -> bool;

fn remove<T>(list: &mut Vec<T>, at: usize) -> bool {
    let there = at < list.len();
    if there {
        list.remove(at);
    }
    there
}

fn remove_nested<'w, T: 'w>(lists: impl Iterator<Item = &'w mut Vec<T>>, mut at: usize) -> bool {
    for list in lists {
        if at < list.len() {
            list.remove(at);
            return true;
        }
        at -= list.len();
    }
    false
}

const PARTS: [Part; 11] = [
    |world, at| remove(&mut world.source.groups, at),
    |world, at| remove(&mut world.source.users, at),
    |world, at| remove(&mut world.store.groups, at),
    |world, at| remove(&mut world.store.users, at),
    |world, at| remove(&mut world.assignments.principals, at),
    |world, at| remove(&mut world.source.tombstones, at),
    |world, at| remove_nested(world.source.groups.iter_mut().map(|group| &mut group.members), at),
    |world, at| remove_nested(world.store.groups.iter_mut().map(|group| &mut group.members), at),
    |world, at| {
        let key = world.source.existence.keys().nth(at).cloned();
        key.is_some_and(|key| world.source.existence.remove(&key).is_some())
    },
    |world, at| {
        let key = world.source.users.iter().flat_map(|user| user.attributes.keys()).nth(at).cloned();
        key.is_some_and(|key| {
            world.source.users.iter_mut().for_each(|user| drop(user.attributes.remove(&key)));
            true
        })
    },
    |world, at| {
        let options = &mut world.options;
        match at {
            0 => options.protected_ids.clear(),
            1 => options.protected_anchors.clear(),
            2 => options.protected_names.clear(),
            3 => options.leaf_anchors.clear(),
            4 => options.leaf_texts.clear(),
            5 => options.canaries = Default::default(),
            6 => options.soft_match = Default::default(),
            7 => options.guards = Default::default(),
            8 => options.users.grace = Default::default(),
            9 => options.groups.grace = Default::default(),
            _ => return false,
        }
        true
    },
];

/// Which state of the sources fails.
pub fn commit() -> String {
    let said = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let text = said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned());
    text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_shrinks_to_what_makes_it_fail() {
        let world = r#gen::world(1);
        let wanted = world.source.users[0].anchor.clone();
        let small = shrink(world, &|world| world.source.users.iter().any(|user| user.anchor == wanted));
        assert_eq!((small.source.users.len(), small.source.groups.len(), small.store.users.len()), (1, 0, 0));
    }
}
