/* SPDX-License-Identifier: Apache-2.0 */
#include "common/json/json.h"
#include "common/text/normalizer.h"

int normalizer_settings_read(struct normalizer_settings *ret, bool *follows, const struct json *j, const char *path,
                             struct error *e)
{
    static const char *const keys[] = {"clean_text", "handle_chinese_chars", "lowercase"};
    struct normalizer_settings s = {0};
    bool *values[] = {&s.clean, &s.chinese, &s.lower};
    const struct json *strip = json_get(j, "strip_accents");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct json *value = json_get(j, keys[i]);
        if (!value || json_type(value) != JSON_BOOLEAN)
            return error_set(e, ERROR_DATA, "%s: its normalizer's \"%s\" is not true or false", path, keys[i]);
        *values[i] = json_boolean(value);
    }
    *follows = !strip || json_type(strip) != JSON_BOOLEAN;
    s.strip = *follows ? s.lower : json_boolean(strip);
    *ret = s;
    return 0;
}
