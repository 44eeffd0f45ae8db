/* SPDX-License-Identifier: Apache-2.0 */
/* Owns TensorBoard's event files. */
#include "worker/train/event_file.h"

#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/machine.h"
#include "common/base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "events.out.tfevents."
#define BY_EPOCHS "validation/" /* how the first tag of an epoch's event begins */
#define HEAD 12                 /* bytes of a frame before the message, and behind it: */
#define TAIL 4

struct event_file {
    char *path;
    int fd;
    struct buffer value, summary, event, frame; /* kept from event to event */
};

/* ---- CRC32C (Castagnoli), reflected polynomial 0x82f63b78 ---- */

static uint32_t crc32c(const void *bytes, size_t size)
{
    static uint32_t table[256];
    const unsigned char *at = bytes;
    uint32_t crc = ~0u;
    for (uint32_t i = 0; !table[255] && i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++)
            value = value & 1 ? value >> 1 ^ 0x82f63b78u : value >> 1;
        table[i] = value;
    }
    for (size_t i = 0; i < size; i++)
        crc = table[(crc ^ at[i]) & 255] ^ crc >> 8;
    return ~crc;
}

/* As TFRecord wants it: a CRC of data that holds CRCs would be weak. */
static uint32_t masked(const void *bytes, size_t size)
{
    uint32_t crc = crc32c(bytes, size);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* ---- Protocol Buffers, writing ---- */

enum wire { WIRE_VARINT, WIRE_64, WIRE_BYTES, WIRE_32 = 5 };

static void put_varint(struct buffer *b, uint64_t value)
{
    unsigned char bytes[10];
    size_t size = 0;
    do {
        bytes[size++] = (unsigned char)((value & 127) | (value > 127 ? 128 : 0));
    } while (value >>= 7);
    buffer_append(b, bytes, size);
}

static void put_number(struct buffer *b, int field, uint64_t value)
{
    put_varint(b, (uint64_t)field << 3 | WIRE_VARINT);
    put_varint(b, value);
}

static void put_double(struct buffer *b, int field, double value)
{
    put_varint(b, (uint64_t)field << 3 | WIRE_64);
    buffer_append(b, &value, sizeof value);
}

static void put_float(struct buffer *b, int field, float value)
{
    put_varint(b, (uint64_t)field << 3 | WIRE_32);
    buffer_append(b, &value, sizeof value);
}

static void put_bytes(struct buffer *b, int field, const void *bytes, size_t size)
{
    put_varint(b, (uint64_t)field << 3 | WIRE_BYTES);
    put_varint(b, size);
    buffer_append(b, bytes, size);
}

static void put_text(struct buffer *b, int field, const char *text)
{
    put_bytes(b, field, text, strlen(text));
}

static void put_message(struct buffer *b, int field, const struct buffer *message)
{
    put_bytes(b, field, message->data, message->size);
}

/* Field numbers of the messages named in the header. */
enum {
    EVENT_WALL_TIME = 1,
    EVENT_STEP = 2,
    EVENT_FILE_VERSION = 3,
    EVENT_SUMMARY = 5,
    EVENT_SESSION_LOG = 7,
    SESSION_LOG_STATUS = 1,
    SUMMARY_VALUE = 1,
    VALUE_TAG = 1,
    VALUE_SIMPLE = 2,
    VALUE_TENSOR = 8,
    VALUE_METADATA = 9,
    METADATA_PLUGIN_DATA = 1,
    PLUGIN_NAME = 1,
    PLUGIN_CONTENT = 2,
    HPARAMS_SESSION_START = 3,
    SESSION_START_HPARAMS = 1,
    ENTRY_KEY = 1,
    ENTRY_VALUE = 2,
    ANY_NUMBER = 2,
    ANY_TEXT = 3
};

/* ---- frames ---- */

static void add_frame(struct buffer *to, const struct buffer *event)
{
    uint64_t size = event->size;
    uint32_t crc = masked(&size, sizeof size);
    buffer_append(to, &size, sizeof size);
    buffer_append(to, &crc, sizeof crc);
    buffer_append(to, event->data, event->size);
    crc = masked(event->data, event->size);
    buffer_append(to, &crc, sizeof crc);
}

/* Size of the message of the whole frame at `bytes`, or 0. */
static uint64_t whole_frame(const char *bytes, size_t size)
{
    uint64_t length;
    uint32_t of_length, of_bytes;
    if (size < HEAD + TAIL)
        return 0;
    memcpy(&length, bytes, sizeof length);
    memcpy(&of_length, bytes + sizeof length, sizeof of_length);
    if (of_length != masked(&length, sizeof length) || length > size - HEAD - TAIL)
        return 0;
    memcpy(&of_bytes, bytes + HEAD + length, sizeof of_bytes);
    return of_bytes == masked(bytes + HEAD, length) ? length : 0;
}

/* ---- events ---- */

static void begin_event(struct event_file *f, uint64_t step)
{
    buffer_clear(&f->event);
    put_double(&f->event, EVENT_WALL_TIME, clock_wall());
    if (step)
        put_number(&f->event, EVENT_STEP, step);
}

static void add_option(struct buffer *to, const char *key, const struct json *option)
{
    struct buffer any = {0}, entry = {0};
    if (json_string(option))
        put_text(&any, ANY_TEXT, json_string(option));
    else
        put_double(&any, ANY_NUMBER, json_number(option));
    put_text(&entry, ENTRY_KEY, key);
    put_message(&entry, ENTRY_VALUE, &any);
    put_message(to, SESSION_START_HPARAMS, &entry);
    buffer_free(&entry);
    buffer_free(&any);
}

/* What the HParams page reads. Its value is an empty tensor of floats: dtype DT_FLOAT, one dimension of 0. */
static void add_options(struct buffer *frames, struct event_file *f, const struct json *options)
{
    static const unsigned char nothing[] = {0x08, 0x01, 0x12, 0x02, 0x12, 0x00};
    struct buffer start = {0}, content = {0}, plugin = {0}, metadata = {0};
    for (size_t i = 0; i < json_size(options); i++)
        add_option(&start, json_key(options, i), json_at(options, i));
    put_message(&content, HPARAMS_SESSION_START, &start);
    put_text(&plugin, PLUGIN_NAME, "hparams");
    put_message(&plugin, PLUGIN_CONTENT, &content);
    put_message(&metadata, METADATA_PLUGIN_DATA, &plugin);
    buffer_clear(&f->value);
    put_text(&f->value, VALUE_TAG, "_hparams_/session_start_info");
    put_bytes(&f->value, VALUE_TENSOR, nothing, sizeof nothing);
    put_message(&f->value, VALUE_METADATA, &metadata);
    buffer_clear(&f->summary);
    put_message(&f->summary, SUMMARY_VALUE, &f->value);
    begin_event(f, 0);
    put_message(&f->event, EVENT_SUMMARY, &f->summary);
    add_frame(frames, &f->event);
    buffer_free(&start);
    buffer_free(&content);
    buffer_free(&plugin);
    buffer_free(&metadata);
}

/* The version; and that a session starts, at which a reader forgets the steps it has of older files. */
static void add_head(struct buffer *frames, struct event_file *f)
{
    static const unsigned char started[] = {SESSION_LOG_STATUS << 3 | WIRE_VARINT, 1};
    begin_event(f, 0);
    put_text(&f->event, EVENT_FILE_VERSION, "brain.Event:2");
    add_frame(frames, &f->event);
    begin_event(f, 0);
    put_bytes(&f->event, EVENT_SESSION_LOG, started, sizeof started);
    add_frame(frames, &f->event);
}

/* ---- reading back what an earlier run wrote ---- */

static bool get_varint(uint64_t *ret, const char **at, const char *end)
{
    *ret = 0;
    for (int shift = 0; *at < end && shift < 64; shift += 7) {
        unsigned char byte = (unsigned char)*(*at)++;
        *ret |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return true;
    }
    return false;
}

struct span {
    const char *at, *end;
};

/* The first field of this number: its number, or its bytes. False: absent, or not a message. */
static bool find_field(struct span *bytes, uint64_t *number, struct span message, int field)
{
    while (message.at < message.end) {
        uint64_t key, value = 0;
        if (!get_varint(&key, &message.at, message.end))
            return false;
        int wire = (int)(key & 7);
        size_t size = wire == WIRE_64 ? 8 : wire == WIRE_32 ? 4 : 0;
        if ((wire == WIRE_VARINT || wire == WIRE_BYTES) && !get_varint(&value, &message.at, message.end))
            return false;
        if (wire == WIRE_BYTES)
            size = value;
        if (size > (size_t)(message.end - message.at))
            return false;
        if ((int)(key >> 3) == field) {
            *number = value;
            *bytes = (struct span){message.at, message.at + size};
            return true;
        }
        message.at += size;
    }
    return false;
}

struct resume_point {
    uint64_t steps, step, epoch_step; /* to keep; of the last that was kept: of a step, of an epoch */
    uint32_t epochs, epoch;
};

/* An event of a step or an epoch that is current and is not there yet (a crash between two renames leaves two files). */
static bool is_current(struct resume_point *k, struct span event)
{
    uint64_t step = 0, ignored;
    struct span summary, value, tag, none;
    if (!find_field(&none, &step, event, EVENT_STEP) || step > k->steps ||
        !find_field(&summary, &ignored, event, EVENT_SUMMARY) || !find_field(&value, &ignored, summary, SUMMARY_VALUE) ||
        !find_field(&tag, &ignored, value, VALUE_TAG))
        return false;
    size_t prefix = strlen(BY_EPOCHS);
    if ((size_t)(tag.end - tag.at) < prefix || memcmp(tag.at, BY_EPOCHS, prefix)) {
        bool newer = step > k->step;
        k->step = newer ? step : k->step;
        return newer;
    }
    if (step <= k->epoch_step || k->epoch >= k->epochs)
        return false;
    k->epoch_step = step;
    k->epoch++;
    return true;
}

static int copy_current(struct buffer *frames, struct resume_point *k, const char *path, struct error *e)
{
    char *bytes;
    size_t size;
    if (file_read(&bytes, &size, path, e))
        return -1;
    uint64_t length;
    for (size_t at = 0; (length = whole_frame(bytes + at, size - at)); at += HEAD + length + TAIL)
        if (is_current(k, (struct span){bytes + at + HEAD, bytes + at + HEAD + length}))
            buffer_append(frames, bytes + at, HEAD + length + TAIL);
    free(bytes);
    return 0;
}

static int is_event_file(const struct dirent *entry)
{
    return !strncmp(entry->d_name, PREFIX, strlen(PREFIX));
}

/* Old files in the order of their names, which is that of time. */
static int old_files(struct dirent ***ret, const char *directory, struct error *e)
{
    int count = scandir(directory, ret, is_event_file, alphasort);
    return count < 0 ? error_errno(e, errno, "%s: cannot be read", directory) : count;
}

static void free_names(struct dirent **names, int count)
{
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

/* ---- the file ---- */

static char *new_path(const char *directory)
{
    char host[MACHINE_NAME];
    machine_name(host, sizeof host);
    return format_string("%s/" PREFIX "%010lld.%s.%d", directory, (long long)clock_wall(), host, (int)getpid());
}

/* Under a name that no reader takes for an event file until it is whole. */
static int put_in_place(struct event_file *f, const char *directory, const struct buffer *frames, struct error *e)
{
    char *temporary = path_join(directory, "tensorboard.new");
    int result = file_write(temporary, frames->data, frames->size, e);
    if (!result && rename(temporary, f->path))
        result = error_errno(e, errno, "%s: cannot be renamed to %s", temporary, f->path);
    free(temporary);
    if (result)
        return -1;
    f->fd = open(f->path, O_WRONLY | O_APPEND | O_CLOEXEC);
    return f->fd < 0 ? error_errno(e, errno, "%s: cannot be written", f->path) : 0;
}

static int replace_files(struct event_file *f, const char *directory, const struct json *options, struct resume_point *k,
                         struct error *e)
{
    struct dirent **names;
    struct buffer frames = {0};
    int count = old_files(&names, directory, e), result = 0;
    if (count < 0)
        return -1;
    add_head(&frames, f);
    add_options(&frames, f, options);
    for (int i = 0; i < count && !result; i++) {
        char *path = path_join(directory, names[i]->d_name);
        result = copy_current(&frames, k, path, e);
        free(path);
    }
    if (!result)
        result = put_in_place(f, directory, &frames, e);
    for (int i = 0; i < count && !result; i++) {
        char *path = path_join(directory, names[i]->d_name);
        if (strcmp(path, f->path))
            unlink(path);
        free(path);
    }
    free_names(names, count);
    buffer_free(&frames);
    return result;
}

int event_file_open(struct event_file **ret, const char *directory, const struct json *options, uint64_t steps, uint32_t epochs,
                    struct error *e)
{
    struct event_file *f = allocate(1, sizeof *f);
    struct resume_point k = {.steps = steps, .epochs = epochs};
    f->fd = -1;
    f->path = new_path(directory);
    if (replace_files(f, directory, options, &k, e)) {
        event_file_close(&f);
        return -1;
    }
    *ret = f;
    return 0;
}

void event_file_close(struct event_file **file)
{
    struct event_file *f = file ? *file : NULL;
    if (!f)
        return;
    if (f->fd >= 0)
        close(f->fd);
    buffer_free(&f->value);
    buffer_free(&f->summary);
    buffer_free(&f->event);
    buffer_free(&f->frame);
    free(f->path);
    free(f);
    *file = NULL;
}

int event_file_append(struct event_file *f, uint64_t step, const struct event_scalar *scalars, size_t count, struct error *e)
{
    buffer_clear(&f->summary);
    for (size_t i = 0; i < count; i++) {
        buffer_clear(&f->value);
        put_text(&f->value, VALUE_TAG, scalars[i].tag);
        put_float(&f->value, VALUE_SIMPLE, (float)scalars[i].value);
        put_message(&f->summary, SUMMARY_VALUE, &f->value);
    }
    begin_event(f, step);
    put_message(&f->event, EVENT_SUMMARY, &f->summary);
    buffer_clear(&f->frame);
    add_frame(&f->frame, &f->event);
    ssize_t written = write(f->fd, f->frame.data, f->frame.size);
    if (written == (ssize_t)f->frame.size)
        return 0;
    return error_errno(e, written < 0 ? errno : ENOSPC, "%s: cannot be written", f->path);
}
