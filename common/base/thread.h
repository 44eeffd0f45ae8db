/* SPDX-License-Identifier: Apache-2.0 */
/* A thread beside the one that works: signals belong to that one, which polls for a stop. */
#pragma once

#include <pthread.h>

/* As pthread_create, with all signals blocked in the new thread; 0, or an errno. */
int thread_start(pthread_t *ret, void *(*run)(void *context), void *context);
