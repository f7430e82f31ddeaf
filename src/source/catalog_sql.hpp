/*
 * source/catalog_sql.hpp
 *
 * Expressions over the catalogs that several statements must write alike: what one of them says is kept, and compared with
 * what another one says later.
 */
#pragma once

/* Which files the rows of a table are in; of pg_class c, its partitions one a row. */
#define STORAGE_SQL                                                                                \
	"md5(string_agg(c.oid || ':' || c.relfilenode, ',' ORDER BY c.oid) "                           \
	"FILTER (WHERE c.relkind = 'r'))"

/* Which columns, and who wrote their entries last; c.version is their xmin. */
#define COLUMNS_LOOK_SQL                                                                           \
	"md5(string_agg(concat_ws(':', c.attnum, c.attname, c.version), ',' ORDER BY c.attnum))"

/* Which constraint is the primary key of a table: another one when it was dropped and added. */
#define KEY_LOOK_SQL(table)                                                                        \
	"(SELECT k.oid FROM pg_constraint k WHERE k.conrelid = " table " AND k.contype = 'p')"

/* Column a has no NULLs.  From 18 on one that is marked so may have them, where the constraint is NOT VALID. */
#define HAS_NO_NULLS_SQL                                                                           \
	"(a.attnotnull AND NOT EXISTS (SELECT FROM pg_constraint n WHERE n.conrelid = a.attrelid "     \
	"AND n.contype = 'n' AND NOT n.convalidated AND n.conkey = ARRAY[a.attnum]))"
