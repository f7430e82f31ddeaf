/*
 * worker/altered_publication.cpp
 *
 * See altered_publication.hpp.  Each publication is kept as a text "oid:hash of its entry:transaction that wrote it".
 */
#include "worker/altered_publication.hpp"

#include "base/names.hpp"
#include "source/result.hpp"
#include "state/event.hpp"

namespace worker
{
namespace
{

constexpr char kSql[] = R"(
SELECT p.pubname, concat_ws(':', p.oid, md5(to_jsonb(p)::text), p.xmin)
FROM pg_publication p WHERE p.pubname::text = ANY (%s) ORDER BY p.oid)";

struct Texts
{
	int count;
	char **texts;
};

Texts
load_seen(int connector_id)
{
	base::SqlScope scope = base::begin_sql();
	Texts it{};

	if (base::run_sql("SELECT publications_seen FROM livesync.connector WHERE id = $1",
					  {base::int_value(connector_id)}) == 1)
		it.texts = base::get_text_array(scope, 0, 1, &it.count);
	base::end_sql();
	return it;
}

/* A call may hold the connector's row for as long as it likes: then the next look. */
bool
try_record_seen(int connector_id, const Texts &now)
{
	return base::run_alone(
			   "UPDATE livesync.connector SET publications_seen = $2 WHERE id = (SELECT id "
			   "FROM livesync.connector WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED)",
			   {base::int_value(connector_id), base::text_array_value(now.count, now.texts)}) == 1;
}

/* The same but for the transaction? */
bool
was_written_again(const Texts &before, const char *now)
{
	size_t same = (size_t) (strrchr(now, ':') - now) + 1;

	for (int i = 0; i < before.count; i++)
		if (strncmp(before.texts[i], now, same) == 0)
			return strcmp(before.texts[i], now) != 0;
	return false;
}

} // namespace

void
watch_publications(ConnectorWorker *worker)
{
	const state::Connector *config = worker->config;
	Texts before = load_seen(config->id);
	PGresult *result = source::query(
		worker->control,
		psprintf(kSql, source::array_literal(config->npublications, config->publications)));
	Texts now{PQntuples(result), (char **) palloc(sizeof(char *) * (PQntuples(result) + 1))};

	for (int i = 0; i < now.count; i++)
		now.texts[i] = source::get_text(result, i, 1);
	if (base::are_same_names(before.count, before.texts, now.count, now.texts) ||
		!try_record_seen(config->id, now))
		return;
	for (int i = 0; i < now.count; i++)
		if (was_written_again(before, now.texts[i]))
			state::record_event(
				config->name, nullptr, "publication_altered",
				psprintf("Options of publication \"%s\" were set at the source, and are as before. "
						 "If it published less in between, changes are missing here: "
						 "livesync.compare_table() tells, livesync.resync_table() mends.",
						 source::get_text(result, i, 0)));
}

} // namespace worker
