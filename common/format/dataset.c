/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the rows file: its layout, the checks on opening, the writer.
 *
 * Little-endian. A header of 256 bytes, then the sections in the order of `enum section`, each at a multiple of 64:
 *   DATA           u32 words: per row, its L targets (f32; multi-label only), then its token ids (i32)
 *   DATA_OFFSETS   u64 (rows + 1), in words of DATA
 *   FIRST          u32 (rows), tokens of type 0
 *   CLASS          i32 (rows), -1 without labels
 *   GROUP          u32 (rows), number of the row's group
 *   ID_OFFSETS     u64 (rows + 1), in bytes of IDS;  GROUP_OFFSETS u64 (groups + 1), in bytes of GROUPS
 *   IDS, GROUPS    texts, each with its NUL */
#include "common/format/dataset.h"

#include "common/base/arena.h"
#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/scratch.h"
#include "common/base/sha256.h"
#include "common/base/stop.h"
#include "common/base/table.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rows files are mapped as they lie on disk");

#define MAGIC "MUSTROWS"
#define VERSION 1u
#define ALIGNMENT 64u

enum section { DATA, DATA_OFFSETS, FIRST, CLASS, GROUP, ID_OFFSETS, GROUP_OFFSETS, IDS, GROUPS, SECTIONS };

struct header {
    char magic[8];
    uint32_t version, rows, labels, multi, groups, unused[3];
    struct {
        uint64_t offset, size;
    } section[SECTIONS];
    uint64_t file_size;
    char sha256[32], rows_sha256[32]; /* as digests: the hexadecimal form does not fit */
};

#define HEADER_SIZE 256
_Static_assert(sizeof(struct header) == HEADER_SIZE, "the header's size is part of the format");

/* ---- reader ---- */

struct dataset {
    struct file_map map;
    const struct header *header;
    uint32_t row_targets; /* words of targets in front of a row's tokens */
    const uint32_t *data, *first, *group;
    const int32_t *class;
    const uint64_t *data_offsets, *id_offsets, *group_offsets;
    const char *ids, *groups;
    char sha256[SHA256_HEX], rows_sha256[SHA256_HEX];
};

static int damaged(struct error *e, const char *path, const char *what)
{
    return error_set(e, ERROR_DATA, "%s: is damaged (%s); delete it and run the same command again: it is rebuilt", path, what);
}

static void digest_hex(char text[SHA256_HEX], const char digest[32])
{
    for (int i = 0; i < 64; i++) {
        unsigned byte = (unsigned char)digest[i / 2];
        text[i] = "0123456789abcdef"[i % 2 ? byte & 15 : byte >> 4];
    }
    text[64] = 0;
}

static void text_digest(char digest[32], const char text[SHA256_HEX])
{
    for (int i = 0; i < 32; i++) {
        char byte[3] = {text[2 * i], text[2 * i + 1], 0};
        digest[i] = (char)strtoul(byte, NULL, 16);
    }
}

/* Sizes that follow from the header's counts; 0 where only the content tells. */
static uint64_t section_size(const struct header *h, enum section section)
{
    const uint64_t sizes[SECTIONS] = {[DATA_OFFSETS] = 8 * ((uint64_t)h->rows + 1),
                                      [FIRST] = 4 * (uint64_t)h->rows,
                                      [CLASS] = 4 * (uint64_t)h->rows,
                                      [GROUP] = 4 * (uint64_t)h->rows,
                                      [ID_OFFSETS] = 8 * ((uint64_t)h->rows + 1),
                                      [GROUP_OFFSETS] = 8 * ((uint64_t)h->groups + 1)};
    return sizes[section];
}

static int check_header(const struct header *h, size_t size, const char *path, struct error *e)
{
    if (size < HEADER_SIZE || memcmp(h->magic, MAGIC, sizeof h->magic))
        return error_set(e, ERROR_DATA, "%s: is not a rows file of muster", path);
    if (h->version != VERSION)
        return error_set(e, ERROR_DATA, "%s: was made by another version of muster (format %u, expected %u); delete it", path,
                         h->version, VERSION);
    if (h->file_size != size)
        return damaged(e, path, "its size is not the one it was written with");
    if (h->multi > 1 || (h->multi && !h->labels) || h->labels > INT32_MAX || h->rows == UINT32_MAX)
        return damaged(e, path, "its header is inconsistent");
    for (int i = 0; i < SECTIONS; i++) {
        uint64_t offset = h->section[i].offset, bytes = h->section[i].size, expected = section_size(h, (enum section)i);
        if (offset % ALIGNMENT || offset < HEADER_SIZE || offset > size || bytes > size - offset ||
            (expected && bytes != expected))
            return damaged(e, path, "a section does not lie within the file");
    }
    return 0;
}

static const void *section_of(const struct dataset *d, enum section section)
{
    return (const char *)d->map.data + d->header->section[section].offset;
}

/* Texts lie back to back and each ends with its own NUL, so that accessors may hand out plain pointers. */
static bool texts_are_sound(const uint64_t *offsets, uint32_t count, const char *texts, uint64_t size)
{
    if (offsets[0] != 0 || offsets[count] != size)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (offsets[i + 1] <= offsets[i] || offsets[i + 1] > size || texts[offsets[i + 1] - 1])
            return false;
    return true;
}

static int check_rows(const struct dataset *d, const char *path, struct error *e)
{
    const struct header *h = d->header;
    if (h->section[DATA].size % 4 || d->data_offsets[0] != 0 || d->data_offsets[h->rows] != h->section[DATA].size / 4)
        return damaged(e, path, "the rows do not fill their section");
    for (uint32_t i = 0; i < h->rows; i++) {
        uint64_t start = d->data_offsets[i], end = d->data_offsets[i + 1];
        if (end < start || end > h->section[DATA].size / 4 || end - start < d->row_targets ||
            end - start - d->row_targets > INT32_MAX || d->first[i] > end - start - d->row_targets)
            return damaged(e, path, "a row does not lie within its section");
        if (d->class[i] < -1 || (d->class[i] >= 0 && (uint32_t)d->class[i] >= h->labels) || d->group[i] >= h->groups)
            return damaged(e, path, "a label or group does not exist");
    }
    if (!texts_are_sound(d->id_offsets, h->rows, d->ids, h->section[IDS].size) ||
        !texts_are_sound(d->group_offsets, h->groups, d->groups, h->section[GROUPS].size))
        return damaged(e, path, "an id or group does not lie within its section");
    return 0;
}

int dataset_open(struct dataset **ret, const char *path, struct error *e)
{
    struct dataset *d = allocate(1, sizeof *d);
    if (file_map(&d->map, path, e))
        goto fail;
    d->header = d->map.data;
    if (check_header(d->header, d->map.size, path, e))
        goto fail;
    d->row_targets = d->header->multi ? d->header->labels : 0;
    d->data = section_of(d, DATA);
    d->data_offsets = section_of(d, DATA_OFFSETS);
    d->first = section_of(d, FIRST);
    d->class = section_of(d, CLASS);
    d->group = section_of(d, GROUP);
    d->id_offsets = section_of(d, ID_OFFSETS);
    d->group_offsets = section_of(d, GROUP_OFFSETS);
    d->ids = section_of(d, IDS);
    d->groups = section_of(d, GROUPS);
    if (check_rows(d, path, e))
        goto fail;
    file_map_rest(&d->map);
    digest_hex(d->sha256, d->header->sha256);
    digest_hex(d->rows_sha256, d->header->rows_sha256);
    *ret = d;
    return 0;
fail:
    dataset_close(&d);
    return -1;
}

void dataset_close(struct dataset **d)
{
    if (!d || !*d)
        return;
    file_unmap(&(*d)->map);
    free(*d);
    *d = NULL;
}

uint32_t dataset_rows(const struct dataset *d)
{
    return d->header->rows;
}

uint32_t dataset_labels(const struct dataset *d)
{
    return d->header->labels;
}

bool dataset_is_multi(const struct dataset *d)
{
    return d->header->multi;
}

const char *dataset_sha256(const struct dataset *d)
{
    return d->sha256;
}

const char *dataset_rows_sha256(const struct dataset *d)
{
    return d->rows_sha256;
}

const char *dataset_id(const struct dataset *d, uint32_t row)
{
    return d->ids + d->id_offsets[row];
}

const char *dataset_group(const struct dataset *d, uint32_t row)
{
    return d->groups + d->group_offsets[d->group[row]];
}

uint32_t dataset_groups(const struct dataset *d)
{
    return d->header->groups;
}

uint32_t dataset_group_number(const struct dataset *d, uint32_t row)
{
    return d->group[row];
}

int32_t dataset_class(const struct dataset *d, uint32_t row)
{
    return d->class[row];
}

const float *dataset_targets(const struct dataset *d, uint32_t row)
{
    return d->row_targets ? (const float *)(d->data + d->data_offsets[row]) : NULL;
}

struct token_row dataset_tokens(const struct dataset *d, uint32_t row)
{
    uint64_t start = d->data_offsets[row] + d->row_targets;
    return (struct token_row){(const int32_t *)(d->data + start), (uint32_t)(d->data_offsets[row + 1] - start), d->first[row]};
}

#define WALKED_AT_ONCE 65536 /* rows */

void dataset_walked(const struct dataset *d, size_t end)
{
    if (end % WALKED_AT_ONCE == 0)
        file_map_rest(&d->map);
}

/* ---- writer ---- */

struct dataset_writer {
    struct file_writer *file;
    char *path;
    struct header header;
    struct arena *texts;
    struct table *ids, *groups; /* an id's number is its row */
    struct scratch rows;        /* of struct row */
    struct sha256 *all, *without_tokens;
    struct buffer name; /* of the row that is hashed: what both hashes have of it */
};

struct row {
    uint64_t end; /* in DATA, in words */
    uint32_t first, group;
    int32_t class;
};

static struct row *row_at(const struct dataset_writer *w, uint32_t number)
{
    return (struct row *)w->rows.data + number;
}

int dataset_writer_create(struct dataset_writer **ret, const char *path, uint32_t labels, bool multi, struct error *e)
{
    struct file_writer *file;
    if (file_writer_create(&file, path, e))
        return -1;
    file_writer_polls(file);
    struct dataset_writer *w = allocate(1, sizeof *w);
    w->file = file;
    w->path = duplicate(path);
    w->header = (struct header){.magic = MAGIC, .version = VERSION, .labels = labels, .multi = multi && labels};
    arena_create(&w->texts);
    table_create(&w->ids);
    table_create(&w->groups);
    sha256_create(&w->all);
    sha256_create(&w->without_tokens);
    const uint32_t shape[] = {VERSION, labels, w->header.multi};
    sha256_update(w->all, shape, sizeof shape);
    sha256_update(w->without_tokens, shape, sizeof shape);
    fwrite(&w->header, sizeof w->header, 1, file_writer_stream(file)); /* its place; the content comes with commit */
    *ret = w;
    return 0;
}

/* Rows of one group mostly stand together. */
static uint32_t add_group(struct dataset_writer *w, const char *group)
{
    uint32_t last = w->header.rows > 0 ? row_at(w, w->header.rows - 1)->group : 0;
    if (w->header.rows > 0 && !strcmp(table_key(w->groups, last), group))
        return last;
    uint32_t number = table_find(w->groups, group);
    return number != TABLE_ABSENT ? number : table_add(w->groups, arena_string(w->texts, group, strlen(group)));
}

static int add_id(struct dataset_writer *w, const char *id, struct error *e)
{
    uint32_t number = table_add(w->ids, arena_string(w->texts, id, strlen(id)));
    return number == w->header.rows
               ? 0
               : error_set(e, ERROR_DATA, "the id \"%.200s\" is that of row %u and of row %u (counted from 0); ids must differ",
                           id, number, w->header.rows);
}

static int check_row(const struct dataset_writer *w, const char *id, int32_t class, struct token_row tokens, struct error *e)
{
    if (class < -1 || (class >= 0 && (uint32_t) class >= w->header.labels))
        return error_set(e, ERROR_DATA, "row \"%.200s\": label %d is out of range; there are %u labels", id, class,
                         w->header.labels);
    if (tokens.first > tokens.length || tokens.length > INT32_MAX)
        return error_set(e, ERROR_FAILED, "row \"%.200s\": %u tokens of type 0 among %u", id, tokens.first, tokens.length);
    if (w->header.rows == UINT32_MAX - 1)
        return error_set(e, ERROR_DATA, "more than %u rows; split the file", UINT32_MAX - 1);
    return 0;
}

static void hash_row(struct dataset_writer *w, const char *id, const char *group, int32_t class, const float *targets,
                     struct token_row tokens)
{
    const uint32_t shape[] = {tokens.length, tokens.first};
    struct buffer *b = &w->name;
    buffer_clear(b);
    buffer_append(b, id, strlen(id) + 1);
    buffer_append(b, group, strlen(group) + 1);
    buffer_append(b, &class, sizeof class);
    if (targets)
        buffer_append(b, targets, w->header.labels * sizeof *targets);
    sha256_update(w->without_tokens, b->data, b->size);
    buffer_append(b, shape, sizeof shape);
    sha256_update(w->all, b->data, b->size);
    sha256_update(w->all, tokens.ids, tokens.length * sizeof *tokens.ids);
}

/* What lies in temporary files. */
static void rest(const struct dataset_writer *w)
{
    scratch_rest(&w->rows);
    arena_rest(w->texts);
}

/* Of a walk at its place i: false where a stop is asked for, which commit says. */
static bool goes_on(const struct dataset_writer *w, size_t i)
{
    if (i % WALKED_AT_ONCE != 0)
        return true;
    rest(w);
    return !stop_requested();
}

int dataset_writer_append(struct dataset_writer *w, const char *id, const char *group, int32_t class, const float *targets,
                          struct token_row tokens, struct error *e)
{
    if (check_row(w, id, class, tokens, e))
        return -1;
    if (w->header.multi && !targets)
        return error_set(e, ERROR_DATA, "row \"%.200s\": has no labels", id);
    if (add_id(w, id, e))
        return -1;
    FILE *stream = file_writer_stream(w->file);
    uint32_t number = w->header.rows, row_targets = w->header.multi ? w->header.labels : 0;
    if (row_targets)
        fwrite(targets, sizeof *targets, row_targets, stream);
    if (tokens.length)
        fwrite(tokens.ids, sizeof *tokens.ids, tokens.length, stream);
    if (ferror(stream))
        return error_errno(e, errno, "%s: cannot be written", w->path);
    hash_row(w, id, group, class, row_targets ? targets : NULL, tokens);
    if (number == w->rows.size / sizeof(struct row))
        scratch_resize(&w->rows, (number ? 2 * (size_t)number : 64) * sizeof(struct row));
    uint64_t start = number ? row_at(w, number - 1)->end : 0;
    *row_at(w, number) = (struct row){start + row_targets + tokens.length, tokens.first, add_group(w, group), class};
    if (++w->header.rows % WALKED_AT_ONCE == 0)
        rest(w);
    return 0;
}

uint32_t dataset_writer_groups(const struct dataset_writer *w)
{
    return (uint32_t)table_count(w->groups);
}

static void begin_section(struct dataset_writer *w, enum section section, uint64_t *at)
{
    static const char zeros[ALIGNMENT];
    size_t padding = (size_t)(-*at % ALIGNMENT);
    fwrite(zeros, 1, padding, file_writer_stream(w->file));
    *at += padding;
    w->header.section[section].offset = *at;
}

static void end_section(struct dataset_writer *w, enum section section, uint64_t size, uint64_t *at)
{
    w->header.section[section].size = size;
    *at += size;
}

static void write_columns(struct dataset_writer *w, uint64_t *at)
{
    /* One value a row: a member of struct row. */
    static const struct {
        enum section section;
        size_t offset, size;
        bool from_zero; /* offsets: a 0 in front of the ends */
    } columns[] = {{DATA_OFFSETS, offsetof(struct row, end), sizeof(uint64_t), true},
                   {FIRST, offsetof(struct row, first), sizeof(uint32_t), false},
                   {CLASS, offsetof(struct row, class), sizeof(int32_t), false},
                   {GROUP, offsetof(struct row, group), sizeof(uint32_t), false}};
    FILE *to = file_writer_stream(w->file);
    for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) {
        begin_section(w, columns[c].section, at);
        if (columns[c].from_zero)
            fwrite(&(uint64_t){0}, sizeof(uint64_t), 1, to);
        for (uint32_t i = 0; i < w->header.rows && goes_on(w, i); i++)
            fwrite((const char *)row_at(w, i) + columns[c].offset, columns[c].size, 1, to);
        end_section(w, columns[c].section, section_size(&w->header, columns[c].section), at);
    }
}

static void write_text_offsets(struct dataset_writer *w, enum section section, const struct table *texts, uint64_t *at)
{
    FILE *to = file_writer_stream(w->file);
    begin_section(w, section, at);
    uint64_t offset = 0;
    fwrite(&offset, sizeof offset, 1, to);
    for (size_t i = 0; i < table_count(texts) && goes_on(w, i); i++) {
        offset += strlen(table_key(texts, (uint32_t)i)) + 1;
        fwrite(&offset, sizeof offset, 1, to);
    }
    end_section(w, section, section_size(&w->header, section), at);
}

static void write_texts(struct dataset_writer *w, enum section section, const struct table *texts, uint64_t *at)
{
    FILE *to = file_writer_stream(w->file);
    begin_section(w, section, at);
    uint64_t size = 0;
    for (size_t i = 0; i < table_count(texts) && goes_on(w, i); i++) {
        const char *text = table_key(texts, (uint32_t)i);
        size += strlen(text) + 1;
        fwrite(text, strlen(text) + 1, 1, to);
    }
    end_section(w, section, size, at);
}

int dataset_writer_commit(struct dataset_writer **writer, struct error *e)
{
    struct dataset_writer *w = *writer;
    uint64_t words = w->header.rows ? row_at(w, w->header.rows - 1)->end : 0, at = HEADER_SIZE;
    char text[SHA256_HEX];
    w->header.groups = (uint32_t)table_count(w->groups);
    w->header.section[DATA].offset = at;
    end_section(w, DATA, 4 * words, &at);
    write_columns(w, &at);
    write_text_offsets(w, ID_OFFSETS, w->ids, &at);
    write_text_offsets(w, GROUP_OFFSETS, w->groups, &at);
    write_texts(w, IDS, w->ids, &at);
    write_texts(w, GROUPS, w->groups, &at);
    w->header.file_size = at;
    sha256_finish(&w->all, text);
    text_digest(w->header.sha256, text);
    sha256_finish(&w->without_tokens, text);
    text_digest(w->header.rows_sha256, text);
    int result = 0;
    if (fseek(file_writer_stream(w->file), 0, SEEK_SET)) {
        result = error_errno(e, errno, "%s: cannot be written", w->path);
    } else {
        fwrite(&w->header, sizeof w->header, 1, file_writer_stream(w->file));
        result = file_writer_commit(&w->file, e);
    }
    dataset_writer_destroy(writer);
    return result;
}

void dataset_writer_destroy(struct dataset_writer **writer)
{
    struct dataset_writer *w = writer ? *writer : NULL;
    if (!w)
        return;
    char text[SHA256_HEX];
    file_writer_destroy(&w->file);
    if (w->all)
        sha256_finish(&w->all, text);
    if (w->without_tokens)
        sha256_finish(&w->without_tokens, text);
    arena_destroy(&w->texts);
    table_destroy(&w->ids);
    table_destroy(&w->groups);
    buffer_free(&w->name);
    free(w->path);
    scratch_free(&w->rows);
    free(w);
    *writer = NULL;
}
