/* SPDX-License-Identifier: Apache-2.0 */
/* A trial's TensorBoard events: directory/events.out.tfevents.<seconds>.<host>.<process>. `tensorboard --logdir RUN/trials` shows
 * every trial as a run of its own, with its hyper-parameters on the HParams page.
 *
 * Format: TFRecord frames (length, masked CRC32C of it, bytes, masked CRC32C of them; tensorflow/core/lib/io/record_writer.h) of
 * Event messages (tensorboard/compat/proto/event.proto, summary.proto; tensorboard/plugins/hparams/plugin_data.proto) in
 * Protocol Buffers' wire format. Scalars are simple_value; a step is there once. */
#pragma once

#include "common/json/json.h"

#include <stdint.h>

struct event_file;

struct event_scalar {
    const char *tag; /* "train/loss": by steps; "validation/loss": by epochs */
    double value;
};

/* Goes on after `steps` steps and `epochs` epochs: what an earlier run wrote up to there is taken over into a new file, which
 * replaces the old ones (a reader that is open sees a new file from its beginning, not one that shrinks). options: an object of
 * numbers and texts. */
int event_file_open(struct event_file **ret, const char *directory, const struct json *options, uint64_t steps, uint32_t epochs,
                    struct error *e);
void event_file_close(struct event_file **f);
int event_file_append(struct event_file *f, uint64_t step, const struct event_scalar *scalars, size_t count, struct error *e);
