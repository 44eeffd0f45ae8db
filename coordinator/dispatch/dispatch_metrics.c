/* SPDX-License-Identifier: Apache-2.0 */
/* What dispatch serves to Prometheus: text format 0.0.4, names as its conventions have them (muster_*, _total for what only
 * grows, base units). */
#include "coordinator/dispatch/dispatch_state.h"

#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/machine.h"
#include "common/base/version.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#define UPDATE_INTERVAL 1.0 /* seconds */

struct label {
    const char *name, *value;
};

static void family(struct buffer *b, const char *name, const char *type, const char *help)
{
    buffer_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_value(struct buffer *b, double value)
{
    if (isnan(value))
        buffer_text(b, " NaN\n");
    else if (isinf(value))
        buffer_text(b, value > 0 ? " +Inf\n" : " -Inf\n");
    else
        buffer_printf(b, " %.17g\n", value);
}

static void add_label(struct buffer *b, const struct label *l)
{
    static const char *const escapes[128] = {['\\'] = "\\\\", ['"'] = "\\\"", ['\n'] = "\\n"};
    buffer_printf(b, "%s=\"", l->name);
    for (const char *at = l->value ? l->value : ""; *at; at++) {
        const char *escape = (unsigned char)*at < 128 ? escapes[(unsigned char)*at] : NULL;
        if (escape)
            buffer_text(b, escape);
        else
            buffer_append(b, at, 1);
    }
    buffer_text(b, "\"");
}

static void sample(struct buffer *b, const char *name, const struct label *labels, size_t count, double value)
{
    buffer_text(b, name);
    for (size_t i = 0; i < count; i++) {
        buffer_text(b, i ? "," : "{");
        add_label(b, &labels[i]);
    }
    if (count)
        buffer_text(b, "}");
    add_value(b, value);
}

/* ---- the coordinator itself ---- */

static void add_process(struct buffer *b, const struct dispatch *d)
{
    const struct label version = {"version", MUSTER_VERSION}, directory = {"folder", d->options.directory};
    family(b, "muster_build_info", "gauge", "Version of the coordinator.");
    sample(b, "muster_build_info", &version, 1, 1);
    family(b, "muster_run_info", "gauge", "Run directory.");
    sample(b, "muster_run_info", &directory, 1, 1);
    family(b, "muster_updated_timestamp_seconds", "gauge",
           "When these metrics were taken; not updated while no worker is needed.");
    sample(b, "muster_updated_timestamp_seconds", NULL, 0, clock_wall());
    family(b, "process_cpu_seconds_total", "counter", "CPU time of the coordinator.");
    sample(b, "process_cpu_seconds_total", NULL, 0, clock_cpu());
    family(b, "process_resident_memory_bytes", "gauge", "Memory of the coordinator.");
    sample(b, "process_resident_memory_bytes", NULL, 0, machine_resident_bytes());
}

/* ---- groups and trials ---- */

static void add_states(struct buffer *b, const struct dispatch *d)
{
    family(b, "muster_groups", "gauge", "Worker groups by state.");
    for (int state = GROUP_STARTING; state <= GROUP_GONE; state++)
        sample(b, "muster_groups", &(struct label){"state", group_states.names[state]}, 1,
               (double)roster_in(&d->roster, 1u << state));
    family(b, "muster_trials", "gauge", "Trials of the current stage by lease state.");
    for (int state = LEASE_QUEUED; state <= LEASE_FAILED; state++)
        sample(b, "muster_trials", &(struct label){"state", lease_states.names[state]}, 1,
               (double)leases_in(&d->leases, (enum lease_state)state));
}

static void add_counts(struct buffer *b, const struct dispatch *d)
{
    static const struct {
        const char *name, *help;
        size_t offset;
    } counts[] = {
        {"muster_group_deaths_total", "Worker groups that died.", offsetof(struct dispatch_counts, deaths)},
        {"muster_leases_total", "Leases granted.", offsetof(struct dispatch_counts, leases)},
        {"muster_trained_steps_total", "Optimizer steps of finished trials.", offsetof(struct dispatch_counts, steps)},
        {"muster_trained_tokens_total", "Training tokens of finished trials.", offsetof(struct dispatch_counts, tokens)},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        uint64_t value;
        memcpy(&value, (const char *)&d->counts + counts[i].offset, sizeof value);
        family(b, counts[i].name, "counter", counts[i].help);
        sample(b, counts[i].name, NULL, 0, (double)value);
    }
    family(b, "muster_trained_seconds_total", "counter", "Seconds that groups spent on finished trials.");
    sample(b, "muster_trained_seconds_total", NULL, 0, d->counts.seconds);
    family(b, "muster_messages_total", "counter", "Messages received from workers, by kind.");
    for (int kind = 0; kind < MESSAGE_KINDS; kind++)
        if (d->counts.messages[kind])
            sample(b, "muster_messages_total", &(struct label){"message", message_name((enum message_kind)kind)}, 1,
                   (double)d->counts.messages[kind]);
}

static double beat_number(const struct message_beat *b, size_t offset)
{
    double value;
    memcpy(&value, (const char *)b + offset, sizeof value);
    return value;
}

static void add_of_trial(struct buffer *b, const struct dispatch *d, const char *name, const char *help,
                         double (*value)(const struct message_beat *beat, size_t offset), size_t offset)
{
    family(b, name, "gauge", help);
    for (size_t i = 0; i < d->roster.count; i++) {
        const struct group *g = d->roster.groups[i];
        if (g->state != GROUP_BUSY || !d->trials)
            continue;
        const struct label labels[] = {{"trial", d->trials[g->trial].key}, {"group", g->token}, {"host", g->hello.host}};
        sample(b, name, labels, sizeof labels / sizeof *labels, value(&g->beat, offset));
    }
}

static double step_of(const struct message_beat *b, size_t offset)
{
    (void)offset;
    return (double)b->step;
}

static double steps_of(const struct message_beat *b, size_t offset)
{
    (void)offset;
    return (double)b->steps;
}

static double epoch_of(const struct message_beat *b, size_t offset)
{
    (void)offset;
    return b->epoch;
}

static void add_trials(struct buffer *b, const struct dispatch *d)
{
    static const struct {
        const char *name, *help;
        double (*value)(const struct message_beat *beat, size_t offset);
        size_t offset;
    } metrics[] = {
        {"muster_trial_step", "Current step of the trial.", step_of, 0},
        {"muster_trial_steps", "Total steps of the trial.", steps_of, 0},
        {"muster_trial_epoch", "Current epoch of the trial.", epoch_of, 0},
        {"muster_trial_loss", "Training loss of the last step.", beat_number, offsetof(struct message_beat, loss)},
        {"muster_trial_learning_rate", "Learning rate of the last step.", beat_number, offsetof(struct message_beat, lr)},
        {"muster_trial_gradient_norm", "Norm of the last gradient, before clipping.", beat_number,
         offsetof(struct message_beat, grad_norm)},
        {"muster_trial_tokens_per_second", "Training tokens per second.", beat_number,
         offsetof(struct message_beat, tokens_per_second)},
        {"muster_trial_peak_ratio", "Matrix-product work as a fraction of the measured peak of the processor; 0: not measured.",
         beat_number, offsetof(struct message_beat, peak_share)},
    };
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++)
        add_of_trial(b, d, metrics[i].name, metrics[i].help, metrics[i].value, metrics[i].offset);
}

static void add_silence(struct buffer *b, const struct dispatch *d)
{
    double now = clock_seconds();
    family(b, "muster_group_silence_seconds", "gauge", "Seconds since the last message of the group.");
    for (size_t i = 0; i < d->roster.count; i++) {
        const struct group *g = d->roster.groups[i];
        const struct label labels[] = {{"group", g->token}, {"host", g->hello.host}};
        double silence;
        if (ROSTER_LIVE >> g->state & 1)
            sample(b, "muster_group_silence_seconds", labels, 2, group_most_silent(g, &silence) < 0 ? now - g->started : silence);
    }
}

/* ---- for dispatch ---- */

int dispatch_metrics_open(struct dispatch *d, int *port, struct error *e)
{
    *port = 0;
    if (!d->options.serve_metrics)
        return 0;
    if (metrics_server_create(&d->metrics, d->options.metrics_port, e))
        return -1;
    *port = metrics_server_port(d->metrics);
    dispatch_metrics_update(d, true);
    return 0;
}

void dispatch_metrics_update(struct dispatch *d, bool now)
{
    struct buffer b = {0};
    if (!d->metrics || (!now && clock_seconds() - d->measured < UPDATE_INTERVAL))
        return;
    d->measured = clock_seconds();
    add_process(&b, d);
    add_states(&b, d);
    add_counts(&b, d);
    add_trials(&b, d);
    add_silence(&b, d);
    metrics_server_set(d->metrics, b.data);
}
