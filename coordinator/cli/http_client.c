/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/cli/http_client.h"

#include "common/base/memory.h"
#include "common/base/stop.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MOST 10L /* seconds */
#define REPLY_MOST ((size_t)1 << 30)

struct http_client {
    CURL *curl;
    struct curl_slist *headers;
    char *url;
    char reason[CURL_ERROR_SIZE];
};

static size_t take(char *bytes, size_t one, size_t count, void *context)
{
    struct buffer *body = context;
    size_t size = one * count;
    if (body->size + size > REPLY_MOST)
        return 0;
    buffer_append(body, bytes, size);
    return size;
}

static int check_stop(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)context, (void)a, (void)b, (void)c, (void)d;
    return stop_requested();
}

static void add_header(struct http_client *c, const char *name, const char *value)
{
    char *line = format_string("%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(c->headers, line);
    c->headers = longer ? longer : c->headers;
    free(line);
}

static void set_options(struct http_client *c)
{
    curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, c->reason);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->headers);
    curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_MOST);
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, check_stop);
}

int http_client_create(struct http_client **ret, const char *url, const char *key, struct error *e)
{
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return error_set(e, ERROR_USAGE, "--url: expected http://HOST:PORT, found \"%s\"", url);
    struct http_client *c = allocate(1, sizeof *c);
    c->url = duplicate(url);
    for (size_t size = strlen(c->url); size && c->url[size - 1] == '/'; size--)
        c->url[size - 1] = 0;
    c->curl = curl_easy_init();
    if (!c->curl) {
        http_client_destroy(&c);
        return error_set(e, ERROR_FAILED, "libcurl does not start");
    }
    add_header(c, "Content-Type", "application/json");
    add_header(c, "Expect", ""); /* no question before a large body: the answer would be waited for */
    if (key) {
        char *value = format_string("Bearer %s", key);
        add_header(c, "Authorization", value);
        free(value);
    }
    set_options(c);
    *ret = c;
    return 0;
}

void http_client_destroy(struct http_client **client)
{
    struct http_client *c = client ? *client : NULL;
    if (!c)
        return;
    curl_easy_cleanup(c->curl);
    curl_slist_free_all(c->headers);
    free(c->url);
    free(c);
    *client = NULL;
}

int http_client_ask(struct http_reply *ret, struct http_client *c, const char *path, const struct buffer *body, struct error *e)
{
    struct http_reply r = {0};
    curl_off_t after = 0;
    char *url = format_string("%s%s", c->url, path);
    buffer_text(&r.body, "");
    c->reason[0] = 0;
    curl_easy_setopt(c->curl, CURLOPT_URL, url);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &r.body);
    if (body) {
        curl_easy_setopt(c->curl, CURLOPT_POST, 1L);
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->size);
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body->data);
    } else {
        curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
    }
    CURLcode code = curl_easy_perform(c->curl);
    int status = 0;
    if (code != CURLE_OK && stop_requested())
        status = stop_check(e);
    else if (code != CURLE_OK)
        status = error_set(e, ERROR_FAILED, "%s: no answer: %s", url, c->reason[0] ? c->reason : curl_easy_strerror(code));
    free(url);
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &r.status);
    curl_easy_getinfo(c->curl, CURLINFO_RETRY_AFTER, &after);
    r.after = (double)after;
    if (status != 0)
        buffer_free(&r.body);
    else
        *ret = r;
    return status;
}
