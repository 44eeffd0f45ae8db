/* SPDX-License-Identifier: Apache-2.0 */
/* How the learning rate goes on after its warm-up: the one list. worker/train/schedule.h has the formulas. */
#pragma once

enum schedule_kind { SCHEDULE_LINEAR, SCHEDULE_COSINE, SCHEDULE_CONSTANT };

extern const char *const schedule_names[]; /* NULL at the end */

enum schedule_kind schedule_kind_find(const char *name); /* unknown: SCHEDULE_LINEAR */
