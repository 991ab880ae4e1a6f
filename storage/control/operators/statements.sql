-- Operators: their roles, passwords and second factors, sessions, one-time links and tokens.
-- Parameters are `:name`.

-- Who they are --------------------------------------------------------------------------------

-- name: list_operators
SELECT name, added_at, role, password IS NOT NULL AS signs_in FROM operators ORDER BY name;


-- name: add_operator
INSERT INTO operators (name) VALUES (:name);


-- name: give_role
-- The role before.
UPDATE operators o SET role = :role
FROM (SELECT name, role FROM operators WHERE name = :name) AS was
WHERE o.name = was.name
RETURNING was.role;


-- name: lacks_admin
SELECT count(*) > 0 AND NOT bool_or(role = 'admin') FROM operators;


-- name: remove_operator
-- Whatever lets them in goes, too.
WITH sessions AS (DELETE FROM operator_sessions WHERE operator = :name),
     invitations AS (DELETE FROM operator_invitations WHERE operator = :name),
     tokens AS (DELETE FROM api_tokens WHERE operator = :name)
DELETE FROM operators WHERE name = :name;


-- One-time links ------------------------------------------------------------------------------

-- name: add_invitation
-- The newest link of a kind is the only one.
WITH older AS (
    DELETE FROM operator_invitations
    WHERE (operator = :operator AND purpose = :purpose) OR ends_at < now()
)
INSERT INTO operator_invitations (token_hash, operator, purpose, ends_at)
VALUES (:hash, :operator, :purpose, now() + make_interval(secs => :seconds))
RETURNING ends_at;


-- name: invitation
SELECT operator, purpose FROM operator_invitations WHERE token_hash = :hash AND ends_at > now();


-- name: use_invitation
DELETE FROM operator_invitations
WHERE token_hash = :hash AND purpose = :purpose AND ends_at > now()
RETURNING operator;


-- name: is_open
-- Whether somebody could sign in.
SELECT EXISTS (SELECT FROM operators WHERE password IS NOT NULL)
    OR EXISTS (SELECT FROM operator_invitations WHERE ends_at > now())
    OR EXISTS (SELECT FROM operator_sessions WHERE ends_at > now());


-- Passwords and second factors ----------------------------------------------------------------

-- name: credentials_of_operator
SELECT password, totp, totp_step, recovery FROM operators WHERE name = :name;


-- name: set_password
UPDATE operators SET password = :password WHERE name = :name RETURNING name;


-- name: set_second_factor
UPDATE operators SET totp = :totp, totp_step = :step, recovery = :recovery WHERE name = :name;


-- name: all_factors
SELECT name, totp FROM operators WHERE totp IS NOT NULL ORDER BY name FOR UPDATE;


-- name: renew_factor
UPDATE operators SET totp = :totp WHERE name = :name;


-- name: use_totp_step
-- Each code counts once, also when two arrive at the same moment.
UPDATE operators SET totp_step = :step
WHERE name = :name AND coalesce(totp_step, 0) < :step
RETURNING name;


-- name: use_recovery_code
UPDATE operators SET recovery = array_remove(recovery, CAST(:hash AS bytea))
WHERE name = :name AND CAST(:hash AS bytea) = ANY(recovery)
RETURNING cardinality(recovery);


-- Sessions ------------------------------------------------------------------------------------

-- name: add_session
WITH ended AS (
    DELETE FROM operator_sessions
    WHERE ends_at < now() OR seen_at < now() - make_interval(secs => :idle)
)
INSERT INTO operator_sessions (id, token_hash, operator, csrf, origin, ends_at)
VALUES (:id, :hash, :operator, :csrf, :origin, now() + make_interval(secs => :longest));


-- name: session
-- The role is read each time, so that a change of it holds at once. Where nobody is registered,
-- everybody may do everything; a session is then made by a link from the command line alone.
SELECT s.id, s.operator, s.csrf, s.seen_at, now() AS now,
       CASE WHEN EXISTS (SELECT FROM operators) THEN o.role ELSE 'admin' END AS role
FROM operator_sessions s LEFT JOIN operators o ON o.name = s.operator
WHERE s.token_hash = :hash
  AND s.ends_at > now()
  AND s.seen_at > now() - make_interval(secs => :idle);


-- name: origin_of_session
SELECT origin FROM operator_sessions WHERE id = :id;


-- name: touch_session
UPDATE operator_sessions SET seen_at = now() WHERE id = :id;


-- name: sessions_of_operator
SELECT id, origin, created_at, seen_at, ends_at
FROM operator_sessions
WHERE operator = :operator
  AND ends_at > now()
  AND seen_at > now() - make_interval(secs => :idle)
ORDER BY seen_at DESC;


-- name: forget_ended
-- Sessions and links that ended, and tokens of programs that ended or were revoked long ago. Until
-- then their operators are told why one is good for nothing.
WITH sessions AS (
    DELETE FROM operator_sessions
    WHERE ends_at < now() OR seen_at < now() - make_interval(secs => :idle)
), invitations AS (
    DELETE FROM operator_invitations WHERE ends_at < now()
)
DELETE FROM api_tokens WHERE least(ends_at, revoked_at) < now() - make_interval(days => :days);


-- name: end_sessions
-- One, or all but one. Ids are compared only among the operator's own.
DELETE FROM operator_sessions
WHERE operator = :operator
  AND (CAST(:only AS uuid) IS NULL OR id = :only)
  AND (CAST(:but AS uuid) IS NULL OR id <> :but);


-- Tokens of programs ---------------------------------------------------------------------------

-- name: role_of_operator
SELECT role FROM operators WHERE name = :name;


-- name: add_api_token
INSERT INTO api_tokens (id, token_hash, operator, label, scope, ends_at)
VALUES (:id, :hash, :operator, :label, :scope, now() + make_interval(days => :days))
RETURNING id, operator, label, scope, created_at, used_at, ends_at, revoked_at;


-- name: api_token
-- Read for each request, so that what is taken back holds at once, on every instance. Where nobody
-- but a provider lets the operator in, `vouched_at` is when it did so last (:mark ends its origin).
SELECT t.id, t.operator, t.label, t.scope, t.used_at, t.ends_at, t.revoked_at, now() AS now, o.role,
       (SELECT a.at
        FROM audit_log a
        WHERE o.password IS NULL AND a.subject = 'operator:' || o.name
          AND a.action = 'operator.sign-in' AND right(a.origin, length(:mark)) = :mark
        ORDER BY a.id DESC
        LIMIT 1) AS vouched_at
FROM api_tokens t LEFT JOIN operators o ON o.name = t.operator
WHERE t.token_hash = :hash;


-- name: touch_api_token
UPDATE api_tokens SET used_at = now() WHERE id = :id;


-- name: list_api_tokens
SELECT id, operator, label, scope, created_at, used_at, ends_at, revoked_at
FROM api_tokens
WHERE CAST(:operator AS text) IS NULL OR operator = :operator
ORDER BY id DESC;


-- name: operator_of_api_token
SELECT operator FROM api_tokens WHERE id = :id;


-- name: revoke_api_token
UPDATE api_tokens SET revoked_at = now() WHERE id = :id AND revoked_at IS NULL RETURNING id;
