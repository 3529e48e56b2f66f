//! Just-in-time users: one identity, at each authentication (rules J1–J4).

use std::collections::BTreeSet;

use crate::apply::{ApplyOptions, ApplyReport, apply};
use crate::graph::{Class, Graph};
use crate::host::{Boxed, Host, Reading};
use crate::id::{ExternalId, SourceAnchor, StoreId};
use crate::links::Links;
use crate::model::{AccountState, Completeness, Kind, Origin};
use crate::options::{Deprovision, Extent, Options, UserGrace};
use crate::plan::Plan;
use crate::planner::{How, begin, check_required, decide};
use crate::read::{Pages, ReadError, ask, in_time, read_users};
use crate::reconcile::ReconcileError;
use crate::run::Run;
use crate::scope::Scope;
use crate::snapshot::{SourceSnapshot, StoreSnapshot, StoreSnapshotBuilder};
use crate::source::{DirectorySource, Select};
use crate::store::{Activation, IdentityStore, StoreSelect, StoredUserPage};
use crate::trace::{self, Step};
use crate::value::Rules;

/// What came of a sign-in.
#[derive(Debug)]
#[non_exhaustive]
pub struct SignIn {
    /// The user's record, where exactly one carries the anchor now.
    pub record: Option<StoreId>,
    /// Whether that record is active **and** the directory knows the account as enabled. Let nobody in without this.
    pub allowed: bool,
    /// What was planned, with its diagnostics.
    pub plan: Plan,
    /// What came of it. What is remembered is not changed by a sign-in: its `run` need not be kept.
    pub report: ApplyReport,
}

/// Looks after one user who signs in: makes its record (origin `Jit`, no memberships), updates its mapped attributes, makes
/// it active again; a disabled or deleted account is made inactive, never created. Reads and writes.
///
/// Cost: one object, where the source can select by anchor; else one read of all users.
///
/// Where the store keeps external ids unique, this may run beside a reconcile: one record comes out. Where it does not, the
/// host must hold a lock around both (rule J4).
///
/// # Errors
///
/// A side could not be read, or the plan does not fit the store, as where the map requires what the store has no place for
/// ([`PlanError::NoPlace`](crate::PlanError::NoPlace)). Failures of the writes are in the report.
pub async fn sign_in<D, S>(
    directory: &D,
    store: &S,
    anchor: &SourceAnchor,
    options: &Options,
    run: &Run,
    host: &Host<'_>,
) -> Result<SignIn, ReconcileError>
where
    D: DirectorySource + ?Sized,
    S: IdentityStore + ?Sized,
{
    boxed(&directory, &store, anchor, options, run, host).await
}

/// Compiled with this crate, as the read of a reconcile is.
fn boxed<'a>(
    directory: &'a dyn DirectorySource,
    store: &'a dyn IdentityStore,
    anchor: &'a SourceAnchor,
    options: &'a Options,
    run: &'a Run,
    host: &'a Host<'_>,
) -> Boxed<'a, Result<SignIn, ReconcileError>> {
    Box::pin(trace::within(Step::SignIn, look_after(directory, store, anchor, options, run, host)))
}

async fn look_after(
    directory: &dyn DirectorySource,
    store: &dyn IdentityStore,
    anchor: &SourceAnchor,
    options: &Options,
    run: &Run,
    host: &Host<'_>,
) -> Result<SignIn, ReconcileError> {
    let issuer = options.issuer.clone().unwrap_or_else(|| directory.identity());
    let capabilities = store.capabilities();
    check_required(Kind::User, &options.user_map, &capabilities)?;
    let mut options = options.clone();
    let off = match capabilities.activation {
        Activation::Supported => Deprovision::Deactivate,
        Activation::AlwaysActive => Deprovision::Keep,
    };
    options.users.deleted_in_source = off;
    options.users.disabled_in_source = Deprovision::Deactivate;
    // A sign-in is about one identity, now: nothing waits. Soft match and the release of names are for reconciles alone.
    options.users.grace = UserGrace::default();
    options.extent = Extent::Full;

    let link = ExternalId { issuer: issuer.clone(), value: anchor.clone() };
    let (reading, options) = (Reading::default(), &options);
    let read = in_time(*host, &reading, async |host| {
        let source = read_one(directory, anchor, options, &host).await?;
        let stored = read_records(store, &source, &link, options, &host).await?;
        Ok((source, stored))
    });
    let (source, stored) = trace::within(Step::Snapshot, read).await?;
    let memory = begin(run, &issuer, &stored, &source.0.identity)?.idle(run);
    let links = Links::new(&source.0, &stored.0, &issuer);
    let graph = Graph::new(&links, options);
    let node = links.find(anchor.as_str());
    let state = node.and_then(|node| crate::correlate::state(&links, node));
    let mut entitled = vec![false; links.nodes()];
    if let (Some(node), true) = (node, state != Some(AccountState::Disabled)) {
        entitled[node as usize] = graph.classes[node as usize] == Class::User;
    }
    let scope = Scope {
        entitled,
        assigned: Vec::new(),
        provable: false,
        resolves: true,
        by_sign_in: true,
        diagnostics: Vec::new(),
    };
    let how = How { issuer: &issuer, run, origin: Origin::Jit, evidence: None };
    let plan = decide(&graph, &scope, options, memory, how)?;
    let report = apply(&plan, store, &ApplyOptions::default(), host).await?;
    let found = in_time(*host, &reading, async |host| find_record(store, &link, options, &host).await);
    let record = found.await?;
    let active = record.as_ref().is_some_and(|(_, active)| *active);
    let allowed = active && state == Some(AccountState::Enabled);
    Ok(SignIn { record: record.map(|(id, _)| id), allowed, plan, report })
}

/// The one user as the directory knows it now.
async fn read_one(
    directory: &dyn DirectorySource,
    anchor: &SourceAnchor,
    options: &Options,
    host: &Host<'_>,
) -> Result<SourceSnapshot, ReadError> {
    let capabilities = directory.capabilities();
    let wanted = [anchor.clone()];
    let select = if capabilities.select.is_some() { Select::Anchors(&wanted) } else { Select::All };
    let can_ask = capabilities.existence;
    let mut builder = SourceSnapshot::builder(directory.identity(), capabilities)
        .limits(options.limits)
        .only_mapped(options)
        .only(anchor);
    read_users(directory, &mut builder, select, options, host).await?;
    // Neither read is told to have ended: nobody but this one was asked for, so that absence of anybody else means nothing.
    let unread = !builder.has_row(Kind::User, anchor.as_str());
    let snapshot = builder.finish();
    if unread && can_ask { ask(directory, snapshot, &wanted, options, host).await } else { Ok(snapshot) }
}

/// The user's record, and whoever has a unique value that it shall have.
async fn read_records(
    store: &dyn IdentityStore,
    source: &SourceSnapshot,
    link: &ExternalId,
    options: &Options,
    host: &Host<'_>,
) -> Result<StoreSnapshot, ReadError> {
    let mut builder = StoreSnapshot::builder(store.capabilities()).limits(options.limits).overlapping();
    let links = [link.clone()];
    read_selected(store, &mut builder, StoreSelect::ExternalIds(&links), options, host).await?;
    let mut wanted: BTreeSet<(String, String)> = BTreeSet::new();
    let empty = crate::attributes::AttributeTable::default();
    let capabilities = store.capabilities();
    let rules = Rules::new(Kind::User, &options.user_map, &capabilities, &source.0.user_attributes, &empty);
    for user in 0..source.0.users.len() {
        for rule in rules.rules.iter().filter(|rule| rule.schema.unique) {
            let desired = rule.desired(source.0.user_row(user));
            wanted.extend(desired.values().map(|value| (rule.target.to_owned(), value.to_owned())));
        }
    }
    for (attribute, value) in &wanted {
        let select = StoreSelect::UniqueValue { attribute, value };
        read_selected(store, &mut builder, select, options, host).await?;
    }
    Ok(builder.finish(Completeness::Complete))
}

async fn read_selected(
    store: &dyn IdentityStore,
    builder: &mut StoreSnapshotBuilder,
    select: StoreSelect<'_>,
    options: &Options,
    host: &Host<'_>,
) -> Result<(), ReadError> {
    const WHAT: &str = "store records";
    let mut pages = Pages::new(WHAT, options, host);
    let mut page = StoredUserPage::default();
    loop {
        page.clear();
        match store.read_users(select, pages.at.as_ref(), &mut page).await {
            Ok(end) => {
                builder.users(&page)?;
                match pages.end(end, page.size()).await? {
                    Some(Completeness::Complete) => return Ok(()),
                    Some(Completeness::Partial { reason }) => {
                        let source = crate::StoreError::new(crate::ErrorKind::Permanent, reason);
                        return Err(ReadError::Adapter { what: WHAT, source });
                    }
                    None => {}
                }
            }
            Err(error) => pages.again(error).await?,
        }
    }
}

/// The one record that carries the link, and whether it is active.
async fn find_record(
    store: &dyn IdentityStore,
    link: &ExternalId,
    options: &Options,
    host: &Host<'_>,
) -> Result<Option<(StoreId, bool)>, ReadError> {
    let mut builder = StoreSnapshot::builder(store.capabilities());
    let links = [link.clone()];
    read_selected(store, &mut builder, StoreSelect::ExternalIds(&links), options, host).await?;
    let found = builder.finish(Completeness::Complete);
    match found.0.users.as_slice() {
        [one] => Ok(Some((StoreId::from(found.0.id(one)), one.active))),
        _ => Ok(None),
    }
}
