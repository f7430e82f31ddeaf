/*
 * worker/launcher.hpp
 *
 * The launcher: one static background worker for the server, which starts connector workers and,
 * at its own start, a scout in each database.
 *
 * Surprising: it is connected to no database, and such a process can open only a handful of shared
 * catalogs reliably; so it reads pg_database and nothing else, and scouts read the rest.
 */
#pragma once

namespace worker
{

void register_launcher();

} // namespace worker
