/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the body of a request to `muster serve`, in each of its three forms: refused in one line with a status, or tokens
 * that the model takes, and an answer that is JSON. The first byte chooses the form and the limits. */
#include "check.h"
#include "common/base/memory.h"
#include "coordinator/serve/classify.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bundle of the fixture, a pair of texts, opened once; run.sh starts fuzzers in the root of the repository. */
static struct served_model *model(void)
{
    static struct served_model *m;
    struct error e;
    if (!m)
        CHECK(served_model_open(&m, "tests/fixtures/1fd47a4/run/bundle", NULL, &e) == 0);
    return m;
}

static void check_refusal(const struct refusal *why)
{
    int status = refusal_status(why->kind);
    CHECK(status == 400 || status == 413 || status == 422);
    CHECK(why->message[0] && !strchr(why->message, '\n'));
    struct json *o = refusal_to_json(why);
    char *text = json_print(o, false);
    json_destroy(&o);
    CHECK(!strchr(text, '\n'));
    free(text);
}

static void check_rows(const struct classify_request *r, const struct model_view *v)
{
    for (uint32_t i = 0; i < r->job.count; i++) {
        CHECK(r->rows[i].length > 0 && r->rows[i].length <= v->input.max_length && r->rows[i].first <= r->rows[i].length);
        for (uint32_t k = 0; k < r->rows[i].length; k++)
            CHECK(r->rows[i].ids[k] >= 0 && (uint32_t)r->rows[i].ids[k] < tokenizer_size(served_model_tokenizer(v->model)));
    }
    for (size_t i = 0; i < r->count; i++)
        if (r->items[i].refused)
            check_refusal(&r->items[i].why);
}

static void check_answer(struct classify_request *r)
{
    struct json *j;
    struct error e;
    for (size_t i = 0; i < (size_t)r->job.count * r->job.labels; i++)
        r->values[i] = (float)(i % 7) * 40.0f - 100.0f;
    char *text = classify_answer(r);
    CHECK(json_parse(&j, text, strlen(text), "answer", &e) == 0);
    json_destroy(&j);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct served_model *m = model();
    const struct model_view *v = served_model_hold(m);
    const struct classify_limits limits = {data[0] & 4 ? 3 : 100, data[0] & 8 ? 10 : 1000};
    struct classify_request r;
    struct refusal why;
    if (classify_read(&r, (enum classify_form)(data[0] % 3), v, (const char *)data + 1, size - 1, &limits, &why) != 0) {
        check_refusal(&why);
    } else {
        CHECK(r.count >= 1 && r.count <= limits.items_most);
        if (classify_tokenize(&r, &why) != 0) {
            check_refusal(&why);
        } else {
            check_rows(&r, v);
            check_answer(&r);
        }
        classify_free(&r);
    }
    served_model_release(m, v);
    return 0;
}
