/* SPDX-License-Identifier: Apache-2.0 */
/* A restart of a large sweep: what the event log costs when every trial asks for its last lease, start, score and end.
 *
 * usage: bench_event_log [trials [epochs of each]] */
#include "coordinator/events/event_log.h"
#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/file.h"

#include <stdio.h>
#include <stdlib.h>

#define DIRECTORY "bench_event_log.run"

static void add(struct buffer *b, const char *event, int trial)
{
    buffer_printf(b,
                  "{\"time\": \"2026-01-01T00:00:00.000Z\", \"event\": \"%s\", \"trial\": \"lr-1e-05_epochs-%d\", \"identity\": "
                  "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\", \"epoch\": 1, \"metrics\": {\"loss\": "
                  "0.5, \"f1\": 0.75}}\n",
                  event, trial);
}

static int write_log(int trials, int epochs, struct error *e)
{
    struct buffer b = {0};
    for (int t = 0; t < trials; t++) {
        add(&b, "lease", t);
        add(&b, "trial_started", t);
        for (int i = 0; i < epochs; i++)
            add(&b, "epoch", t);
        add(&b, "result", t);
        add(&b, "trial_finished", t);
    }
    int result = directory_create(DIRECTORY, e) || file_write(DIRECTORY "/events.jsonl", b.data, b.size, e) ? -1 : 0;
    buffer_free(&b);
    return result;
}

static size_t ask(const struct event_log *l, int trials)
{
    static const char *const names[] = {"lease", "trial_started", "scored", "trial_finished"};
    size_t found = 0;
    for (int t = 0; t < trials; t++) {
        char key[64];
        snprintf(key, sizeof key, "lr-1e-05_epochs-%d", t);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            found += event_log_last(l, names[i], "trial", key) != NULL;
    }
    return found;
}

int main(int argc, char **argv)
{
    int trials = argc > 1 ? atoi(argv[1]) : 10000, epochs = argc > 2 ? atoi(argv[2]) : 5;
    struct event_log *l;
    struct error e = {0};
    if (write_log(trials, epochs, &e))
        goto fail;
    double start = clock_seconds();
    if (event_log_open(&l, DIRECTORY, &e))
        goto fail;
    double open = clock_seconds();
    size_t found = ask(l, trials);
    printf("%d trials, %zu events: replay %.2f s, %zu of %d look-ups found in %.3f s\n", trials, event_log_count(l), open - start,
           found, 4 * trials, clock_seconds() - open);
    event_log_close(&l);
    return directory_remove(DIRECTORY, &e) ? 1 : 0;
fail:
    fprintf(stderr, "bench_event_log: %s\n", e.message);
    return 1;
}
