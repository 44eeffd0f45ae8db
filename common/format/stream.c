/* SPDX-License-Identifier: Apache-2.0 */
/* Reading files front to back, compressed or not; the sole owner of zlib and libzstd. */
#include "common/format/stream.h"

#include "common/base/file.h"
#include "common/base/file_kind.h"
#include "common/base/memory.h"
#include "common/base/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <iconv.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define READ_SIZE 65536
#define WINDOW_LIMIT ((size_t)1 << 30)

enum packing { PACKING_NONE, PACKING_GZIP, PACKING_ZSTD };

static const struct {
    const char *suffix, *name, *magic;
    size_t magic_size;
} packings[] = {
    [PACKING_NONE] = {"", "", "", 0},
    [PACKING_GZIP] = {".gz", "gzip", "\x1f\x8b", 2},
    [PACKING_ZSTD] = {".zst", "Zstandard", "\x28\xb5\x2f\xfd", 4},
};
#define PACKINGS (sizeof packings / sizeof *packings)

struct stream {
    char *path;
    int file;
    enum packing packing;
    unsigned char in[READ_SIZE]; /* of the file */
    size_t in_at, in_end;
    bool file_ended, ended;
    bool inside; /* a gzip member or Zstandard frame that has begun and not ended */
    z_stream gzip;
    bool gzip_ready;
    ZSTD_DStream *zstd;
    char *encoding; /* NULL: no conversion */
    iconv_t converter;
    char raw[READ_SIZE]; /* unpacked, not converted yet */
    size_t raw_at, raw_end;
    bool raw_ended;
    char *window;
    size_t at, end, capacity;
};

static bool ends_with(const char *text, const char *suffix)
{
    size_t size = strlen(text), tail = strlen(suffix);
    return size > tail && !strcmp(text + size - tail, suffix);
}

static enum packing named_packing(const char *path)
{
    for (size_t i = 1; i < PACKINGS; i++)
        if (ends_with(path, packings[i].suffix))
            return (enum packing)i;
    return PACKING_NONE;
}

size_t stream_name_size(const char *path)
{
    return strlen(path) - strlen(packings[named_packing(path)].suffix);
}

/* More bytes of the file into `in`, behind those that are left. */
static int read_on(struct stream *s, struct error *e)
{
    memmove(s->in, s->in + s->in_at, s->in_end - s->in_at);
    s->in_end -= s->in_at;
    s->in_at = 0;
    while (!s->file_ended && s->in_end < sizeof s->in) {
        ssize_t n = read(s->file, s->in + s->in_end, sizeof s->in - s->in_end);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(e, ERROR_DATA, "%s: cannot be read: %s", s->path, strerror(errno));
        s->in_end += (size_t)n;
        s->file_ended = n == 0;
    }
    return 0;
}

static int damaged(const struct stream *s, const char *why, struct error *e)
{
    return error_set(e, ERROR_DATA, "%s: its %s data is damaged (%s); make or fetch the file again", s->path,
                     packings[s->packing].name, why);
}

/* Each unpacker turns bytes of `in` into at most `room` bytes at `to`: their number, or -1. */
static ptrdiff_t copy(struct stream *s, char *to, size_t room, struct error *e)
{
    (void)e;
    size_t n = s->in_end - s->in_at < room ? s->in_end - s->in_at : room;
    memcpy(to, s->in + s->in_at, n);
    s->in_at += n;
    return (ptrdiff_t)n;
}

static ptrdiff_t gunzip(struct stream *s, char *to, size_t room, struct error *e)
{
    if (!s->inside && s->gzip_ready && inflateReset(&s->gzip) != Z_OK)
        return damaged(s, "no new member can be begun", e);
    s->inside = true;
    s->gzip.next_in = s->in + s->in_at;
    s->gzip.avail_in = (uInt)(s->in_end - s->in_at);
    s->gzip.next_out = (Bytef *)to;
    s->gzip.avail_out = (uInt)room;
    int status = inflate(&s->gzip, Z_NO_FLUSH);
    s->in_at = s->in_end - s->gzip.avail_in;
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
        return damaged(s, s->gzip.msg ? s->gzip.msg : "wrong bytes", e);
    s->inside = status != Z_STREAM_END;
    return (ptrdiff_t)(room - s->gzip.avail_out);
}

static ptrdiff_t unzstd(struct stream *s, char *to, size_t room, struct error *e)
{
    ZSTD_inBuffer in = {s->in, s->in_end, s->in_at};
    ZSTD_outBuffer out = {to, room, 0};
    size_t left = ZSTD_decompressStream(s->zstd, &out, &in);
    s->in_at = in.pos;
    if (ZSTD_isError(left))
        return damaged(s, ZSTD_getErrorName(left), e);
    s->inside = left != 0;
    return (ptrdiff_t)out.pos;
}

static ptrdiff_t (*const unpack[])(struct stream *s, char *to, size_t room, struct error *e) = {copy, gunzip, unzstd};

static int make_room(struct stream *s, struct error *e)
{
    if (s->at)
        memmove(s->window, s->window + s->at, s->end - s->at);
    s->end -= s->at;
    s->at = 0;
    if (s->end + READ_SIZE > WINDOW_LIMIT)
        return error_set(e, ERROR_DATA, "%s: holds a row of more than 1 GiB; is it the right file, or a quote never closed?",
                         s->path);
    if (s->capacity - s->end < READ_SIZE)
        s->window = grow(s->window, &s->capacity, s->end + READ_SIZE, 1);
    return 0;
}

/* Unpacked bytes to `to`: their number, 0 at the end, -1. */
static ptrdiff_t unpack_some(struct stream *s, char *to, size_t room, struct error *e)
{
    for (;;) {
        if (s->in_at == s->in_end && !s->file_ended && read_on(s, e))
            return -1;
        bool dry = s->in_at == s->in_end && s->file_ended;
        if (dry && !s->inside)
            return 0;
        ptrdiff_t n = unpack[s->packing](s, to, room, e);
        if (n == 0 && dry)
            return damaged(s, "it is cut off", e);
        if (n != 0)
            return n;
    }
}

static int refuse_bytes(const struct stream *s, const char *what, struct error *e)
{
    return error_set(e, ERROR_DATA, "%s: %s in %s (byte 0x%02x); set data.encoding to what it is", s->path, what, s->encoding,
                     (unsigned char)s->raw[s->raw_at]);
}

/* Converted bytes to `to`: their number, 0 at the end, -1. */
static ptrdiff_t convert_some(struct stream *s, char *to, size_t room, struct error *e)
{
    for (;;) {
        memmove(s->raw, s->raw + s->raw_at, s->raw_end - s->raw_at);
        s->raw_end -= s->raw_at;
        s->raw_at = 0;
        ptrdiff_t n = s->raw_ended ? 0 : unpack_some(s, s->raw + s->raw_end, sizeof s->raw - s->raw_end, e);
        if (n < 0)
            return -1;
        s->raw_end += (size_t)n;
        s->raw_ended = n == 0;
        char *in = s->raw, *out = to;
        size_t in_left = s->raw_end, out_left = room;
        size_t status = iconv(s->converter, &in, &in_left, &out, &out_left);
        s->raw_at = s->raw_end - in_left;
        if (status == (size_t)-1 && errno == EILSEQ)
            return refuse_bytes(s, "holds what is no character", e);
        if (status == (size_t)-1 && errno == EINVAL && s->raw_ended)
            return refuse_bytes(s, "ends within a character", e);
        if (out > to)
            return out - to;
        if (s->raw_ended && !in_left)
            return 0;
    }
}

static int fill(struct stream *s, struct error *e)
{
    if (make_room(s, e))
        return -1;
    ptrdiff_t n = (s->encoding ? convert_some : unpack_some)(s, s->window + s->end, s->capacity - s->end, e);
    s->end += n > 0 ? (size_t)n : 0;
    return n < 0 ? -1 : n > 0;
}

int stream_more(struct stream *s, struct error *e)
{
    int more = s->ended ? 0 : fill(s, e);
    s->ended = more <= 0; /* also behind an error, so that a walk that goes on ends */
    return more;
}

static int begin(struct stream *s, struct error *e)
{
    enum packing named = named_packing(s->path);
    if (read_on(s, e))
        return -1;
    for (size_t i = 1; i < PACKINGS; i++)
        if (s->in_end >= packings[i].magic_size && !memcmp(s->in, packings[i].magic, packings[i].magic_size))
            s->packing = (enum packing)i;
    if (named && s->packing != named)
        return error_set(e, ERROR_DATA, "%s: is named %s but holds no %s data; give it its right name", s->path,
                         packings[named].suffix, packings[named].name);
    if (s->packing == PACKING_NONE && file_kind_check(s->path, (const char *)s->in, s->in_end, e))
        return -1;
    if (s->packing == PACKING_GZIP) {
        if (inflateInit2(&s->gzip, 15 + 16) != Z_OK) /* 16: gzip, not zlib */
            return error_set(e, ERROR_FAILED, "%s: zlib cannot be started", s->path);
        s->gzip_ready = true;
    } else if (s->packing == PACKING_ZSTD && !(s->zstd = ZSTD_createDStream())) {
        return error_set(e, ERROR_FAILED, "%s: libzstd cannot be started", s->path);
    }
    return 0;
}

static int set_encoding(struct stream *s, const char *encoding, struct error *e)
{
    if (!encoding || !strcasecmp(encoding, "utf-8") || !strcasecmp(encoding, "utf8"))
        return 0;
    s->converter = iconv_open("UTF-8", encoding);
    if (s->converter == (iconv_t)-1)
        return error_set(e, ERROR_USAGE,
                         "data.encoding: \"%.100s\" is not known; name one that iconv -l lists, as cp1252, latin1, utf-16",
                         encoding);
    s->encoding = duplicate(encoding);
    return 0;
}

/* ---- what can be read once only ---- */

static struct {
    char *path;
    int file;
} spooled;

bool stream_needs_spool(const char *path)
{
    struct stat facts;
    return strcmp(path, STREAM_STANDARD_INPUT) == 0 ||
           (stat(path, &facts) == 0 && (S_ISFIFO(facts.st_mode) || S_ISCHR(facts.st_mode) || S_ISSOCK(facts.st_mode)));
}

static int copy_all(int to, int from, const char *path, struct error *e)
{
    char bytes[READ_SIZE];
    for (;;) {
        ssize_t n = read(from, bytes, sizeof bytes);
        if (stop_check(e))
            return -1;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(e, ERROR_DATA, "%s: cannot be read: %s", path, strerror(errno));
        if (n == 0)
            return 0;
        if (file_write_all(to, bytes, (size_t)n))
            return error_errno(e, errno, "%s: cannot be kept in a temporary file (TMPDIR)", path);
    }
}

int stream_spool(const char *path, struct error *e)
{
    bool standard = strcmp(path, STREAM_STANDARD_INPUT) == 0;
    int from = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC), to = -1;
    stream_unspool();
    if (from < 0)
        return error_set(e, ERROR_DATA, "%s: cannot be read: %s", path, strerror(errno));
    int status = (to = file_temporary(e)) < 0 ? -1 : copy_all(to, from, path, e);
    if (!standard)
        close(from);
    if (status && to >= 0)
        close(to);
    if (status)
        return -1;
    spooled.path = duplicate(path);
    spooled.file = to;
    return 0;
}

int stream_spool_bytes(const char *bytes, size_t size, bool rest, struct error *e)
{
    int to;
    stream_unspool();
    if ((to = file_temporary(e)) < 0)
        return -1;
    int status = 0;
    if (file_write_all(to, bytes, size))
        status = error_errno(e, errno, "-: cannot be kept in a temporary file (TMPDIR)");
    if (status == 0 && rest)
        status = copy_all(to, STDIN_FILENO, STREAM_STANDARD_INPUT, e);
    if (status != 0) {
        close(to);
        return -1;
    }
    spooled.path = duplicate(STREAM_STANDARD_INPUT);
    spooled.file = to;
    return 0;
}

void stream_unspool(void)
{
    if (!spooled.path)
        return;
    close(spooled.file);
    free(spooled.path);
    spooled.path = NULL;
}

/* A description of its own, so that each reader has its own place. */
static int open_file(const char *path)
{
    char name[64];
    bool is_spooled = spooled.path && strcmp(spooled.path, path) == 0;
    if (is_spooled)
        snprintf(name, sizeof name, "/proc/self/fd/%d", spooled.file);
    return open(is_spooled ? name : path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is refused, rather than waited for */
}

int stream_open(struct stream **ret, const char *path, const char *encoding, struct error *e)
{
    struct stream *s = allocate(1, sizeof *s);
    struct stat facts;
    s->path = duplicate(path);
    s->file = open_file(path);
    if (s->file < 0 || fstat(s->file, &facts)) {
        error_set(e, ERROR_DATA, "%s: cannot be read: %s", path, strerror(errno));
        goto fail;
    }
    if (!S_ISREG(facts.st_mode)) {
        error_set(e, ERROR_DATA, "%s: is %s, not a file; name a file", path,
                  S_ISDIR(facts.st_mode) ? "a directory" : "a device or pipe");
        goto fail;
    }
    if (set_encoding(s, encoding, e) || begin(s, e))
        goto fail;
    *ret = s;
    return 0;
fail:
    stream_close(&s);
    return -1;
}

void stream_close(struct stream **stream)
{
    struct stream *s = stream ? *stream : NULL;
    if (!s)
        return;
    if (s->gzip_ready)
        inflateEnd(&s->gzip);
    ZSTD_freeDStream(s->zstd);
    if (s->encoding)
        iconv_close(s->converter);
    free(s->encoding);
    if (s->file >= 0)
        close(s->file);
    free(s->window);
    free(s->path);
    free(s);
    *stream = NULL;
}

size_t stream_position(const struct stream *s)
{
    off_t at = lseek(s->file, 0, SEEK_CUR);
    return at > 0 ? (size_t)at : 0;
}

size_t stream_size(const struct stream *s)
{
    struct stat facts;
    return fstat(s->file, &facts) == 0 ? (size_t)facts.st_size : 0;
}

const char *stream_data(const struct stream *s, size_t *size)
{
    *size = s->end - s->at;
    return s->window ? s->window + s->at : "";
}

void stream_take(struct stream *s, size_t size)
{
    s->at += size;
}

int stream_line(struct stream *s, const char **line, size_t *size, struct error *e)
{
    size_t have, looked = 0;
    const char *data = stream_data(s, &have), *feed;
    while (!(feed = memchr(data + looked, '\n', have - looked))) {
        looked = have;
        int more = stream_more(s, e);
        if (more < 0)
            return -1;
        data = stream_data(s, &have);
        if (!more)
            break;
    }
    if (!feed && !have)
        return 0;
    *line = data;
    *size = feed ? (size_t)(feed - data) : have;
    stream_take(s, feed ? *size + 1 : have);
    return 1;
}
