//! The SQL that users and groups share, written once and filled in for each.

use crate::model::Kind;

pub(super) struct Statements {
    /// `id` → `pk, version`
    pub(super) find: &'static str,
    /// `pk` → `version`
    pub(super) bump: &'static str,
    /// `pk`
    pub(super) delete: &'static str,
    /// `pk, name, ordinal, value, match_key`; changes nothing where another record holds the key.
    pub(super) put_value: &'static str,
    /// `pk, name`
    pub(super) clear_values: &'static str,
    /// `issuer, value, pk`; changes nothing where another record holds the external id.
    pub(super) put_link: &'static str,
    /// `pk` → a row for each of its external ids, of whatever issuer
    pub(super) own_links: &'static str,
    /// `after, limit` → heads in their order
    pub(super) heads: &'static str,
    /// `id` → head
    pub(super) head_by_id: &'static str,
    /// `issuer, value` → head
    pub(super) head_by_link: &'static str,
    /// `name, match_key` → head
    pub(super) head_by_key: &'static str,
    /// `first, last` → `pk, name, value` in the order of the heads
    pub(super) values: &'static str,
    /// `first, last` → `pk, issuer, value` in the order of the heads
    pub(super) links: &'static str,
}

macro_rules! statements {
    ($records:literal, $own:literal, $attributes:literal, $pk:literal) => {
        Statements {
            find: concat!("SELECT pk, version FROM ", $records, " WHERE id = ?1"),
            bump: concat!("UPDATE ", $records, " SET version = version + 1 WHERE pk = ?1 RETURNING version"),
            delete: concat!("DELETE FROM ", $records, " WHERE pk = ?1"),
            put_value: concat!(
                "INSERT INTO ",
                $attributes,
                " (",
                $pk,
                ", name, ordinal, value, match_key) VALUES (?1, ?2, ?3, ?4, ?5)",
                " ON CONFLICT (name, match_key) WHERE match_key IS NOT NULL DO NOTHING"
            ),
            clear_values: concat!("DELETE FROM ", $attributes, " WHERE ", $pk, " = ?1 AND name = ?2"),
            put_link: concat!(
                "INSERT INTO external_ids (issuer, value, ",
                $pk,
                ") VALUES (?1, ?2, ?3) ON CONFLICT (issuer, value) DO NOTHING"
            ),
            own_links: concat!("SELECT 1 FROM external_ids WHERE ", $pk, " = ?1"),
            heads: concat!(
                "SELECT pk, id, version, ",
                $own,
                " FROM ",
                $records,
                " WHERE pk > ?1 ORDER BY pk LIMIT ?2"
            ),
            head_by_id: concat!("SELECT pk, id, version, ", $own, " FROM ", $records, " WHERE id = ?1"),
            head_by_link: concat!(
                "SELECT pk, id, version, ",
                $own,
                " FROM ",
                $records,
                " WHERE pk = (SELECT ",
                $pk,
                " FROM external_ids WHERE issuer = ?1 AND value = ?2)"
            ),
            head_by_key: concat!(
                "SELECT pk, id, version, ",
                $own,
                " FROM ",
                $records,
                " WHERE pk = (SELECT ",
                $pk,
                " FROM ",
                $attributes,
                " WHERE name = ?1 AND match_key = ?2)"
            ),
            values: concat!(
                "SELECT ",
                $pk,
                ", name, value FROM ",
                $attributes,
                " WHERE ",
                $pk,
                " BETWEEN ?1 AND ?2 ORDER BY ",
                $pk,
                ", name, ordinal"
            ),
            links: concat!(
                "SELECT ",
                $pk,
                ", issuer, value FROM external_ids WHERE ",
                $pk,
                " BETWEEN ?1 AND ?2 ORDER BY ",
                $pk,
                ", issuer, value"
            ),
        }
    };
}

static USERS: Statements = statements!("users", "active, origin, inactive_by", "user_attributes", "user_pk");
static GROUPS: Statements = statements!("groups", "1, NULL, NULL", "group_attributes", "group_pk");

impl Statements {
    pub(super) fn of(kind: Kind) -> &'static Self {
        match kind {
            Kind::User => &USERS,
            Kind::Group => &GROUPS,
        }
    }
}
