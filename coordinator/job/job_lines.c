/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/job/job_lines.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define DEPTH 64
#define KEY 128

/* The text is known to be JSON, so that what follows '"' ends at the next '"' that no backslash escapes. */
static const char *skip_text(const char *at)
{
    for (at++; *at && *at != '"'; at++)
        if (*at == '\\' && at[1])
            at++;
    return *at ? at + 1 : at;
}

static bool path_is(char path[][KEY], int depth, const char *key)
{
    char full[512] = "";
    for (int i = 1; i <= depth; i++) {
        size_t used = strlen(full);
        snprintf(full + used, sizeof full - used, "%s%s", used ? "." : "", path[i]);
    }
    return strcmp(full, key) == 0;
}

int job_line_of(const char *text, const char *key)
{
    char path[DEPTH + 2][KEY];
    memset(path, 0, sizeof path);
    int depth = 0, line = 1;
    for (const char *at = text; *at;) {
        if (*at == '"') {
            const char *end = skip_text(at), *colon = end + strspn(end, " \t\r\n");
            if (*colon == ':') {
                snprintf(path[depth], KEY, "%.*s", (int)(end - at - 2 < KEY ? end - at - 2 : KEY - 1), at + 1);
                if (path_is(path, depth, key))
                    return line;
            }
            at = end;
            continue;
        }
        if (*at == '\n')
            line++;
        else if ((*at == '{' || *at == '[') && depth <= DEPTH)
            path[++depth][0] = 0;
        else if ((*at == '}' || *at == ']') && depth > 0)
            depth--;
        at++;
    }
    return 0;
}
