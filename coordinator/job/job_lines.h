/* SPDX-License-Identifier: Apache-2.0 */
/* Where a key stands in a job file, for messages. */
#pragma once

/* Line (1-based) of the dotted `key` in `text`, which must be JSON that parsed; 0 if it is not there. */
int job_line_of(const char *text, const char *key);
