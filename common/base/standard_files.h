/* SPDX-License-Identifier: Apache-2.0 */
/* What a process must settle before anything else opens a file. */
#pragma once

/* Descriptors 0, 1 and 2 that a daemon or a shell (`<&- >&- 2>&-`) has closed are opened on /dev/null, so that no file of ours
 * gets their numbers and what is printed; a limit of the file size (`ulimit -f`) is an error of write (EFBIG) and not the end of
 * the process (SIGXFSZ). Call first in main. */
void standard_files_prepare(void);
