/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/serve/static_files.h"

#include "embedded_page.h"

#include <string.h>

/* Nothing but what the server itself has: no script or style in the markup, nothing from elsewhere, in no frame of another's
 * page. */
#define ITS_OWN                                                                                                                  \
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; "       \
    "form-action 'none'; frame-ancestors 'none'"
#define NOTHING "default-src 'none'; frame-ancestors 'none'"
#define FILE_AT(path, type, array, security)                                                                                     \
    {                                                                                                                            \
        path, type "; charset=utf-8", array, sizeof array, security                                                              \
    }

static const struct static_file files[] = {
    FILE_AT("/", "text/html", embedded_index_html, ITS_OWN),
    FILE_AT("/page.css", "text/css", embedded_page_css, NOTHING),
    FILE_AT("/page.js", "text/javascript", embedded_page_js, NOTHING),
    FILE_AT("/docs", "text/html", embedded_docs_html, ITS_OWN),
    FILE_AT("/docs.js", "text/javascript", embedded_docs_js, NOTHING),
    {NULL},
};

const struct static_file *static_file_find(const char *path)
{
    for (const struct static_file *f = files; f->path; f++)
        if (strcmp(f->path, path) == 0)
            return f;
    return NULL;
}
