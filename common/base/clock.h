/* SPDX-License-Identifier: Apache-2.0 */
/* Time: a monotonic one for durations, the wall clock for records only (no decision depends on it). */
#pragma once

#include <stddef.h>

double clock_seconds(void);                                   /* monotonic, from an arbitrary start */
double clock_wall(void);                                      /* since 1970; other hosts may see another */
double clock_cpu(void);                                       /* of all threads of this process */
double clock_thread(void);                                    /* CPU time of the calling thread */
void clock_timestamp(char *text, size_t size);                /* UTC, "2026-11-22T04:01:48.123Z" (25 bytes with NUL) */
void clock_duration(char *text, size_t size, double seconds); /* for people: "2 h 05 min", "3 min 20 s", "12 s" */
void clock_sleep(double seconds);                             /* or shorter, when a signal arrives */
