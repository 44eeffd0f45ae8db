/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/data/near_duplicates.h"

#include "common/base/key_sort.h"
#include "common/base/memory.h"
#include "common/base/meter.h"
#include "common/base/parallel.h"
#include "common/base/stop.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHINGLE 5
#define PERMUTATIONS 128
#define BANDS 21
#define BAND_ROWS 6
#define COMPARED_MOST 32 /* clusters that a row is compared with in one bucket */
/* Of 128 places: pairs below are not worth a look at their words. At 0.8 the mean is 102, the deviation 4.5. */
#define AGREEMENT_LEAST 83
#define REMEMBERED 4096 /* signatures */
#define ROWS_AT_ONCE 4096
#define MARKS_A_ROW 8      /* bits, at least */
#define KEYS_AT_ONCE 65536 /* rows */
#define SORTED_BY_INSERTION 48

/* The shingles of a row, as hashes; text A's first. */
struct shingles {
    uint64_t *hashes;
    size_t count, first /* of text B */, capacity;
};

struct signature {
    uint32_t value[PERMUTATIONS];
};

/* A row and its signature, in the place that the row's number gives it. */
struct remembered {
    uint32_t row; /* UINT32_MAX: none */
    struct signature signature;
};

struct search {
    const struct records *records;
    uint32_t *rows; /* that are looked at: one of each set of exact duplicates */
    size_t count;
    struct scratch keys;     /* (BANDS, count) uint64_t: what signatures say in each band */
    struct key_row *entries; /* (entry_count) of one band: keys that more than one row may have */
    size_t entry_count, entry_capacity;
    uint64_t *once, *twice;        /* a bit for the first bits of a key: rows of the band with these */
    unsigned bits;                 /* of a key */
    struct remembered *remembered; /* (REMEMBERED) */
    uint32_t *parent;              /* (count) union-find, the lower is the root */
    uint32_t factors[PERMUTATIONS], terms[PERMUTATIONS];
    struct shingles one, other;
    size_t looks; /* records_looked_at */
    struct meter meter;
};

static uint64_t mix(uint64_t x) /* splitmix64's finaliser */
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static int by_hash(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void add_shingle(struct shingles *s, uint64_t hash)
{
    s->hashes = grow(s->hashes, &s->capacity, s->count + 1, sizeof *s->hashes);
    s->hashes[s->count++] = hash;
}

static void insert_all(uint64_t *hashes, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        uint64_t moved = hashes[i];
        size_t at = i;
        for (; at > 0 && hashes[at - 1] > moved; at--)
            hashes[at] = hashes[at - 1];
        hashes[at] = moved;
    }
}

/* Sorts what stands from `start` on and drops repeats. */
static void make_set(struct shingles *s, size_t start)
{
    size_t kept = start;
    if (s->count > start + SORTED_BY_INSERTION)
        qsort(s->hashes + start, s->count - start, sizeof *s->hashes, by_hash);
    else
        insert_all(s->hashes + start, s->count - start);
    for (size_t i = start; i < s->count; i++)
        if (kept == start || s->hashes[i] != s->hashes[kept - 1])
            s->hashes[kept++] = s->hashes[i];
    s->count = kept;
}

static uint64_t hash_word(const char **text)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    const char *p = *text;
    for (; *p && *p != ' '; p++) {
        unsigned char byte = (unsigned char)*p;
        hash = (hash ^ (byte >= 'A' && byte <= 'Z' ? byte + 32u : byte)) * 0x100000001b3u;
    }
    *text = p;
    return hash;
}

static uint64_t hash_shingle(const uint64_t words[SHINGLE], uint64_t salt)
{
    uint64_t hash = salt;
    for (size_t i = 0; i < SHINGLE; i++)
        hash = mix(hash ^ words[i]) + i;
    return hash;
}

/* A text of fewer than five words is one shingle. `text` is composed: one space between two words. */
static void add_text(struct shingles *s, const char *text, uint64_t salt)
{
    uint64_t words[2 * SHINGLE] = {0}; /* the last five, twice: in order from any place on */
    size_t count = 0, at = 0;
    for (const char *p = text; *p; p += *p != 0) {
        words[at] = words[at + SHINGLE] = hash_word(&p);
        at = at + 1 == SHINGLE ? 0 : at + 1;
        if (++count >= SHINGLE)
            add_shingle(s, hash_shingle(words + at, salt));
    }
    if (count > 0 && count < SHINGLE)
        add_shingle(s, hash_shingle(words + at, salt));
}

/* Sorted, each once where `sets` says so: what is signed needs not be. */
static void make_shingles(struct shingles *s, const struct record *row, bool sets)
{
    s->count = 0;
    add_text(s, row->a, 0x9e3779b97f4a7c15u);
    if (sets)
        make_set(s, 0);
    s->first = s->count;
    if (row->b)
        add_text(s, row->b, 0xd1b54a32d192ed03u);
    if (sets && row->b)
        make_set(s, s->first);
}

static double jaccard(const uint64_t *a, size_t a_count, const uint64_t *b, size_t b_count)
{
    size_t i = 0, k = 0, same = 0;
    while (i < a_count && k < b_count) {
        same += a[i] == b[k];
        size_t step = a[i] <= b[k];
        k += a[i] >= b[k];
        i += step;
    }
    size_t all = a_count + b_count - same;
    return all ? (double)same / (double)all : 1;
}

static double similarity(const struct shingles *x, const struct shingles *y)
{
    double a = jaccard(x->hashes, x->first, y->hashes, y->first);
    double b = jaccard(x->hashes + x->first, x->count - x->first, y->hashes + y->first, y->count - y->first);
    return a < b ? a : b;
}

static void make_permutations(struct search *s)
{
    for (size_t k = 0; k < PERMUTATIONS; k++) {
        uint64_t x = mix((k + 1) * 0x9e3779b97f4a7c15u);
        s->factors[k] = (uint32_t)x | 1;
        s->terms[k] = (uint32_t)(x >> 32);
    }
}

/* Wider vectors where the processor has them: the multiplications are a tenth of the stage's time without. */
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define BY_PROCESSOR __attribute__((target_clones("avx2", "default")))
#else
#define BY_PROCESSOR
#endif

/* Permutation k of the hashes: multiply and add in 32 bits, odd factors. */
BY_PROCESSOR static void sign(struct signature *to, const struct search *search, const struct shingles *s)
{
    memset(to, 0xff, sizeof *to);
    for (size_t i = 0; i < s->count; i++) {
        uint32_t hash = (uint32_t)(s->hashes[i] >> 32);
        for (size_t k = 0; k < PERMUTATIONS; k++) {
            uint32_t x = (hash ^ search->terms[k]) * search->factors[k];
            to->value[k] = x < to->value[k] ? x : to->value[k];
        }
    }
}

static uint64_t band_key(const struct signature *signature, size_t band)
{
    uint64_t key = 0;
    for (size_t k = 0; k < BAND_ROWS; k++)
        key = mix(key ^ signature->value[band * BAND_ROWS + k]) + k;
    return key;
}

static void make_keys(void *context, size_t begin, size_t end)
{
    struct search *s = context;
    struct shingles shingles = {0};
    uint64_t *keys = s->keys.data;
    for (size_t i = begin; i < end; i++) {
        struct signature signature;
        make_shingles(&shingles, &s->records->rows[s->rows[i]], false);
        sign(&signature, s, &shingles);
        for (size_t band = 0; band < BANDS; band++)
            keys[band * s->count + i] = band_key(&signature, band);
    }
    free(shingles.hashes);
    meter_add(&s->meter, end - begin);
    records_walked(s->records, end);
    if (end % KEYS_AT_ONCE == 0)
        scratch_rest(&s->keys);
}

/* Signatures are made again where they are asked for, since those of all rows would be twice as long as their texts. */
static const struct signature *signature_of(struct search *s, uint32_t i)
{
    struct remembered *place = &s->remembered[i % REMEMBERED];
    if (place->row != i) {
        records_looked_at(s->records, &s->looks);
        make_shingles(&s->one, &s->records->rows[s->rows[i]], false);
        sign(&place->signature, s, &s->one);
        place->row = i;
    }
    return &place->signature;
}

static uint32_t root_of(struct search *s, uint32_t i)
{
    while (s->parent[i] != i)
        i = s->parent[i] = s->parent[s->parent[i]];
    return i;
}

static bool agree(struct search *s, uint32_t a, uint32_t b)
{
    const struct signature first = *signature_of(s, a); /* the other may take its place */
    const uint32_t *x = first.value, *y = signature_of(s, b)->value;
    int same = 0;
    for (size_t k = 0; k < PERMUTATIONS; k++)
        same += x[k] == y[k];
    return same >= AGREEMENT_LEAST;
}

/* Joins the clusters of two rows if their words say so. */
static void compare(struct search *s, struct near_duplicates *n, uint32_t a, uint32_t b)
{
    uint32_t x = root_of(s, a), y = root_of(s, b);
    if (x == y || !agree(s, a, b))
        return;
    make_shingles(&s->one, &s->records->rows[s->rows[a]], true);
    make_shingles(&s->other, &s->records->rows[s->rows[b]], true);
    double like = similarity(&s->one, &s->other);
    if (like < NEAR_LEAST)
        return;
    s->parent[x < y ? y : x] = x < y ? x : y;
    if (n->listed < NEAR_LISTED)
        n->pairs[n->listed++] = (struct near_pair){s->rows[a < b ? a : b], s->rows[a < b ? b : a], like};
}

static int search_bucket(struct search *s, struct near_duplicates *n, const struct key_row *bucket, size_t size, struct error *e)
{
    for (size_t i = 1; i < size; i++) {
        for (size_t back = 1; back <= i && back <= COMPARED_MOST; back++)
            compare(s, n, bucket[i - back].row, bucket[i].row);
        if (i % 1024 == 0 && stop_check(e))
            return -1;
    }
    return 0;
}

static bool has_bit(const uint64_t *set, uint64_t bit)
{
    return set[bit / 64] >> bit % 64 & 1;
}

static void mark_keys(struct search *s, const uint64_t *keys)
{
    size_t size = ((size_t)1 << s->bits) / 8;
    memset(s->once, 0, size);
    memset(s->twice, 0, size);
    for (size_t i = 0; i < s->count; i++) {
        uint64_t bit = keys[i] >> (64 - s->bits), mask = (uint64_t)1 << bit % 64;
        s->twice[bit / 64] |= s->once[bit / 64] & mask;
        s->once[bit / 64] |= mask;
    }
}

/* Most keys are one row's alone, and need not be sorted. */
static void take_entries(struct search *s, const uint64_t *keys)
{
    mark_keys(s, keys);
    s->entry_count = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (!has_bit(s->twice, keys[i] >> (64 - s->bits)))
            continue;
        s->entries = grow(s->entries, &s->entry_capacity, s->entry_count + 1, sizeof *s->entries);
        s->entries[s->entry_count++] = (struct key_row){keys[i], (uint32_t)i};
    }
}

static int search_band(struct search *s, struct near_duplicates *n, size_t band, struct error *e)
{
    take_entries(s, (const uint64_t *)s->keys.data + band * s->count);
    scratch_rest(&s->keys);
    records_rest(s->records);
    if (key_rows_sort(s->entries, s->entry_count, e))
        return -1;
    for (size_t start = 0, end; start < s->entry_count; start = end) {
        for (end = start + 1; end < s->entry_count && s->entries[end].key == s->entries[start].key;)
            end++;
        if (search_bucket(s, n, s->entries + start, end - start, e))
            return -1;
    }
    return stop_check(e);
}

static int search_all(struct search *s, struct near_duplicates *n, struct error *e)
{
    scratch_resize(&s->keys, s->count * BANDS * sizeof(uint64_t));
    meter_begin(&s->meter, "near duplicates, signatures", "rows", s->count);
    if (parallel_blocks(s->count, ROWS_AT_ONCE, make_keys, s, e))
        return -1;
    meter_begin(&s->meter, "near duplicates, comparing", "bands", BANDS);
    for (size_t band = 0; band < BANDS; band++) {
        if (search_band(s, n, band, e))
            return -1;
        meter_add(&s->meter, 1);
    }
    return 0;
}

static void take_roots(struct search *s, struct near_duplicates *n, const uint32_t *exact)
{
    for (size_t i = 0; i < s->count; i++)
        n->root[s->rows[i]] = s->rows[root_of(s, (uint32_t)i)];
    for (size_t i = 0; i < s->records->count; i++)
        if (exact[i] != i)
            n->root[i] = n->root[exact[i]];
}

int near_duplicates_find(struct near_duplicates *ret, const struct records *r, const uint32_t *exact, struct error *e)
{
    struct search s = {.records = r, .rows = allocate(r->count, sizeof *s.rows)};
    for (size_t i = 0; i < r->count; i++)
        if (exact[i] == i)
            s.rows[s.count++] = (uint32_t)i;
    s.parent = allocate(s.count, sizeof *s.parent);
    for (size_t i = 0; i < s.count; i++)
        s.parent[i] = (uint32_t)i;
    for (s.bits = 12; (size_t)1 << s.bits < MARKS_A_ROW * s.count;)
        s.bits++;
    s.once = allocate(((size_t)1 << s.bits) / 64, sizeof *s.once);
    s.twice = allocate(((size_t)1 << s.bits) / 64, sizeof *s.twice);
    s.remembered = allocate(REMEMBERED, sizeof *s.remembered);
    for (size_t i = 0; i < REMEMBERED; i++)
        s.remembered[i].row = UINT32_MAX;
    struct near_duplicates n = {.root = allocate(r->count, sizeof *n.root)};
    make_permutations(&s);
    int result = search_all(&s, &n, e);
    if (!result)
        take_roots(&s, &n, exact);
    free(s.entries);
    free(s.once);
    free(s.twice);
    free(s.remembered);
    scratch_free(&s.keys);
    free(s.one.hashes);
    free(s.other.hashes);
    free(s.parent);
    free(s.rows);
    if (result)
        near_duplicates_free(&n);
    else
        *ret = n;
    return result;
}

void near_duplicates_free(struct near_duplicates *n)
{
    free(n->root);
    n->root = NULL;
}
