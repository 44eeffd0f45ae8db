/* SPDX-License-Identifier: Apache-2.0 */
/* The sections of a report's page, top to bottom. */
#pragma once

#include "coordinator/report/report_html.h"
#include "coordinator/report/report_plots.h"

struct report_page {
    struct buffer html;
    const struct report_run *run;
    const struct report_scores *validation, *test;      /* NULL: no logits */
    const struct label_metrics *metrics, *test_metrics; /* (label_count) of these parts; NULL likewise */
    const struct report_plots *plots;
    char *const *drawn; /* [plots->count] SVG, NULL: not drawn */
    const char *why_not_drawn;
    bool with_test;
};

void page_top(struct report_page *p);
void page_result(struct report_page *p);
void page_trials(struct report_page *p);
void page_thresholds(struct report_page *p);
void page_calibration(struct report_page *p);
void page_labels(struct report_page *p);
void page_errors(struct report_page *p);
void page_data(struct report_page *p);
void page_provenance(struct report_page *p);
void page_bottom(struct report_page *p);

/* Writes the plot with this id, if it was drawn. */
void page_plot(struct report_page *p, const char *id);
double page_number(const struct json *j); /* NaN unless a number */
