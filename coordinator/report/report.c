/* SPDX-License-Identifier: Apache-2.0 */
/* report.html: reads the run, draws, writes the page. */
#include "coordinator/report/report.h"

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "coordinator/report/report_page.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static void (*const sections[])(struct report_page *p) = {page_top,         page_result, page_trials, page_thresholds,
                                                          page_calibration, page_labels, page_errors, page_data,
                                                          page_provenance,  page_bottom};

static void undraw(char **drawn, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(drawn[i]);
        drawn[i] = NULL;
    }
}

/* Beside the page: "plots" of report.html, "page_plots" of any other page.html. */
static char *plots_directory(const char *file)
{
    const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file, *dot = strrchr(name, '.');
    if (strcmp(name, "report.html") == 0)
        return format_string("%.*spictures", (int)(name - file), file);
    return format_string("%.*s_pictures", (int)(dot && dot != name ? dot - file : (ptrdiff_t)strlen(file)), file);
}

/* drawn [plots->count]: all plots, or none. */
static int draw(char **drawn, const char *file, const struct report_plots *plots, struct error *e)
{
    char *path = plots_directory(file);
    int status = plots->count == 0 ? 0 : directory_create(path, e);
    if (status == 0)
        status = plots_draw(path, plots->items, plots->count, e);
    for (size_t i = 0; status == 0 && i < plots->count; i++)
        status = plot_inline(&drawn[i], path, plots->items[i], e);
    if (status != 0)
        undraw(drawn, plots->count);
    free(path);
    return status;
}

static int write_page(const char *file, struct report_page *page, struct error *e)
{
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++)
        sections[i](page);
    int status = file_write(file, page->html.data, page->html.size, e);
    buffer_free(&page->html);
    return status;
}

/* A page without plots is better than none. */
static int make(const char *file, struct report_page *page, struct error *e)
{
    struct report_plots plots;
    struct error words = {0};
    report_plots_make(&plots, page->run, page->validation, page->test, page->metrics);
    char **drawn = allocate(plots.count, sizeof *drawn);
    if (draw(drawn, file, &plots, &words) != 0) {
        log_warn("the report comes without plots: %s", words.message);
        page->why_not_drawn = words.message;
    }
    page->plots = &plots;
    page->drawn = drawn;
    int status = write_page(file, page, e);
    page->plots = NULL;
    page->drawn = NULL;
    page->why_not_drawn = NULL;
    undraw(drawn, plots.count);
    free(drawn);
    report_plots_free(&plots);
    return status;
}

int report_write(const char *directory, const char *file, bool with_test, struct error *e)
{
    struct report_run run;
    struct report_scores validation, test;
    if ((file && file_check_writable(file, e) != 0) || report_run_read(&run, directory, e) != 0)
        return -1;
    bool has_validation = report_scores_of(&validation, &run, PART_VALIDATION),
         has_test = report_scores_of(&test, &run, PART_TEST);
    struct label_metrics *metrics = has_validation ? scores_labels(&validation) : NULL,
                         *test_metrics = has_test ? scores_labels(&test) : NULL;
    struct report_page page = {.run = &run,
                               .validation = has_validation ? &validation : NULL,
                               .test = has_test ? &test : NULL,
                               .metrics = metrics,
                               .test_metrics = test_metrics,
                               .with_test = with_test};
    char *path = file ? duplicate(file) : path_join(directory, "report.html");
    int status = make(path, &page, e);
    free(path);
    free(metrics);
    free(test_metrics);
    report_run_free(&run);
    return status;
}
