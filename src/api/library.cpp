/*
 * api/library.cpp
 *
 * What the server calls when it loads the library.
 */
#include "api/leftovers.hpp"
#include "base/pg.hpp"
#include "base/settings.hpp"
#include "worker/launcher.hpp"
#include "worker/registry.hpp"

extern "C"
{
PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);
}

namespace
{

object_access_hook_type previous_access_hook = nullptr;

/* DROP DATABASE would wait for our workers in vain: they have no session to end by themselves. */
void
on_object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *argument)
{
	if (previous_access_hook)
		previous_access_hook(access, class_id, object_id, sub_id, argument);
	if (access == OAT_DROP && class_id == DatabaseRelationId)
	{
		api::warn_of_dropped_database(object_id);
		worker::stop_database(object_id);
	}
	if (access == OAT_DROP && class_id == RelationRelationId && sub_id == 0)
		api::warn_of_dropped_table(object_id);
}

} // namespace

void
_PG_init(void)
{
	/* without shared memory nothing works; each function says so */
	if (!process_shared_preload_libraries_in_progress)
		return;
	base::settings::define();
	worker::reserve_shared_memory();
	worker::register_launcher();
	previous_access_hook = object_access_hook;
	object_access_hook = on_object_access;
}
