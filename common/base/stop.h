/* SPDX-License-Identifier: Apache-2.0 */
/* A stop asked for by signal (SIGTERM, SIGINT, SIGUSR1). Every phase that lasts polls it; a second signal, at least
 * STOP_AGAIN seconds after the first, ends at once. */
#pragma once

#include "common/base/error.h"

#define STOP_AGAIN 0.25

void stop_install(void); /* handlers; once, in main */
bool stop_requested(void);
int stop_check(struct error *e); /* 0, or -1 with ERROR_STOPPED */
void stop_request(void);         /* by message, or in tests; a signal after it does not count as the second */
