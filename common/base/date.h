/* SPDX-License-Identifier: Apache-2.0 */
/* Dates of ISO 8601 as seconds since 1970, and back. Pure functions. */
#pragma once

#include <stdbool.h>

#define DATE_TEXT 40

/* YYYY-MM, YYYY-MM-DD, and after a T or a blank hh:mm, hh:mm:ss or hh:mm:ss.fff, then nothing (UTC), Z, +hh, +hhmm or +hh:mm.
 * Blanks around it do not count. Days and hours that do not exist are refused, leap seconds are taken. */
bool date_read(double *seconds, const char *text);
/* "2026-11-22", or where it is no midnight "2026-11-22T04:01:48Z", with milliseconds where there are any. */
void date_text(char text[DATE_TEXT], double seconds);
