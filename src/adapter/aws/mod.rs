//! AWS IAM Identity Center: who was given access there, and its identity store (feature `aws`).
//!
//! ```no_run
//! use identity_sync::adapter::aws::{AwsAssignments, AwsReader, AwsStore};
//! use identity_sync::adapter::scim::{ScimOptions, ScimStore, Token};
//!
//! # async fn example(
//! #     identity_center: aws_sdk_ssoadmin::Client,
//! #     identity_store: aws_sdk_identitystore::Client,
//! #     token: String,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! // Both clients are the host's, with its credentials and region: `Client::new(&aws_config)`.
//! let assignments = AwsAssignments::new(&identity_center, "arn:aws:sso:::instance/ssoins-0123456789abcdef");
//! let reader = AwsReader::new(&identity_store, "d-0123456789");
//! let endpoint = "https://scim.eu-central-1.amazonaws.com/0a1b2c3d/scim/v2";
//! let writer = ScimStore::connect(ScimOptions::aws_identity_center(endpoint, Token::new(token))).await?;
//! let store = AwsStore::new(reader, writer);
//! # let _ = (assignments, store);
//! # Ok(())
//! # }
//! ```
//!
//! Everything here needs a Tokio runtime with time, which the host provides.
//!
//! # Why two halves
//!
//! AWS's SCIM endpoint cannot list: it tells no members, and older ones give fifty users and no more. The Identity Store API
//! lists everything, and cannot write what matters: no operation of it sets external ids or a user's status, in the API of
//! November 2026 as before. So [`AwsReader`] reads through the Identity Store API, a
//! [`ScimStore`](crate::adapter::scim::ScimStore) writes, and [`AwsStore`] joins the two.
//!
//! *Assumption*: both show one store, under the same ids (SCIM `id` is `UserId` or `GroupId`). AWS's guides show ids of one form
//! in both; its own `ssosync` lists by the one API and writes by the other with these ids. Where that is wrong, writes are
//! refused, for the ids are not there.
//!
//! # Assignments
//!
//! [`AwsAssignments`] reads every permission set, the accounts to which it is provisioned, and the assignments there; then every
//! application and its assignments. A principal is named by its store id (rule E11), so whoever shall be assigned in AWS must
//! be in the store already: let a set of your own bring groups in first, or adopt them (rule M3). Assignments of users and groups
//! that are not ours are read too; they resolve to nothing, with a diagnostic.
//!
//! * An application that requires no assignment (`AssignmentRequired` is false) lets everybody in who is in the store. It
//!   entitles nobody by that: it says who may enter, not who shall be there. What is assigned to it explicitly counts.
//! * Accounts are those to which AWS says that the permission set is provisioned; it provisions by itself with each assignment.
//!   (moto does not: it tells its own account only, after `ProvisionPermissionSet`.)
//! * Any error is an error of the whole read; so is a list that changes while it is read, an answer that lacks its list, and a
//!   page token that comes again. No short list is ever called complete (rule C1).
//! * A page token holds the whole place of the read, in some hundred bytes: nothing is kept between two calls, and reads at once
//!   do not meet. It fits the same scope only.
//!
//! The cost is one request for each account of each permission set and one for each application, and for each 25 of them two
//! more: 50 permission sets in 200 accounts are about 11,000 requests, 9 minutes at 20 a second. A group that is assigned to many
//! accounts comes as many times; it counts once.
//! [`only_accounts`](AwsAssignments::only_accounts), [`only_permission_sets`](AwsAssignments::only_permission_sets) and
//! [`accounts_only`](AwsAssignments::accounts_only) read less. Then whoever is assigned elsewhere only is not entitled.
//!
//! # Reading
//!
//! [`AwsReader`] pages through users, groups and members, 100 at a time: 100,000 users are 1,000 requests, 50 seconds. A group that
//! is ours costs a request for each 100 members, at least one. It is an [`IdentityStore`](crate::IdentityStore) that refuses every
//! write, which is enough for a plan.
//!
//! * Attributes have the names that the SCIM adapter gives them, enterprise attributes included. Those by type, such as
//!   `addresses[type eq "work"].locality`, are shown where the store that writes declares them.
//! * A user is inactive where its status is `DISABLED`. The revision of a record is its version, where the server keeps one.
//! * External ids that were written through SCIM have an issuer in AWS that begins with `https://scim.aws.com/`; they are read as
//!   [`ExternalIds`](crate::adapter::scim::ExternalIds) says, by default as `issuer:anchor`. So what Okta or Entra wrote into
//!   the same store is not ours (rule M7). Those of other issuers keep the issuer that AWS names.
//! * A look-up by external id takes two requests, once it is known how AWS names the tenant: from
//!   [`scim_issuer`](AwsReader::scim_issuer), or from any record that was read. Until then it reads everything.
//! * Look-ups by unique value: `userName` and `emails` of users, `displayName` of groups. How AWS compares is not documented, so
//!   the value is looked up as it is and folded, and what AWS finds is believed only where the record has the value by the
//!   declared rule (NFKC and full case folding).
//!
//! # Writing
//!
//! Every write, deactivations and deletes included, is SCIM's; see [`scim`](crate::adapter::scim) for what it does. An
//! [`AwsStore`] takes its capabilities from it, but for the members, which AWS lists group by group, and these:
//!
//! * SCIM in AWS knows no versions. Each record is read again just before its write (rule P7); between the two lies a window.
//! * `emails` is unique: AWS refuses a second user with the same primary address.
//! * Who made a user inactive is not remembered: an entitled, enabled account is made active again (rule A7).
//! * A create whose answer was lost, and that AWS then answers with a conflict, is looked up by its external id (rules X2, X4).
//! * A full store (`QuotaExceeded`) ends the creates; deactivations, removals, deletes and updates go on.
//!
//! # Requests
//!
//! An [`AwsPace`] lets 20 requests a second out; give one to all that share a quota. The clients' own retries are switched off,
//! since they hide lost answers. This adapter asks up to eight times where it was throttled or got a part of an answer, and three
//! times where no answer or no connection came: after the time that AWS names, or after a jittered and growing one, up to a
//! second; none is begun once two minutes and a wait that AWS has named are over. An answer may have 16 MiB and 30 seconds.
//! Errors and `Debug` tell the operation and AWS's code, never AWS's message, which may name a person (rule S2).
//!
//! # Rights
//!
//! `sso:ListPermissionSets`, `sso:ListAccountsForProvisionedPermissionSet`, `sso:ListAccountAssignments`, `sso:ListApplications` and
//! `sso:ListApplicationAssignments`; `identitystore:ListUsers`, `ListGroups`, `ListGroupMemberships`, `DescribeUser`,
//! `DescribeGroup`, `GetUserId` and `GetGroupId`. No right to write: that is in the SCIM token.
//!
//! # Limits
//!
//! * AWS does not say whether a record that SCIM has just written is in the Identity Store API at once. A read that is late makes
//!   an operation that was done look undone: it is planned again, and changes nothing.
//! * What AWS calls a rename of the *tenant* (another `https://scim.aws.com/…`) has not been seen. A reader learns one name.
//! * Birthdates, photos, roles and other attributes that only one of the two halves knows are for others to keep.
//!
//! # Tested with
//!
//! moto 5.2 and the identitystore and sso-admin services of fakecloud 0.51, directly and behind a proxy that throttles and
//! cuts answers; both halves together with a store in the tests that speaks both protocols within the limits that AWS documents.
//! Not with AWS itself.

mod assignments;
mod call;
mod fault;
mod link;
mod operations;
mod pace;
mod place;
mod reader;
mod record;
mod store;
mod wire;

pub use self::assignments::AwsAssignments;
pub use self::pace::AwsPace;
pub use self::reader::AwsReader;
pub use self::store::AwsStore;
