/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs write to standard error while they run: one full line per call (2047 bytes at most), prefixed by the
 * program's name. Thread-safe, except log_setup. Errors that end the program are printed by main alone, from struct error. */
#pragma once

enum log_level { LOG_QUIET, LOG_INFO, LOG_DEBUG };

void log_setup(const char *program, enum log_level level);                    /* defaults: "muster", LOG_INFO */
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2))); /* always shown */
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2))); /* with -v */

/* A line of another program, unchanged. */
void log_pass(const char *line);

/* Replaces the lines at the bottom of a terminal (progress bars; parted by "\n", none wider than the terminal); other lines are
 * written above them. NULL removes them. Does nothing when standard error is not a terminal. */
void log_status_line(const char *text);
