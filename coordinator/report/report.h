/* SPDX-License-Identifier: Apache-2.0 */
/* report.html: what a run did and what came of it, on one page that needs nothing else. */
#pragma once

#include "common/base/error.h"

/* From the files of a run's directory alone, finished or not; plots go beside the page. file: NULL = <directory>/report.html.
 * with_test: rows of the test part are shown among the errors too. Without gnuplot the page comes without plots, and says so.
 */
int report_write(const char *directory, const char *file, bool with_test, struct error *e);
