/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table from texts to numbers, in order of first appearance. Keys are borrowed and must outlive the table. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TABLE_ABSENT UINT32_MAX

struct table;

void table_create(struct table **ret);
void table_destroy(struct table **t);
size_t table_count(const struct table *t);
uint32_t table_find(const struct table *t, const char *key); /* its number, or TABLE_ABSENT */
uint32_t table_add(struct table *t, const char *key);        /* its number: an old one, or table_count for a new key */
const char *table_key(const struct table *t, uint32_t number);
