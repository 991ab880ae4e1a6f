-- What is asked of a Postgres before the first message. Parameters: $1, $2 … (driver connections).


-- name: server_facts
-- The schema that new tables go to is the first of the search path; one that the user must not
-- use counts as missing.
SELECT current_setting('server_version_num')::int AS version,
       current_setting('server_encoding') AS encoding,
       pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS read_only,
       current_setting('plan_cache_mode') AS plan_cache_mode,
       coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create,
       format(
           'GRANT USAGE, CREATE ON SCHEMA %I TO %I;',
           coalesce(current_schema(), 'public'),
           current_user
       ) AS grant,
       current_database() AS database,
       least(
           current_setting('max_connections')::int
               - current_setting('superuser_reserved_connections')::int,
           (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user),
           (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database())
       ) AS room;


-- name: missing_permissions
-- Which of these tables the user must not read and write, and the statement that grants it.
-- $1 tables
SELECT string_agg(relname, ', ' ORDER BY relname) AS missing,
       format(
           'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO %I;',
           current_schema(),
           current_user
       ) AS grant,
       current_database() AS database
FROM pg_class
WHERE relnamespace = to_regnamespace(current_schema())
  AND relkind IN ('r', 'p')
  AND relname = ANY($1)
  AND NOT (
      has_table_privilege(oid, 'SELECT')
      AND has_table_privilege(oid, 'INSERT')
      AND has_table_privilege(oid, 'UPDATE')
  );
