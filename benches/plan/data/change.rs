//! What happens to a directory in a day: about one in a hundred of everything.

use super::rng::Rng;
use super::world::{Group, World, group, user};

/// Half of the difference goes, half comes.
const HALF: f64 = 0.005;

impl World {
    /// Makes today of yesterday.
    pub(crate) fn a_day_later(&mut self) {
        let mut rng = Rng::new(4711 + self.users.len() as u64);
        let (users, groups) = (self.users.len(), self.groups.len());
        for user in &mut self.users {
            if rng.chance(HALF) {
                user.alive = false;
            } else if rng.chance(2.0 * HALF) {
                for _ in 0..1 + rng.below(2) {
                    let attribute = rng.below(user.values.len());
                    user.values[attribute].push_str(&format!("~{}", rng.below(100)));
                }
            }
            user.assigned ^= rng.chance(0.0001);
        }
        for number in users..users + users / 200 {
            self.users.push(user(&mut rng, number));
            for _ in 0..8 {
                let group = rng.below(groups);
                self.groups[group].members.push(number as u32);
            }
        }
        for group in &mut self.groups {
            if rng.chance(HALF) {
                group.alive = false;
                group.members.clear();
            } else if rng.chance(2.0 * HALF) {
                let attribute = rng.below(group.values.len());
                group.values[attribute].push_str(" (renamed)");
            }
            group.assigned ^= rng.chance(0.001);
        }
        for number in groups..groups + groups / 200 {
            let members = (0..20).map(|_| rng.below(users) as u32).collect();
            self.groups.push(group(&mut rng, number, members));
        }
        self.change_members(&mut rng);
        self.change_nesting(&mut rng);
    }

    fn change_members(&mut self, rng: &mut Rng) {
        let Self { users, groups, .. } = self;
        let mut seen = vec![u32::MAX; users.len()];
        for (number, Group { members, .. }) in groups.iter_mut().enumerate().filter(|(_, group)| group.alive)
        {
            let joining = members.iter().filter(|_| rng.chance(HALF)).count();
            members.retain(|_| !rng.chance(HALF));
            members.extend((0..joining).map(|_| rng.below(users.len()) as u32));
            members.retain(|&user| {
                let new = std::mem::replace(&mut seen[user as usize], number as u32) != number as u32;
                new && users[user as usize].alive
            });
        }
    }

    fn change_nesting(&mut self, rng: &mut Rng) {
        let Self { groups, nested, .. } = self;
        let alive = |group: u32| groups[group as usize].alive;
        nested.retain(|&(parent, child)| alive(parent) && alive(child) && !rng.chance(HALF));
        for _ in 0..nested.len() / 200 {
            let (parent, child) = (rng.below(groups.len()) as u32, rng.below(groups.len()) as u32);
            if parent != child && alive(parent) && alive(child) {
                nested.insert((parent, child));
            }
        }
    }
}
