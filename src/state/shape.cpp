/*
 * state/shape.cpp
 *
 * See shape.hpp.
 */
#include "state/shape.hpp"

using namespace base;

namespace state
{

Shape
load_shape(int64 table_id)
{
	Shape it{};
	SqlScope scope = begin_sql();

	if (run_sql("SELECT t.shape_columns, t.shape_types, t.shape_lsn, t.storage, "
				"c.schema_changes = 'follow' FROM livesync.synced_table t "
				"JOIN livesync.connector c ON c.id = t.connector_id WHERE t.id = $1",
				{bigint_value(table_id)}) == 1)
	{
		int ntypes = 0;
		char **names = get_text_array(scope, 0, 1, &it.count);
		char **types = get_text_array(scope, 0, 2, &ntypes);

		it.is_known = !is_null(0, 1) && ntypes == it.count;
		it.columns = (ShapeColumn *) MemoryContextAllocZero(scope.caller,
															sizeof(ShapeColumn) * (it.count + 1));
		for (int i = 0; i < it.count && it.is_known; i++)
		{
			char *colon;

			it.columns[i].name = names[i];
			it.columns[i].type = (Oid) strtoul(types[i], &colon, 10);
			it.columns[i].modifier = (int32) strtol(colon + 1, nullptr, 10);
		}
		it.lsn = get_lsn(0, 3);
		it.storage = get_text(scope, 0, 4);
		it.is_followed = get_bool(0, 5);
	}
	end_sql();
	return it;
}

void
record_shape(int64 table_id, int count, const ShapeColumn *columns, XLogRecPtr lsn,
			 const char *storage)
{
	char **names = (char **) palloc(sizeof(char *) * (count + 1));
	char **types = (char **) palloc(sizeof(char *) * (count + 1));

	for (int i = 0; i < count; i++)
	{
		names[i] = columns[i].name;
		types[i] = psprintf("%u:%d", columns[i].type, columns[i].modifier);
	}
	run_alone("UPDATE livesync.synced_table SET shape_columns = $2, shape_types = $3, "
			  "shape_lsn = $4, storage = coalesce($5, storage) WHERE id = $1",
			  {bigint_value(table_id), text_array_value(count, names),
			   text_array_value(count, types), lsn_value(lsn), text_value(storage)});
}

void
record_storage(int64 table_id, int count, const char *const *columns, const char *storage)
{
	run_alone("UPDATE livesync.synced_table SET storage = $3 WHERE id = $1 AND shape_columns = $2",
			  {bigint_value(table_id), text_array_value(count, columns), text_value(storage)});
}

const ShapeColumn *
find_column(const Shape &shape, const char *name)
{
	for (int i = 0; i < shape.count; i++)
		if (strcmp(shape.columns[i].name, name) == 0)
			return &shape.columns[i];
	return nullptr;
}

} // namespace state
