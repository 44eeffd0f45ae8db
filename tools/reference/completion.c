/* SPDX-License-Identifier: Apache-2.0 */
/* Completion for bash: associative arrays out of the tables, and one function that reads them. */
#include "common/base/buffer.h"
#include "common/base/file.h"
#include "coordinator/cli/verbs.h"
#include "coordinator/job/job_fields.h"
#include "tools/reference/reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Works with "=" among COMP_WORDBREAKS (bash's default) and without it. The words of arrays are bare: letters, digits, "-_.". */
static const char head[] =
    "# bash completion for muster and muster-worker. Made from the programs' tables by the build; do not edit.\n";
static const char body[] =
    "_muster_complete() {\n"
    "  local program=$1 cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]} name= glued= words\n"
    "  local option=${prev#-}\n"
    "  option=${option#-}\n"
    "  if [ \"$program\" = muster-worker ]; then verb=$program; fi\n"
    "  if [ \"$cur\" = = ]; then name=$prev cur=\n"
    "  elif [ \"$prev\" = = ] && [ \"$COMP_CWORD\" -ge 3 ]; then name=${COMP_WORDS[COMP_CWORD-2]}\n"
    "  elif [[ $cur == *=* ]]; then name=${cur%%=*} glued=$name= cur=${cur#*=}\n"
    "  elif [[ $prev == -* && -n ${_muster_takes[$verb $option]} ]]; then name=$prev; fi\n"
    "  COMPREPLY=()\n"
    "  if [ -n \"$name\" ]; then\n"
    "    words=${_muster_values[$name]}\n"
    "    if [ -n \"$words\" ]; then mapfile -t COMPREPLY < <(compgen -P \"$glued\" -W \"$words\" -- \"$cur\")\n"
    "    else mapfile -t COMPREPLY < <(compgen -P \"$glued\" -f -- \"$cur\"); compopt -o filenames 2>/dev/null; fi\n"
    "  elif [ \"$program\" = muster ] && [ \"$COMP_CWORD\" -eq 1 ]; then\n"
    "    mapfile -t COMPREPLY < <(compgen -W \"${!_muster_options[*]} --help --version\" -- \"$cur\")\n"
    "  elif [[ $cur == -* ]]; then\n"
    "    words=${_muster_options[$verb]}\n"
    "    if [ \"$program\" = muster-worker ]; then words=$_muster_worker_options; fi\n"
    "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
    "  elif [[ \" $_muster_job_verbs \" == *\" $verb \"* ]] && [ \"$COMP_CWORD\" -gt 2 ]; then\n"
    "    mapfile -t COMPREPLY < <(compgen -S = -W \"$_muster_keys\" -- \"$cur\")\n"
    "    compopt -o nospace 2>/dev/null\n"
    "  else\n"
    "    mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
    "    compopt -o filenames 2>/dev/null\n"
    "  fi\n"
    "  return 0\n"
    "}\n"
    "_muster() { _muster_complete muster; }\n"
    "_muster_worker() { _muster_complete muster-worker; }\n"
    "complete -F _muster muster\n"
    "complete -F _muster_worker muster-worker\n";

static void put_options(struct buffer *b, struct buffer *takes, const char *verb, const struct option *options)
{
    for (const struct option *o = options; o && o->name; o++) {
        buffer_printf(b, "--%s ", o->name);
        if (o->letter)
            buffer_printf(b, "-%c ", o->letter);
        if (o->value)
            buffer_printf(takes, "  [\"%s %s\"]=1\n", verb, o->name);
        if (o->value && o->letter)
            buffer_printf(takes, "  [\"%s %c\"]=1\n", verb, o->letter);
    }
}

static void put_json_options(struct buffer *b, struct buffer *takes, const char *verb, const struct json *options)
{
    for (size_t i = 0; i < json_size(options); i++) {
        const char *name = json_string(json_get(json_at(options, i), "name"));
        buffer_printf(b, "--%s ", name);
        if (json_string(json_get(json_at(options, i), "value")))
            buffer_printf(takes, "  [\"%s %s\"]=1\n", verb, name);
    }
}

static void put_verbs(struct buffer *b, struct buffer *takes, const struct json *worker)
{
    buffer_text(b, "declare -gA _muster_options=(\n");
    for (const struct verb *v = verbs; v->name; v++) {
        buffer_printf(b, "  [%s]=\"", v->name);
        put_options(b, takes, v->name, v->options);
        if (v->passes_on)
            put_json_options(b, takes, v->name, json_get(worker, v->name));
        put_options(b, takes, v->name, common_options);
        buffer_text(b, "\"\n");
    }
    buffer_text(b, ")\n_muster_worker_options=\"");
    put_json_options(b, takes, "muster-worker", json_get(worker, "work"));
    put_options(b, takes, "muster-worker", common_options);
    buffer_text(b, "--version ");
    buffer_text(b, "\"\n_muster_job_verbs=\"");
    for (const struct verb *v = verbs; v->name; v++)
        buffer_printf(b, "%s%s", v->takes_job ? v->name : "", v->takes_job ? " " : "");
    buffer_text(b, "\"\n");
}

static void put_keys(struct buffer *b)
{
    buffer_text(b, "_muster_keys=\"");
    for (size_t i = 0; i < job_field_count; i++) {
        const char *key = job_fields[i].key;
        buffer_printf(b, "%s ", key);
        if (job_fields[i].flags & JOB_SWEPT)
            buffer_printf(b, "sweep.%s ", strchr(key, '.') ? strchr(key, '.') + 1 : key);
    }
    buffer_text(b, "\"\ndeclare -gA _muster_values=(\n");
    for (size_t i = 0; i < job_field_count; i++) {
        const struct job_field *f = &job_fields[i];
        if (!f->words && f->type != JOB_BOOLEAN)
            continue;
        buffer_printf(b, "  [%s]=\"", f->key);
        for (size_t k = 0; f->words && f->words[k]; k++)
            buffer_printf(b, "%s ", f->words[k]);
        buffer_text(b, f->words ? "\"\n" : "true false\"\n");
    }
    buffer_text(b, ")\n");
}

int completion_write(const char *directory, const struct json *worker, struct error *e)
{
    struct buffer b = {0}, takes = {0};
    buffer_text(&b, head);
    put_verbs(&b, &takes, worker);
    put_keys(&b);
    buffer_printf(&b, "declare -gA _muster_takes=(\n%s)\n", takes.data);
    buffer_text(&b, body);
    char *path = path_join(directory, "muster");
    int status = file_write(path, b.data, b.size, e);
    free(path);
    buffer_free(&b);
    buffer_free(&takes);
    return status;
}
