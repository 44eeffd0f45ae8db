/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/dispatch/progress.h"

#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_EVERY 0.5
#define LINE_EVERY 10.0
#define ROWS_MOST 16 /* a sweep of hundreds of groups fills neither the screen nor the log */

/* Where a lease began, as far as this program has seen: time left is measured from there. */
struct start {
    uint64_t lease, step;
    double time;
};

struct progress {
    bool terminal;
    double shown;
    struct start *starts;
    size_t count, capacity;
};

void progress_create(struct progress **ret)
{
    *ret = allocate(1, sizeof **ret);
    (*ret)->terminal = isatty(STDERR_FILENO);
    (*ret)->shown = clock_seconds();
}

void progress_destroy(struct progress **p)
{
    if (!p || !*p)
        return;
    log_status_line(NULL);
    free((*p)->starts);
    free(*p);
    *p = NULL;
}

static const struct start *start_of(struct progress *p, const struct progress_row *row)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->starts[i].lease == row->lease)
            return &p->starts[i];
    p->starts = grow(p->starts, &p->capacity, p->count + 1, sizeof *p->starts);
    p->starts[p->count] = (struct start){row->lease, row->beat->step, clock_seconds()};
    return &p->starts[p->count++];
}

static void print_time_left(char *text, size_t size, const struct message_beat *b, double seconds, uint64_t first)
{
    if (b->step <= first || b->steps < b->step || seconds <= 0) {
        snprintf(text, size, "?");
        return;
    }
    clock_duration(text, size, (double)(b->steps - b->step) * seconds / (double)(b->step - first));
}

static void add_bar(struct buffer *b, const struct message_beat *beat, int width)
{
    int filled = beat->steps ? (int)((double)width * (double)beat->step / (double)beat->steps) : 0;
    filled = filled < 0 ? 0 : filled > width ? width : filled;
    buffer_text(b, "[");
    for (int i = 0; i < width; i++)
        buffer_text(b, i < filled ? "#" : ".");
    buffer_text(b, "] ");
}

static bool of_a_step(const char *operation)
{
    static const char *const parts[] = {"forward", "backward", "all_reduce", "optimizer"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strcmp(operation, parts[i]))
            return true;
    return false;
}

void progress_line(char *text, size_t size, const struct progress_row *row, double seconds, uint64_t first, int bar_width)
{
    const struct message_beat *b = row->beat;
    struct buffer line = {0};
    char left[48];
    buffer_printf(&line, "%s: ", row->trial);
    if (bar_width > 0)
        add_bar(&line, b, bar_width);
    if (!b->operation || !b->operation[0])
        buffer_text(&line, "starting");
    else if (!of_a_step(b->operation))
        buffer_printf(&line, "%s, ", b->operation);
    if (b->steps) {
        print_time_left(left, sizeof left, b, seconds, first);
        buffer_printf(&line, "epoch %u/%u, step %" PRIu64 "/%" PRIu64, b->epoch, b->epochs, b->step, b->steps);
        if (isfinite(b->loss))
            buffer_printf(&line, ", loss %.4f", b->loss);
        if (b->tokens_per_second > 0)
            buffer_printf(&line, ", %.0f tokens/s", b->tokens_per_second);
        if (b->tokens_per_second > 0 && b->peak_share > 0)
            buffer_printf(&line, " (%.0f %% of peak)", 100 * b->peak_share);
        buffer_printf(&line, ", ETA %s", left);
    }
    snprintf(text, size, "%s", line.data);
    buffer_free(&line);
}

static int terminal_width(void)
{
    struct winsize w;
    return !ioctl(STDERR_FILENO, TIOCGWINSZ, &w) && w.ws_col > 20 ? w.ws_col : 80;
}

/* At most `width` columns; a character of UTF-8 is never cut (one may take two columns, so names in such scripts are cut early
 * enough). */
static void cut(char *text, int width)
{
    int columns = 0;
    for (char *at = text; *at; at++) {
        bool starts = ((unsigned char)*at & 0xc0) != 0x80;
        columns += starts ? ((unsigned char)*at >= 0xe0 ? 2 : 1) : 0;
        if (starts && columns >= width) {
            *at = 0;
            return;
        }
    }
}

static void show_bars(struct progress *p, const struct progress_row *rows, size_t count)
{
    struct buffer all = {0};
    char line[512];
    int width = terminal_width();
    double now = clock_seconds();
    for (size_t i = 0; i < count && i < ROWS_MOST; i++) {
        const struct start *s = start_of(p, &rows[i]);
        progress_line(line, sizeof line, &rows[i], now - s->time, s->step, width >= 100 ? 20 : 10);
        cut(line, width);
        buffer_printf(&all, "%s%s", i ? "\n" : "", line);
    }
    log_status_line(all.size ? all.data : NULL);
    buffer_free(&all);
}

static void show_lines(struct progress *p, const struct progress_row *rows, size_t count)
{
    char line[512];
    double now = clock_seconds();
    for (size_t i = 0; i < count && i < ROWS_MOST; i++) {
        const struct start *s = start_of(p, &rows[i]);
        progress_line(line, sizeof line, &rows[i], now - s->time, s->step, 0);
        log_info("%s", line);
    }
    if (count > ROWS_MOST)
        log_info("and %zu groups more; muster status shows all", count - ROWS_MOST);
}

void progress_show(struct progress *p, const struct progress_row *rows, size_t count)
{
    double now = clock_seconds();
    for (size_t i = 0; i < count; i++)
        start_of(p, &rows[i]); /* the clock of a lease runs from its first report, shown or not */
    if (now - p->shown < (p->terminal ? BAR_EVERY : LINE_EVERY))
        return;
    p->shown = now;
    if (p->terminal)
        show_bars(p, rows, count);
    else
        show_lines(p, rows, count);
}
