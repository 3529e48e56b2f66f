CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    pk      INTEGER PRIMARY KEY AUTOINCREMENT,
    id      TEXT    NOT NULL UNIQUE,
    active  INTEGER NOT NULL CHECK (active IN (0, 1)),
    origin  TEXT    CHECK (origin IN ('synced', 'jit')),
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE groups (
    pk      INTEGER PRIMARY KEY AUTOINCREMENT,
    id      TEXT    NOT NULL UNIQUE,
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE user_attributes (
    user_pk   INTEGER NOT NULL REFERENCES users (pk) ON DELETE CASCADE,
    name      TEXT    NOT NULL,
    ordinal   INTEGER NOT NULL,
    value     TEXT    NOT NULL,
    match_key TEXT,
    PRIMARY KEY (user_pk, name, ordinal)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX user_keys ON user_attributes (name, match_key) WHERE match_key IS NOT NULL;

CREATE TABLE group_attributes (
    group_pk  INTEGER NOT NULL REFERENCES groups (pk) ON DELETE CASCADE,
    name      TEXT    NOT NULL,
    ordinal   INTEGER NOT NULL,
    value     TEXT    NOT NULL,
    match_key TEXT,
    PRIMARY KEY (group_pk, name, ordinal)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX group_keys ON group_attributes (name, match_key) WHERE match_key IS NOT NULL;

CREATE TABLE external_ids (
    issuer   TEXT NOT NULL,
    value    TEXT NOT NULL,
    user_pk  INTEGER REFERENCES users (pk) ON DELETE CASCADE,
    group_pk INTEGER REFERENCES groups (pk) ON DELETE CASCADE,
    PRIMARY KEY (issuer, value),
    CHECK ((user_pk IS NULL) <> (group_pk IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX external_ids_of_users ON external_ids (user_pk) WHERE user_pk IS NOT NULL;
CREATE INDEX external_ids_of_groups ON external_ids (group_pk) WHERE group_pk IS NOT NULL;

CREATE TABLE memberships (
    group_pk INTEGER NOT NULL REFERENCES groups (pk) ON DELETE CASCADE,
    user_pk  INTEGER NOT NULL REFERENCES users (pk) ON DELETE CASCADE,
    PRIMARY KEY (group_pk, user_pk)
) STRICT, WITHOUT ROWID;
CREATE INDEX memberships_of_users ON memberships (user_pk);

CREATE TABLE assignments (
    pk     INTEGER PRIMARY KEY AUTOINCREMENT,
    issuer TEXT,
    value  TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX assignments_external ON assignments (issuer, value) WHERE issuer IS NOT NULL;
CREATE UNIQUE INDEX assignments_stored ON assignments (value) WHERE issuer IS NULL;
