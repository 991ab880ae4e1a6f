#!/usr/bin/env bash
# Makes the role that the agent runs under. It reads and writes rows; it owns nothing, so that it
# cannot change the schema or the audit log's chain. Migrations run as $POSTGRES_USER.
#
# Postgres runs this once for a new volume. For an existing one, or to change the password:
#   docker compose exec postgres bash /docker-entrypoint-initdb.d/roles.sh
set -euo pipefail

# The password reaches psql through its environment: command lines are visible to others.
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" <<'SQL'
\getenv password AGENT_POSTGRES_PASSWORD
SELECT 'CREATE ROLE agent_app LOGIN'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'agent_app') \gexec
ALTER ROLE agent_app NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';

GRANT USAGE ON SCHEMA public TO agent_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO agent_app;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO agent_app;

-- The same for whatever later migrations create.
ALTER DEFAULT PRIVILEGES IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO agent_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO agent_app;
SQL
