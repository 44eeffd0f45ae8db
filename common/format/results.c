/* SPDX-License-Identifier: Apache-2.0 */
/* Owns HDF5: the logits of a trial, and the results of a run.
 *
 * A logits file starts with a user block (HDF5's room for others) that holds the sha256 of all behind it. It is checked before
 * HDF5 sees the file: the library does not survive every flipped byte. */
#include "common/format/results.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/sha256.h"

#include <errno.h>
#include <hdf5.h>
#include <hdf5_hl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define USER_BLOCK 512
#define SEAL "muster logits sha256 "
#define CHUNK_VALUES 16384u /* 64 KiB of float32 a chunk */
#define ROWS_AT_ONCE 4096u

/* ---- HDF5 in our terms ---- */

/* Of the system's own words, where HDF5 quotes them among times and addresses, nothing but those. */
static herr_t keep_first(unsigned n, const H5E_error2_t *cause, void *to)
{
    static const char mark[] = "error message = '";
    const char *quoted = n == 0 && cause->desc ? strstr(cause->desc, mark) : NULL;
    if (quoted)
        snprintf(to, 200, "%.*s", (int)strcspn(quoted + strlen(mark), "'"), quoted + strlen(mark));
    else if (n == 0 && cause->desc)
        snprintf(to, 200, "%s", cause->desc);
    return 0;
}

/* What HDF5 says of the innermost cause, behind our words. */
static int library_failed(struct error *e, enum error_kind kind, const char *path, const char *what)
{
    char cause[200] = "";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_first, cause);
    H5Eclear2(H5E_DEFAULT);
    return error_set(e, kind, "%s: %s%s%s", path, what, cause[0] ? ": " : "", cause);
}

/* Files are private until renamed, so they need no locks (which some cluster file systems refuse). Closing a file closes all in
 * it. A file that could not be closed on a full disk makes HDF5 crash when it cleans up at exit, so it does not: nothing is left
 * open. */
static hid_t access_list(void)
{
    H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* HDF5's own prints of the error stack */
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    H5Pset_file_locking(access, false, true);
    return access;
}

static hid_t create_file(const char *path, hsize_t user_block)
{
    hid_t access = access_list(), creation = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_userblock(creation, user_block);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, creation, access);
    H5Pclose(creation);
    H5Pclose(access);
    return file;
}

/* HDF5's constants are calls that start the library, too late for H5dont_atexit: no caller names one before the list is made. */
static hid_t open_file(const char *path, bool writable)
{
    hid_t access = access_list(), file = H5Fopen(path, writable ? H5F_ACC_RDWR : H5F_ACC_RDONLY, access);
    H5Pclose(access);
    return file;
}

static hid_t text_type(void)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

static int write_attribute(hid_t object, const char *name, hid_t type, const void *value)
{
    hid_t space = H5Screate(H5S_SCALAR), attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    herr_t status = H5Awrite(attribute, type, value);
    H5Sclose(space);
    return status < 0 || H5Aclose(attribute) < 0 ? -1 : 0;
}

static int write_text_attribute(hid_t object, const char *name, const char *value)
{
    hid_t type = text_type();
    int result = write_attribute(object, name, type, &value);
    H5Tclose(type);
    return result;
}

/* A dataset (rows) or (rows, labels), chunked; missing groups on the way are made. */
static hid_t create_dataset(hid_t file, const char *name, hid_t type, hsize_t rows, hsize_t labels /* 0: one-dimensional */)
{
    hsize_t width = labels ? labels : 1, room = CHUNK_VALUES / width ? CHUNK_VALUES / width : 1;
    hsize_t shape[] = {rows, width}, chunk[] = {rows < room && rows ? rows : room, width};
    hid_t space = H5Screate_simple(labels ? 2 : 1, shape, NULL), layout = H5Pcreate(H5P_DATASET_CREATE);
    hid_t links = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_chunk(layout, labels ? 2 : 1, chunk);
    H5Pset_obj_track_times(layout, false); /* same results, same bytes */
    H5Pset_create_intermediate_group(links, 1);
    hid_t dataset = H5Dcreate2(file, name, type, space, links, layout, H5P_DEFAULT);
    H5Pclose(links);
    H5Pclose(layout);
    H5Sclose(space);
    return dataset;
}

/* Rows [start, start + count) of a dataset. */
static int write_rows(hid_t dataset, hid_t type, hsize_t start, hsize_t count, hsize_t labels, const void *values)
{
    hsize_t from[] = {start, 0}, shape[] = {count, labels ? labels : 1};
    hid_t where = H5Dget_space(dataset), memory = H5Screate_simple(labels ? 2 : 1, shape, NULL);
    herr_t status = H5Sselect_hyperslab(where, H5S_SELECT_SET, from, NULL, shape, NULL);
    if (status >= 0 && count)
        status = H5Dwrite(dataset, type, memory, where, H5P_DEFAULT, values);
    H5Sclose(memory);
    H5Sclose(where);
    return status < 0 ? -1 : 0;
}

static int write_whole(hid_t file, const char *name, hid_t type, hsize_t rows, hsize_t labels, const void *values)
{
    hid_t dataset = create_dataset(file, name, type, rows, labels);
    int result = write_rows(dataset, type, 0, rows, labels, values);
    return H5Dclose(dataset) < 0 ? -1 : result;
}

/* Names the two dimensions of the logits, and hangs the datasets `row_scale` (NULL: none) and "label" on them. */
static int attach_scales(hid_t file, hid_t logits, const char *row_scale)
{
    const char *const names[] = {row_scale, "/label"}, *const dimensions[] = {"row", "label"};
    for (unsigned i = 0; i < 2; i++) {
        if (!row_scale) {
            if (H5DSset_label(logits, i, dimensions[i]) < 0)
                return -1;
            continue;
        }
        hid_t scale = H5Dopen2(file, names[i], H5P_DEFAULT);
        int is_scale = H5DSis_scale(scale) > 0;
        herr_t status = is_scale ? 0 : H5DSset_scale(scale, dimensions[i]);
        if (status < 0 || H5DSattach_scale(logits, scale, i) < 0 || H5DSset_label(logits, i, dimensions[i]) < 0 ||
            H5Dclose(scale) < 0)
            return -1;
    }
    return 0;
}

static char *logits_name(const char *prefix, enum part part, int epoch)
{
    return format_string("%s/%s/epoch-%d/logits", prefix, part_names[part], epoch);
}

/* H5Lexists wants every group on the way to exist. */
static bool link_exists(hid_t file, const char *name)
{
    char *path = duplicate(name);
    bool found = true;
    for (char *at = path + 1; found && (at = strchr(at, '/')); at++) {
        *at = 0;
        found = H5Lexists(file, path, H5P_DEFAULT) > 0;
        *at = '/';
    }
    found = found && H5Lexists(file, path, H5P_DEFAULT) > 0;
    free(path);
    H5Eclear2(H5E_DEFAULT);
    return found;
}

static int write_logits(hid_t file, const char *name, const char *row_scale, const struct logits *l, const char *metrics,
                        const char *options)
{
    hid_t dataset = create_dataset(file, name, H5T_IEEE_F32LE, l->rows, l->labels);
    if (dataset < 0 || write_rows(dataset, H5T_NATIVE_FLOAT, 0, l->rows, l->labels, l->values) ||
        attach_scales(file, dataset, row_scale) || write_attribute(dataset, "loss", H5T_NATIVE_DOUBLE, &l->loss) ||
        write_text_attribute(dataset, "split_sha256", l->split_sha256) ||
        (metrics && write_text_attribute(dataset, "metrics", metrics)) ||
        (options && write_text_attribute(dataset, "options", options)))
        return -1;
    return H5Dclose(dataset) < 0 ? -1 : 0;
}

/* ---- a trial's logits ---- */

static int unsealed(struct error *e, const char *path, const char *what)
{
    return error_set(e, ERROR_DATA, "%s: %s; delete it and run the same command again: it is rebuilt", path, what);
}

static int check_seal(const struct file_map *map, const char *path, struct error *e)
{
    const char *bytes = map->data;
    char found[SHA256_HEX];
    if (map->size < USER_BLOCK || memcmp(bytes, SEAL, strlen(SEAL)))
        return unsealed(e, path, "is not a logits file of muster");
    sha256_bytes(bytes + USER_BLOCK, map->size - USER_BLOCK, found);
    if (memcmp(bytes + strlen(SEAL), found, SHA256_HEX - 1))
        return unsealed(e, path, "is damaged or cut (its sha256 does not match)");
    return 0;
}

static int check_sealed_file(const char *path, struct error *e)
{
    struct file_map map;
    if (file_map(&map, path, e))
        return -1;
    int result = check_seal(&map, path, e);
    file_unmap(&map);
    return result;
}

/* Puts the hash of what HDF5 has written into the user block, through the writer that will put the file in place. */
static int seal(struct file_writer *w, const char *path, struct error *e)
{
    struct file_map map;
    char block[USER_BLOCK] = SEAL, sha256[SHA256_HEX];
    if (file_map(&map, file_writer_path(w), e))
        return -1;
    sha256_bytes((const char *)map.data + USER_BLOCK, map.size - USER_BLOCK, sha256);
    file_unmap(&map);
    memcpy(block + strlen(SEAL), sha256, SHA256_HEX - 1);
    block[strlen(SEAL) + SHA256_HEX - 1] = '\n';
    if (fseek(file_writer_stream(w), 0, SEEK_SET) || fwrite(block, sizeof block, 1, file_writer_stream(w)) != 1)
        return error_errno(e, errno, "%s: cannot be written", path);
    return 0;
}

/* The file so far, as the start of the new one. */
static int copy_into(struct file_writer *w, const char *path, struct error *e)
{
    struct file_map map;
    if (file_map(&map, path, e))
        return -1;
    int result = check_seal(&map, path, e);
    if (!result && (fwrite(map.data, map.size, 1, file_writer_stream(w)) != 1 || fflush(file_writer_stream(w))))
        result = error_errno(e, errno, "%s: cannot be written", path);
    file_unmap(&map);
    return result;
}

static int write_numbers(hid_t file, const char *name, uint32_t count)
{
    uint32_t *numbers = allocate(count, sizeof *numbers);
    for (uint32_t i = 0; i < count; i++)
        numbers[i] = i;
    int result = link_exists(file, name) ? 0 : write_whole(file, name, H5T_NATIVE_UINT32, count, 0, numbers);
    free(numbers);
    return result;
}

static int append_to(hid_t file, const struct logits *l)
{
    char *name = logits_name("", l->part, l->epoch), *row_scale = format_string("/%s/row", part_names[l->part]);
    int result = link_exists(file, name) && H5Ldelete(file, name, H5P_DEFAULT) < 0 ? -1 : 0;
    if (result || write_numbers(file, "/label", l->labels) || write_numbers(file, row_scale, l->rows) ||
        write_logits(file, name, row_scale, l, NULL, NULL))
        result = -1;
    free(row_scale);
    free(name);
    return result;
}

/* An epoch that is trained again after a crash has the same logits: the file stays as it is, with the bytes of a run without one.
 */
static bool holds(const char *path, const struct logits *l)
{
    struct logits there;
    struct error e;
    if (logits_read(&there, path, l->part, l->epoch, NULL, &e))
        return false;
    bool same = there.rows == l->rows && there.labels == l->labels && there.loss == l->loss &&
                strcmp(there.split_sha256, l->split_sha256) == 0 &&
                memcmp(there.values, l->values, (size_t)l->rows * l->labels * sizeof *l->values) == 0;
    logits_free(&there);
    return same;
}

int logits_append(const char *path, const struct logits *l, struct error *e)
{
    bool existed = file_exists(path);
    struct file_writer *w;
    if (existed && holds(path, l))
        return 0;
    if (file_writer_create(&w, path, e))
        return -1;
    if (existed && copy_into(w, path, e))
        goto fail;
    hid_t file = existed ? open_file(file_writer_path(w), true) : create_file(file_writer_path(w), USER_BLOCK);
    int result = file < 0 ? -1 : append_to(file, l);
    if (result) /* before closing, which would replace the cause */
        library_failed(e, ERROR_FAILED, path, "cannot be written");
    if (file >= 0 && H5Fclose(file) < 0 && !result)
        result = library_failed(e, ERROR_FAILED, path, "cannot be written");
    if (result || seal(w, path, e))
        goto fail;
    return file_writer_commit(&w, e);
fail:
    file_writer_destroy(&w);
    return -1;
}

static int check_shape(hid_t dataset, struct logits *l, const char *path, const char *name, struct error *e)
{
    hsize_t shape[2] = {0};
    hid_t space = H5Dget_space(dataset), type = H5Dget_type(dataset);
    bool sound = H5Sget_simple_extent_ndims(space) == 2 && H5Sget_simple_extent_dims(space, shape, NULL) == 2 &&
                 H5Tget_class(type) == H5T_FLOAT && shape[0] <= UINT32_MAX && shape[1] <= UINT32_MAX && shape[1] > 0;
    H5Tclose(type);
    H5Sclose(space);
    /* the values take up room in the file, so a size that a sound file states can be allocated */
    if (!sound || shape[0] > H5Dget_storage_size(dataset) / sizeof(float) / shape[1])
        return error_set(e, ERROR_DATA, "%s: %s is not a float32 table of rows and labels", path, name);
    l->rows = (uint32_t)shape[0];
    l->labels = (uint32_t)shape[1];
    return 0;
}

static int read_attributes(hid_t dataset, struct logits *l)
{
    hid_t loss = H5Aopen(dataset, "loss", H5P_DEFAULT), sha256 = H5Aopen(dataset, "split_sha256", H5P_DEFAULT),
          type = text_type();
    char *text = NULL;
    int result = H5Aread(loss, H5T_NATIVE_DOUBLE, &l->loss) < 0 || H5Aread(sha256, type, &text) < 0 || !text ? -1 : 0;
    if (!result)
        snprintf(l->split_sha256, sizeof l->split_sha256, "%s", text);
    H5free_memory(text);
    H5Tclose(type);
    H5Aclose(sha256);
    return H5Aclose(loss) < 0 ? -1 : result;
}

static const char *id_of(const struct logits_rows *whose, uint32_t i)
{
    uint32_t row = whose && whose->rows ? whose->rows[i] : i;
    return whose && row < dataset_rows(whose->d) ? dataset_id(whose->d, row) : NULL;
}

static int check_finite(const struct logits *l, const char *path, const char *name, const struct logits_rows *whose,
                        struct error *e)
{
    for (uint32_t i = 0; i < l->rows; i++)
        for (uint32_t k = 0; k < l->labels; k++)
            if (!isfinite(l->values[(size_t)i * l->labels + k])) {
                const char *id = id_of(whose, i);
                return error_set(e, ERROR_DATA,
                                 "%s: %s: row %u%s%.80s%s, label %u is not finite: the model diverged; lower train.lr", path,
                                 name, i, id ? " (id " : "", id ? id : "", id ? ")" : "", k);
            }
    return 0;
}

static int read_dataset(struct logits *l, hid_t file, const char *path, const char *name, const struct logits_rows *whose,
                        struct error *e)
{
    if (!link_exists(file, name))
        return error_set(e, ERROR_DATA, "%s: has no %s; train it again", path, name);
    hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    if (dataset < 0)
        return library_failed(e, ERROR_DATA, path, "cannot be read");
    if (check_shape(dataset, l, path, name, e))
        return -1;
    l->values = allocate((size_t)l->rows * l->labels, sizeof *l->values);
    if (H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, l->values) < 0 || read_attributes(dataset, l))
        return library_failed(e, ERROR_DATA, path, "cannot be read");
    return check_finite(l, path, name, whose, e);
}

static int read_unchecked(struct logits *ret, hid_t file, const char *path, enum part part, int epoch,
                          const struct logits_rows *whose, struct error *e)
{
    struct logits l = {.part = part, .epoch = epoch};
    char *name = logits_name("", part, epoch);
    int result = read_dataset(&l, file, path, name, whose, e);
    free(name);
    if (result)
        logits_free(&l);
    else
        *ret = l;
    return result;
}

static int open_sealed(hid_t *ret, const char *path, struct error *e)
{
    if (check_sealed_file(path, e))
        return -1;
    *ret = open_file(path, false);
    return *ret < 0 ? library_failed(e, ERROR_DATA, path, "is not HDF5") : 0;
}

int logits_read(struct logits *ret, const char *path, enum part part, int epoch, const struct logits_rows *whose, struct error *e)
{
    hid_t file;
    if (open_sealed(&file, path, e))
        return -1;
    int result = read_unchecked(ret, file, path, part, epoch, whose, e);
    H5Fclose(file);
    return result;
}

void logits_free(struct logits *l)
{
    if (!l)
        return;
    free(l->values);
    *l = (struct logits){0};
}

/* ---- the results of a run ---- */

struct results {
    const char *path;
    hid_t file;
    const struct dataset *d;
    const struct split *s;
    bool scales; /* dimension scales are attached to the logits */
};

typedef const char *text_of_row(const struct dataset *d, uint32_t row);

/* rows (count) of d; NULL: all. */
static int write_texts(hid_t file, const char *name, const struct dataset *d, const uint32_t *rows, uint32_t count,
                       text_of_row *text)
{
    const char *texts[ROWS_AT_ONCE];
    hid_t type = text_type(), dataset = create_dataset(file, name, type, count, 0);
    int result = dataset < 0 ? -1 : 0;
    for (uint32_t start = 0; !result && start < count; start += ROWS_AT_ONCE) {
        uint32_t size = count - start < ROWS_AT_ONCE ? count - start : ROWS_AT_ONCE;
        for (uint32_t i = 0; i < size; i++)
            texts[i] = text(d, rows ? rows[start + i] : start + i);
        result = write_rows(dataset, type, start, size, 0, texts);
    }
    H5Tclose(type);
    return H5Dclose(dataset) < 0 ? -1 : result;
}

static int write_classes(const struct results *r, const char *name, enum part part)
{
    uint32_t count = r->s->part[part].count;
    int32_t *classes = allocate(count, sizeof *classes);
    for (uint32_t i = 0; i < count; i++)
        classes[i] = dataset_class(r->d, r->s->part[part].rows[i]);
    int result = write_whole(r->file, name, H5T_NATIVE_INT32, count, 0, classes);
    free(classes);
    return result;
}

static int write_targets(const struct results *r, const char *name, enum part part)
{
    uint32_t count = r->s->part[part].count, labels = dataset_labels(r->d);
    unsigned char *targets = allocate(labels, 1);
    hid_t dataset = create_dataset(r->file, name, H5T_NATIVE_UCHAR, count, labels);
    int result = dataset < 0 ? -1 : 0;
    for (uint32_t i = 0; !result && i < count; i++) {
        const float *row = dataset_targets(r->d, r->s->part[part].rows[i]);
        for (uint32_t k = 0; k < labels; k++)
            targets[k] = row[k] != 0;
        result = write_rows(dataset, H5T_NATIVE_UCHAR, i, 1, labels, targets);
    }
    free(targets);
    return H5Dclose(dataset) < 0 ? -1 : result;
}

static int write_part_rows(const struct results *r, enum part part)
{
    char *id = format_string("/rows/%s/id", part_names[part]), *group = format_string("/rows/%s/group", part_names[part]);
    char *label = format_string("/rows/%s/label", part_names[part]);
    const uint32_t *rows = r->s->part[part].rows, count = r->s->part[part].count;
    int result =
        write_texts(r->file, id, r->d, rows, count, dataset_id) || write_texts(r->file, group, r->d, rows, count, dataset_group);
    if (!result)
        result = dataset_is_multi(r->d) ? write_targets(r, label, part) : write_classes(r, label, part);
    free(label);
    free(group);
    free(id);
    return result ? -1 : 0;
}

static int check_against_split(const struct results *r, const struct logits *l, const char *path, struct error *e)
{
    uint32_t rows = r->s->part[l->part].count;
    if (strcmp(l->split_sha256, r->s->sha256))
        return error_set(e, ERROR_DATA, "%s: was made with another split (%.12s..., this is %.12s...)", path, l->split_sha256,
                         r->s->sha256);
    if (l->rows != rows || l->labels != dataset_labels(r->d))
        return error_set(e, ERROR_DATA, "%s: %s has %u rows and %u labels; the split has %u and %u", path, part_names[l->part],
                         l->rows, l->labels, rows, dataset_labels(r->d));
    return 0;
}

/* A scale lists what it is attached to in an attribute, which holds 4,000 of them at most and is read and written again for each
 * one more. */
#define SCALED_MOST 3900

static bool has_scales(const struct results_trial *trials, size_t count)
{
    uint64_t epochs = 0;
    for (size_t i = 0; i < count; i++)
        epochs += (uint64_t)trials[i].epochs;
    return epochs * PART_COUNT <= SCALED_MOST;
}

static int merge_epoch(const struct results *r, const struct results_trial *t, hid_t from, enum part part, int epoch,
                       struct error *e)
{
    char *source = logits_name("", part, epoch), *prefix = format_string("/trials/%s", t->key),
         *target = logits_name(prefix, part, epoch);
    char *row_scale = format_string("/rows/%s/id", part_names[part]);
    const struct logits_rows whose = {r->d, r->s->part[part].rows};
    struct logits l = {0};
    int result = 0;
    if (link_exists(from, source)) {
        const char *metrics = part == PART_VALIDATION && t->epoch_metrics ? t->epoch_metrics[epoch - 1] : NULL;
        result = read_unchecked(&l, from, t->logits_path, part, epoch, &whose, e) || check_against_split(r, &l, t->logits_path, e)
                     ? -1
                     : 0;
        if (!result && write_logits(r->file, target, r->scales ? row_scale : NULL, &l, metrics, t->options))
            result = library_failed(e, ERROR_FAILED, r->path, "cannot be written");
        logits_free(&l);
    }
    free(row_scale);
    free(target);
    free(prefix);
    free(source);
    return result;
}

static int merge_trial(const struct results *r, const struct results_trial *t, struct error *e)
{
    hid_t from;
    int result = 0;
    if (open_sealed(&from, t->logits_path, e))
        return -1;
    for (int part = 0; !result && part < PART_COUNT; part++)
        for (int epoch = 1; !result && epoch <= t->epochs; epoch++)
            result = merge_epoch(r, t, from, (enum part)part, epoch, e);
    H5Fclose(from);
    return result;
}

static int write_label_names(hid_t file, const char *const *names, uint32_t labels)
{
    hid_t type = text_type();
    int result = write_whole(file, "/label", type, labels, 0, names);
    H5Tclose(type);
    return result;
}

static int write_all(const struct results *r, const char *const *label_names, const struct results_trial *trials, size_t count,
                     struct error *e)
{
    int result = write_label_names(r->file, label_names, dataset_labels(r->d)) ||
                 write_text_attribute(r->file, "split_sha256", r->s->sha256);
    for (int part = 0; !result && part < PART_COUNT; part++)
        result = write_part_rows(r, (enum part)part);
    if (result)
        return library_failed(e, ERROR_FAILED, r->path, "cannot be written");
    for (size_t i = 0; i < count; i++)
        if (merge_trial(r, &trials[i], e))
            return -1;
    return 0;
}

/* Ends the file that `w` holds: in place if `result` is 0 and it closes well. */
static int finish(struct file_writer *w, hid_t file, int result, const char *path, struct error *e)
{
    if (file >= 0 && H5Fclose(file) < 0 && !result)
        result = library_failed(e, ERROR_FAILED, path, "cannot be written");
    if (!result)
        return file_writer_commit(&w, e);
    file_writer_destroy(&w);
    return -1;
}

int results_write(const char *path, const struct dataset *d, const struct split *s, const char *const *label_names,
                  const struct results_trial *trials, size_t count, struct error *e)
{
    struct file_writer *w;
    if (file_writer_create(&w, path, e))
        return -1;
    struct results r = {path, create_file(file_writer_path(w), 0), d, s, has_scales(trials, count)};
    int result =
        r.file < 0 ? library_failed(e, ERROR_FAILED, path, "cannot be written") : write_all(&r, label_names, trials, count, e);
    return finish(w, r.file, result, path, e);
}

static int write_metrics(hid_t file, const char *name, hid_t type, const struct predictions *p, const void *values)
{
    hid_t dataset = create_dataset(file, name, type, dataset_rows(p->data), p->labels);
    if (dataset < 0 || write_rows(dataset, type, 0, dataset_rows(p->data), p->labels, values) ||
        attach_scales(file, dataset, "/id"))
        return -1;
    return H5Dclose(dataset) < 0 ? -1 : 0;
}

static int write_predictions(hid_t file, const struct predictions *p)
{
    return write_texts(file, "/id", p->data, NULL, dataset_rows(p->data), dataset_id) ||
                   write_label_names(file, p->label_names, p->labels) ||
                   write_metrics(file, "/logits", H5T_NATIVE_FLOAT, p, p->logits) ||
                   write_metrics(file, "/probabilities", H5T_NATIVE_DOUBLE, p, p->probabilities) ||
                   write_metrics(file, "/decided", H5T_NATIVE_UCHAR, p, p->decided)
               ? -1
               : 0;
}

int predictions_write(const char *path, const struct predictions *p, struct error *e)
{
    struct file_writer *w;
    if (file_writer_create(&w, path, e))
        return -1;
    hid_t file = create_file(file_writer_path(w), 0);
    int result = file < 0 || write_predictions(file, p) ? library_failed(e, ERROR_FAILED, path, "cannot be written") : 0;
    return finish(w, file, result, path, e);
}
