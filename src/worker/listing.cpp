/*
 * worker/listing.cpp
 *
 * See listing.hpp.
 */
#include "worker/listing.hpp"

#include "state/event.hpp"

namespace worker
{

state::Publication
describe_publication(const source::PublishedTable &published)
{
	state::Publication it{};

	it.schema = published.schema;
	it.name = published.name;
	it.oid = published.oid;
	it.fingerprint = published.fingerprint;
	it.ncolumns = published.columns_count;
	it.columns = published.columns;
	it.nkey_columns = published.key_count;
	it.key_columns = published.key;
	it.row_filter = published.row_filter;
	it.replica_identity = published.replica_identity;
	/* all others need one snapshot for the whole table */
	it.keyed = published.key_count > 0 && published.uniform && published.plain_heap &&
			   published.replica_identity != 'n';
	it.bytes = published.bytes;
	it.rows = published.rows;
	return it;
}

namespace
{

/* Where the rows of a released table were is remembered with it; elsewhere it begins as a new one. */
void
forget_released_elsewhere(const state::Connector *connector,
						  const source::PublishedTable &published, const char *target_schema,
						  const char *target_name, bool copy_data)
{
	int64 id = base::read_number(
		"SELECT id FROM livesync.synced_table WHERE connector_id = $1 AND source_schema = $2 "
		"AND source_name = $3 AND released "
		"AND (target_schema, target_name, copy_data) IS DISTINCT FROM ($4, $5, $6)",
		{base::int_value(connector->id), base::text_value(published.schema),
		 base::text_value(published.name), base::text_value(target_schema),
		 base::text_value(target_name), base::bool_value(copy_data)});

	if (id != 0)
		state::delete_table(id);
}

} // namespace

void
list_table(const state::Connector *connector, const source::PublishedTable &published,
		   const state::Listing *listing, state::Phase phase)
{
	bool has_target = listing != nullptr && listing->target_name != nullptr;
	const char *schema = has_target					? listing->target_schema
						 : connector->target_schema ? connector->target_schema
													: published.schema;
	const char *name = has_target ? listing->target_name : published.name;
	bool copy_data = listing != nullptr ? listing->copy_data : connector->copy_data;

	forget_released_elsewhere(connector, published, schema, name, copy_data);
	state::add_table(connector->id, describe_publication(published), schema, name, copy_data,
					 phase);
	if (listing != nullptr && listing->hypertable_column != nullptr)
		state::record_hypertable(connector->id, published.schema, published.name,
								 listing->hypertable_column, listing->chunk_interval);
	state::record_event(connector->name, psprintf("%s.%s", published.schema, published.name),
						"table_added", nullptr);
}

} // namespace worker
