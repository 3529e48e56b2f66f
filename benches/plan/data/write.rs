//! Lays a directory, its assignments and the store down in files.

use std::io;
use std::path::Path;

use super::rng::Rng;
use super::tape::Writer;
use super::world::World;
use super::{GROUP, MAPPED, Scale};

/// Writes all files of a scale.
pub(crate) fn generate(scale: Scale, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut world = World::new(scale);
    write_source(&world, folder, "yesterday")?;
    write_store(&world, folder)?;
    world.a_day_later();
    write_source(&world, folder, "today")
}

/// The places of `count` things in an order that helps nobody.
fn shuffled(count: usize, rng: &mut Rng) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).collect();
    rng.shuffle(&mut places);
    places
}

fn write_source(world: &World, folder: &Path, day: &str) -> io::Result<()> {
    let open = |what: &str| Writer::create(&folder.join(format!("{what}-{day}")));
    let mut out = open("users")?;
    for (number, user) in world.users.iter().enumerate().filter(|(_, user)| user.alive) {
        out.number(number as u32)?;
        out.texts(&user.values)?;
    }
    out.finish()?;
    let (mut out, children) = (open("groups")?, world.children());
    let mut members = Vec::new();
    let mut counted = (0, 0);
    for (number, group) in world.groups.iter().enumerate().filter(|(_, group)| group.alive) {
        members.clear();
        members.extend_from_slice(&group.members);
        members.extend(children[number].iter().map(|child| child | GROUP));
        counted = (counted.0 + members.len(), counted.1 + 1);
        out.number(number as u32 | GROUP)?;
        out.texts(&group.values)?;
        out.numbers(&members)?;
    }
    out.finish()?;
    let users = world.users.iter().enumerate().filter(|(_, user)| user.alive && user.assigned);
    let groups = world.groups.iter().enumerate().filter(|(_, group)| group.alive && group.assigned);
    let mut assigned: Vec<u32> = users.map(|(number, _)| number as u32).collect();
    assigned.extend(groups.map(|(number, _)| number as u32 | GROUP));
    Rng::new(7).shuffle(&mut assigned);
    let mut out = open("assigned")?;
    out.numbers(&assigned)?;
    out.finish()?;
    let alive = world.users.iter().filter(|user| user.alive).count();
    println!(
        "data\t{day}: {alive} users, {} groups, {} direct memberships ({} of groups), {} assigned",
        counted.1,
        counted.0,
        world.nested.len(),
        assigned.len()
    );
    Ok(())
}

/// The store as a sync of the directory leaves it, in another order.
fn write_store(world: &World, folder: &Path) -> io::Result<()> {
    let mut rng = Rng::new(99);
    let children = world.children();
    let mut entitled = vec![false; world.groups.len()];
    let mut queue: Vec<u32> =
        (0..world.groups.len() as u32).filter(|&g| world.groups[g as usize].assigned).collect();
    while let Some(group) = queue.pop() {
        if !std::mem::replace(&mut entitled[group as usize], true) {
            queue.extend(&children[group as usize]);
        }
    }
    let mut users: Vec<bool> = world.users.iter().map(|user| user.assigned).collect();
    let mut out = Writer::create(&folder.join("store-groups"))?;
    let (mut walked, mut seen) = (vec![u32::MAX; world.groups.len()], vec![u32::MAX; world.users.len()]);
    let mut flattened = 0;
    let mut members = Vec::new();
    for place in shuffled(world.groups.len(), &mut rng).into_iter().filter(|&group| entitled[group]) {
        let group = place as u32;
        members.clear();
        queue.push(group);
        while let Some(below) = queue.pop() {
            if std::mem::replace(&mut walked[below as usize], group) == group {
                continue;
            }
            queue.extend(&children[below as usize]);
            for &user in &world.groups[below as usize].members {
                if std::mem::replace(&mut seen[user as usize], group) != group {
                    users[user as usize] = true;
                    members.push(user);
                }
            }
        }
        rng.shuffle(&mut members);
        flattened += members.len();
        out.number(group | GROUP)?;
        out.texts(&world.groups[place].values)?;
        out.numbers(&members)?;
    }
    out.finish()?;
    let mut out = Writer::create(&folder.join("store-users"))?;
    for place in shuffled(world.users.len(), &mut rng).into_iter().filter(|&user| users[user]) {
        out.number(place as u32)?;
        out.texts(&world.users[place].values[..MAPPED])?;
    }
    out.finish()?;
    let count = |flags: &[bool]| flags.iter().filter(|&&flag| flag).count();
    println!("data\tstore: {} users, {} groups, {flattened} memberships", count(&users), count(&entitled));
    Ok(())
}
