/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of fields that one table of this room takes over from another. */
#pragma once

#include "proto/record.h"

extern const struct record_field trial_fields[];
