//! Writes histories: mostly quiet days, with what goes wrong in real directories now and then.

use super::super::r#gen::{self, Rng, external, mapped, member, new_user};
use super::super::world::*;
use super::edits::{Edit, Proof, RecordKind, StoreMember, apply_edit};
use super::{Approve, History, How, RunStep, Step};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// The history of a seed.
pub fn history(seed: u64) -> History {
    let mut rng = Rng(seed ^ 0x6869_7374_6F72_7921);
    let start = r#gen::calm(&mut rng);
    let left = Vec::new();
    let hired = start.source.users.len();
    let mut script = Script { rng, world: start.clone(), left, hired, steps: Vec::new() };
    script.run();
    for _ in 0..4 + script.rng.below(8) {
        script.day();
    }
    History { start, steps: script.steps }
}

struct Script {
    rng: Rng,
    /// The directory as it will be at this point; its store is that of the start.
    world: World,
    /// Rows that were deleted or hidden.
    left: Vec<UserRow>,
    hired: usize,
    steps: Vec<Step>,
}

impl Script {
    fn edit(&mut self, edit: Edit) {
        apply_edit(&mut self.world, &edit);
        self.steps.push(Step::Edit(edit));
    }

    fn day(&mut self) {
        match self.rng.below(20) {
            0 => self.tug_of_war(),
            1 => self.bad_read(),
            2 => self.pause(),
            3 => self.other_source(),
            4 | 5 => self.name_reuse(),
            6 if self.rng.chance(50) => self.steps.push(Step::Forget),
            7 => self.change_options(),
            _ => {}
        }
        for _ in 0..self.rng.pick(&[0, 1, 1, 2, 3]) {
            self.directory_edit();
        }
        if self.rng.chance(30) {
            self.store_edit();
        }
        if self.world.options.soft_match != SoftMatch::default() && self.rng.chance(15) {
            self.unlink();
        }
        self.wait();
        self.run();
        if self.rng.chance(20) {
            self.steps.push(Step::Wait(self.rng.pick(&[60, HOUR])));
            self.run();
        }
    }

    fn wait(&mut self) {
        let waits = [HOUR, 4 * HOUR, 12 * HOUR, DAY, DAY, 3 * DAY, 8 * DAY, 30 * DAY];
        let back = [-60, -HOUR, -2 * DAY];
        let seconds = if self.rng.chance(6) { self.rng.pick(&back) } else { self.rng.pick(&waits) };
        self.steps.push(Step::Wait(seconds));
    }

    fn run(&mut self) {
        let extent = if self.rng.chance(12) { Extent::NewEntitlements } else { Extent::Full };
        let approve = match self.rng.below(20) {
            0..5 => Approve::All,
            5..9 => Approve::Part(self.rng.next()),
            9..11 => Approve::Again,
            _ => Approve::None,
        };
        let how = match self.rng.below(20) {
            0..3 => How::Cut(self.rng.below(5)),
            3..6 => How::Dry { remember: self.rng.chance(70) },
            _ => How::Whole,
        };
        self.steps.push(Step::Run(RunStep { extent, approve, how }));
    }

    fn run_whole(&mut self) {
        let run = RunStep { extent: Extent::Full, approve: Approve::None, how: How::Whole };
        self.steps.push(Step::Run(run));
    }

    // ---- The directory and the assignments -----------------------------------------------------------------

    fn user(&mut self) -> Option<UserRow> {
        let index = self.rng.below(self.world.source.users.len());
        self.world.source.users.get(index).cloned()
    }

    fn group(&mut self) -> Option<String> {
        let index = self.rng.below(self.world.source.groups.len());
        self.world.source.groups.get(index).map(|row| row.anchor.clone())
    }

    fn directory_edit(&mut self) {
        let Some(user) = self.user() else { return self.hire(None) };
        let anchor = user.anchor.clone();
        match self.rng.below(24) {
            0..4 => self.rename(anchor),
            4..6 => self.rename_group(),
            6..9 => self.join(&anchor),
            9..12 => {
                let listing = self.world.source.groups.iter().filter(|group| {
                    group.members.iter().any(|m| m.target == MemberTarget::Anchor(anchor.clone()))
                });
                let groups: Vec<String> = listing.map(|group| group.anchor.clone()).collect();
                for group in groups {
                    self.edit(Edit::RemoveMember { group, member: anchor.clone() });
                }
            }
            12..15 => self.leave(user),
            15 => self.restore(),
            16 | 17 => {
                let states = [AccountState::Disabled, AccountState::Disabled, AccountState::Unknown];
                let state = match user.state {
                    AccountState::Enabled => self.rng.pick(&states),
                    _ => AccountState::Enabled,
                };
                self.edit(Edit::SetState { anchor, state });
            }
            18 => {
                let answered = self.rng.chance(60);
                self.left.push(user);
                self.edit(Edit::Hide { anchor, kind: KindHint::User, answered });
            }
            19 => self.hire(None),
            20 => self.drop_group(),
            21 => self.swap(user),
            _ => self.assign(anchor),
        }
    }

    fn rename(&mut self, anchor: String) {
        let name = self.rng.pick(&["nina", "olaf", "pia", "zoë", "Bob", "anna", "EVE"]);
        let attribute = self.rng.pick(&["upn", "upn", "mail", "sn", "title", "givenName"]).to_owned();
        let value = if attribute == "mail" { format!("{name}@example.org") } else { name.to_owned() };
        let values = if self.rng.chance(15) { Vec::new() } else { vec![value] };
        self.edit(Edit::SetUserAttribute { anchor, attribute, values });
    }

    /// Two people swap their names (rule P6).
    fn swap(&mut self, one: UserRow) {
        let Some(other) = self.user() else { return };
        for attribute in ["upn", "mail"] {
            let of = |row: &UserRow| row.attributes.get(attribute).cloned().unwrap_or_default();
            let (mine, theirs) = (of(&one), of(&other));
            for (anchor, values) in [(&one.anchor, theirs), (&other.anchor, mine)] {
                let (anchor, attribute) = (anchor.clone(), attribute.to_owned());
                self.edit(Edit::SetUserAttribute { anchor, attribute, values });
            }
        }
    }

    fn rename_group(&mut self) {
        let Some(anchor) = self.group() else { return };
        let name = self.rng.pick(&["crew", "band", "Büro", "staff", "ops"]);
        let attribute = self.rng.pick(&["cn", "cn", "description"]).to_owned();
        self.edit(Edit::SetGroupAttribute { anchor, attribute, values: vec![name.to_owned()] });
    }

    fn join(&mut self, anchor: &str) {
        match self.group() {
            Some(group) => self.edit(Edit::AddMember { group, member: member(anchor, KindHint::User) }),
            None => self.edit(Edit::Assign(external(anchor))),
        }
    }

    fn assign(&mut self, user: String) {
        let anchor = if self.rng.chance(60) { self.group().unwrap_or(user) } else { user };
        let principal = external(&anchor);
        let assigned = self.world.assignments.principals.contains(&principal);
        if !assigned {
            self.edit(Edit::Assign(principal));
        } else if self.world.assignments.principals.len() > 1 {
            self.edit(Edit::Unassign(principal));
        }
    }

    fn leave(&mut self, user: UserRow) {
        if self.world.source.users.len() < 2 {
            return;
        }
        let proof = self.rng.pick(&[Proof::Tombstone, Proof::Tombstone, Proof::LookUp, Proof::None]);
        self.edit(Edit::Delete { anchor: user.anchor.clone(), proof });
        self.left.push(user);
    }

    fn drop_group(&mut self) {
        if let Some(anchor) = self.group().filter(|_| self.world.source.groups.len() > 1) {
            let proof = self.rng.pick(&[Proof::Tombstone, Proof::LookUp, Proof::None]);
            self.edit(Edit::Delete { anchor, proof });
        }
    }

    /// The same anchor comes back, with its old row.
    fn restore(&mut self) {
        if self.left.is_empty() {
            return;
        }
        let row = self.left.swap_remove(self.rng.below(self.left.len()));
        let anchor = row.anchor.clone();
        self.edit(Edit::AddUser(row));
        self.join(&anchor);
    }

    /// Somebody new, perhaps with the names of somebody else.
    fn hire(&mut self, names_of: Option<&UserRow>) {
        let mut row = new_user(&mut self.rng, self.hired);
        self.hired += 1;
        if self.rng.chance(30) {
            row.anchor.push_str("-0123456789abcdef0123456789abcdef");
        }
        if let Some(old) = names_of {
            row.attributes = old.attributes.clone();
        }
        let anchor = row.anchor.clone();
        self.edit(Edit::AddUser(row));
        self.join(&anchor);
        if self.rng.chance(30) {
            self.edit(Edit::Assign(external(&anchor)));
        }
    }

    /// Somebody leaves, or only leaves the scope with another name, and his name is given to somebody new.
    fn name_reuse(&mut self) {
        let Some(user) = self.user() else { return };
        let anchor = user.anchor.clone();
        if self.rng.chance(60) {
            self.leave(user.clone());
        } else {
            self.rename(anchor.clone());
            let groups: Vec<String> = self.world.source.groups.iter().map(|row| row.anchor.clone()).collect();
            for group in groups {
                self.edit(Edit::RemoveMember { group, member: anchor.clone() });
            }
            if self.world.assignments.principals.len() > 1 {
                self.edit(Edit::Unassign(external(&anchor)));
            }
        }
        if self.rng.chance(50) {
            self.wait();
            self.run();
        }
        self.hire(Some(&user));
    }

    // ---- The store, by other hands -------------------------------------------------------------------------

    /// Anchors of people, the departed among them.
    fn anyone(&mut self) -> Option<UserRow> {
        let all: Vec<&UserRow> = self.world.source.users.iter().chain(&self.left).collect();
        let index = self.rng.below(all.len());
        all.get(index).map(|row| (*row).clone())
    }

    fn target(&mut self) -> Option<String> {
        let map = &self.world.options.user_map;
        let index = self.rng.below(map.len());
        map.get(index).map(|line| line.target.clone())
    }

    fn store_edit(&mut self) {
        let Some(user) = self.anyone() else { return };
        let anchor = user.anchor.clone();
        let user_record = RecordKind::User;
        match self.rng.below(12) {
            0 | 1 => {
                let Some(attribute) = self.target() else { return };
                let values = vec![format!("by hand {}", self.rng.below(3))];
                self.edit(Edit::StoreAttribute { kind: user_record, anchor, attribute, values });
            }
            2 | 3 => {
                let active = self.rng.chance(25);
                self.edit(Edit::StoreActive { anchor, active });
            }
            4 => {
                let Some(group) = self.group() else { return };
                let member = match self.rng.chance(60) {
                    true => StoreMember::Managed(anchor),
                    false => StoreMember::Unmanaged("m0".to_owned()),
                };
                self.edit(Edit::StoreAddMember { group, member });
            }
            5 => {
                let Some(group) = self.group() else { return };
                self.edit(Edit::StoreRemoveMember { group, member: anchor });
            }
            6 => self.edit(Edit::StoreDelete { kind: user_record, anchor }),
            7 => {
                let Some(group) = self.group() else { return };
                self.edit(Edit::StoreDelete { kind: RecordKind::Group, anchor: group });
            }
            8 => self.unlink(),
            _ => {
                if user.state == AccountState::Enabled {
                    let world = &self.world;
                    let attributes =
                        mapped(&world.options.user_map, &world.store.user_schema, &user.attributes);
                    self.edit(Edit::SignIn { anchor, attributes });
                }
            }
        }
    }

    /// A record loses its link, so that soft match may find it again.
    fn unlink(&mut self) {
        let group = self.group().filter(|_| self.rng.chance(30));
        let edit = match (group, self.user()) {
            (Some(anchor), _) => Edit::StoreUnlink { kind: RecordKind::Group, anchor },
            (None, Some(user)) => Edit::StoreUnlink { kind: RecordKind::User, anchor: user.anchor },
            (None, None) => return,
        };
        self.edit(edit);
    }

    /// Somebody sets a value back after every run (rule A4).
    fn tug_of_war(&mut self) {
        let (Some(user), Some(attribute)) = (self.user(), self.target()) else { return };
        for _ in 0..3 + self.rng.below(3) {
            let edit = Edit::StoreAttribute {
                kind: RecordKind::User,
                anchor: user.anchor.clone(),
                attribute: attribute.clone(),
                values: vec!["not yours".to_owned()],
            };
            self.edit(edit);
            self.steps.push(Step::Wait(self.rng.pick(&[HOUR, DAY])));
            self.run_whole();
        }
        if self.rng.chance(50) {
            self.rename(user.anchor);
        }
    }

    // ---- Reads, pauses, options ----------------------------------------------------------------------------

    fn bad_read(&mut self) {
        match self.rng.below(4) {
            0 => {
                let (users, groups) = self.rng.pick(&[(false, true), (true, false), (false, false)]);
                self.edit(Edit::Completeness { users, groups });
                self.wait();
                self.run();
                self.edit(Edit::Completeness { users: true, groups: true });
            }
            1 => {
                self.edit(Edit::AssignmentsComplete(false));
                self.wait();
                self.run();
                self.edit(Edit::AssignmentsComplete(true));
            }
            _ => {
                let Some(user) = self.user() else { return };
                self.edit(Edit::Canary { user: user.anchor.clone(), on: true });
                if self.rng.chance(60) {
                    let anchor = user.anchor.clone();
                    self.edit(Edit::Hide { anchor, kind: KindHint::User, answered: false });
                    self.wait();
                    self.run();
                    self.edit(Edit::AddUser(user));
                }
            }
        }
    }

    fn pause(&mut self) {
        self.steps.push(Step::Pause);
        self.wait();
        if self.rng.chance(40) {
            self.run();
            self.wait();
        }
        self.steps.push(Step::Resume);
    }

    fn other_source(&mut self) {
        let identity = self.world.source.identity.clone();
        let before = self.world.source.generation.clone();
        let older = Generation { replica: "dc1".to_owned(), number: self.rng.below(20) as u64 };
        let other = Generation { replica: "dc2".to_owned(), number: 3 };
        let (next, generation) = match self.rng.below(6) {
            0 => ("another".to_owned(), before.clone()),
            1 => (identity.clone(), Some(other)),
            _ => (identity.clone(), Some(older)),
        };
        self.edit(Edit::Source { identity: next, generation });
        self.wait();
        self.run();
        if self.rng.chance(50) {
            self.steps.push(Step::AcceptSource);
            self.run();
        } else {
            self.edit(Edit::Source { identity, generation: before });
        }
    }

    fn change_options(&mut self) {
        match self.rng.below(4) {
            0 => {
                let mut guards = self.world.options.guards.clone();
                let floor = self.rng.below(3) as u64;
                let limits = [
                    &mut guards.user_deletes,
                    &mut guards.deactivations,
                    &mut guards.group_deletes,
                    &mut guards.removals_in_all,
                    &mut guards.removals_per_group,
                    &mut guards.clears_per_attribute,
                    &mut guards.adoptions,
                    &mut guards.grants,
                ];
                limits.into_iter().flatten().for_each(|limit| limit.floor = floor);
                self.edit(Edit::Limits(guards));
            }
            1 => {
                let (mut users, mut groups) = (self.world.options.users, self.world.options.groups);
                let all = [Deprovision::Keep, Deprovision::Deactivate, Deprovision::Delete];
                users.left_scope = self.rng.pick(&all);
                groups.left_scope = self.rng.pick(&all);
                users.grace.left_scope = self.rng.pick(&[0, 86_400]);
                self.edit(Edit::Policies { users, groups });
            }
            2 => {
                let reactivate = self.rng.pick(&[Reactivate::Always, Reactivate::OwnOnly]);
                self.edit(Edit::Reactivate(reactivate));
            }
            _ => {
                let removals = self.rng.pick(&[MemberRemovals::Never, MemberRemovals::Planned]);
                self.edit(Edit::MemberRemovals(removals));
            }
        }
    }
}
