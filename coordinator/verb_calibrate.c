/* muster calibrate: the temperature of a bundle, by labelled validation rows. Thresholds move along with the probabilities, so
 * that every decision stays what it was. */
#include "common/score/calibration.h"
#include "coordinator/rule.h"
#include "coordinator/scoring.h"
#include "coordinator/verbs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const struct option calibrate_options[] = {
    {"dry-run", 0, NULL, NULL, "measure, change nothing"},
    {"allow-train", 0, NULL, NULL, "take rows that the bundle was trained on as they are; without it such data is refused"},
    {"device", 0, "NAME", "auto", "what computes: auto, cpu, cpu_reference"},
    {"threads", 0, "N", "0", "threads; 0: all cores"},
    {NULL},
};

/* sigmoid(logit(t) old / new): what p = t at the old temperature is at the new one. */
static double moved(double threshold, double old, double new)
{
    if (threshold <= 0 || threshold >= 1)
        return threshold;
    return 1 / (1 + exp(-log(threshold / (1 - threshold)) * old / new));
}

static void move_thresholds(struct json *changed, const struct bundle *b, double temperature)
{
    const struct label_set *l = bundle_labels(b);
    const struct decision *d = bundle_decision(b);
    const struct json *one = json_get(changed, "threshold");
    if (!l->multi && l->count != 2)
        return;
    json_set_number(changed, "threshold",
                    moved(one ? json_number(one) : d->thresholds[d->positive], d->temperature, temperature));
    struct json *each = l->multi ? json_set(changed, "thresholds", json_object()) : NULL;
    for (uint32_t i = 0; each && i < l->count; i++)
        json_set_number(each, l->names[i], moved(d->thresholds[i], d->temperature, temperature));
}

static void print_measure(const char *what, double temperature, const struct reliability *m)
{
    printf("  %-6s  %11.4f  %8.6f  %8.6f  %8.6f\n", what, temperature, m->nll, m->ece, m->brier);
}

static int apply(const char *path, const struct bundle *b, double temperature, struct error *e)
{
    struct json *changed = rule_copy(b);
    json_set_number(changed, "temperature", temperature);
    move_thresholds(changed, b, temperature);
    int status = rule_commit(path, b, changed, "calibrated", e);
    json_destroy(&changed);
    return status;
}

int verb_calibrate(const struct arguments *a, struct error *e)
{
    struct scoring s;
    struct scoring_options o = {.device = argument(a, "device"),
                                .known = argument_given(a, "allow-train") ? KNOWN_ANY : KNOWN_REFUSE_TRAIN};
    if (argument_whole(&o.threads, a, "threads", 0, 4096, e) != 0 ||
        scoring_run(&s, a->positional[0], a->positional[1], true, &o, e) != 0)
        return -1;
    struct truth truth;
    truth_read(&truth, s.data, NULL, s.rows, scoring_kind(&s).positive);
    struct validation_outputs v = {s.logits, truth.class, truth.targets, s.rows, s.labels};
    struct temperature_fit fit;
    struct reliability before, after;
    double old = bundle_decision(s.bundle)->temperature;
    int status = temperature_fit(&fit, v, e);
    if (status == 0 && (calibration_measure(&before, v, old, e) != 0 || calibration_measure(&after, v, fit.temperature, e) != 0))
        status = -1;
    if (status == 0) {
        bool better = after.nll < before.nll;
        printf("%u rows\n          temperature       NLL       ECE     Brier\n", s.rows);
        print_measure("before", old, &before);
        print_measure("after", fit.temperature, &after);
        if (!better)
            printf("no temperature lowers the NLL: the bundle stays as it is\n");
        else if (argument_given(a, "dry-run"))
            printf("nothing was changed\n");
        else if ((status = apply(a->positional[0], s.bundle, fit.temperature, e)) == 0)
            printf("temperature %.6g is in the bundle; its thresholds moved along, decisions are what they were\n",
                   fit.temperature);
    }
    truth_free(&truth);
    scoring_free(&s);
    return status;
}
