//! Streams the input as the contenders do, ids made into text, and keeps nothing.

use std::error::Error;
use std::hint::black_box;

use super::Meter;
use crate::data::{Case, Guid, Input};

pub(crate) fn run(input: &Input<'_>, case: Case, meter: &mut Meter) -> Result<(), Box<dyn Error>> {
    let id = |number: u32| {
        black_box(Guid::anchor(number).as_str());
    };
    let mut users = input.users()?;
    while users.advance()? {
        id(users.number);
    }
    let mut groups = input.groups()?;
    while groups.advance()? {
        id(groups.number);
        groups.members.iter().copied().for_each(id);
    }
    input.assigned()?.into_iter().for_each(id);
    meter.step("read the directory")?;
    if case.has_store() {
        let mut users = input.stored_users()?;
        while users.advance()? {
            id(users.number);
            id(users.number);
        }
        let mut groups = input.stored_groups()?;
        while groups.advance()? {
            id(groups.number);
            id(groups.number);
            groups.members.iter().copied().for_each(id);
        }
    }
    meter.step("read the store")?;
    Ok(())
}
