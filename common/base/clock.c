/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/clock.h"

#include <stdio.h>
#include <time.h>

static double seconds_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double clock_seconds(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}

double clock_wall(void)
{
    return seconds_of(CLOCK_REALTIME);
}

double clock_cpu(void)
{
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

double clock_thread(void)
{
    return seconds_of(CLOCK_THREAD_CPUTIME_ID);
}

void clock_timestamp(char *text, size_t size)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm date;
    gmtime_r(&now.tv_sec, &date);
    char second[24];
    strftime(second, sizeof second, "%Y-%m-%dT%H:%M:%S", &date);
    snprintf(text, size, "%s.%03ldZ", second, now.tv_nsec / 1000000);
}

void clock_duration(char *text, size_t size, double seconds)
{
    unsigned long whole = seconds < 1e9 ? (unsigned long)(seconds + 0.5) : 1000000000ul;
    if (whole >= 3600)
        snprintf(text, size, "%lu h %02lu min", whole / 3600, whole / 60 % 60);
    else if (whole >= 60)
        snprintf(text, size, "%lu min %02lu s", whole / 60, whole % 60);
    else
        snprintf(text, size, "%lu s", whole);
}

void clock_sleep(double seconds)
{
    struct timespec wait = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&wait, NULL);
}
