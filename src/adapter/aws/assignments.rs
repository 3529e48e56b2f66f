//! Who was given access to accounts and applications.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_ssoadmin::Client;
use aws_sdk_ssoadmin::config::retry::RetryConfig;

use super::call::{Caller, Timeout};
use super::fault;
use super::pace::AwsPace;
use super::place::{At, Listed, Place, Stage};
use super::wire::Bounded;
use crate::assignment::{AssignmentPage, AssignmentSet};
use crate::error::{AssignmentError, ErrorKind};
use crate::id::StoreId;
use crate::model::Principal;
use crate::page::{PageEnd, PageToken};

/// Requests after which a page of the engine ends at the next account or application. Each page reads its place in the lists
/// again, which are two requests more.
const REQUESTS: usize = 25;

/// Items in a page of AWS.
const PAGE: i32 = 100;

/// Most assignments of one application, or of one permission set in one account, where AWS allows a hundred groups and any number of
/// users. They are in memory together (rule S1).
const MOST_ASSIGNMENTS: usize = 100_000;

/// Longest id of a principal, and longest page token, in bytes; the API allows 47 and 2,048.
const LONGEST_ID: usize = 256;
const LONGEST_TOKEN: usize = 4_096;

/// The set of assignments of an instance of IAM Identity Center: those of all permission sets in all accounts, and those of
/// all applications. See the [module](super#assignments).
#[derive(Clone, Debug)]
pub struct AwsAssignments {
    client: Client,
    instance: String,
    caller: Caller,
    scope: Scope,
}

/// What is looked at.
#[derive(Clone, Debug, Default)]
struct Scope {
    permission_sets: Option<BTreeSet<String>>,
    accounts: Option<BTreeSet<String>>,
    without_applications: bool,
}

impl AwsAssignments {
    /// The assignments of the instance with this ARN. The client's retries are switched off; this adapter tries again by itself.
    pub fn new(client: &Client, instance_arn: impl Into<String>) -> Self {
        let config =
            client.config().to_builder().retry_config(RetryConfig::disabled()).interceptor(Bounded).build();
        Self {
            client: Client::from_conf(config),
            instance: instance_arn.into(),
            caller: Caller::default(),
            scope: Scope::default(),
        }
    }

    /// Looks at no application. Who is assigned to applications only is then not entitled.
    #[must_use]
    pub fn accounts_only(mut self) -> Self {
        self.scope.without_applications = true;
        self
    }

    /// Looks at these accounts only, of all permission sets that are looked at. Who is assigned elsewhere only is then not
    /// entitled.
    #[must_use]
    pub fn only_accounts<T: Into<String>>(mut self, accounts: impl IntoIterator<Item = T>) -> Self {
        self.scope.accounts = Some(accounts.into_iter().map(Into::into).collect());
        self
    }

    /// Looks at the permission sets with these ARNs only; they are not listed then. Who is assigned by others only is then
    /// not entitled.
    #[must_use]
    pub fn only_permission_sets<T: Into<String>>(mut self, arns: impl IntoIterator<Item = T>) -> Self {
        self.scope.permission_sets = Some(arns.into_iter().map(Into::into).collect());
        self
    }

    /// Asks at this pace, in place of 20 requests a second of its own.
    #[must_use]
    pub fn pace(mut self, pace: AwsPace) -> Self {
        self.caller.pace = pace;
        self
    }

    /// Waits so long for one answer, in place of 30 seconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.caller.timeout = Timeout(timeout);
        self
    }

    /// Reads from a place until enough was asked; answers the place where it goes on, `None` at the end.
    async fn read_from(
        &self,
        mut place: Place,
        page: &mut AssignmentPage,
    ) -> Result<Option<Place>, AssignmentError> {
        let mut requests = 0;
        if place.stage == Stage::PermissionSets {
            if !self.read_permission_sets(&mut place, &mut requests, page).await? {
                return Ok(Some(place));
            }
            place = Place { stage: Stage::Applications, ..Place::default() };
        }
        if self.scope.without_applications {
            return Ok(None);
        }
        let is_done = self.read_applications(&mut place, &mut requests, page).await?;
        Ok((!is_done).then_some(place))
    }

    /// Goes on in the permission sets; answers whether they are done.
    async fn read_permission_sets(
        &self,
        place: &mut Place,
        requests: &mut usize,
        page: &mut AssignmentPage,
    ) -> Result<bool, AssignmentError> {
        loop {
            let sets = self.permission_sets(&place.list, requests).await?;
            place.list.check("listing permission sets", &sets)?;
            while let Some(set) = sets.items.get(place.list.done) {
                if !self.read_accounts(set, &mut place.accounts, requests, page).await? {
                    return Ok(false);
                }
                place.accounts = At::default();
                place.list.done += 1;
                if *requests >= REQUESTS {
                    return Ok(false);
                }
            }
            let Some(next) = sets.next else { return Ok(true) };
            place.list = At::page(next);
            if *requests >= REQUESTS {
                return Ok(false);
            }
        }
    }

    /// Goes on in the accounts of a permission set; answers whether they are done.
    async fn read_accounts(
        &self,
        set: &str,
        at: &mut At,
        requests: &mut usize,
        page: &mut AssignmentPage,
    ) -> Result<bool, AssignmentError> {
        loop {
            let accounts = self.accounts(set, at, requests).await?;
            at.check("listing the accounts of a permission set", &accounts)?;
            while let Some(account) = accounts.items.get(at.done) {
                if *requests >= REQUESTS {
                    return Ok(false);
                }
                if self.scope.accounts.as_ref().is_none_or(|only| only.contains(account)) {
                    self.read_account(set, account, requests, page).await?;
                }
                at.done += 1;
            }
            let Some(next) = accounts.next else { return Ok(true) };
            *at = At::page(next);
            if *requests >= REQUESTS {
                return Ok(false);
            }
        }
    }

    /// Goes on in the applications; answers whether they are done.
    async fn read_applications(
        &self,
        place: &mut Place,
        requests: &mut usize,
        page: &mut AssignmentPage,
    ) -> Result<bool, AssignmentError> {
        loop {
            if *requests >= REQUESTS {
                return Ok(false);
            }
            let applications = self.applications(&place.list, requests).await?;
            place.list.check("listing applications", &applications)?;
            while let Some(application) = applications.items.get(place.list.done) {
                if *requests >= REQUESTS {
                    return Ok(false);
                }
                self.read_application(application, requests, page).await?;
                place.list.done += 1;
            }
            let Some(next) = applications.next else { return Ok(true) };
            place.list = At::page(next);
        }
    }

    /// A page of permission sets; where the host named them, they are one page.
    async fn permission_sets(&self, at: &At, requests: &mut usize) -> Result<Listed, AssignmentError> {
        const WHAT: &str = "listing permission sets";
        if let Some(only) = &self.scope.permission_sets {
            return Ok(Listed::new(only.iter().cloned().collect(), None));
        }
        *requests += 1;
        let request = || {
            let request = self.client.list_permission_sets().instance_arn(&self.instance);
            request.max_results(PAGE).set_next_token(at.token.clone()).send()
        };
        let answer = self.caller.ask(WHAT, request).await?;
        let items = answer.permission_sets.ok_or_else(|| fault::incomplete(WHAT, "list"))?;
        listed(WHAT, at, items, answer.next_token)
    }

    /// A page of the accounts that a permission set is provisioned to.
    async fn accounts(&self, set: &str, at: &At, requests: &mut usize) -> Result<Listed, AssignmentError> {
        const WHAT: &str = "listing the accounts of a permission set";
        *requests += 1;
        let request = || {
            let request = self.client.list_accounts_for_provisioned_permission_set();
            let request = request.instance_arn(&self.instance).permission_set_arn(set);
            request.max_results(PAGE).set_next_token(at.token.clone()).send()
        };
        let answer = self.caller.ask(WHAT, request).await?;
        let items = answer.account_ids.ok_or_else(|| fault::incomplete(WHAT, "list"))?;
        listed(WHAT, at, items, answer.next_token)
    }

    /// A page of applications.
    async fn applications(&self, at: &At, requests: &mut usize) -> Result<Listed, AssignmentError> {
        const WHAT: &str = "listing applications";
        *requests += 1;
        let request = || {
            let request = self.client.list_applications().instance_arn(&self.instance);
            request.max_results(PAGE).set_next_token(at.token.clone()).send()
        };
        let answer = self.caller.ask(WHAT, request).await?;
        let applications = answer.applications.ok_or_else(|| fault::incomplete(WHAT, "list"))?;
        let arns = applications.into_iter().map(|application| application.application_arn);
        let arns = arns.map(|arn| arn.filter(|arn| !arn.is_empty()));
        let arns = arns.collect::<Option<_>>().ok_or_else(|| fault::incomplete(WHAT, "application's arn"))?;
        listed(WHAT, at, arns, answer.next_token)
    }

    /// All assignments of a permission set in an account.
    async fn read_account(
        &self,
        set: &str,
        account: &str,
        requests: &mut usize,
        page: &mut AssignmentPage,
    ) -> Result<(), AssignmentError> {
        const WHAT: &str = "listing the assignments of an account";
        let mut list = List::new(WHAT, page);
        loop {
            *requests += 1;
            let request = || {
                let request = self.client.list_account_assignments().instance_arn(&self.instance);
                let request = request.permission_set_arn(set).account_id(account);
                request.max_results(PAGE).set_next_token(list.token.clone()).send()
            };
            let answer = self.caller.ask(WHAT, request).await?;
            let found = answer.account_assignments.ok_or_else(|| fault::incomplete(WHAT, "list"))?;
            let principals = found.into_iter().map(|assignment| assignment.principal_id);
            if list.add(principals, answer.next_token)? {
                return Ok(());
            }
        }
    }

    /// All assignments of an application.
    async fn read_application(
        &self,
        application: &str,
        requests: &mut usize,
        page: &mut AssignmentPage,
    ) -> Result<(), AssignmentError> {
        const WHAT: &str = "listing the assignments of an application";
        let mut list = List::new(WHAT, page);
        loop {
            *requests += 1;
            let request = || {
                let request = self.client.list_application_assignments().application_arn(application);
                request.max_results(PAGE).set_next_token(list.token.clone()).send()
            };
            let answer = self.caller.ask(WHAT, request).await?;
            let found = answer.application_assignments.ok_or_else(|| fault::incomplete(WHAT, "list"))?;
            let principals = found.into_iter().map(|assignment| Some(assignment.principal_id));
            if list.add(principals, answer.next_token)? {
                return Ok(());
            }
        }
    }
}

/// A page of a list, which must lead on.
fn listed(what: &str, at: &At, items: Vec<String>, next: Option<String>) -> Result<Listed, AssignmentError> {
    let listed = Listed::new(items, next);
    match &listed.next {
        Some(next) if Some(next) == at.token.as_ref() || next.len() > LONGEST_TOKEN => {
            Err(fault::repeated(what))
        }
        _ => Ok(listed),
    }
}

/// The assignments of one account or application, page by page.
struct List<'p> {
    what: &'static str,
    page: &'p mut AssignmentPage,
    /// Where it goes on.
    token: Option<String>,
    seen: BTreeSet<String>,
    added: usize,
}

impl<'p> List<'p> {
    fn new(what: &'static str, page: &'p mut AssignmentPage) -> Self {
        Self { what, page, token: None, seen: BTreeSet::new(), added: 0 }
    }

    /// Takes a page of principals, users or groups: their store ids say which. Answers whether it was the last one.
    fn add(
        &mut self,
        principals: impl IntoIterator<Item = Option<String>>,
        next: Option<String>,
    ) -> Result<bool, AssignmentError> {
        for principal in principals {
            // The SDK puts an empty text where there is none.
            let id = principal.filter(|id| !id.is_empty() && id.len() <= LONGEST_ID);
            let id = id.ok_or_else(|| fault::incomplete(self.what, "usable id of a principal"))?;
            self.page.assign(Principal::Stored(StoreId::from(id)));
            self.added += 1;
        }
        if self.added > MOST_ASSIGNMENTS {
            let message = format!("{}: there are more than {MOST_ASSIGNMENTS}", self.what);
            return Err(AssignmentError::new(ErrorKind::Permanent, message));
        }
        self.token = next.filter(|token| !token.is_empty());
        match &self.token {
            None => Ok(true),
            // Each page counts, also one that is empty.
            Some(token)
                if token.len() > LONGEST_TOKEN
                    || self.seen.len() * 100 >= MOST_ASSIGNMENTS
                    || !self.seen.insert(token.clone()) =>
            {
                Err(fault::repeated(self.what))
            }
            Some(_) => Ok(false),
        }
    }
}

#[async_trait]
impl AssignmentSet for AwsAssignments {
    async fn read_assignments(
        &self,
        at: Option<&PageToken>,
        page: &mut AssignmentPage,
    ) -> Result<PageEnd, AssignmentError> {
        match self.read_from(Place::of(at)?, page).await? {
            Some(place) => Ok(PageEnd::More(place.token()?)),
            None => Ok(PageEnd::COMPLETE),
        }
    }
}
