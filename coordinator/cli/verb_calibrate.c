/* SPDX-License-Identifier: Apache-2.0 */
/* muster calibrate: temperatures by labelled validation rows. Of a bundle: thresholds move along with the probabilities, so that
 * decisions stay what they were. Of a run: its stored logits are tuned again, and all that follows is made again. */
#include "cluster/launcher.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/score/calibration.h"
#include "coordinator/bundle/bundle_score.h"
#include "coordinator/bundle/rule.h"
#include "coordinator/cli/input_arguments.h"
#include "coordinator/cli/verbs.h"
#include "coordinator/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct option calibrate_options[] = {
    {"method", 0, "NAME", "temperature", "temperature: one for all labels; vector: one per label"},
    {"dry-run", 0, NULL, NULL, "for a bundle: measure only, change nothing"},
    {"allow-train", 0, NULL, NULL, "accept rows that the bundle was trained on; by default such data is refused"},
    INPUT_OPTIONS,
    {"device", 0, "NAME", "auto", "compute device: auto, cpu, cuda, cpu_reference"},
    {"threads", 0, "N", "0", "threads; 0: all cores"},
    {NULL},
};

#define LEAST_ROWS 10 /* of a label with a temperature of its own, as tune.min_positives has it */

/* ---- a run ---- */

static int calibrate_run(const char *directory, const char *method, struct error *e)
{
    struct job j;
    struct dispatch_options o = {0};
    char *path = path_join(directory, "job.json"), *calibrate = format_string("tune.calibrate=\"%s\"", method),
         *out = format_string("out=%s", directory), *worker = NULL;
    const char *const overrides[] = {calibrate, out};
    int status = job_read(&j, path, overrides, 2, e);
    if (status == 0) {
        status = launcher_worker_path(&worker, e);
        o.worker = worker;
        if (status == 0)
            status = run_until(&j, STAGE_PUBLISH, &o, e);
        job_free(&j);
    }
    if (status == 0)
        printf("the bundle is calibrated; set \"calibrate\": \"%s\" in the job's \"tune\" to keep it in the next run\n", method);
    free(worker);
    free(out);
    free(calibrate);
    free(path);
    return status;
}

static int check_run(const char *directory, bool dry, struct error *e)
{
    if (directory_holds(directory, BUNDLE_INFERENCE))
        return error_set(e, ERROR_USAGE, "%s: a bundle is calibrated on labeled rows: muster calibrate BUNDLE DATA", directory);
    if (!directory_holds(directory, "job.json"))
        return error_set(e, ERROR_USAGE, "%s: is neither a run directory nor a bundle", directory);
    if (!directory_holds(directory, "bundle/" BUNDLE_INFERENCE))
        return error_set(e, ERROR_USAGE, "%s: the run is not finished; run the same muster run command again to finish it",
                         directory);
    return dry ? error_set(e, ERROR_USAGE, "--dry-run is for bundles; a run's report shows both") : 0;
}

/* ---- a bundle ---- */

/* What the bundle has, and what is to take its place. */
struct change {
    struct bundle_score s;
    struct temperature_fit fit;
    double *temperatures, *thresholds; /* (labels) */
    struct reliability before, after;
    uint32_t decided_otherwise; /* rows */
};

/* sigmoid(logit(t) old / new): what p = t at the old temperature is at the new one. */
static double moved(double threshold, double old, double new)
{
    if (threshold <= 0 || threshold >= 1)
        return threshold;
    return 1 / (1 + exp(-log(threshold / (1 - threshold)) * old / new));
}

/* Of two classes with a temperature each there is no threshold that decides as before. */
static bool thresholds_move(const struct change *c)
{
    const struct label_set *l = bundle_labels(c->s.bundle);
    return l->multi || (l->count == 2 && !bundle_decision(c->s.bundle)->own_temperatures && c->fit.own == 0);
}

static void count_changes(struct change *c)
{
    struct truth kind = bundle_score_kind(&c->s);
    uint8_t *now = decisions_make(&kind, c->s.logits, c->temperatures, c->thresholds);
    for (size_t i = 0; i < c->s.rows; i++)
        c->decided_otherwise += memcmp(now + i * c->s.labels, c->s.decided + i * c->s.labels, c->s.labels) != 0;
    free(now);
}

static int fit(struct change *c, const char *method, struct error *e)
{
    struct truth truth;
    const struct decision_rule *d = bundle_decision(c->s.bundle);
    truth_read(&truth, c->s.data, NULL, c->s.rows, d->positive);
    struct validation_outputs v = {c->s.logits, truth.class, truth.targets, c->s.rows, c->s.labels};
    bool each = strcmp(method, "vector") == 0;
    c->temperatures = allocate(c->s.labels, sizeof *c->temperatures);
    c->thresholds = allocate(c->s.labels, sizeof *c->thresholds);
    int status = each ? temperature_fit_each(c->temperatures, NULL, &c->fit, v, LEAST_ROWS, e) : temperature_fit(&c->fit, v, e);
    for (uint32_t l = 0; status == 0 && l < c->s.labels; l++) {
        c->temperatures[l] = each ? c->temperatures[l] : c->fit.temperature;
        c->thresholds[l] =
            thresholds_move(c) ? moved(d->thresholds[l], d->temperatures[l], c->temperatures[l]) : d->thresholds[l];
    }
    if (status == 0 && (calibration_measure(&c->before, v, d->positive, d->temperatures, e) != 0 ||
                        calibration_measure(&c->after, v, d->positive, c->temperatures, e) != 0))
        status = -1;
    if (status == 0)
        count_changes(c);
    truth_free(&truth);
    return status;
}

static void set_each(struct json *to, const char *key, const struct label_set *l, const double *values)
{
    struct json *each = json_set(to, key, json_object());
    for (uint32_t i = 0; i < l->count; i++)
        json_set_number(each, l->names[i], values[i]);
}

static int apply(const char *path, const struct change *c, struct error *e)
{
    const struct bundle *b = c->s.bundle;
    const struct label_set *l = bundle_labels(b);
    const struct decision_rule *d = bundle_decision(b);
    struct json *changed = rule_copy(b);
    const struct json *one = json_get(changed, "threshold");
    json_set_number(changed, "temperature", c->fit.temperature);
    if (c->fit.own > 0)
        set_each(changed, "temperatures", l, c->temperatures);
    else if (d->own_temperatures)
        json_set(changed, "temperatures", json_null());
    if (l->multi) {
        json_set_number(changed, "threshold",
                        moved(one ? json_number(one) : d->thresholds[d->positive], d->temperature, c->fit.temperature));
        set_each(changed, "thresholds", l, c->thresholds);
    } else if (l->count == 2) {
        json_set_number(changed, "threshold", c->thresholds[d->positive]);
    }
    int status = rule_commit(path, b, changed, "calibrated", e);
    json_destroy(&changed);
    return status;
}

static void print_measure(const char *what, double temperature, bool each, const struct reliability *m)
{
    char words[32];
    snprintf(words, sizeof words, each ? "one per label" : "%.4f", temperature);
    printf("  %-6s  %11s  %8.6f  %8.6f  %8.6f\n", what, words, m->nll, m->ece, m->brier);
}

static void print_change(const struct change *c)
{
    if (c->fit.own > 0)
        printf("the bundle has %u per-label temperatures, %.6g for the other labels; ", c->fit.own, c->fit.temperature);
    else
        printf("the bundle has temperature %.6g; ", c->fit.temperature);
    if (c->decided_otherwise == 0)
        printf("%sdecisions are unchanged\n", thresholds_move(c) ? "its thresholds were adjusted, " : "");
    else
        printf("%u of %u rows are decided differently\n", c->decided_otherwise, c->s.rows);
}

static int calibrate_bundle(const struct arguments *a, const char *method, const struct bundle_score_options *o, struct error *e)
{
    struct change c = {0};
    if (bundle_score_run(&c.s, a->positional[0], a->positional[1], true, o, e) != 0)
        return -1;
    int status = fit(&c, method, e);
    if (status == 0) {
        const struct decision_rule *d = bundle_decision(c.s.bundle);
        printf("%u rows\n          temperature       NLL       ECE     Brier\n", c.s.rows);
        print_measure("before", d->temperature, d->own_temperatures, &c.before);
        print_measure("after", c.fit.temperature, c.fit.own > 0, &c.after);
        if (c.fit.why)
            printf("temperature 1: %s\n", c.fit.why);
        if (!(c.after.nll < c.before.nll))
            printf("no temperature lowers the NLL: the bundle is unchanged\n");
        else if (argument_given(a, "dry-run"))
            printf("nothing was changed\n");
        else if ((status = apply(a->positional[0], &c, e)) == 0)
            print_change(&c);
    }
    free(c.temperatures);
    free(c.thresholds);
    bundle_score_free(&c.s);
    return status;
}

int verb_calibrate(const struct arguments *a, struct error *e)
{
    const char *method = argument(a, "method");
    struct bundle_score_options o = {.device = argument(a, "device"),
                                     .overlap = argument_given(a, "allow-train") ? OVERLAP_ANY : OVERLAP_REFUSE_TRAIN};
    if (strcmp(method, "temperature") != 0 && strcmp(method, "vector") != 0)
        return error_set(e, ERROR_USAGE, "--method: expected temperature or vector, found \"%s\"", method);
    if (argument_whole(&o.threads, a, "threads", 0, 4096, e) != 0)
        return -1;
    if (a->count == 2) {
        if (input_arguments_read(&o.input, a, e) != 0)
            return -1;
        int status = calibrate_bundle(a, method, &o, e);
        input_arguments_free(&o.input);
        return status;
    }
    return check_run(a->positional[0], argument_given(a, "dry-run"), e) == 0 ? calibrate_run(a->positional[0], method, e) : -1;
}
