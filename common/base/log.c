/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *program_name = "muster";
static enum log_level shown = LOG_INFO;
static char status[4096];

void log_setup(const char *program, enum log_level level)
{
    program_name = program;
    shown = level;
}

/* Takes the status lines off the terminal: up to the first of them, then clear to the end. */
static void erase_status(void)
{
    if (!status[0])
        return;
    for (const char *at = status; (at = strchr(at, '\n')); at++)
        fputs("\033[A", stderr);
    fputs("\r\033[J", stderr);
}

static void write_line(const char *tag, const char *format, va_list arguments)
{
    char text[2048];
    vsnprintf(text, sizeof text, format, arguments);
    pthread_mutex_lock(&lock);
    erase_status();
    fprintf(stderr, "%s: %s%s\n%s", program_name, tag, text, status);
    fflush(stderr);
    pthread_mutex_unlock(&lock);
}

void log_pass(const char *line)
{
    pthread_mutex_lock(&lock);
    erase_status();
    fprintf(stderr, "%s\n%s", line, status);
    fflush(stderr);
    pthread_mutex_unlock(&lock);
}

void log_warn(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line("warning: ", format, arguments);
    va_end(arguments);
}

void log_info(const char *format, ...)
{
    if (shown < LOG_INFO)
        return;
    va_list arguments;
    va_start(arguments, format);
    write_line("", format, arguments);
    va_end(arguments);
}

void log_debug(const char *format, ...)
{
    if (shown < LOG_DEBUG)
        return;
    va_list arguments;
    va_start(arguments, format);
    write_line("", format, arguments);
    va_end(arguments);
}

void log_status_line(const char *text)
{
    if (!isatty(STDERR_FILENO))
        return;
    pthread_mutex_lock(&lock);
    erase_status();
    snprintf(status, sizeof status, "%s", text ? text : "");
    fputs(status, stderr);
    fflush(stderr);
    pthread_mutex_unlock(&lock);
}
