/* SPDX-License-Identifier: Apache-2.0 */
/* Paths of a job: those in the file are relative to the file's directory, those on the command line to the current one. In
 * <out>/job.json they are relative to <out>, so the run can be moved together with its files, and read from anywhere. */
#pragma once

#include "coordinator/job/job.h"

/* Rewrites the relative paths of j that are not in `overridden` (an object of dotted keys) by the directory of the job file. What
 * is not there, but in the current directory, is taken from there and named in j->paths_note; so is a model's Hub name kept. */
void job_paths_resolve(struct job *j, const char *job_file, const struct json *overridden);
/* Whether the path of this key counts as given as an absolute one: <out>/job.json keeps it then. */
void job_paths_note_absolute(struct job *j, const char *key, bool absolute);
/* A copy of `resolved`, with the paths as <out>/job.json has them. j->out exists. Caller destroys. */
struct json *job_paths_stored(const struct job *j);
/* Does `stored`, of <out>/job.json, name what `here` names? Runs before there was this rule stored paths relative to what was the
 * current directory. Texts are compared if there is no such file. */
bool job_paths_same(const struct job *j, const char *stored, const char *here);
/* Files that are needed later than the data. ERROR_USAGE. */
int job_paths_check(const struct job *j, struct error *e);
/* `path`, relative to the working directory, as it is called from `directory`; absolute where that leads elsewhere. Caller frees.
 */
char *path_from(const char *directory, const char *path);
