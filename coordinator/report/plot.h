/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures: series of points on two axes, drawn as SVG and PNG files. The sole owner of gnuplot, which runs as a child process
 * and reads its script from standard input; no shell takes part, and every text is quoted. */
#pragma once

#include "common/base/error.h"

#include <stddef.h>

enum plot_mark { MARK_LINE, MARK_DASHES, MARK_POINTS, MARK_LINE_POINTS };

/* Colours that people with any colour vision tell apart; PICTURE_GREY is for what others are compared with. */
#define PLOT_COLOURS 6
#define PLOT_GREY PLOT_COLOURS

struct plot_series {
    char *name;    /* in the legend; NULL: not there */
    double *x, *y; /* (count); a NaN breaks the line */
    size_t count;
    enum plot_mark mark;
    int colour;
    double width;
};

struct plot_text {
    double x, y;
    char *text;
    int side; /* where the text lies: -1 left of the point, 0 around it, 1 right of it */
};

struct plot {
    char *id; /* file name without ending; letters, digits, '_' */
    char *title, *description, *x_label, *y_label;
    double x_from, x_to, y_from, y_to; /* NaN: as the data has it */
    bool whole_x;                      /* ticks at whole numbers */
    bool bare;                         /* no border, no ticks: series and texts alone */
    int width, height;
    struct plot_series *series;
    struct plot_text *texts;
    size_t series_count, series_capacity, text_count, text_capacity;
};

/* All texts are copied. description: what one sees, for those who cannot. */
struct plot *plot_create(const char *id, const char *title, const char *description, const char *x_label, const char *y_label);
void plot_destroy(struct plot **p);
/* Copies x and y; the result is borrowed until the next call and may be changed. */
struct plot_series *plot_add(struct plot *p, const char *name, const double *x, const double *y, size_t count,
                             enum plot_mark mark, int colour);
void plot_line(struct plot *p, const char *name, double x0, double y0, double x1, double y1, int colour);
void plot_write(struct plot *p, double x, double y, int side, const char *text);

/* Writes <directory>/<id>.svg and .png of each, replacing what is there. ERROR_FAILED: gnuplot is missing (with the command that
 * installs it) or refuses. */
int plots_draw(const char *directory, struct plot *const *plots, size_t count, struct error *e);
/* The drawn SVG as it stands inside an HTML page: text and axes take the page's colour, series the page's --s0 .. --s6. Caller
 * frees. Needs plot_symbols once in the page. */
int plot_inline(char **ret, const char *directory, const struct plot *p, struct error *e);
extern const char plot_symbols[];
