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

void
list_table(const state::Connector *connector, const source::PublishedTable &published,
		   state::Phase phase)
{
	state::add_table(connector->id, describe_publication(published),
					 connector->target_schema ? connector->target_schema : published.schema,
					 published.name, connector->copy_data, phase);
	state::record_event(connector->name, psprintf("%s.%s", published.schema, published.name),
						"table_added", nullptr);
}

} // namespace worker
