/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of one JSON document, as pandas and datasets write them: a list of objects; an object one member of which is such a list
 * ({"data": [...]}); columns ({"text": {"0": ..}} or {"text": [..]}); rows by index ({"0": {..}}); columns, index and data
 * ("split"). The whole document is held in memory; JSON Lines is read line by line. */
#pragma once

#include "common/base/error.h"
#include "common/json/json.h"

struct json_rows;

/* *is_table false: it is no document (broken), or an object of one line that is no table, and may be JSON Lines: *ret is NULL, *e
 * unchanged. ERROR_DATA: one object of several lines that is no table. encoding as stream_open takes it. */
int json_rows_open(struct json_rows **ret, bool *is_table, const char *path, const char *encoding, struct error *e);
void json_rows_close(struct json_rows **r);
/* 1 with the next row, an object, borrowed until the next call or close, and its number from 1; 0 at the end; -1: ERROR_DATA. */
int json_rows_next(struct json_rows *r, const struct json **row, size_t *number, struct error *e);
struct json_leniency json_rows_leniency(const struct json_rows *r);
