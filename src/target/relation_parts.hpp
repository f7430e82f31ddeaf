/*
 * target/relation_parts.hpp
 *
 * The steps of opening a target table, for relation.cpp: first its columns, then its keys, then what its indexes allow.
 *
 * Each fills its part of the TargetRelation, in the current memory context.
 */
#pragma once

#include "target/relation.hpp"

namespace target
{

/* ERROR when the target has not all the columns that the source sends. */
void map_columns(TargetRelation *it, Relation rel, const RelationSpec &spec);
/* Rows may be equal and not the same, by a hashable equality. */
bool has_look_alikes(const TargetRelation *it);

/* The columns that find a row: those of the replica identity, or with FULL those of a key of either side. */
void choose_keys(TargetRelation *it, Relation rel, const RelationSpec &spec);
void judge_indexes(TargetRelation *it, Relation rel);

} // namespace target
