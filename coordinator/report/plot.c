/* SPDX-License-Identifier: Apache-2.0 */
/* gnuplot: its script, its child process, and what becomes of its SVG in a page. */
#include "coordinator/report/plot.h"

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/process.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_MOST 40 /* bytes of a name in the legend */
#define GRID "#888888"
#define INK "#010203" /* no series has it: a page replaces it by its own text colour */

static const char *const palette[PLOT_COLOURS + 1] = {"#0b62a4", "#c8500a", "#0a7f5c", "#8a4f9e",
                                                      "#946c00", "#2f8197", "#757575"};

const char plot_symbols[] =
    "<svg width=\"0\" height=\"0\" style=\"position:absolute\" aria-hidden=\"true\" focusable=\"false\"><defs>"
    "<circle id=\"gpPt6\" r=\"1\" fill=\"currentColor\" stroke=\"none\"/></defs></svg>\n";

struct plot *plot_create(const char *id, const char *title, const char *description, const char *x_label, const char *y_label)
{
    struct plot *p = allocate(1, sizeof *p);
    p->id = duplicate(id);
    p->title = duplicate(title);
    p->description = duplicate(description);
    p->x_label = duplicate(x_label);
    p->y_label = duplicate(y_label);
    p->x_from = p->x_to = p->y_from = p->y_to = NAN;
    p->width = 480;
    p->height = 320;
    return p;
}

void plot_destroy(struct plot **plot)
{
    struct plot *p = *plot;
    if (!p)
        return;
    for (size_t i = 0; i < p->series_count; i++) {
        free(p->series[i].name);
        free(p->series[i].x);
        free(p->series[i].y);
    }
    for (size_t i = 0; i < p->text_count; i++)
        free(p->texts[i].text);
    free(p->series);
    free(p->texts);
    free(p->id);
    free(p->title);
    free(p->description);
    free(p->x_label);
    free(p->y_label);
    free(p);
    *plot = NULL;
}

static double *copy_of(const double *from, size_t count)
{
    double *to = allocate(count, sizeof *to);
    memcpy(to, from, count * sizeof *to);
    return to;
}

struct plot_series *plot_add(struct plot *p, const char *name, const double *x, const double *y, size_t count,
                             enum plot_mark mark, int colour)
{
    p->series = grow(p->series, &p->series_capacity, p->series_count + 1, sizeof *p->series);
    struct plot_series *s = &p->series[p->series_count++];
    *s = (struct plot_series){.name = duplicate(name),
                              .x = copy_of(x, count),
                              .y = copy_of(y, count),
                              .count = count,
                              .mark = mark,
                              .colour = colour,
                              .width = 2};
    return s;
}

void plot_line(struct plot *p, const char *name, double x0, double y0, double x1, double y1, int colour)
{
    plot_add(p, name, (double[]){x0, x1}, (double[]){y0, y1}, 2, MARK_DASHES, colour)->width = 1.2;
}

void plot_write(struct plot *p, double x, double y, int side, const char *text)
{
    p->texts = grow(p->texts, &p->text_capacity, p->text_count + 1, sizeof *p->texts);
    p->texts[p->text_count++] = (struct plot_text){x, y, duplicate(text), side};
}

/* ---- the script ---- */

/* In single quotes, where gnuplot substitutes nothing. Quotes inside become typographic ones: gnuplot does not read doubled
 * quotes at a string's beginning, and back quotes run commands elsewhere. */
static void add_quoted(struct buffer *b, const char *text)
{
    size_t size = 0;
    buffer_text(b, "'");
    for (const char *c = text; *c; c++, size++) {
        bool starts = ((unsigned char)*c & 0xC0) != 0x80;
        if (size >= NAME_MOST && starts) {
            buffer_text(b, "\xE2\x80\xA6");
            break;
        }
        if (*c == '\'' || *c == '`')
            buffer_text(b, "\xE2\x80\x99");
        else
            buffer_append(b, (unsigned char)*c < 0x20 || *c == 0x7F ? " " : c, 1);
    }
    buffer_text(b, "'");
}

static void add_bound(struct buffer *b, double value)
{
    if (isnan(value))
        buffer_text(b, "*");
    else
        buffer_printf(b, "%.9g", value);
}

static void add_range(struct buffer *b, const char *axis, double from, double to)
{
    buffer_printf(b, "set %srange [", axis);
    add_bound(b, from);
    buffer_text(b, ":");
    add_bound(b, to);
    buffer_text(b, "]\n");
}

static void add_label(struct buffer *b, const char *axis, const char *text)
{
    if (!text)
        return;
    buffer_printf(b, "set %slabel ", axis);
    add_quoted(b, text);
    buffer_text(b, " textcolor rgb '" INK "'\n");
}

static void add_axes(struct buffer *b, const struct plot *p)
{
    add_range(b, "x", p->x_from, p->x_to);
    add_range(b, "y", p->y_from, p->y_to);
    add_label(b, "x", p->x_label);
    add_label(b, "y", p->y_label);
    buffer_text(b, "set key textcolor rgb '" INK "' tmargin left horizontal Left reverse samplen 2 width -2\n");
    if (p->bare)
        buffer_text(b, "unset border\nunset tics\nset margins 0,0,1,2\n");
    else
        buffer_text(b,
                    "set border 3 linecolor rgb '" INK
                    "'\nset lmargin 8\nset rmargin 2\nset bmargin 3.2\nset tics nomirror out scale 0.4 textcolor rgb '" INK "'\n"
                    "set format '%g'\nset grid ytics linewidth 0.7 linetype 1 linecolor rgb '" GRID "'\n");
    if (p->whole_x)
        buffer_printf(b, "set xtics %.0f\n", fmax(1, ceil((p->x_to - p->x_from) / 10)));
}

static void add_texts(struct buffer *b, const struct plot *p)
{
    static const char *const sides[] = {"right offset -0.4,0.6", "center", "left"}; /* on the left, lines come in */
    for (size_t i = 0; i < p->text_count; i++) {
        const struct plot_text *t = &p->texts[i];
        buffer_text(b, "set label ");
        add_quoted(b, t->text);
        buffer_printf(b, " at first %.9g,%.9g %s textcolor rgb '" INK "'\n", t->x, t->y, sides[t->side + 1]);
    }
}

/* A blank line breaks a line. */
static void add_data(struct buffer *b, const struct plot *p)
{
    for (size_t i = 0; i < p->series_count; i++) {
        const struct plot_series *s = &p->series[i];
        buffer_printf(b, "$d%zu << END\n", i);
        for (size_t k = 0; k < s->count; k++)
            if (isfinite(s->x[k]) && isfinite(s->y[k]))
                buffer_printf(b, "%.9g %.9g\n", s->x[k], s->y[k]);
            else
                buffer_text(b, "\n");
        buffer_text(b, "END\n");
    }
}

static void add_plot(struct buffer *b, const struct plot *p)
{
    static const char *const marks[] = {"lines", "lines dashtype (6,4)", "points pointtype 7 pointsize 0.5",
                                        "linespoints pointtype 7 pointsize 0.5"};
    buffer_text(b, "plot ");
    for (size_t i = 0; i < p->series_count; i++) {
        const struct plot_series *s = &p->series[i];
        buffer_printf(b, "%s$d%zu using 1:2 with %s linewidth %.2g linecolor rgb '%s' ", i ? ", " : "", i, marks[s->mark],
                      s->width, palette[s->colour]);
        if (s->name) {
            buffer_text(b, "title ");
            add_quoted(b, s->name);
        } else
            buffer_text(b, "notitle");
    }
    buffer_text(b, "\n");
}

static void add_figure(struct buffer *b, const struct plot *p)
{
    buffer_printf(b,
                  "reset session\nset encoding utf8\n"
                  "set terminal svg size %d,%d dynamic font 'system-ui,13' noenhanced background 'white' name '%s'\n"
                  "set output '%s.svg'\n",
                  p->width, p->height, p->id, p->id);
    add_axes(b, p);
    add_texts(b, p);
    add_data(b, p);
    add_plot(b, p);
    buffer_text(b, "set title ");
    add_quoted(b, p->title);
    buffer_printf(b,
                  " textcolor rgb '" INK "'\n"
                  "set terminal pngcairo size %d,%d font 'sans,20' linewidth 2 pointscale 2 noenhanced background 'white'\n"
                  "set output '%s.png'\nreplot\nunset output\n",
                  2 * p->width, 2 * p->height, p->id);
}

/* ---- the child ---- */

#define MESSAGE_MOST 300 /* bytes of what gnuplot prints */

static int run_gnuplot(const char *directory, struct error *e)
{
    char *const words[] = {(char[]){"gnuplot"}, (char[]){"-d"}, (char[]){"script"}, NULL}; /* -d: nobody's own settings */
    struct buffer output;
    int status;
    if (process_run(&output, MESSAGE_MOST, &status, words, &(struct process_options){.directory = directory}, e) != 0)
        return -1;
    if (status != 0 && output.size > 0)
        error_set(e, ERROR_FAILED, "gnuplot refuses: %s", output.data);
    else if (status != 0)
        error_set(e, ERROR_FAILED, "gnuplot ended with status %d", status);
    buffer_free(&output);
    return status == 0 ? 0 : -1;
}

static int move_files(const char *from, const char *to, const char *id, struct error *e)
{
    static const char *const endings[] = {"svg", "png"};
    for (size_t i = 0; i < 2; i++) {
        char *source = format_string("%s/%s.%s", from, id, endings[i]), *target = format_string("%s/%s.%s", to, id, endings[i]);
        int status = rename(source, target) == 0 ? 0 : error_errno(e, errno, "%s: cannot be put in place", target);
        free(source);
        free(target);
        if (status != 0)
            return -1;
    }
    return 0;
}

int plots_draw(const char *directory, struct plot *const *plots, size_t count, struct error *e)
{
    struct buffer script = {0};
    char *draft = format_string("%s/%ld.tmp", directory, (long)getpid()), *path = path_join(draft, "script");
    for (size_t i = 0; i < count; i++)
        add_figure(&script, plots[i]);
    int status = count == 0 ? 0 : directory_create(draft, e);
    if (status == 0 && count > 0)
        status = file_write(path, script.data, script.size, e) == 0 ? run_gnuplot(draft, e) : -1;
    for (size_t i = 0; status == 0 && i < count; i++)
        status = move_files(draft, directory, plots[i]->id, e);
    directory_remove(draft, NULL);
    buffer_free(&script);
    free(path);
    free(draft);
    return status;
}

/* ---- in a page ---- */

/* "rgb(  1,   2,   3)" at text: the colour's place in the palette, or one of these, or -1. */
enum { COLOUR_INK = PLOT_COLOURS + 1, COLOUR_GRID };

static int colour_at(const char *text, size_t *length)
{
    int red, green, blue, end = 0;
    unsigned hex;
    if (sscanf(text, "rgb( %d , %d , %d )%n", &red, &green, &blue, &end) != 3 || end == 0)
        return -1;
    *length = (size_t)end;
    for (int i = 0; i <= PLOT_COLOURS; i++)
        if (sscanf(palette[i], "#%x", &hex) == 1 && hex == (unsigned)(red << 16 | green << 8 | blue))
            return i;
    return red == 1 && green == 2 && blue == 3 ? COLOUR_INK : red == 136 && green == 136 && blue == 136 ? COLOUR_GRID : -1;
}

/* Length of an element at text that has no place in a page, or 0: its own titles show up under the mouse; symbols are shared. */
static size_t surplus_at(const char *text)
{
    static const char *const ends[][2] = {{"<title>", "</title>"}, {"<defs>", "</defs>"}, {"<rect x=\"0\" y=\"0\"", "/>"}};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        const char *end = strncmp(text, ends[i][0], strlen(ends[i][0])) == 0 ? strstr(text, ends[i][1]) : NULL;
        if (end)
            return (size_t)(end - text) + strlen(ends[i][1]);
    }
    return 0;
}

/* Length of text that is written as it is not; writes what stands for it. */
static size_t replace_at(struct buffer *b, const char *text, const char *id)
{
    static const char canvas[] = "id=\"gnuplot_canvas\"", link[] = "xlink:href", black[] = " color=\"black\"";
    size_t length = surplus_at(text);
    if (length > 0)
        return length;
    int colour = strncmp(text, "rgb(", 4) == 0 ? colour_at(text, &length) : -1;
    if (colour >= 0) {
        if (colour == COLOUR_INK)
            buffer_text(b, "currentColor");
        else if (colour == COLOUR_GRID)
            buffer_text(b, "var(--line)");
        else
            buffer_printf(b, "var(--s%d)", colour);
        return length;
    }
    if (strncmp(text, canvas, sizeof canvas - 1) == 0) {
        buffer_printf(b, "id=\"%s_canvas\"", id);
        return sizeof canvas - 1;
    }
    if (strncmp(text, black, sizeof black - 1) == 0) /* it would hide the page's colour */
        return sizeof black - 1;
    if (strncmp(text, link, sizeof link - 1) == 0) {
        buffer_text(b, "href");
        return sizeof link - 1;
    }
    return 0;
}

static void add_attribute(struct buffer *b, const char *text)
{
    for (; *text; text++)
        if (*text == '"' || *text == '&' || *text == '<' || *text == '>')
            buffer_printf(b, "&#%d;", *text);
        else
            buffer_append(b, text, 1);
}

int plot_inline(char **ret, const char *directory, const struct plot *p, struct error *e)
{
    char *path = format_string("%s/%s.svg", directory, p->id), *svg = NULL;
    size_t size;
    struct buffer b = {0};
    int status = file_read(&svg, &size, path, e);
    const char *from = status == 0 ? strstr(svg, "<g id=\"gnuplot_canvas\"") : NULL;
    if (status == 0 && !from)
        status = error_set(e, ERROR_FAILED,
                           "%s: is not what gnuplot draws: was the disk full, or is it another version of gnuplot?", path);
    if (status == 0) {
        buffer_printf(&b, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", p->width, p->height);
        add_attribute(&b, p->description);
        buffer_text(&b, "\">");
        while (*from) {
            size_t skip = replace_at(&b, from, p->id);
            if (skip == 0)
                buffer_append(&b, from, 1);
            from += skip ? skip : 1;
        }
        *ret = b.data;
    }
    free(svg);
    free(path);
    return status;
}
