/* SPDX-License-Identifier: Apache-2.0 */
#include "common/format/csv_dialect.h"

#include "common/format/stream.h"

#include <string.h>

/* Cells of the record at *at, which moves behind its line end; 0: the sample ends within it. */
static size_t count_cells(const char *sample, size_t size, size_t *at, char separator, char line_end)
{
    size_t cells = 1;
    bool quoted = false;
    for (; *at < size && (quoted || sample[*at] != line_end); ++*at) {
        quoted ^= sample[*at] == '"';
        cells += !quoted && sample[*at] == separator;
    }
    bool whole = *at < size;
    ++*at;
    return whole ? cells : 0;
}

char csv_find_separator(const char *sample, size_t size, char line_end)
{
    static const char candidates[] = {',', ';', '\t', '|'};
    double best_share = 0;
    size_t best_cells = 1;
    char best = ',';
    for (size_t i = 0; i < sizeof candidates; i++) {
        size_t at = 0, records = 0, alike = 0, header = count_cells(sample, size, &at, candidates[i], line_end), cells;
        if (!header) { /* one line without an end */
            at = 0;
            while (at < size)
                header += sample[at++] == candidates[i];
            header++;
        }
        while (at < size && records < 100 && (cells = count_cells(sample, size, &at, candidates[i], line_end))) {
            records++;
            alike += cells == header;
        }
        double share = records ? (double)alike / (double)records : 1;
        if (header > 1 && (share > best_share || (share == best_share && header > best_cells))) {
            best = candidates[i];
            best_share = share;
            best_cells = header;
        }
    }
    return best;
}

/* Whether a cell's text begins with a quote and is not closed by one at its end, quotes inside being doubled. */
static bool has_stray_quote(const char *cell, size_t size)
{
    if (!size || *cell != '"')
        return false;
    for (size_t i = 1; i < size; i++)
        if (cell[i] == '"' && (i + 1 == size || cell[++i] != '"'))
            return i + 1 != size;
    return true;
}

int csv_find_plain_quotes(bool *plain, const char *path, const struct csv_options *o, struct error *e)
{
    struct stream *s;
    const char *line;
    size_t size, header = 0, lines = 0;
    bool stray = false, alike = true;
    int more;
    if (stream_open(&s, path, o->encoding, e))
        return -1;
    while (alike && (more = stream_line(s, &line, &size, e)) > 0) {
        size_t tabs = 0, start = 0;
        size -= size > 0 && line[size - 1] == '\r';
        if (!size)
            continue;
        for (size_t i = 0; i <= size; i++)
            if (i == size || line[i] == o->separator) {
                stray = stray || has_stray_quote(line + start, i - start);
                start = i + 1;
                tabs += i < size;
            }
        header = lines++ ? header : tabs;
        alike = tabs == header;
    }
    stream_close(&s);
    *plain = alike && stray;
    return alike && more < 0 ? -1 : 0;
}
