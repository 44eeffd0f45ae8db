/* The names of precisions. */
#include "worker/device/device.h"

const char *const precision_names[] = {"f32", "bf16", NULL};
