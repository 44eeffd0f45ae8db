/* SPDX-License-Identifier: Apache-2.0 */
/* The job file as a JSON Schema (draft 2020-12), for editors and for those who write job files by a program. It is made from the
 * table of keys, so it accepts and refuses what reading a job does, a key at a time; what keys say together (a sum below 1, a
 * file that must exist) only reading the job can check. */
#pragma once

#include "common/json/json.h"

struct json *job_schema(void); /* caller destroys */
